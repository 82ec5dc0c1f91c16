// SPDX-License-Identifier: MIT
#include "host.h"

#include "base/nl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <nftables/libnftables.h>
#include <sched.h>
#include <string.h>

#ifndef PACKET_QDISC_BYPASS
#define PACKET_QDISC_BYPASS 20
#endif

/* ---- frames ---- */

void ifp_frame_put(struct frame *f, const void *bytes, size_t n)
{
	memcpy(f->bytes + f->len, bytes, n);
	f->len += n;
}

void ifp_frame_begin(struct frame *f, const char *dst, const char *src, uint16_t type)
{
	uint16_t t = htons(type);

	f->len = 0;
	ifp_frame_put(f, dst, 6);
	ifp_frame_put(f, src, 6);
	ifp_frame_put(f, &t, 2);
}

static void packet6(
	struct frame *f, const char *src, const char *dst, uint8_t next, const void *body, size_t n)
{
	struct ip6_hdr ip = {.ip6_plen = htons((uint16_t)n), .ip6_nxt = next, .ip6_hlim = 64};
	struct {
		struct in6_addr src, dst;
		uint32_t len, next;
		uint8_t body[256];
	} sum = {.len = htonl((uint32_t)n), .next = htonl(next)};
	uint8_t copy[256];
	/* Both ICMPv6 and UDP have their sum within the first eight bytes. */
	size_t at = next == IPPROTO_UDP ? 6 : 2;
	uint16_t check;

	ip.ip6_vfc = 0x60;
	inet_pton(AF_INET6, src, &ip.ip6_src);
	inet_pton(AF_INET6, dst, &ip.ip6_dst);
	/* Neighbour discovery counts only with all of its hops left. */
	if (next == IPPROTO_ICMPV6 && *(const uint8_t *)body == ND_NEIGHBOR_SOLICIT)
		ip.ip6_hlim = 255;
	sum.src = ip.ip6_src;
	sum.dst = ip.ip6_dst;
	memcpy(sum.body, body, n);
	check = ifp_checksum(&sum, 40 + n + (n & 1));
	memcpy(copy, body, n);
	memcpy(copy + at, &check, 2);
	ifp_frame_put(f, &ip, sizeof(ip));
	ifp_frame_put(f, copy, n);
}

static void echo4(struct frame *f, const struct env *e, const char *src, const char *dst)
{
	uint8_t buf[128];
	size_t len = ifp_udp4_packet(e, buf, src, dst);
	struct iphdr *ip = (struct iphdr *)buf;
	struct icmphdr icmp = {.type = ICMP_ECHO};

	ip->protocol = IPPROTO_ICMP;
	ip->check = 0;
	ip->check = ifp_checksum(ip, sizeof(*ip));
	memcpy(buf + 20, &icmp, sizeof(icmp));
	icmp.checksum = ifp_checksum(buf + 20, len - 20);
	memcpy(buf + 20, &icmp, sizeof(icmp));
	ifp_frame_put(f, buf, len);
}

void ifp_frame_packet(
	struct frame *f, const struct env *e, const char *src, const char *dst, bool echo)
{
	uint8_t buf[128];

	if (!strchr(src, ':')) {
		if (echo)
			echo4(f, e, src, dst);
		else
			ifp_frame_put(f, buf, ifp_udp4_packet(e, buf, src, dst));
		return;
	}
	memset(buf, 0, 8);
	if (echo) {
		buf[0] = ICMP6_ECHO_REQUEST;
	} else {
		buf[0] = buf[2] = (uint8_t)(e->port >> 8);
		buf[1] = buf[3] = (uint8_t)e->port;
		buf[5] = 8 + MAGIC_LEN;
	}
	memcpy(buf + 8, e->magic, MAGIC_LEN);
	packet6(f, src, dst, echo ? IPPROTO_ICMPV6 : IPPROTO_UDP, buf, 8 + MAGIC_LEN);
}

void ifp_frame_arp(struct frame *f, bool reply, const char *sender, const char *target)
{
	static const uint8_t head[] = {0, 1, 8, 0, 6, 4, 0};
	uint8_t op = reply ? 2 : 1, a[4];

	ifp_frame_put(f, head, sizeof(head));
	ifp_frame_put(f, &op, 1);
	ifp_frame_put(f, f->bytes + 6, 6);
	inet_pton(AF_INET, sender, a);
	ifp_frame_put(f, a, 4);
	ifp_frame_put(f, "\0\0\0\0\0\0", 6);
	inet_pton(AF_INET, target, a);
	ifp_frame_put(f, a, 4);
}

