// SPDX-License-Identifier: MIT
/* What a single packet can name, judged before the kernel sees it. */
#include "internal.h"

#include "device/device.h"

#include <errno.h>
#include <string.h>

#ifndef IPV6_2292PKTINFO
#define IPV6_2292PKTINFO 2
#endif
#ifndef IPV6_2292RTHDR
#define IPV6_2292RTHDR 5
#endif

static int judge_index(uint32_t named, uint32_t ifindex)
{
	return named && named != ifindex ? -EXDEV : 0;
}

static int judge_control(const struct cmsghdr *c, uint32_t ifindex)
{
	if (c->cmsg_level == IPPROTO_IP) {
		struct in_pktinfo info;

		if (c->cmsg_type == IP_RETOPTS)
			return -EPERM;
		if (c->cmsg_type != IP_PKTINFO)
			return 0;
		if (c->cmsg_len < CMSG_LEN(sizeof(info)))
			return -EINVAL;
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		return judge_index((uint32_t)info.ipi_ifindex, ifindex);
	}
	if (c->cmsg_level == IPPROTO_IPV6) {
		struct in6_pktinfo info;

		if (c->cmsg_type == IPV6_RTHDR || c->cmsg_type == IPV6_2292RTHDR)
			return -EPERM;
		if (c->cmsg_type != IPV6_PKTINFO && c->cmsg_type != IPV6_2292PKTINFO)
			return 0;
		if (c->cmsg_len < CMSG_LEN(sizeof(info)))
			return -EINVAL;
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		return judge_index(info.ipi6_ifindex, ifindex);
	}
	return 0;
}

/* CMSG_NXTHDR() of the C library passes over what the kernel would still read; this does not. */
static int judge_controls(const struct msghdr *msg, uint32_t ifindex)
{
	const char *p = msg->msg_control;
	size_t left = msg->msg_controllen;

	while (p && left >= sizeof(struct cmsghdr)) {
		const struct cmsghdr *c = (const struct cmsghdr *)p;
		size_t step;
		int r;

		if (c->cmsg_len < sizeof(*c) || c->cmsg_len > left)
			return -EINVAL;
		r = judge_control(c, ifindex);
		if (r)
			return r;
		step = CMSG_ALIGN(c->cmsg_len);
		if (step > left)
			break;
		p += step;
		left -= step;
	}
	return 0;
}

static int judge_address(const void *address, socklen_t len, uint32_t ifindex)
{
	const struct sockaddr_in6 *in6 = address;

	/* Shorter ones have no scope: the kernel takes 24 bytes for an IPv6 address as well. A
	 * family of 0 is IPv6 to a raw socket. */
	if (!address || len < sizeof(*in6) ||
		(in6->sin6_family != AF_INET6 && in6->sin6_family != AF_UNSPEC))
		return 0;
	return judge_index(in6->sin6_scope_id, ifindex);
}

static int judge(const struct msghdr *msg, uint32_t ifindex)
{
	int r = judge_address(msg->msg_name, msg->msg_namelen, ifindex);

	return r || !msg->msg_controllen ? r : judge_controls(msg, ifindex);
}

ssize_t ifpin_sendmsg(
	int fd, const struct ifpin_device *device, const struct msghdr *msg, int flags)
{
	int r = judge(msg, device->ifindex);
	ssize_t n;

	if (r)
		return r;
	n = sendmsg(fd, msg, flags);
	return n < 0 ? -errno : n;
}

int ifpin_sendmmsg(int fd, const struct ifpin_device *device, struct mmsghdr *msgvec,
	unsigned int vlen, int flags)
{
	int n;

	for (unsigned int i = 0; i < vlen; i++) {
		int r = judge(&msgvec[i].msg_hdr, device->ifindex);

		if (r)
			return r;
	}
	n = sendmmsg(fd, msgvec, vlen, flags);
	return n < 0 ? -errno : n;
}

static int is_tied(int fd, const struct ifpin_device *device)
{
	int bound, r = ifp_get_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &bound);

	if (r)
		return r;
	return device->ifindex && (uint32_t)bound == device->ifindex ? 0 : -EXDEV;
}

/* connect(AF_UNSPEC) makes the kernel forget the device of all but TCP; it is tied again at once.
 */
static int dissolve(
	int fd, const struct ifpin_device *device, const struct sockaddr *address, socklen_t len)
{
	const struct ifpin_socket_opts none = {};
	struct ifp_filter_saved saved;
	struct ifp_kind k;
	int r = ifp_kind_of(fd, &k), r2;

	if (r)
		return r;
	if (k.type == SOCK_STREAM)
		return connect(fd, address, len) ? -errno : 0;
	/* Meanwhile IP_UNICAST_IF holds; its IPv6 twin is a hint where there is a source address.
	 */
	if (k.domain == AF_INET6)
		return -EOPNOTSUPP;
	r = ifp_deafen(fd, &saved, NULL);
	if (r)
		return r;
	r = connect(fd, address, len) ? -errno : ifp_hold(fd, &k, device, &none, false, NULL);
	r2 = ifp_hear_again(fd, &saved, false, NULL);
	return r ?: r2;
}

