// SPDX-License-Identifier: MIT
/* in0's traffic in frames of unusual forms: other headers before it, or packets around it. */
#include "host.h"

#include "base/nl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/lwtunnel.h>
#include <linux/mpls_iptunnel.h>
#include <linux/rtnetlink.h>
#include <linux/seg6.h>
#include <linux/seg6_iptunnel.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <string.h>

#define BYPASS 0x100
#define OUT6 "fd00:2::1"

enum {
	SNAP,
	SNAP_OTHER,
	LLC,
	PPP_SHORT,
	PPP_SHORT6,
	TAG_9200,
	TAG_9300,
	TAG_SNAP,
	PBB,
	TEB,
	NSH,
	MPLS,
	MPLS_STACK,
};

/* What stands between the Ethernet header, with its type, and in0's packet. */
static const struct form {
	uint16_t type;
	uint8_t len, bytes[48];
	bool six; /* the packet is IPv6 */
} forms[] = {
	[SNAP] = {0, 8, {0xaa, 0xaa, 3, 0, 0, 0, 8, 0}},
	[SNAP_OTHER] = {0, 8, {0xaa, 0xaa, 3, 0, 0, 0xf8, 0x86, 0xdd}, true},
	[LLC] = {0, 3, {6, 6, 3}},
	[PPP_SHORT] = {ETH_P_PPP_SES, 7, {0x11, 0, 0, 7, 0, 45, 0x21}},
	[PPP_SHORT6] = {ETH_P_PPP_SES, 7, {0x11, 0, 0, 7, 0, 65, 0x57}, true},
	[TAG_9200] = {0x9200, 4, {0, 7, 8, 0}},
	[TAG_9300] = {0x9300, 4, {0, 7, 8, 0}},
	[TAG_SNAP] = {ETH_P_8021Q, 12, {0, 7, 0, 52, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}},
	[PBB] = {0x88e7, 18, {0, 0, 0, 7, 2, 0, 0, 0, 2, 2, 2, 0, 0, 0, 1, 1, 8, 0}},
	[TEB] = {ETH_P_TEB, 14, {2, 0, 0, 0, 2, 2, 2, 0, 0, 0, 1, 1, 8, 0}},
	[NSH] = {ETH_P_NSH, 8, {0x0f, 0xc2, 2, 1, 0, 0, 1, 0xff}},
	[MPLS] = {ETH_P_MPLS_UC, 4, {0, 6, 0x41, 64}},
	[MPLS_STACK] = {ETH_P_MPLS_MC, 12, {0, 6, 0x40, 64, 0, 6, 0x50, 64, 0, 6, 0x61, 64}, true},
};

static void begin(struct frame *f, uint16_t type, size_t len)
{
	ifp_frame_begin(f, LAB_PEER_MAC, LAB_OUT_MAC, type ?: (uint16_t)len);
}

static void in_packet(struct frame *f, const struct env *e, bool six)
{
	ifp_frame_packet(f, e, six ? LAB_IN6 : LAB_IN4, six ? LAB_PEER6 : LAB_PEER4, false);
}

static int formed(const struct env *e, int arg)
{
	const struct form *form = &forms[arg & 0xff];
	struct frame f;

	begin(&f, form->type, form->len + (form->six ? 64U : 44U));
	ifp_frame_put(&f, form->bytes, form->len);
	in_packet(&f, e, form->six);
	return ifp_packet_send(e, &f, form->type ?: ETH_P_802_2, arg & BYPASS);
}

/* in0 and out0 are ports of a bridge, and a frame of IEEE 802.3 passes it. */
static int bridged(const struct env *e, int arg)
{
	struct frame f;

	begin(&f, 0, forms[arg].len + 44U);
	ifp_frame_put(&f, forms[arg].bytes, forms[arg].len);
	ifp_frame_packet(&f, e, LAB_PEER_IN4, LAB_PEER4, false);
	return ifp_bridged(e, &f);
}

