// SPDX-License-Identifier: MIT
/* Packets that stay on the host, or ask it something, and make the kernel itself send a frame. */
#include "internal.h"

#include "base/nl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/icmp.h>
#include <linux/ipv6.h>
#include <linux/rtnetlink.h>
#include <netinet/ip.h>
#include <string.h>

#define FREEBIND6 78

/* Of all that is in a sendmsg() only the source address is not the host's. */
static int freebind6(const struct env *e, int arg)
{
	struct target t = ifp_target(LAB_IN6, e->port, 0);
	_cleanup_close_ int fd = ifp_sock(e, AF_INET6, SOCK_DGRAM, 0);
	struct in6_pktinfo info = {};
	int on = 1;

	if (fd < 0)
		return fd;
	if (arg && setresuid(65534, 65534, 65534))
		return -errno;
	inet_pton(AF_INET6, LAB_PEER6, &info.ipi6_addr);
	if (setsockopt(fd, IPPROTO_IPV6, FREEBIND6, &on, sizeof(on)))
		return -errno;
	return ifp_send_cmsg(e, fd, &t, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
}

/* A reset goes to whoever the connection said it was from. */
static int freebind6_tcp(const struct env *e, int arg)
{
	struct target from = ifp_target(LAB_PEER6, e->port, 0), to = ifp_target(LAB_IN6, 9, 0);
	_cleanup_close_ int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	(void)arg;
	if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, FREEBIND6, &on, sizeof(on)) ||
		bind(fd, (struct sockaddr *)&from.ss, from.len) ||
		(connect(fd, (struct sockaddr *)&to.ss, to.len) && errno != EINPROGRESS))
		return -errno;
	return 0;
}

static int transparent4(const struct env *e, int arg)
{
	struct target from = ifp_target(LAB_PEER4, 0, 0), to = ifp_target(LAB_IN4, e->port, 0);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int on = 1;

	(void)arg;
	if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)) ||
		bind(fd, (struct sockaddr *)&from.ss, from.len))
		return -errno;
	return ifp_send(e, fd, &to);
}

/* An echo request in the name of somebody outside; the kernel's answer is for him. */
static int echo4(const struct env *e, int arg)
{
	struct target t = ifp_target(LAB_OUT4, 0, 0);
	_cleanup_close_ int fd = ifp_sock(e, AF_INET, SOCK_RAW, IPPROTO_RAW);
	uint8_t buf[128] __attribute__((aligned(4)));
	size_t len = ifp_udp4_packet(e, buf, LAB_PEER4, LAB_OUT4);
	struct icmphdr *icmp = (struct icmphdr *)(buf + 20);

	(void)arg;
	if (fd < 0)
		return fd;
	/* The UDP header has the size of one of ICMP; the payload behind it is the marker. */
	buf[9] = IPPROTO_ICMP;
	*icmp = (struct icmphdr){.type = ICMP_ECHO};
	icmp->checksum = ifp_checksum(icmp, len - 20);
	return sendto(fd, buf, len, 0, (struct sockaddr *)&t.ss, t.len) < 0 ? -errno : 0;
}

static int udp6_raw(const struct env *e, int arg)
{
	struct target t = ifp_target(LAB_IN6, 0, 0);
	_cleanup_close_ int fd = ifp_sock(e, AF_INET6, SOCK_RAW, IPPROTO_RAW);
	struct {
		struct ipv6hdr ip;
		uint8_t magic[MAGIC_LEN];
	} p = {.ip = {.version = 6,
		       .payload_len = htons(MAGIC_LEN),
		       .nexthdr = 253, /* nobody's: the kernel says so, and quotes it */
		       .hop_limit = 64}};

	(void)arg;
	if (fd < 0)
		return fd;
	inet_pton(AF_INET6, LAB_PEER6, &p.ip.saddr);
	inet_pton(AF_INET6, LAB_IN6, &p.ip.daddr);
	memcpy(p.magic, e->magic, MAGIC_LEN);
	return sendto(fd, &p, sizeof(p), 0, (struct sockaddr *)&t.ss, t.len) < 0 ? -errno : 0;
}

static int ignore(const struct nlmsghdr *nlh, void *data)
{
	(void)nlh;
	(void)data;
	return 0;
}

/* A question about a route, whose gateway the kernel then looks for. */
static int route_probe(const struct env *e, int arg)
{
	char buf[256];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct rtmsg *rtm;
	struct in6_addr dst = ifp_lab_probed(LAB_PROBED6, arg);

	(void)e;
	nlh->nlmsg_type = RTM_GETROUTE;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	rtm->rtm_family = AF_INET6;
	rtm->rtm_dst_len = 128;
	mnl_attr_put(nlh, RTA_DST, sizeof(dst), &dst);
	return ifp_nl_talk(nlh, ignore, NULL);
}

static struct target probed(const struct env *e, int which)
{
	struct in6_addr a = ifp_lab_probed(LAB_PROBED6, which);
	char text[INET6_ADDRSTRLEN];

