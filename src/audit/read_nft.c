// SPDX-License-Identifier: MIT
/*
 * Rules of nftables, iptables-nft included, that lead packets elsewhere. Read as the kernel lists
 * them: libnftables would read all elements of all sets too, and shows nothing of what
 * iptables-nft made ("xt"), which is where TEE and TPROXY mostly are.
 */
#include "snapshot.h"

#include "base/base.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

/* <linux/netfilter/nf_tables_compat.h> */
#define TARGET_NAME 1
#define TARGET_INFO 3

/* struct xt_tee_tginfo: an address, the name of a device */
#define TEE_DEVICE 16

#define REGISTERS 32

/* What a rule has done so far. */
struct state {
	struct anft rule;
	uint32_t value[REGISTERS]; /* put there by the rule itself */
	uint8_t named[REGISTERS];  /* 1: holds the name of a packet's device; 2: its index */
};

static uint32_t be32(const struct nlattr *a)
{
	return ntohl(ifp_attr_u32(a, 0));
}

/* Registers have 16 bytes as 1 to 4, and 4 bytes as 8 to 23. */
static uint32_t register_of(const struct nlattr *a)
{
	uint32_t n = be32(a);

	return n < REGISTERS ? n : 0;
}

static const struct nlattr *value_of(const struct nlattr *data)
{
	const struct nlattr *tb[NFTA_DATA_VALUE + 1];

	if (!data)
		return NULL;
	ifp_attrs(mnl_attr_get_payload(data), mnl_attr_get_payload_len(data), tb, NFTA_DATA_VALUE);
	return tb[NFTA_DATA_VALUE];
}

static int leads(struct state *st, struct snapshot *s, enum anft_kind kind, const char *word)
{
	struct anft *new = vec_add(&s->nft);

	if (!new)
		return -ENOMEM;
	*new = st->rule;
	new->kind = kind;
	snprintf(new->word, sizeof(new->word), "%s", word);
	return 0;
}

static int on_meta(const struct nlattr **tb, struct state *st, struct snapshot *s)
{
	uint32_t key = be32(tb[NFTA_META_KEY]), reg = register_of(tb[NFTA_META_DREG]);

	if (tb[NFTA_META_SREG])
		return key == NFT_META_MARK ? leads(st, s, NFT_MARK, "mark") : 0;
	st->named[reg] = key == NFT_META_IIFNAME || key == NFT_META_OIFNAME ? 1
			 : key == NFT_META_IIF || key == NFT_META_OIF	    ? 2
									    : 0;
	return 0;
}

static void on_compare(const struct nlattr **tb, struct state *st, const struct snapshot *s)
{
	uint32_t reg = register_of(tb[NFTA_CMP_SREG]);
	const struct nlattr *value = value_of(tb[NFTA_CMP_DATA]);

	if (be32(tb[NFTA_CMP_OP]) != NFT_CMP_EQ || !value || st->rule.device[0])
		return;
	if (st->named[reg] == 1)
		ifp_attr_text(value, st->rule.device, sizeof(st->rule.device));
	else if (st->named[reg] == 2 && ifp_link_at(s, ifp_attr_u32(value, 0)))
		strcpy(st->rule.device, ifp_link_name(s, ifp_attr_u32(value, 0)));
}

/* Targets of iptables, as iptables-nft puts them into rules. */
static int on_target(const struct nlattr **tb, struct state *st, struct snapshot *s)
{
	static const struct {
		const char *name;
		enum anft_kind kind;
	} targets[] = {{"DNAT", NFT_DNAT}, {"REDIRECT", NFT_DNAT}, {"NETMAP", NFT_DNAT},
		{"SNAT", NFT_SNAT}, {"MASQUERADE", NFT_SNAT}, {"TEE", NFT_DUP},
		{"TPROXY", NFT_TPROXY}, {"MARK", NFT_MARK}, {"HMARK", NFT_MARK},
		{"CONNMARK", NFT_MARK}, {"NFQUEUE", NFT_QUEUE}};
	const struct nlattr *info = tb[TARGET_INFO];
	char name[32];

	ifp_attr_text(tb[TARGET_NAME], name, sizeof(name));
	st->rule.xt = true;
	if (!strcmp(name, "TEE") && info &&
		mnl_attr_get_payload_len(info) >= TEE_DEVICE + IF_NAMESIZE)
		snprintf(st->rule.device, IF_NAMESIZE, "%s",
			(const char *)mnl_attr_get_payload(info) + TEE_DEVICE);
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
		if (!strcmp(name, targets[i].name))
			return leads(st, s, targets[i].kind, name);
	return 0;
}