static int rarp(const struct env *e, int bypass)
{
	struct frame f;

	ifp_frame_begin(&f, BROADCAST, LAB_OUT_MAC, ETH_P_RARP);
	ifp_frame_arp(&f, false, LAB_IN4, LAB_PEER4);
	f.bytes[21] = 3;
	ifp_frame_put(&f, e->magic, MAGIC_LEN);
	return ifp_packet_send(e, &f, ETH_P_RARP, bypass);
}

/* ---- behind headers of IP ---- */

static size_t put_ip6(struct frame *f, const char *src, const char *dst, uint8_t next)
{
	uint8_t ip[40] = {0x60, [6] = next, [7] = 255};
	size_t at = f->len;

	inet_pton(AF_INET6, src, ip + 8);
	inet_pton(AF_INET6, dst, ip + 24);
	ifp_frame_put(f, ip, sizeof(ip));
	return at;
}

static void end_ip6(struct frame *f, size_t at)
{
	f->bytes[at + 4] = (uint8_t)((f->len - at - 40) >> 8);
	f->bytes[at + 5] = (uint8_t)(f->len - at - 40);
}

/* Neighbour discovery, whose target is behind in0, after one extension header or several. */
static int solicit_behind(const struct env *e, int which)
{
	static const uint8_t chains[][5] = {{IPPROTO_HOPOPTS, IPPROTO_ICMPV6},
		{IPPROTO_ROUTING, IPPROTO_ICMPV6}, {IPPROTO_FRAGMENT, IPPROTO_ICMPV6},
		{IPPROTO_DSTOPTS, IPPROTO_ICMPV6},
		{IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING, IPPROTO_FRAGMENT,
			IPPROTO_ICMPV6}};
	const uint8_t *chain = chains[which];
	uint8_t body[24] = {ND_NEIGHBOR_SOLICIT};
	struct frame f;
	size_t at;

	inet_pton(AF_INET6, "fd00:1::99", body + 8);
	ifp_frame_begin(&f, "\x33\x33\xff\x00\x00\x99", LAB_OUT_MAC, ETH_P_IPV6);
	at = put_ip6(&f, "fe80::2:1", "ff02::1:ff00:99", chain[0]);
	for (; *chain != IPPROTO_ICMPV6; chain++) {
		bool options = *chain == IPPROTO_HOPOPTS || *chain == IPPROTO_DSTOPTS;
		/* An option that fills, or a routing header without segments. */
		uint8_t head[8] = {chain[1], 0, options ? 1 : 0, options ? 4 : 0};

		ifp_frame_put(&f, head, sizeof(head));
	}
	ifp_frame_put(&f, body, sizeof(body));
	ifp_frame_put(&f, e->magic, MAGIC_LEN);
	end_ip6(&f, at);
	return ifp_packet_send(e, &f, ETH_P_IPV6, false);
}

/* A router that says outside that in0's network is there. */
static int advertise(const struct env *e, int arg)
{
	uint8_t body[56] = {ND_ROUTER_ADVERT, [4] = 64, [16] = 5, [17] = 1, [22] = 5, [23] = 0xdc,
		[24] = 3, [25] = 4, [26] = 64, [27] = 0xc0, [30] = 7, [34] = 7};
	struct frame f;
	size_t at;

	(void)arg;
	inet_pton(AF_INET6, "fd00:1::", body + 40);
	ifp_frame_begin(&f, "\x33\x33\x00\x00\x00\x01", LAB_OUT_MAC, ETH_P_IPV6);
	at = put_ip6(&f, "fe80::2:1", "ff02::1", IPPROTO_ICMPV6);
	ifp_frame_put(&f, body, sizeof(body));
	ifp_frame_put(&f, e->magic, MAGIC_LEN);
	end_ip6(&f, at);
	return ifp_packet_send(e, &f, ETH_P_IPV6, false);
}

/* A segment of a routing header lies behind in0, RFC 8754. */
static int segments(const struct env *e, int arg)
{
	uint8_t head[40] = {59, 4, 4, 1, 1};
	struct frame f;
	size_t at;

	(void)arg;
	inet_pton(AF_INET6, LAB_PEER_IN6, head + 8);
	inet_pton(AF_INET6, LAB_PEER6, head + 24);
	ifp_frame_begin(&f, LAB_PEER_MAC, LAB_OUT_MAC, ETH_P_IPV6);
	at = put_ip6(&f, OUT6, LAB_PEER6, IPPROTO_ROUTING);
	ifp_frame_put(&f, head, sizeof(head));
	ifp_frame_put(&f, e->magic, MAGIC_LEN);
	end_ip6(&f, at);
	return ifp_packet_send(e, &f, ETH_P_IPV6, false);
}

