// SPDX-License-Identifier: MIT
/* Joins: the kernel reports them by a socket of its own, on the device that the join named. */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>

/* By what the other device is named. */
enum { BY_INDEX, BY_ADDRESS, BY_ROUTE };

/* Whether the timer of the group runs, on some device, and nothing has been reported by it yet. */
static bool is_due(const uint8_t group[4])
{
	_cleanup_fclose_ FILE *f = fopen("/proc/net/igmp", "re");
	char line[256];
	uint32_t want, address;
	unsigned int running, reporter;

	memcpy(&want, group, sizeof(want));
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%x %*u %u:%*x %u", &address, &running, &reporter) == 3 &&
			address == want && running && !reporter)
			return true;
	return false;
}

#define REPORT_MS 2000 /* it is due after two ticks */

/*
 * What follows a join. IGMPv3 reports a group also when it is left at once; where a router speaks
 * IGMPv2 or 1, who leaves before the timer has run takes the report away, and nothing has been
 * tried. r: what the join returned. Return: r; -ETIMEDOUT.
 */
static int reported(const struct env *e, int r)
{
	for (int i = 0; !r && is_due(e->group4); i++) {
		if (i == REPORT_MS)
			return -ETIMEDOUT;
		poll(NULL, 0, 1);
	}
	return r;
}

/* What the library has for all of these: the other device is named, or none at all. */
static int by_library(const struct env *e, int fd, bool six, const char *source, bool names_device)
{
	struct ifpin_device dev = ifp_device(names_device ? e->at.out : e->at.in);
	struct target src = ifp_target(six ? e->at.peer6 : e->at.peer4, 0, 0), group = src;

	if (source)
		src = ifp_target(source, 0, 0);
	if (six)
		memcpy(&((struct sockaddr_in6 *)&group.ss)->sin6_addr, e->group6, 16);
	else
		memcpy(&((struct sockaddr_in *)&group.ss)->sin_addr, e->group4, 4);
	return reported(e, ifpin_join(fd, &dev, (struct sockaddr *)&group.ss,
				   source ? (struct sockaddr *)&src.ss : NULL, NULL));
}

static int join4(const struct env *e, int how)
{
	struct ip_mreqn m = {.imr_ifindex = how == BY_INDEX ? (int)e->out_index : 0};
	_cleanup_close_ int fd = ifp_sock(e, AF_INET, SOCK_DGRAM, 0);

	if (fd < 0)
		return fd;
	if (e->prot == PROT_LIBIFPIN)
		return by_library(e, fd, false, NULL, how != BY_ROUTE);
	memcpy(&m.imr_multiaddr, e->group4, 4);
	if (how == BY_ADDRESS)
		inet_pton(AF_INET, e->at.out4, &m.imr_address);
	return reported(e,
		setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, how == BY_INDEX ? sizeof(m) : 8)
			? -errno
			: 0);
}

static int join4_source(const struct env *e, int arg)
{
	struct ip_mreq_source m = {};
	_cleanup_close_ int fd = ifp_sock(e, AF_INET, SOCK_DGRAM, 0);

	(void)arg;
	if (fd < 0)
		return fd;
	if (e->prot == PROT_LIBIFPIN)
		return by_library(e, fd, false, e->at.peer4, true);
	memcpy(&m.imr_multiaddr, e->group4, 4);
	inet_pton(AF_INET, e->at.out4, &m.imr_interface);
	inet_pton(AF_INET, e->at.peer4, &m.imr_sourceaddr);
	return reported(e,
		setsockopt(fd, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &m, sizeof(m)) ? -errno : 0);
}

static int join_group(const struct env *e, int arg)
{
	bool six = arg & 1, source = arg & 2;
	struct group_source_req m = {.gsr_interface = e->out_index};
	struct group_req g = {.gr_interface = e->out_index};
	_cleanup_close_ int fd =
		ifp_sock(e, six ? AF_INET6 : AF_INET, arg & 4 ? SOCK_STREAM : SOCK_DGRAM, 0);
	struct target src = ifp_target(six ? e->at.peer6 : e->at.peer4, 0, 0), grp = src;
	int level = six ? IPPROTO_IPV6 : IPPROTO_IP, r;

	if (fd < 0)
		return fd;
	if (e->prot == PROT_LIBIFPIN)
		return by_library(
			e, fd, six, source ? (six ? e->at.peer6 : e->at.peer4) : NULL, true);
	if (six)
		memcpy(&((struct sockaddr_in6 *)&grp.ss)->sin6_addr, e->group6, 16);
	else
		memcpy(&((struct sockaddr_in *)&grp.ss)->sin_addr, e->group4, 4);
	m.gsr_group = g.gr_group = grp.ss;
	m.gsr_source = src.ss;
	r = source ? setsockopt(fd, level, MCAST_JOIN_SOURCE_GROUP, &m, sizeof(m))
		   : setsockopt(fd, level, MCAST_JOIN_GROUP, &g, sizeof(g));
	return reported(e, r ? -errno : 0);
}

