// SPDX-License-Identifier: MIT
#include "run_tell.h"
#include "programs.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#define MAX_PROGRAMS 64 /* BPF_CGROUP_MAX_PROGS */
#define TRIES 4
#define NAMES "names"
#define MAX_NAMES 1024

/* ---- what is there ---- */

/*
 * Finds the program of a hook that uses a map of pins, and opens its maps. Return: 0; -ENOENT:
 * there is none; -errno.
 */
static int find(
	int cgroup_fd, int hook, uint32_t pins_id, struct ifp_program_maps *ret, uint32_t *ret_prog)
{
	uint32_t ids[MAX_PROGRAMS], n = MAX_PROGRAMS;

	if (bpf_prog_query(cgroup_fd, (enum bpf_attach_type)hook, 0, NULL, ids, &n))
		return errno == ENODEV ? -ENOENT : -errno;
	for (uint32_t i = 0; i < n; i++) {
		struct ifp_program_maps m = IFP_NO_PROGRAM_MAPS;
		int r = ifp_program_maps_read(ids[i], &m);

		if (!r && m.pins_id == pins_id) {
			*ret = m;
			*ret_prog = ids[i];
			return 0;
		}
		ifp_program_maps_close(&m);
		if (r && r != -ENOENT && r != -EPROTO)
			return r;
	}
	return -ENOENT;
}

/* All of them. */
struct found {
	struct ifp_program_maps maps;
	uint8_t tags[IFP_N_PROGRAMS][BPF_TAG_SIZE];
	bool all_tell;
};

/* What one does not use another one does. */
static int gather(int cgroup_fd, uint32_t pins_id, struct found *f)
{
	int r = 0;

	f->all_tell = true;
	for (int i = 0; i < IFP_N_PROGRAMS && !r; i++) {
		struct ifp_program_maps one;
		uint32_t prog;

		r = find(cgroup_fd, ifp_program_hooks[i], pins_id, &one, &prog);
		if (r)
			return r;
		ifp_program_maps_close(&one);
		r = ifp_program_maps_read(prog, &f->maps);
		memcpy(f->tags[i], f->maps.tag, sizeof(f->tags[i]));
		f->all_tell = f->all_tell && f->maps.is.tells;
	}
	return r;
}

/* ---- their like ---- */

/* The kernel's hash is of the instructions, without maps and what is in them. */
static int compare(const struct ifp_programs *p, const struct found *f)
{
	uint8_t tag[BPF_TAG_SIZE];
	int r = 0;

	for (int i = 0; i < IFP_N_PROGRAMS && !r; i++) {
		r = ifp_program_tag(p, ifp_program_hooks[i], tag);
		if (!r && memcmp(tag, f->tags[i], sizeof(tag)) != 0)
			r = -EPROTO;
	}
	return r;
}

/*
 * In one step of the kernel, so there is no moment without. Others may do the same just now: what
 * tells already stays.
 */
static int replace(int cgroup_fd, int hook, uint32_t pins_id, const struct ifp_programs *with)
{
	int r = -ENOENT;

	for (int i = 0; i < TRIES && r == -ENOENT; i++) {
		_cleanup_close_ int old = -1;
		struct ifp_program_maps m;
		uint32_t prog;
		bool tells;

		r = find(cgroup_fd, hook, pins_id, &m, &prog);
		if (r)
			return r;
		tells = m.is.tells;
		ifp_program_maps_close(&m);
		if (tells)
			return 0;
		old = bpf_prog_get_fd_by_id(prog);
		r = old < 0 ? -errno : ifp_program_replace(with, cgroup_fd, hook, old);
	}
	return r;
}

static void programs_freep(struct ifp_programs **p)
{
	ifp_programs_free(*p);
}

/* That for outgoing packets is the last: by it is seen whether all tell (runs.c). */
static int replace_all(
	int cgroup_fd, uint32_t pins_id, const struct found *f, const struct ifp_program_maps *maps)
{
	_cleanup_(programs_freep) struct ifp_programs *p = NULL;
	int r = ifp_programs_like(&f->maps.is, maps, &p) ?: compare(p, f);

	for (int i = IFP_N_PROGRAMS; i-- > 0 && !r;)
		r = replace(cgroup_fd, ifp_program_hooks[i], pins_id, p);
	return r;
}

