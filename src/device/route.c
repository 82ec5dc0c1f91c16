// SPDX-License-Identifier: MIT
#include "device.h"

#include "base/base.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

int ifp_addr_parse(const struct nlmsghdr *nlh, struct ifp_local_addr *ret)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *local = NULL, *address = NULL;
	struct ifp_local_addr a = {};
	struct nlattr *attr;
	size_t len;

	if ((nlh->nlmsg_type != RTM_NEWADDR && nlh->nlmsg_type != RTM_DELADDR) ||
		mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifa))
		return -EBADMSG;
	mnl_attr_for_each (attr, nlh, sizeof(*ifa)) {
		if (mnl_attr_get_type(attr) == IFA_LOCAL)
			local = attr;
		else if (mnl_attr_get_type(attr) == IFA_ADDRESS)
			address = attr;
	}
	/* On a point-to-point link IFA_ADDRESS is the peer's; IFA_LOCAL is always ours. */
	local = local ?: address;
	len = ifa->ifa_family == AF_INET ? 4 : 16;
	if (!local || (ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6) ||
		mnl_attr_get_payload_len(local) != len)
		return -EBADMSG;
	if (len == 4)
		a.addr[10] = a.addr[11] = 0xff;
	memcpy(a.addr + 16 - len, mnl_attr_get_payload(local), len);
	memcpy(a.peer, a.addr, sizeof(a.peer));
	if (address && mnl_attr_get_payload_len(address) == len)
		memcpy(a.peer + 16 - len, mnl_attr_get_payload(address), len);
	a.ifindex = ifa->ifa_index;
	if (ifa->ifa_prefixlen > 8 * len)
		return -EBADMSG;
	a.prefixlen = (uint8_t)(128 - 8 * len + ifa->ifa_prefixlen);
	a.deleted = nlh->nlmsg_type == RTM_DELADDR;
	a.scope = ifa->ifa_scope;
	a.secondary = ifa->ifa_family == AF_INET && ifa->ifa_flags & IFA_F_SECONDARY;
	a.failed = ifa->ifa_flags & IFA_F_DADFAILED;
	a.ready = !a.failed &&
		  (!(ifa->ifa_flags & IFA_F_TENTATIVE) || ifa->ifa_flags & IFA_F_OPTIMISTIC);
	a.usable = !(ifa->ifa_flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED));
	*ret = a;
	return 0;
}

static struct nlmsghdr *addr_request(char *buf)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifaddrmsg *ifa;

	nlh->nlmsg_type = RTM_GETADDR;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	ifa->ifa_family = AF_UNSPEC;
	return nlh;
}

int ifp_addr_dump(ifp_nl_cb cb, void *data)
{
	char buf[256] = {};

	return ifp_nl_talk(addr_request(buf), cb, data);
}

int ifp_addr_dump_on(struct mnl_socket *nl, ifp_nl_cb cb, void *data)
{
	char buf[256] = {};

	return ifp_nl_ask(nl, addr_request(buf), cb, data);
}

int ifp_addr_from_sockaddr(const struct sockaddr *sa, socklen_t len, uint8_t ret[16])
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

	if (len >= sizeof(*in) && sa->sa_family == AF_INET) {
		memset(ret, 0, 10);
		ret[10] = ret[11] = 0xff;
		memcpy(ret + 12, &in->sin_addr, 4);
		return 0;
	}
	if (len >= sizeof(*in6) && sa->sa_family == AF_INET6) {
		memcpy(ret, &in6->sin6_addr, 16);
		return 0;
	}
	return -EAFNOSUPPORT;
}

void ifp_addr_to_sockaddr(const uint8_t addr[16], uint32_t scope, struct sockaddr_storage *ret)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (ifp_addr_is_v4(addr)) {
		in->sin_family = AF_INET;
		memcpy(&in->sin_addr, addr + 12, 4);
		return;
	}
	in6->sin6_family = AF_INET6;
	memcpy(&in6->sin6_addr, addr, 16);
	if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) || IN6_IS_ADDR_MC_LINKLOCAL(&in6->sin6_addr))
		in6->sin6_scope_id = scope;
}

static size_t addr_len(int family)
{
	return family == AF_INET ? 4 : 16;
}

static bool is_encapsulated(const struct rtnexthop *nh)
{
	const void *attrs = RTNH_DATA(nh);
	const struct nlattr *attr;

	mnl_attr_for_each_payload (attrs, nh->rtnh_len - RTNH_ALIGN(sizeof(*nh)))
		if (mnl_attr_get_type(attr) == RTA_ENCAP)
			return true;
	return false;
}

/* ret_other: some are on other devices, or go somewhere else in the end. */
static void next_hops(
	const struct nlattr *attr, uint32_t ifindex, struct ifp_route *r, bool *ret_other)
{
	const struct rtnexthop *nh = mnl_attr_get_payload(attr);
	int left = mnl_attr_get_payload_len(attr);

	for (; left >= (int)sizeof(*nh) && RTNH_OK(nh, left);
		left -= RTNH_ALIGN(nh->rtnh_len), nh = RTNH_NEXT(nh)) {
		if ((uint32_t)nh->rtnh_ifindex == ifindex)
			r->uses_device = true;
		if ((uint32_t)nh->rtnh_ifindex != ifindex || is_encapsulated(nh))
			*ret_other = true;
		r->has_gateway = r->has_gateway || nh->rtnh_len > sizeof(*nh);
	}
}

