// SPDX-License-Identifier: MIT
/* Socket options that choose or lose the device. */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif
#ifndef IPV6_UNICAST_IF
#define IPV6_UNICAST_IF 76
#endif

/* Opens, sets one option, sends. What is sent even where the option was refused shows the rest. */
static int send_after(const struct env *e, int family, const char *dst, int level, int opt,
	const void *value, socklen_t len)
{
	struct target t = ifp_target(dst, e->port, 0);
	_cleanup_close_ int fd = ifp_sock(e, family, SOCK_DGRAM, 0);
	int on = 1, r, set;

	if (fd < 0)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
	set = setsockopt(fd, level, opt, value, len) ? -errno : 0;
	r = ifp_send(e, fd, &t);
	return set ?: r;
}

static int unicast_if(const struct env *e, int six)
{
	uint32_t index = htonl(e->out_index);

	return send_after(e, six ? AF_INET6 : AF_INET, six ? e->at.peer6 : e->at.peer4,
		six ? IPPROTO_IPV6 : IPPROTO_IP, six ? IPV6_UNICAST_IF : IP_UNICAST_IF, &index,
		sizeof(index));
}

static int multicast_if(const struct env *e, int how)
{
	struct ip_mreqn m = {.imr_ifindex = how ? 0 : (int)e->out_index};
	char dst[INET_ADDRSTRLEN];

	if (how)
		inet_pton(AF_INET, e->at.out4, &m.imr_address);
	inet_ntop(AF_INET, e->group4, dst, sizeof(dst));
	return send_after(e, AF_INET, dst, IPPROTO_IP, IP_MULTICAST_IF, &m, sizeof(m));
}

static int multicast_if6(const struct env *e, int arg)
{
	int index = (int)e->out_index;
	char dst[INET6_ADDRSTRLEN];

	(void)arg;
	inet_ntop(AF_INET6, e->group6, dst, sizeof(dst));
	return send_after(e, AF_INET6, dst, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof(index));
}

static int dont_route(const struct env *e, int six)
{
	int on = 1;

	return send_after(e, six ? AF_INET6 : AF_INET, six ? e->at.peer6 : e->at.peer4, SOL_SOCKET,
		SO_DONTROUTE, &on, sizeof(on));
}

static int mark(const struct env *e, int arg)
{
	(void)arg;
	return send_after(
		e, AF_INET, e->at.marked4, SOL_SOCKET, SO_MARK, &e->at.mark, sizeof(e->at.mark));
}

/* Loose source route by the peer behind the other device. */
static int source_route(const struct env *e, int arg)
{
	uint8_t opt[8] = {131, 7, 4};

	(void)arg;
	inet_pton(AF_INET, e->at.peer4, opt + 3);
	return send_after(e, AF_INET, e->at.far4, IPPROTO_IP, IP_OPTIONS, opt, sizeof(opt));
}

static int transparent(const struct env *e, int arg)
{
	struct target src = ifp_target("192.0.2.77", 0, 0), t = ifp_target(e->at.peer4, e->port, 0);
	_cleanup_close_ int fd = ifp_open(e, AF_INET, SOCK_DGRAM, 0);
	int on = 1, r;

	if (fd < 0)
		return fd;
	if (setsockopt(fd, IPPROTO_IP, arg, &on, sizeof(on)))
		return -errno;
	/* bind() as a protection would take the place of the foreign address. */
	r = e->prot == PROT_BIND || e->prot == PROT_FENCE ? 0 : ifp_protect(e, &fd, AF_INET, false);
	if (r)
		return r;
	if (bind(fd, (struct sockaddr *)&src.ss, src.len))
		return -errno;
	return ifp_send(e, fd, &t);
}

enum { BY_NAME, BY_INDEX, CLEAR_NAME, CLEAR_INDEX };

static int rebind(int fd, const struct env *e, int how)
{
	int index = how == BY_INDEX ? (int)e->out_index : 0, r;

	if (how == BY_NAME || how == CLEAR_NAME)
		r = setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, how == BY_NAME ? e->at.out : "",
			how == BY_NAME ? sizeof(e->at.out) : 0);
	else
		r = setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &index, sizeof(index));
	return r ? -errno : 0;
}

static int rebind_udp(const struct env *e, int how)
{
	struct target t = ifp_target(e->at.peer4, e->port, 0);
	_cleanup_close_ int fd = ifp_sock(e, AF_INET, SOCK_DGRAM, 0);
	int set, r;

	if (fd < 0)
		return fd;
	set = rebind(fd, e, how);
	r = ifp_send(e, fd, &t);
	return set ?: r;
}

