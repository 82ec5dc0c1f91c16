// SPDX-License-Identifier: MIT
/*
 * A cgroup that lives already is confined. Everything is made beside what is there, armed by one
 * store to memory, looked at, and then given its name by one rename: whoever is killed on the way
 * leaves a folder that the next one removes.
 */
#include "attach.h"
#include "lsm.h"
#include "pins.h"

#include "host/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define QUEUE_ROUNDS 200
#define QUEUE_WAIT_MS 10

struct attach {
	const struct ifpin_attach_opts *opts;
	struct ifp_target target;
	struct ifp_store store;
	struct ifp_host_maps host;
	struct ifp_addrs addrs;
	struct ifp_set set;
	struct ifp_pin pin; /* in the set; id 0: not yet */
	struct ifpin_pin value;
	struct ifp_lsm *lsm; /* NULL: the kernel has none */
	struct ifp_existing existing;
	unsigned int queued; /* connections that wait when the service goes on, and are not tied */
	struct ifp_freeze freeze;
	struct ifp_meta meta;
	bool made; /* the new folder */
	bool done;
	bool alone;  /* no other program of a kind that we use runs for the cgroup */
	bool nested; /* inside another confinement */
	char *said;  /* lines that wait until nothing stands still */
	size_t said_len;
	char away[IFPIN_CGROUP_PATH_SIZE]; /* where the caller is to go back to; empty: it never
					      left */
};

void ifp_attach_say(const struct ifpin_attach_opts *o, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (!o->log)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	o->log(o->log_ctx, line);
}

/* Who reads the log may be in the cgroup that stands still: then a full pipe would be the end. */
static void say_later(void *ctx, const char *line)
{
	struct attach *a = ctx;
	size_t len = strlen(line) + 1;
	char *bigger = realloc(a->said, a->said_len + len);

	if (!bigger)
		return;
	memcpy(bigger + a->said_len, line, len);
	a->said = bigger;
	a->said_len += len;
}

static void say_now(struct attach *a)
{
	for (size_t at = 0; at < a->said_len; at += strlen(a->said + at) + 1)
		ifp_attach_say(a->opts, "%s", a->said + at);
	free(a->said);
	a->said = NULL;
	a->said_len = 0;
}

/* ---- what is there already ---- */

static bool same_options(const struct ifp_meta *m, const struct ifpin_attach_opts *o)
{
	return m->loopback == o->loopback && m->guard_resolvers == o->guard_resolvers;
}

static bool cgroup_lives(const struct ifp_meta *m)
{
	_cleanup_close_ int root = ifp_cgroup_root();

	return root < 0 || !ifp_cgroup_is_gone(root, m->cgroup_id);
}

/* Whether it holds: nobody has taken parts of it away, and its device was not another's meanwhile.
 */
static bool holds(const struct attach *a, const struct ifp_meta *m)
{
	_cleanup_(ifp_sets_close) struct ifp_sets sets = {.store = &a->store};
	struct ifpin_pin pin;
	struct ifp_pin p;
	uint32_t held;

	return !ifp_pin_find(&sets, m, &p) && !ifp_pin_read(&p, &pin) && pin.armed &&
	       !ifp_set_held(p.set, &pin, &held) && held == a->opts->device.ifindex &&
	       ifp_links_live(&a->store, m);
}

/*
 * A process that stops its own cgroup would never go on. And what it makes for all confinements
 * would count as memory of that cgroup, whose limit would then be felt by all.
 */
static int step_out(struct attach *a, struct ifpin_error *err)
{
	_cleanup_close_ int root = -1;
	char own[IFPIN_CGROUP_PATH_SIZE];
	int r = ifp_cgroup_own_path(own, sizeof(own));

	if (r)
		return ifp_fail_errno(err, r, "cannot tell the cgroup of this process");
	if (!ifp_path_is_within(own, a->target.path))
		return 0;
	root = ifp_cgroup_root();
	r = root < 0 ? root : ifp_write_file(root, "cgroup.procs", "0");
	if (r)
		return ifp_fail_errno(
			err, r, "cannot leave the cgroup for as long as it is stopped");
	strcpy(a->away, own);
	return 0;
}

/*
 * Sockets may have come from outside since: a service manager hands some over when it starts a
 * service. Return: 1: all that are there conform; 0: it is to be made anew, and then they are dealt
 * with; -errno.
 */
