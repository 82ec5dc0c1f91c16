// SPDX-License-Identifier: MIT
/* What the host does by itself, because it was set up so: forwarding, translating, copying. */
#include "host.h"

#include "base/nl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

#define FORWARD4 "/proc/sys/net/ipv4/ip_forward"
#define FORWARD6 "/proc/sys/net/ipv6/conf/all/forwarding"

static int done(const struct env *e, int r)
{
	ifp_host_clean(e);
	return r;
}

/* A packet comes from the peer behind in0, or behind out0. */
static int from_peer(const struct env *e, bool in, const char *src, const char *dst, bool echo)
{
	struct frame f;
	int r, ns = in ? e->ns_in : e->ns_out;

	ifp_frame_begin(&f, in ? IN_MAC : LAB_OUT_MAC, in ? IN_PEER_MAC : LAB_PEER_MAC,
		strchr(src, ':') ? ETH_P_IPV6 : ETH_P_IP);
	ifp_frame_packet(&f, e, src, dst, echo);
	r = ifp_inject(e, ns, &f);
	return r ?: ifp_settle(e, ns, in ? LAB_IN : LAB_OUT);
}

static int forward(const struct env *e, int six)
{
	int r = ifp_lab_sysctl(six ? FORWARD6 : FORWARD4, "1");

	r = r
		    ?: six ? from_peer(e, true, LAB_PEER_IN6, LAB_PEER6, false)
			   : from_peer(e, true, LAB_PEER_IN4, LAB_PEER4, false);
	return done(e, r);
}

/* Forwarding with rules of somebody else's. */
static int forward_with(const struct env *e, const char *family, const char *rules, const char *dst)
{
	int r = ifp_lab_sysctl(FORWARD4, "1") ?: ifp_rules(family, rules);

	return done(e, r ?: from_peer(e, true, LAB_PEER_IN4, dst, false));
}

static int masquerade(const struct env *e, int arg)
{
	(void)arg;
	return forward_with(e, "ip",
		"chain c { type nat hook postrouting priority srcnat;\n oifname out0 masquerade\n }",
		LAB_PEER4);
}

static int dnat(const struct env *e, int arg)
{
	(void)arg;
	return forward_with(e, "ip",
		"chain c { type nat hook prerouting priority dstnat;\n iifname in0 dnat to 10.0.2.2\n }",
		LAB_IN4);
}

/* Both ends are exchanged, so that nothing of in0 is on the wire. */
static int dnat_masquerade(const struct env *e, int arg)
{
	(void)arg;
	return forward_with(e, "ip",
		"chain c { type nat hook prerouting priority dstnat;\n iifname in0 dnat to 10.0.2.2\n }\n"
		"chain d { type nat hook postrouting priority srcnat;\n oifname out0 masquerade\n }",
		LAB_IN4);
}

enum { SNAT, SET_LAST, SET_EGRESS, SET_FIRST, DNAT_LOCAL };

/* Rules that turn other traffic of the host into in0's, or the other way round. */
static int rewrite(const struct env *e, int how)
{
	static const struct {
		const char *family, *rules, *dst;
	} ways[] = {
		[SNAT] = {"ip",
			"chain c { type nat hook postrouting priority srcnat;\n oifname out0 snat to "
			"10.0.1.1\n }",
			LAB_PEER4},
		[SET_LAST] = {"ip",
			"chain c { type filter hook postrouting priority 2147483647;\n oifname out0 ip "
			"saddr set 10.0.1.1\n }",
			LAB_PEER4},
		[SET_EGRESS] = {"netdev",
			"chain c { type filter hook egress device \"out0\" priority 2147483647;\n ip "
			"saddr 10.0.2.1 ip saddr set 10.0.1.1\n }",
			LAB_PEER4},
		[SET_FIRST] = {"ip",
			"chain c { type filter hook output priority -2147483648;\n ip daddr 10.0.2.2 ip "
			"saddr set 10.0.1.1\n }",
			LAB_PEER4},
		[DNAT_LOCAL] = {"ip",
			"chain c { type nat hook output priority -100;\n ip daddr 10.0.1.2 dnat to "
			"10.0.2.2\n }",
			LAB_PEER_IN4},
	};
	int r = ifp_rules(ways[how].family, ways[how].rules);

	return done(e, r ?: ifp_host_say(e, LAB_OUT4, ways[how].dst));
}

enum { TEE, DUP_EGRESS, DUP_INGRESS, FWD_INGRESS };

