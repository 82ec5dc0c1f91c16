// SPDX-License-Identifier: MIT
/* What a socket is bound to, as a struct and as a sentence. */
#include "internal.h"

#include "device/device.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

static void say(struct ifpin_inspection *i, const char *fmt, ...) _printf_(2, 3);
static void say(struct ifpin_inspection *i, const char *fmt, ...)
{
	size_t used = strlen(i->text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(i->text + used, sizeof(i->text) - used, fmt, ap);
	va_end(ap);
}

struct addr_text {
	char text[INET6_ADDRSTRLEN + 16];
};

static struct addr_text addr_text(const struct sockaddr_storage *ss)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)ss;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
	char addr[INET6_ADDRSTRLEN];
	struct addr_text t;

	if (ss->ss_family == AF_INET)
		snprintf(t.text, sizeof(t.text), "%s:%d",
			inet_ntop(AF_INET, &in->sin_addr, addr, sizeof(addr)), ntohs(in->sin_port));
	else
		snprintf(t.text, sizeof(t.text), "[%s]:%d",
			inet_ntop(AF_INET6, &in6->sin6_addr, addr, sizeof(addr)),
			ntohs(in6->sin6_port));
	return t;
}

struct search {
	uint8_t addr[16];
	uint32_t ifindex;
	bool hit;
};

static int on_address(const struct nlmsghdr *nlh, void *data)
{
	struct search *s = data;
	struct ifp_local_addr a;

	s->hit = s->hit || (!ifp_addr_parse(nlh, &a) && a.ifindex == s->ifindex &&
				   !memcmp(a.addr, s->addr, sizeof(a.addr)));
	return 0;
}

static bool is_any(const struct sockaddr_storage *ss)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)ss;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;

	return ss->ss_family == AF_INET ? in->sin_addr.s_addr == INADDR_ANY
					: IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
}

static int look_at_local(int fd, struct ifpin_inspection *i)
{
	struct search s = {.ifindex = i->bound_ifindex};
	socklen_t len = sizeof(i->local);
	int r;

	if (getsockname(fd, (struct sockaddr *)&i->local, &len))
		return -errno;
	if (i->alive != IFPIN_YES || is_any(&i->local) ||
		ifp_addr_from_sockaddr((struct sockaddr *)&i->local, len, s.addr))
		return 0;
	r = ifp_addr_dump(on_address, &s);
	i->local_is_devices = s.hit ? IFPIN_YES : IFPIN_NO;
	return r;
}

static int look_at_peer(int fd, struct ifpin_inspection *i)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&i->peer;
	socklen_t len = sizeof(i->peer);
	uint32_t oif, scope = 0;
	uint8_t addr[16];
	int r;

	if (getpeername(fd, (struct sockaddr *)&i->peer, &len)) {
		memset(&i->peer, 0, sizeof(i->peer));
		return errno == ENOTCONN ? 0 : -errno;
	}
	if (i->alive != IFPIN_YES || ifp_addr_from_sockaddr((struct sockaddr *)&i->peer, len, addr))
		return 0;
	if (i->domain == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
		scope = in6->sin6_scope_id;
	r = ifp_route_lookup(addr, NULL, scope, &oif);
	i->peer_routed_there = oif == i->bound_ifindex ? IFPIN_YES : IFPIN_NO;
	return r;
}

static int look_at_device(int fd, const struct ifp_kind *k, const struct ifpin_device *wanted,
	struct ifpin_inspection *i)
{
	bool six = i->domain == AF_INET6;
	int bound, unicast, r = ifp_get_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &bound);

	if (r)
		return r;
	i->bound_ifindex = (uint32_t)bound;
	if (i->type != SOCK_STREAM && !ifp_get_int(fd, six ? IPPROTO_IPV6 : IPPROTO_IP,
					      six ? IPV6_UNICAST_IF : IP_UNICAST_IF, &unicast))
		i->unicast_ifindex = ntohl((uint32_t)unicast);
	/* An IPv6 socket speaks IPv4 as well, and is held by the weaker of the two. */
	if (six && !k->v6only && i->type == SOCK_DGRAM &&
		!ifp_get_int(fd, IPPROTO_IP, IP_UNICAST_IF, &unicast) &&
		ntohl((uint32_t)unicast) != i->unicast_ifindex)
		i->unicast_ifindex = 0;
	if (!bound)
		return 0;
	r = ifp_device_by_index(i->bound_ifindex, &i->device);
	if (r && r != -ENODEV)
		return r;
	i->alive = r ? IFPIN_NO : IFPIN_YES;
	if (wanted)
		i->same = !r && wanted->ifindex == i->bound_ifindex &&
					  ifp_device_same(wanted, &i->device)
				  ? IFPIN_YES
				  : IFPIN_NO;
	return 0;
}

/* Everything but TCP forgets its device at connect(AF_UNSPEC); IP_UNICAST_IF is what holds then,
 * but for IPv6 with a source address (socket.h). */
