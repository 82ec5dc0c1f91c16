// SPDX-License-Identifier: MIT
/* Opening a pinned socket, and pinning one that exists. */
#include "internal.h"

#include "device/device.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define ALL_FLAGS                                                                                  \
	(IFPIN_ON_LINK | IFPIN_ONE_HOP | IFPIN_GTSM | IFPIN_FOREIGN_SOURCE | IFPIN_REUSE_ADDRESS | \
		IFPIN_REUSE_PORT | IFPIN_INHERITABLE)

int ifp_get_int(int fd, int level, int option, int *ret)
{
	socklen_t len = sizeof(*ret);

	return getsockopt(fd, level, option, ret, &len) ? -errno : 0;
}

int ifp_set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) ? -errno : 0;
}

int ifp_opts_read(const struct ifpin_socket_opts *opts, struct ifpin_socket_opts *ret,
	struct ifpin_error *err)
{
	struct ifpin_socket_opts o = {.size = sizeof(o)};

	if (opts) {
		int r = ifp_opts_check(opts, sizeof(o), err);

		if (r)
			return r;
		o = *opts;
	}
	if (o.flags & ~(uint32_t)ALL_FLAGS)
		return ifp_fail(err, -EINVAL, "unknown flags 0x%x", o.flags & ~(uint32_t)ALL_FLAGS);
	if (o.flags & IFPIN_GTSM && o.flags & IFPIN_ONE_HOP)
		return ifp_fail(
			err, -EINVAL, "hop limit 1 and hop limit 255 (GTSM) exclude each other");
	if ((unsigned int)o.source > IFPIN_SOURCE_ADDRESS)
		return ifp_fail(err, -EINVAL, "unknown source %d", (int)o.source);
	if ((o.source == IFPIN_SOURCE_ADDRESS) != !!o.address)
		return ifp_fail(err, -EINVAL,
			"an address is needed for IFPIN_SOURCE_ADDRESS, and only for it");
	*ret = o;
	return 0;
}

int ifp_kind_of(int fd, struct ifp_kind *ret)
{
	struct ifp_kind k = {};
	int v6only = 0, r = ifp_get_int(fd, SOL_SOCKET, SO_DOMAIN, &k.domain);

	if (!r)
		r = ifp_get_int(fd, SOL_SOCKET, SO_TYPE, &k.type);
	if (!r)
		r = ifp_get_int(fd, SOL_SOCKET, SO_PROTOCOL, &k.protocol);
	if (!r && k.domain == AF_INET6)
		r = ifp_get_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only);
	if (r)
		return r;
	k.v6only = v6only;
	*ret = k;
	return 0;
}

int ifp_kind_check(const struct ifp_kind *k, struct ifpin_error *err)
{
	bool known = false;

	if (k->domain != AF_INET && k->domain != AF_INET6)
		return ifp_fail(err, -EAFNOSUPPORT,
			"only IPv4 and IPv6 sockets can be pinned, not family %d", k->domain);
	if (k->type == SOCK_STREAM)
		known = k->protocol == 0 || k->protocol == IPPROTO_TCP;
	else if (k->type == SOCK_DGRAM)
		known = k->protocol == 0 || k->protocol == IPPROTO_UDP ||
			k->protocol == IPPROTO_UDPLITE || k->protocol == IPPROTO_ICMP ||
			k->protocol == IPPROTO_ICMPV6;
	else if (k->type == SOCK_RAW)
		known = true;
	if (known)
		return 0;
	return ifp_fail(err, -EPROTONOSUPPORT,
		k->protocol == IPPROTO_MPTCP
			? "multipath TCP opens further connections by other devices; use TCP"
			: "sockets of type %d and protocol %d may use other devices by themselves",
		k->type, k->protocol);
}

/* ---- the pin ---- */

/* IPv6 sockets speak IPv4 as well, unless they are told not to; raw ones never do. */
static bool speaks(const struct ifp_kind *k, int family)
{
	if (family == AF_INET6)
		return k->domain == AF_INET6;
	return k->domain == AF_INET || (!k->v6only && k->type != SOCK_RAW);
}

static int set_unicast_if(int fd, int family, uint32_t ifindex)
{
	int level = family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP, now = 0, r;
	int option = family == AF_INET6 ? IPV6_UNICAST_IF : IP_UNICAST_IF;

	r = ifp_set_int(fd, level, option, (int)htonl(ifindex));
	/* Tied to the device already, and nothing loosens it: ifpin_inspect() says what is lacking.
	 */
	if (r == -EINVAL && !ifp_get_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &now) && now)
		return 0;
	return r == -EADDRNOTAVAIL ? -ENODEV : r;
}

