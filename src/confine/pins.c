// SPDX-License-Identifier: MIT
/* Which confinements are in force, what passes them, and their end. */
#include "pins.h"

#include "device/device.h"
#include "host/cgroup.h"
#include "host/processes.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* ---- one that is pinned ---- */

void ifp_pin_close(struct ifp_pin *p)
{
	if (p->bss)
		munmap(p->bss, sizeof(*p->bss));
	ifp_closep(&p->state);
	ifp_closep(&p->packets);
	ifp_closep(&p->options);
	p->bss = NULL;
}

static int open_map(
	const struct ifp_store *s, const char *kind, const char *name, const char *file, int *ret)
{
	char path[256];

	*ret = bpf_obj_get(ifp_store_path(s, kind, name, file, path));
	return *ret < 0 ? -errno : 0;
}

static int map_state(struct ifp_pin *p)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(p->state, &info, &len))
		return -errno;
	/* Behind what the skeleton names are the programs' static variables. */
	if (info.value_size < sizeof(*p->bss))
		return -EPROTO;
	p->bss = mmap(NULL, sizeof(*p->bss), PROT_READ | PROT_WRITE, MAP_SHARED, p->state, 0);
	if (p->bss != MAP_FAILED)
		return 0;
	p->bss = NULL;
	return -errno;
}

int ifp_pin_open(const struct ifp_store *s, const char *kind, const char *name, struct ifp_pin *ret)
{
	struct ifp_pin p = {.state = -1, .packets = -1, .options = -1};
	int r = open_map(s, kind, name, IFP_PIN_STATE, &p.state);

	if (!r)
		r = open_map(s, kind, name, IFP_PIN_PACKETS, &p.packets);
	if (!r)
		r = open_map(s, kind, name, IFP_PIN_OPTIONS, &p.options);
	if (!r)
		r = map_state(&p);
	if (r)
		ifp_pin_close(&p);
	else
		*ret = p;
	return r;
}

int ifp_pin_hold(struct ifp_pin *p, const struct ifpin_device *d)
{
	const int maps[] = {p->packets, p->options};
	uint32_t zero = 0, ifindex = d->ifindex;
	struct ifpin_device now;
	int r = 0;

	__atomic_store_n(&p->bss->state.accepted, 0, __ATOMIC_SEQ_CST);
	for (size_t i = 0; i < ARRAY_SIZE(maps) && !r; i++)
		r = bpf_map_update_elem(maps[i], &zero, &ifindex, BPF_ANY) ? -errno : 0;
	/* From here on the entries are of one device until it is deleted. Is it the one? */
	if (!r)
		r = ifp_device_by_index(ifindex, &now);
	if (!r && !ifp_device_same(d, &now))
		r = -ESTALE;
	if (r) {
		/* Another follower may have accepted this number when it was the device's. */
		__atomic_store_n(&p->bss->state.accepted, 0, __ATOMIC_SEQ_CST);
		return r;
	}
	__atomic_store_n(&p->bss->state.ifindex, ifindex, __ATOMIC_SEQ_CST);
	__atomic_store_n(&p->bss->state.accepted, ifindex, __ATOMIC_SEQ_CST);
	return 0;
}

int ifp_pin_held(const struct ifp_pin *p, uint32_t *ret_ifindex)
{
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(p->packets, &zero, ret_ifindex)) {
		*ret_ifindex = 0;
		return errno == ENOENT ? 0 : -errno;
	}
	if (*ret_ifindex != p->bss->state.accepted)
		*ret_ifindex = 0;
	return 0;
}

/* ---- all of them ---- */

struct listing {
	const struct ifp_store *store;
	struct ifpin_device *devices;
	size_t n_devices;
	uint64_t netns;
	int root;
	struct ifpin_pin_info *v;
	size_t n, room;
};

static void listing_free(struct listing *l)
{
	free(l->devices);
	free(l->v);
	ifp_closep(&l->root);
}

static enum ifpin_pin_state device_state(const struct listing *l, const struct ifp_meta *m)
{
	enum ifpin_identity identity;

	if (m->netns != l->netns)
		return IFPIN_PIN_OTHER_NETNS;
	identity = ifp_device_find(l->devices, l->n_devices, &m->device, NULL);
	return identity == IFPIN_SAME || identity == IFPIN_RENAMED ? IFPIN_PIN_HELD
	       : identity == IFPIN_REPLACED			   ? IFPIN_PIN_REPLACED
								   : IFPIN_PIN_DEVICE_GONE;
}

/* Parts that somebody has taken away, and a device that the follower has not given back yet. */
static enum ifpin_pin_state held_state(const struct listing *l, const struct ifp_meta *m)
{
	enum ifpin_pin_state state = device_state(l, m);
	struct ifp_pin p;
	uint32_t held;

