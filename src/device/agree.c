// SPDX-License-Identifier: MIT
/* Whether the host's own routing would use one device for what the routes of that device reach. */
#include "device.h"

#include "base/base.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_ROUTES 64
#define MAX_INSIDE 1024
#define MAX_SOURCES 64
#define LOOPBACK 1

struct own_route {
	struct ifp_route route;
	bool crowded; /* more routes of others lie inside than are told */
};

struct judge {
	int family;
	uint32_t ifindex;
	const struct ifp_local_addr *addrs;
	size_t n_addrs, n, inside;
	struct own_route own[MAX_ROUTES];
	bool by_source;	 /* a rule, or a route, asks for the source address */
	bool by_others;	 /* or for what no look-up here can say for every packet */
	bool by_gateway; /* another device has an IPv6 gateway */
	int (*cb)(const struct ifp_route *route, void *data);
	void *data;
};

static bool is_same(const struct ifp_route *a, const struct ifp_route *b)
{
	return a->prefixlen == b->prefixlen && ifp_route_covers(a, b) && a->table == b->table &&
	       a->priority == b->priority;
}

static int on_own(const struct nlmsghdr *nlh, void *data)
{
	struct judge *j = data;
	struct ifp_route r;

	if (ifp_route_parse(nlh, j->ifindex, &r) || r.family != j->family || !r.uses_device ||
		j->n == MAX_ROUTES)
		return 0;
	/* IPv6 may have several of them; and a dump may be read again. */
	for (size_t i = 0; i < j->n; i++)
		if (is_same(&j->own[i].route, &r)) {
			j->own[i].route.shared = j->own[i].route.shared || r.shared;
			return 0;
		}
	j->own[j->n++].route = r;
	return 0;
}

/* What is not the device's, or not for sure, and lies in one of its routes: that is told. */
static int tell_inside(struct judge *j, const struct ifp_route *r)
{
	bool inside = false;

	for (size_t i = 0; i < j->n; i++) {
		struct own_route *own = &j->own[i];

		if (!ifp_route_covers(&own->route, r) || own->route.prefixlen == r->prefixlen)
			continue;
		inside = true;
		own->crowded = own->crowded || j->inside == MAX_INSIDE;
	}
	if (!inside || j->inside == MAX_INSIDE || !j->cb)
		return 0;
	j->inside++;
	return j->cb(r, j->data);
}

/*
 * Which of two routes to one network is taken may depend on whose gateway answers. For IPv6 also a
 * route with a greater metric, or to a wider network, is fallen back on.
 */
static bool competes(const struct ifp_route *other, const struct ifp_route *own)
{
	return is_same(other, own) ||
	       (own->family == AF_INET6 && own->has_gateway && ifp_route_covers(other, own));
}

static int on_other(const struct nlmsghdr *nlh, void *data)
{
	struct judge *j = data;
	struct ifp_route r;

	if (ifp_route_parse(nlh, j->ifindex, &r) || r.family != j->family)
		return 0;
	j->by_source = j->by_source || r.by_source;
	j->by_others = j->by_others || r.by_tos;
	if (r.family == AF_INET6 && r.has_gateway && (!r.uses_device || r.shared))
		j->by_gateway = true;
	if (r.uses_device)
		return 0;
	for (size_t i = 0; i < j->n; i++)
		if (competes(&r, &j->own[i].route))
			j->own[i].route.shared = true;
	return tell_inside(j, &r);
}

/* Whether answers have the mark of what they answer. */
static bool answers_have_marks(void)
{
	_cleanup_free_ char *text = NULL;

	return ifp_read_file("/proc/sys/net/ipv4/tcp_fwmark_accept", &text) || text[0] != '0';
}

