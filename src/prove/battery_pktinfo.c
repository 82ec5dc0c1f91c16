// SPDX-License-Identifier: MIT
/* The packet names its device by itself: packet-info options, scopes. */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <linux/icmp.h>
#include <string.h>

/* Whoever is bound is to be judged by a destination that the bound device could reach as well. */
static int pktinfo4(const struct env *e, int arg)
{
	int type = arg & 7, proto = arg >> 3 & 255, family = arg & 1 << 12 ? AF_INET6 : AF_INET;
	uint16_t port = type == SOCK_RAW ? 0 : e->port;
	struct target t = family == AF_INET6 ? ifp_target_mapped(e->at.peer4, port)
					     : ifp_target(e->at.peer4, port, 0);
	struct in_pktinfo info = {.ipi_ifindex = (int)e->out_index};
	_cleanup_close_ int fd = socket(family, type | SOCK_CLOEXEC, proto);
	int r = fd < 0 ? -errno : ifp_protect(e, &fd, family, true);

	return r ?: ifp_send_cmsg(e, fd, &t, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
}

static int pktinfo4_nobody(const struct env *e, int arg)
{
	struct target t = ifp_target(e->at.peer4, e->port, 0);
	struct in_pktinfo info = {.ipi_ifindex = (int)e->out_index};
	_cleanup_close_ int fd = ifp_sock(e, AF_INET, SOCK_DGRAM, 0);

	(void)arg;
	if (fd < 0)
		return fd;
	if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
		return -errno;
	return ifp_send_cmsg(e, fd, &t, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
}

static int pktinfo4_mmsg(const struct env *e, int arg)
{
	struct target t = ifp_target(e->at.peer4, e->port, 0);
	_cleanup_close_ int fd = ifp_sock(e, AF_INET, SOCK_DGRAM, 0);
	struct iovec iov = {.iov_base = (void *)e->magic, .iov_len = MAGIC_LEN};
	struct in_pktinfo info = {.ipi_ifindex = (int)e->out_index};
	uint8_t control[CMSG_SPACE(sizeof(info))] __attribute__((aligned(8))) = {};
	struct mmsghdr m = {.msg_hdr = {.msg_name = &t.ss,
				    .msg_namelen = t.len,
				    .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = control,
				    .msg_controllen = sizeof(control)}};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m.msg_hdr);

	(void)arg;
	if (fd < 0)
		return fd;
	*c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(info)),
		.cmsg_level = IPPROTO_IP,
		.cmsg_type = IP_PKTINFO};
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	return ifp_sendmmsg(e, fd, &m, 1);
}

