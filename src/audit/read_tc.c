// SPDX-License-Identifier: MIT
/* Filters of tc that hand packets on: to another device, to a program, or rewritten. */
#include "snapshot.h"

#include "base/base.h"

#include <errno.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <string.h>

/* Where a classifier's options have its actions. */
static const struct {
	const char *kind;
	uint16_t actions;
} classifiers[] = {
	{"basic", TCA_BASIC_ACT},
	{"bpf", TCA_BPF_ACT},
	{"cgroup", TCA_CGROUP_ACT},
	{"flow", TCA_FLOW_ACT},
	{"flower", TCA_FLOWER_ACT},
	{"fw", TCA_FW_ACT},
	{"matchall", TCA_MATCHALL_ACT},
	{"route", TCA_ROUTE4_ACT},
	{"u32", TCA_U32_ACT},
};

#define MAX_OPTION 128 /* of any classifier */

static void children(const struct nlattr *parent, const struct nlattr **tb, size_t max)
{
	ifp_attrs(mnl_attr_get_payload(parent), mnl_attr_get_payload_len(parent), tb, max);
}

static int add(struct snapshot *s, const struct atc *t)
{
	struct atc *new = vec_add(&s->filters);

	if (!new)
		return -ENOMEM;
	*new = *t;
	return 0;
}

static bool rewrites(const char *action)
{
	static const char *const kinds[] = {
		"nat", "pedit", "tunnel_key", "vlan", "mpls", "ife", "ct"};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(action, kinds[i]))
			return true;
	return false;
}

static int read_action(const struct nlattr *action, struct atc *t, struct snapshot *s)
{
	const struct nlattr *tb[TCA_ACT_OPTIONS + 1], *o[TCA_MIRRED_PARMS + 1];

	children(action, tb, TCA_ACT_OPTIONS);
	ifp_attr_text(tb[TCA_ACT_KIND], t->action, sizeof(t->action));
	t->target = 0;
	if (!strcmp(t->action, "mirred") && tb[TCA_ACT_OPTIONS]) {
		children(tb[TCA_ACT_OPTIONS], o, TCA_MIRRED_PARMS);
		if (o[TCA_MIRRED_PARMS] &&
			mnl_attr_get_payload_len(o[TCA_MIRRED_PARMS]) >= sizeof(struct tc_mirred))
			t->target = ((struct tc_mirred *)mnl_attr_get_payload(o[TCA_MIRRED_PARMS]))
					    ->ifindex;
		t->kind = TC_MIRRED;
		return add(s, t);
	}
	t->kind = rewrites(t->action) ? TC_REWRITE : TC_BPF;
	return t->kind == TC_REWRITE || !strcmp(t->action, "bpf") ? add(s, t) : 0;
}

static int read_options(const struct nlattr *options, struct atc *t, struct snapshot *s)
{
	const struct nlattr *tb[MAX_OPTION + 1], *action;
	uint16_t where = 0;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(classifiers); i++)
		if (!strcmp(classifiers[i].kind, t->classifier))
			where = classifiers[i].actions;
	children(options, tb, MAX_OPTION);
	/* Extended BPF can redirect; classic BPF only selects. */
	if (!strcmp(t->classifier, "bpf") &&
		(tb[TCA_BPF_FD] || tb[TCA_BPF_ID] || tb[TCA_BPF_TAG])) {
		ifp_attr_text(tb[TCA_BPF_NAME], t->name, sizeof(t->name));
		t->kind = TC_BPF;
		strcpy(t->action, "direct");
		r = add(s, t);
	}
	if (!r && where && tb[where])
		mnl_attr_for_each_nested (action, tb[where]) {
			r = read_action(action, t, s);
			if (r)
				break;
		}
	return r;
}

int ifp_on_filter(const struct nlmsghdr *nlh, void *data)
{
	const struct tcmsg *tcm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[TCA_CHAIN + 1];
	size_t skip = MNL_ALIGN(sizeof(*tcm));
	struct snapshot *s = data;
	struct atc t = {};

	if (nlh->nlmsg_type != RTM_NEWTFILTER || mnl_nlmsg_get_payload_len(nlh) < skip)
		return 0;
	ifp_attrs(mnl_nlmsg_get_payload_offset(nlh, skip), mnl_nlmsg_get_payload_len(nlh) - skip,
		tb, TCA_CHAIN);
	if (!tb[TCA_OPTIONS])
		return 0;
	t.block = (uint32_t)tcm->tcm_ifindex == TCM_IFINDEX_MAGIC_BLOCK;
	t.ifindex = t.block ? tcm->tcm_parent : (uint32_t)tcm->tcm_ifindex;
	t.parent = tcm->tcm_parent;
	t.ingress =
		t.parent == TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS) || t.parent == TC_H_INGRESS;
	t.priority = TC_H_MAJ(tcm->tcm_info) >> 16;
	t.protocol = TC_H_MIN(tcm->tcm_info);
	t.handle = tcm->tcm_handle;
	t.chain = ifp_attr_u32(tb[TCA_CHAIN], 0);
	ifp_attr_text(tb[TCA_KIND], t.classifier, sizeof(t.classifier));
	return read_options(tb[TCA_OPTIONS], &t, s);
}