/* Rules that copy what is on in0, or lead it over. */
static int copy(const struct env *e, int how)
{
	static const struct {
		const char *family, *rules;
	} ways[] = {
		[TEE] = {"ip",
			"chain c { type filter hook prerouting priority 0;\n iifname in0 dup to 10.0.2.2 "
			"device out0\n }"},
		[DUP_EGRESS] = {"netdev",
			"chain c { type filter hook egress device \"in0\" priority 0;\n dup to \"out0\"\n }"},
		[DUP_INGRESS] = {"netdev",
			"chain c { type filter hook ingress device \"in0\" priority 0;\n dup to \"out0\"\n }"},
		[FWD_INGRESS] = {"netdev",
			"chain c { type filter hook ingress device \"in0\" priority 0;\n ip daddr 10.0.1.1 "
			"fwd to \"out0\"\n }"},
	};
	int r = ifp_rules(ways[how].family, ways[how].rules);

	if (!r && how == DUP_EGRESS)
		r = ifp_host_say(e, LAB_IN4, LAB_PEER_IN4);
	else if (!r)
		r = from_peer(e, true, LAB_PEER_IN4, LAB_IN4, false);
	return done(e, r);
}

static int mirror(const struct env *e, int ingress)
{
	int r = ifp_mirror(ingress, LAB_IN, LAB_OUT);

	if (!r)
		r = ingress ? from_peer(e, true, LAB_PEER_IN4, LAB_IN4, false)
			    : ifp_host_say(e, LAB_IN4, LAB_PEER_IN4);
	return done(e, r);
}

static int bridge(const struct env *e, int with_arp)
{
	struct frame f;

	ifp_frame_begin(&f, with_arp ? BROADCAST : LAB_PEER_MAC, IN_PEER_MAC,
		with_arp ? ETH_P_ARP : ETH_P_IP);
	if (with_arp)
		ifp_frame_arp(&f, false, LAB_PEER_IN4, LAB_IN4);
	else
		ifp_frame_packet(&f, e, LAB_PEER_IN4, LAB_PEER4, false);
	return ifp_bridged(e, &f);
}

/* From in0's address, by a device that is new, which a fence has not heard of. */
static int new_device(const struct env *e, int kind)
{
	static const char *const kinds[] = {"veth", "macvlan", "vxlan"};
	struct target from = ifp_target(LAB_IN4, 0, 0),
		      to = ifp_target("255.255.255.255", e->port, 0);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int on = 1,
	    r = ifp_new_link(e, kinds[kind], kind ? e->out_index : 0, kind ? -1 : e->ns_out);

	if (r == -EOPNOTSUPP)
		return done(e, -EPROTONOSUPPORT);
	if (!r &&
		(fd < 0 ||
			setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, NEW_LINK, sizeof(NEW_LINK)) ||
			setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)) ||
			bind(fd, (struct sockaddr *)&from.ss, from.len) ||
			sendto(fd, e->magic, MAGIC_LEN, 0, (struct sockaddr *)&to.ss, to.len) < 0))
		r = -errno;
	return done(e, r);
}

/* The weak host model: an address of in0 is asked for on the other device. */
static int weak(const struct env *e, int six)
{
	return six ? from_peer(e, false, LAB_PEER6, LAB_IN6, true)
		   : from_peer(e, false, LAB_PEER4, LAB_IN4, true);
}

/* ARP flux: who has an address of in0 is asked on the other device. */
static int flux(const struct env *e, int arg)
{
	struct frame f;

	(void)arg;
	ifp_frame_begin(&f, BROADCAST, LAB_PEER_MAC, ETH_P_ARP);
	ifp_frame_arp(&f, false, LAB_PEER4, LAB_IN4);
	return ifp_inject(e, e->ns_out, &f) ?: ifp_settle(e, e->ns_out, LAB_OUT);
}

/* Somebody outside in the name of a neighbour behind in0; the answer goes there. */
static int spoofed(const struct env *e, int forwarded)
{
	int r = forwarded ? ifp_lab_sysctl(FORWARD4, "1") : 0;

	r = r ?: from_peer(e, false, LAB_PEER_IN4, forwarded ? "10.0.1.2" : LAB_OUT4, !forwarded);
	return done(e, r);
}

/* A route that leads to the network behind in0 by the other device: the kernel asks there. */
static int wrong_route(const struct env *e, int six)
{
	const char *far = six ? "fd00:1::aa" : "10.0.1.170";
	uint8_t dst[16];
	char buf[256];
	struct nlmsghdr *nlh;
	struct rtmsg *rtm;
	int r = 0, again = 0;

	inet_pton(six ? AF_INET6 : AF_INET, far, dst);
	do {
		nlh = mnl_nlmsg_put_header(buf);
		nlh->nlmsg_type = again ? RTM_DELROUTE : RTM_NEWROUTE;
		nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | (again ? 0 : NLM_F_CREATE);
		rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
		memset(rtm, 0, sizeof(*rtm));
		rtm->rtm_family = six ? AF_INET6 : AF_INET;
		rtm->rtm_dst_len = six ? 128 : 32;
		rtm->rtm_table = RT_TABLE_MAIN;
		rtm->rtm_type = RTN_UNICAST;
		rtm->rtm_scope = RT_SCOPE_LINK;
		mnl_attr_put(nlh, RTA_DST, six ? 16 : 4, dst);
		mnl_attr_put_u32(nlh, RTA_OIF, e->out_index);
		r = ifp_nl_talk(nlh, NULL, NULL) ?: r;
		if (!again && !r)
			r = ifp_host_say(e, six ? "fd00:2::1" : LAB_OUT4, far);
	} while (!again++);
	return r;
}

