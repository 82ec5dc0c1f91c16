// SPDX-License-Identifier: MIT
/* Putting fences up, changing them, taking them down. */
#include "internal.h"

#include "device/device.h"

#include <errno.h>
#include <string.h>

/* Devices may come and go between the look at them and the transaction. */
#define MAX_TRIES 8

#define WORD "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

static void end_guard(struct ifp_guard **g)
{
	ifp_guard_end(*g);
}

int ifp_fence_name_check(const char *name, struct ifpin_error *err)
{
	size_t len = strlen(name);

	if (!len || len > 16 || strspn(name, WORD) != len)
		return ifp_fail(err, -EINVAL,
			"the name of a fence has 1 to 16 letters, digits, '-' or '_', "
			"and \"%s\" has not: give it another one (--name)",
			name);
	return 0;
}

static bool is_ours(const char *table)
{
	return !strncmp(table, TABLE_PREFIX, strlen(TABLE_PREFIX));
}

/* Old iptables leave no trace in nftables, but say so here. */
static bool iptables_translate(const char *path)
{
	_cleanup_free_ char *text = NULL;

	return !ifp_read_file(path, &text) && strstr(text, "nat\n");
}

int ifp_host_has_nat(bool *ret, struct ifpin_error *err)
{
	_cleanup_(ifp_nft_putp) json_object *items = NULL;
	int r = ifp_nft_list("list chains", &items, err);
	bool nat;

	if (r)
		return r;
	nat = iptables_translate("/proc/thread-self/net/ip_tables_names") ||
	      iptables_translate("/proc/thread-self/net/ip6_tables_names");
	for (size_t i = 0; i < json_object_array_length(items); i++) {
		json_object *chain = ifp_nft_of(json_object_array_get_idx(items, i), "chain");

		nat |= chain && !strcmp(ifp_nft_string(chain, "type"), "nat");
	}
	*ret = nat;
	return 0;
}

/*
 * Of two chains with the same priority the one that was there first comes last. So one of somebody
 * else with the last priority would come after the fence, and could rewrite what has passed it.
 */
static int nobody_is_last(struct ifpin_error *err)
{
	_cleanup_(ifp_nft_putp) json_object *items = NULL;
	int r = ifp_nft_list("list chains", &items, err);

	for (size_t i = 0; !r && i < json_object_array_length(items); i++) {
		json_object *c = ifp_nft_of(json_object_array_get_idx(items, i), "chain");

		if (!c || strcmp(ifp_nft_string(c, "hook"), "egress") != 0 ||
			ifp_nft_int(c, "prio") != INT32_MAX || is_ours(ifp_nft_string(c, "table")))
			continue;
		r = ifp_fail(err, -EBUSY,
			"chain \"%s\" of table netdev \"%s\" has the last priority at an egress hook "
			"and could rewrite what has passed the fence: give it a lower priority",
			ifp_nft_string(c, "name"), ifp_nft_string(c, "table"));
	}
	return r;
}

/* Its table of addresses is there and switched off: there is nothing that could be read. */
static bool is_off(const char *name)
{
	_cleanup_free_ char *text = NULL;
	char command[80];

	snprintf(command, sizeof(command), "list table netdev " TABLE_PREFIX "%s", name);
	return !ifp_nft_text(command, &text, NULL) && ifp_nft_dormant(text) &&
	       strstr(text, "\"ifpin fence 1\"");
}

/* A table of our name that no fence is in belongs to somebody else. */
static int name_is_free(const char *name, struct ifpin_error *err)
{
	struct ifpin_fence f;
	bool ours;
	int r = ifp_state_read_devices(name, &f, NULL);

	/* The quick way, for the usual case. */
	ours = !r && f.device.ifindex;
	if (!r)
		ifp_state_clear(&f);
	if (ours)
		return 0;
	r = ifp_state_read(name, &f, err);
	if (r == -ENOENT)
		return 0;
	if (r)
		return r;
	/* What is left after somebody deleted a part has our counters, if not what we were told. */
	if (!f.device.ifindex && !f.n_counters && !is_off(name))
		r = ifp_fail(err, -EEXIST,
			"a table " TABLE_PREFIX
			"%s is there that is no fence: remove it, or choose another name (--name)",
			name);
	ifp_state_clear(&f);
	return r;
}

