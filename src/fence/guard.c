// SPDX-License-Identifier: MIT
/* The programs of the fence in traffic control: tied to devices, and found again there. */
#include "guard.h"

#include "internal.h"

#include "guard.skel.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <string.h>

/* Linux 6.6; not in the headers of older systems. An attachment lives as long as the device. */
#define TCX_INGRESS 46
#define TCX_EGRESS 47
#define BEFORE_ALL (1U << 3)
#define MAX_PROGRAMS 64

static const int places[2] = {TCX_EGRESS, TCX_INGRESS};

/* A program of the fence that was at devices before. held: the new one drops all that it drops. */
struct former {
	int prog;
	uint32_t id;
	bool held;
};

/* former: the place in the list of the one that was there; -1: none had to go. */
struct tie {
	int prog, former;
	uint32_t ifindex;
	bool in;
};

struct ifp_guard {
	struct guard_bpf *skel;
	const struct plan *plan;
	struct former *formers;
	struct tie *ties;
	size_t n_formers, n_ties;
};

void ifp_guard_end(struct ifp_guard *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->n_formers; i++)
		close(g->formers[i].prog);
	free(g->formers);
	free(g->ties);
	guard_bpf__destroy(g->skel);
	free(g);
}

/* ---- what they are told ---- */

static void note_first(uint8_t bits[8192], const uint8_t *addr, unsigned int len)
{
	unsigned int from = (unsigned int)addr[0] << 8 | addr[1];
	unsigned int n = len < 16 ? 1U << (16 - len) : 1;

	for (unsigned int i = from; i < from + n; i++)
		bits[i / 8] |= (uint8_t)(1 << i % 8);
}

/* All networks of a family in one call. */
static int put(const struct bpf_map *map, const void *keys, uint32_t n)
{
	_cleanup_free_ uint8_t *ones = malloc(n + 1);
	uint32_t done = n;

	if (!ones)
		return -ENOMEM;
	memset(ones, 1, n);
	if (!n || !bpf_map_update_batch(bpf_map__fd(map), keys, ones, &done, NULL))
		return 0;
	return -errno;
}

static int fill(struct guard_bpf *skel, const struct plan *plan)
{
	_cleanup_free_ struct ifpin_guard_key4 *four = calloc(plan->n_prefixes + 1, sizeof(*four));
	_cleanup_free_ struct ifpin_guard_key6 *six = calloc(plan->n_prefixes + 1, sizeof(*six));
	uint32_t n4 = 0, n6 = 0;

	if (!four || !six)
		return -ENOMEM;
	for (size_t i = 0; i < plan->n_prefixes; i++) {
		const struct ifpin_prefix *p = &plan->prefixes[i];

		if (ifp_prefix_is_v4(p)) {
			four[n4].prefixlen = p->prefixlen - 96u;
			memcpy(four[n4].addr, p->addr + 12, 4);
			note_first(skel->bss->first4, four[n4].addr, four[n4].prefixlen);
			n4++;
		} else {
			six[n6].prefixlen = p->prefixlen;
			memcpy(six[n6].addr, p->addr, 16);
			note_first(skel->bss->first6, six[n6].addr, six[n6].prefixlen);
			n6++;
		}
	}
	return put(skel->maps.networks4, four, n4) ?: put(skel->maps.networks6, six, n6);
}

/* Whose frames leave by other devices, inside of packets that can be looked into. */
static bool is_tunnel(const char *kind)
{
	static const char *const kinds[] = {"ipip", "sit", "ip6tnl", "gre", "gretap", "ip6gre",
		"ip6gretap", "erspan", "ip6erspan", "vti", "vti6", "xfrm"};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kind, kinds[i]))
			return true;
	return false;
}

static void tell(struct ifpin_guard_about *about, const struct plan *plan)
{
	struct ifp_common c;

	ifp_prefix_common(plan->prefixes, plan->n_prefixes, &c);
	about->mask4 = htonl(c.mask4);
	about->bits4 = htonl(c.bits4);
	about->mask6 = htonl(c.mask6);
	about->bits6 = htonl(c.bits6);
	snprintf(about->fence, sizeof(about->fence), "%s", plan->name);
	about->inner = !is_tunnel(plan->device.kind);
	for (size_t i = 0; i < plan->n_carriers; i++)
		if (is_tunnel(plan->carriers[i].kind))
			about->inner = 0;
	about->n_types = (uint32_t)plan->n_ethertypes;
	for (size_t i = 0; i < plan->n_ethertypes; i++) {
		about->types[i] = plan->ethertypes[i];
		about->ip_types |= plan->ethertypes[i] == 0x0800 || plan->ethertypes[i] == 0x86dd;
	}
}