#define CLASS "host"
#define FLAGS HOST
const struct attempt ifp_battery_host_net[] = {
	{"host-forward4", CLASS, "a packet from behind in0 that the host forwards", "RFC 1812 5.2",
		forward, 0, FLAGS},
	{"host-forward6", CLASS, "the same, IPv6", "RFC 8200 3", forward, 1, FLAGS},
	{"host-masquerade", CLASS, "forwarded and translated, so that out0's address is on it",
		"nft(8), masquerade", masquerade, 0, FLAGS},
	{"host-dnat", CLASS, "sent to in0's address, and led outside by a translation",
		"nft(8), dnat", dnat, 0, FLAGS},
	{"host-dnat-masquerade", CLASS, "both of these", "nft(8)", dnat_masquerade, 0, FLAGS},
	{"host-dnat-local", CLASS, "sent by the host to a neighbour behind in0, and led outside",
		"nft(8), dnat", rewrite, DNAT_LOCAL, FLAGS},
	{"host-snat", CLASS, "other traffic that is given in0's address", "nft(8), snat", rewrite,
		SNAT, FLAGS},
	{"host-set-first", CLASS, "in0's address written into it before all other rules",
		"nft(8), payload statement", rewrite, SET_FIRST, FLAGS},
	{"host-set-last", CLASS, "the same after all other rules of IP",
		"nft(8), payload statement", rewrite, SET_LAST, FLAGS},
	{"host-set-egress", CLASS, "the same at the egress of out0, with the last priority",
		"nft(8), payload statement", rewrite, SET_EGRESS, FLAGS},
	{"host-tee", CLASS, "what comes in by in0, copied to a neighbour outside", "nft(8), dup",
		copy, TEE, FLAGS},
	{"host-dup-egress", CLASS, "what leaves by in0, copied to out0", "nft(8), dup", copy,
		DUP_EGRESS, FLAGS},
	{"host-dup-ingress", CLASS, "what comes in by in0, copied to out0", "nft(8), dup", copy,
		DUP_INGRESS, FLAGS},
	{"host-fwd", CLASS, "what comes in by in0, led to out0", "nft(8), fwd", copy, FWD_INGRESS,
		FLAGS},
	{"host-mirror-egress", CLASS, "what leaves by in0, mirrored to out0 by traffic control",
		"tc-mirred(8)", mirror, 0, FLAGS | NEEDS_TC},
	{"host-mirror-ingress", CLASS, "what comes in by in0, mirrored to out0 by traffic control",
		"tc-mirred(8)", mirror, 1, FLAGS | NEEDS_TC},
	{"host-bridge", CLASS, "in0 and out0 are ports of one bridge", "bridge(8)", bridge, 0,
		FLAGS},
	{"host-bridge-arp", CLASS, "an ARP request over such a bridge", "bridge(8), RFC 826",
		bridge, 1, FLAGS | TELLS},
	{"host-hotplug", CLASS, "the first packet on a device that was just made", "veth(4)",
		new_device, 0, FLAGS},
	{"host-macvlan", CLASS, "a macvlan over out0", "ip-link(8), macvlan", new_device, 1, FLAGS},
	{"host-vxlan", CLASS, "a VXLAN over out0", "RFC 7348", new_device, 2, FLAGS},
	{"host-weak4", CLASS, "an answer from in0's address to who asked by out0",
		"RFC 1122 3.3.4.2", weak, 0, FLAGS},
	{"host-weak6", CLASS, "the same, IPv6", "RFC 1122 3.3.4.2", weak, 1, FLAGS},
	{"host-arp-flux", CLASS, "an ARP reply for in0's address by out0",
		"Documentation/networking/ip-sysctl.rst, arp_ignore", flux, 0, FLAGS | TELLS},
	{"host-spoofed", CLASS, "an answer to who claims, outside, to be behind in0", "RFC 3704",
		spoofed, 0, FLAGS | AT_IN},
	{"host-spoofed-forward", CLASS, "the same, forwarded to the network behind in0", "RFC 3704",
		spoofed, 1, FLAGS | AT_IN},
	{"host-asks4", CLASS, "the kernel asks outside for a neighbour behind in0", "RFC 826",
		wrong_route, 0, FLAGS | TELLS},
	{"host-asks6", CLASS, "the same, IPv6", "RFC 4861 7.2.2", wrong_route, 1, FLAGS | TELLS},
	{},
};