static void judge_forgetting(struct ifpin_inspection *i)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&i->local;
	bool hint = i->domain == AF_INET6 && !is_any(&i->local) &&
		    !IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);

	i->verdict = IFPIN_VERDICT_PINNED;
	if (i->type == SOCK_STREAM)
		return;
	if (hint) {
		say(i, ", as long as nobody dissolves an association (connect with AF_UNSPEC)");
	} else if (i->unicast_ifindex != i->bound_ifindex) {
		i->verdict = IFPIN_VERDICT_INCOMPLETE;
		say(i, ", until connect(AF_UNSPEC) makes the kernel forget it (no IP_UNICAST_IF)");
	}
}

static void judge(const struct ifp_kind *k, struct ifpin_inspection *i)
{
	if (!i->bound_ifindex) {
		i->verdict = IFPIN_VERDICT_UNPINNED;
		say(i, "tied to no device: routing decides");
	} else if (i->alive == IFPIN_NO) {
		i->verdict = IFPIN_VERDICT_DEAD;
		say(i, "tied to index %u, which is gone: it must be pinned anew", i->bound_ifindex);
	} else if (i->same == IFPIN_NO) {
		i->verdict = IFPIN_VERDICT_ELSEWHERE;
		say(i, "tied to %s (index %u), which is another device than the one asked about",
			i->device.name, i->bound_ifindex);
	} else {
		say(i, "tied to %s (index %u, %s)", i->device.name, i->bound_ifindex,
			i->device.flags & IFPIN_DEVICE_UP ? "up" : "down");
		if (ifp_kind_check(k, NULL)) {
			i->verdict = IFPIN_VERDICT_INCOMPLETE;
			say(i, ", and its protocol may use other devices by itself");
		} else {
			judge_forgetting(i);
		}
	}
}

static void say_addresses(struct ifpin_inspection *i)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&i->local;

	/* sin_port and sin6_port are at one place. */
	if (is_any(&i->local) && in->sin_port)
		say(i, "; local port %d", ntohs(in->sin_port));
	if (!is_any(&i->local)) {
		say(i, "; local %s", addr_text(&i->local).text);
		if (i->local_is_devices)
			say(i, " is %s%s's", i->local_is_devices == IFPIN_YES ? "" : "not ",
				i->device.name);
	}
	if (i->peer.ss_family) {
		say(i, "; peer %s", addr_text(&i->peer).text);
		if (i->peer_routed_there)
			say(i, ", and the host's routes lead there by %s%s",
				i->peer_routed_there == IFPIN_YES ? "" : "another device than ",
				i->device.name);
	}
}

static const char *protocol_name(const struct ifpin_inspection *i)
{
	if (i->type == SOCK_RAW)
		return "raw";
	switch (i->protocol) {
	case IPPROTO_TCP:
		return "TCP";
	case IPPROTO_UDP:
		return "UDP";
	case IPPROTO_UDPLITE:
		return "UDP-Lite";
	case IPPROTO_MPTCP:
		return "multipath TCP";
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return "ping";
	default:
		return "other";
	}
}

static int check_namespace(int fd, const struct ifpin_device *wanted, struct ifpin_error *err)
{
	_cleanup_close_ int mine = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (mine < 0)
		return ifp_fail_errno(err, -errno, "cannot ask for the network namespace");
	if (ifp_netns_of(fd) != ifp_netns_of(mine))
		return ifp_fail(err, -EXDEV, "the socket is of another network namespace");
	return wanted ? ifp_check_netns(fd, wanted, err) : 0;
}

int ifpin_inspect(int fd, const struct ifpin_device *device,
	struct ifpin_inspection *ret_inspection, struct ifpin_error *ret_error)
{
	struct ifpin_inspection i = {};
	struct ifp_kind k;
	int r = ifp_get_int(fd, SOL_SOCKET, SO_DOMAIN, &i.domain);

	if (r)
		return ifp_fail_errno(ret_error, r, "descriptor %d", fd);
	if (i.domain != AF_INET && i.domain != AF_INET6)
		return ifp_fail(ret_error, -EAFNOSUPPORT,
			"descriptor %d is a socket of family %d, neither IPv4 nor IPv6", fd,
			i.domain);
	r = check_namespace(fd, device, ret_error);
	if (r)
		return r;
	r = ifp_kind_of(fd, &k);
	if (!r) {
		i.type = k.type;
		i.protocol = k.protocol;
		r = look_at_device(fd, &k, device, &i);
	}
	if (!r)
		r = look_at_local(fd, &i);
	if (!r)
		r = look_at_peer(fd, &i);
	if (r)
		return ifp_fail_errno(ret_error, r, "cannot look at descriptor %d", fd);
	say(&i, "IPv%d %s socket, ", i.domain == AF_INET ? 4 : 6, protocol_name(&i));
	judge(&k, &i);
	say_addresses(&i);
	*ret_inspection = i;
	return 0;
}
