// SPDX-License-Identifier: MIT
/* Routes and rules that lead a device's traffic elsewhere, and neighbours that the host speaks for.
 */
#include "audit.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define BACKSTOP_METRIC                                                                            \
	4278198272u /* worse than any other; below what the kernel keeps for itself */

static const char *ip_of(unsigned int family)
{
	return family == AF_INET ? "ip -4" : "ip -6";
}

static unsigned int default_len(unsigned int family)
{
	return family == AF_INET ? 96 : 0;
}

static bool is_default(const struct aroute *r)
{
	return r->prefixlen == default_len(r->family);
}

static struct prefix_text destination(const struct aroute *r)
{
	struct prefix_text t = {"default"};

	return is_default(r) ? t : ifp_prefix_text(r->dst, r->prefixlen);
}

struct mend ifp_route_delete(const struct snapshot *s, const struct aroute *r)
{
	struct mend m;
	int n = snprintf(m.s, sizeof(m.s), "%s route del %s%s", ip_of(r->family),
		r->type == RTN_LOCAL ? "local " : "", destination(r).s);

	/* A route of several hops is one route. */
	if (r->hops < 2 && r->has_gateway)
		n += snprintf(m.s + n, sizeof(m.s) - (size_t)n, " via %s",
			ifp_address_text(r->gateway).s);
	if (r->hops < 2 && r->ifindex)
		n += snprintf(m.s + n, sizeof(m.s) - (size_t)n, " dev %s",
			ifp_quote(ifp_link_name(s, r->ifindex)).s);
	if (r->metric)
		n += snprintf(m.s + n, sizeof(m.s) - (size_t)n, " metric %u", r->metric);
	if (r->table != RT_TABLE_MAIN)
		snprintf(m.s + n, sizeof(m.s) - (size_t)n, " table %u", r->table);
	return m;
}

#define for_each_route(r, s)                                                                       \
	for (const struct aroute *r = (s)->routes.v; r && r < (s)->routes.v + (s)->routes.n; r++)

static void judge_default(struct judge *j)
{
	int family = *(const int *)j->check->arg;

	for_each_route (r, j->s) {
		const struct alink *l = ifp_link_at(j->s, r->ifindex);

		if (r->family != family || !is_default(r) || r->type != RTN_UNICAST ||
			r->table != RT_TABLE_MAIN || !l || !ifp_is_other(j, l))
			continue;
		ifp_found(j, l, ifp_route_delete(j->s, r).s, "a default route leads by %s%s%s",
			l->dev.name, r->has_gateway ? " to " : "",
			r->has_gateway ? ifp_address_text(r->gateway).s : "");
	}
}

/* ---- routes into the networks of a device, by another one ---- */

static void judge_inside_of(struct judge *j, const struct nets *nets, const struct aroute *r)
{
	for (unsigned int len = default_len(r->family) + 1; len <= r->prefixlen; len++) {
		const struct net *n = nets->lengths[len] ? ifp_nets_find(nets, r->dst, len) : NULL;
		const struct alink *owner = n ? ifp_link_at(j->s, n->ifindex) : NULL;

		if (!owner || n->ifindex == r->ifindex || !ifp_is_subject(j, owner) || len == 128)
			continue;
		ifp_found(j, owner, ifp_route_delete(j->s, r).s,
			"a route to %s, within the network %s of %s, leads by %s", destination(r).s,
			ifp_prefix_text(n->addr, n->len).s, owner->dev.name,
			ifp_link_name(j->s, r->ifindex));
		return;
	}
}

static bool leads_away(const struct aroute *r)
{
	return r->type == RTN_UNICAST && r->table != RT_TABLE_LOCAL && r->ifindex;
}

static void judge_inside(struct judge *j)
{
	struct nets nets;

	if (!ifp_nets_collect(j, &nets))
		return;
	/* Those that the kernel makes for an address are told as overlapping networks. */
	for_each_route (r, j->s)
		if (leads_away(r) && r->protocol != RTPROT_KERNEL && !is_default(r))
			judge_inside_of(j, &nets, r);
	ifp_nets_free(&nets);
}