static int check_opts(const struct ifpin_fence_opts *o, struct ifpin_error *err)
{
	if (o->size != sizeof(*o))
		return ifp_fail(err, -EINVAL, "options of another version");
	if (!o->device.ifindex)
		return ifp_fail(err, -EINVAL, "no interface is given");
	if (!strcmp(o->device.name, "lo"))
		return ifp_fail(err, -EINVAL, "lo leads nowhere else; there is nothing to fence");
	if (!o->n_prefixes && !o->n_ethertypes)
		return ifp_fail(err, -EINVAL,
			"nothing to fence: give a network (--prefix), or a protocol (--ethertype)");
	if (o->n_ethertypes > IFPIN_FENCE_MAX_ETHERTYPES)
		return ifp_fail(
			err, -EINVAL, "more than %d ethertypes", IFPIN_FENCE_MAX_ETHERTYPES);
	for (size_t i = 0; i < o->n_ethertypes; i++)
		if (o->ethertypes[i] < 0x600)
			return ifp_fail(err, -EINVAL, "0x%04x is a length and no ethertype",
				o->ethertypes[i]);
	if (o->configured && (strlen(o->configured) >= IFPIN_FENCE_FILE_SIZE ||
				     strspn(o->configured, WORD ".") != strlen(o->configured)))
		return ifp_fail(err, -EINVAL, "a file with such a name cannot ask for a fence");
	return ifp_fence_name_check(o->name ?: o->device.name, err)
		       ?: ifp_port_name_check(o->device.name, err);
}

static bool has_bridges(void)
{
	return !ifp_nft_run("add table bridge " TABLE_PREFIX "probe", true, NULL);
}

/*
 * Whether rules may leave frames to the program in traffic control. Realms of routes are an option
 * of the kernel.
 */
static bool is_guarded(void)
{
	return ifp_guard_has_place() &&
	       !ifp_nft_run("add table netdev " TABLE_PREFIX "probe\n"
			    "add chain netdev " TABLE_PREFIX "probe c\n"
			    "add rule netdev " TABLE_PREFIX "probe c " IFP_HAS_ROUTE,
		       true, NULL);
}

static int explain(int r, struct ifpin_error *err)
{
	char said[256];

	if (r == -EPERM)
		return ifp_fail(
			err, r, "not privileged: fences need cap_net_admin (run it with sudo)");
	if (r != -EOPNOTSUPP || !err)
		return r;
	snprintf(said, sizeof(said), "%s", err->text);
	return ifp_fail(err, r,
		"this kernel lacks a hook of nftables (egress: Linux 5.16, "
		"CONFIG_NETFILTER_EGRESS, CONFIG_NF_TABLES_NETDEV, _ARP, _INET): %s",
		said);
}

static int tie_guard(const struct plan *plan, struct ifp_guard *g, struct ifpin_error *err)
{
	for (size_t i = 0; i < plan->n_covered; i++) {
		int r = ifp_guard_attach(g, &plan->covered[i]);

		if (r == -ENODEV)
			r = -ENOENT; /* gone meanwhile: look again */
		if (r)
			return ifp_fail_errno(err, r,
				"cannot tie the program for traffic control to %s",
				plan->covered[i].name);
	}
	return 0;
}

/*
 * The new program is at all devices before the rules change; until they have, the former one is
 * beside it, or the new one drops all that it drops: whoever is killed or fails in between leaves
 * what was held held.
 */
static int swap_guard(const struct plan *plan, const char *text, struct ifpin_error *err)
{
	_cleanup_(end_guard) struct ifp_guard *g = NULL;
	int r;

	/* Where there is no place for it, ifpin_fence_check() says so. */
	if (!ifp_guard_has_place())
		return ifp_nft_run(text, false, err);
	r = ifp_guard_load(plan, &g);
	if (r)
		return ifp_fail_errno(err, r, "cannot load the program for traffic control");
	r = tie_guard(plan, g, err);
	if (!r)
		r = ifp_nft_run(text, false, err);
	if (r)
		ifp_guard_undo(g);
	for (size_t i = 0; !r && i < plan->n_covered; i++)
		ifp_guard_detach(plan->name, plan->covered[i].ifindex, g);
	for (size_t i = 0; !r && i < plan->n_carriers; i++)
		ifp_guard_detach(plan->name, plan->carriers[i].ifindex, NULL);
	if (!r && !plan->shut)
		ifp_guard_detach(plan->name, plan->device.ifindex, NULL);
	return r;
}