void ifp_frame_solicit(struct frame *f, const char *src, const char *target)
{
	uint8_t body[32] = {ND_NEIGHBOR_SOLICIT, [24] = 1, [25] = 1};
	char group[INET6_ADDRSTRLEN];

	inet_pton(AF_INET6, target, body + 8);
	memcpy(body + 26, f->bytes + 6, 6);
	snprintf(group, sizeof(group), "ff02::1:ff%02x:%02x%02x", body[21], body[22], body[23]);
	packet6(f, src, group, IPPROTO_ICMPV6, body, sizeof(body));
}

/* ---- senders ---- */

/* A packet socket on a device of a namespace; the caller stays in the host's. */
static int packet_socket(const struct env *e, int ns, const char *device, uint16_t protocol)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_protocol = htons(protocol)};
	struct timeval tv = {.tv_sec = 5};
	_cleanup_close_ int fd = -1;
	int r = 0;

	if (setns(ns, CLONE_NEWNET))
		return -errno;
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	ll.sll_ifindex = (int)if_nametoindex(device);
	if (fd < 0 || !ll.sll_ifindex || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) ||
		bind(fd, (struct sockaddr *)&ll, sizeof(ll)))
		r = -errno;
	if (setns(e->ns_host, CLONE_NEWNET))
		return -errno;
	return r ?: ifp_take_fd(&fd);
}

int ifp_inject(const struct env *e, int ns, const struct frame *f)
{
	_cleanup_close_ int fd = packet_socket(e, ns, "eth0", 0);

	if (fd < 0)
		return fd;
	return send(fd, f->bytes, f->len, 0) < 0 ? -errno : 0;
}

int ifp_settle(const struct env *e, int ns, const char *device)
{
	_cleanup_close_ int fd = packet_socket(e, e->ns_host, device, ETH_P_ALL);
	struct frame f;
	uint8_t buf[2048];

	if (fd < 0)
		return fd;
	/* What a frame caused is queued behind the first of these, and before the second. */
	for (uint8_t i = 0; i < 2; i++) {
		int r;

		ifp_frame_begin(&f, IN_MAC, IN_PEER_MAC, 0x88b6);
		ifp_frame_put(&f, e->magic, 4);
		ifp_frame_put(&f, &i, 1);
		r = ifp_inject(e, ns, &f);
		if (r)
			return r;
		for (;;) {
			ssize_t n = recv(fd, buf, sizeof(buf), 0);

			if (n < 0)
				return -errno;
			if ((size_t)n >= f.len && !memcmp(buf + 12, f.bytes + 12, f.len - 12))
				break;
		}
	}
	return 0;
}

int ifp_host_say(const struct env *e, const char *src, const char *dst)
{
	struct target from = ifp_target(src, 0, 0), to = ifp_target(dst, e->port, 0);
	_cleanup_close_ int fd = socket(from.ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0 || bind(fd, (struct sockaddr *)&from.ss, from.len))
		return -errno;
	r = sendto(fd, e->magic, MAGIC_LEN, 0, (struct sockaddr *)&to.ss, to.len) < 0 ? -errno : 0;
	return r;
}

int ifp_packet_send(const struct env *e, const struct frame *f, uint16_t protocol, bool bypass)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET,
		.sll_protocol = htons(protocol),
		.sll_ifindex = (int)e->out_index,
		.sll_halen = 6};
	_cleanup_close_ int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	int on = bypass;

	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)))
		return -errno;
	/* A send that is dropped says ENOBUFS past the queueing discipline. */
	return sendto(fd, f->bytes, f->len, 0, (struct sockaddr *)&ll, sizeof(ll)) < 0 ? -errno : 0;
}

/* ---- the host's settings ---- */

int ifp_lab_sysctl(const char *path, const char *value)
{
	return ifp_write_file(AT_FDCWD, path, value);
}

static int nft(const char *text)
{
	struct nft_ctx *ctx = nft_ctx_new(NFT_CTX_DEFAULT);
	int r;

	if (!ctx)
		return -ENOMEM;
	nft_ctx_buffer_error(ctx);
	nft_ctx_buffer_output(ctx);
	r = nft_run_cmd_from_buffer(ctx, text);
	nft_ctx_free(ctx);
	/* The laboratory is ours: what is refused is not known to this kernel. */
	return r ? -EPROTONOSUPPORT : 0;
}