static int on_expression(
	const char *name, const struct nlattr **tb, struct state *st, struct snapshot *s)
{
	static const struct {
		const char *name;
		enum anft_kind kind;
		int device; /* attribute with the register that holds a device's index */
	} plain[] = {{"masq", NFT_SNAT, 0}, {"redir", NFT_DNAT, 0}, {"tproxy", NFT_TPROXY, 0},
		{"queue", NFT_QUEUE, 0}, {"flow_offload", NFT_OFFLOAD, 0},
		{"dup", NFT_DUP, NFTA_DUP_SREG_DEV}, {"fwd", NFT_FWD, NFTA_FWD_SREG_DEV}};

	if (!strcmp(name, "meta"))
		return on_meta(tb, st, s);
	if (!strcmp(name, "target"))
		return on_target(tb, st, s);
	if (!strcmp(name, "cmp"))
		on_compare(tb, st, s);
	if (!strcmp(name, "immediate"))
		st->value[register_of(tb[NFTA_IMMEDIATE_DREG])] =
			ifp_attr_u32(value_of(tb[NFTA_IMMEDIATE_DATA]), 0);
	if (!strcmp(name, "nat"))
		return be32(tb[NFTA_NAT_TYPE]) == NFT_NAT_DNAT ? leads(st, s, NFT_DNAT, "dnat")
							       : leads(st, s, NFT_SNAT, "snat");
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		if (strcmp(name, plain[i].name) != 0)
			continue;
		if (plain[i].device && tb[plain[i].device])
			st->rule.target = st->value[register_of(tb[plain[i].device])];
		return leads(st, s, plain[i].kind, name);
	}
	return 0;
}

static int read_expressions(const struct nlattr *list, struct state *st, struct snapshot *s)
{
	const struct nlattr *element;
	int r;

	mnl_attr_for_each_nested (element, list) {
		const struct nlattr *tb[NFTA_EXPR_DATA + 1], *data[16 + 1];
		char name[32];

		ifp_attrs(mnl_attr_get_payload(element), mnl_attr_get_payload_len(element), tb,
			NFTA_EXPR_DATA);
		ifp_attr_text(tb[NFTA_EXPR_NAME], name, sizeof(name));
		memset(data, 0, sizeof(data));
		if (tb[NFTA_EXPR_DATA])
			ifp_attrs(mnl_attr_get_payload(tb[NFTA_EXPR_DATA]),
				mnl_attr_get_payload_len(tb[NFTA_EXPR_DATA]), data, 16);
		r = on_expression(name, data, st, s);
		if (r)
			return r;
	}
	return 0;
}

int ifp_on_nft_rule(const struct nlmsghdr *nlh, void *data)
{
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[NFTA_RULE_EXPRESSIONS + 1];
	size_t skip = MNL_ALIGN(sizeof(*nfg));
	struct state st = {};

	if (nlh->nlmsg_type != ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWRULE) ||
		mnl_nlmsg_get_payload_len(nlh) < skip)
		return 0;
	ifp_attrs(mnl_nlmsg_get_payload_offset(nlh, skip), mnl_nlmsg_get_payload_len(nlh) - skip,
		tb, NFTA_RULE_EXPRESSIONS);
	if (!tb[NFTA_RULE_EXPRESSIONS])
		return 0;
	st.rule.family = nfg->nfgen_family;
	ifp_attr_text(tb[NFTA_RULE_TABLE], st.rule.table, sizeof(st.rule.table));
	ifp_attr_text(tb[NFTA_RULE_CHAIN], st.rule.chain, sizeof(st.rule.chain));
	if (tb[NFTA_RULE_HANDLE] && mnl_attr_get_payload_len(tb[NFTA_RULE_HANDLE]) >= 8)
		st.rule.handle = be64toh(mnl_attr_get_u64(tb[NFTA_RULE_HANDLE]));
	return read_expressions(tb[NFTA_RULE_EXPRESSIONS], &st, data);
}

/* Tables of the older iptables are not among these; the kernel lists which it has. */
static void look_for_legacy(struct snapshot *s)
{
	static const char *const lists[] = {
		"/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		_cleanup_free_ char *names = NULL;

		if (!ifp_read_file(lists[i], &names) && *names)
			ifp_gap(s, i ? "ip6tables-legacy" : "iptables-legacy", -EOPNOTSUPP);
	}
}

int ifp_read_nft(struct snapshot *s)
{
	_cleanup_(ifp_nl_closep) struct mnl_socket *nl = NULL;
	struct nfgenmsg nfg = {.nfgen_family = NFPROTO_UNSPEC, .version = NFNETLINK_V0};
	char buf[128];
	int r = ifp_nl_open(NETLINK_NETFILTER, &nl);

	look_for_legacy(s);
	if (r)
		return r;
	r = ifp_dump(nl,
		ifp_request(buf, (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETRULE, NLM_F_DUMP, &nfg,
			sizeof(nfg)),
		ifp_on_nft_rule, s, &s->nft.n);
	/* nfnetlink says so of a subsystem that the kernel has not got. */
	return r == -EINVAL ? 0 : r;
}
