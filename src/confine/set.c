// SPDX-License-Identifier: MIT
#include "set.h"
#include "pin.h"
#include "programs.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define PREFIX "set_"
#define MAX_LAYERS 16
#define MAX_PROGRAMS 64 /* BPF_CGROUP_MAX_PROGS */

static int host_folder(uint64_t netns, char ret[IFP_HOST_NAME_SIZE + 8])
{
	char name[IFP_HOST_NAME_SIZE];

	return snprintf(ret, IFP_HOST_NAME_SIZE + 8, "host_%s", ifp_store_host_name(netns, name));
}

static void folder_of(const struct ifp_set_name *name, char ret[160])
{
	char host[IFP_HOST_NAME_SIZE + 8];

	host_folder(name->netns, host);
	snprintf(ret, 160, "%s/" PREFIX "%llx_%u", host, (unsigned long long)name->hash,
		name->layer);
}

/* ---- one of them ---- */

void ifp_set_close(struct ifp_set *set)
{
	ifp_closep(&set->lock);
	ifp_closep(&set->pins);
	ifp_closep(&set->passed);
	ifp_closep(&set->denied);
	ifp_closep(&set->packets);
	ifp_closep(&set->options);
}

static int open_map(
	const struct ifp_store *s, const char *folder, const char *file, size_t size, int *ret)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	*ret = ifp_store_get_at(s, path);
	if (*ret < 0)
		return *ret;
	if (bpf_obj_get_info_by_fd(*ret, &info, &len))
		return -errno;
	return info.value_size == size ? 0 : -EPROTO;
}

static int open_maps(const struct ifp_store *s, struct ifp_set *set)
{
	const struct {
		const char *file;
		size_t size;
		int *fd;
	} maps[] = {
		{IFP_SET_PINS, sizeof(struct ifpin_pin), &set->pins},
		{IFP_SET_PASSED, sizeof(struct ifpin_passes), &set->passed},
		{IFP_SET_DENIED, sizeof(struct ifpin_denials), &set->denied},
		{IFP_SET_PACKETS, sizeof(uint32_t), &set->packets},
		{IFP_SET_OPTIONS, sizeof(uint32_t), &set->options},
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(maps) && !r; i++)
		r = open_map(s, set->folder, maps[i].file, maps[i].size, maps[i].fd);
	return r;
}

int ifp_set_open(const struct ifp_store *s, const struct ifp_set_name *name, struct ifp_set *ret)
{
	struct ifp_set set = IFP_NO_SET;
	int r;

	folder_of(name, set.folder);
	set.lock = openat(s->fd, set.folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = set.lock < 0 ? -errno : open_maps(s, &set);
	if (r)
		ifp_set_close(&set);
	else
		*ret = set;
	return r;
}

static void programs_freep(struct ifp_programs **p)
{
	ifp_programs_free(*p);
}

/* Beside its place, and then put there whole. */
static int make(const struct ifp_store *s, const struct ifp_host_maps *host,
	const struct ifp_set_name *name, struct ifpin_error *err)
{
	_cleanup_close_ int watchers = ifp_store_watchers(s, name->netns);
	_cleanup_(programs_freep) struct ifp_programs *p = NULL;
	const struct ifp_programs_opts opts = {.shared = host, .watchers = watchers};
	char folder[160], to[256], from[256];
	int r;

	if (watchers < 0)
		return ifp_fail_errno(err, watchers, "cannot open the map of those who watch");
	folder_of(name, folder);
	snprintf(to, sizeof(to), "%s/%s", s->path, folder);
	ifp_store_path(s, "new", "set", NULL, from);
	r = ifp_programs_load(&opts, &p, err);
	if (!r)
		r = ifp_programs_pin(p, from, err);
	if (!r && rename(from, to))
		r = ifp_fail_errno(err, -errno, "cannot put the programs in place");
	if (r && ifp_store_has(s, "new", "set"))
		ifp_store_remove(s, "new", "set");
	return r;
}

static int open_program(const struct ifp_store *s, const struct ifp_set *set, int hook)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/" IFP_SET_PROG "%d", set->folder, hook);
	return ifp_store_get_at(s, path);
}