int ifp_rules(const char *family, const char *rules)
{
	char text[1024];

	snprintf(text, sizeof(text), "table %s attempt {\n%s\n}\n", family, rules);
	return nft(text);
}

static struct nlmsghdr *link_request(char *buf, uint16_t type, uint16_t flags, uint32_t ifindex)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_index = (int)ifindex;
	return nlh;
}

static void veth_peer(struct nlmsghdr *nlh, int ns)
{
	struct nlattr *peer = mnl_attr_nest_start(nlh, VETH_INFO_PEER);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));

	memset(ifi, 0, sizeof(*ifi));
	mnl_attr_put_strz(nlh, IFLA_IFNAME, NEW_LINK);
	mnl_attr_put_u32(nlh, IFLA_NET_NS_FD, (uint32_t)ns);
	mnl_attr_nest_end(nlh, peer);
}

/* A VXLAN to the peer behind out0, network 7. */
static void vxlan_data(struct nlmsghdr *nlh)
{
	struct in_addr a;

	inet_pton(AF_INET, LAB_PEER4, &a);
	mnl_attr_put_u32(nlh, IFLA_VXLAN_ID, 7);
	mnl_attr_put_u32(nlh, IFLA_VXLAN_GROUP, a.s_addr);
	mnl_attr_put_u16(nlh, IFLA_VXLAN_PORT, htons(4789));
	mnl_attr_put_u8(nlh, IFLA_VXLAN_LEARNING, 0);
}

static int link_on(uint32_t ifindex)
{
	char buf[128];
	struct nlmsghdr *nlh = link_request(buf, RTM_NEWLINK, 0, ifindex);
	struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);

	ifi->ifi_flags = ifi->ifi_change = IFF_UP;
	return ifp_nl_talk(nlh, NULL, NULL);
}

static int new_link(const struct env *e, const char *name, uint32_t ifindex, const char *kind,
	uint32_t lower, int peer_ns)
{
	char buf[512];
	struct nlmsghdr *nlh = link_request(buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifindex);
	struct nlattr *info, *data;
	int r;

	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	if (lower)
		mnl_attr_put_u32(nlh, IFLA_LINK, lower);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, kind);
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	if (!strcmp(kind, "veth"))
		veth_peer(nlh, peer_ns);
	else if (!strcmp(kind, "vxlan"))
		vxlan_data(nlh);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	r = ifp_nl_talk(nlh, NULL, NULL);
	if (r)
		return r;
	/* The other end first: then there is a carrier at once, and no packet is lost. */
	if (peer_ns >= 0) {
		if (setns(peer_ns, CLONE_NEWNET))
			return -errno;
		r = link_on(if_nametoindex(NEW_LINK));
		if (setns(e->ns_host, CLONE_NEWNET))
			return -errno;
	}
	return r ?: link_on(if_nametoindex(name));
}

int ifp_new_link(const struct env *e, const char *kind, uint32_t lower, int peer_ns)
{
	return new_link(e, NEW_LINK, 0, kind, lower, peer_ns);
}

static int move(uint32_t ifindex, int ns)
{
	char buf[128];
	struct nlmsghdr *nlh = link_request(buf, RTM_NEWLINK, 0, ifindex);

	mnl_attr_put_u32(nlh, IFLA_NET_NS_FD, (uint32_t)ns);
	return ifp_nl_talk(nlh, NULL, NULL);
}

/* A namespace of its own, where its index is free and so stays: none can be asked for before 5.13.
 */
int ifp_replace_in(const struct env *e, int *ret_away)
{
	_cleanup_close_ int away = -1;
	int r;

	if (unshare(CLONE_NEWNET))
		return -errno;
	away = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (away < 0 || setns(e->ns_host, CLONE_NEWNET))
		return -errno;
	r = move(e->in_index, away);
	if (r)
		return r;
	*ret_away = ifp_take_fd(&away);
	return new_link(e, LAB_IN, e->in_index, "veth", 0, e->ns_out);
}