int ifpin_connect(
	int fd, const struct ifpin_device *device, const struct sockaddr *address, socklen_t len)
{
	int r = len < sizeof(sa_family_t) ? -EINVAL : is_tied(fd, device);

	if (!r && address->sa_family == AF_UNSPEC)
		return dissolve(fd, device, address, len);
	if (!r)
		r = judge_address(address, len, device->ifindex);
	if (r)
		return r;
	return connect(fd, address, len) ? -errno : 0;
}

/* ---- multicast ---- */

static int check_group(const struct sockaddr *group, const struct sockaddr *source, int *ret_level)
{
	bool four = group->sa_family == AF_INET;

	if (!four && group->sa_family != AF_INET6)
		return -EAFNOSUPPORT;
	if (source && source->sa_family != group->sa_family)
		return -EINVAL;
	if (four ? !IN_MULTICAST(ntohl(((const struct sockaddr_in *)group)->sin_addr.s_addr))
		 : !IN6_IS_ADDR_MULTICAST(&((const struct sockaddr_in6 *)group)->sin6_addr))
		return -EINVAL;
	*ret_level = four ? IPPROTO_IP : IPPROTO_IPV6;
	return 0;
}

/* The kernel has three errors for "is joined already" and "is not joined"; here each has one. */
static int same_words(int r, bool join, bool has_source)
{
	if (has_source && join && r == -EADDRNOTAVAIL)
		return -EADDRINUSE;
	if (has_source && !join && r == -EINVAL)
		return -EADDRNOTAVAIL;
	return r;
}

static int membership(int fd, const struct ifpin_device *device, const struct sockaddr *group,
	const struct sockaddr *source, bool join)
{
	struct group_req g = {.gr_interface = device->ifindex};
	struct group_source_req gs = {.gsr_interface = device->ifindex};
	int level, r = check_group(group, source, &level);
	size_t len;

	if (r)
		return r;
	len = level == IPPROTO_IP ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	memcpy(&g.gr_group, group, len);
	gs.gsr_group = g.gr_group;
	if (source) {
		memcpy(&gs.gsr_source, source, len);
		r = setsockopt(fd, level, join ? MCAST_JOIN_SOURCE_GROUP : MCAST_LEAVE_SOURCE_GROUP,
			&gs, sizeof(gs));
	} else {
		r = setsockopt(
			fd, level, join ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP, &g, sizeof(g));
	}
	return r ? same_words(-errno, join, source) : 0;
}

static int group_failed(struct ifpin_error *err, int r, const char *what,
	const struct sockaddr *group, const struct ifpin_device *device)
{
	char text[INET6_ADDRSTRLEN] = "?";
	uint8_t addr[16];

	if (!ifp_addr_from_sockaddr(group, sizeof(struct sockaddr_in6), addr))
		ifp_addr_text(addr, text);
	if (r == -EADDRINUSE)
		return ifp_fail(err, r, "%s is joined on %s already", text, device->name);
	if (r == -EADDRNOTAVAIL)
		return ifp_fail(err, r, "%s is not joined on %s", text, device->name);
	if (r == -EINVAL)
		return ifp_fail(err, r,
			"%s is no multicast address, or the source is of another family", text);
	return ifp_fail_errno(err, r, "cannot %s %s on %s", what, text, device->name);
}

int ifpin_join(int fd, const struct ifpin_device *device, const struct sockaddr *group,
	const struct sockaddr *source, struct ifpin_error *ret_error)
{
	int r = is_tied(fd, device);

	if (r == -EXDEV)
		return ifp_fail(ret_error, r,
			"the socket is not tied to %s (index %u); pin it, then join", device->name,
			device->ifindex);
	if (!r)
		r = membership(fd, device, group, source, true);
	return r ? group_failed(ret_error, r, "join", group, device) : 0;
}

int ifpin_leave(int fd, const struct ifpin_device *device, const struct sockaddr *group,
	const struct sockaddr *source, struct ifpin_error *ret_error)
{
	int r = membership(fd, device, group, source, false);

	/* Of a device that is gone only the whole membership can be left. */
	if (r == -ENODEV && source)
		r = membership(fd, device, group, NULL, false);
	return r ? group_failed(ret_error, r, "leave", group, device) : 0;
}