static int rebind_tcp(const struct env *e, int how)
{
	struct target t = ifp_target(e->at.peer4, e->port, 0);
	_cleanup_close_ int fd = ifp_sock(e, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int set;

	if (fd < 0)
		return fd;
	set = rebind(fd, e, how);
	if (connect(fd, (struct sockaddr *)&t.ss, t.len) && errno != EINPROGRESS)
		return set ?: -errno;
	return set;
}

/* Rebinding after the first connect: the route of a connection is looked up again and again. */
static int rebind_raw6(const struct env *e, int how)
{
	struct target t = ifp_target(e->at.peer6, 0, 0);
	_cleanup_close_ int fd = ifp_sock(e, AF_INET6, SOCK_RAW, 253);
	int set, r;

	if (fd < 0)
		return fd;
	set = rebind(fd, e, how);
	r = ifp_send(e, fd, &t);
	return set ?: r;
}

enum { FOUR, SIX, SIX_WITH_SOURCE };

/*
 * __udp_disconnect() forgets the bound device; it asks for no capability. IPV6_UNICAST_IF would
 * hold what is sent then, but for a socket whose source address is bound.
 */
static int disconnect(const struct env *e, int how)
{
	bool six = how != FOUR;
	struct target first = ifp_target(six ? e->at.peer_in6 : e->at.peer_in4, e->port, 0);
	struct target t = ifp_target(six ? e->at.peer6 : e->at.peer4, e->port, 0);
	struct target source = ifp_target(e->at.in6, 0, 0);
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	_cleanup_close_ int fd = ifp_sock(e, six ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
	int r;

	if (fd < 0)
		return fd;
	if (how == SIX_WITH_SOURCE && e->prot != PROT_BIND && e->prot != PROT_FENCE &&
		bind(fd, (struct sockaddr *)&source.ss, source.len))
		return -errno;
	r = ifp_connect(e, fd, (struct sockaddr *)&first.ss, first.len);
	if (!r)
		r = ifp_connect(e, fd, &none, sizeof(none));
	return r ?: ifp_send(e, fd, &t);
}

#define CLASS "option"
const struct attempt ifp_battery_option[] = {
	{"unicast-if", CLASS, "IP_UNICAST_IF names the other device", "ip(7)", unicast_if, 0,
		EACH_DEVICE},
	{"unicast-if6", CLASS, "IPV6_UNICAST_IF names the other device", "ipv6(7)", unicast_if, 1,
		EACH_DEVICE},
	{"multicast-if-index", CLASS, "IP_MULTICAST_IF names the other device by index", "ip(7)",
		multicast_if, 0, EACH_DEVICE},
	{"multicast-if-address", CLASS, "IP_MULTICAST_IF names it by address", "ip(7)",
		multicast_if, 1, EACH_DEVICE | BY_OUT4},
	{"multicast-if6", CLASS, "IPV6_MULTICAST_IF names the other device", "ipv6(7)",
		multicast_if6, 0, EACH_DEVICE},
	{"dontroute", CLASS, "SO_DONTROUTE to the other device's network", "socket(7)", dont_route,
		0, 0},
	{"dontroute6", CLASS, "SO_DONTROUTE to the other device's IPv6 network", "socket(7)",
		dont_route, 1, 0},
	{"mark", CLASS, "SO_MARK with a policy route", "socket(7), ip-rule(8)", mark, 0, BY_MARK},
	{"source-route", CLASS, "a loose source route by the other device's peer", "RFC 791 3.1",
		source_route, 0, 0},
	{"transparent", CLASS, "a foreign source address by IP_TRANSPARENT", "ip(7)", transparent,
		IP_TRANSPARENT, 0},
	{"rebind-name", CLASS, "SO_BINDTODEVICE to the other device", "socket(7)", rebind_udp,
		BY_NAME, PAST_LIBRARY | EACH_DEVICE},
	{"rebind-index", CLASS, "SO_BINDTOIFINDEX to the other device", "net/core/sock.c",
		rebind_udp, BY_INDEX, PAST_LIBRARY | EACH_DEVICE},
	{"unbind-name", CLASS, "SO_BINDTODEVICE to nothing", "socket(7)", rebind_udp, CLEAR_NAME,
		PAST_LIBRARY},
	{"unbind-index", CLASS, "SO_BINDTOIFINDEX to nothing", "net/core/sock.c", rebind_udp,
		CLEAR_INDEX, PAST_LIBRARY},
	{"rebind-tcp", CLASS, "a connection after SO_BINDTODEVICE to the other device", "socket(7)",
		rebind_tcp, BY_NAME, PAST_LIBRARY | EACH_DEVICE},
	{"unbind-tcp", CLASS, "a connection after the binding was cleared", "socket(7)", rebind_tcp,
		CLEAR_NAME, PAST_LIBRARY},
	{"rebind-raw6", CLASS, "a raw socket bound to the other device", "socket(7)", rebind_raw6,
		BY_NAME, PAST_LIBRARY | EACH_DEVICE},
	{"disconnect", CLASS, "connect(AF_UNSPEC) forgets the bound device", "net/ipv4/udp.c",
		disconnect, FOUR, 0},
	{"disconnect6", CLASS, "connect(AF_UNSPEC) on an IPv6 socket", "net/ipv4/udp.c", disconnect,
		SIX, 0},
	{"disconnect6-source", CLASS, "the same with a source address of the device's",
		"net/ipv6/route.c", disconnect, SIX_WITH_SOURCE, 0},
	{},
};