static void judge_source(struct judge *j)
{
	struct nets nets;

	if (!ifp_nets_collect(j, &nets))
		return;
	for_each_route (r, j->s) {
		const struct net *n;
		const struct alink *owner;

		if (!leads_away(r) || !r->has_src || r->protocol == RTPROT_KERNEL)
			continue;
		n = ifp_nets_of(&nets, r->src);
		owner = n ? ifp_link_at(j->s, n->ifindex) : NULL;
		if (!owner || owner->dev.ifindex == r->ifindex || !ifp_is_subject(j, owner))
			continue;
		ifp_found(j, owner, ifp_route_delete(j->s, r).s,
			"the route to %s leads by %s and prefers %s, an address of %s, as "
			"its source",
			destination(r).s, ifp_link_name(j->s, r->ifindex),
			ifp_address_text(r->src).s, owner->dev.name);
	}
	ifp_nets_free(&nets);
}

/* The hops of a route stand together. */
static void judge_multipath(struct judge *j)
{
	for (size_t i = 0; i < j->s->routes.n; i += j->s->routes.v[i].hops ?: 1) {
		const struct aroute *r = &j->s->routes.v[i];
		const struct alink *ours = NULL;
		uint32_t away = 0;

		for (unsigned int k = 0; k < r->hops && i + k < j->s->routes.n; k++) {
			const struct alink *l = ifp_link_at(j->s, r[k].ifindex);

			if (l && !ours && ifp_is_subject(j, l))
				ours = l;
			else if (!away)
				away = r[k].ifindex;
			if (ours && away == ours->dev.ifindex)
				away = 0;
		}
		if (ours && away)
			ifp_found(j, ours, ifp_route_delete(j->s, r).s,
				"the route to %s leads by %s and by %s in turn", destination(r).s,
				ours->dev.name, ifp_link_name(j->s, away));
	}
}

static void judge_encapsulation(struct judge *j)
{
	for_each_route (r, j->s) {
		const struct alink *l = ifp_link_at(j->s, r->ifindex);

		if (!r->encapsulated || !leads_away(r) || !l ||
			(!ifp_is_subject(j, l) && !ifp_is_other(j, l)))
			continue;
		ifp_found(j, l, ifp_route_delete(j->s, r).s,
			"what the route to %s by %s takes is put into other packets, or "
			"handed to a program",
			destination(r).s, l->dev.name);
	}
}

static void judge_local_prefix(struct judge *j)
{
	for_each_route (r, j->s)
		if (r->type == RTN_LOCAL && r->prefixlen < 128 && r->protocol != RTPROT_KERNEL)
			ifp_found(j, NULL, ifp_route_delete(j->s, r).s,
				"all of %s counts as this host's own addresses", destination(r).s);
}

/* ---- what is left when a device's own route goes ---- */

struct rejects {
	VEC(const struct aroute *) v;
};

static bool collect_rejects(struct judge *j, unsigned int family, struct rejects *ret)
{
	for_each_route (r, j->s) {
		const struct aroute **p;

		if (r->family != family || is_default(r) || r->table != RT_TABLE_MAIN ||
			(r->type != RTN_UNREACHABLE && r->type != RTN_BLACKHOLE &&
				r->type != RTN_PROHIBIT))
			continue;
		p = vec_add(&ret->v);
		if (!p) {
			j->no_memory = true;
			return false;
		}
		*p = r;
	}
	return true;
}

static bool has_backstop(const struct rejects *rejects, const struct net *n)
{
	for (size_t i = 0; i < rejects->v.n; i++) {
		const struct aroute *r = rejects->v.v[i];

		if (r->prefixlen <= n->len && ifp_prefix_has(r->dst, r->prefixlen, n->addr))
			return true;
	}
	return false;
}

static const struct alink *default_by(const struct judge *j, unsigned int family, uint32_t but)
{
	for_each_route (r, j->s) {
		const struct alink *l = ifp_link_at(j->s, r->ifindex);

		if (r->family == family && is_default(r) && r->type == RTN_UNICAST &&
			r->table == RT_TABLE_MAIN && l && l->dev.ifindex != but &&
			l->flags & IFF_UP)
			return l;
	}
	return NULL;
}