/* Return: 1, 0; -errno. */
static int is_attached(
	const struct ifp_store *s, const struct ifp_set *set, int cgroup_fd, int hook)
{
	_cleanup_close_ int prog = open_program(s, set, hook);
	uint32_t ids[MAX_PROGRAMS], n = MAX_PROGRAMS, len = sizeof(struct bpf_prog_info);
	struct bpf_prog_info info = {};

	if (prog < 0)
		return prog;
	if (bpf_obj_get_info_by_fd(prog, &info, &len) ||
		bpf_prog_query(cgroup_fd, (enum bpf_attach_type)hook, 0, NULL, ids, &n))
		return -errno;
	for (uint32_t i = 0; i < n; i++)
		if (ids[i] == info.id)
			return 1;
	return 0;
}

/*
 * Whether something is in force there, whatever became of its folder. What has ended leaves a value
 * that is not armed, and its links may go a moment later. Return: 1, 0; -errno.
 */
static int is_taken(
	const struct ifp_store *s, const struct ifp_set *set, int cgroup_fd, uint64_t id)
{
	struct ifpin_pin pin;
	int r = 0;

	if (bpf_map_lookup_elem(set->pins, &id, &pin))
		return errno == ENOENT ? 0 : -errno;
	for (int i = 0; pin.armed && i < IFP_N_PROGRAMS && !r; i++)
		r = is_attached(s, set, cgroup_fd, ifp_program_hooks[i]);
	return r;
}

/* Return: 1; 0: another layer has to be tried; -errno. */
static int open_free(const struct ifp_store *s, const struct ifp_set_name *name, int cgroup_fd,
	uint64_t cgroup_id, struct ifp_set *ret)
{
	_cleanup_(ifp_set_close) struct ifp_set set = IFP_NO_SET;
	int r = ifp_set_open(s, name, &set) ?: is_taken(s, &set, cgroup_fd, cgroup_id);

	/* One that is not whole is used by those that are in it, and not by any more. */
	if (r == -ENOENT || r == -EPROTO)
		return 0;
	if (r)
		return r < 0 ? r : 0;
	*ret = set;
	set = IFP_NO_SET;
	return 1;
}

static bool has_all_programs(const struct ifp_store *s, const struct ifp_set_name *name)
{
	char folder[160], path[200];
	bool all = true;

	folder_of(name, folder);
	for (int i = 0; i < IFP_N_PROGRAMS && all; i++) {
		snprintf(path, sizeof(path), "%s/" IFP_SET_PROG "%d", folder, ifp_program_hooks[i]);
		all = !faccessat(s->fd, path, F_OK, 0);
	}
	return all;
}

int ifp_set_need(const struct ifp_store *s, const struct ifp_host_maps *host, uint64_t netns,
	int cgroup_fd, uint64_t cgroup_id, struct ifp_set_name *ret_name, struct ifp_set *ret,
	struct ifpin_error *err)
{
	struct ifp_set_name name = {.netns = netns, .hash = ifp_programs_hash()};
	char folder[160];
	int r = 0;

	for (; name.layer < MAX_LAYERS && !r; name.layer++) {
		folder_of(&name, folder);
		if (faccessat(s->fd, folder, F_OK, 0))
			r = make(s, host, &name, err);
		else if (!has_all_programs(s, &name))
			continue;
		if (r)
			return r;
		r = open_free(s, &name, cgroup_fd, cgroup_id, ret);
		if (r < 0)
			return ifp_fail_errno(err, r, "cannot open the maps of the programs");
		*ret_name = name;
	}
	return r ? 0 : ifp_fail(err, -EMFILE, "no room for one more confinement of this cgroup");
}

bool ifp_set_runs_none(int cgroup_fd)
{
	bool none = true;

	for (int i = 0; i < IFP_N_PROGRAMS && none; i++) {
		uint32_t n = 0;

		none = !bpf_prog_query(cgroup_fd, (enum bpf_attach_type)ifp_program_hooks[i],
			       BPF_F_QUERY_EFFECTIVE, NULL, NULL, &n) &&
		       !n;
	}
	return none;
}

