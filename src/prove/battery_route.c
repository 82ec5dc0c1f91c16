// SPDX-License-Identifier: MIT
/* Ordinary traffic that routing sends by the other device. */
#include "internal.h"

#include <errno.h>
#include <linux/icmp.h>
#include <linux/mptcp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>

enum { PEER4, PEER6, FAR4, FAR6, MAPPED, SUBNET, LIMITED, GROUP };

static struct target dest(const struct env *e, int dst, uint16_t port)
{
	const char *const dests[] = {e->at.peer4, e->at.peer6, e->at.far4, e->at.far6, e->at.peer4,
		e->at.broadcast4, "255.255.255.255", e->at.many4};

	return dst == MAPPED ? ifp_target_mapped(dests[dst], port)
			     : ifp_target(dests[dst], port, 0);
}

/* An argument packs: destination, whether to connect first, type and protocol of the socket. */
#define HOW(dst, connected, type, proto) ((dst) | (connected) << 4 | (type) << 5 | (proto) << 8)

static int open_for(const struct env *e, const struct target *t, int type, int proto, bool mapped)
{
	_cleanup_close_ int fd = socket(t->ss.ss_family, type | SOCK_CLOEXEC, proto);
	int r, on = 1;

	if (fd < 0)
		return -errno;
	r = ifp_protect(e, &fd, t->ss.ss_family, mapped);
	if (!r && setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)))
		r = -errno;
	return r ?: ifp_take_fd(&fd);
}

static int plain(const struct env *e, int how)
{
	int dst = how & 15, type = how >> 5 & 7, proto = how >> 8;
	struct target t = dest(e, dst, type == SOCK_RAW ? 0 : e->port);
	_cleanup_close_ int fd = open_for(e, &t, type, proto, dst == MAPPED);
	int r;

	if (fd < 0)
		return fd;
	if (!(how & 16))
		return ifp_send(e, fd, &t);
	r = ifp_connect(e, fd, (struct sockaddr *)&t.ss, t.len);
	return r ?: ifp_send(e, fd, NULL);
}

/* A connection that nobody answers: the SYN is what counts. */
static int tcp(const struct env *e, int how)
{
	int dst = how & 15, proto = how >> 8;
	struct target t = dest(e, dst, e->port);
	_cleanup_close_ int fd = open_for(e, &t, SOCK_STREAM | SOCK_NONBLOCK, proto, dst == MAPPED);
	int r = fd < 0 ? fd : ifp_connect(e, fd, (struct sockaddr *)&t.ss, t.len);

	return r == -EINPROGRESS ? 0 : r;
}

static int fast_open(const struct env *e, int dst)
{
	struct target t = dest(e, dst, e->port);
	_cleanup_close_ int fd = open_for(e, &t, SOCK_STREAM | SOCK_NONBLOCK, 0, false);
	int r = fd < 0 ? fd : ifp_sendto(e, fd, e->magic, MAGIC_LEN, MSG_FASTOPEN, &t);

	return r == -EINPROGRESS ? 0 : r;
}

static int echo(const struct env *e, int how)
{
	int dst = how & 15, type = how >> 5 & 7;
	bool six = dst == PEER6;
	struct target t = dest(e, dst, 0);
	_cleanup_close_ int fd = open_for(e, &t, type, six ? IPPROTO_ICMPV6 : IPPROTO_ICMP, false);
	struct {
		struct icmphdr h;
		uint8_t magic[MAGIC_LEN];
	} p = {.h.type = six ? 128 : ICMP_ECHO};
	uint32_t sum = 0;

	if (fd < 0)
		return fd;
	memcpy(p.magic, e->magic, MAGIC_LEN);
	for (size_t i = 0; i < sizeof(p) / 2; i++)
		sum += ((uint16_t *)&p)[i];
	sum = (sum & 0xffff) + (sum >> 16);
	p.h.checksum = (uint16_t) ~(sum + (sum >> 16));
	return ifp_sendto(e, fd, &p, sizeof(p), 0, &t);
}

static int hdrincl(const struct env *e, int arg)
{
	struct target t = ifp_target(e->at.peer4, 0, 0);
	_cleanup_close_ int fd = ifp_sock(e, AF_INET, SOCK_RAW, IPPROTO_RAW);
	uint8_t buf[128] __attribute__((aligned(4)));
	size_t len = ifp_udp4_packet(e, buf, arg ? "192.0.2.66" : e->at.in4, e->at.peer4);

	if (fd < 0)
		return fd;
	return ifp_sendto(e, fd, buf, len, 0, &t);
}