int ifp_run_tell(int cgroup_fd, int pins, int watchers)
{
	struct found f = {.maps = IFP_NO_PROGRAM_MAPS};
	struct ifp_program_maps maps;
	uint32_t id;
	int r = ifp_map_id(pins, &id) ?: gather(cgroup_fd, id, &f);

	maps = f.maps;
	if (watchers >= 0)
		maps.watchers = watchers;
	if (!r && !f.all_tell)
		r = replace_all(cgroup_fd, id, &f, &maps);
	ifp_program_maps_close(&f.maps);
	return r;
}

/* ---- a command that is about to run ---- */

/* A bit for each who watches all. Return: 0, also if nobody can be seen; -errno. */
static int read_watching(const struct ifp_store *s, uint64_t netns, uint64_t *ret)
{
	char name[IFP_HOST_NAME_SIZE];
	_cleanup_close_ int map =
		ifp_store_get(s, "host", ifp_store_host_name(netns, name), "host");
	struct ifpin_host host;
	uint32_t zero = 0;

	*ret = 0;
	if (map < 0)
		return map == -ENOENT ? 0 : map;
	if (bpf_map_lookup_elem(map, &zero, &host))
		return -errno;
	for (uint32_t i = 0; i < IFPIN_WATCHERS; i++)
		if (!host.only[i])
			*ret |= host.watching & 1ULL << i;
	return 0;
}

static int leave_name(const struct ifp_store *s, uint64_t netns, uint32_t id, const char *name)
{
	_cleanup_close_ int names = ifp_run_names(s, netns, false);
	char value[IFPIN_PIN_NAME_SIZE] = "";

	if (names < 0)
		return names;
	strcpy(value, name);
	return bpf_map_update_elem(names, &id, value, BPF_ANY) ? -errno : 0;
}

static int tell_them(const struct ifp_store *s, uint64_t netns, int cgroup_fd, int pins)
{
	_cleanup_close_ int watchers = ifp_store_watchers(s, netns);

	return watchers < 0 ? watchers : ifp_run_tell(cgroup_fd, pins, watchers);
}

/*
 * Its programs are attached by now. So either who begins to watch just now finds them, or is seen
 * here.
 */
int ifp_run_tell_if_watched(
	int cgroup_fd, int pins, struct ifpin_host *host, uint32_t id, const char *name)
{
	_cleanup_(ifp_store_closep) struct ifp_store s = {.fd = -1};
	uint64_t netns, watching = 0;
	int r = ifp_store_open(&s, NULL);

	if (r)
		return r == -ENOENT ? 0 : r;
	r = ifp_own_netns(&netns) ?: read_watching(&s, netns, &watching);
	if (r || !watching)
		return r;
	r = leave_name(&s, netns, id, name) ?: tell_them(&s, netns, cgroup_fd, pins);
	if (!r)
		__atomic_fetch_or(&host->watching, watching, __ATOMIC_SEQ_CST);
	return r;
}

/* ---- names ---- */

static int make_names(const char *path)
{
	int map = bpf_map_create(BPF_MAP_TYPE_LRU_HASH, "ifpin_names", sizeof(uint32_t),
		IFPIN_PIN_NAME_SIZE, MAX_NAMES, NULL);

	if (map >= 0 && !bpf_obj_pin(map, path))
		return map;
	ifp_closep(&map);
	return -errno;
}

int ifp_run_names(const struct ifp_store *s, uint64_t netns, bool make)
{
	char name[IFP_HOST_NAME_SIZE], path[256];
	int map = ifp_store_get(s, "host", ifp_store_host_name(netns, name), NAMES);

	if (map != -ENOENT || !make)
		return map;
	return make_names(ifp_store_path(s, "host", name, NAMES, path));
}

int ifp_run_name(int names, uint32_t id, char ret[IFPIN_PIN_NAME_SIZE])
{
	char name[IFPIN_PIN_NAME_SIZE];

	if (bpf_map_lookup_elem(names, &id, name))
		return -errno;
	name[sizeof(name) - 1] = 0;
	strcpy(ret, name);
	return 0;
}
