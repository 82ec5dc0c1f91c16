// SPDX-License-Identifier: MIT
/* The program of the fence in traffic control: tied to devices, and found again there. */
#include "guard.h"

#include "internal.h"

#include "guard.skel.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <string.h>

/* Linux 6.6; not in the headers of older systems. An attachment lives as long as the device. */
#define TCX_EGRESS 47
#define BEFORE_ALL (1U << 3)
#define MAX_PROGRAMS 64

struct ifp_guard {
	struct guard_bpf *skel;
};

void ifp_guard_end(struct ifp_guard *g)
{
	if (!g)
		return;
	guard_bpf__destroy(g->skel);
	free(g);
}

static void note_first(uint8_t bits[8192], const uint8_t *addr, unsigned int len)
{
	unsigned int from = (unsigned int)addr[0] << 8 | addr[1];
	unsigned int n = len < 16 ? 1U << (16 - len) : 1;

	for (unsigned int i = from; i < from + n; i++)
		bits[i / 8] |= (uint8_t)(1 << i % 8);
}

static int fill(struct guard_bpf *skel, const struct plan *plan)
{
	uint8_t one = 1;
	int r = 0;

	for (size_t i = 0; i < plan->n_prefixes && !r; i++) {
		const struct ifpin_prefix *p = &plan->prefixes[i];

		if (ifp_prefix_is_v4(p)) {
			struct ifpin_guard_key4 key = {.prefixlen = p->prefixlen - 96u};

			memcpy(key.addr, p->addr + 12, 4);
			note_first(skel->bss->first4, key.addr, key.prefixlen);
			r = bpf_map__update_elem(
				skel->maps.networks4, &key, sizeof(key), &one, 1, BPF_ANY);
		} else {
			struct ifpin_guard_key6 key = {.prefixlen = p->prefixlen};

			memcpy(key.addr, p->addr, 16);
			note_first(skel->bss->first6, key.addr, key.prefixlen);
			r = bpf_map__update_elem(
				skel->maps.networks6, &key, sizeof(key), &one, 1, BPF_ANY);
		}
	}
	return r;
}

static int set_up(struct guard_bpf *skel, const struct plan *plan)
{
	uint32_t room = plan->n_prefixes ? (uint32_t)plan->n_prefixes : 1;

	snprintf(skel->rodata->about.fence, sizeof(skel->rodata->about.fence), "%s", plan->name);
	skel->rodata->about.n_types = (uint32_t)plan->n_ethertypes;
	for (size_t i = 0; i < plan->n_ethertypes; i++)
		skel->rodata->about.types[i] = plan->ethertypes[i];
	return bpf_map__set_max_entries(skel->maps.networks4, room) ?:
	       bpf_map__set_max_entries(skel->maps.networks6, room) ?:
	       guard_bpf__load(skel)				    ?:
	       fill(skel, plan);
}

static int program_for(const struct ifp_guard *g, const struct port *port)
{
	return bpf_program__fd(
		port->type == ARPHRD_ETHER ? g->skel->progs.ifpin_wire : g->skel->progs.ifpin_bare);
}

static int tie(int prog, uint32_t ifindex, int instead_of)
{
	LIBBPF_OPTS(bpf_prog_attach_opts, o, .flags = BEFORE_ALL);

	if (instead_of >= 0) {
		o.flags = BPF_F_REPLACE;
		o.replace_prog_fd = instead_of;
	}
	return bpf_prog_attach_opts(prog, (int)ifindex, TCX_EGRESS, &o);
}

int ifp_guard_attach(
	const struct ifp_guard *g, const char *fence, const struct port *port, int *ret_former)
{
	_cleanup_close_ int former = -1;
	uint32_t id;
	int r = ifp_guard_find(fence, port->ifindex, &id, 1);

	if (r < 0)
		return r;
	if (r)
		former = bpf_prog_get_fd_by_id(id);
	r = tie(program_for(g, port), port->ifindex, former);
	if (!r)
		*ret_former = ifp_take_fd(&former);
	return r;
}

void ifp_guard_restore(const struct ifp_guard *g, const struct port *port, int former)
{
	if (former < 0)
		bpf_prog_detach2(program_for(g, port), (int)port->ifindex, TCX_EGRESS);
	else
		tie(former, port->ifindex, program_for(g, port));
}

uint32_t ifp_guard_id(const struct ifp_guard *g, bool ether)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);
	const struct bpf_program *p = ether ? g->skel->progs.ifpin_wire : g->skel->progs.ifpin_bare;

	return bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &len) ? 0 : info.id;
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
	g->skel = guard_bpf__open();
	r = g->skel ? set_up(g->skel, plan) : -errno;
	/* What could not be found again could not be taken away. */
	if (!r && (!is_ours(bpf_program__fd(g->skel->progs.ifpin_wire), plan->name) ||
			  !is_ours(bpf_program__fd(g->skel->progs.ifpin_bare), plan->name)))
		r = -ENODATA;
	if (r) {
		ifp_guard_end(g);
		return r;
	}
	*ret = g;
	return 0;
}

int ifp_guard_find(const char *fence, uint32_t ifindex, uint32_t *ret_ids, size_t max)
{
	uint32_t ids[MAX_PROGRAMS], n = ARRAY_SIZE(ids);
	size_t found = 0;

	if (bpf_prog_query((int)ifindex, TCX_EGRESS, 0, NULL, ids, &n))
		return -errno;
	for (uint32_t i = 0; i < n && found < max; i++) {
		_cleanup_close_ int fd = bpf_prog_get_fd_by_id(ids[i]);

		if (fd >= 0 && is_ours(fd, fence))
			ret_ids[found++] = ids[i];
	}
	return (int)found;
}

int ifp_guard_detach(const char *fence, uint32_t ifindex, uint32_t keep_a, uint32_t keep_b)
{
	uint32_t ids[MAX_PROGRAMS];
	int n = ifp_guard_find(fence, ifindex, ids, ARRAY_SIZE(ids));

	for (int i = 0; i < n; i++) {
		_cleanup_close_ int fd =
			ids[i] == keep_a || ids[i] == keep_b ? -1 : bpf_prog_get_fd_by_id(ids[i]);

		if (fd >= 0)
			bpf_prog_detach2(fd, (int)ifindex, TCX_EGRESS);
	}
	return n;
}

int ifp_guard_extend(const char *fence, uint32_t from, const struct port *to)
{
	uint32_t id;
	_cleanup_close_ int fd = -1;

	if (ifp_guard_find(fence, from, &id, 1) != 1)
		return -ENOENT;
	fd = bpf_prog_get_fd_by_id(id);
	return fd < 0 ? -errno : bpf_prog_attach(fd, (int)to->ifindex, TCX_EGRESS, BEFORE_ALL);
}

bool ifp_guard_count(
	const char *fence, uint32_t ifindex, uint64_t *ret_packets, uint64_t *ret_bytes)
{
	struct guard_bpf__bss *bss;
	uint32_t id;
	_cleanup_close_ int fd = -1;

	if (ifp_guard_find(fence, ifindex, &id, 1) != 1)
		return false;
	fd = bpf_prog_get_fd_by_id(id);
	bss = fd < 0 ? NULL : variables(fd, ".bss", sizeof(*bss));
	if (!bss)
		return false;
	*ret_packets = bss->dropped_packets;
	*ret_bytes = bss->dropped_bytes;
	free(bss);
	return true;
}
