// SPDX-License-Identifier: MIT
/* Routes, policy rules, and the neighbours that the host answers for. */
#include "snapshot.h"

#include "base/base.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

static int mapped(unsigned int family)
{
	return family == AF_INET ? 96 : 0;
}

/* The attributes behind a message's own header. */
static void message_attrs(
	const struct nlmsghdr *nlh, size_t header, const struct nlattr **tb, size_t max)
{
	size_t skip = MNL_ALIGN(header), len = mnl_nlmsg_get_payload_len(nlh);

	ifp_attrs(mnl_nlmsg_get_payload_offset(nlh, header), len > skip ? len - skip : 0, tb, max);
}

static int add_hop(
	struct snapshot *s, const struct aroute *route, uint32_t ifindex, unsigned int hop)
{
	struct aroute *r = vec_add(&s->routes);

	if (!r)
		return -ENOMEM;
	*r = *route;
	r->ifindex = ifindex;
	r->hop = (uint8_t)hop;
	return 0;
}

static int add_hops(struct snapshot *s, struct aroute *route, const struct nlattr *multipath)
{
	const struct rtnexthop *nh = mnl_attr_get_payload(multipath);
	int left = mnl_attr_get_payload_len(multipath), r = 0;
	unsigned int hops = 0;

	/* RTNH_OK() alone reads a length that may be behind the end. */
	for (; left >= (int)sizeof(*nh) && RTNH_OK(nh, left) && hops < UINT8_MAX;
		left -= RTNH_ALIGN(nh->rtnh_len), nh = RTNH_NEXT(nh))
		hops++;
	route->hops = (uint8_t)hops;
	nh = mnl_attr_get_payload(multipath);
	for (unsigned int i = 0; !r && i < hops; i++, nh = RTNH_NEXT(nh))
		r = add_hop(s, route, (uint32_t)nh->rtnh_ifindex, i);
	return r;
}

static bool is_ip(unsigned int family)
{
	return family == AF_INET || family == AF_INET6;
}

int ifp_on_route(const struct nlmsghdr *nlh, void *data)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[RTA_NH_ID + 1];
	struct snapshot *s = data;
	struct aroute r = {};

	if (nlh->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(nlh) < sizeof(*rtm) ||
		!is_ip(rtm->rtm_family) || rtm->rtm_dst_len > 128 - mapped(rtm->rtm_family) ||
		rtm->rtm_flags & RTM_F_CLONED)
		return 0;
	message_attrs(nlh, sizeof(*rtm), tb, RTA_NH_ID);
	r.family = rtm->rtm_family;
	r.type = rtm->rtm_type;
	r.protocol = rtm->rtm_protocol;
	r.prefixlen = (uint8_t)(mapped(r.family) + rtm->rtm_dst_len);
	r.from = rtm->rtm_src_len;
	if (r.family == AF_INET)
		r.dst[10] = r.dst[11] = 0xff;
	ifp_attr_addr(tb[RTA_DST], r.dst);
	r.has_src = ifp_attr_addr(tb[RTA_PREFSRC], r.src);
	r.has_gateway = ifp_attr_addr(tb[RTA_GATEWAY], r.gateway);
	r.table = ifp_attr_u32(tb[RTA_TABLE], rtm->rtm_table);
	r.metric = ifp_attr_u32(tb[RTA_PRIORITY], 0);
	r.encapsulated = tb[RTA_ENCAP_TYPE];
	if (r.type == RTN_UNICAST && tb[RTA_NH_ID] && !tb[RTA_OIF] && !tb[RTA_MULTIPATH])
		s->hops_unseen = true;
	if (tb[RTA_MULTIPATH])
		return add_hops(s, &r, tb[RTA_MULTIPATH]);
	return add_hop(s, &r, ifp_attr_u32(tb[RTA_OIF], 0), 0);
}

int ifp_read_routes(struct mnl_socket *nl, struct snapshot *s)
{
	struct rtmsg rtm = {.rtm_family = AF_UNSPEC};
	char buf[128];

	return ifp_dump(nl, ifp_request(buf, RTM_GETROUTE, NLM_F_DUMP, &rtm, sizeof(rtm)),
		ifp_on_route, s, &s->routes.n);
}

/* ---- rules ---- */

static void select_by(struct arule *r, const char *what, const char *value)
{
	size_t used = strlen(r->selector);

	r->all = false;
	snprintf(r->selector + used, sizeof(r->selector) - used, "%s%s %s", used ? " " : "", what,
		value);
}

static void select_prefix(
	struct arule *r, const char *what, const struct nlattr *a, unsigned int len)
{
	char text[INET6_ADDRSTRLEN], value[INET6_ADDRSTRLEN + 8];
	uint8_t addr[16];