static int pktinfo4_ping(const struct env *e, int arg)
{
	struct target t = ifp_target(e->at.peer4, 0, 0);
	struct in_pktinfo info = {.ipi_ifindex = (int)e->out_index};
	_cleanup_close_ int fd = ifp_sock(e, AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
	struct env echo = *e;

	(void)arg;
	if (fd < 0)
		return fd;
	/* The first eight bytes are the header that a ping socket wants; half of the marker stays.
	 */
	memset(echo.magic, 0, sizeof(struct icmphdr));
	echo.magic[0] = ICMP_ECHO;
	return ifp_send_cmsg(&echo, fd, &t, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
}

static int pktinfo4_hdrincl(const struct env *e, int arg)
{
	struct target t = ifp_target(e->at.peer4, 0, 0);
	struct in_pktinfo info = {.ipi_ifindex = (int)e->out_index};
	_cleanup_close_ int fd = ifp_sock(e, AF_INET, SOCK_RAW, IPPROTO_RAW);
	uint8_t buf[128] __attribute__((aligned(4)));
	struct iovec iov = {
		.iov_base = buf, .iov_len = ifp_udp4_packet(e, buf, e->at.in4, e->at.peer4)};

	(void)arg;
	if (fd < 0)
		return fd;
	return ifp_send_cmsg_iov(e, fd, &t, iov, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
}

static int pktinfo6(const struct env *e, int type)
{
	struct target t = ifp_target(e->at.peer6, type == SOCK_RAW ? 0 : e->port, 0);
	struct in6_pktinfo info = {.ipi6_ifindex = e->out_index};
	_cleanup_close_ int fd = ifp_sock(e, AF_INET6, type, type == SOCK_RAW ? 253 : 0);

	if (fd < 0)
		return fd;
	return ifp_send_cmsg(e, fd, &t, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
}

static int sticky6(const struct env *e, int arg)
{
	struct target t = ifp_target(e->at.peer6, e->port, 0);
	struct in6_pktinfo info = {.ipi6_ifindex = e->out_index};
	_cleanup_close_ int fd = ifp_sock(e, AF_INET6, SOCK_DGRAM, 0);

	(void)arg;
	if (fd < 0)
		return fd;
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info)))
		return -errno;
	return ifp_send(e, fd, &t);
}

static int scoped(const struct env *e, int arg)
{
	int type = arg & 7;
	bool connected = arg & 8;
	struct target t = ifp_target(arg & 16 ? e->at.many_ll : e->at.peer_ll,
		type == SOCK_RAW ? 0 : e->port, e->out_index);
	_cleanup_close_ int fd =
		socket(AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, type == SOCK_RAW ? 253 : 0);
	int r = fd < 0 ? -errno : 0;

	/* A raw socket takes a family of 0 for IPv6. */
	if (arg & 32)
		t.ss.ss_family = AF_UNSPEC;
	/* A global source address has no business on a link-local destination, but it is allowed.
	 */
	if (!r)
		r = ifp_protect(e, &fd, AF_INET6, false);
	if (!r && connected)
		r = ifp_connect(e, fd, (struct sockaddr *)&t.ss, t.len);
	if (r == -EINPROGRESS)
		r = 0;
	if (r || type == SOCK_STREAM)
		return r;
	return ifp_send(e, fd, connected ? NULL : &t);
}

#define CLASS "pktinfo"
#define P4(type, proto, mapped) ((type) | (proto) << 3 | (mapped) << 12)
const struct attempt ifp_battery_pktinfo[] = {
	{"pktinfo4", CLASS, "IP_PKTINFO names the other device for one datagram", "ip(7)", pktinfo4,
		P4(SOCK_DGRAM, 0, 0), EACH_DEVICE},
	{"pktinfo4-nobody", CLASS, "IP_PKTINFO names the other device, used by uid nobody", "ip(7)",
		pktinfo4_nobody, 0, EACH_DEVICE},
	{"pktinfo4-sendmmsg", CLASS, "IP_PKTINFO for several datagrams in one call", "sendmmsg(2)",
		pktinfo4_mmsg, 0, EACH_DEVICE},
	{"pktinfo4-udplite", CLASS, "IP_PKTINFO on a UDP-Lite socket", "udplite(7)", pktinfo4,
		P4(SOCK_DGRAM, IPPROTO_UDPLITE, 0), EACH_DEVICE},
	{"pktinfo4-raw", CLASS, "IP_PKTINFO on a raw socket", "raw(7)", pktinfo4,
		P4(SOCK_RAW, 253, 0), EACH_DEVICE},
	{"pktinfo4-hdrincl", CLASS, "IP_PKTINFO on a raw socket with a header of its own", "raw(7)",
		pktinfo4_hdrincl, 0, EACH_DEVICE},
	{"pktinfo4-ping", CLASS, "IP_PKTINFO on a ping socket", "icmp(7)", pktinfo4_ping, 0,
		EACH_DEVICE},
	{"pktinfo4-mapped", CLASS, "IP_PKTINFO on an IPv6 socket that talks IPv4", "ipv6(7)",
		pktinfo4, P4(SOCK_DGRAM, 0, 1), EACH_DEVICE},
	{"pktinfo6", CLASS, "IPV6_PKTINFO names the other device for one datagram", "RFC 3542 6.2",
		pktinfo6, SOCK_DGRAM, EACH_DEVICE},
	{"pktinfo6-raw", CLASS, "IPV6_PKTINFO on a raw socket", "RFC 3542 6.2", pktinfo6, SOCK_RAW,
		EACH_DEVICE},
	{"pktinfo6-sticky", CLASS, "IPV6_PKTINFO as an option of the socket", "RFC 3542 6.2",
		sticky6, 0, EACH_DEVICE},
	{"scope-linklocal", CLASS, "a link-local destination with the other device's scope",
		"RFC 4007", scoped, SOCK_DGRAM, EACH_DEVICE},
	{"scope-linklocal-connected", CLASS,
		"a socket connected to a link-local address with the other device's scope",
		"RFC 4007", scoped, SOCK_DGRAM | 8, EACH_DEVICE},
	{"scope-multicast", CLASS, "a link-local group with the other device's scope", "RFC 4007",
		scoped, SOCK_DGRAM | 16, EACH_DEVICE},
	{"scope-raw", CLASS, "a raw socket with the other device's scope", "RFC 4007", scoped,
		SOCK_RAW, EACH_DEVICE},
	{"scope-raw-no-family", CLASS, "a raw socket with the other device's scope and no family",
		"net/ipv6/raw.c", scoped, SOCK_RAW | 32, EACH_DEVICE},
	{"scope-tcp", CLASS, "a connection with the other device's scope", "RFC 4007", scoped,
		SOCK_STREAM | 8, EACH_DEVICE,
		"no documentation address is link-local and one neighbour's"},
	{},
};