static int look_again(struct attach *a, const struct ifp_meta *m, struct ifpin_error *err)
{
	struct ifp_existing e = {
		.cgroup_fd = a->target.fd,
		.id = m->id,
		.netns = m->set.netns,
		.device = a->opts->device,
		.loopback = a->opts->loopback,
		.still = true,
		.addrs = &a->addrs,
	};
	unsigned int odd = 0;
	int r = ifp_addrs_read(&a->addrs);

	if (r)
		return ifp_fail_errno(err, r, "cannot read the host's addresses");
	r = step_out(a, err);
	if (!r)
		r = ifp_freeze(a->target.fd, &a->freeze, err);
	if (!r)
		r = ifp_existing_read(&e, err);
	if (!r) {
		r = ifp_existing_queued(&e, &odd);
		if (r)
			ifp_fail_errno(err, r, "cannot list the host's sockets");
	}
	for (size_t i = 0; i < e.n; i++)
		odd += e.v[i].remedy != IFP_CONFORMS;
	ifp_thaw(&a->freeze);
	ifp_existing_free(&e);
	ifp_addrs_free(&a->addrs);
	return r ?: !odd;
}

/* Return: 1: it is in force already; 0: to be made; -EEXIST; -errno. */
static int compare_with_present(struct attach *a, struct ifpin_error *err)
{
	const struct ifpin_attach_opts *o = a->opts;
	struct ifp_meta m;
	char path[256];
	int r = ifp_meta_read(ifp_store_path(&a->store, "pin", a->target.name, "meta", path), &m);

	if (r == -ENOENT)
		return 0;
	if (r == -EPROTO)
		return ifp_fail(err, -EEXIST,
			"the confinement \"%s\" was made by another version of ifpin; detach it first",
			a->target.name);
	if (r)
		return ifp_fail_errno(err, r, "cannot read %s", path);
	if (!cgroup_lives(&m))
		return 0;
	if (m.cgroup_id != a->target.id)
		return ifp_fail(err, -EEXIST,
			"the confinement \"%s\" is of another cgroup, %s; choose a --name", m.name,
			m.cgroup);
	if (m.set.netns != a->meta.set.netns || !ifp_device_same(&m.device, &o->device) ||
		m.device.ifindex != o->device.ifindex)
		return ifp_fail(err, -EEXIST,
			"%s is confined to %s already (\"%s\"); detach that first", m.cgroup,
			m.device.name, m.name);
	if (!same_options(&m, o) || !holds(a, &m))
		return 0;
	m.rebind = o->rebind;
	m.abort = o->abort;
	m.configured = o->configured;
	r = ifp_meta_update(path, &m);
	if (r)
		return ifp_fail_errno(err, r, "cannot change %s", path);
	a->meta.lsm = m.lsm;
	return o->configured ? 1 : look_again(a, &m, err);
}

/* Other confinements of this cgroup, and of those above it. */
static int look_for_others(const char *name, void *data)
{
	struct attach *a = data;
	struct ifp_meta m;

	if (!strcmp(name, a->target.name) || ifp_meta_of(&a->store, "pin", name, &m) ||
		m.set.netns != a->meta.set.netns || !ifp_path_is_within(a->target.path, m.cgroup) ||
		!cgroup_lives(&m))
		return 0;
	a->nested = true;
	if (m.device.ifindex != a->opts->device.ifindex)
		ifp_attach_say(a->opts,
			"note: inside the confinement \"%s\", which is for %s: both count, so only "
			"the host itself can be talked to",
			m.name, m.device.name);
	return 0;
}

/* ---- making it ---- */

