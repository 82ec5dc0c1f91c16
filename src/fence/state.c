// SPDX-License-Identifier: MIT
/* Reads a fence back from the kernel; there is no other copy. */
#include "internal.h"

#include "base/nl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

void ifp_state_clear(struct ifpin_fence *f)
{
	free(f->prefixes);
	free(f->ethertypes);
	free(f->covered);
	free(f->carriers);
	free(f->counters);
	*f = (struct ifpin_fence){};
}

static uint8_t unhex(const char *s, uint8_t *ret, size_t max)
{
	size_t n = 0;
	unsigned int byte;

	while (n < max && sscanf(s + 2 * n, "%2x", &byte) == 1)
		ret[n++] = (uint8_t)byte;
	return (uint8_t)n;
}

static int read_about(const char *text, struct ifpin_fence *f)
{
	const char *value = strchr(text, ' ');
	size_t key = value ? (size_t)(value - text) : 0;
	struct ifpin_device *d = &f->device;
	int r;

	if (!value)
		return 0;
	value++;
#define IS(word) (key == strlen(word) && !memcmp(text, word, key))
	if (IS("name"))
		snprintf(d->name, sizeof(d->name), "%s", value);
	else if (IS("index"))
		d->ifindex = (uint32_t)strtoul(value, NULL, 10);
	else if (IS("type"))
		d->type = (uint16_t)strtoul(value, NULL, 10);
	else if (IS("kind"))
		snprintf(d->kind, sizeof(d->kind), "%s", value);
	else if (IS("mac"))
		d->mac_len = unhex(value, d->mac, sizeof(d->mac));
	else if (IS("perm"))
		d->perm_mac_len = unhex(value, d->perm_mac, sizeof(d->perm_mac));
	else if (IS("nat"))
		f->nat = *value == '1';
	else if (IS("bridge"))
		f->bridge = *value == '1';
	else if (IS("configured"))
		snprintf(f->configured, sizeof(f->configured), "%s", value);
	else if (IS("asked"))
		f->asked = (enum ifpin_fence_nat)strtoul(value, NULL, 10);
	else if (IS("guarded"))
		f->guarded = *value == '1';
	else if (IS("group"))
		f->group = (uint32_t)strtoul(value, NULL, 10);
	else if (IS("shut"))
		f->shut = *value == '1';
	else if (IS("carrier")) {
		r = ifp_grow(&f->carriers, f->n_carriers, sizeof(*f->carriers));
		if (r)
			return r;
		f->carriers[f->n_carriers++] = (uint32_t)strtoul(value, NULL, 10);
	}
#undef IS
	return 0;
}

/* An element of a typed set: one address, or a prefix; two next to each other may be a range. */
static int read_prefix(json_object *elem, struct ifpin_fence *f)
{
	json_object *prefix = ifp_nft_of(elem, "prefix");
	const char *addr = prefix ? ifp_nft_string(prefix, "addr") : json_object_get_string(elem);
	struct ifpin_prefix p = {};
	int r;

	if (ifp_parse_addr(addr ?: "", p.addr))
		return -EBADMSG;
	p.prefixlen = (uint8_t)(prefix ? ifp_nft_int(prefix, "len") : strchr(addr, ':') ? 128 : 32);
	if (!strchr(addr, ':'))
		p.prefixlen = (uint8_t)(p.prefixlen + 96);
	r = ifp_grow(&f->prefixes, f->n_prefixes, sizeof(p));
	if (!r)
		f->prefixes[f->n_prefixes++] = p;
	return r;
}

static int read_type(json_object *elem, struct ifpin_fence *f)
{
	int r = ifp_grow(&f->ethertypes, f->n_ethertypes, sizeof(*f->ethertypes));

	if (!r)
		f->ethertypes[f->n_ethertypes++] =
			(uint16_t)strtoul(json_object_get_string(elem), NULL, 0);
	return r;
}

static int read_set(json_object *set, const char *family, struct ifpin_fence *f)
{
	const char *name = ifp_nft_string(set, "name");
	json_object *elems = ifp_nft_of(set, "elem");
	bool types = !strcmp(family, "netdev") && !strcmp(name, "types");
	int r = 0;

	if (!elems || (!types && (strncmp(family, "ip", 2) != 0 || name[0] != 'p')))
		return 0;
	for (size_t i = 0; i < json_object_array_length(elems) && !r; i++) {
		json_object *e = json_object_array_get_idx(elems, i);

		r = types ? read_type(e, f) : read_prefix(e, f);
	}
	return r;
}

