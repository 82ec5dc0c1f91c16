// SPDX-License-Identifier: MIT
/* What takes packets on a way beside routes and rules: tc, XDP, BPF, MPTCP, IPsec. */
#include "audit.h"

#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/mptcp.h>
#include <linux/pkt_sched.h>
#include <linux/xfrm.h>
#include <string.h>

#define TCX_INGRESS 46 /* <linux/bpf.h> of Linux 6.6 */

static struct mend delete_filter(const struct atc *t, const struct alink *l)
{
	struct mend m;
	char where[32] = "";

	if (!t->block && t->ingress)
		strcpy(where, " ingress");
	else if (!t->block && t->parent == TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS))
		strcpy(where, " egress");
	else if (!t->block)
		snprintf(where, sizeof(where), " parent %x:%x", TC_H_MAJ(t->parent) >> 16,
			TC_H_MIN(t->parent));
	if (t->block)
		snprintf(m.s, sizeof(m.s), "tc filter del block %u chain %u pref %u", t->ifindex,
			t->chain, t->priority);
	else
		snprintf(m.s, sizeof(m.s), "tc filter del dev %s%s chain %u pref %u",
			ifp_quote(l ? l->dev.name : "").s, where, t->chain, t->priority);
	return m;
}

static void judge_filter(struct judge *j)
{
	int kind = *(const int *)j->check->arg;

	for (size_t i = 0; i < j->s->filters.n; i++) {
		const struct atc *t = &j->s->filters.v[i];
		const struct alink *l = t->block ? NULL : ifp_link_at(j->s, t->ifindex);

		if ((int)t->kind != kind || (!l && !t->block))
			continue;
		/* A copy between two other devices is not about the one that is judged. */
		if (kind == TC_MIRRED && j->dev && l && l != j->dev &&
			t->target != j->dev->dev.ifindex)
			continue;
		ifp_found(j, l, delete_filter(t, l).s, "filter %u (%s%s%s) at the %s of %s: %s%s%s",
			t->priority, t->classifier, t->name[0] ? " " : "", t->name,
			t->ingress ? "ingress" : "egress", l ? l->dev.name : "a shared block",
			kind == TC_BPF ? "a program" : t->action, t->target ? " to " : "",
			t->target ? ifp_link_name(j->s, t->target) : "");
	}
}

/* The index may be that of another namespace, so the program has to be the same, too. */
static uint32_t xdp_link(const struct snapshot *s, const struct alink *l)
{
	for (size_t i = 0; i < s->bpf.n; i++)
		if (s->bpf.v[i].where == BPF_AT_XDP && s->bpf.v[i].ifindex == l->dev.ifindex &&
			s->bpf.v[i].prog == l->xdp_prog)
			return s->bpf.v[i].link;
	return 0;
}

static struct mend xdp_off(const struct snapshot *s, const struct alink *l)
{
	static const char *const modes[] = {[XDP_ATTACHED_DRV] = "xdpdrv",
		[XDP_ATTACHED_SKB] = "xdpgeneric",
		[XDP_ATTACHED_HW] = "xdpoffload"};
	uint32_t link = xdp_link(s, l);
	struct mend m;

	if (link)
		snprintf(m.s, sizeof(m.s), "bpftool link detach id %u", link);
	else
		snprintf(m.s, sizeof(m.s), "ip link set dev %s %s off", ifp_quote(l->dev.name).s,
			l->xdp_mode < ARRAY_SIZE(modes) ? modes[l->xdp_mode] : "xdp");
	return m;
}

static void judge_xdp(struct judge *j)
{

	for_each_link (l, j->s) {
		if (!l->xdp_mode || (!ifp_is_subject(j, l) && !ifp_is_other(j, l)))
			continue;
		ifp_found(j, l, xdp_off(j->s, l).s, "XDP program %u judges what comes in by %s",
			l->xdp_prog, l->dev.name);
	}
}

/* A link that is pinned or held elsewhere stays; detached, it does nothing any more. */
static struct mend detach(const struct abpf *b, const char *otherwise)
{
	struct mend m;

	if (b->link)
		snprintf(m.s, sizeof(m.s), "bpftool link detach id %u", b->link);
	else
		snprintf(m.s, sizeof(m.s), "%s", otherwise);
	return m;
}

static void judge_tcx(struct judge *j)
{
	char other[128];

	for (size_t i = 0; i < j->s->bpf.n; i++) {
		const struct abpf *b = &j->s->bpf.v[i];
		const struct alink *l = ifp_link_at(j->s, b->ifindex);
		const char *side = b->attach_type == TCX_INGRESS ? "ingress" : "egress";

		if (b->where != BPF_AT_TCX || !l)
			continue;
		snprintf(other, sizeof(other), "bpftool net detach tcx_%s dev %s", side,
			ifp_quote(l->dev.name).s);
		ifp_found(j, l, detach(b, other).s, "tcx program %u %s at the %s of %s", b->prog,
			b->name, side, l->dev.name);
	}
}

static const char *attach_name(uint32_t type)
{
	switch (type) {
	case BPF_CGROUP_INET4_CONNECT:
		return "connect4";
	case BPF_CGROUP_INET6_CONNECT:
		return "connect6";
	case BPF_CGROUP_UDP4_SENDMSG:
		return "sendmsg4";
	case BPF_CGROUP_UDP6_SENDMSG:
		return "sendmsg6";
	}
	return "sk_lookup";
}

