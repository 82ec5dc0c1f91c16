// SPDX-License-Identifier: MIT
/*
 * Hears what the programs of confinements tell: one buffer for all of them, in a slot that is ours.
 * What they only count is compared with what was counted before, a second after something came.
 */
#include "denied.h"
#include "run_tell.h"
#include "watch.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <time.h>

/* More than what one confinement may tell in five seconds. */
#define BUFFER_SIZE (1U << 20)
/* After so many the counters and the folder have their turn. */
#define EVENTS_AT_ONCE 4096
#define COUNT_EVERY_MS 1000
#define FOLDER_EVENTS (IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE)

static int64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static int64_t now_ms(void)
{
	return now_ns(CLOCK_MONOTONIC) / 1000000;
}

void ifp_watch_count_later(struct ifpin_watcher *w)
{
	if (!w->count_at)
		w->count_at = now_ms() + COUNT_EVERY_MS;
}

/* ---- what was only counted ---- */

static void tell_burst(struct ifpin_watcher *w, const struct ifp_watched *p, uint32_t reason,
	uint64_t count, bool lost)
{
	struct ifpin_burst b = {.count = count, .lost = lost};

	strcpy(b.pin, p->name);
	if (!lost) {
		b.reason = ifp_reason_name(reason);
		b.text = ifp_reason_text(reason);
	}
	w->on_burst(w->ctx, &b);
}

/* Return: 0; -ENOENT: it has ended; -errno. */
int ifp_watch_counts(const struct ifp_watched *p, struct ifpin_denials *ret)
{
	struct ifpin_denials of_lsm;

	if (bpf_map_lookup_elem(p->set ? p->set->denied : p->denied, &p->id, ret))
		return -errno;
	if (!p->lsm || ifp_lsm_teller_counts(p->lsm, p->cgroup_id, p->id, &of_lsm))
		return 0;
	for (uint32_t i = 0; i < IFPIN_REASON_COUNT; i++)
		ret->untold[i] += of_lsm.untold[i];
	for (uint32_t i = 0; i < IFPIN_WATCHERS; i++)
		ret->lost[i] += of_lsm.lost[i];
	return 0;
}

/* Return: whether there was anything to tell. */
bool ifp_watch_compare(struct ifpin_watcher *w, struct ifp_watched *p)
{
	struct ifpin_denials now;
	bool any = false;
	uint64_t lost;

	/* What has ended took with it what it counted last. */
	if (ifp_watch_counts(p, &now))
		return false;
	lost = now.lost[w->slot.n];
	/* Less: its cgroup is gone, and what BPF LSM has counted went with it. */
	if (lost > p->lost) {
		tell_burst(w, p, 0, lost - p->lost, true);
		p->lost = lost;
		any = true;
	}
	for (uint32_t i = 0; i < IFPIN_REASON_COUNT; i++) {
		if (now.untold[i] <= p->untold[i])
			continue;
		tell_burst(w, p, i, now.untold[i] - p->untold[i], false);
		p->untold[i] = now.untold[i];
		any = true;
	}
	return any;
}

/*
 * Whatever is counted and not told has something before it that was told, less than a second ago.
 * So the last look is at least a second after the last event.
 */
static void look_at_counts(struct ifpin_watcher *w)
{
	bool any = w->recent;

	if (!w->count_at || now_ms() < w->count_at)
		return;
	w->count_at = 0;
	w->recent = false;
	for (size_t i = 0; i < w->n; i++)
		if (ifp_watch_compare(w, &w->v[i]))
			any = true;
	ifp_heard_drop_ended(w);
	if (any)
		ifp_watch_count_later(w);
}

/* ---- events ---- */

static void device_name(uint32_t ifindex, char ret[IF_NAMESIZE])
{
	if (!if_indextoname(ifindex, ret))
		*ret = 0;
}

/* An index of another network namespace is that of another device here. */
static void no_name(uint32_t ifindex, char ret[IF_NAMESIZE])
{
	(void)ifindex;
	*ret = 0;
}

/* Asked for once: what is not known later is a command that has ended, or none of our affair. */
static bool is_stranger(struct ifpin_watcher *w, uint32_t id)
{
	for (size_t i = 0; i < ARRAY_SIZE(w->strangers); i++)
		if (w->strangers[i] == id)
			return true;
	w->strangers[w->n_strangers++ % ARRAY_SIZE(w->strangers)] = id;
	return false;
}