int ifp_set_link(const struct ifp_store *s, const struct ifp_set *set, int cgroup_fd,
	const char *folder, struct ifpin_error *err)
{
	char path[256];

	for (int i = 0; i < IFP_N_PROGRAMS; i++) {
		_cleanup_close_ int prog = open_program(s, set, ifp_program_hooks[i]), link = -1;

		if (prog < 0)
			return ifp_fail_errno(err, prog, "cannot open the programs in %s/%s",
				s->path, set->folder);
		link = bpf_link_create(
			prog, cgroup_fd, (enum bpf_attach_type)ifp_program_hooks[i], NULL);
		if (link < 0)
			return ifp_fail_errno(err, -errno,
				"cannot attach a program to the cgroup (kernel option "
				"CONFIG_CGROUP_BPF)");
		snprintf(path, sizeof(path), "%s/" IFP_PIN_LINK "%d", folder, i);
		if (bpf_obj_pin(link, path))
			return ifp_fail_errno(err, -errno, "cannot pin %s", path);
	}
	return 0;
}

/* ---- the end of one ---- */

struct search {
	const struct ifp_store *store;
	const struct ifp_set_name *name;
	const char *kind;
};

static int is_in_it(const char *name, void *data)
{
	const struct search *s = data;
	struct ifp_meta m;
	int r = ifp_meta_of(s->store, s->kind, name, &m);

	if (r)
		return r == -EPROTO || r == -ENOENT ? 0 : r;
	return m.set.netns == s->name->netns && m.set.hash == s->name->hash &&
	       m.set.layer == s->name->layer;
}

/* Return: 1: some confinement uses it; 0; -errno. */
static int is_used(const struct ifp_store *s, const struct ifp_set_name *name)
{
	struct search search = {.store = s, .name = name};
	static const char *const kinds[] = {"pin", "old", "new"};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kinds) && !r; i++) {
		search.kind = kinds[i];
		r = ifp_store_each(s, kinds[i], is_in_it, &search);
	}
	return r;
}

int ifp_set_drop_unused(const struct ifp_store *s, const struct ifp_set_name *name)
{
	char folder[160], path[256];
	int r = is_used(s, name);

	if (r)
		return r < 0 ? r : 0;
	folder_of(name, folder);
	snprintf(path, sizeof(path), "%s/%s", s->path, folder);
	r = ifp_store_remove_folder(path);
	ifp_store_wait_for_frees();
	return r == -ENOENT ? 0 : r;
}

/* ---- what killed ones have left ---- */

struct keys {
	uint32_t *v;
	size_t n, room;
};