static void judge_net(struct judge *j, const struct net *n, unsigned int family,
	const struct alink *away, const struct rejects *rejects)
{
	const struct alink *l = ifp_link_at(j->s, n->ifindex);
	struct mend m;

	if (!l || !ifp_is_subject(j, l) || away == l || has_backstop(rejects, n))
		return;
	snprintf(m.s, sizeof(m.s), "%s route add unreachable %s metric %u", ip_of(family),
		ifp_prefix_text(n->addr, n->len).s, BACKSTOP_METRIC);
	ifp_found(j, l, m.s,
		"when the route to %s by %s is gone, the default route by %s takes over",
		ifp_prefix_text(n->addr, n->len).s, l->dev.name, away->dev.name);
}

static bool same_net(const struct net *a, const struct net *b)
{
	return !memcmp(a->addr, b->addr, 16) && a->len == b->len && a->ifindex == b->ifindex;
}

static void judge_nets(struct judge *j, unsigned int family, const struct nets *nets)
{
	const struct alink *away = default_by(j, family, j->dev ? j->dev->dev.ifindex : 0);
	struct rejects rejects = {};

	if (away && collect_rejects(j, family, &rejects))
		for (size_t i = 0; i < nets->v.n; i++) {
			const struct net *n = &nets->v.v[i];

			if (ifp_addr_is_v4(n->host) == (family == AF_INET) && n->len < 128 &&
				(!i || !same_net(n, n - 1)))
				judge_net(j, n, family, away, &rejects);
		}
	free(rejects.v.v);
}

static void judge_backstop(struct judge *j)
{
	struct nets nets;

	if (!ifp_nets_collect(j, &nets))
		return;
	judge_nets(j, *(const int *)j->check->arg == AF_INET ? AF_INET : AF_INET6, &nets);
	ifp_nets_free(&nets);
}

/* ---- policy rules ---- */

#define for_each_rule(r, s)                                                                        \
	for (const struct arule *r = (s)->rules.v; r && r < (s)->rules.v + (s)->rules.n; r++)

/* A device other than the judged one that a table leads by. */
static const struct alink *led_by(const struct judge *j, const struct arule *rule)
{
	for_each_route (r, j->s) {
		const struct alink *l = ifp_link_at(j->s, r->ifindex);

		if (r->family == rule->family && r->table == rule->table && leads_away(r) && l &&
			l != j->dev && !ifp_is_loopback(l))
			return l;
	}
	return NULL;
}

static bool is_usual(const struct arule *r)
{
	return r->table == RT_TABLE_LOCAL || r->table == RT_TABLE_MAIN ||
	       r->table == RT_TABLE_DEFAULT || r->l3mdev || r->action != FR_ACT_TO_TBL;
}

static void judge_rule(struct judge *j)
{
	int family = *(const int *)j->check->arg;
	struct mend m;

	for_each_rule (r, j->s) {
		const struct alink *away;

		if (r->family != family || is_usual(r))
			continue;
		away = led_by(j, r);
		if (!away)
			continue;
		snprintf(m.s, sizeof(m.s), "%s rule del pref %u", ip_of(r->family), r->preference);
		ifp_found(j, NULL, m.s, "rule %u: %s%s goes by table %u, which leads by %s",
			r->preference, r->inverted ? "all but " : "",
			r->all ? "everything" : r->selector, r->table, away->dev.name);
	}
}

static void judge_local_of(struct judge *j, unsigned int family)
{
	uint32_t local = UINT32_MAX;
	const struct arule *before = NULL;
	char mend[64];
	bool any = false;

	for_each_rule (r, j->s) {
		any = any || r->family == family;
		if (r->family == family && r->table == RT_TABLE_LOCAL && r->all && !r->inverted &&
			r->preference < local)
			local = r->preference;
	}
	for_each_rule (r, j->s)
		if (r->family == family && r->preference < local && r->action == FR_ACT_TO_TBL &&
			r->table != RT_TABLE_LOCAL && !r->l3mdev && !before)
			before = r;
	if (!any || !before)
		return;
	snprintf(mend, sizeof(mend), "%s rule add pref 0 lookup local", ip_of(family));
	ifp_found(j, NULL, mend,
		"rule %u (table %u) comes before the look-up of the host's own IPv%d addresses",
		before->preference, before->table, family == AF_INET ? 4 : 6);
}