/* Return: whether it is to be told. */
static bool who_was_it(struct ifpin_watcher *w, uint32_t id, char ret_name[IFPIN_PIN_NAME_SIZE],
	bool *ret_own_netns)
{
	const struct ifp_watched *p = ifp_heard_by_id(w, id);

	/* One that is new, and of which the folder has not told us yet. */
	if (!p && !is_stranger(w, id)) {
		ifp_heard_refresh(w);
		ifp_heard_refresh_runs(w);
		p = ifp_heard_by_id(w, id);
	}
	if (p) {
		strcpy(ret_name, p->name);
		*ret_own_netns = p->own_netns;
		return true;
	}
	*ret_own_netns = true;
	return !*w->only && !ifp_run_name(w->names, id, ret_name);
}

static int on_event(void *ctx, void *data, size_t size)
{
	struct ifpin_watcher *w = ctx;
	char name[IFPIN_PIN_NAME_SIZE];
	struct ifpin_denial_event ev;
	struct ifpin_denied d;
	bool own_netns;

	if (ifp_denied_parse(data, size, &ev))
		return 0;
	if (who_was_it(w, ev.id, name, &own_netns)) {
		ifp_denied_fill(&ev, own_netns ? device_name : no_name, w->offset_ns, &d);
		strcpy(d.pin, name);
		w->on_denied(w->ctx, &d);
		w->recent = true;
		ifp_watch_count_later(w);
	}
	return ++w->heard < EVENTS_AT_ONCE ? 0 : -EAGAIN;
}

/* ---- steps ---- */

/* Return: how many bytes of messages of inotify there are; 0: none; -errno. */
static ssize_t read_folder(struct ifpin_watcher *w, char *buf, size_t size)
{
	ssize_t n = read(w->inotify, buf, size);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return n;
}

static int apply_folder(struct ifpin_watcher *w, const char *buf, ssize_t len)
{
	char name[IFPIN_PIN_NAME_SIZE];
	int r = 0;

	/* With the last confinement its programs may have gone, and others come with another one.
	 */
	if (len)
		ifp_sets_check(&w->sets);
	for (ssize_t at = 0; at < len;) {
		const struct inotify_event *e = (const void *)(buf + at);

		if (e->mask & IN_Q_OVERFLOW)
			return ifp_heard_refresh(w);
		if (e->len && !ifp_store_name(e->name, "pin", name))
			ifp_heard_refresh_pin(name, w);
		if (e->len && e->mask & IN_MOVED_TO && !ifp_store_name(e->name, "lsm", name))
			r = ifp_heard_lsm(name, w);
		if (r)
			return r;
		at += (ssize_t)(sizeof(*e) + e->len);
	}
	return 0;
}

int ifpin_watcher_step(struct ifpin_watcher *w, struct ifpin_error *ret_error)
{
	_Alignas(struct inotify_event) char buf[4096];
	ssize_t len = read_folder(w, buf, sizeof(buf));
	int r;

	if (len < 0)
		return ifp_fail_errno(
			ret_error, (int)len, "cannot hear which confinements come and go");
	/* What is gone has told all by now: hear it before it is forgotten. */
	w->offset_ns = (uint64_t)(now_ns(CLOCK_REALTIME) - now_ns(CLOCK_MONOTONIC));
	w->heard = 0;
	r = ring_buffer__consume(w->ring);
	if (r < 0 && r != -EAGAIN)
		return ifp_fail_errno(ret_error, r, "cannot read what was denied");
	r = apply_folder(w, buf, len);
	if (r)
		return ifp_fail_errno(ret_error, r, "cannot list the confinements");
	ifp_heard_drop_sets(w);
	look_at_counts(w);
	r = w->failed.code;
	if (r) {
		if (ret_error)
			*ret_error = w->failed;
		w->failed.code = 0;
	}
	return r;
}

int ifpin_watcher_fd(const struct ifpin_watcher *w)
{
	return w->epoll;
}

int ifpin_watcher_timeout(const struct ifpin_watcher *w)
{
	int64_t left = w->count_at - now_ms();

	if (w->failed.code)
		return 0;
	if (!w->count_at)
		return -1;
	return left > 0 ? (int)left : 0;
}

/* ---- from the beginning to the end ---- */

void ifpin_watcher_close(struct ifpin_watcher *w)
{
	if (!w)
		return;
	ifp_heard_close(w);
	ring_buffer__free(w->ring);
	ifp_closep(&w->buffer);
	ifp_closep(&w->names);
	ifp_closep(&w->epoll);
	ifp_closep(&w->inotify);
	ifp_closep(&w->slot.fd);
	ifp_store_closep(&w->store);
	free(w);
}