	if (ifp_pin_open(l->store, "pin", m->name, &p))
		return IFPIN_PIN_BROKEN;
	if (!p.bss->state.armed || !ifp_links_live(l->store, m->name))
		state = IFPIN_PIN_BROKEN;
	else if (state == IFPIN_PIN_HELD && (ifp_pin_held(&p, &held) || held != m->device.ifindex))
		state = IFPIN_PIN_DEVICE_GONE;
	ifp_pin_close(&p);
	return state;
}

static bool names_cgroup(int root, const char *path, uint64_t id)
{
	struct stat st;

	return !fstatat(root, path + 1, &st, 0) && st.st_ino == id;
}

static void to_info(const struct listing *l, const struct ifp_meta *m, struct ifpin_pin_info *ret)
{
	struct ifpin_pin_info i = {
		.cgroup_id = m->cgroup_id,
		.device = m->device,
		.attached = true,
		.loopback = m->loopback,
		.guard_resolvers = m->guard_resolvers,
		.rebind = m->rebind,
		.abort = m->abort,
		.configured = m->configured,
		.since = m->since,
	};

	strcpy(i.name, m->name);
	strcpy(i.cgroup, m->cgroup);
	i.state = names_cgroup(l->root, m->cgroup, m->cgroup_id) ? held_state(l, m)
								 : IFPIN_PIN_CGROUP_GONE;
	*ret = i;
}

static int list_one(const char *name, void *data)
{
	struct listing *l = data;
	struct ifp_meta m;
	char path[256];
	int r = ifp_meta_read(ifp_store_path(l->store, "pin", name, "meta", path), &m);

	if (r == -ENOENT)
		return 0; /* detached meanwhile */
	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 32;
		struct ifpin_pin_info *bigger = reallocarray(l->v, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		l->v = bigger;
		l->room = room;
	}
	if (r) {
		l->v[l->n] = (struct ifpin_pin_info){.state = IFPIN_PIN_BROKEN, .attached = true};
		strcpy(l->v[l->n++].name, name);
		return 0;
	}
	to_info(l, &m, &l->v[l->n++]);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(
		((const struct ifpin_pin_info *)a)->name, ((const struct ifpin_pin_info *)b)->name);
}

int ifpin_pins(struct ifpin_pin_info **ret_pins, size_t *ret_n, struct ifpin_error *ret_error)
{
	_cleanup_(ifp_store_closep) struct ifp_store s = {.fd = -1};
	_cleanup_(listing_free) struct listing l = {.store = &s, .root = -1};
	int r = ifp_store_open(&s, ret_error);

	if (r == -ENOENT) {
		*ret_pins = NULL;
		*ret_n = 0;
		return 0;
	}
	if (!r)
		r = ifpin_device_list(&l.devices, &l.n_devices, ret_error);
	if (r)
		return r;
	l.root = ifp_cgroup_root();
	r = l.root < 0 ? l.root : ifp_own_netns(&l.netns);
	if (!r)
		r = ifp_store_each(&s, list_one, &l);
	if (r)
		return ifp_fail_errno(ret_error, r, "cannot list the confinements");
	if (l.n)
		qsort(l.v, l.n, sizeof(*l.v), by_name);
	*ret_pins = l.v;
	*ret_n = l.n;
	l.v = NULL;
	return 0;
}

/* ---- counters ---- */

static int count_passed(const struct ifp_store *s, const char *name, struct ifpin_pin_counts *ret)
{
	int cpus = libbpf_num_possible_cpus(), map, r;
	_cleanup_free_ uint64_t *values = calloc((size_t)(cpus > 0 ? cpus : 1), sizeof(*values));
	uint64_t *const to[] = {&ret->packets_out, &ret->packets_in};

	if (cpus < 0 || !values)
		return -ENOMEM;
	r = open_map(s, "pin", name, IFP_PIN_PASSED, &map);
	for (uint32_t k = 0; !r && k < IFPIN_PASSED_COUNT; k++) {
		if (bpf_map_lookup_elem(map, &k, values))
			r = -errno;
		for (int c = 0; !r && c < cpus; c++)
			*to[k] += values[c];
	}
	ifp_closep(&map);
	return r;
}

static int count_process(pid_t pid, void *data)
{
	(void)pid;
	++*(unsigned int *)data;
	return 0;
}

