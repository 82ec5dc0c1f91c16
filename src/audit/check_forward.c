// SPDX-License-Identifier: MIT
/* The host as a router. */
#include "audit.h"

#include <linux/ip.h>
#include <linux/ipv6.h>

/* <linux/ipv6.h> of Linux 6.17 */
#define FORCE_FORWARDING 59

/* A device that is no other, or judged itself: what comes in by it may go out by the other. */
static bool takes_part(const struct judge *j, const struct alink *l)
{
	return l == j->dev || ifp_is_other(j, l);
}

struct way {
	int family, index;
	bool with_all; /* that of "all" has to be on, too */
	const char *name, *tail;
};

static void judge_way(struct judge *j)
{
	const struct way *w = j->check->arg;
	const int32_t *all = w->family == AF_INET ? j->s->all4 : j->s->all6;

	for_each_link (l, j->s) {
		const int32_t *own = w->family == AF_INET ? l->conf4 : l->conf6;

		if (!takes_part(j, l) || !own[w->index] || (w->with_all && !all[w->index]))
			continue;
		ifp_found(j, l, ifp_set(w->family, l->dev.name, w->name, 0).s,
			"net.%s.conf.%s.%s is 1: %s", w->family == AF_INET ? "ipv4" : "ipv6",
			l->dev.name, w->name, w->tail);
	}
}

static void judge_forward6(struct judge *j)
{
	if (j->s->all6[DEVCONF_FORWARDING])
		ifp_found(j, NULL, "sysctl -w net/ipv6/conf/all/forwarding=0",
			"net.ipv6.conf.all.forwarding is %d: what comes in by any device goes on "
			"by whichever the routes say",
			j->s->all6[DEVCONF_FORWARDING]);
}

/*
 * The process that routes has a raw socket of this protocol. Of several, none is named: a wrong one
 * would be ended.
 */
static const struct aowner *router(const struct snapshot *s, int protocol)
{
	const struct aowner *found = NULL;

	for (size_t i = 0; i < s->socks.n; i++) {
		const struct aowner *o;

		if (s->socks.v[i].type != SOCK_RAW || s->socks.v[i].protocol != protocol)
			continue;
		o = ifp_owner(s, &s->socks.v[i]);
		if (o && found && o->pid != found->pid)
			return NULL;
		found = o ?: found;
	}
	return found;
}

/* The kernel counts the routing daemon's devices in this setting; it cannot be written. */
static void judge_multicast(struct judge *j)
{
	int family = *(const int *)j->check->arg;
	const struct aowner *o = router(j->s, family == AF_INET ? IPPROTO_IGMP : IPPROTO_ICMPV6);
	char mend[64] = "# stop the multicast routing daemon (mrouted, pimd, smcrouted)";

	if (o)
		snprintf(mend, sizeof(mend), "kill %d", o->pid);
	for_each_link (l, j->s) {
		if (!takes_part(j, l) ||
			!(family == AF_INET ? l->conf4[IPV4_DEVCONF_MC_FORWARDING - 1]
					    : l->conf6[DEVCONF_MC_FORWARDING]))
			continue;
		ifp_found(j, l, mend,
			"net.%s.conf.%s.mc_forwarding is 1: a daemon routes multicast by it",
			family == AF_INET ? "ipv4" : "ipv6", l->dev.name);
	}
}

static const struct way forwarding = {AF_INET, IPV4_DEVCONF_FORWARDING - 1, false, "forwarding",
	"what comes in by it goes on by whichever device the routes say"};
static const struct way forced = {AF_INET6, FORCE_FORWARDING, false, "force_forwarding",
	"what comes in by it goes on, though the host is no router"};
static const struct way broadcasts = {AF_INET, IPV4_DEVCONF_BC_FORWARDING - 1, true,
	"bc_forwarding", "a packet to another network's broadcast address goes on as a broadcast"};
static const int inet4 = AF_INET, inet6 = AF_INET6;

static const struct check checks[] = {
	{{"forward4", "forward", IFPIN_CRITICAL, "IPv4 is forwarded",
		 "A packet that comes in by one device leaves by another: whoever sends to this "
		 "host's MAC address gets across."},
		judge_way, &forwarding},
	{{"forward6", "forward", IFPIN_CRITICAL, "IPv6 is forwarded",
		 "A packet that comes in by one device leaves by another: whoever sends to this "
		 "host's MAC address gets across."},
		judge_forward6, NULL},
	{{"force-forward6", "forward", IFPIN_CRITICAL, "IPv6 is forwarded from one device",
		 "A packet that comes in by this device leaves by another, although the host as "
		 "a whole is no router (Linux 6.17)."},
		judge_way, &forced},
	{{"multicast4", "forward", IFPIN_CRITICAL, "IPv4 multicast is routed",
		 "Groups that are sent to on one device are sent on by another, without "
		 "net.ipv4.ip_forward."},
		judge_multicast, &inet4},
	{{"multicast6", "forward", IFPIN_CRITICAL, "IPv6 multicast is routed",
		 "Groups that are sent to on one device are sent on by another, without "
		 "net.ipv6.conf.all.forwarding."},
		judge_multicast, &inet6},
	{{"broadcasts", "forward", IFPIN_WARNING, "directed broadcasts are forwarded",
		 "One packet to the broadcast address of a network behind another device reaches "
		 "everybody there."},
		judge_way, &broadcasts},
};

const struct check_class ifp_checks_forward = {checks, ARRAY_SIZE(checks)};