/* The host's own: on the way first to the peer behind out0, and then to that behind in0. */
static int source_route(const struct env *e, int arg)
{
	uint8_t option[8] = {IPOPT_NOP, IPOPT_LSRR, 7, 4};
	struct target to = ifp_target(LAB_PEER_IN4, e->port, 0);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)arg;
	inet_pton(AF_INET, LAB_PEER4, option + 4);
	if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_OPTIONS, option, sizeof(option)))
		return -errno;
	return sendto(fd, e->magic, MAGIC_LEN, 0, (struct sockaddr *)&to.ss, to.len) < 0 ? -errno
											 : 0;
}

/* ---- inside of packets ---- */

enum { IN4_IN4, IN6_IN4, IN4_IN6, IN6_IN6, BEHIND_OPTIONS, GRE, GRE_ETHER, ETHER_IN6 };

static void put_ip4(struct frame *f, uint8_t protocol, size_t len)
{
	uint8_t ip[20] = {0x45, [3] = (uint8_t)(20 + len), [8] = 64, [9] = protocol};
	uint16_t sum;

	inet_pton(AF_INET, LAB_OUT4, ip + 12);
	inet_pton(AF_INET, LAB_PEER4, ip + 16);
	sum = ifp_checksum(ip, sizeof(ip));
	memcpy(ip + 10, &sum, 2);
	ifp_frame_put(f, ip, sizeof(ip));
}

/* All of these bear no address of in0 in their outer header. */
static int wrapped(const struct env *e, int how)
{
	static const uint8_t options[] = {IPPROTO_IPIP, 0, 1, 4, 0, 0, 0, 0};
	/* With a key, and the type of IP or of Ethernet. */
	static const uint8_t gre[] = {0x20, 0, 8, 0, 0, 0, 0, 7}, gre_ether[] = {0, 0, 0x65, 0x58};
	static const uint8_t ether[] = {2, 0, 0, 0, 2, 2, 2, 0, 0, 0, 1, 1, 8, 0};
	bool four = how == IN4_IN4 || how == IN6_IN4 || how == GRE || how == GRE_ETHER;
	bool six = how == IN6_IN4 || how == IN6_IN6;
	struct frame f;
	size_t at;

	ifp_frame_begin(&f, LAB_PEER_MAC, LAB_OUT_MAC, four ? ETH_P_IP : ETH_P_IPV6);
	at = f.len;
	if (how == GRE || how == GRE_ETHER)
		put_ip4(&f, IPPROTO_GRE, how == GRE ? 8 + 44 : 4 + 14 + 44);
	else if (four)
		put_ip4(&f, six ? IPPROTO_IPV6 : IPPROTO_IPIP, six ? 64 : 44);
	else
		put_ip6(&f, OUT6, LAB_PEER6,
			six			? IPPROTO_IPV6
			: how == BEHIND_OPTIONS ? IPPROTO_DSTOPTS
			: how == ETHER_IN6	? 143
						: IPPROTO_IPIP);
	if (how == GRE)
		ifp_frame_put(&f, gre, sizeof(gre));
	if (how == GRE_ETHER)
		ifp_frame_put(&f, gre_ether, sizeof(gre_ether));
	if (how == BEHIND_OPTIONS)
		ifp_frame_put(&f, options, sizeof(options));
	if (how == GRE_ETHER || how == ETHER_IN6)
		ifp_frame_put(&f, ether, sizeof(ether));
	in_packet(&f, e, six);
	if (!four)
		end_ip6(&f, at);
	return ifp_packet_send(e, &f, four ? ETH_P_IP : ETH_P_IPV6, false);
}

/* ---- wrapped up by a route of the kernel, without a device for that ---- */

