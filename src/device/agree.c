// SPDX-License-Identifier: MIT
/* Whether the host's own routing would use one device for what the routes of that device reach. */
#include "device.h"

#include "base/base.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_ROUTES 64
#define MAX_INSIDE 4096
#define MAX_SOURCES 64
#define LOOPBACK 1

struct own_route {
	struct ifp_route route;
	bool crowded; /* more routes of others lie inside than are told */
};

struct judge {
	int family;
	uint32_t ifindex;
	size_t n, inside;
	struct own_route own[MAX_ROUTES];
	bool by_source; /* a rule, or a route, asks for the source address */
	bool by_mark;
	bool by_others;	 /* or for what no look-up here can say for every packet */
	bool by_gateway; /* another device has an IPv6 gateway */
	int (*cb)(const struct ifp_route *route, void *data);
	void *data;
};

static bool covers(const struct ifp_route *outer, const struct ifp_route *r)
{
	uint8_t bytes = outer->prefixlen / 8, bits = outer->prefixlen % 8;

	if (outer->prefixlen > r->prefixlen || memcmp(outer->dst, r->dst, bytes))
		return false;
	return !bits || !((outer->dst[bytes] ^ r->dst[bytes]) & (0xff00 >> bits) & 0xff);
}

static int on_own(const struct nlmsghdr *nlh, void *data)
{
	struct judge *j = data;
	struct ifp_route r;

	if (ifp_route_parse(nlh, j->ifindex, &r) || r.family != j->family || !r.uses_device ||
		j->n == MAX_ROUTES)
		return 0;
	j->own[j->n++].route = r;
	return 0;
}

static int on_other(const struct nlmsghdr *nlh, void *data)
{
	struct judge *j = data;
	bool inside = false;
	struct ifp_route r;

	if (ifp_route_parse(nlh, j->ifindex, &r) || r.family != j->family)
		return 0;
	j->by_source = j->by_source || r.by_source;
	j->by_others = j->by_others || r.by_tos;
	if (r.family == AF_INET6 && r.has_gateway && (!r.uses_device || r.shared))
		j->by_gateway = true;
	if (r.uses_device)
		return 0;
	for (size_t i = 0; i < j->n; i++) {
		struct own_route *own = &j->own[i];

		if (!covers(&own->route, &r))
			continue;
		if (own->route.prefixlen < r.prefixlen) {
			inside = true;
			own->crowded = own->crowded || j->inside == MAX_INSIDE;
		} else if (r.family == AF_INET6 && r.priority == own->route.priority &&
			   r.table == own->route.table) {
			/* The kernel takes the one whose router answers. */
			own->route.shared = true;
		}
	}
	if (!inside || j->inside == MAX_INSIDE || !j->cb)
		return 0;
	j->inside++;
	return j->cb(&r, j->data);
}

static int on_rule(const struct nlmsghdr *nlh, void *data)
{
	const struct fib_rule_hdr *rule = mnl_nlmsg_get_payload(nlh);
	struct judge *j = data;
	struct nlattr *attr;

	if (nlh->nlmsg_type != RTM_NEWRULE || mnl_nlmsg_get_payload_len(nlh) < sizeof(*rule))
		return 0;
	j->by_source = j->by_source || rule->src_len;
	j->by_others = j->by_others || rule->tos;
	mnl_attr_for_each (attr, nlh, sizeof(*rule))
		switch (mnl_attr_get_type(attr)) {
		case FRA_FWMARK:
			j->by_mark = true;
			break;
		case FRA_UID_RANGE:
			j->by_others = true;
			break;
		default: /* protocol, ports, DSCP, flow label, and what will be invented */
			if (mnl_attr_get_type(attr) >= FRA_IP_PROTO)
				j->by_others = true;
		}
	return 0;
}

/* Of the packet that they answer. */
static bool answers_have_marks(void)
{
	_cleanup_free_ char *text = NULL;

	return ifp_read_file("/proc/sys/net/ipv4/tcp_fwmark_accept", &text) || text[0] != '0';
}