/* What the programs are to do, and programs to do it. */
static int make_value(struct attach *a, struct ifpin_error *err)
{
	const struct ifpin_attach_opts *o = a->opts;
	bool agree[2];
	int r = ifp_store_host(&a->store, a->meta.set.netns, true, &a->host, err);

	if (!r) {
		r = ifp_host_fill(&a->host, o->device.ifindex, &a->addrs, agree);
		if (r)
			ifp_fail_errno(err, r, "cannot read the host's addresses and routes");
	}
	if (!r)
		r = ifp_pin_prepare(o->loopback, o->guard_resolvers, &a->value, err);
	if (!r)
		r = ifp_set_need(&a->store, &a->host, a->meta.set.netns, a->target.fd, a->target.id,
			&a->meta.set, &a->set, err);
	if (!r)
		r = ifp_lsm_open(&a->store, &a->lsm, err);
	if (r)
		return r;
	r = ifp_set_add(&a->set, &a->value);
	if (r == -E2BIG)
		return ifp_fail(err, r, "there are %d confinements already", IFP_MAX_PINS);
	if (r)
		return ifp_fail_errno(err, r, "cannot add the confinement to the others");
	a->pin = (struct ifp_pin){.set = &a->set, .cgroup_id = a->target.id, .id = a->value.id};
	a->value.device_ip4 = ifp_addrs_primary(&a->addrs, o->device.ifindex);
	a->value.routes_agree[0] = agree[0];
	a->value.routes_agree[1] = agree[1];
	ifp_pin_name(&a->value, o->device.name);
	return 0;
}

/* First of all what it is, by which the next one undoes it if we are killed. */
static int pin_meta(struct attach *a, struct ifpin_error *err)
{
	char path[256];
	int r;

	a->meta.version = IFP_META_VERSION;
	a->meta.id = a->value.id;
	a->meta.cgroup_id = a->target.id;
	a->meta.since = time(NULL);
	a->meta.device = a->opts->device;
	a->meta.loopback = a->opts->loopback;
	a->meta.guard_resolvers = a->opts->guard_resolvers;
	a->meta.rebind = a->opts->rebind;
	a->meta.abort = a->opts->abort;
	a->meta.configured = a->opts->configured;
	a->meta.lsm = a->lsm != NULL;
	strcpy(a->meta.name, a->target.name);
	strcpy(a->meta.cgroup, a->target.path);
	if (mkdir(ifp_store_path(&a->store, "new", a->target.name, NULL, path), 0700))
		return ifp_fail_errno(err, -errno, "cannot make %s", path);
	a->made = true;
	r = ifp_meta_write(
		ifp_store_path(&a->store, "new", a->target.name, "meta", path), &a->meta);
	return r ? ifp_fail_errno(err, r, "cannot pin %s", path) : 0;
}

/* The storage of the cgroup is there from the first link on; it may be from one that has ended. */
static int pin_all(struct attach *a, struct ifpin_error *err)
{
	const char *device = a->opts->device.name;
	char path[256];
	int r = pin_meta(a, err);

	if (r)
		return r;
	r = ifp_pin_claim(&a->pin, &a->value);
	if (r)
		return ifp_fail_errno(err, r, "cannot take over the storage of the cgroup");
	r = ifp_set_link(&a->store, &a->set, a->target.fd,
		ifp_store_path(&a->store, "new", a->target.name, NULL, path), err);
	if (!r && a->lsm && a->alone)
		r = ifp_lsm_claim(a->lsm, a->target.fd, err);
	if (!r && a->lsm)
		r = ifp_lsm_pin(a->lsm, a->target.fd, path, err);
	if (r)
		return r;
	r = ifp_set_hold(&a->set, &a->value, &a->opts->device);
	if (r == -ENODEV || r == -ESTALE)
		return ifp_fail(err, r, "%s is gone", device);
	if (r)
		return ifp_fail_errno(
			err, r, "cannot hold the interface (BPF_MAP_TYPE_DEVMAP_HASH)");
	r = ifp_pin_write(&a->pin, &a->value);
	return r ? ifp_fail_errno(err, r, "cannot write to the storage of the cgroup") : 0;
}

static int arm(struct attach *a, struct ifpin_error *err)
{
	int r;

	a->value.armed = 1;
	r = ifp_pin_write(&a->pin, &a->value);
	return r ? ifp_fail_errno(err, r, "cannot write to the storage of the cgroup") : 0;
}

/* ---- the sockets that are there ---- */