int ifp_restore_in(const struct env *e, int away)
{
	char buf[128];
	int r = ifp_nl_talk(link_request(buf, RTM_DELLINK, 0, e->in_index), NULL, NULL);

	if (setns(away, CLONE_NEWNET))
		return -errno;
	r = move(e->in_index, e->ns_host) ?: r;
	if (setns(e->ns_host, CLONE_NEWNET))
		return -errno;
	return r ?: ifp_lab_in_again(e->in_index);
}

static int traffic_control(uint16_t type, uint16_t flags, struct tcmsg t, const char *kind,
	void (*fill)(struct nlmsghdr *nlh, const void *data), const void *data)
{
	char buf[512];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	memcpy(mnl_nlmsg_put_extra_header(nlh, sizeof(t)), &t, sizeof(t));
	mnl_attr_put_strz(nlh, TCA_KIND, kind);
	if (fill)
		fill(nlh, data);
	return ifp_nl_talk(nlh, NULL, NULL);
}

/* A u32 filter that everything matches, and mirrors. */
static void mirror_all(struct nlmsghdr *nlh, const void *data)
{
	/* One key behind the selector, all zero, which everything matches. */
	const struct tc_u32_sel sel = {.flags = TC_U32_TERMINAL, .nkeys = 1};
	uint8_t all[sizeof(sel) + sizeof(struct tc_u32_key)] = {};
	struct tc_mirred m = {.action = TC_ACT_PIPE,
		.eaction = TCA_EGRESS_MIRROR,
		.ifindex = *(const uint32_t *)data};
	struct nlattr *options = mnl_attr_nest_start(nlh, TCA_OPTIONS), *act, *one, *inner;

	memcpy(all, &sel, sizeof(sel));
	mnl_attr_put(nlh, TCA_U32_SEL, sizeof(all), all);
	act = mnl_attr_nest_start(nlh, TCA_U32_ACT);
	one = mnl_attr_nest_start(nlh, 1);
	mnl_attr_put_strz(nlh, TCA_ACT_KIND, "mirred");
	inner = mnl_attr_nest_start(nlh, TCA_ACT_OPTIONS);
	mnl_attr_put(nlh, TCA_MIRRED_PARMS, sizeof(m), &m);
	mnl_attr_nest_end(nlh, inner);
	mnl_attr_nest_end(nlh, one);
	mnl_attr_nest_end(nlh, act);
	mnl_attr_nest_end(nlh, options);
}

static struct tcmsg clsact(uint32_t ifindex)
{
	return (struct tcmsg){.tcm_ifindex = (int)ifindex,
		.tcm_parent = TC_H_CLSACT,
		.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0)};
}

int ifp_mirror(bool ingress, const char *from, const char *to)
{
	uint32_t index = if_nametoindex(from), target = if_nametoindex(to);
	struct tcmsg t = clsact(index);
	int r = traffic_control(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, t, "clsact", NULL, NULL);

	if (r)
		return r;
	t.tcm_parent = TC_H_MAKE(TC_H_CLSACT, ingress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
	t.tcm_handle = 0;
	t.tcm_info = TC_H_MAKE(1U << 16, htons(ETH_P_IP));
	return traffic_control(
		RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, t, "u32", mirror_all, &target);
}

void ifp_host_clean(const struct env *e)
{
	char buf[128];
	uint32_t made = if_nametoindex(NEW_LINK);

	nft("add table ip attempt\ndelete table ip attempt\n"
	    "add table netdev attempt\ndelete table netdev attempt\n");
	traffic_control(RTM_DELQDISC, 0, clsact(e->in_index), "clsact", NULL, NULL);
	if (made)
		ifp_nl_talk(link_request(buf, RTM_DELLINK, 0, made), NULL, NULL);
	ifp_lab_sysctl("/proc/sys/net/ipv4/ip_forward", "0");
	ifp_lab_sysctl("/proc/sys/net/ipv6/conf/all/forwarding", "0");
}

int ifp_bridged(const struct env *e, const struct frame *f)
{
	int r = ifp_new_link(e, "bridge", 0, -1);
	uint32_t br = if_nametoindex(NEW_LINK);

	r = r ?: ifp_set_master(e->in_index, br) ?: ifp_set_master(e->out_index, br);
	r = r ?: ifp_inject(e, e->ns_in, f) ?: ifp_settle(e, e->ns_in, LAB_IN);
	ifp_set_master(e->in_index, 0);
	ifp_set_master(e->out_index, 0);
	ifp_host_clean(e);
	return r;
}