static int dump(struct judge *j, uint16_t type, ifp_nl_cb cb)
{
	char buf[256] = {};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct rtmsg *rtm;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	/* struct fib_rule_hdr has its size, and its family first. */
	rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	rtm->rtm_family = (unsigned char)j->family;
	return ifp_nl_talk(nlh, cb, j);
}

static void pick_inside(const struct ifp_route *r, uint8_t ret[16])
{
	/* An address that no more specific route is likely to have: documentation nets. */
	static const uint8_t v4[16] = {[10] = 0xff, 0xff, 198, 51, 100, 7};
	static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 7};

	memcpy(ret, r->dst, 16);
	if (r->is_default)
		memcpy(ret, r->family == AF_INET ? v4 : v6, 16);
	else if (r->prefixlen < 128)
		/* Not the network's own address: that may be a broadcast or an anycast route. */
		ret[15] ^= r->prefixlen + 2u <= 128 ? 2 : 1;
}

static int leads_there(const struct judge *j, const uint8_t *dst, const uint8_t *src, bool *ret)
{
	uint32_t oif;
	int r = ifp_route_lookup_from(dst, src, &oif);

	*ret = oif == j->ifindex;
	return r;
}

static bool is_source(const struct judge *j, const struct ifp_local_addr *a)
{
	return ifp_addr_is_v4(a->addr) == (j->family == AF_INET) && a->scope == RT_SCOPE_UNIVERSE;
}

/*
 * ret_sure: whether answers lead there, from addresses of the device and of loopback; ret_any:
 * whether all does that is sent, from each address of the host or from none yet.
 */
static int judge_route(const struct judge *j, const struct ifp_route *route,
	const struct ifp_local_addr *v, size_t n, bool *ret_sure, bool *ret_any)
{
	bool sure = true, any = false, found = false;
	uint8_t dst[16];
	size_t asked = 0;
	int r;

	pick_inside(route, dst);
	r = leads_there(j, dst, NULL, &any);
	for (size_t i = 0; i < n && !r && j->by_source; i++) {
		bool there = false, ours = v[i].ifindex == j->ifindex || v[i].ifindex == LOOPBACK;

		if (!is_source(j, &v[i]))
			continue;
		if (asked++ < MAX_SOURCES)
			r = leads_there(j, dst, v[i].addr, &there);
		any = any && there;
		sure = sure && (there || !ours);
		found = found || v[i].ifindex == j->ifindex;
	}
	if (!j->by_source)
		sure = any;
	*ret_any = any && !route->shared && !j->by_others;
	*ret_sure = sure && (found || !j->by_source) && !route->shared && !j->by_others;
	return r;
}

int ifp_routes_agree(int family, uint32_t ifindex, const struct ifp_local_addr *addrs, size_t n,
	bool *ret_agree, int (*cb)(const struct ifp_route *route, void *data), void *data)
{
	struct judge j = {.family = family, .ifindex = ifindex, .cb = cb, .data = data};
	int ret = dump(&j, RTM_GETROUTE, on_own) ?: dump(&j, RTM_GETROUTE, on_other);
	bool agree;

	if (!ret) {
		ret = dump(&j, RTM_GETRULE, on_rule);
		/* A kernel without policy routing has no rules. */
		if (ret == -EOPNOTSUPP)
			ret = 0;
		j.by_others = j.by_others || (j.by_mark && answers_have_marks());
	}
	/* Without routes IPv4 takes all for on-link once bound; IPv6 reaches nothing either way. */
	agree = (j.n > 0 || family == AF_INET6) && j.n < MAX_ROUTES && !j.by_gateway &&
		!j.by_others;
	for (size_t i = 0; !ret && i < j.n; i++) {
		struct ifp_route route = j.own[i].route;
		bool sure, any;

		ret = judge_route(&j, &route, addrs, n, &sure, &any);
		route.leads_there = sure && !j.own[i].crowded;
		agree = agree && any;
		if (!ret && cb)
			ret = cb(&route, data);
	}
	if (ret)
		return ret;
	*ret_agree = agree;
	return 0;
}
