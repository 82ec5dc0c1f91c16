// SPDX-License-Identifier: MIT
/* A socket whose device was gone and has come back with another index. */
#include "internal.h"

#include "device/device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/in6.h>
#include <string.h>

#ifndef IP_MULTICAST_ALL
#define IP_MULTICAST_ALL 49
#endif

/* What is carried over to a socket that takes the place of another. */
static const struct {
	int domain, level, option; /* domain 0: both */
} carried[] = {
	{0, SOL_SOCKET, SO_REUSEADDR},
	{0, SOL_SOCKET, SO_REUSEPORT},
	{0, SOL_SOCKET, SO_BROADCAST},
	{0, SOL_SOCKET, SO_KEEPALIVE},
	{0, SOL_SOCKET, SO_PRIORITY},
	{0, SOL_SOCKET, SO_TIMESTAMP},
	{0, SOL_SOCKET, SO_DONTROUTE},
	{0, IPPROTO_IP, IP_TOS},
	{0, IPPROTO_IP, IP_TTL},
	{AF_INET, IPPROTO_IP, IP_MULTICAST_TTL},
	{0, IPPROTO_IP, IP_MINTTL},
	{0, IPPROTO_IP, IP_MULTICAST_LOOP},
	{0, IPPROTO_IP, IP_MULTICAST_ALL},
	{0, IPPROTO_IP, IP_PKTINFO},
	{0, IPPROTO_IP, IP_RECVTTL},
	{0, IPPROTO_IP, IP_RECVERR},
	{0, IPPROTO_IP, IP_MTU_DISCOVER},
	{AF_INET6, IPPROTO_IPV6, IPV6_V6ONLY},
	{AF_INET6, IPPROTO_IPV6, IPV6_TCLASS},
	{AF_INET6, IPPROTO_IPV6, IPV6_UNICAST_HOPS},
	{AF_INET6, IPPROTO_IPV6, IPV6_MULTICAST_HOPS},
	{AF_INET6, IPPROTO_IPV6, IPV6_MULTICAST_LOOP},
	{AF_INET6, IPPROTO_IPV6, IPV6_MINHOPCOUNT},
	{AF_INET6, IPPROTO_IPV6, IPV6_RECVPKTINFO},
	{AF_INET6, IPPROTO_IPV6, IPV6_RECVHOPLIMIT},
	{AF_INET6, IPPROTO_IPV6, IPV6_RECVERR},
};

static void carry_options(int from, int to, int domain)
{
	int buffer, value, now;

	for (size_t i = 0; i < ARRAY_SIZE(carried); i++)
		if ((!carried[i].domain || carried[i].domain == domain) &&
			!ifp_get_int(from, carried[i].level, carried[i].option, &value) &&
			!ifp_get_int(to, carried[i].level, carried[i].option, &now) && value != now)
			ifp_set_int(to, carried[i].level, carried[i].option, value);
	/* The kernel doubles what is set. */
	if (!ifp_get_int(from, SOL_SOCKET, SO_RCVBUF, &buffer))
		ifp_set_int(to, SOL_SOCKET, SO_RCVBUF, buffer / 2);
	if (!ifp_get_int(from, SOL_SOCKET, SO_SNDBUF, &buffer))
		ifp_set_int(to, SOL_SOCKET, SO_SNDBUF, buffer / 2);
}

/* A link-local address names its device by index, and that is another one now. */
static void rescope(struct sockaddr_storage *ss, const struct ifpin_device *dev)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	if (ss->ss_family == AF_INET6 && in6->sin6_scope_id)
		in6->sin6_scope_id = dev->ifindex;
}

static int same_addresses(int from, int to, const struct ifpin_device *dev, struct ifpin_error *err)
{
	struct sockaddr_storage local, peer;
	socklen_t local_len = sizeof(local), peer_len = sizeof(peer);

	if (getsockname(from, (struct sockaddr *)&local, &local_len))
		return ifp_fail_errno(err, -errno, "cannot read the socket's address");
	rescope(&local, dev);
	if (bind(to, (struct sockaddr *)&local, local_len))
		return ifp_fail_errno(
			err, -errno, "cannot bind the socket's address on %s again", dev->name);
	if (getpeername(from, (struct sockaddr *)&peer, &peer_len))
		return 0;
	rescope(&peer, dev);
	if (connect(to, (struct sockaddr *)&peer, peer_len))
		return ifp_fail_errno(err, -errno, "cannot connect to the socket's peer again");
	return 0;
}

