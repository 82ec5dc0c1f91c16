// SPDX-License-Identifier: MIT
/* Which confinements are in force, what passes them, and their end. */
#include "lsm.h"
#include "pins.h"
#include "runs.h"

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
	ifp_state_close(&p->bss);
	ifp_closep(&p->state);
	ifp_closep(&p->packets);
	ifp_closep(&p->options);
}

static int open_map(
	const struct ifp_store *s, const char *kind, const char *name, const char *file, int *ret)
{
	*ret = ifp_store_get(s, kind, name, file);
	return *ret < 0 ? *ret : 0;
}

int ifp_state_map(int state, struct ifpin_bpf__bss **ret)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);
	void *p;

	if (bpf_obj_get_info_by_fd(state, &info, &len))
		return -errno;
	if (info.value_size != sizeof(**ret))
		return -EPROTO;
	p = mmap(NULL, sizeof(**ret), PROT_READ | PROT_WRITE, MAP_SHARED, state, 0);
	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	return 0;
}

int ifp_state_open(const struct ifp_store *s, const char *name, struct ifpin_bpf__bss **ret)
{
	_cleanup_close_ int state = ifp_store_get(s, "pin", name, IFP_PIN_STATE);

	return state < 0 ? state : ifp_state_map(state, ret);
}