static int set_multicast_if(int fd, int family, uint32_t ifindex)
{
	struct ip_mreqn m = {.imr_ifindex = (int)ifindex};
	int r;

	if (family == AF_INET6)
		r = ifp_set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)ifindex);
	else
		r = setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &m, sizeof(m)) ? -errno : 0;
	return r == -EADDRNOTAVAIL ? -ENODEV : r;
}

/* TCP keeps its device as long as it lives, and looks at none of these. */
static int set_interfaces(int fd, const struct ifp_kind *k, uint32_t ifindex)
{
	static const int families[] = {AF_INET, AF_INET6};
	int r = 0;

	if (k->type == SOCK_STREAM)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(families) && !r; i++)
		if (speaks(k, families[i])) {
			r = set_unicast_if(fd, families[i], ifindex);
			if (!r)
				r = set_multicast_if(fd, families[i], ifindex);
		}
	return r;
}

int ifp_device_current(const struct ifpin_device *dev, struct ifpin_error *err)
{
	enum ifpin_identity identity;
	struct ifpin_device now;
	int r = ifpin_device_check(dev, &identity, &now, err);

	if (r)
		return r;
	switch (identity) {
	case IFPIN_SAME:
	case IFPIN_RENAMED:
		return 0;
	case IFPIN_OTHER_NETNS:
		return ifp_fail(
			err, -EXDEV, "%s was looked up in another network namespace", dev->name);
	case IFPIN_REPLACED:
		return ifp_fail(err, -ESTALE,
			"index %u or the name %s belongs to another device now; look it up again",
			dev->ifindex, dev->name);
	case IFPIN_BACK:
		return ifp_fail(err, -ESTALE,
			"%s is back with index %u, no longer %u; look it up again", dev->name,
			now.ifindex, dev->ifindex);
	default:
		return ifp_fail(err, -ENODEV, "%s (index %u) is gone", dev->name, dev->ifindex);
	}
}

int ifp_check_netns(int fd, const struct ifpin_device *dev, struct ifpin_error *err)
{
	if (dev->netns && dev->netns != ifp_netns_of(fd))
		return ifp_fail(err, -EXDEV, "%s is of another network namespace than the socket",
			dev->name);
	return 0;
}

static int verify(int fd, const struct ifpin_device *dev, struct ifpin_error *err)
{
	int bound, r = ifp_get_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &bound);

	if (r)
		return ifp_fail_errno(err, r, "cannot read back what the socket is tied to");
	if (!bound || (uint32_t)bound != dev->ifindex)
		return ifp_fail(err, -EXDEV, "the socket is tied to index %d, not to %u (%s)",
			bound, dev->ifindex, dev->name);
	r = ifp_check_netns(fd, dev, err);
	return r ?: ifp_device_current(dev, err);
}

int ifp_tie(int fd, const struct ifpin_device *dev, struct ifpin_error *err)
{
	int r = ifp_set_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, (int)dev->ifindex), bound;

	/* Tied to it already is not an error, whatever privilege tying it anew would need. */
	if (r == -EPERM && !ifp_get_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &bound) &&
		(uint32_t)bound == dev->ifindex)
		r = 0;
	if (r == -EPERM)
		return ifp_fail(err, r,
			"the socket is tied to another device, or the kernel is older than 5.7: tying "
			"it to %s needs CAP_NET_RAW",
			dev->name);
	if (r)
		return ifp_fail_errno(err, r, "cannot tie the socket to %s", dev->name);
	return verify(fd, dev, err);
}

/*
 * For a fresh socket: the kernel finds the device by its name, and the index that it has tied is
 * read back. Both can agree with @dev only if it is the device still; else it may have another
 * name. Return: 0; -ESTALE: it has, or is gone; as ifpin_socket().
 */
static int tie_by_name(int fd, const struct ifpin_device *dev, struct ifpin_error *err)
{
	int bound, r;

	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, dev->name,
		    (socklen_t)strnlen(dev->name, sizeof(dev->name) - 1) + 1)) {
		if (errno == ENODEV)
			return -ESTALE;
		return ifp_fail_errno(err, -errno, "cannot tie a socket to %s", dev->name);
	}
	r = ifp_get_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &bound);
	if (r)
		return ifp_fail_errno(err, r, "cannot read back what the socket is tied to");
	return bound && (uint32_t)bound == dev->ifindex ? 0 : -ESTALE;
}

