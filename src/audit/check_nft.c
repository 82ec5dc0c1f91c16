// SPDX-License-Identifier: MIT
/* Rules of nftables and iptables-nft that lead packets elsewhere. */
#include "audit.h"

#include <linux/netfilter.h>

static const char *family_name(unsigned int family)
{
	switch (family) {
	case NFPROTO_INET:
		return "inet";
	case NFPROTO_IPV4:
		return "ip";
	case NFPROTO_IPV6:
		return "ip6";
	case NFPROTO_ARP:
		return "arp";
	case NFPROTO_BRIDGE:
		return "bridge";
	case NFPROTO_NETDEV:
		return "netdev";
	}
	return "unknown";
}

/* Names of tables and chains are longer than devices': what nft(8) takes needs no quotes. */
static bool is_plain(const char *s)
{
	for (; *s; s++)
		if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
			    (*s >= '0' && *s <= '9') || *s == '_' || *s == '-' || *s == '.' ||
			    *s == '/'))
			return false;
	return true;
}

static void report(struct judge *j, const struct anft *n)
{
	const char *family = family_name(n->family);
	struct mend m;

	if (is_plain(n->table) && is_plain(n->chain))
		snprintf(m.s, sizeof(m.s), "nft delete rule %s %s %s handle %llu", family, n->table,
			n->chain, (unsigned long long)n->handle);
	else
		snprintf(m.s, sizeof(m.s),
			"# nft -a list ruleset; delete the %s rule with handle %llu", family,
			(unsigned long long)n->handle);
	ifp_found(j, NULL, m.s, "\"%s\" in chain %s of table %s %s, rule %llu%s%s%s%s%s", n->word,
		n->chain, family, n->table, (unsigned long long)n->handle,
		n->xt ? " (made by iptables)" : "", n->device[0] ? ", device " : "", n->device,
		n->target ? ", to " : "", n->target ? ifp_link_name(j->s, n->target) : "");
}

static bool rules_by_mark(const struct snapshot *s)
{
	for (size_t i = 0; i < s->rules.n; i++)
		if (s->rules.v[i].by_mark)
			return true;
	return false;
}

static void judge_kind(struct judge *j)
{
	enum anft_kind kind = *(const enum anft_kind *)j->check->arg;

	/* A mark alone leads nowhere. */
	if (kind == NFT_MARK && !rules_by_mark(j->s))
		return;
	for (size_t i = 0; i < j->s->nft.n; i++)
		if (j->s->nft.v[i].kind == kind)
			report(j, &j->s->nft.v[i]);
}

#define KIND(k) (&(const enum anft_kind){k})

static const struct check checks[] = {
	{{"dnat", "netfilter", IFPIN_CRITICAL, "a rule changes destinations (DNAT, REDIRECT)",
		 "What is sent to one address goes to another one, by whichever device leads "
		 "there."},
		judge_kind, KIND(NFT_DNAT)},
	{{"snat", "netfilter", IFPIN_WARNING, "a rule changes sources (SNAT, masquerade)",
		 "What is forwarded or sent gets another source, so that answers to it find the "
		 "way back across."},
		judge_kind, KIND(NFT_SNAT)},
	{{"dup", "netfilter", IFPIN_CRITICAL, "a rule sends copies elsewhere (dup, TEE)",
		 "A copy of each packet that the rule selects leaves by another device."},
		judge_kind, KIND(NFT_DUP)},
	{{"fwd", "netfilter", IFPIN_CRITICAL, "a rule hands packets to another device (fwd)",
		 "What the rule selects leaves by another device, before the host's own "
		 "stack sees it."},
		judge_kind, KIND(NFT_FWD)},
	{{"tproxy", "netfilter", IFPIN_WARNING, "a rule hands packets to a proxy (TPROXY)",
		 "What is for others is delivered to a program here, which speaks on by whichever "
		 "device it likes."},
		judge_kind, KIND(NFT_TPROXY)},
	{{"mark", "netfilter", IFPIN_WARNING, "a rule sets marks, and policy rules go by marks",
		 "What is marked is routed anew, past the main table: it may leave by "
		 "another device."},
		judge_kind, KIND(NFT_MARK)},
	{{"queue", "netfilter", IFPIN_WARNING, "a rule hands packets to a program (queue)",
		 "A program decides about each packet, and may change where it goes."},
		judge_kind, KIND(NFT_QUEUE)},
	{{"offload", "netfilter", IFPIN_WARNING,
		 "connections are forwarded past the rules (flowtable)",
		 "Once a connection is in the table, its packets go from device to device, and "
		 "later rules and settings do not see them."},
		judge_kind, KIND(NFT_OFFLOAD)},
};

const struct check_class ifp_checks_nft = {checks, ARRAY_SIZE(checks)};