void ifp_state_close(struct ifpin_bpf__bss **bss)
{
	if (*bss)
		munmap(*bss, sizeof(**bss));
	*bss = NULL;
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
		r = ifp_state_map(p.state, &p.bss);
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

static const struct {
	const char *name, *text;
} states[] = {
	[IFPIN_PIN_HELD] = {"held", "held"},
	[IFPIN_PIN_DEVICE_GONE] = {"device-gone", "closed: the device is gone"},
	[IFPIN_PIN_REPLACED] = {"replaced", "closed: another device has its name or index"},
	[IFPIN_PIN_CGROUP_GONE] = {"cgroup-gone", "ended: its cgroup is gone"},
	[IFPIN_PIN_OTHER_NETNS] = {"other-netns", "of another network namespace"},
	[IFPIN_PIN_BROKEN] = {"broken", "broken: somebody has taken parts of it away"},
};

const char *ifpin_pin_state_name(enum ifpin_pin_state state)
{
	return (size_t)state < ARRAY_SIZE(states) ? states[state].name : "unknown";
}

const char *ifpin_pin_state_text(enum ifpin_pin_state state)
{
	return (size_t)state < ARRAY_SIZE(states) ? states[state].text : "unknown";
}

struct listing {
	const struct ifp_store *store;
	struct ifpin_device *devices;
	size_t n_devices;
	uint64_t netns;
	int root;
	bool thorough;
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

/* Whether all links are pinned. */
static bool has_links(const struct ifp_store *s, const char *name)
{
	char path[256];
	const char *folder = ifp_store_path(s, "pin", name, NULL, path) + strlen(s->path) + 1;
	_cleanup_close_ int fd = openat(s->fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_Alignas(struct dirent64) char buf[4096];
	int n = 0;
	ssize_t len;

	if (fd < 0)
		return false;
	/* Once all are found there is no need to ask for the end; readdir() would. */
	while (n < IFP_N_PROGRAMS && (len = getdents64(fd, buf, sizeof(buf))) > 0)
		for (ssize_t at = 0; at < len;) {
			const struct dirent64 *de = (const void *)(buf + at);

			n += !strncmp(de->d_name, IFP_PIN_LINK, strlen(IFP_PIN_LINK));
			at += de->d_reclen;
		}
	return n == IFP_N_PROGRAMS;
}

/* What the map of the state says. Return: 0; -EPROTO: of another version; -errno. */
static int read_state(const struct ifp_store *s, const char *name, struct ifpin_bpf__bss *ret)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info), zero = 0;
	int map, r = open_map(s, "pin", name, IFP_PIN_STATE, &map);

	if (!r && bpf_obj_get_info_by_fd(map, &info, &len))
		r = -errno;
	if (!r && info.value_size != sizeof(*ret))
		r = -EPROTO;
	if (!r && bpf_map_lookup_elem(map, &zero, ret))
		r = -errno;
	ifp_closep(&map);
	return r;
}

static int read_held(
	const struct ifp_store *s, const char *name, struct ifpin_bpf__bss *bss, uint32_t *ret)
{
	struct ifp_pin p = {.bss = bss};
	int r = open_map(s, "pin", name, IFP_PIN_PACKETS, &p.packets);

	r = r ?: ifp_pin_held(&p, ret);
	ifp_closep(&p.packets);
	return r;
}

/*
 * Parts that somebody has taken away, and a device that the follower has not given back yet.
 * Whether each link is still attached takes three calls for each: only where one is looked at by
 * itself.
 */
static enum ifpin_pin_state held_state(const struct listing *l, const struct ifp_meta *m)
{
	enum ifpin_pin_state state = device_state(l, m);
	struct ifpin_bpf__bss bss;
	uint32_t held;

	if (read_state(l->store, m->name, &bss) || read_held(l->store, m->name, &bss, &held) ||
		!bss.state.armed)
		return IFPIN_PIN_BROKEN;
	if (l->thorough ? !ifp_links_live(l->store, m->name) : !has_links(l->store, m->name))
		return IFPIN_PIN_BROKEN;
	if (state == IFPIN_PIN_HELD && held != m->device.ifindex)
		return IFPIN_PIN_DEVICE_GONE;
	return state;
}

static bool names_cgroup(int root, const char *path, uint64_t id, bool *ret_leaf)
{
	struct stat st;

	if (fstatat(root, path + 1, &st, 0) || st.st_ino != id)
		return false;
	*ret_leaf = st.st_nlink <= 2;
	return true;
}

static int count_process(pid_t pid, void *data)
{
	(void)pid;
	++*(unsigned int *)data;
	return 0;
}

/* Those of the cgroup itself. Return: whether they could be counted. */
static bool count_own(int root, const char *cgroup, unsigned int *ret)
{
	char path[IFPIN_CGROUP_PATH_SIZE + 16], buf[4096];
	_cleanup_close_ int fd = -1;
	unsigned int n = 0;
	ssize_t len;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup + 1);
	fd = openat(root, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	while ((len = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < len; i++)
			n += buf[i] == '\n';
	if (!len)
		*ret = n;
	return !len;
}

/* Where no cgroup is below it, which most have none, there is nothing to walk. */
static void count_processes(int root, struct ifpin_pin_info *pin, bool leaf)
{
	_cleanup_close_ int fd = -1;

	if (leaf && count_own(root, pin->cgroup, &pin->processes))
		return;
	fd = openat(root, pin->cgroup + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		ifp_processes_each(fd, count_process, &pin->processes);
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
		.state = IFPIN_PIN_CGROUP_GONE,
	};
	bool leaf;

	strcpy(i.name, m->name);
	strcpy(i.cgroup, m->cgroup);
	if (names_cgroup(l->root, m->cgroup, m->cgroup_id, &leaf)) {
		i.state = held_state(l, m);
		count_processes(l->root, &i, leaf);
	}
	*ret = i;
}

static struct ifpin_pin_info *add_info(struct listing *l)
{
	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 32;
		struct ifpin_pin_info *bigger = reallocarray(l->v, room, sizeof(*bigger));

		if (!bigger)
			return NULL;
		l->v = bigger;
		l->room = room;
	}
	return &l->v[l->n++];
}

static int list_one(const char *name, void *data)
{
	struct listing *l = data;
	struct ifpin_pin_info *info;
	struct ifp_meta m;
	int r = ifp_meta_of(l->store, name, &m);

	if (r == -ENOENT && !ifp_store_has(l->store, "pin", name))
		return 0; /* detached meanwhile */
	info = add_info(l);
	if (!info)
		return -ENOMEM;
	if (r) {
		*info = (struct ifpin_pin_info){.state = IFPIN_PIN_BROKEN, .attached = true};
		strcpy(info->name, name);
		return 0;
	}
	to_info(l, &m, info);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(
		((const struct ifpin_pin_info *)a)->name, ((const struct ifpin_pin_info *)b)->name);
}

/* What all of them are compared with. Return: 0; -ENOENT: there are none; -errno. */
static int listing_begin(struct listing *l, struct ifp_store *s, struct ifpin_error *err)
{
	int r = ifp_store_open(s, err);

	if (r)
		return r;
	l->store = s;
	r = ifpin_device_list(&l->devices, &l->n_devices, err);
	if (r)
		return r == -ENOENT ? -EIO : r;
	l->root = ifp_cgroup_root();
	r = l->root < 0 ? l->root : ifp_own_netns(&l->netns);
	return r ? ifp_fail_errno(err, r == -ENOENT ? -EIO : r, "cannot list the confinements") : 0;
}

int ifpin_pins(struct ifpin_pin_info **ret_pins, size_t *ret_n, struct ifpin_error *ret_error)
{
	_cleanup_(ifp_store_closep) struct ifp_store s = {.fd = -1};
	_cleanup_(listing_free) struct listing l = {.root = -1};
	int r = listing_begin(&l, &s, ret_error);

	if (r && r != -ENOENT)
		return r;
	if (!r)
		r = ifp_store_each(&s, list_one, &l);
	if (r && r != -ENOENT)
		return ifp_fail_errno(ret_error, r, "cannot list the confinements");
	if (l.n)
		qsort(l.v, l.n, sizeof(*l.v), by_name);
	*ret_pins = l.v;
	*ret_n = l.n;
	l.v = NULL;
	return 0;
}

int ifpin_pin_check(struct ifpin_pin_info *pin, struct ifpin_error *ret_error)
{
	_cleanup_(ifp_store_closep) struct ifp_store s = {.fd = -1};
	_cleanup_(listing_free) struct listing l = {.root = -1, .thorough = true};
	int r;

	if (!pin->attached)
		return 0;
	r = listing_begin(&l, &s, ret_error);
	if (!r)
		r = list_one(pin->name, &l);
	if (r || !l.n)
		return ifp_fail(
			ret_error, r ?: -ENOENT, "no confinement is called \"%s\"", pin->name);
	*pin = l.v[0];
	return 0;
}

/* ---- counters ---- */

static int count_passed(int map, struct ifpin_pin_counts *ret)
{
	int cpus = libbpf_num_possible_cpus(), r = 0;
	_cleanup_free_ uint64_t *values = calloc((size_t)(cpus > 0 ? cpus : 1), sizeof(*values));
	uint64_t *const to[] = {&ret->packets_out, &ret->packets_in};

	if (cpus < 0 || !values)
		return -ENOMEM;
	for (uint32_t k = 0; !r && k < IFPIN_PASSED_COUNT; k++) {
		if (bpf_map_lookup_elem(map, &k, values))
			r = -errno;
		for (int c = 0; !r && c < cpus; c++)
			*to[k] += values[c];
	}
	return r;
}

static int count_attached(const char *name, struct ifpin_pin_counts *ret, struct ifpin_error *err)
{
	_cleanup_(ifp_store_closep) struct ifp_store s = {.fd = -1};
	_cleanup_close_ int passed = -1;
	struct ifpin_bpf__bss *bss;
	int r = ifp_store_open(&s, err);

	if (r)
		return r;
	r = ifp_state_open(&s, name, &bss);
	if (r)
		return r;
	ifp_denials_from((const uint64_t *)bss->denials, ret->denials, &ret->n_denials);
	ifp_state_close(&bss);
	r = open_map(&s, "pin", name, IFP_PIN_PASSED, &passed);
	return r ?: count_passed(passed, ret);
}

struct run_count {
	uint64_t cgroup_id;
	struct ifpin_pin_counts *to;
};

static int count_run(const struct ifp_run *run, void *data)
{
	const struct run_count *c = data;
	struct ifpin_bpf__bss bss;
	uint32_t zero = 0;

	if (run->cgroup_id != c->cgroup_id)
		return 0;
	if (bpf_map_lookup_elem(run->state, &zero, &bss))
		return -errno;
	ifp_denials_from((const uint64_t *)bss.denials, c->to->denials, &c->to->n_denials);
	return count_passed(run->passed, c->to) ?: 1;
}

int ifpin_pin_count(const struct ifpin_pin_info *pin, struct ifpin_pin_counts *ret_counts,
	struct ifpin_error *ret_error)
{
	struct ifpin_pin_counts c = {};
	struct run_count run = {.cgroup_id = pin->cgroup_id, .to = &c};
	int r = pin->attached ? count_attached(pin->name, &c, ret_error)
			      : ifp_runs_each(count_run, &run);

	if (!pin->attached)
		r = r == 1 ? 0 : r ?: -ENOENT;
	if (r)
		return ifp_fail_errno(
			ret_error, r, "cannot read the counters of \"%s\"", pin->name);
	ifp_lsm_add_denials(pin->cgroup_id, c.denials);
	*ret_counts = c;
	return 0;
}

/* ---- the end ---- */

int ifp_pin_remove(const struct ifp_store *s, const char *name)
{
	char from[256], to[256];
	struct ifp_pin p;

	/* From here on it is to end: if we are killed, the next writer ends it. */
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
	void *bigger;

	if (ifp_meta_of(d->store, name, &m) || !ifp_cgroup_is_gone(d->root, m.cgroup_id))
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

/* One that somebody has detached is still pinned, and says so. Return: 0; -ENOENT; -ENOLINK;
 * -errno. */
static int link_lives(const struct ifp_store *s, const char *name, const char *kind, int i)
{
	struct bpf_link_info info = {};
	uint32_t len = sizeof(info);
	char file[16];
	_cleanup_close_ int link = -1;

	snprintf(file, sizeof(file), "%s%d", kind, i);
	link = ifp_store_get(s, "pin", name, file);
	if (link < 0)
		return link;
	if (bpf_obj_get_info_by_fd(link, &info, &len))
		return -errno;
	return info.cgroup.cgroup_id ? 0 : -ENOLINK;
}

bool ifp_links_live(const struct ifp_store *s, const char *name)
{
	int r = 0;

	for (int i = 0; i < IFP_N_PROGRAMS; i++)
		if (link_lives(s, name, IFP_PIN_LINK, i))
			return false;
	/* Where the kernel has no BPF LSM there is none of these. */
	for (int i = 0; !r; i++)
		r = link_lives(s, name, IFP_LSM_LINK, i);
	return r == -ENOENT;
}