int ifp_hold(int fd, const struct ifp_kind *k, const struct ifpin_device *dev,
	const struct ifpin_socket_opts *o, bool by_name, struct ifpin_error *err)
{
	int r = dev->ifindex ? set_interfaces(fd, k, dev->ifindex) : -ENODEV;

	if (r == -ENODEV) {
		r = ifp_device_current(dev, err);
		return r ?: ifp_fail(err, -EAGAIN, "%s changes; try again", dev->name);
	}
	if (r)
		return ifp_fail_errno(
			err, r, "cannot set the socket's interfaces to %s", dev->name);
	/* IPv6 takes no address of another device on a socket that is tied. */
	if (o->flags & IFPIN_FOREIGN_SOURCE)
		r = ifp_bind_source(fd, k, dev, o, err);
	if (!r)
		r = by_name ? tie_by_name(fd, dev, err) : ifp_tie(fd, dev, err);
	if (!r && !(o->flags & IFPIN_FOREIGN_SOURCE))
		r = ifp_bind_source(fd, k, dev, o, err);
	return r;
}

static bool unicast_if_is(int fd, const struct ifp_kind *k, int family, uint32_t ifindex)
{
	int value = 0;

	return !speaks(k, family) ||
	       (!ifp_get_int(fd, family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP,
			family == AF_INET6 ? IPV6_UNICAST_IF : IP_UNICAST_IF, &value) &&
		       ntohl((uint32_t)value) == ifindex);
}

/* The kernel takes IPV6_UNICAST_IF for a hint only where the source address is bound. */
static bool unicast_if_is_hint(int fd, const struct ifp_kind *k)
{
	struct sockaddr_in6 in6 = {};
	socklen_t len = sizeof(in6);

	return k->domain == AF_INET6 && !getsockname(fd, (struct sockaddr *)&in6, &len) &&
	       !IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr) && !IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr);
}

/*
 * IP_UNICAST_IF is settled before the tie, or not at all. Where it names another device than the
 * socket is to be tied to, or none, the tie is loosened for a moment, in which the old
 * IP_UNICAST_IF still holds. Where it would not, and for TCP, which looks at the tie alone, the tie
 * is replaced without such a moment.
 */
static int loosen(int fd, const struct ifp_kind *k, const struct ifpin_device *dev, int bound,
	struct ifpin_error *err)
{
	int r;

	if (bound && (uint32_t)bound != dev->ifindex && unicast_if_is_hint(fd, k))
		return ifp_tie(fd, dev, err);
	if (!bound ||
		((uint32_t)bound == dev->ifindex && unicast_if_is(fd, k, AF_INET, dev->ifindex) &&
			unicast_if_is(fd, k, AF_INET6, dev->ifindex)))
		return 0;
	r = ifp_set_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, 0);
	if (r == -EPERM && (uint32_t)bound == dev->ifindex)
		return 0;
	if (r == -EPERM)
		return ifp_fail(err, r,
			"the socket is tied to index %d; untying it needs CAP_NET_RAW", bound);
	return r ? ifp_fail_errno(err, r, "cannot untie the socket from index %d", bound) : 0;
}

int ifp_hold_again(int fd, const struct ifp_kind *k, const struct ifpin_device *dev,
	const struct ifpin_socket_opts *o, struct ifpin_error *err)
{
	struct ifp_filter_saved saved;
	int bound, r, r2;

	r = ifp_get_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &bound);
	if (r)
		return ifp_fail_errno(err, r, "cannot read what the socket is tied to");
	/* TCP is never untied, and has connections that a filter would hurt. */
	if (k->type == SOCK_STREAM) {
		r = ifp_hold(fd, k, dev, o, false, err);
		if (r)
			ifp_set_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, bound);
		return r;
	}
	r = ifp_deafen(fd, &saved, err);
	if (r)
		return r;
	r = loosen(fd, k, dev, bound, err);
	if (!r)
		r = ifp_hold(fd, k, dev, o, false, err);
	/* What fails leaves it tied as it was. */
	if (r)
		ifp_set_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, bound);
	r2 = ifp_hear_again(fd, &saved, false, r ? NULL : err);
	return r ?: r2;
}

/* Of a socket that was made for this the kind is known, but for what others turn TCP into. */
static int check_protocol(int fd, struct ifp_kind *k, struct ifpin_error *err)
{
	int r = k->type == SOCK_STREAM ? ifp_get_int(fd, SOL_SOCKET, SO_PROTOCOL, &k->protocol) : 0;

	if (r)
		return ifp_fail_errno(err, r, "cannot read the socket's protocol");
	return ifp_kind_check(k, err);
}

static int settle(int fd, const struct ifp_kind *k, const struct ifpin_device *dev,
	const struct ifpin_socket_opts *o, bool by_name, struct ifpin_error *err)
{
	bool deaf =
		k->type == SOCK_RAW || (k->type == SOCK_DGRAM && o->flags & IFPIN_FOREIGN_SOURCE);
	struct ifp_filter_saved saved;
	int r = ifp_set_reach(fd, k, o->flags, err);

	/* It receives from its first moment on, or before it is tied. */
	if (!r && deaf)
		r = ifp_deafen(fd, &saved, err);
	if (!r)
		r = ifp_hold(fd, k, dev, o, by_name, err);
	if (!r && deaf)
		r = ifp_hear_again(fd, &saved, true, err);
	return r;
}