/* One look at the devices and one transaction for what is seen. Return: -ENOENT: try again. */
static int try_apply(struct plan *plan, bool dry, char **ret_text, struct ifpin_error *err)
{
	_cleanup_(ifp_ports_free) struct ports all = {}, carriers = {}, covered = {};
	_cleanup_free_ char *text = NULL;
	int r = ifp_ports_read(&all);

	if (!r)
		r = ifp_place_take(plan, &all, dry);
	if (!r)
		r = ifp_ports_split(&all, plan->shut ? NULL : &plan->device, &carriers, &covered);
	if (r)
		return ifp_fail_errno(err, r, "cannot read what interfaces are, or give %s a group",
			plan->device.name);
	for (size_t i = 0; i < all.n && !r; i++)
		r = ifp_port_name_check(all.list[i].name, err);
	if (r)
		return r;
	plan->carriers = carriers.list;
	plan->n_carriers = carriers.n;
	plan->covered = covered.list;
	plan->n_covered = covered.n;
	text = ifp_plan_text(plan);
	if (!text)
		r = ifp_fail(err, -ENOMEM, "no memory for the rules");
	else
		r = dry ? ifp_nft_run(text, true, err) : swap_guard(plan, text, err);
	plan->carriers = plan->covered = NULL;
	if (!r && ret_text) {
		*ret_text = text;
		text = NULL;
	}
	return explain(r, err);
}

/* Devices that were a fence's and are no more, or did not come to be. Return: r; -errno. */
static int tidy(const struct plan *plan, int r, struct ifpin_error *err)
{
	_cleanup_(ifp_ports_free) struct ports all = {};
	int q = ifp_ports_read(&all);

	if (q)
		return r ?: ifp_fail_errno(err, q, "cannot list the interfaces");
	q = ifp_place_release(&all, r ? 0 : plan->device.ifindex, r ? NULL : err);
	return r ?: q;
}

static int put_up(struct plan *plan, bool dry, char **ret_text, struct ifpin_error *err)
{
	int r = nobody_is_last(err);

	if (r)
		return explain(r, err);
	plan->bridge = has_bridges();
	plan->guarded = is_guarded();
	for (int i = 0; i < MAX_TRIES; i++) {
		r = try_apply(plan, dry, ret_text, err);
		if (r != -ENOENT && r != -ENODEV)
			return dry ? r : tidy(plan, r, err);
	}
	return tidy(
		plan, ifp_fail(err, -EAGAIN, "interfaces come and go too fast: try again"), err);
}

static int apply(
	const struct ifpin_fence_opts *o, bool dry, char **ret_text, struct ifpin_error *err)
{
	_cleanup_free_ struct ifpin_prefix *prefixes = NULL;
	_cleanup_close_ int lock = -1;
	struct plan plan = {
		.nat = o->nat == IFPIN_FENCE_NAT_ON, .asked = o->nat, .configured = o->configured};
	int r = check_opts(o, err);

	if (!r && !dry)
		r = ifp_fence_lock(&lock, err);
	if (!r)
		r = explain(name_is_free(o->name ?: o->device.name, err), err);
	if (!r && o->nat == IFPIN_FENCE_NAT_AUTO)
		r = explain(ifp_host_has_nat(&plan.nat, err), err);
	if (r)
		return r;
	prefixes = calloc(o->n_prefixes + 1, sizeof(*prefixes));
	if (!prefixes)
		return ifp_fail(err, -ENOMEM, "no memory for %zu networks", o->n_prefixes);
	if (o->n_prefixes)
		memcpy(prefixes, o->prefixes, o->n_prefixes * sizeof(*prefixes));
	plan.name = o->name ?: o->device.name;
	plan.device = o->device;
	plan.prefixes = prefixes;
	plan.n_prefixes = ifp_prefix_merge(prefixes, o->n_prefixes);
	plan.ethertypes = o->ethertypes;
	plan.n_ethertypes = o->n_ethertypes;
	return put_up(&plan, dry, ret_text, err);
}

int ifpin_fence_apply(const struct ifpin_fence_opts *opts, struct ifpin_error *ret_error)
{
	return apply(opts, false, NULL, ret_error);
}

int ifpin_fence_plan(
	const struct ifpin_fence_opts *opts, char **ret_text, struct ifpin_error *ret_error)
{
	return apply(opts, true, ret_text, ret_error);
}

int ifp_fence_again(
	const struct ifpin_fence *was, const struct ifpin_device *device, struct ifpin_error *err)
{
	struct plan plan = {.name = was->name,
		.device = *device,
		.prefixes = was->prefixes,
		.n_prefixes = was->n_prefixes,
		.ethertypes = was->ethertypes,
		.n_ethertypes = was->n_ethertypes,
		.configured = *was->configured ? was->configured : NULL,
		.asked = was->asked,
		.nat = was->nat};

	return put_up(&plan, false, NULL, err);
}

static bool is_listed(const struct ifpin_fence *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i].name, name))
			return true;
	return false;
}