static void judge_local_rule(struct judge *j)
{
	judge_local_of(j, AF_INET);
	judge_local_of(j, AF_INET6);
}

static void judge_proxy(struct judge *j)
{
	struct mend m;

	for (size_t i = 0; i < j->s->proxies.n; i++) {
		const struct aproxy *p = &j->s->proxies.v[i];
		const struct alink *l = ifp_link_at(j->s, p->ifindex);

		/* Without a device, it is answered for on every one. */
		snprintf(m.s, sizeof(m.s), "ip neigh del proxy %s%s%s", ifp_address_text(p->addr).s,
			l ? " dev " : "", l ? ifp_quote(l->dev.name).s : "");
		ifp_found(j, l, m.s, "while it forwards, it answers for %s on %s",
			ifp_address_text(p->addr).s, l ? l->dev.name : "every device");
	}
}

static const int inet4 = AF_INET, inet6 = AF_INET6;

static const struct check checks[] = {
	{{"default-route4", "route", IFPIN_NOTICE, "an IPv4 default route leads elsewhere",
		 "What is sent to an address that no closer route has leaves there, also from a "
		 "socket that was bound to another device's address."},
		judge_default, &inet4},
	{{"default-route6", "route", IFPIN_NOTICE, "an IPv6 default route leads elsewhere",
		 "What is sent to an address that no closer route has leaves there, also from a "
		 "socket that was bound to another device's address."},
		judge_default, &inet6},
	{{"route-inside", "route", IFPIN_CRITICAL,
		 "a route into the device's network leads elsewhere",
		 "It is as long as the device's own or longer, and so wins: what is sent to these "
		 "addresses leaves by the other device."},
		judge_inside, NULL},
	{{"route-source", "route", IFPIN_WARNING, "a route elsewhere uses the device's address",
		 "Packets that leave by another device carry this one's address, and their answers "
		 "come in by this one."},
		judge_source, NULL},
	{{"multipath", "route", IFPIN_CRITICAL, "a route leads by the device and by others in turn",
		 "Of the connections that take this route, some leave by the other device."},
		judge_multipath, NULL},
	{{"encapsulation", "route", IFPIN_NOTICE, "a route puts packets into others",
		 "What takes this route leaves inside other packets, to wherever those are sent."},
		judge_encapsulation, NULL},
	{{"local-prefix", "route", IFPIN_NOTICE, "a whole network counts as the host's own",
		 "Packets to any of these addresses, by whichever device they come in, reach the "
		 "host's listeners."},
		judge_local_prefix, NULL},
	{{"backstop4", "route", IFPIN_WARNING, "nothing stands behind the device's IPv4 route",
		 "When the device goes down or loses its address, what is sent to its network "
		 "leaves by the default route."},
		judge_backstop, &inet4},
	{{"backstop6", "route", IFPIN_WARNING, "nothing stands behind the device's IPv6 route",
		 "When the device goes down or loses its address, what is sent to its network "
		 "leaves by the default route."},
		judge_backstop, &inet6},
	{{"rule4", "route", IFPIN_WARNING, "an IPv4 policy rule leads elsewhere",
		 "What the rule selects does not ask the main table: control traffic may leave "
		 "by the other device."},
		judge_rule, &inet4},
	{{"rule6", "route", IFPIN_WARNING, "an IPv6 policy rule leads elsewhere",
		 "What the rule selects does not ask the main table: control traffic may leave "
		 "by the other device."},
		judge_rule, &inet6},
	{{"local-rule", "route", IFPIN_CRITICAL, "rules come before the host's own addresses",
		 "What is sent to the host itself may leave by a device instead of being "
		 "delivered."},
		judge_local_rule, NULL},
	{{"neighbour-proxy", "route", IFPIN_WARNING, "the host answers for another host",
		 "Hosts behind the device take this one for the other, and send it what is for "
		 "that one."},
		judge_proxy, NULL},
};

const struct check_class ifp_checks_route = {checks, ARRAY_SIZE(checks)};
