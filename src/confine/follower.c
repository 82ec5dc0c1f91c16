// SPDX-License-Identifier: MIT
/*
 * Keeps all confinements of this network namespace true. What is in force is in the kernel; here is
 * only what was last seen of each device, so that a change is known for one.
 */
#include "comeback.h"
#include "follow.h"
#include "guards.h"
#include "pins.h"

#include "host/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>

/* Memory was wanting, or there are too many addresses or routes. */
#define RETRY_MS 1000
#define GROUP(n) (1U << ((n)-1))
#define FOLDER_EVENTS (IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE)

/* One confinement. */
struct pin {
	char name[IFPIN_PIN_NAME_SIZE];
	struct ifpin_device device; /* as it was seen last */
	struct ifp_pin in;	    /* another id is another confinement */
	uint32_t told_heir; /* index of another device that has the name, once it was told */
	bool there, rebind, abort;
	bool written; /* the programs have been told its name and what follows */
	bool agree[2];
	uint32_t ip4;
	bool came_back; /* just now, and nobody has been told */
	struct ifp_comeback back;
	int back_error;
};

struct ifpin_follower {
	void (*on_change)(void *ctx, const struct ifpin_change *change);
	void *ctx;
	struct ifp_store store;
	uint64_t netns;
	struct mnl_socket *events, *ask, *changes;
	int epoll, inotify, mark;
	struct ifp_host_maps host;
	struct ifp_sets sets;
	struct pin *pins;
	size_t n_pins;
	struct ifp_guards guards;
	bool addresses_changed, pins_changed, lost;
	int64_t settle_at; /* 0: nothing to do */
	int64_t judged_ms; /* how long the routes took the last time */
};

static void settle_later(struct ifpin_follower *f)
{
	if (!f->settle_at)
		f->settle_at = ifp_now_ms() + ifp_ways_settle_ms(f->judged_ms);
}

static void _printf_(4, 5) tell(struct ifpin_follower *f, enum ifpin_change_type type,
	const struct pin *p, const char *fmt, ...)
{
	struct ifpin_change c = {.type = type};
	va_list ap;

	if (p)
		strcpy(c.pin, p->name);
	va_start(ap, fmt);
	vsnprintf(c.text, sizeof(c.text), fmt, ap);
	va_end(ap);
	f->on_change(f->ctx, &c);
}

/* ---- what is written down in the kernel ---- */

static int write_meta(struct ifpin_follower *f, const struct pin *p)
{
	char path[256];

	return ifp_meta_set_device(
		ifp_store_path(&f->store, "pin", p->name, "meta", path), p->in.id, &p->device);
}

/* Whether some pin is on the device. */
static bool is_needed(uint32_t ifindex, void *data)
{
	const struct ifpin_follower *f = data;

	for (size_t i = 0; i < f->n_pins; i++)
		if (f->pins[i].there && f->pins[i].device.ifindex == ifindex)
			return true;
	return false;
}

/*
 * Tells the programs what is known of the device, which is nothing where it is gone. What could not
 * be written, for want of memory, is written when all is settled.
 */
static void write_value(struct ifpin_follower *f, struct pin *p)
{
	struct ifpin_pin v;
	int r = ifp_pin_begin(&p->in, &v);

	if (!r) {
		ifp_pin_name(&v, p->there ? p->device.name : "");
		v.device_ip4 = p->there ? p->ip4 : 0;
		for (int i = 0; i < 2; i++)
			v.routes_agree[i] = p->there && p->agree[i];
		r = ifp_pin_end(&p->in, &v);
	}
	/* One that has ended needs nothing. */
	p->written = !r || r == -ENOENT;
	if (!p->written)
		settle_later(f);
}

/* ---- a device goes, and comes back ---- */

static void lose(struct ifpin_follower *f, struct pin *p)
{
	p->there = false;
	p->told_heir = 0;
	/* Its index may be another's soon; the kernel has emptied the maps by itself. */
	write_value(f, p);
	tell(f, IFPIN_CHANGE_GONE, p, "%s (index %u) is gone; \"%s\" is closed until it comes back",
		p->device.name, p->device.ifindex, p->name);
	settle_later(f);
}