int ifpin_fence_list(struct ifpin_fence **ret_fences, size_t *ret_n, struct ifpin_error *ret_error)
{
	_cleanup_free_ struct fence_table *tables = NULL;
	struct ifpin_fence *list;
	size_t n, read = 0;
	int r = explain(ifp_state_tables(&tables, &n, ret_error), ret_error);

	if (r)
		return r;
	list = calloc(n + 1, sizeof(*list));
	if (!list)
		return ifp_fail(ret_error, -ENOMEM, "no memory for %zu fences", n);
	for (size_t i = 0; i < n; i++) {
		if (is_listed(list, read, tables[i].fence))
			continue;
		r = ifp_state_read(tables[i].fence, &list[read], ret_error);
		if (r == -ENOENT)
			continue; /* taken down meanwhile */
		if (r) {
			ifpin_fence_free(list, read);
			return r;
		}
		read++;
	}
	*ret_fences = list;
	*ret_n = read;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

/* Without order, and without what is there twice. */
static bool same_types(const uint16_t *a, size_t n, const uint16_t *b, size_t m)
{
	uint16_t x[IFPIN_FENCE_MAX_ETHERTYPES] = {}, y[IFPIN_FENCE_MAX_ETHERTYPES] = {};
	size_t i = 0, k = 0;

	if (n > ARRAY_SIZE(x) || m > ARRAY_SIZE(y))
		return false;
	if (n)
		memcpy(x, a, n * sizeof(*a));
	if (m)
		memcpy(y, b, m * sizeof(*b));
	qsort(x, n, sizeof(*x), by_number);
	qsort(y, m, sizeof(*y), by_number);
	while (i < n && k < m && x[i] == y[k]) {
		uint16_t type = x[i];

		while (i < n && x[i] == type)
			i++;
		while (k < m && y[k] == type)
			k++;
	}
	return i == n && k == m;
}

static bool same_prefixes(
	const struct ifpin_prefix *a, size_t n, const struct ifpin_prefix *b, size_t m)
{
	_cleanup_free_ struct ifpin_prefix *x = calloc(n + 1, sizeof(*x));
	_cleanup_free_ struct ifpin_prefix *y = calloc(m + 1, sizeof(*y));

	if (!x || !y)
		return false;
	if (n)
		memcpy(x, a, n * sizeof(*a));
	if (m)
		memcpy(y, b, m * sizeof(*b));
	n = ifp_prefix_merge(x, n);
	m = ifp_prefix_merge(y, m);
	return n == m && !memcmp(x, y, n * sizeof(*x));
}

bool ifpin_fence_matches(const struct ifpin_fence *fence, const struct ifpin_fence_opts *opts)
{
	return fence->asked == opts->nat && !strcmp(fence->configured, opts->configured ?: "") &&
	       same_types(fence->ethertypes, fence->n_ethertypes, opts->ethertypes,
		       opts->n_ethertypes) &&
	       same_prefixes(fence->prefixes, fence->n_prefixes, opts->prefixes, opts->n_prefixes);
}

void ifpin_fence_free(struct ifpin_fence *fences, size_t n)
{
	for (size_t i = 0; fences && i < n; i++)
		ifp_state_clear(&fences[i]);
	free(fences);
}

int ifpin_fence_remove(const char *name, struct ifpin_error *ret_error)
{
	_cleanup_(ifp_ports_free) struct ports all = {};
	_cleanup_free_ struct fence_table *tables = NULL;
	_cleanup_close_ int lock = -1;
	char text[512] = "";
	size_t n = 0;
	bool any;
	int r = ifp_fence_name_check(name, ret_error) ?: ifp_fence_lock(&lock, ret_error);

	if (!r)
		r = explain(name_is_free(name, ret_error), ret_error);
	if (!r)
		r = explain(ifp_state_tables(&tables, &n, ret_error), ret_error);
	for (size_t i = 0; !r && i < n; i++)
		if (!strcmp(tables[i].fence, name))
			snprintf(text + strlen(text), sizeof(text) - strlen(text),
				"delete table %s " TABLE_PREFIX "%s\n", tables[i].family, name);
	any = *text;
	if (!r && any)
		r = explain(ifp_nft_run(text, false, ret_error), ret_error);
	if (!r)
		r = ifp_ports_read(&all);
	if (r)
		return r;
	r = ifp_place_release(&all, 0, ret_error);
	if (r)
		return r;
	/* Programs stay where somebody has flushed all rules. */
	for (size_t i = 0; i < all.n; i++)
		any |= ifp_guard_detach(name, all.list[i].ifindex, NULL) > 0;
	return any ? 0 : ifp_fail(ret_error, -ENOENT, "there is no fence \"%s\"", name);
}