static int add_key(struct keys *k, uint32_t key)
{
	if (k->n == k->room) {
		size_t room = k->room ? 2 * k->room : 64;
		uint32_t *bigger = reallocarray(k->v, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		k->v = bigger;
		k->room = room;
	}
	k->v[k->n++] = key;
	return 0;
}

static int by_key(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

struct sweep {
	struct search search;
	struct ifp_set set;
	struct keys ids, held;
};

static int note_keys(const char *name, void *data)
{
	struct sweep *w = data;
	struct ifpin_pin pin;
	struct ifp_meta m;
	struct ifp_pin p;
	int r = is_in_it(name, &w->search);

	if (r <= 0)
		return r;
	r = ifp_meta_of(w->search.store, w->search.kind, name, &m);
	if (r)
		return r == -ENOENT ? 0 : r;
	p = (struct ifp_pin){.set = &w->set, .cgroup_id = m.cgroup_id, .id = m.id};
	r = add_key(&w->ids, m.id);
	/* Where the cgroup is gone, so is the value. */
	if (!r && !ifp_pin_read(&p, &pin))
		r = add_key(&w->held, pin.held);
	return r;
}

static int remove_others(int map, struct keys *keep)
{
	uint32_t here, next;
	int r = bpf_map_get_next_key(map, NULL, &here) ? -errno : 0;

	if (keep->n)
		qsort(keep->v, keep->n, sizeof(*keep->v), by_key);
	while (!r) {
		/* The next one first: behind one that is deleted the walk would begin anew. */
		r = bpf_map_get_next_key(map, &here, &next) ? -errno : 0;
		if (!keep->n || !bsearch(&here, keep->v, keep->n, sizeof(here), by_key))
			bpf_map_delete_elem(map, &here);
		here = next;
	}
	return r == -ENOENT ? 0 : r;
}

/* Under the lock of the set: a device that is being put in is not yet in the value. */
static int sweep(const struct ifp_store *s, const struct ifp_set_name *name)
{
	struct sweep w = {.search = {.store = s, .name = name, .kind = "pin"}};
	int r = ifp_set_open(s, name, &w.set);

	/* Of another version, or damaged: not ours to look into. */
	if (r)
		return r == -EPROTO || r == -ENOENT ? 0 : r;
	while (flock(w.set.lock, LOCK_EX) && !r)
		r = errno == EINTR ? 0 : -errno;
	r = r ?: ifp_store_each(s, "pin", note_keys, &w);
	r = r ?: remove_others(w.set.denied, &w.ids);
	r = r ?: remove_others(w.set.packets, &w.held);
	r = r ?: remove_others(w.set.options, &w.held);
	free(w.ids.v);
	free(w.held.v);
	ifp_set_close(&w.set);
	return r;
}

static int tidy_host(const char *host, void *data)
{
	const struct ifp_store *s = data;
	char path[256];
	_cleanup_closedir_ DIR *dir = opendir(ifp_store_path(s, "host", host, NULL, path));
	struct ifp_set_name name;
	struct dirent *de;
	int r = 0;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	name.netns = strtoull(host, NULL, 16);
	while (!r && (de = readdir(dir))) {
		unsigned long long hash;

		if (sscanf(de->d_name, PREFIX "%llx_%u", &hash, &name.layer) != 2)
			continue;
		name.hash = hash;
		r = ifp_set_drop_unused(s, &name) ?: sweep(s, &name);
	}
	return r;
}

int ifp_sets_tidy(const struct ifp_store *s)
{
	return ifp_store_each(s, "host", tidy_host, (void *)s);
}

/* ---- those that are open ---- */

struct ifp_open_set {
	struct ifp_set_name name;
	struct ifp_set set;
};

int ifp_sets_find(
	struct ifp_sets *sets, const struct ifp_set_name *name, const struct ifp_set **ret)
{
	struct ifp_open_set **bigger, *o;
	int r;

	for (size_t i = 0; i < sets->n; i++)
		if (!sets->v[i]->set.stale && sets->v[i]->name.netns == name->netns &&
			sets->v[i]->name.hash == name->hash &&
			sets->v[i]->name.layer == name->layer) {
			*ret = &sets->v[i]->set;
			return 0;
		}
	bigger = reallocarray(sets->v, sets->n + 1, sizeof(struct ifp_open_set *));
	if (!bigger)
		return -ENOMEM;
	sets->v = bigger;
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->name = *name;
	r = ifp_set_open(sets->store, name, &o->set);
	if (r) {
		free(o);
		return r;
	}
	sets->v[sets->n++] = o;
	*ret = &o->set;
	return 0;
}

void ifp_sets_check(struct ifp_sets *sets)
{
	struct stat open, named;

	for (size_t i = 0; i < sets->n; i++) {
		struct ifp_set *set = &sets->v[i]->set;

		set->stale = set->stale || fstat(set->lock, &open) ||
			     fstatat(sets->store->fd, set->folder, &named, 0) ||
			     open.st_ino != named.st_ino;
	}
}

void ifp_sets_drop_stale(
	struct ifp_sets *sets, bool (*used)(const struct ifp_set *set, void *data), void *data)
{
	size_t kept = 0;

	for (size_t i = 0; i < sets->n; i++) {
		struct ifp_open_set *o = sets->v[i];

		if (!o->set.stale || used(&o->set, data)) {
			sets->v[kept++] = o;
			continue;
		}
		ifp_set_close(&o->set);
		free(o);
	}
	sets->n = kept;
}

void ifp_sets_close(struct ifp_sets *sets)
{
	for (size_t i = 0; i < sets->n; i++) {
		ifp_set_close(&sets->v[i]->set);
		free(sets->v[i]);
	}
	free(sets->v);
	*sets = (struct ifp_sets){.store = sets->store};
}