static void judge_bpf(struct judge *j)
{
	int where = *(const int *)j->check->arg;
	char other[128];

	for (size_t i = 0; i < j->s->bpf.n; i++) {
		const struct abpf *b = &j->s->bpf.v[i];
		const char *name = attach_name(b->attach_type);

		if ((int)b->where != where)
			continue;
		/* Of the root; all others have a link. */
		snprintf(other, sizeof(other),
			"bpftool cgroup detach \"$(findmnt -nro TARGET -t cgroup2 | head "
			"-1)\" %s id %u",
			name, b->prog);
		if (where == BPF_AT_NETNS)
			ifp_found(j, NULL, detach(b, other).s,
				"program %u %s chooses the socket for what comes in", b->prog,
				b->name);
		else
			ifp_found(j, NULL, detach(b, other).s,
				"program %u %s (%s) of cgroup %llu may change where sockets "
				"send to",
				b->prog, b->name, name, (unsigned long long)b->cgroup);
	}
}

/* ---- MPTCP, IPsec ---- */

static uint32_t device_of(const struct snapshot *s, const struct aendpoint *e)
{
	for (size_t i = 0; !e->ifindex && i < s->addrs.n; i++)
		if (!memcmp(s->addrs.v[i].addr, e->addr, 16))
			return s->addrs.v[i].ifindex;
	return e->ifindex;
}

static void judge_endpoint(struct judge *j)
{
	char mend[64];

	for (size_t i = 0; j->s->mptcp > 0 && i < j->s->endpoints.n; i++) {
		const struct aendpoint *e = &j->s->endpoints.v[i];
		const struct alink *l = ifp_link_at(j->s, device_of(j->s, e));

		if (!(e->flags & (MPTCP_PM_ADDR_FLAG_SIGNAL | MPTCP_PM_ADDR_FLAG_SUBFLOW |
					 MPTCP_PM_ADDR_FLAG_FULLMESH)) ||
			(l && (l == j->dev || ifp_is_loopback(l))))
			continue;
		snprintf(mend, sizeof(mend), "ip mptcp endpoint delete id %u", e->id);
		ifp_found(j, l, mend, "MPTCP endpoint %u: %s, on %s", e->id,
			ifp_address_text(e->addr).s,
			l ? l->dev.name : "whichever device leads there");
	}
}

static void judge_policy(struct judge *j)
{
	static const char *const dirs[] = {"in", "out", "fwd"};
	char mend[96];

	for (size_t i = 0; i < j->s->policies.n; i++) {
		const struct apolicy *p = &j->s->policies.v[i];

		if (!p->n_templates || p->dir >= ARRAY_SIZE(dirs) ||
			(j->dev && p->ifindex && p->ifindex != j->dev->dev.ifindex))
			continue;
		snprintf(mend, sizeof(mend), "ip xfrm policy delete dir %s index %u", dirs[p->dir],
			p->index);
		if (p->tunnel)
			ifp_found(j, NULL, mend, "%s to %s (%s): in a tunnel from %s to %s",
				ifp_prefix_text(p->src, p->src_len).s,
				ifp_prefix_text(p->dst, p->dst_len).s, dirs[p->dir],
				ifp_address_text(p->outer_src).s, ifp_address_text(p->outer_dst).s);
		else
			ifp_found(j, NULL, mend, "%s to %s (%s): transformed",
				ifp_prefix_text(p->src, p->src_len).s,
				ifp_prefix_text(p->dst, p->dst_len).s, dirs[p->dir]);
	}
}

#define WORD(k) (&(const int){k})

static const struct check checks[] = {
	{{"mirred", "steer", IFPIN_CRITICAL,
		 "a filter of tc sends packets or copies to another device",
		 "What the filter selects leaves by the other device, before the host's own "
		 "stack or after it."},
		judge_filter, WORD(TC_MIRRED)},
	{{"tc-bpf", "steer", IFPIN_WARNING, "a BPF program of tc judges packets",
		 "Such a program can redirect each packet to another device, and change it."},
		judge_filter, WORD(TC_BPF)},
	{{"tc-rewrite", "steer", IFPIN_WARNING, "an action of tc rewrites packets",
		 "Addresses, tags or tunnels are set behind the routes: what leaves is not what "
		 "was sent."},
		judge_filter, WORD(TC_REWRITE)},
	{{"xdp", "steer", IFPIN_WARNING, "an XDP program judges packets",
		 "Such a program can redirect each packet that comes in to another device, "
		 "where it leaves."},
		judge_xdp, NULL},
	{{"tcx", "steer", IFPIN_WARNING, "a tcx program judges packets",
		 "Such a program can redirect each packet to another device, and change it."},
		judge_tcx, NULL},
	{{"cgroup-bpf", "steer", IFPIN_WARNING, "a program of a cgroup may change destinations",
		 "What a program sends or connects to may become another address, behind another "
		 "device."},
		judge_bpf, WORD(BPF_AT_CGROUP)},
	{{"sk-lookup", "steer", IFPIN_NOTICE, "a program chooses the sockets of what comes in",
		 "What comes in for any address and port may be delivered to a socket that was not "
		 "opened for it."},
		judge_bpf, WORD(BPF_AT_NETNS)},
	{{"mptcp-endpoint", "steer", IFPIN_CRITICAL, "MPTCP connections open paths elsewhere",
		 "A multipath connection joins from this endpoint: its SYN, and then its data, "
		 "leave by the endpoint's device, although the socket is tied to another one."},
		judge_endpoint, NULL},
	{{"ipsec-policy", "steer", IFPIN_WARNING, "an IPsec policy takes packets",
		 "What the policy selects leaves inside ESP to the far end of the tunnel, by "
		 "whichever device leads there."},
		judge_policy, NULL},
};

const struct check_class ifp_checks_steer = {checks, ARRAY_SIZE(checks)};