static int open_one(const struct ifp_kind *wanted, int type, const struct ifpin_device *dev,
	const struct ifpin_socket_opts *o, bool by_name, struct ifpin_error *err)
{
	_cleanup_close_ int fd = socket(wanted->domain,
		(type & ~SOCK_CLOEXEC) | (o->flags & IFPIN_INHERITABLE ? 0 : SOCK_CLOEXEC),
		wanted->protocol);
	struct ifp_kind k = *wanted;
	int r;

	if (fd < 0)
		return ifp_fail_errno(err, -errno, "cannot open a socket for %s", dev->name);
	r = check_protocol(fd, &k, err);
	if (!r)
		r = settle(fd, &k, dev, o, by_name, err);
	return r ?: ifp_take_fd(&fd);
}

int ifpin_socket(const struct ifpin_device *device, int domain, int type, int protocol,
	const struct ifpin_socket_opts *opts, struct ifpin_error *ret_error)
{
	const int extra = SOCK_CLOEXEC | SOCK_NONBLOCK;
	struct ifp_kind k = {.domain = domain, .type = type & ~extra, .protocol = protocol};
	struct ifpin_socket_opts o;
	int r = ifp_opts_read(opts, &o, ret_error);

	if (!r)
		r = ifp_kind_check(&k, ret_error);
	if (r)
		return r;
	r = open_one(&k, type, device, &o, true, ret_error);
	if (r != -ESTALE)
		return r;
	/* Renamed, or worse; a socket that was tied to another device is not used again. */
	r = ifp_device_current(device, ret_error);
	return r ?: open_one(&k, type, device, &o, false, ret_error);
}

/* What a socket may have from its earlier life. */
static int clear_former_life(int fd, const struct ifp_kind *k)
{
	static const char too_much[65535];
	struct in6_pktinfo none = {};
	int r = 0;

	/* What is corked has its route already. A send that is too long throws it away. */
	if (k->type != SOCK_STREAM &&
		send(fd, too_much, sizeof(too_much), MSG_DONTWAIT | MSG_MORE | MSG_NOSIGNAL) >= 0)
		return -EBUSY;
	if (k->domain == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_PKTINFO, &none, sizeof(none)))
		return -errno;
	if (speaks(k, AF_INET) && setsockopt(fd, IPPROTO_IP, IP_OPTIONS, NULL, 0))
		r = -errno;
	if (!r && speaks(k, AF_INET6) && setsockopt(fd, IPPROTO_IPV6, IPV6_RTHDR, NULL, 0))
		r = -errno;
	return r;
}

static int pin(int fd, const struct ifpin_device *dev, const struct ifpin_socket_opts *opts,
	struct ifpin_error *err)
{
	struct ifpin_socket_opts o;
	struct ifp_kind k;
	int listening = 0, r = ifp_opts_read(opts, &o, err);

	if (r)
		return r;
	r = ifp_kind_of(fd, &k);
	if (r)
		return ifp_fail_errno(err, r, "this is no socket that can be pinned");
	r = ifp_kind_check(&k, err);
	if (r)
		return r;
	if (fcntl(fd, F_SETFD, o.flags & IFPIN_INHERITABLE ? 0 : FD_CLOEXEC))
		return ifp_fail_errno(err, -errno, "cannot set close-on-exec");
	r = ifp_check_netns(fd, dev, err);
	if (r)
		return r;
	if (!ifp_get_int(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening) && listening)
		return ifp_fail(err, -EINVAL,
			"the socket listens already, and may have connections that are not pinned: "
			"pin it before listen(2)");
	r = clear_former_life(fd, &k);
	if (r)
		return ifp_fail_errno(err, r, "cannot clear what the socket has from before");
	r = ifp_set_reach(fd, &k, o.flags, err);
	if (!r)
		r = ifp_hold_again(fd, &k, dev, &o, err);
	if (!r && !(o.flags & IFPIN_FOREIGN_SOURCE))
		r = ifp_check_source(fd, dev, err);
	return r;
}

int ifpin_pin(int *fd, const struct ifpin_device *device, const struct ifpin_socket_opts *opts,
	struct ifpin_error *ret_error)
{
	int r = pin(*fd, device, opts, ret_error);

	if (r) {
		ifp_closep(fd);
		*fd = -1;
	}
	return r;
}