/* A rule may be for some destinations only: then what it says of these is not known. */
static int on_rule(const struct nlmsghdr *nlh, void *data)
{
	const struct fib_rule_hdr *rule = mnl_nlmsg_get_payload(nlh);
	struct judge *j = data;
	struct ifp_route to = {.family = j->family};
	bool by_others, marked, elsewhere = false;
	struct nlattr *attr;

	if (nlh->nlmsg_type != RTM_NEWRULE || mnl_nlmsg_get_payload_len(nlh) < sizeof(*rule))
		return 0;
	by_others = rule->tos;
	mnl_attr_for_each (attr, nlh, sizeof(*rule)) {
		uint16_t len = mnl_attr_get_payload_len(attr);

		switch (mnl_attr_get_type(attr)) {
		case FRA_DST:
			if (ifp_route_put_prefix(
				    &to, mnl_attr_get_payload(attr), len, rule->dst_len))
				return -EBADMSG;
			break;
		case FRA_IIFNAME:
			elsewhere = elsewhere || strncmp(mnl_attr_get_payload(attr), "lo", len);
			break;
		case FRA_OIFNAME: /* for sockets that are tied */
			elsewhere = true;
			break;
		case FRA_FWMARK:
			marked = answers_have_marks();
			elsewhere = elsewhere || (len >= 4 && mnl_attr_get_u32(attr) && !marked);
			by_others = by_others || marked;
			break;
		case FRA_UID_RANGE:
			by_others = true;
			break;
		default: /* protocol, ports, DSCP, flow label, and what will be invented */
			by_others = by_others || mnl_attr_get_type(attr) >= FRA_IP_PROTO;
		}
	}
	/* For others than sockets of the host that are not tied and have no mark. */
	if (elsewhere && !(rule->flags & FIB_RULE_INVERT))
		return 0;
	j->by_source = j->by_source || rule->src_len;
	j->by_others = j->by_others || by_others;
	return rule->dst_len ? tell_inside(j, &to) : 0;
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

static bool is_hosts(const struct judge *j, const uint8_t addr[16])
{
	for (size_t i = 0; i < j->n_addrs; i++)
		if (!memcmp(j->addrs[i].addr, addr, 16))
			return true;
	return false;
}

/* Whether an address stands for a route: no other route of the device, nor the host, has it. */
static bool stands_for(const struct judge *j, const struct ifp_route *route, const uint8_t addr[16])
{
	struct ifp_route at = {.prefixlen = 128};

	memcpy(at.dst, addr, 16);
	for (size_t i = 0; i < j->n; i++)
		if (j->own[i].route.prefixlen > route->prefixlen &&
			ifp_route_covers(&j->own[i].route, &at))
			return false;
	return !is_hosts(j, addr);
}

/*
 * An address in the network of a route. Not the network's own: that may be a broadcast or an
 * anycast route. With each number another half of what is left of it, so that wherever narrower
 * routes lie, one is beside them. Return: false: there are no more.
 */
static bool pick_inside(const struct ifp_route *r, unsigned int number, uint8_t ret[16])
{
	/* Addresses that no more specific route is likely to have: documentation nets. */
	static const uint8_t v4[16] = {[10] = 0xff, 0xff, 198, 51, 100, 7};
	static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 7};
	unsigned int bits = 128U - r->prefixlen, bit;

	if (r->is_default && !number--) {
		memcpy(ret, r->family == AF_INET ? v4 : v6, 16);
		return true;
	}
	memcpy(ret, r->dst, 16);
	if (bits < 2) {
		ret[15] ^= number == 0 && bits;
		return number <= bits;
	}
	if (number >= bits)
		return false;
	/* One of the two last bits, then one of the others with the last. */
	bit = number < 2 ? number : bits - 1 - (number - 2);
	ret[15 - bit / 8] ^= (uint8_t)(1U << bit % 8);
	if (number >= 2)
		ret[15] ^= 1;
	return true;
}

/* Return: false: its network has no address of its own. */
static bool pick_sample(const struct judge *j, const struct ifp_route *r, uint8_t ret[16])
{
	for (unsigned int i = 0; pick_inside(r, i, ret); i++)
		if (stands_for(j, r, ret))
			return true;
	return false;
}

static int leads_there(const struct judge *j, const uint8_t *dst, const uint8_t *src, bool *ret)
{
	uint32_t oif;
	int r = ifp_route_lookup(dst, src, 0, &oif);

	*ret = oif == j->ifindex;
	return r;
}

/* Those that a program on the host can have, but for those that stay on the host or on a link. */
static bool is_source(const struct judge *j, const struct ifp_local_addr *a)
{
	static const uint8_t loopback6[16] = {[15] = 1};

	if (ifp_addr_is_v4(a->addr))
		return j->family == AF_INET && a->addr[12] != 127;
	return j->family == AF_INET6 && memcmp(a->addr, loopback6, 16) &&
	       (a->addr[0] != 0xfe || (a->addr[1] & 0xc0) != 0x80);
}

/*
 * ret_sure: whether answers lead there, from addresses of the device and of loopback; ret_any:
 * whether all does that is sent, from each address of the host or from none yet.
 */
static int judge_route(
	const struct judge *j, const struct ifp_route *route, bool *ret_sure, bool *ret_any)
{
	bool sure = true, any = false, found = false;
	uint8_t dst[16];
	size_t asked = 0;
	int r = 0;

	*ret_sure = *ret_any = false;
	if (route->shared || j->by_others || !pick_sample(j, route, dst))
		return 0;
	r = leads_there(j, dst, NULL, &any);
	for (size_t i = 0; i < j->n_addrs && !r && j->by_source; i++) {
		const struct ifp_local_addr *a = &j->addrs[i];
		bool there = false, ours = a->ifindex == j->ifindex || a->ifindex == LOOPBACK;

		if (!is_source(j, a))
			continue;
		if (asked++ < MAX_SOURCES)
			r = leads_there(j, dst, a->addr, &there);
		any = any && there;
		sure = sure && (there || !ours);
		found = found || a->ifindex == j->ifindex;
	}
	*ret_any = any;
	*ret_sure = j->by_source ? sure && found : any;
	return r;
}

int ifp_routes_agree(int family, uint32_t ifindex, const struct ifp_local_addr *addrs, size_t n,
	bool *ret_agree, int (*cb)(const struct ifp_route *route, void *data), void *data)
{
	struct judge j = {.family = family,
		.ifindex = ifindex,
		.addrs = addrs,
		.n_addrs = n,
		.cb = cb,
		.data = data};
	int ret = dump(&j, RTM_GETROUTE, on_own) ?: dump(&j, RTM_GETROUTE, on_other);
	bool agree;

	if (!ret) {
		ret = dump(&j, RTM_GETRULE, on_rule);
		/* A kernel without policy routing has no rules. */
		if (ret == -EOPNOTSUPP)
			ret = 0;
	}
	/* Without routes IPv4 takes all for on-link once bound; IPv6 reaches nothing either way. */
	agree = (j.n > 0 || family == AF_INET6) && j.n < MAX_ROUTES && !j.by_gateway &&
		!j.by_others;
	for (size_t i = 0; !ret && i < j.n; i++) {
		struct ifp_route route = j.own[i].route;
		bool sure, any;

		ret = judge_route(&j, &route, &sure, &any);
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