static void seg6(struct nlmsghdr *nlh)
{
	/* As struct seg6_iptunnel_encap, which ends in an array and so can be no member. */
	struct {
		int mode;
		uint8_t srh[8], segment[16];
	} way = {.mode = SEG6_IPTUN_MODE_ENCAP, .srh = {0, 2, 4}};

	inet_pton(AF_INET6, LAB_PEER6, way.segment);
	mnl_attr_put(nlh, SEG6_IPTUNNEL_SRH, sizeof(way), &way);
}

static void mpls(struct nlmsghdr *nlh)
{
	static const uint8_t label[] = {0, 6, 0x41, 0};

	mnl_attr_put(nlh, MPLS_IPTUNNEL_DST, sizeof(label), label);
}

static int route(const struct env *e, bool add, bool labels)
{
	uint8_t dst[16], via[16];
	char buf[512];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct rtmsg *rtm;
	struct nlattr *nest;

	nlh->nlmsg_type = add ? RTM_NEWROUTE : RTM_DELROUTE;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | (add ? NLM_F_CREATE : 0);
	rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	*rtm = (struct rtmsg){.rtm_family = AF_INET6,
		.rtm_dst_len = 128,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_type = RTN_UNICAST};
	inet_pton(AF_INET6, LAB_FAR6, dst);
	inet_pton(AF_INET6, LAB_PEER6, via);
	mnl_attr_put(nlh, RTA_DST, 16, dst);
	mnl_attr_put(nlh, RTA_GATEWAY, 16, via);
	mnl_attr_put_u32(nlh, RTA_OIF, e->out_index);
	mnl_attr_put_u16(nlh, RTA_ENCAP_TYPE, labels ? LWTUNNEL_ENCAP_MPLS : LWTUNNEL_ENCAP_SEG6);
	nest = mnl_attr_nest_start(nlh, RTA_ENCAP);
	(labels ? mpls : seg6)(nlh);
	mnl_attr_nest_end(nlh, nest);
	return ifp_nl_talk(nlh, NULL, NULL);
}

static int encap(const struct env *e, int labels)
{
	int r = route(e, true, labels), undone;

	if (r == -EOPNOTSUPP)
		return -EPROTONOSUPPORT;
	if (r)
		return r;
	r = ifp_host_say(e, LAB_IN6, LAB_FAR6);
	undone = route(e, false, labels);
	return r ?: undone;
}