static int set_up(struct guard_bpf *skel, const struct plan *plan)
{
	uint32_t room = plan->n_prefixes ? (uint32_t)plan->n_prefixes : 1;

	tell(&skel->rodata->about, plan);
	return bpf_map__set_max_entries(skel->maps.networks4, room) ?:
	       bpf_map__set_max_entries(skel->maps.networks6, room) ?:
	       guard_bpf__load(skel)				    ?:
	       fill(skel, plan);
}

/* ---- the programs ---- */

static int program_for(const struct ifp_guard *g, bool ether, bool in)
{
	const struct bpf_program *p;

	if (ether)
		p = in ? g->skel->progs.ifpin_wire_in : g->skel->progs.ifpin_wire_out;
	else
		p = in ? g->skel->progs.ifpin_bare_in : g->skel->progs.ifpin_bare_out;
	return bpf_program__fd(p);
}

static uint32_t id_of(int prog)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(prog, &info, &len) ? 0 : info.id;
}

/* ---- those that are there ---- */

/* One of the program's maps, by the end of its name. Return: descriptor; -errno. */
static int map_of(int prog, const char *suffix, struct bpf_map_info *ret_info)
{
	uint32_t ids[16], len = sizeof(struct bpf_prog_info);
	struct bpf_prog_info info = {.nr_map_ids = ARRAY_SIZE(ids), .map_ids = (uintptr_t)ids};

	if (bpf_obj_get_info_by_fd(prog, &info, &len))
		return -errno;
	for (uint32_t i = 0; i < info.nr_map_ids && i < ARRAY_SIZE(ids); i++) {
		_cleanup_close_ int fd = bpf_map_get_fd_by_id(ids[i]);
		size_t n, m = strlen(suffix);

		*ret_info = (struct bpf_map_info){};
		len = sizeof(*ret_info);
		if (fd < 0 || bpf_obj_get_info_by_fd(fd, ret_info, &len))
			continue;
		n = strlen(ret_info->name);
		if (n >= m && !strcmp(ret_info->name + n - m, suffix))
			return ifp_take_fd(&fd);
	}
	return -ENOENT;
}

/* The only element of a map that stands for variables. Return: memory; NULL. */
static void *variables(int prog, const char *suffix, size_t at_least)
{
	struct bpf_map_info info;
	_cleanup_close_ int fd = map_of(prog, suffix, &info);
	uint32_t key = 0;
	void *value;

	if (fd < 0 || info.value_size < at_least)
		return NULL;
	value = malloc(info.value_size);
	if (value && !bpf_map_lookup_elem(fd, &key, value))
		return value;
	free(value);
	return NULL;
}

static bool is_ours(int prog, const char *fence)
{
	struct guard_bpf__rodata *ro;
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);
	bool ours;

	if (bpf_obj_get_info_by_fd(prog, &info, &len) || strncmp(info.name, "ifpin_", 6) != 0)
		return false;
	ro = variables(prog, ".rodata", sizeof(*ro));
	ours = ro && !strncmp(ro->about.fence, fence, sizeof(ro->about.fence));
	free(ro);
	return ours;
}

bool ifp_guard_has_place(void)
{
	uint32_t n = 0;

	return !bpf_prog_query(1, TCX_EGRESS, 0, NULL, NULL, &n);
}

int ifp_guard_load(const struct plan *plan, struct ifp_guard **ret)
{
	struct ifp_guard *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	libbpf_set_print(NULL);
	g->plan = plan;
	g->skel = guard_bpf__open();
	r = g->skel ? set_up(g->skel, plan) : -errno;
	/* What could not be found again could not be taken away. */
	for (int i = 0; i < 4 && !r; i++)
		if (!is_ours(program_for(g, i & 1, i & 2), plan->name))
			r = -ENODATA;
	if (r) {
		ifp_guard_end(g);
		return r;
	}
	*ret = g;
	return 0;
}

static bool is_any_fences(int prog)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);

	return !bpf_obj_get_info_by_fd(prog, &info, &len) &&
	       (!strncmp(info.name, "ifpin_wire", 10) || !strncmp(info.name, "ifpin_bare", 10));
}