static int rebind(const struct pin *p, struct ifp_comeback *c)
{
	_cleanup_close_ int root = ifp_cgroup_root(), fd = -1;
	char path[IFPIN_CGROUP_PATH_SIZE];
	int r = root < 0 ? root : ifp_cgroup_path_by_id(root, p->in.cgroup_id, path, sizeof(path));

	if (r)
		return r;
	fd = openat(root, path + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	c->cgroup_fd = fd;
	return ifp_comeback(c);
}

static void regain(struct ifpin_follower *f, struct pin *p, const struct ifpin_device *now)
{
	struct ifpin_device was = p->device;
	struct ifp_meta m;
	int r;

	/* Somebody may have changed them since. */
	if (!ifp_meta_of(&f->store, "pin", p->name, &m) && m.id == p->in.id) {
		p->rebind = m.rebind;
		p->abort = m.abort;
	}
	p->device = *now;
	/* New sockets first; whether routing leads there is found out when its addresses are there.
	 */
	r = ifp_pin_hold(&p->in, now);
	if (!r)
		r = ifp_guards_add(&f->guards, now->ifindex);
	if (r) {
		p->device = was;
		tell(f, IFPIN_CHANGE_FAILED, p, "%s is back, but \"%s\" stays closed: %s",
			now->name, p->name, strerrordesc_np(-r) ?: "unknown error");
		return;
	}
	p->there = true;
	f->addresses_changed = true;
	settle_later(f);
	/* As it was written with the hold. */
	p->written = true;
	p->ip4 = 0;
	p->agree[0] = p->agree[1] = false;
	p->came_back = true;
	p->back = (struct ifp_comeback){.cgroup_id = p->in.cgroup_id,
		.netns = f->netns,
		.new_index = now->ifindex,
		.rebind = p->rebind,
		.abort = p->abort};
	p->back_error = rebind(p, &p->back);
}

static void tell_back(struct ifpin_follower *f, struct pin *p, int r)
{
	struct ifpin_change change = {.type = IFPIN_CHANGE_BACK};
	const struct ifp_comeback *c = &p->back;

	change.rebound = c->rebound;
	change.aborted = c->aborted;
	strcpy(change.pin, p->name);
	snprintf(change.text, sizeof(change.text),
		"%s is back with index %u; \"%s\" is open again, %u sockets tied to it, %u connections "
		"aborted",
		p->device.name, p->device.ifindex, p->name, c->rebound, c->aborted);
	f->on_change(f->ctx, &change);
	if (r || c->failed)
		tell(f, IFPIN_CHANGE_FAILED, p,
			"\"%s\": %u sockets could not be tied to %s or aborted%s%s; they stay dead",
			p->name, c->failed, p->device.name, r ? ": " : "",
			r ? strerrordesc_np(-r) ?: "unknown error" : "");
}

/* What is done once for all that have come back, after the sockets of each are tied. */
static void finish_comebacks(struct ifpin_follower *f)
{
	_cleanup_free_ struct ifp_comeback **v = NULL;
	size_t n = 0;
	int r;

	for (size_t i = 0; i < f->n_pins; i++)
		n += f->pins[i].came_back;
	if (!n)
		return;
	v = calloc(n, sizeof(*v));
	n = 0;
	for (size_t i = 0; v && i < f->n_pins; i++)
		if (f->pins[i].came_back)
			v[n++] = &f->pins[i].back;
	r = v ? ifp_comeback_queued(v, n) : -ENOMEM;
	for (size_t i = 0; i < f->n_pins; i++) {
		struct pin *p = &f->pins[i];

		if (!p->came_back)
			continue;
		p->came_back = false;
		/* Last: if we are killed before, the next one finds that the device has come back.
		 */
		tell_back(f, p, p->back_error ?: r ?: write_meta(f, p));
	}
}

static void refuse_heir(struct ifpin_follower *f, struct pin *p, const struct ifpin_device *d)
{
	if (p->told_heir == d->ifindex)
		return;
	p->told_heir = d->ifindex;
	tell(f, IFPIN_CHANGE_REPLACED, p,
		"another device (index %u) has the name %s now; it is not accepted, \"%s\" stays closed",
		d->ifindex, d->name, p->name);
}

static void rename_pin(struct ifpin_follower *f, struct pin *p, const struct ifpin_device *d)
{
	bool renamed = strcmp(p->device.name, d->name) != 0;

	/* While it is watched, an index has one device: whatever changed, it is the same. */
	if (!renamed && ifp_device_same(&p->device, d) && !strcmp(p->device.altnames, d->altnames))
		return;
	if (renamed)
		tell(f, IFPIN_CHANGE_RENAMED, p, "%s is called %s now; \"%s\" stays with it",
			p->device.name, d->name, p->name);
	p->device = *d;
	if (renamed)
		write_value(f, p);
	write_meta(f, p);
}

static int on_link(struct ifpin_follower *f, const struct nlmsghdr *nlh)
{
	struct ifpin_device d;
	bool parsed = false;
	struct ifp_link l;

	if (ifp_link_parse(nlh, &l))
		return 0;
	for (size_t i = 0; i < f->n_pins; i++) {
		struct pin *p = &f->pins[i];

		if (p->there && p->device.ifindex != l.ifindex)
			continue;
		if (l.deleted) {
			if (p->there)
				lose(f, p);
			else if (p->told_heir == l.ifindex)
				p->told_heir = 0;
			continue;
		}
		if (!parsed && ifp_device_parse(nlh, &d))
			return 0;
		parsed = true;
		d.netns = p->device.netns;
		if (p->there)
			rename_pin(f, p, &d);
		else if (ifp_device_returned(&p->device, &d))
			regain(f, p, &d);
		else if (!strcmp(p->device.name, d.name))
			refuse_heir(f, p, &d);
	}
	finish_comebacks(f);
	return 0;
}

/* ---- addresses and routes ---- */

/* Mostly nothing has changed. */
static void write_routes(struct ifpin_follower *f, struct pin *p, const struct ifp_addrs *a)
{
	const struct ifp_guarded *g = ifp_guards_find(&f->guards, p->device.ifindex);
	uint32_t ip4 = ifp_addrs_primary(a, p->device.ifindex);
	bool agree[2] = {g && g->judged && g->agree[0], g && g->judged && g->agree[1]};

	if (p->there && (p->ip4 != ip4 || p->agree[0] != agree[0] || p->agree[1] != agree[1])) {
		p->ip4 = ip4;
		memcpy(p->agree, agree, sizeof(agree));
		p->written = false;
	}
	if (!p->written)
		write_value(f, p);
}

static int settle(struct ifpin_follower *f, bool routes)
{
	struct ifp_addrs a = {};
	int r = ifp_guards_write_addresses(&f->guards, &f->host, &a);

	f->addresses_changed = false;
	if (!r && routes) {
		int64_t start = ifp_now_ms();

		f->settle_at = 0;
		ifp_guards_keep(&f->guards, is_needed, f);
		r = ifp_guards_write_routes(&f->guards, &a, &f->host);
		f->judged_ms = ifp_now_ms() - start;
		for (size_t i = 0; i < f->n_pins; i++)
			write_routes(f, &f->pins[i], &a);
	}
	if (r)
		f->settle_at = ifp_now_ms() + RETRY_MS;
	ifp_addrs_free(&a);
	return r;
}

static void judge_all_anew(struct ifpin_follower *f)
{
	ifp_guards_judge_anew(&f->guards);
	settle_later(f);
}

static int on_message(const struct nlmsghdr *nlh, void *data)
{
	struct ifpin_follower *f = data;

	switch (nlh->nlmsg_type) {
	case RTM_NEWADDR:
	case RTM_DELADDR:
		f->addresses_changed = true;
		judge_all_anew(f);
		return 0;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		if (ifp_guards_on_route(&f->guards, nlh))
			settle_later(f);
		return 0;
	case RTM_NEWRULE:
	case RTM_DELRULE:
		judge_all_anew(f);
		return 0;
	}
	return on_link(f, nlh);
}

/* ---- which pins there are ---- */

struct reading {
	struct ifpin_follower *f;
	struct ifp_sets sets;
	struct pin *v;
	size_t n;
};

static const struct pin *known(const struct ifpin_follower *f, const struct ifp_meta *m)
{
	for (size_t i = 0; i < f->n_pins; i++)
		if (f->pins[i].in.id == m->id && !strcmp(f->pins[i].name, m->name))
			return &f->pins[i];
	return NULL;
}

static int read_pin(const char *name, void *data)
{
	struct reading *r = data;
	const struct pin *old;
	struct ifp_meta m;
	struct pin *p;

	if (ifp_meta_of(&r->f->store, "pin", name, &m) || m.set.netns != r->f->netns)
		return 0; /* detached meanwhile, or not ours to follow */
	if (ifp_grow(&r->v, r->n, sizeof(*r->v)))
		return -ENOMEM;
	p = &r->v[r->n++];
	*p = (struct pin){.device = m.device, .there = true};
	if (ifp_pin_find(&r->sets, &m, &p->in))
		p->in = (struct ifp_pin){.cgroup_id = m.cgroup_id, .id = m.id};
	strcpy(p->name, m.name);
	old = known(r->f, &m);
	if (old) {
		p->device = old->device;
		p->there = old->there;
		p->told_heir = old->told_heir;
		p->written = old->written;
		p->ip4 = old->ip4;
		memcpy(p->agree, old->agree, sizeof(p->agree));
	}
	p->rebind = m.rebind;
	p->abort = m.abort;
	return 0;
}

/* Whether the programs hold the index that the device has. */
static bool is_held(const struct pin *p, uint32_t ifindex)
{
	struct ifpin_pin v;
	uint32_t held;

	return !ifp_pin_read(&p->in, &v) && !ifp_set_held(p->in.set, &v, &held) && held == ifindex;
}

/* What may have been missed: while nobody followed, or while messages were lost. */
static void compare(struct ifpin_follower *f, struct pin *p, const struct ifpin_device *v, size_t n)
{
	struct ifpin_device now;
	enum ifpin_identity identity = ifp_device_find(v, n, &p->device, &now);

	switch (identity) {
	case IFPIN_SAME:
	case IFPIN_RENAMED:
		if (p->there && is_held(p, now.ifindex)) {
			rename_pin(f, p, &now);
			break;
		}
		/* Gone and back with its old index. */
		__attribute__((fallthrough));
	case IFPIN_BACK:
		if (p->there)
			lose(f, p);
		regain(f, p, &now);
		break;
	default:
		if (p->there)
			lose(f, p);
		if (identity == IFPIN_REPLACED && !strcmp(now.name, p->device.name))
			refuse_heir(f, p, &now);
	}
}

static int resync(struct ifpin_follower *f)
{
	_cleanup_free_ struct ifpin_device *v = NULL;
	size_t n = 0;
	int r = ifp_device_list_on(f->ask, f->changes, &v, &n);

	for (size_t i = 0; i < f->n_pins && !r; i++) {
		compare(f, &f->pins[i], v, n);
		if (f->pins[i].there)
			r = ifp_guards_add(&f->guards, f->pins[i].device.ifindex);
	}
	finish_comebacks(f);
	judge_all_anew(f);
	return r;
}

static int reload(struct ifpin_follower *f, struct ifpin_error *err)
{
	struct reading rd = {.f = f, .sets.store = &f->store};
	int r = ifp_store_each(&f->store, "pin", read_pin, &rd);

	if (r) {
		ifp_sets_close(&rd.sets);
		free(rd.v);
		return ifp_fail_errno(err, r, "cannot list the confinements");
	}
	free(f->pins);
	ifp_sets_close(&f->sets);
	f->sets = rd.sets;
	f->pins = rd.v;
	f->n_pins = rd.n;
	r = resync(f);
	if (!r)
		r = settle(f, true);
	return r ? ifp_fail_errno(err, r, "cannot bring the confinements up to date") : 0;
}

int ifpin_follower_reload(struct ifpin_follower *f, struct ifpin_error *ret_error)
{
	return reload(f, ret_error);
}

static bool folder_changed(struct ifpin_follower *f)
{
	char buf[4096];
	bool any = false;

	while (read(f->inotify, buf, sizeof(buf)) > 0)
		any = true;
	return any;
}

int ifpin_follower_step(struct ifpin_follower *f, struct ifpin_error *ret_error)
{
	int r = ifp_nl_drain(f->events, on_message, f);

	if (r == -ENOBUFS) {
		/* What is still queued is older than what is lost. */
		ifp_nl_flush(f->events);
		tell(f, IFPIN_CHANGE_RESYNCED, NULL,
			"messages of the kernel were lost; all devices are looked at anew");
		f->pins_changed = true;
	} else if (r) {
		return ifp_fail_errno(ret_error, r, "cannot read messages of the kernel");
	}
	if (folder_changed(f) || f->pins_changed) {
		r = reload(f, ret_error);
		f->pins_changed = r != 0;
		return r;
	}
	r = 0;
	if (f->settle_at && f->settle_at <= ifp_now_ms())
		r = settle(f, true);
	else if (f->addresses_changed)
		r = settle(f, false);
	return r ? ifp_fail_errno(ret_error, r, "cannot read the host's addresses and routes") : 0;
}

int ifpin_follower_fd(const struct ifpin_follower *f)
{
	return f->epoll;
}

int ifpin_follower_timeout(const struct ifpin_follower *f)
{
	int64_t left = f->settle_at - ifp_now_ms();

	if (f->pins_changed)
		return 1000; /* what could not be read is tried again */
	if (!f->settle_at)
		return -1;
	return left > 0 ? (int)left : 0;
}

void ifpin_follower_close(struct ifpin_follower *f)
{
	if (!f)
		return;
	ifp_nl_closep(&f->events);
	ifp_nl_closep(&f->ask);
	ifp_nl_closep(&f->changes);
	ifp_closep(&f->epoll);
	ifp_closep(&f->inotify);
	ifp_closep(&f->mark);
	ifp_store_closep(&f->store);
	ifp_host_maps_close(&f->host);
	ifp_guards_free(&f->guards);
	ifp_sets_close(&f->sets);
	free(f->pins);
	free(f);
}

static void closep(struct ifpin_follower **f)
{
	ifpin_follower_close(*f);
}

static int watch_fd(struct ifpin_follower *f, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

/* Events first, then the state: what changes in between is heard twice, never missed. */
static int listen_first(struct ifpin_follower *f)
{
	int room = 8 << 20, fd,
	    r = ifp_nl_listen(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
				      RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE |
				      GROUP(RTNLGRP_IPV4_RULE) | GROUP(RTNLGRP_IPV6_RULE),
		    &f->events);

	if (!r)
		r = ifp_nl_open(NETLINK_ROUTE, &f->ask);
	if (!r)
		r = ifp_changes_open(&f->changes);
	if (r)
		return r;
	fd = mnl_socket_get_fd(f->events);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	f->epoll = epoll_create1(EPOLL_CLOEXEC);
	f->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (f->epoll < 0 || f->inotify < 0 ||
		inotify_add_watch(f->inotify, f->store.path, FOLDER_EVENTS) < 0)
		return -errno;
	return watch_fd(f, fd) ?: watch_fd(f, f->inotify);
}

int ifpin_follower_open(void (*on_change)(void *ctx, const struct ifpin_change *change), void *ctx,
	struct ifpin_follower **ret_follower, struct ifpin_error *ret_error)
{
	_cleanup_(closep) struct ifpin_follower *f = calloc(1, sizeof(*f));
	struct ifp_store lock = {.fd = -1};
	int r;

	if (!f)
		return ifp_fail(ret_error, -ENOMEM, "out of memory");
	f->on_change = on_change;
	f->ctx = ctx;
	f->store.fd = f->epoll = f->inotify = f->mark = -1;
	f->host = (struct ifp_host_maps){.host_fd = -1, .addrs = -1, .ways = -1};
	r = ifp_own_netns(&f->netns);
	if (r)
		return ifp_fail_errno(
			ret_error, r, "the kernel does not tell network namespaces apart");
	/* Makes the folder and the maps where there are none yet. */
	r = ifp_store_lock(&lock, ret_error);
	if (!r)
		r = ifp_store_host(&lock, f->netns, true, &f->host, ret_error);
	ifp_store_closep(&lock);
	if (!r)
		r = ifp_store_open(&f->store, ret_error);
	if (r)
		return r;
	r = listen_first(f);
	if (r)
		return ifp_fail_errno(ret_error, r, "cannot listen to changes of devices");
	r = reload(f, ret_error);
	if (r)
		return r;
	f->mark = ifp_follow_mark(&f->store, f->netns);
	if (f->mark < 0)
		return ifp_fail_errno(
			ret_error, f->mark, "cannot let others know that somebody follows");
	*ret_follower = f;
	f = NULL;
	return 0;
}