static void count_processes(const struct ifpin_pin_info *pin, unsigned int *ret)
{
	_cleanup_close_ int root = ifp_cgroup_root(), fd = -1;

	*ret = 0;
	if (root >= 0 && names_cgroup(root, pin->cgroup, pin->cgroup_id))
		fd = openat(root, pin->cgroup + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		ifp_processes_each(fd, count_process, ret);
}

int ifpin_pin_count(const struct ifpin_pin_info *pin, struct ifpin_pin_counts *ret_counts,
	struct ifpin_error *ret_error)
{
	_cleanup_(ifp_store_closep) struct ifp_store s = {.fd = -1};
	struct ifpin_pin_counts c = {};
	struct ifp_pin p;
	int r = ifp_store_open(&s, ret_error);

	if (r)
		return r;
	r = ifp_pin_open(&s, "pin", pin->name, &p);
	if (!r) {
		ifp_denials_from((const uint64_t *)p.bss->denials, c.denials, &c.n_denials);
		ifp_pin_close(&p);
		r = count_passed(&s, pin->name, &c);
	}
	if (r)
		return ifp_fail_errno(
			ret_error, r, "cannot read the counters of \"%s\"", pin->name);
	count_processes(pin, &c.processes);
	*ret_counts = c;
	return 0;
}

/* ---- the end ---- */

int ifp_pin_remove(const struct ifp_store *s, const char *name)
{
	char from[256], to[256];
	struct ifp_pin p;

	/* First the name: killed behind this, what is listed is in force, and what is not, ends. */
	if (rename(ifp_store_path(s, "pin", name, NULL, from),
		    ifp_store_path(s, "new", name, NULL, to)))
		return -errno;
	/* All programs at once; then what is left of them is nobody's business. */
	if (!ifp_pin_open(s, "new", name, &p)) {
		__atomic_store_n(&p.bss->state.armed, 0, __ATOMIC_SEQ_CST);
		ifp_pin_close(&p);
	}
	return ifp_store_remove(s, "new", name);
}

int ifpin_detach(const char *name, struct ifpin_error *ret_error)
{
	_cleanup_(ifp_store_closep) struct ifp_store s = {.fd = -1};
	int r = ifp_name_check(name, ret_error);

	if (!r)
		r = ifp_store_open(&s, ret_error);
	ifp_store_closep(&s);
	s.fd = -1;
	if (r && r != -ENOENT)
		return r;
	if (!r)
		r = ifp_store_lock(&s, ret_error);
	if (r && r != -ENOENT)
		return r;
	if (r || !ifp_store_has(&s, "pin", name))
		return ifp_fail(ret_error, -ENOENT, "no confinement is called \"%s\"", name);
	r = ifp_pin_remove(&s, name);
	return r ? ifp_fail_errno(ret_error, r, "cannot remove the confinement \"%s\"", name) : 0;
}

struct dead {
	struct ifp_store *store;
	int root;
	char (*names)[IFPIN_PIN_NAME_SIZE];
	size_t n;
};

static int collect_dead(const char *name, void *data)
{
	struct dead *d = data;
	struct ifp_meta m;
	char path[256];
	void *bigger;

	if (ifp_meta_read(ifp_store_path(d->store, "pin", name, "meta", path), &m) ||
		!ifp_cgroup_is_gone(d->root, m.cgroup_id))
		return 0;
	bigger = reallocarray(d->names, d->n + 1, sizeof(*d->names));
	if (!bigger)
		return -ENOMEM;
	d->names = bigger;
	strcpy(d->names[d->n++], name);
	return 0;
}

/* Confinements whose cgroups are gone. Only under the lock, when nothing is being made. */
int ifp_pins_gc(unsigned int *ret_removed, struct ifpin_error *err)
{
	_cleanup_(ifp_store_closep) struct ifp_store s = {.fd = -1};
	_cleanup_close_ int root = ifp_cgroup_root();
	struct dead d = {.store = &s, .root = root};
	int r = ifp_store_open(&s, err);

	*ret_removed = 0;
	if (r)
		return r == -ENOENT ? 0 : r;
	ifp_store_closep(&s);
	s.fd = -1;
	r = ifp_store_lock(&s, err);
	if (r)
		return r;
	r = root < 0 ? root : ifp_store_each(&s, collect_dead, &d);
	for (size_t i = 0; i < d.n && !r; i++, ++*ret_removed)
		r = ifp_pin_remove(&s, d.names[i]);
	free(d.names);
	return r ? ifp_fail_errno(err, r, "cannot remove confinements whose cgroup is gone") : 0;
}

bool ifp_links_live(const struct ifp_store *s, const char *name)
{
	for (int i = 0; i < IFP_N_PROGRAMS; i++) {
		struct bpf_link_info info = {};
		uint32_t len = sizeof(info);
		char path[256], file[16];
		_cleanup_close_ int link = -1;

		snprintf(file, sizeof(file), IFP_PIN_LINK "%d", i);
		link = bpf_obj_get(ifp_store_path(s, "pin", name, file, path));
		/* One that somebody has detached is still pinned, and says so. */
		if (link < 0 || bpf_obj_get_info_by_fd(link, &info, &len) || !info.cgroup.cgroup_id)
			return false;
	}
	return true;
}