bool ifp_guard_has_others(uint32_t ifindex)
{
	uint32_t ids[MAX_PROGRAMS], n = ARRAY_SIZE(ids);
	bool others = false;

	/* More than there is room for are not all ours. */
	if (bpf_prog_query((int)ifindex, places[true], 0, NULL, ids, &n))
		return errno == ENOSPC;
	for (uint32_t i = 0; i < n && !others; i++) {
		_cleanup_close_ int fd = bpf_prog_get_fd_by_id(ids[i]);

		others = fd < 0 || !is_any_fences(fd);
	}
	return others;
}

int64_t ifp_guard_find(const char *fence, uint32_t ifindex, bool in, bool *ret_overtaken)
{
	uint32_t ids[MAX_PROGRAMS], n = ARRAY_SIZE(ids);
	bool overtaken = false;

	if (bpf_prog_query((int)ifindex, places[in], 0, NULL, ids, &n))
		return -errno;
	for (uint32_t i = 0; i < n; i++) {
		_cleanup_close_ int fd = bpf_prog_get_fd_by_id(ids[i]);

		if (fd >= 0 && is_ours(fd, fence)) {
			if (ret_overtaken)
				*ret_overtaken = overtaken;
			return ids[i];
		}
		overtaken |= fd < 0 || !is_any_fences(fd);
	}
	return 0;
}

/* ---- ties ---- */

static int tie(int prog, uint32_t ifindex, bool in)
{
	LIBBPF_OPTS(bpf_prog_attach_opts, o, .flags = BEFORE_ALL);

	return bpf_prog_attach_opts(prog, (int)ifindex, places[in], &o);
}

/* In the place of another. The kernel waits for nobody, as it does for more or fewer (16 ms). */
static int replace(int prog, int former, uint32_t ifindex, bool in)
{
	LIBBPF_OPTS(bpf_prog_attach_opts, o, .flags = BPF_F_REPLACE, .replace_prog_fd = former);

	return bpf_prog_attach_opts(prog, (int)ifindex, places[in], &o);
}

/* Whether a plan holds all networks of a former program's map. Keys: a length, then an address. */
static bool holds_networks(const struct plan *plan, int former, const char *map, size_t addr_size)
{
	size_t skip = 16 - addr_size, key_size = sizeof(uint32_t) + addr_size;
	_cleanup_free_ uint8_t *keys = NULL, *values = NULL;
	struct bpf_map_info info;
	_cleanup_close_ int fd = map_of(former, map, &info);
	uint32_t n, len, next[8];
	bool held = true;

	if (fd < 0 || info.key_size != key_size || key_size > sizeof(next))
		return false;
	n = info.max_entries;
	keys = calloc(n, key_size);
	values = calloc(n, info.value_size);
	if (!keys || !values ||
		(bpf_map_lookup_batch(fd, NULL, next, keys, values, &n, NULL) && errno != ENOENT))
		return false;
	for (uint32_t i = 0; i < n && held; i++) {
		struct ifpin_prefix p = {};

		memcpy(&len, keys + i * key_size, sizeof(len));
		memcpy(p.addr + skip, keys + i * key_size + sizeof(len), addr_size);
		if (skip)
			p.addr[10] = p.addr[11] = 0xff;
		p.prefixlen = (uint8_t)(len + 8 * skip);
		held = ifp_prefix_holds(plan->prefixes, plan->n_prefixes, &p);
	}
	return held;
}

static bool has_type(const struct ifpin_guard_about *about, uint16_t type)
{
	for (uint32_t i = 0; i < about->n_types; i++)
		if (about->types[i] == type)
			return true;
	return false;
}

/* Whether the new program drops all that a former one does. */
static bool holds(const struct ifp_guard *g, int former)
{
	const struct ifpin_guard_about *now = &g->skel->rodata->about;
	struct guard_bpf__rodata *was = variables(former, ".rodata", sizeof(*was));
	bool held = was && was->about.n_types <= IFPIN_GUARD_TYPES &&
		    now->inner >= was->about.inner;

	for (uint32_t i = 0; held && i < was->about.n_types; i++)
		held = has_type(now, was->about.types[i]);
	free(was);
	return held && holds_networks(g->plan, former, "networks4", 4) &&
	       holds_networks(g->plan, former, "networks6", 16);
}

/* The fence's former program at a device, among those that are known. Return: its place; -errno. */
static int find_former(struct ifp_guard *g, uint32_t id)
{
	int fd, r;

	for (size_t i = 0; i < g->n_formers; i++)
		if (g->formers[i].id == id)
			return (int)i;
	fd = bpf_prog_get_fd_by_id(id);
	if (fd < 0)
		return -errno;
	r = ifp_grow(&g->formers, g->n_formers, sizeof(*g->formers));
	if (r) {
		close(fd);
		return r;
	}
	g->formers[g->n_formers] = (struct former){.prog = fd, .id = id, .held = holds(g, fd)};
	return (int)g->n_formers++;
}