static int sendmmsg_two(const struct env *e, int arg)
{
	struct target t = ifp_target(arg ? e->at.peer6 : e->at.peer4, e->port, 0);
	_cleanup_close_ int fd = open_for(e, &t, SOCK_DGRAM, 0, false);
	struct iovec iov = {.iov_base = (void *)e->magic, .iov_len = MAGIC_LEN};
	struct mmsghdr m[2] = {};

	if (fd < 0)
		return fd;
	for (int i = 0; i < 2; i++)
		m[i].msg_hdr = (struct msghdr){
			.msg_name = &t.ss, .msg_namelen = t.len, .msg_iov = &iov, .msg_iovlen = 1};
	return ifp_sendmmsg(e, fd, m, 2);
}

/* Has the kernel tried the second path? The answer waits for the lock under which it does. */
static bool second_path_tried(int fd)
{
	struct mptcp_info info = {};
	socklen_t len = sizeof(info);

	return !getsockopt(fd, SOL_MPTCP, MPTCP_INFO, &info, &len) && info.mptcpi_local_addr_used;
}

/* A connection inside the chassis, to which the kernel adds a path outside. */
static int mptcp_join(const struct env *e, int arg)
{
	struct target t = ifp_target(e->at.peer_in4, e->port, 0);
	_cleanup_close_ int fd = ifp_sock(e, AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	(void)arg;
	if (fd < 0)
		return fd;
	/* No mark in what is sent: only the second path is looked for. */
	if (ifp_connect(e, fd, (struct sockaddr *)&t.ss, t.len) || send(fd, "x", 1, 0) != 1)
		return -errno;
	for (int i = 0; i < 2000 && !second_path_tried(fd); i++)
		if (poll(&pfd, 1, 1))
			return -ECONNRESET;
	return second_path_tried(fd) ? 0 : -ETIMEDOUT;
}

/* One big send that the kernel cuts into datagrams. */
static int segmented(const struct env *e, int arg)
{
	struct target t = ifp_target(e->at.peer4, e->port, 0);
	_cleanup_close_ int fd = open_for(e, &t, SOCK_DGRAM, 0, false);
	uint8_t buf[4 * MAGIC_LEN];
	int size = MAGIC_LEN;

	(void)arg;
	if (fd < 0)
		return fd;
	for (int i = 0; i < 4; i++)
		memcpy(buf + i * MAGIC_LEN, e->magic, MAGIC_LEN);
	if (setsockopt(fd, IPPROTO_UDP, 103 /* UDP_SEGMENT */, &size, sizeof(size)))
		return -errno;
	return ifp_sendto(e, fd, buf, sizeof(buf), 0, &t);
}

/* Corked data leaves when the cork is drawn, long after the send. */
static int corked(const struct env *e, int arg)
{
	struct target t = ifp_target(e->at.peer4, e->port, 0);
	_cleanup_close_ int fd = open_for(e, &t, SOCK_DGRAM, 0, false);
	int on = 1, off = 0;

	(void)arg;
	if (fd < 0)
		return fd;
	if (setsockopt(fd, IPPROTO_UDP, UDP_CORK, &on, sizeof(on)) || ifp_send(e, fd, &t))
		return -errno;
	return setsockopt(fd, IPPROTO_UDP, UDP_CORK, &off, sizeof(off)) ? -errno : 0;
}

#define CLASS "route"
#define NO_HOPS "a multipath socket takes no hop limit"
const struct attempt ifp_battery_route[] = {
	{"udp4-sendto", CLASS, "a datagram to the other device's network", "udp(7)", plain,
		HOW(PEER4, 0, SOCK_DGRAM, 0), 0},
	{"udp4-connected", CLASS, "a connected datagram socket", "udp(7)", plain,
		HOW(PEER4, 1, SOCK_DGRAM, 0), 0},
	{"udp6-sendto", CLASS, "a datagram to the other device's IPv6 network", "ipv6(7)", plain,
		HOW(PEER6, 0, SOCK_DGRAM, 0), 0},
	{"udp6-connected", CLASS, "a connected IPv6 datagram socket", "ipv6(7)", plain,
		HOW(PEER6, 1, SOCK_DGRAM, 0), 0},
	{"udp4-default-route", CLASS, "a datagram that only the default route takes", "ip-route(8)",
		plain, HOW(FAR4, 0, SOCK_DGRAM, 0), 0},
	{"udp6-default-route", CLASS, "an IPv6 datagram that only the default route takes",
		"ip-route(8)", plain, HOW(FAR6, 0, SOCK_DGRAM, 0), 0},
	{"udp-mapped", CLASS, "an IPv4-mapped address from an IPv6 socket", "RFC 4291 2.5.5.2",
		plain, HOW(MAPPED, 0, SOCK_DGRAM, 0), 0},
	{"udp-mapped-connected", CLASS, "an IPv6 socket connected to an IPv4-mapped address",
		"RFC 4291 2.5.5.2", plain, HOW(MAPPED, 1, SOCK_DGRAM, 0), 0},
	{"udp4-subnet-broadcast", CLASS, "a broadcast to the other device's network", "ip(7)",
		plain, HOW(SUBNET, 0, SOCK_DGRAM, 0), 0,
		"its destination is no documentation address"},
	{"udp4-limited-broadcast", CLASS, "a broadcast to 255.255.255.255", "ip(7)", plain,
		HOW(LIMITED, 0, SOCK_DGRAM, 0), 0, "its destination is no documentation address"},
	{"udp4-multicast", CLASS, "a multicast that the default route takes", "ip(7)", plain,
		HOW(GROUP, 0, SOCK_DGRAM, 0), 0},
	{"udplite4", CLASS, "UDP-Lite has its own protocol operations", "udplite(7)", plain,
		HOW(PEER4, 0, SOCK_DGRAM, IPPROTO_UDPLITE), 0},
	{"udplite6", CLASS, "UDP-Lite over IPv6", "udplite(7)", plain,
		HOW(PEER6, 0, SOCK_DGRAM, IPPROTO_UDPLITE), 0},
	{"raw4", CLASS, "a raw socket; no sendmsg hook runs for it", "raw(7)", plain,
		HOW(PEER4, 0, SOCK_RAW, 253), 0},
	{"raw6", CLASS, "a raw IPv6 socket; no sendmsg hook runs for it", "raw(7)", plain,
		HOW(PEER6, 0, SOCK_RAW, 253), 0},
	{"raw4-hdrincl", CLASS, "a raw socket with a header of its own", "raw(7)", hdrincl, 0, 0},
	{"raw4-hdrincl-spoofed", CLASS,
		"a raw socket whose own header has a foreign source address", "raw(7)", hdrincl, 1,
		0},
	{"ping4-raw", CLASS, "ICMP echo by a raw socket", "icmp(7)", echo,
		HOW(PEER4, 0, SOCK_RAW, 0), 0},
	{"ping4-socket", CLASS, "ICMP echo by a ping socket", "icmp(7)", echo,
		HOW(PEER4, 0, SOCK_DGRAM, 0), 0},
	{"ping6-raw", CLASS, "ICMPv6 echo by a raw socket", "icmp(7)", echo,
		HOW(PEER6, 0, SOCK_RAW, 0), 0},
	{"ping6-socket", CLASS, "ICMPv6 echo by a ping socket", "icmp(7)", echo,
		HOW(PEER6, 0, SOCK_DGRAM, 0), 0},
	{"tcp4", CLASS, "a connection", "tcp(7)", tcp, HOW(PEER4, 1, 0, 0), 0},
	{"tcp6", CLASS, "a connection over IPv6", "tcp(7)", tcp, HOW(PEER6, 1, 0, 0), 0},
	{"tcp4-default-route", CLASS, "a connection that only the default route takes", "tcp(7)",
		tcp, HOW(FAR4, 1, 0, 0), 0},
	{"tcp-mapped", CLASS, "a connection to an IPv4-mapped address", "RFC 4291 2.5.5.2", tcp,
		HOW(MAPPED, 1, 0, 0), 0},
	{"tcp4-fast-open", CLASS, "a connection opened by sendto", "tcp(7)", fast_open, PEER4, 0},
	{"tcp6-fast-open", CLASS, "an IPv6 connection opened by sendto", "tcp(7)", fast_open, PEER6,
		0},
	{"mptcp", CLASS, "a multipath connection", "RFC 8684", tcp, HOW(PEER4, 1, 0, IPPROTO_MPTCP),
		0, NO_HOPS},
	{"mptcp-join", CLASS, "a second path that the kernel adds to a multipath connection",
		"RFC 8684 3.2, ip-mptcp(8)", mptcp_join, 0, NEEDS_SERVER, NO_HOPS},
	{"udp4-sendmmsg", CLASS, "several datagrams in one call", "sendmmsg(2)", sendmmsg_two, 0,
		0},
	{"udp6-sendmmsg", CLASS, "several IPv6 datagrams in one call", "sendmmsg(2)", sendmmsg_two,
		1, 0},
	{"udp4-segmented", CLASS, "one send that the kernel cuts up", "udp(7), UDP_SEGMENT",
		segmented, 0, 0},
	{"udp4-corked", CLASS, "data that leaves when the cork is drawn", "udp(7), UDP_CORK",
		corked, 0, 0},
	{},
};
