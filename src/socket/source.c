// SPDX-License-Identifier: MIT
/* Source addresses: the device's own, unless another is asked for. */
#include "internal.h"

#include "device/device.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

struct own {
	const struct ifpin_device *dev;
	int family;
	uint8_t wanted[16], best[16];
	bool is_own, has_best;
	uint8_t best_scope;
	uint32_t owner; /* another device that has it */
};

static int on_address(const struct nlmsghdr *nlh, void *data)
{
	struct own *o = data;
	struct ifp_local_addr a;

	if (ifp_addr_parse(nlh, &a))
		return 0;
	if (!memcmp(a.addr, o->wanted, sizeof(a.addr))) {
		if (a.ifindex == o->dev->ifindex)
			o->is_own = true;
		else
			o->owner = a.ifindex;
	}
	if (a.ifindex != o->dev->ifindex || ifp_addr_is_v4(a.addr) != (o->family == AF_INET) ||
		a.secondary || !a.usable || (o->has_best && a.scope >= o->best_scope))
		return 0;
	/* The scopes of rtnetlink(7) grow as they get narrower. */
	memcpy(o->best, a.addr, sizeof(a.addr));
	o->best_scope = a.scope;
	o->has_best = true;
	return 0;
}

static bool is_any(const uint8_t addr[16])
{
	static const uint8_t zero[16], mapped[16] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(addr, zero, sizeof(zero)) || !memcmp(addr, mapped, sizeof(mapped));
}

static bool is_group(const uint8_t addr[16])
{
	return ifp_addr_is_v4(addr) ? addr[12] >> 4 == 14 : addr[0] == 0xff;
}

static int refuse_source(const struct own *o, struct ifpin_error *err)
{
	struct ifpin_device owner = {};
	char text[INET6_ADDRSTRLEN];

	ifp_addr_text(o->wanted, text);
	if (!o->owner || ifp_device_by_index(o->owner, &owner))
		return ifp_fail(
			err, -EADDRNOTAVAIL, "%s is not an address of %s", text, o->dev->name);
	return ifp_fail(err, -EADDRNOTAVAIL,
		"%s is an address of %s, not of %s: packets would leave by %s, and answers come back "
		"to %s (IFPIN_FOREIGN_SOURCE allows it)",
		text, owner.name, o->dev->name, o->dev->name, owner.name);
}

static int look(struct own *o, struct ifpin_error *err)
{
	int r = ifp_addr_dump(on_address, o);

	return r ? ifp_fail_errno(err, r, "cannot list the addresses of %s", o->dev->name) : 0;
}

static void set_port(struct sockaddr_storage *ss, uint16_t port)
{
	if (ss->ss_family == AF_INET)
		((struct sockaddr_in *)ss)->sin_port = htons(port);
	else
		((struct sockaddr_in6 *)ss)->sin6_port = htons(port);
}

/* The address to bind. Return: as ifpin_socket(). */
static int choose(const struct ifp_kind *k, const struct ifpin_device *dev,
	const struct ifpin_socket_opts *opts, struct sockaddr_storage *ret, struct ifpin_error *err)
{
	struct own o = {.dev = dev, .family = k->domain};
	int r;

	memset(ret, 0, sizeof(*ret));
	if (opts->source == IFPIN_SOURCE_NONE) {
		ret->ss_family = (sa_family_t)k->domain;
		set_port(ret, opts->port);
		return 0;
	}
	if (opts->source == IFPIN_SOURCE_DEVICE) {
		r = look(&o, err);
		if (r)
			return r;
		if (!o.has_best)
			return ifp_fail(err, -EADDRNOTAVAIL, "%s has no usable IPv%d address",
				dev->name, k->domain == AF_INET ? 4 : 6);
		ifp_addr_to_sockaddr(o.best, dev->ifindex, ret);
		set_port(ret, opts->port);
		return 0;
	}
	if (ifp_addr_from_sockaddr(opts->address, opts->address_len, o.wanted) ||
		opts->address->sa_family != k->domain)
		return ifp_fail(err, -EINVAL,
			"the source address (%u bytes) is not of the socket's family",
			opts->address_len);
	memcpy(ret, opts->address,
		k->domain == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
	/* A group is bound to hear it alone; it is nobody's source. */
	if (is_any(o.wanted) || is_group(o.wanted) || opts->flags & IFPIN_FOREIGN_SOURCE)
		return 0;
	r = look(&o, err);
	if (!r && !o.is_own)
		r = refuse_source(&o, err);
	return r;
}

int ifp_bind_source(int fd, const struct ifp_kind *k, const struct ifpin_device *dev,
	const struct ifpin_socket_opts *o, struct ifpin_error *err)
{
	struct sockaddr_storage ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
	int r = 0;

	if (o->flags & IFPIN_REUSE_ADDRESS)
		r = ifp_set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (!r && o->flags & IFPIN_REUSE_PORT)
		r = ifp_set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (r)
		return ifp_fail_errno(err, r, "cannot share the port");
	if (o->source == IFPIN_SOURCE_NONE && !o->port)
		return 0;
	r = choose(k, dev, o, &ss, err);
	if (r)
		return r;
	if (ss.ss_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) &&
		!in6->sin6_scope_id)
		in6->sin6_scope_id = dev->ifindex;
	/* sin_port and sin6_port are at one place. A port is taken at connect() then, not now. */
	if (k->type == SOCK_STREAM && !in6->sin6_port)
		ifp_set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	if (bind(fd, (struct sockaddr *)&ss,
		    k->domain == AF_INET ? sizeof(struct sockaddr_in) : sizeof(*in6)))
		return ifp_fail_errno(
			err, -errno, "cannot bind the source address on %s", dev->name);
	return 0;
}

int ifp_check_source(int fd, const struct ifpin_device *dev, struct ifpin_error *err)
{
	struct own o = {.dev = dev};
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int r;

	if (getsockname(fd, (struct sockaddr *)&ss, &len))
		return ifp_fail_errno(err, -errno, "cannot read the socket's address");
	if (ifp_addr_from_sockaddr((struct sockaddr *)&ss, len, o.wanted) || is_any(o.wanted) ||
		is_group(o.wanted))
		return 0;
	r = look(&o, err);
	if (!r && !o.is_own)
		r = refuse_source(&o, err);
	return r;
}