/* What a socket does not accept, its heir must not accept either. */
static int take_filter(int from, int to, struct ifp_filter_saved *saved, struct ifpin_error *err)
{
	int r = ifp_filter_read(from, saved);

	if (r)
		return ifp_fail_errno(err, r, "cannot take the socket's filter along");
	return ifp_hear_again(to, saved, true, err);
}

static int reopen(int fd, const struct ifp_kind *k, const struct ifpin_device *dev,
	const struct ifpin_socket_opts *o, struct ifpin_error *err)
{
	struct ifpin_socket_opts fresh_opts = {.size = sizeof(fresh_opts), .flags = o->flags};
	struct ifp_filter_saved saved;
	_cleanup_close_ int fresh = -1;
	int listening = 0, r = 0;

	if (k->type == SOCK_STREAM)
		r = ifp_get_int(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening);
	if (r)
		return ifp_fail_errno(err, r, "cannot look at the socket");
	if (k->type == SOCK_STREAM && !listening)
		return ifp_fail(err, -ENOTCONN,
			"a TCP connection that was tied to another index of %s needs CAP_NET_RAW to go "
			"on; open a new one",
			dev->name);
	fresh = ifpin_socket(dev, k->domain, k->type, k->protocol, &fresh_opts, err);
	if (fresh < 0)
		return fresh;
	carry_options(fd, fresh, k->domain);
	/* Between bind() and connect() it would hear others than its peer. */
	if (k->type != SOCK_STREAM)
		r = ifp_deafen(fresh, &saved, err);
	if (!r)
		r = same_addresses(fd, fresh, dev, err);
	if (!r && k->type != SOCK_STREAM)
		r = take_filter(fd, fresh, &saved, err);
	if (!r && !(o->flags & IFPIN_FOREIGN_SOURCE))
		r = ifp_check_source(fresh, dev, err);
	if (!r && listening && listen(fresh, SOMAXCONN))
		r = ifp_fail_errno(err, -errno, "cannot listen on %s again", dev->name);
	if (r)
		return r;
	fcntl(fresh, F_SETFL, fcntl(fd, F_GETFL));
	if (dup3(fresh, fd, fcntl(fd, F_GETFD) & FD_CLOEXEC ? O_CLOEXEC : 0) < 0)
		return ifp_fail_errno(err, -errno, "cannot put the new socket in place");
	return 0;
}

static int rebind(int fd, const struct ifp_kind *k, const struct ifpin_device *dev,
	const struct ifpin_socket_opts *o, struct ifpin_error *err)
{
	const struct ifpin_socket_opts none = {};
	int r = o->flags & IFPIN_FOREIGN_SOURCE ? 0 : ifp_check_source(fd, dev, err);

	return r ?: ifp_hold_again(fd, k, dev, &none, err);
}

/* What is followed is a return: a socket whose device is there is not led to another. */
static int must_be_gone(uint32_t ifindex, const struct ifpin_device *dev, struct ifpin_error *err)
{
	struct ifpin_device old;
	int r = ifp_device_by_index(ifindex, &old);

	if (r == -ENODEV)
		return 0;
	if (r)
		return ifp_fail_errno(err, r, "cannot look up index %u", ifindex);
	return ifp_fail(err, -EXDEV,
		"the socket is tied to %s (index %u), which is there; %s is another device",
		old.name, ifindex, dev->name);
}

int ifpin_repin(int fd, const struct ifpin_device *device, const struct ifpin_socket_opts *opts,
	enum ifpin_repinned *ret_how, struct ifpin_error *ret_error)
{
	enum ifpin_repinned how = IFPIN_REPIN_KEPT;
	struct ifpin_socket_opts o;
	struct ifpin_error err;
	struct ifp_kind k;
	int bound, r = ifp_opts_read(opts, &o, ret_error);

	if (r)
		return r;
	r = ifp_kind_of(fd, &k);
	if (!r)
		r = ifp_get_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &bound);
	if (r)
		return ifp_fail_errno(ret_error, r, "descriptor %d", fd);
	r = ifp_kind_check(&k, ret_error);
	if (!r)
		r = ifp_check_netns(fd, device, ret_error);
	if (!r)
		r = ifp_device_current(device, ret_error);
	if (r)
		return r;
	if ((uint32_t)bound != device->ifindex) {
		r = bound ? must_be_gone((uint32_t)bound, device, &err) : 0;
		if (!r) {
			how = IFPIN_REPIN_REBOUND;
			r = rebind(fd, &k, device, &o, &err);
		}
		if (r == -EPERM) {
			how = IFPIN_REPIN_REOPENED;
			r = reopen(fd, &k, device, &o, &err);
		}
	}
	if (r && ret_error)
		*ret_error = err;
	else if (!r && ret_how)
		*ret_how = how;
	return r;
}