static void closep(struct ifpin_watcher **w)
{
	ifpin_watcher_close(*w);
}

static int open_buffer(struct ifpin_watcher *w)
{
	w->buffer = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ifpin_watch", 0, 0, BUFFER_SIZE, NULL);
	if (w->buffer < 0)
		return -errno;
	w->ring = ring_buffer__new(w->buffer, on_event, w, NULL);
	return w->ring ? 0 : -errno;
}

static int watch_fd(struct ifpin_watcher *w, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

/* Events first, then the state: what changes in between is heard twice, never missed. */
static int listen_first(struct ifpin_watcher *w)
{
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	w->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->epoll < 0 || w->inotify < 0 ||
		inotify_add_watch(w->inotify, w->store.path, FOLDER_EVENTS) < 0)
		return -errno;
	return watch_fd(w, w->inotify) ?: watch_fd(w, w->buffer);
}

/* Where those that begin later look for us, and leave their names. */
static int make_room_for_commands(struct ifpin_watcher *w, struct ifpin_error *err)
{
	struct ifp_host_maps maps;
	int r = ifp_store_host(&w->store, w->netns, true, &maps, err);

	if (r)
		return r;
	ifp_host_maps_close(&maps);
	w->names = ifp_run_names(&w->store, w->netns, true);
	return w->names < 0 ? ifp_fail_errno(err, w->names, "cannot make a map of names") : 0;
}

/*
 * Makes the folder where there is none yet, for one that is attached later is to be heard. Locked
 * as long as it takes to find a slot, for all free ones are taken meanwhile.
 */
static int take_slot(struct ifpin_watcher *w, struct ifpin_error *err)
{
	_cleanup_(ifp_store_closep) struct ifp_store lock = {.fd = -1};
	int r = ifp_own_netns(&w->netns);

	if (r)
		return ifp_fail_errno(err, r, "the kernel does not tell network namespaces apart");
	r = ifp_store_lock(&lock, err);
	if (!r)
		r = ifp_store_open(&w->store, err);
	if (r)
		return r;
	r = make_room_for_commands(w, err);
	if (r)
		return r;
	r = ifp_slot_take(&w->store, &w->slot);
	if (r == -EUSERS)
		return ifp_fail(err, r, "%d are watching already, and no more can", IFPIN_WATCHERS);
	return r ? ifp_fail_errno(err, r, "cannot remove what killed ones who watched left") : 0;
}

static int begin(struct ifpin_watcher *w, struct ifpin_error *err)
{
	int r = take_slot(w, err);

	if (r)
		return r;
	r = open_buffer(w);
	if (!r)
		r = listen_first(w);
	if (!r)
		r = ifp_store_each(&w->store, "lsm", ifp_heard_lsm, w);
	if (!r)
		r = ifp_heard_those_to_come(w);
	if (!r)
		r = ifp_heard_refresh(w);
	if (!r)
		r = ifp_heard_refresh_runs(w);
	if (r)
		return ifp_fail_errno(err, r, "cannot begin to watch");
	w->begun = true;
	if (*w->only && w->failed.code) {
		if (err)
			*err = w->failed;
		return w->failed.code;
	}
	if (*w->only && !w->n)
		return ifp_fail(err, -ENOENT, "no confinement is called \"%s\"", w->only);
	return 0;
}

int ifpin_watcher_open(const char *name,
	void (*on_denied)(void *ctx, const struct ifpin_denied *denied),
	void (*on_burst)(void *ctx, const struct ifpin_burst *burst), void *ctx,
	struct ifpin_watcher **ret_watcher, struct ifpin_error *ret_error)
{
	_cleanup_(closep) struct ifpin_watcher *w = NULL;
	int r = name ? ifp_name_check(name, ret_error) : 0;

	if (r)
		return r;
	w = calloc(1, sizeof(*w));
	if (!w)
		return ifp_fail(ret_error, -ENOMEM, "out of memory");
	w->on_denied = on_denied;
	w->on_burst = on_burst;
	w->ctx = ctx;
	w->sets.store = &w->store;
	w->store.fd = w->slot.fd = w->epoll = w->inotify = w->buffer = w->names = -1;
	if (name)
		strcpy(w->only, name);
	r = begin(w, ret_error);
	if (r)
		return r;
	*ret_watcher = w;
	w = NULL;
	return 0;
}