	if (!ifp_attr_addr(a, addr))
		return;
	snprintf(value, sizeof(value), "%s/%u", ifp_addr_text(addr, text), len);
	select_by(r, what, value);
}

static void read_selector(const struct fib_rule_hdr *h, const struct nlattr **tb, struct arule *r)
{
	char text[IF_NAMESIZE + 8];

	select_prefix(r, "from", tb[FRA_SRC], h->src_len);
	select_prefix(r, "to", tb[FRA_DST], h->dst_len);
	for (int i = 0; i < 2; i++) {
		const struct nlattr *a = tb[i ? FRA_OIFNAME : FRA_IIFNAME];

		if (!a)
			continue;
		ifp_attr_text(a, text, IF_NAMESIZE);
		select_by(r, i ? "oif" : "iif", text);
		r->by_device = true;
	}
	if (tb[FRA_FWMARK] || tb[FRA_FWMASK]) {
		r->mark = ifp_attr_u32(tb[FRA_FWMARK], 0);
		r->by_mark = r->mark || ifp_attr_u32(tb[FRA_FWMASK], 0);
	}
	if (r->by_mark) {
		snprintf(text, sizeof(text), "0x%x", r->mark);
		select_by(r, "fwmark", text);
	}
	if (h->tos)
		select_by(r, "tos", "set");
	if (tb[FRA_UID_RANGE])
		select_by(r, "uidrange", "set");
	if (tb[FRA_IP_PROTO] || tb[FRA_SPORT_RANGE] || tb[FRA_DPORT_RANGE])
		select_by(r, "protocol or port", "set");
}

int ifp_on_rule(const struct nlmsghdr *nlh, void *data)
{
	const struct fib_rule_hdr *h = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[FRA_DPORT_RANGE + 1];
	struct snapshot *s = data;
	struct arule *r;

	if (nlh->nlmsg_type != RTM_NEWRULE || mnl_nlmsg_get_payload_len(nlh) < sizeof(*h) ||
		!is_ip(h->family))
		return 0;
	r = vec_add(&s->rules);
	if (!r)
		return -ENOMEM;
	message_attrs(nlh, sizeof(*h), tb, FRA_DPORT_RANGE);
	r->family = h->family;
	r->action = h->action;
	r->inverted = h->flags & FIB_RULE_INVERT;
	r->l3mdev = tb[FRA_L3MDEV];
	r->preference = ifp_attr_u32(tb[FRA_PRIORITY], 0);
	r->table = ifp_attr_u32(tb[FRA_TABLE], h->table);
	r->all = true;
	read_selector(h, tb, r);
	return 0;
}

int ifp_read_rules(struct mnl_socket *nl, struct snapshot *s)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	char buf[128];
	int r = 0;

	/* AF_UNSPEC would list those of multicast routing, too, in the same words. */
	for (size_t i = 0; !r && i < ARRAY_SIZE(families); i++) {
		struct fib_rule_hdr h = {.family = families[i]};

		r = ifp_dump(nl, ifp_request(buf, RTM_GETRULE, NLM_F_DUMP, &h, sizeof(h)),
			ifp_on_rule, s, &s->rules.n);
		/* A kernel without policy rules, or without IPv6. */
		if (r == -EAFNOSUPPORT || r == -EOPNOTSUPP)
			r = 0;
	}
	return r;
}

/* ---- neighbours ---- */

int ifp_on_proxy(const struct nlmsghdr *nlh, void *data)
{
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[NDA_DST + 1];
	struct snapshot *s = data;
	struct aproxy p, *new;

	if (nlh->nlmsg_type != RTM_NEWNEIGH || mnl_nlmsg_get_payload_len(nlh) < sizeof(*ndm) ||
		!(ndm->ndm_flags & NTF_PROXY))
		return 0;
	message_attrs(nlh, sizeof(*ndm), tb, NDA_DST);
	if (!ifp_attr_addr(tb[NDA_DST], p.addr))
		return 0;
	p.ifindex = (uint32_t)ndm->ndm_ifindex; /* 0: on every device */
	new = vec_add(&s->proxies);
	if (!new)
		return -ENOMEM;
	*new = p;
	return 0;
}

int ifp_read_proxies(struct mnl_socket *nl, struct snapshot *s)
{
	struct ndmsg ndm = {.ndm_family = AF_UNSPEC, .ndm_flags = NTF_PROXY};
	char buf[128];

	return ifp_dump(nl, ifp_request(buf, RTM_GETNEIGH, NLM_F_DUMP, &ndm, sizeof(ndm)),
		ifp_on_proxy, s, &s->proxies.n);
}