static int count(struct ifpin_fence *f, const char *reason, uint64_t packets, uint64_t bytes)
{
	struct ifpin_fence_counter *c = NULL;
	int r;

	for (size_t i = 0; i < f->n_counters && !c; i++)
		if (!strcmp(f->counters[i].reason, reason))
			c = &f->counters[i];
	if (!c) {
		r = ifp_grow(&f->counters, f->n_counters, sizeof(*c));
		if (r)
			return r;
		c = &f->counters[f->n_counters++];
		*c = (struct ifpin_fence_counter){};
		snprintf(c->reason, sizeof(c->reason), "%s", reason);
	}
	c->packets += packets;
	c->bytes += bytes;
	return 0;
}

static int read_counter(json_object *o, struct ifpin_fence *f)
{
	return count(f, ifp_nft_string(o, "name"), (uint64_t)ifp_nft_int(o, "packets"),
		(uint64_t)ifp_nft_int(o, "bytes"));
}

/* The programs of all devices have one set of counters. */
static int read_guard(struct ifpin_fence *f)
{
	static const char *const reasons[IFPIN_GUARD_REASONS] = {
		"source", "destination", "arp", "discovery", "ethertype", "nested"};
	struct ifpin_guard_counts c;
	size_t at = 0;
	int r = 0;

	while (at < f->n_covered && !ifp_guard_counts(f->name, f->covered[at], &c))
		at++;
	for (int i = 0; at < f->n_covered && i < 2 * IFPIN_GUARD_REASONS && !r; i++) {
		char name[IFPIN_FENCE_REASON_SIZE];

		snprintf(name, sizeof(name), "%s-%s", i % 2 ? "in" : "out", reasons[i / 2]);
		r = count(f, name, c.of[i % 2][i / 2].packets, c.of[i % 2][i / 2].bytes);
	}
	return r;
}

/* A chain out5 stands for the device with that index. */
static int read_chain(json_object *chain, const char *family, struct ifpin_fence *f)
{
	const char *name = ifp_nft_string(chain, "name");
	int r;

	if (strcmp(family, "netdev") != 0 || strncmp(name, "out", 3) != 0 || name[3] < '0' ||
		name[3] > '9' ||
		strcmp(ifp_nft_string(chain, "table") + strlen(TABLE_PREFIX), f->name) != 0)
		return 0;
	r = ifp_grow(&f->covered, f->n_covered, sizeof(*f->covered));
	if (!r)
		f->covered[f->n_covered++] = (uint32_t)strtoul(name + 3, NULL, 10);
	return r;
}

static int read_item(json_object *item, const char *family, struct ifpin_fence *f)
{
	json_object *o;

	if ((o = ifp_nft_of(item, "set")))
		return read_set(o, family, f);
	if ((o = ifp_nft_of(item, "counter")))
		return read_counter(o, f);
	if ((o = ifp_nft_of(item, "chain")))
		return read_chain(o, family, f);
	if ((o = ifp_nft_of(item, "rule")) && !strcmp(ifp_nft_string(o, "chain"), "about"))
		return read_about(ifp_nft_string(o, "comment"), f);
	return 0;
}

static int read_list(
	const char *command, const char *family, struct ifpin_fence *f, struct ifpin_error *err)
{
	_cleanup_(ifp_nft_putp) json_object *items = NULL;
	int r = ifp_nft_list(command, &items, err);

	for (size_t i = 0; !r && i < json_object_array_length(items); i++) {
		r = read_item(json_object_array_get_idx(items, i), family, f);
		if (r)
			ifp_fail_errno(err, r, "cannot read the fence \"%s\"", f->name);
	}
	return r;
}