#define CLASS "host"
const struct attempt ifp_battery_host_form[] = {
	{"host-snap", CLASS, "IP in a frame of IEEE 802.3", "RFC 1042", formed, SNAP, HOST},
	{"host-snap-bypass", CLASS, "the same past the queueing discipline", "RFC 1042, packet(7)",
		formed, SNAP | BYPASS, HOST},
	{"host-snap-other", CLASS, "IPv6 with the number of another organization",
		"IEEE 802-2014 9.5", formed, SNAP_OTHER, HOST},
	{"host-snap-vlan", CLASS, "IP in a frame of IEEE 802.3 behind a tag",
		"RFC 1042, IEEE 802.1Q", formed, TAG_SNAP, HOST},
	{"host-llc", CLASS, "IP with its own number of IEEE 802.2", "RFC 948", formed, LLC, HOST},
	{"host-llc-bypass", CLASS, "the same past the queueing discipline", "RFC 948, packet(7)",
		formed, LLC | BYPASS, HOST},
	{"host-bridge-snap", CLASS, "a frame of IEEE 802.3 over a bridge of in0 and out0",
		"bridge(8), RFC 1042", bridged, SNAP, HOST},
	{"host-bridge-llc", CLASS, "the same with the number of IEEE 802.2", "bridge(8), RFC 948",
		bridged, LLC, HOST},
	{"host-pppoe-short", CLASS, "in a PPPoE session with a protocol of one byte",
		"RFC 1661 6.5", formed, PPP_SHORT, HOST},
	{"host-pppoe-short6", CLASS, "the same, IPv6", "RFC 1661 6.5", formed, PPP_SHORT6, HOST},
	{"host-pppoe-short-bypass", CLASS, "the same past the queueing discipline",
		"RFC 1661 6.5, packet(7)", formed, PPP_SHORT6 | BYPASS, HOST},
	{"host-tag-9200", CLASS, "behind a tag of type 0x9200", "bridge makers' tags", formed,
		TAG_9200, HOST},
	{"host-tag-9300", CLASS, "behind a tag of type 0x9300", "bridge makers' tags", formed,
		TAG_9300, HOST},
	{"host-rarp", CLASS, "a RARP request in the name of in0", "RFC 903", rarp, 0, HOST},
	{"host-pbb", CLASS, "behind the tag of a provider's backbone", "IEEE 802.1ah", formed, PBB,
		HOST | NEEDS_TC},
	{"host-teb", CLASS, "a frame inside of a frame", "linux/if_ether.h, ETH_P_TEB", formed, TEB,
		HOST | NEEDS_TC},
	{"host-nsh", CLASS, "behind a network service header", "RFC 8300", formed, NSH,
		HOST | NEEDS_TC},
	{"host-mpls", CLASS, "behind a label of MPLS", "RFC 3032", formed, MPLS, HOST | NEEDS_TC},
	{"host-mpls-stack", CLASS, "behind three labels, IPv6", "RFC 3032", formed, MPLS_STACK,
		HOST | NEEDS_TC},
	{"host-solicit-hops", CLASS, "a solicitation behind hop-by-hop options", "RFC 8200 4.3",
		solicit_behind, 0, HOST | NEEDS_TC},
	{"host-solicit-routing", CLASS, "a solicitation behind a routing header", "RFC 8200 4.4",
		solicit_behind, 1, HOST | NEEDS_TC},
	{"host-solicit-fragment", CLASS, "a solicitation in a fragment that is all of it",
		"RFC 6980", solicit_behind, 2, HOST | NEEDS_TC},
	{"host-solicit-options", CLASS, "a solicitation behind destination options", "RFC 8200 4.6",
		solicit_behind, 3, HOST | NEEDS_TC},
	{"host-solicit-chain", CLASS, "a solicitation behind all four", "RFC 8200 4.1",
		solicit_behind, 4, HOST | NEEDS_TC},
	{"host-advertise", CLASS, "a router that says that in0's network is on out0",
		"RFC 4861 4.6.2", advertise, 0, HOST | NEEDS_TC},
	{"host-segments", CLASS, "a segment route over a neighbour behind in0", "RFC 8754 2",
		segments, 0, HOST | NEEDS_TC},
	{"host-source-route", CLASS, "a source route that ends at a neighbour behind in0",
		"RFC 791 3.1, ip(7)", source_route, 0, HOST | NEEDS_TC},
	{"host-4in4", CLASS, "inside of IPv4", "RFC 2003", wrapped, IN4_IN4, HOST | NEEDS_TC},
	{"host-6in4", CLASS, "IPv6 inside of IPv4", "RFC 4213", wrapped, IN6_IN4, HOST | NEEDS_TC},
	{"host-4in6", CLASS, "inside of IPv6", "RFC 2473", wrapped, IN4_IN6, HOST | NEEDS_TC},
	{"host-6in6", CLASS, "IPv6 inside of IPv6", "RFC 2473", wrapped, IN6_IN6, HOST | NEEDS_TC},
	{"host-4in6-options", CLASS, "inside of IPv6, behind destination options", "RFC 2473 5.1",
		wrapped, BEHIND_OPTIONS, HOST | NEEDS_TC},
	{"host-gre", CLASS, "behind GRE with a key", "RFC 2890", wrapped, GRE, HOST | NEEDS_TC},
	{"host-gre-ether", CLASS, "in a frame behind GRE", "RFC 1701", wrapped, GRE_ETHER,
		HOST | NEEDS_TC},
	{"host-ether-in6", CLASS, "in a frame inside of IPv6", "RFC 8986 4.9", wrapped, ETHER_IN6,
		HOST | NEEDS_TC},
	{"host-route-seg6", CLASS, "wrapped up by a route with segments", "ip-route(8), encap seg6",
		encap, 0, HOST | NEEDS_TC},
	{"host-route-mpls", CLASS, "labelled by a route", "ip-route(8), encap mpls", encap, 1,
		HOST | NEEDS_TC},
	{},
};