/* ---- which queueing disciplines may have filters ---- */

struct hook {
	uint32_t ifindex, parent;
};

struct hooks {
	VEC(struct hook) v;
};

static bool without_filters(const char *kind)
{
	static const char *const kinds[] = {
		"noqueue", "pfifo_fast", "pfifo", "bfifo", "pfifo_head_drop", "mq", "fq", "noop"};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kind, kinds[i]))
			return true;
	return false;
}

static int add_hook(struct hooks *h, uint32_t ifindex, uint32_t parent)
{
	struct hook *new = vec_add(&h->v);

	if (!new)
		return -ENOMEM;
	*new = (struct hook){.ifindex = ifindex, .parent = parent};
	return 0;
}

/* A shared block is asked for by its number, once for each device that shares it. */
static int add_blocks(struct hooks *h, const struct nlattr **tb, int r)
{
	static const uint16_t blocks[] = {TCA_INGRESS_BLOCK, TCA_EGRESS_BLOCK};

	for (size_t i = 0; !r && i < ARRAY_SIZE(blocks); i++) {
		uint32_t number = ifp_attr_u32(tb[blocks[i]], 0);
		bool known = false;

		for (size_t k = 0; k < h->v.n; k++)
			known = known || (h->v.v[k].ifindex == TCM_IFINDEX_MAGIC_BLOCK &&
						 h->v.v[k].parent == number);
		if (number && !known)
			r = add_hook(h, TCM_IFINDEX_MAGIC_BLOCK, number);
	}
	return r;
}

static int on_qdisc(const struct nlmsghdr *nlh, void *data)
{
	const struct tcmsg *tcm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[TCA_EGRESS_BLOCK + 1];
	size_t skip = MNL_ALIGN(sizeof(*tcm));
	struct snapshot *s = data;
	struct hooks *h = s->scratch;
	uint32_t dev;
	char kind[16];
	int r;

	if (nlh->nlmsg_type != RTM_NEWQDISC || mnl_nlmsg_get_payload_len(nlh) < skip)
		return 0;
	ifp_attrs(mnl_nlmsg_get_payload_offset(nlh, skip), mnl_nlmsg_get_payload_len(nlh) - skip,
		tb, TCA_EGRESS_BLOCK);
	ifp_attr_text(tb[TCA_KIND], kind, sizeof(kind));
	if (without_filters(kind))
		return 0;
	dev = (uint32_t)tcm->tcm_ifindex;
	if (strcmp(kind, "clsact") != 0 && strcmp(kind, "ingress") != 0) {
		r = add_hook(h, dev, tcm->tcm_handle);
	} else {
		r = add_hook(h, dev, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS));
		if (!r && kind[0] == 'c')
			r = add_hook(h, dev, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS));
	}
	return add_blocks(h, tb, r);
}

int ifp_read_filters(struct mnl_socket *nl, struct snapshot *s)
{
	struct hooks hooks = {};
	struct tcmsg tcm = {.tcm_family = AF_UNSPEC};
	char buf[128];
	int r;

	s->scratch = &hooks;
	r = ifp_dump(nl, ifp_request(buf, RTM_GETQDISC, NLM_F_DUMP, &tcm, sizeof(tcm)), on_qdisc, s,
		&hooks.v.n);
	for (size_t i = 0; !r && i < hooks.v.n; i++) {
		tcm.tcm_ifindex = (int)hooks.v.v[i].ifindex;
		tcm.tcm_parent = hooks.v.v[i].parent;
		r = ifp_dump(nl, ifp_request(buf, RTM_GETTFILTER, NLM_F_DUMP, &tcm, sizeof(tcm)),
			ifp_on_filter, s, &s->filters.n);
		/* A device that went meanwhile has no filters; nor has a discipline without
		 * classes. */
		if (r == -ENODEV || r == -EINVAL || r == -EOPNOTSUPP)
			r = 0;
	}
	free(hooks.v.v);
	s->scratch = NULL;
	return r;
}