static int join6(const struct env *e, int type)
{
	struct ipv6_mreq m = {.ipv6mr_interface = e->out_index};
	_cleanup_close_ int fd = ifp_sock(e, AF_INET6, type, 0);

	if (fd < 0)
		return fd;
	if (e->prot == PROT_LIBIFPIN)
		return by_library(e, fd, true, NULL, true);
	memcpy(&m.ipv6mr_multiaddr, e->group6, 16);
	return setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &m, sizeof(m)) ? -errno : 0;
}

#ifdef __x86_64__
/* The 32-bit entry point: do_sock_setsockopt() runs no BPF program for it. */
static int join4_compat(const struct env *e, int arg)
{
	struct ip_mreqn *m = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	_cleanup_close_ int fd = ifp_sock(e, AF_INET, SOCK_DGRAM, 0);
	long ret;

	(void)arg;
	if (m == MAP_FAILED)
		return -errno;
	if (fd < 0)
		return fd;
	memcpy(&m->imr_multiaddr, e->group4, 4);
	m->imr_ifindex = (int)e->out_index;
	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(366L), "b"((long)fd), "c"((long)IPPROTO_IP),
			 "d"((long)IP_ADD_MEMBERSHIP), "S"((long)m), "D"((long)sizeof(*m))
			 : "memory", "r8", "r9", "r10", "r11");
	return reported(e, ret < 0 ? (int)ret : 0);
}
#endif

#define CLASS "join"
const struct attempt ifp_battery_join[] = {
	{"join4-index", CLASS, "IP_ADD_MEMBERSHIP on the other device by index", "ip(7)", join4,
		BY_INDEX, WAITS_FOR_REPORT | EACH_DEVICE},
	{"join4-address", CLASS, "IP_ADD_MEMBERSHIP names the other device by its address", "ip(7)",
		join4, BY_ADDRESS, WAITS_FOR_REPORT | EACH_DEVICE | BY_OUT4},
	{"join4-route", CLASS, "IP_ADD_MEMBERSHIP names none, and the route to the group picks it",
		"ip(7)", join4, BY_ROUTE, WAITS_FOR_REPORT},
	{"join4-source", CLASS, "IP_ADD_SOURCE_MEMBERSHIP on the other device", "ip(7)",
		join4_source, 0, WAITS_FOR_REPORT | EACH_DEVICE | BY_OUT4},
	{"join4-group", CLASS, "MCAST_JOIN_GROUP on the other device", "RFC 3678 5.1", join_group,
		0, WAITS_FOR_REPORT | EACH_DEVICE},
	{"join4-source-group", CLASS, "MCAST_JOIN_SOURCE_GROUP on the other device", "RFC 3678 5.1",
		join_group, 2, WAITS_FOR_REPORT | EACH_DEVICE},
	{"join4-tcp", CLASS, "a join by a socket that is no datagram socket",
		"net/ipv4/ip_sockglue.c", join_group, 4, WAITS_FOR_REPORT | EACH_DEVICE},
	{"join6", CLASS, "IPV6_JOIN_GROUP on the other device", "RFC 3493 5.2", join6, SOCK_DGRAM,
		WAITS_FOR_REPORT | EACH_DEVICE},
	{"join6-group", CLASS, "MCAST_JOIN_GROUP on the other device over IPv6", "RFC 3678 5.1",
		join_group, 1, WAITS_FOR_REPORT | EACH_DEVICE},
	{"join6-source-group", CLASS, "MCAST_JOIN_SOURCE_GROUP on the other device over IPv6",
		"RFC 3678 5.1", join_group, 3, WAITS_FOR_REPORT | EACH_DEVICE},
#ifdef __x86_64__
	{"join4-compat", CLASS, "a join by the 32-bit system call", "net/socket.c", join4_compat, 0,
		WAITS_FOR_REPORT | EACH_DEVICE | PAST_LIBRARY | NEEDS_RUN},
#endif
	{},
};