/* The former one is there again before this one goes, also if somebody has taken that away. */
static void untie(const struct ifp_guard *g, const struct tie *t)
{
	int former = t->former < 0 ? -1 : g->formers[t->former].prog;

	if (former >= 0) {
		if (!replace(former, t->prog, t->ifindex, t->in))
			return;
		tie(former, t->ifindex, t->in);
	}
	bpf_prog_detach2(t->prog, (int)t->ifindex, places[t->in]);
}

/*
 * In the place of the former one if all stays held meanwhile, and nobody else's comes before it;
 * else before all others, and the former one stays.
 */
static int tie_new(struct ifp_guard *g, const struct port *port, bool in)
{
	struct tie t = {.prog = program_for(g, port->type == ARPHRD_ETHER, in),
		.former = -1,
		.ifindex = port->ifindex,
		.in = in};
	bool overtaken = false;
	int64_t id = ifp_guard_find(g->plan->name, port->ifindex, in, &overtaken);
	int former = id > 0 && !overtaken ? find_former(g, (uint32_t)id) : -1;
	int r = ifp_grow(&g->ties, g->n_ties, sizeof(*g->ties));

	if (r)
		return r;
	if (former >= 0 && g->formers[former].held &&
		!replace(t.prog, g->formers[former].prog, t.ifindex, in))
		t.former = former;
	else
		r = tie(t.prog, t.ifindex, in);
	if (!r)
		g->ties[g->n_ties++] = t;
	return r;
}

int ifp_guard_attach(struct ifp_guard *g, const struct port *port)
{
	return tie_new(g, port, false) ?: tie_new(g, port, true);
}

void ifp_guard_undo(struct ifp_guard *g)
{
	while (g->n_ties)
		untie(g, &g->ties[--g->n_ties]);
}

static bool is_of(const struct ifp_guard *g, uint32_t id)
{
	for (int i = 0; g && i < 4; i++)
		if (id_of(program_for(g, i & 1, i & 2)) == id)
			return true;
	return false;
}

static int detach_one(const char *fence, uint32_t ifindex, bool in, const struct ifp_guard *but)
{
	uint32_t ids[MAX_PROGRAMS], n = ARRAY_SIZE(ids);
	int found = 0;

	if (bpf_prog_query((int)ifindex, places[in], 0, NULL, ids, &n))
		return -errno;
	for (uint32_t i = 0; i < n; i++) {
		_cleanup_close_ int fd = bpf_prog_get_fd_by_id(ids[i]);

		if (fd < 0 || !is_ours(fd, fence))
			continue;
		found++;
		if (!is_of(but, ids[i]))
			bpf_prog_detach2(fd, (int)ifindex, places[in]);
	}
	return found;
}

int ifp_guard_detach(const char *fence, uint32_t ifindex, const struct ifp_guard *but)
{
	int out = detach_one(fence, ifindex, false, but), in;

	if (out < 0)
		return out;
	in = detach_one(fence, ifindex, true, but);
	return in < 0 ? in : out + in;
}

int ifp_guard_extend(const char *fence, uint32_t from, const struct port *to)
{
	int r = 0;

	for (int in = 0; in < 2 && !r; in++) {
		int64_t id = ifp_guard_find(fence, from, in, NULL);
		_cleanup_close_ int fd = id > 0 ? bpf_prog_get_fd_by_id((uint32_t)id) : -1;

		if (id <= 0)
			return -ENOENT;
		if (fd < 0)
			return -errno;
		/* Half of it may be there from a try before. */
		if (ifp_guard_find(fence, to->ifindex, in, NULL) <= 0)
			r = tie(fd, to->ifindex, in);
	}
	return r;
}

bool ifp_guard_counts(const char *fence, uint32_t ifindex, struct ifpin_guard_counts *ret)
{
	int64_t id = ifp_guard_find(fence, ifindex, false, NULL);
	_cleanup_close_ int fd = id > 0 ? bpf_prog_get_fd_by_id((uint32_t)id) : -1;
	struct guard_bpf__bss *bss = fd < 0 ? NULL : variables(fd, ".bss", sizeof(*bss));

	if (!bss)
		return false;
	*ret = bss->dropped;
	free(bss);
	return true;
}