int ifp_state_read(const char *name, struct ifpin_fence *ret, struct ifpin_error *err)
{
	static const char *const families[] = {"netdev", "ip", "ip6", "bridge", "arp", "inet"};
	_cleanup_(ifp_state_clear) struct ifpin_fence f = {};
	bool any = false;
	char command[80];
	int r;

	snprintf(f.name, sizeof(f.name), "%s", name);
	for (size_t k = 0; k < ARRAY_SIZE(families); k++) {
		_cleanup_free_ char *text = NULL;

		snprintf(command, sizeof(command), "list table %s " TABLE_PREFIX "%s", families[k],
			name);
		r = ifp_nft_text(command, &text, err);
		if (r == -ENOENT || r == -EOPNOTSUPP)
			continue;
		any |= !r;
		/* libnftables 1.0.6 writes nonsense for the flags of such a table as JSON. */
		if (!r && ifp_nft_dormant(text))
			continue;
		if (!r)
			r = read_list(command, families[k], &f, err);
		if (r && r != -ENOENT)
			return r;
	}
	if (!any)
		return ifp_fail(err, -ENOENT, "there is no fence \"%s\"", name);
	r = read_guard(&f);
	if (r)
		return ifp_fail_errno(err, r, "cannot read the fence \"%s\"", name);
	*ret = f;
	f = (struct ifpin_fence){};
	return 0;
}

int ifp_state_read_devices(const char *name, struct ifpin_fence *ret, struct ifpin_error *err)
{
	_cleanup_(ifp_state_clear) struct ifpin_fence f = {};
	char command[80];
	int r;

	snprintf(f.name, sizeof(f.name), "%s", name);
	snprintf(command, sizeof(command), "list chain netdev " TABLE_PREFIX "%s about", name);
	r = read_list(command, "netdev", &f, err);
	if (!r)
		r = read_list("list chains netdev", "netdev", &f, err);
	if (r == -ENOENT)
		return ifp_fail(err, r, "there is no fence \"%s\"", name);
	if (r)
		return r;
	*ret = f;
	f = (struct ifpin_fence){};
	return 0;
}

struct tables {
	struct fence_table *list;
	size_t n;
};

static const char *family_name(uint8_t family)
{
	switch (family) {
	case NFPROTO_INET:
		return "inet";
	case NFPROTO_IPV4:
		return "ip";
	case NFPROTO_ARP:
		return "arp";
	case NFPROTO_NETDEV:
		return "netdev";
	case NFPROTO_BRIDGE:
		return "bridge";
	case NFPROTO_IPV6:
		return "ip6";
	}
	return "unknown";
}

static int on_table(const struct nlmsghdr *nlh, void *data)
{
	const struct nfgenmsg *gen = mnl_nlmsg_get_payload(nlh);
	const char *name = "";
	struct tables *t = data;
	const struct nlattr *a;
	int r;

	mnl_attr_for_each (a, nlh, sizeof(*gen))
		if (mnl_attr_get_type(a) == NFTA_TABLE_NAME)
			name = mnl_attr_get_str(a);
	if (strncmp(name, TABLE_PREFIX, strlen(TABLE_PREFIX)) != 0)
		return 0;
	name += strlen(TABLE_PREFIX);
	/* A dump that is read again shows a table twice. */
	for (size_t i = 0; i < t->n; i++)
		if (!strcmp(t->list[i].fence, name) &&
			!strcmp(t->list[i].family, family_name(gen->nfgen_family)))
			return 0;
	if (strlen(name) >= sizeof(t->list->fence))
		return 0; /* somebody else's: no fence has such a name */
	r = ifp_grow(&t->list, t->n, sizeof(*t->list));
	if (r)
		return r;
	snprintf(t->list[t->n].family, sizeof(t->list->family), "%s",
		family_name(gen->nfgen_family));
	strcpy(t->list[t->n++].fence, name);
	return 0;
}

/* Asked without libnftables: where there are no fences, a daemon does without its memory, too. */
int ifp_state_tables(struct fence_table **ret, size_t *ret_n, struct ifpin_error *err)
{
	struct tables t = {};
	char buf[512];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *gen;
	int r;

	nlh->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	gen = mnl_nlmsg_put_extra_header(nlh, sizeof(*gen));
	*gen = (struct nfgenmsg){.nfgen_family = NFPROTO_UNSPEC, .version = NFNETLINK_V0};
	r = ifp_nl_talk_on(NETLINK_NETFILTER, nlh, on_table, &t);
	if (r) {
		free(t.list);
		/* -EINVAL: nobody serves these messages. */
		r = r == -EINVAL ? -EOPNOTSUPP : r;
		return ifp_fail_errno(err, r, "cannot list the tables of nftables");
	}
	*ret = t.list;
	*ret_n = t.n;
	return 0;
}