	return ifp_target(inet_ntop(AF_INET6, &a, text, sizeof(text)), e->port, 0);
}

static int datagram_probe(const struct env *e, int arg)
{
	struct target t = probed(e, arg);
	_cleanup_close_ int fd = ifp_sock(e, AF_INET6, SOCK_DGRAM, 0);

	return fd < 0 ? fd : ifp_send(e, fd, &t);
}

static int raw_probe(const struct env *e, int arg)
{
	struct target t = probed(e, arg);
	_cleanup_close_ int fd = ifp_sock(e, AF_INET6, SOCK_RAW, 253);

	((struct sockaddr_in6 *)&t.ss)->sin6_port = 0;
	return fd < 0 ? fd : ifp_send(e, fd, &t);
}

/* To the host itself, with a segment on the way there; the kernel looks for the way to that. */
static int routing_header_probe(const struct env *e, int arg)
{
	struct target t = ifp_target(LAB_IN6, e->port, 0);
	_cleanup_close_ int fd = ifp_sock(e, AF_INET6, SOCK_DGRAM, 0);
	struct {
		uint8_t next, len, type, left, last, flags, tag[2];
		struct in6_addr segments[2]; /* the last one first */
	} srh = {.len = sizeof(srh.segments) / 8, .type = 4, .left = 1, .last = 1};

	if (fd < 0)
		return fd;
	srh.segments[1] = ifp_lab_probed(LAB_PROBED6, arg);
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_RTHDR, &srh, sizeof(srh)))
		return -errno;
	return ifp_send(e, fd, &t);
}

/* The same by a header that only ancillary data may have: RFC 6275 6.4. */
static int mobility_probe(const struct env *e, int arg)
{
	struct target t = ifp_target(LAB_IN6, e->port, 0);
	_cleanup_close_ int fd = ifp_sock(e, AF_INET6, SOCK_DGRAM, 0);
	struct {
		uint8_t next, len, type, left, reserved[4];
		struct in6_addr home;
	} header = {.len = 2, .type = 2, .left = 1, .home = ifp_lab_probed(LAB_PROBED6, arg)};
	int r;

	if (fd < 0)
		return fd;
	r = ifp_send_cmsg(e, fd, &t, IPPROTO_IPV6, IPV6_RTHDR, &header, sizeof(header));
	return r == -EINVAL ? -EPROTONOSUPPORT : r; /* without CONFIG_IPV6_MIP6 */
}

#define CLASS "reflect"
#define UNMARKED "what leaves has no mark by which it could be known"
#define ANSWERED "what leaves is the kernel's answer, and has a hop limit of its own"
const struct attempt ifp_battery_reflect[] = {
	{"reflect-freebind6", CLASS, "a datagram to the host whose answer is for somebody outside",
		"ipv6(7), IPV6_FREEBIND", freebind6, 0, PAST_LIBRARY, ANSWERED},
	{"reflect-freebind6-nobody", CLASS, "a datagram with a foreign source, sent by uid nobody",
		"ipv6(7), IPV6_FREEBIND", freebind6, 1, PAST_LIBRARY, ANSWERED},
	{"reflect-freebind6-tcp", CLASS,
		"a connection to the host whose reset is for somebody outside",
		"ipv6(7), IPV6_FREEBIND", freebind6_tcp, 0, PAST_LIBRARY, ANSWERED},
	{"reflect-transparent4", CLASS, "a datagram with a foreign source by IP_TRANSPARENT",
		"ip(7)", transparent4, 0, PAST_LIBRARY, ANSWERED},
	{"reflect-echo4", CLASS, "an echo request to the host in the name of somebody outside",
		"raw(7)", echo4, 0, PAST_LIBRARY, ANSWERED},
	{"reflect-raw6", CLASS, "an IPv6 packet of an unknown protocol with a foreign source",
		"RFC 8200 4, RFC 4443 3.4", udp6_raw, 0, PAST_LIBRARY, ANSWERED},
	{"route-probe6", CLASS, "a look-up of a route whose gateway the kernel then looks for",
		"RFC 4191 3.4, rtnetlink(7)", route_probe, 0, PROBES | NEEDS_LSM | PAST_LIBRARY,
		UNMARKED},
	{"datagram-probe6", CLASS,
		"a datagram for a network whose gateway the kernel then looks for", "RFC 4191 3.4",
		datagram_probe, 1, PROBES, UNMARKED},
	{"raw-probe6", CLASS, "a raw packet for a network whose gateway the kernel then looks for",
		"RFC 4191 3.4, raw(7)", raw_probe, 2, PROBES, UNMARKED},
	{"routing-header-probe6", CLASS,
		"a datagram to the host by way of a network whose gateway the kernel then looks for",
		"RFC 8754 2, RFC 4191 3.4", routing_header_probe, 3, PROBES, UNMARKED},
	{"mobility-probe6", CLASS, "the same with a routing header in ancillary data",
		"RFC 6275 6.4, RFC 4191 3.4", mobility_probe, 4, PROBES | PAST_OPTIONS, UNMARKED},
	{},
};
