// SPDX-License-Identifier: MIT
/* Which confinements are in force, what passes them, and their end. */
#include "lsm.h"
#include "pins.h"
#include "programs.h"
#include "runs.h"

#include "device/device.h"
#include "host/cgroup.h"
#include "host/processes.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

int ifp_pin_find(struct ifp_sets *sets, const struct ifp_meta *m, struct ifp_pin *ret)
{
	struct ifp_pin p = {.cgroup_id = m->cgroup_id, .id = m->id};
	int r = ifp_sets_find(sets, &m->set, &p.set);

	if (!r)
		*ret = p;
	return r;
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
	struct ifp_sets sets;
	struct ifpin_device *devices;
	size_t n_devices;
	uint64_t netns;
	int root;
	bool thorough;
	struct ifpin_pin_info *v;
	size_t n;
};

static void listing_free(struct listing *l)
{
	ifp_sets_close(&l->sets);
	free(l->devices);
	free(l->v);
	ifp_closep(&l->root);
}

static enum ifpin_pin_state device_state(const struct listing *l, const struct ifp_meta *m)
{
	enum ifpin_identity identity;

	if (m->set.netns != l->netns)
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

/*
 * Parts that somebody has taken away, and a device that the follower has not given back yet.
 * Whether each link is still attached takes three calls for each: only where one is looked at by
 * itself.
 */
static enum ifpin_pin_state held_state(struct listing *l, const struct ifp_meta *m)
{
	enum ifpin_pin_state state = device_state(l, m);
	struct ifpin_pin pin;
	struct ifp_pin p;
	uint32_t held;

	if (ifp_pin_find(&l->sets, m, &p) || ifp_pin_read(&p, &pin) ||
		ifp_set_held(p.set, &pin, &held) || !pin.armed)
		return IFPIN_PIN_BROKEN;
	if (l->thorough ? !ifp_links_live(l->store, m) : !has_links(l->store, m->name))
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

static void to_info(struct listing *l, const struct ifp_meta *m, struct ifpin_pin_info *ret)
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
	if (ifp_grow(&l->v, l->n, sizeof(*l->v)))
		return NULL;
	return &l->v[l->n++];
}

static int list_one(const char *name, void *data)
{
	struct listing *l = data;
	struct ifpin_pin_info *info;
	struct ifp_meta m;
	int r = ifp_meta_of(l->store, "pin", name, &m);

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
	l->store = l->sets.store = s;
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
		r = ifp_store_each(&s, "pin", list_one, &l);
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

static int count_passed(const struct ifp_set *set, uint64_t cgroup_id, struct ifpin_pin_counts *ret)
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ struct ifpin_passes *values =
		calloc((size_t)(cpus > 0 ? cpus : 1), sizeof(*values));

	if (cpus < 0 || !values)
		return -ENOMEM;
	/* The kernel keeps them with the cgroup. */
	if (bpf_map_lookup_elem(set->passed, &cgroup_id, values))
		return errno == ENOENT ? 0 : -errno;
	for (int c = 0; c < cpus; c++) {
		ret->packets_out += values[c].n[IFPIN_PASSED_OUT];
		ret->packets_in += values[c].n[IFPIN_PASSED_IN];
	}
	return 0;
}

static int count_pin(const struct ifp_pin *p, struct ifpin_pin_counts *ret)
{
	struct ifpin_denials d;

	if (bpf_map_lookup_elem(p->set->denied, &p->id, &d))
		return -errno;
	ifp_denials_from((const uint64_t *)d.denied, ret->denials, &ret->n_denials);
	return count_passed(p->set, p->cgroup_id, ret);
}

static int count_attached(const char *name, struct ifpin_pin_counts *ret, struct ifpin_error *err)
{
	_cleanup_(ifp_store_closep) struct ifp_store s = {.fd = -1};
	_cleanup_(ifp_sets_close) struct ifp_sets sets = {.store = &s};
	struct ifp_meta m;
	struct ifp_pin p;
	int r = ifp_store_open(&s, err);

	r = r ?: ifp_meta_of(&s, "pin", name, &m);
	r = r ?: ifp_pin_find(&sets, &m, &p);
	return r ?: count_pin(&p, ret);
}

struct run_count {
	uint64_t cgroup_id;
	struct ifpin_pin_counts *to;
};

static int count_run(const struct ifp_run *run, void *data)
{
	const struct run_count *c = data;

	if (run->in.cgroup_id != c->cgroup_id)
		return 0;
	return count_pin(&run->in, c->to) ?: 1;
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

/* Return: whether its value was still there. */
static bool disarm(const struct ifp_set *set, const struct ifp_meta *m, struct ifpin_pin *ret)
{
	const struct ifp_pin p = {.set = set, .cgroup_id = m->cgroup_id, .id = m->id};

	*ret = (struct ifpin_pin){.id = m->id};
	return !ifp_pin_disarm(&p, ret);
}

int ifp_pin_drop(const struct ifp_store *s, const char *kind, const char *name)
{
	_cleanup_(ifp_set_close) struct ifp_set set = IFP_NO_SET;
	struct ifpin_pin last;
	struct ifp_meta m;
	bool known = !ifp_meta_of(s, kind, name, &m), whole = true;
	int r;

	/* All programs at once; then what is left of them is nobody's business. */
	if (known && !ifp_set_open(s, &m.set, &set))
		whole = disarm(&set, &m, &last);
	r = ifp_store_remove(s, kind, name);
	if (r)
		return r;
	if (!known) {
		/* What was being made here may have been programs. */
		ifp_store_wait_for_frees();
		return 0;
	}
	if (set.lock >= 0)
		ifp_set_forget(&set, &last);
	return ifp_set_drop_unused(s, &m.set) ?: !whole;
}

int ifp_pin_remove(const struct ifp_store *s, const char *name)
{
	char from[256], to[256];

	/* From here on it is to end: if we are killed, the next writer ends it. */
	if (rename(ifp_store_path(s, "pin", name, NULL, from),
		    ifp_store_path(s, "new", name, NULL, to)))
		return -errno;
	return ifp_pin_drop(s, "new", name);
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
	if (r > 0)
		r = ifp_sets_tidy(&s);
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

	if (ifp_meta_of(d->store, "pin", name, &m) || !ifp_cgroup_is_gone(d->root, m.cgroup_id))
		return 0;
	if (ifp_grow(&d->names, d->n, sizeof(*d->names)))
		return -ENOMEM;
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
	r = root < 0 ? root : ifp_store_each(&s, "pin", collect_dead, &d);
	for (size_t i = 0; i < d.n && r >= 0; i++, ++*ret_removed)
		r = ifp_pin_remove(&s, d.names[i]);
	free(d.names);
	r = r < 0 ? r : ifp_sets_tidy(&s) ?: ifp_lsm_tidy(&s);
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

bool ifp_links_live(const struct ifp_store *s, const struct ifp_meta *m)
{
	bool live = true;

	for (int i = 0; i < IFP_N_PROGRAMS && live; i++)
		live = !link_lives(s, m->name, IFP_PIN_LINK, i);
	for (int i = 0; m->lsm && i < IFP_LSM_LINKS && live; i++)
		live = !link_lives(s, m->name, IFP_LSM_LINK, i);
	return live;
}