static void step_back(struct attach *a)
{
	_cleanup_close_ int root = -1, fd = -1;

	if (!*a->away)
		return;
	root = ifp_cgroup_root();
	fd = openat(root, a->away + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		ifp_write_file(fd, "cgroup.procs", "0");
	*a->away = 0;
}

/* Nothing runs while this happens; then whatever was made since is judged by the programs. */
static int settle_and_arm(struct attach *a, struct ifpin_error *err)
{
	struct ifp_existing *e = &a->existing;
	int r = ifp_freeze(a->target.fd, &a->freeze, err);

	e->still = true;
	if (!r)
		r = ifp_existing_read(e, err);
	if (!r)
		r = ifp_existing_settle(e, err);
	if (r)
		return r;
	if (e->mode == IFPIN_EXISTING_REFUSE) {
		unsigned int queued = 0;

		r = ifp_existing_queued(e, &queued);
		if (!r && queued)
			return ifp_fail(err, -EBUSY,
				"%u connections wait to be accepted and are not tied to %s; tie them "
				"with --existing=pin",
				queued, a->opts->device.name);
	}
	if (r)
		return ifp_fail_errno(err, r, "cannot list the host's sockets");
	r = arm(a, err);
	if (!r && a->lsm)
		r = ifp_lsm_arm(a->lsm, a->target.fd, ifp_families(0), a->meta.id, err);
	if (r)
		return r;
	/* All of them once more, now that nothing can be added. */
	r = ifp_existing_read(e, err);
	if (!r)
		r = ifp_existing_settle(e, err);
	if (r)
		return r;
	r = ifp_existing_drop_half_open(e);
	if (r)
		return ifp_fail_errno(err, r, "cannot end connections that are half open");
	/* Those that begin from here on are tied by the programs. */
	r = ifp_existing_queued(e, &a->queued);
	if (r)
		return ifp_fail_errno(err, r, "cannot list the host's sockets");
	e->still = false;
	r = ifp_thaw(&a->freeze);
	return r ? ifp_fail_errno(err, r, "cannot let the processes of the cgroup go on") : 0;
}

/*
 * Connections that wait to be accepted have no descriptor by which they could be tied. The kernel
 * tells nobody when one is taken, so they are asked for until none is left.
 */
static int settle_queued(struct attach *a, struct ifpin_error *err)
{
	unsigned int n = a->queued;

	if (!n)
		return 0;
	for (int i = 0; i < QUEUE_ROUNDS; i++) {
		int r = ifp_existing_queued(&a->existing, &n);

		if (r)
			return ifp_fail_errno(err, r, "cannot list the host's sockets");
		r = ifp_existing_read(&a->existing, err);
		if (!r)
			r = ifp_existing_settle(&a->existing, err);
		if (r || !n)
			return r;
		poll(NULL, 0, QUEUE_WAIT_MS);
	}
	return ifp_fail(err, -EBUSY,
		"%u connections have been waiting for their service to accept them for %d ms and cannot "
		"be tied meanwhile",
		n, QUEUE_ROUNDS * QUEUE_WAIT_MS);
}

/* ---- all of it ---- */

static int confine(struct attach *a, struct ifpin_error *err)
{
	const struct ifpin_attach_opts *o = a->opts;
	int r = step_out(a, err);

	if (!r)
		r = make_value(a, err);
	if (!r)
		r = pin_all(a, err);
	if (r)
		return r;
	a->existing = (struct ifp_existing){
		.cgroup_fd = a->target.fd,
		.id = a->meta.id,
		.netns = a->meta.set.netns,
		.device = o->device,
		.loopback = o->loopback,
		.mode = o->existing,
		.addrs = &a->addrs,
		.log = say_later,
		.log_ctx = a,
	};
	r = settle_and_arm(a, err);
	if (!r)
		r = settle_queued(a, err);
	if (!r && a->freeze.by_others)
		ifp_attach_say(o, "note: the cgroup is frozen, so nothing was tried from inside");
	else if (!r && !a->nested)
		r = ifp_try_inside(a->target.fd, o->device.ifindex, a->lsm ? a->meta.id : 0, err);
	if (r)
		return r;
	r = ifp_store_commit(&a->store, a->target.name);
	if (r)
		return ifp_fail_errno(
			err, r, "cannot put the confinement \"%s\" in place", a->target.name);
	a->done = true;
	return 0;
}

static void say_not_held(const struct attach *a)
{
	if (!a->meta.lsm)
		ifp_attach_say(a->opts,
			"not held: sockets handed over by processes outside (SCM_RIGHTS; BPF LSM, which "
			"is not active), also those that wait in a unix socket or io_uring whose "
			"descriptor is closed");
	ifp_notices(a->opts, &a->target, a->meta.lsm);
}

static void say_done(struct attach *a)
{
	const struct ifpin_attach_opts *o = a->opts;
	unsigned int foreign = ifp_existing_foreign(&a->existing);

	say_now(a);
	ifp_attach_say(o,
		"\"%s\": %s is held to %s (ifindex %u)%s; %zu sockets looked at, %u tied, "
		"%u aborted",
		a->target.name, a->target.path, o->device.name, o->device.ifindex,
		o->loopback ? " and loopback" : "", a->existing.n, a->existing.tied,
		a->existing.aborted);
	if (a->existing.io_urings)
		ifp_attach_say(o,
			"not held: %u io_uring, in which sockets may be that no list shows; those made "
			"inside are held",
			a->existing.io_urings);
	if (foreign)
		ifp_attach_say(o,
			"not held: %u sockets made outside of the cgroup, which are tied or shut down: "
			"joins of multicast groups on other devices, and, once %s is gone, another "
			"device that gets its index",
			foreign, o->device.name);
	say_not_held(a);
}

/* Who asks once more is told once more; ifpind asks at every turn. */
static void say_already(const struct attach *a)
{
	if (a->opts->configured)
		return;
	ifp_attach_say(a->opts,
		"\"%s\": %s is held to %s (ifindex %u) already, and its sockets conform",
		a->target.name, a->target.path, a->opts->device.name, a->opts->device.ifindex);
	say_not_held(a);
}

static void undo(struct attach *a)
{
	a->value.armed = 0;
	if (a->made) {
		ifp_pin_write(&a->pin, &a->value);
		ifp_store_remove(&a->store, "new", a->target.name);
	}
	ifp_set_forget(&a->set, &a->value);
	ifp_set_drop_unused(&a->store, &a->meta.set);
}

static void finish(struct attach *a)
{
	ifp_thaw(&a->freeze);
	say_now(a);
	if (a->set.lock >= 0 && !a->done)
		undo(a);
	step_back(a);
	if (!a->done)
		ifp_target_move_back(&a->target);
	ifp_existing_free(&a->existing);
	ifp_set_close(&a->set);
	ifp_lsm_free(a->lsm);
	ifp_addrs_free(&a->addrs);
	ifp_host_maps_close(&a->host);
	ifp_store_closep(&a->store);
	ifp_target_closep(&a->target);
}

static int check(const struct ifpin_attach_opts *o, struct ifpin_error *err)
{
	static const cap_value_t needed[] = {
		CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_BPF, CAP_SYS_PTRACE, CAP_NET_RAW};
	int r;

	if (o->size != sizeof(*o))
		return ifp_fail(err, -EINVAL, "options of another version of the library");
	r = ifp_name_check(o->name, err) ?: ifp_device_check(&o->device, err);
	return r ?: ifp_privileges_check(needed, ARRAY_SIZE(needed), err);
}

static int attach(struct attach *a, struct ifpin_error *err)
{
	int r = ifp_own_netns(&a->meta.set.netns);

	if (r)
		return ifp_fail_errno(err, r, "the kernel does not tell network namespaces apart");
	r = ifp_target_find(a->opts, &a->target, err);
	if (!r)
		r = ifp_store_lock(&a->store, err);
	if (!r && a->target.move)
		r = ifp_target_move(&a->target, err);
	if (r)
		return r;
	r = compare_with_present(a, err);
	if (r > 0)
		say_already(a);
	if (r)
		return r < 0 ? r : 0;
	a->alone = ifp_set_runs_none(a->target.fd);
	if (!a->alone)
		r = ifp_store_each(&a->store, "pin", look_for_others, a);
	if (r)
		return ifp_fail_errno(err, r, "cannot list the confinements");
	r = confine(a, err);
	if (!r)
		say_done(a);
	return r;
}

int ifpin_attach(
	const struct ifpin_attach_opts *opts, char *ret_name, struct ifpin_error *ret_error)
{
	struct attach a = {
		.opts = opts,
		.store = {.fd = -1},
		.target = {.fd = -1, .from = -1},
		.host = {.host_fd = -1, .addrs = -1, .ways = -1},
		.set = IFP_NO_SET,
	};
	int r = check(opts, ret_error);

	if (!r)
		r = attach(&a, ret_error);
	if (!r && ret_name)
		strcpy(ret_name, a.target.name);
	finish(&a);
	return r;
}