int ifp_route_put_prefix(struct ifp_route *to, const uint8_t *dst, size_t len, uint8_t prefixlen)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	size_t n = addr_len(to->family), skip = 16 - n;

	if (len != n || prefixlen > 8 * n)
		return -EBADMSG;
	memcpy(to->dst, mapped, skip);
	memcpy(to->dst + skip, dst, n);
	to->prefixlen = (uint8_t)(8 * skip + prefixlen);
	return 0;
}

bool ifp_route_covers(const struct ifp_route *outer, const struct ifp_route *r)
{
	uint8_t bytes = outer->prefixlen / 8, bits = outer->prefixlen % 8;

	if (outer->prefixlen > r->prefixlen || memcmp(outer->dst, r->dst, bytes))
		return false;
	return !bits || !((outer->dst[bytes] ^ r->dst[bytes]) & (0xff00 >> bits) & 0xff);
}

int ifp_route_parse(const struct nlmsghdr *nlh, uint32_t ifindex, struct ifp_route *ret)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	struct ifp_route r = {};
	struct nlattr *attr;
	uint8_t dst[16] = {};
	bool other = false;

	if ((nlh->nlmsg_type != RTM_NEWROUTE && nlh->nlmsg_type != RTM_DELROUTE) ||
		mnl_nlmsg_get_payload_len(nlh) < sizeof(*rtm) ||
		(rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6) ||
		rtm->rtm_dst_len > 8 * addr_len(rtm->rtm_family))
		return -EBADMSG;
	if ((rtm->rtm_type != RTN_UNICAST && rtm->rtm_type != RTN_THROW) ||
		rtm->rtm_flags & RTM_F_CLONED)
		return -ENOMSG;
	r.table = rtm->rtm_table;
	r.by_source = rtm->rtm_src_len > 0;
	r.by_tos = rtm->rtm_tos > 0;
	mnl_attr_for_each (attr, nlh, sizeof(*rtm)) {
		size_t len = mnl_attr_get_payload_len(attr);

		switch (mnl_attr_get_type(attr)) {
		case RTA_DST:
			if (len != addr_len(rtm->rtm_family))
				return -EBADMSG;
			memcpy(dst, mnl_attr_get_payload(attr), len);
			break;
		case RTA_OIF:
			if (len < 4)
				return -EBADMSG;
			*(mnl_attr_get_u32(attr) == ifindex ? &r.uses_device : &other) = true;
			break;
		case RTA_ENCAP: /* is routed once more */
			other = true;
			break;
		case RTA_MULTIPATH:
			next_hops(attr, ifindex, &r, &other);
			break;
		case RTA_TABLE:
			if (len < 4)
				return -EBADMSG;
			r.table = mnl_attr_get_u32(attr);
			break;
		case RTA_GATEWAY:
		case RTA_VIA:
		case RTA_NH_ID: /* whose devices may not be told (net.ipv4.nexthop_compat_mode) */
			r.has_gateway = true;
			break;
		case RTA_PRIORITY:
			if (len < 4)
				return -EBADMSG;
			r.priority = mnl_attr_get_u32(attr);
			break;
		}
	}
	/* Every link has its own fe80::/64 and ff00::/8; a scope or an option chooses there. */
	if (rtm->rtm_family == AF_INET6 && (dst[0] == 0xff || (dst[0] == 0xfe && dst[1] == 0x80)))
		return -ENOMSG;
	r.family = rtm->rtm_family;
	ifp_route_put_prefix(&r, dst, addr_len(r.family), rtm->rtm_dst_len);
	r.is_default = !rtm->rtm_dst_len;
	r.uses_device = r.uses_device && rtm->rtm_type == RTN_UNICAST;
	r.shared = r.uses_device && other;
	*ret = r;
	return 0;
}

static int on_lookup(const struct nlmsghdr *nlh, void *data)
{
	uint32_t *oif = data;
	struct nlattr *attr;

	if (nlh->nlmsg_type != RTM_NEWROUTE)
		return 0;
	mnl_attr_for_each (attr, nlh, sizeof(struct rtmsg))
		if (mnl_attr_get_type(attr) == RTA_OIF && mnl_attr_get_payload_len(attr) >= 4)
			*oif = mnl_attr_get_u32(attr);
	return 0;
}

/* src: NULL, or a source; oif: 0, or the device that a link-local destination is on. */
static int look_up(
	int family, const uint8_t *dst, const uint8_t *src, uint32_t oif, uint32_t *ret_oif)
{
	char buf[512] = {};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct rtmsg *rtm;
	int r;

	nlh->nlmsg_type = RTM_GETROUTE;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	rtm->rtm_family = (unsigned char)family;
	rtm->rtm_dst_len = (unsigned char)(8 * addr_len(family));
	mnl_attr_put(nlh, RTA_DST, addr_len(family), dst);
	if (src) {
		rtm->rtm_src_len = rtm->rtm_dst_len;
		mnl_attr_put(nlh, RTA_SRC, addr_len(family), src);
	}
	if (oif)
		mnl_attr_put_u32(nlh, RTA_OIF, oif);
	*ret_oif = 0;
	r = ifp_nl_talk(nlh, on_lookup, ret_oif);
	/* No route at all is an answer too: not by the device. */
	if (r == -ENETUNREACH || r == -EHOSTUNREACH || r == -EACCES || r == -EINVAL)
		r = 0;
	return r;
}

int ifp_route_lookup(const uint8_t dst[16], const uint8_t *src, uint32_t scope, uint32_t *ret_oif)
{
	if (ifp_addr_is_v4(dst))
		return look_up(AF_INET, dst + 12, src ? src + 12 : NULL, scope, ret_oif);
	return look_up(AF_INET6, dst, src, scope, ret_oif);
}
