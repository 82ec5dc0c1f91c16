// SPDX-License-Identifier: MIT
/*
 * Hears what the programs of confinements tell: one buffer for all of them, in a slot that is ours.
 * What they only count is compared with what was counted before, a second after something came.
 */
#include "denied.h"
#include "lsm_tell.h"
#include "pins.h"
#include "run_tell.h"
#include "runs.h"
#include "slots.h"

#include "host/cgroup.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <time.h>

/* More than what one confinement may tell in five seconds. */
#define BUFFER_SIZE (1U << 20)
/* After so many the counters and the folder have their turn. */
#define EVENTS_AT_ONCE 4096
#define COUNT_EVERY_MS 1000
/* Each lets go of 13 programs: see ifp_store_wait_for_frees(). */
#define MADE_TELL_AT_ONCE 32
#define FOLDER_EVENTS (IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE)

/* One that is heard. */
struct watched {
	char name[IFPIN_PIN_NAME_SIZE];
	uint32_t id;
	bool own_netns;
	const struct ifp_set *set; /* NULL: it is a command that runs, and these are its own: */
	int pins, denied;
	int watchers; /* -1: that of its network namespace */
	struct ifpin_host *host;
	uint64_t cgroup_id;
	const struct ifp_lsm_teller *lsm;	   /* NULL: nothing of BPF LSM is on its cgroup */
	uint64_t untold[IFPIN_REASON_SLOTS], lost; /* as they were told last */
};

/* What all of a network namespace share. */
struct shared {
	uint64_t netns;
	int watchers;
	uint32_t watchers_id;
	struct ifp_host_maps host;
};

struct ifpin_watcher {
	void (*on_denied)(void *ctx, const struct ifpin_denied *denied);
	void (*on_burst)(void *ctx, const struct ifpin_burst *burst);
	void *ctx;
	char only[IFPIN_PIN_NAME_SIZE]; /* or empty */
	struct ifp_store store;
	struct ifp_slot slot;
	uint64_t netns;
	int epoll, inotify, buffer, names;
	struct ring_buffer *ring;
	struct ifp_sets sets;
	struct watched *v;
	size_t n;
	struct shared *shared;
	size_t n_shared;
	struct ifp_lsm_teller **lsm; /* of each build one, as a rule */
	size_t n_lsm;
	int64_t count_at; /* 0: nothing can have been counted */
	bool recent;	  /* whether something was told since the last look at the counts */
	uint64_t offset_ns;
	unsigned int heard; /* in this step */
	bool looked;	    /* for one that is new, in this step */
	bool begun;	    /* a command that is new has begun since */
	unsigned int made_tell;
	struct ifpin_error failed;
};

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

static void count_later(struct ifpin_watcher *w)
{
	if (!w->count_at)
		w->count_at = now_ms() + COUNT_EVERY_MS;
}

/* ---- what was only counted ---- */

static void drop_ended(struct ifpin_watcher *w);

static void tell_burst(struct ifpin_watcher *w, const struct watched *p, uint32_t reason,
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
static int read_counts(const struct watched *p, struct ifpin_denials *ret)
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
static bool compare_counts(struct ifpin_watcher *w, struct watched *p)
{
	struct ifpin_denials now;
	bool any = false;
	uint64_t lost;

	/* What has ended took with it what it counted last. */
	if (read_counts(p, &now))
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
		if (compare_counts(w, &w->v[i]))
			any = true;
	drop_ended(w);
	if (any)
		count_later(w);
}

/* ---- events ---- */

static int refresh_all(struct ifpin_watcher *w);
static int refresh_runs(struct ifpin_watcher *w);

static struct watched *by_id(struct ifpin_watcher *w, uint32_t id)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->v[i].id == id)
			return &w->v[i];
	return NULL;
}

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

/* Return: whether it is to be told. */
static bool who_was_it(struct ifpin_watcher *w, uint32_t id, char ret_name[IFPIN_PIN_NAME_SIZE],
	bool *ret_own_netns)
{
	const struct watched *p = by_id(w, id);

	/* One that is new, and of which the folder has not told us yet. */
	if (!p && !w->looked) {
		w->looked = true;
		refresh_all(w);
		refresh_runs(w);
		p = by_id(w, id);
	}
	if (p) {
		strcpy(ret_name, p->name);
		*ret_own_netns = p->own_netns;
		return true;
	}
	/* A command that has ended since. */
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
		count_later(w);
	}
	return ++w->heard < EVENTS_AT_ONCE ? 0 : -EAGAIN;
}

/* ---- which are heard ---- */

static void hear_nothing(struct ifpin_watcher *w, struct ifpin_host *host)
{
	__atomic_fetch_and(&host->watching, ~(1ULL << w->slot.n), __ATOMIC_SEQ_CST);
}

/* id: of the one that is to be heard; 0: all. */
static void hear(struct ifpin_watcher *w, struct ifpin_host *host, uint32_t id)
{
	__atomic_store_n(&host->only[w->slot.n], id, __ATOMIC_SEQ_CST);
	__atomic_fetch_or(&host->watching, 1ULL << w->slot.n, __ATOMIC_SEQ_CST);
}

/* Takes one over. Return: 0; -ENOMEM; errno of the slot; and then it is closed. */
static int keep_lsm(
	struct ifpin_watcher *w, struct ifp_lsm_teller *lsm, const struct ifp_lsm_teller **ret)
{
	struct ifp_lsm_teller *kept;
	int r = -ENOMEM;

	for (size_t i = 0; i < w->n_lsm; i++)
		if (w->lsm[i]->id == lsm->id) {
			ifp_lsm_teller_close(lsm);
			*ret = w->lsm[i];
			return 0;
		}
	kept = malloc(sizeof(*kept));
	if (kept && !ifp_grow(&w->lsm, w->n_lsm, sizeof(*w->lsm)))
		r = ifp_slot_fill(&w->slot, lsm->watchers, w->buffer);
	if (r) {
		ifp_lsm_teller_close(lsm);
		free(kept);
		return r;
	}
	*kept = *lsm;
	w->lsm[w->n_lsm++] = kept;
	*ret = kept;
	return 0;
}

/* What is on the cgroup of one. Return: 0, also if there is nothing; -errno. */
static int find_lsm(struct ifpin_watcher *w, int cgroup_fd, struct watched *p)
{
	struct ifp_lsm_teller lsm;
	int r = ifp_lsm_teller_of(cgroup_fd, &lsm);

	if (r)
		return r == -ENOENT ? 0 : r;
	return keep_lsm(w, &lsm, &p->lsm);
}

static int find_lsm_at(struct ifpin_watcher *w, const char *cgroup, struct watched *p)
{
	_cleanup_close_ int root = ifp_cgroup_root(), fd = -1;
	uint64_t id;

	if (root < 0)
		return root;
	fd = openat(root, cgroup[1] ? cgroup + 1 : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Gone, or hidden: then its programs tell nothing, or what they tell is not counted here.
	 */
	if (fd < 0 || ifp_cgroup_id(fd, &id) || id != p->cgroup_id)
		return 0;
	return find_lsm(w, fd, p);
}

/* Those in bpffs serve whoever comes later, who is so heard from the beginning. */
static int hear_kept_lsm(const char *name, void *data)
{
	struct ifpin_watcher *w = data;
	const struct ifp_lsm_teller *kept;
	struct ifp_lsm_teller lsm;
	int r = ifp_lsm_teller_kept(&w->store, name, &lsm);

	r = r ?: keep_lsm(w, &lsm, &kept);
	if (!r && !*w->only)
		hear(w, kept->host, 0);
	return r == -ENOENT ? 0 : r;
}

static void let_go(struct ifpin_watcher *w, struct watched *p)
{
	if (p->set)
		return;
	hear_nothing(w, p->host);
	ifp_host_unmap(&p->host);
	if (p->watchers >= 0)
		ifp_slot_empty(w->slot.n, p->watchers);
	ifp_closep(&p->watchers);
	ifp_closep(&p->denied);
	ifp_closep(&p->pins);
}

static void drop(struct ifpin_watcher *w, size_t i)
{
	struct watched *p = &w->v[i];

	compare_counts(w, p);
	let_go(w, p);
	memmove(p, p + 1, (w->n - i - 1) * sizeof(*p));
	w->n--;
}

static void shared_close(struct shared *s)
{
	ifp_closep(&s->watchers);
	ifp_host_maps_close(&s->host);
}

/* Return: 0; -ENOMEM; errno of the maps. */
static int find_shared(struct ifpin_watcher *w, uint64_t netns, struct shared **ret)
{
	struct shared new = {.netns = netns};
	int r;

	for (size_t i = 0; i < w->n_shared; i++)
		if (w->shared[i].netns == netns) {
			*ret = &w->shared[i];
			return 0;
		}
	if (ifp_grow(&w->shared, w->n_shared, sizeof(*w->shared)))
		return -ENOMEM;
	r = ifp_store_host(&w->store, netns, false, &new.host, NULL);
	if (r)
		return r;
	new.watchers = ifp_store_watchers(&w->store, netns);
	r = new.watchers < 0 ? new.watchers : ifp_map_id(new.watchers, &new.watchers_id);
	r = r ?: ifp_slot_fill(&w->slot, new.watchers, w->buffer);
	if (r) {
		shared_close(&new);
		return r;
	}
	w->shared[w->n_shared] = new;
	*ret = &w->shared[w->n_shared++];
	return 0;
}

static int make_room(struct ifpin_watcher *w)
{
	return ifp_grow(&w->v, w->n, sizeof(*w->v));
}

/* There is room, and our buffer is in its slot. Return: 0; -ENOENT: it is gone; -errno. */
static int begin_to_hear(
	struct ifpin_watcher *w, struct watched *p, const char *name, struct ifpin_host *host)
{
	struct ifpin_denials now;
	int r = read_counts(p, &now);

	if (r)
		return r;
	strcpy(p->name, name);
	/* What a command has counted that began since we watch is all ours to tell. */
	if (p->set || !w->begun) {
		memcpy(p->untold, now.untold, sizeof(p->untold));
		p->lost = now.lost[w->slot.n];
	}
	hear(w, host, *w->only ? p->id : 0);
	if (p->lsm)
		hear(w, p->lsm->host, *w->only ? p->id : 0);
	w->v[w->n++] = *p;
	/* It may be in the midst of a burst of which nobody here was told. */
	count_later(w);
	return 0;
}

static bool is_watched(const struct ifp_set *set, void *data)
{
	const struct ifpin_watcher *w = data;

	for (size_t i = 0; i < w->n; i++)
		if (w->v[i].set == set)
			return true;
	return false;
}

static int add(struct ifpin_watcher *w, const char *name, const struct ifp_meta *m)
{
	struct watched p = {.id = m->id,
		.cgroup_id = m->cgroup_id,
		.own_netns = m->set.netns == w->netns,
		.pins = -1,
		.denied = -1,
		.watchers = -1};
	struct shared *shared;
	int r = find_shared(w, m->set.netns, &shared) ?: make_room(w);

	r = r ?: ifp_sets_find(&w->sets, &m->set, &p.set);
	r = r ?: find_lsm_at(w, m->cgroup, &p);
	return r ?: begin_to_hear(w, &p, name, shared->host.host);
}

/* Return: whether a map of watchers is that of all in a network namespace, in which we are. */
static bool is_shared(struct ifpin_watcher *w, const struct ifp_run *run)
{
	struct shared *shared;
	uint32_t id;

	return !find_shared(w, run->maps.is.netns_cookie, &shared) &&
	       !ifp_map_id(run->maps.watchers, &id) && id == shared->watchers_id;
}

/* Its programs that tell take the place of those that do not. */
static int make_tell(struct ifpin_watcher *w, const struct ifp_run *run)
{
	int r = run->maps.is.tells ? 0 : ifp_run_tell(run->cgroup_fd, run->maps.pins, -1);

	if (!r && !run->maps.is.tells && !(++w->made_tell % MADE_TELL_AT_ONCE))
		ifp_store_wait_for_frees();
	return r;
}

static int begin_to_hear_run(struct ifpin_watcher *w, const struct ifp_run *run)
{
	struct watched p = {.id = run->value.id,
		.cgroup_id = run->in.cgroup_id,
		.own_netns = run->maps.is.netns_cookie == w->netns,
		.watchers = -1};
	bool shared = is_shared(w, run);
	int r = make_room(w) ?: ifp_host_map(run->maps.host, &p.host);

	if (r)
		return r;
	p.pins = fcntl(run->set.pins, F_DUPFD_CLOEXEC, 0);
	p.denied = fcntl(run->set.denied, F_DUPFD_CLOEXEC, 0);
	if (!shared)
		p.watchers = fcntl(run->maps.watchers, F_DUPFD_CLOEXEC, 0);
	r = p.pins < 0 || p.denied < 0 || (!shared && p.watchers < 0) ? -errno : 0;
	r = r ?: find_lsm(w, run->cgroup_fd, &p);
	if (!r && !shared)
		r = ifp_slot_fill(&w->slot, p.watchers, w->buffer);
	r = r ?: begin_to_hear(w, &p, run->name, p.host);
	if (r)
		let_go(w, &p);
	return r;
}

static void note(struct ifpin_watcher *w, const char *name, int r)
{
	if (r == -EPROTO)
		ifp_fail(&w->failed, r,
			"cannot watch \"%s\", which another version of ifpin has made", name);
	else if (r)
		ifp_fail_errno(&w->failed, r, "cannot watch \"%s\"", name);
}

/* One that is not in force yet looks for us when it is. */
static int add_run(const struct ifp_run *run, void *data)
{
	struct ifpin_watcher *w = data;
	int r;

	if (!run->value.armed || (*w->only && strcmp(w->only, run->name) != 0) ||
		by_id(w, run->value.id))
		return 0;
	r = make_tell(w, run) ?: begin_to_hear_run(w, run);
	if (r != -ENOENT)
		note(w, run->name, r);
	return 0;
}

/* The storage of a cgroup goes with it. */
static bool has_ended(const struct watched *p)
{
	struct ifpin_pin pin;

	return !p->set && bpf_map_lookup_elem(p->pins, &p->cgroup_id, &pin) && errno == ENOENT;
}

static void drop_ended(struct ifpin_watcher *w)
{
	for (size_t i = w->n; i-- > 0;)
		if (has_ended(&w->v[i]))
			drop(w, i);
}

static int refresh_runs(struct ifpin_watcher *w)
{
	drop_ended(w);
	return ifp_runs_each(add_run, w);
}

/* Brings what is heard of a name to what is there. Return: 0, also if it is gone; -errno. */
static int refresh(struct ifpin_watcher *w, const char *name)
{
	struct ifp_meta m;
	int r;

	if (*w->only && strcmp(w->only, name) != 0)
		return 0;
	r = ifp_meta_of(&w->store, "pin", name, &m);
	for (size_t i = 0; i < w->n; i++) {
		if (!w->v[i].set || strcmp(w->v[i].name, name) != 0)
			continue;
		if (!r && w->v[i].id == m.id)
			return 0;
		drop(w, i);
		break;
	}
	r = r ?: add(w, name, &m);
	return r == -ENOENT ? 0 : r;
}

/* One that cannot be heard does not keep the others from being heard. */
static int refresh_and_note(const char *name, void *data)
{
	struct ifpin_watcher *w = data;

	note(w, name, refresh(w, name));
	return 0;
}

static int refresh_all(struct ifpin_watcher *w)
{
	for (size_t i = w->n; i-- > 0;) {
		char name[IFPIN_PIN_NAME_SIZE];

		if (!w->v[i].set)
			continue;
		strcpy(name, w->v[i].name);
		refresh_and_note(name, w);
	}
	return *w->only ? refresh_and_note(w->only, w)
			: ifp_store_each(&w->store, "pin", refresh_and_note, w);
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
			return refresh_all(w);
		if (e->len && !ifp_store_name(e->name, "pin", name))
			refresh_and_note(name, w);
		if (e->len && e->mask & IN_MOVED_TO && !ifp_store_name(e->name, "lsm", name))
			r = hear_kept_lsm(name, w);
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
	w->looked = false;
	r = ring_buffer__consume(w->ring);
	if (r < 0 && r != -EAGAIN)
		return ifp_fail_errno(ret_error, r, "cannot read what was denied");
	r = apply_folder(w, buf, len);
	if (r)
		return ifp_fail_errno(ret_error, r, "cannot list the confinements");
	ifp_sets_drop_stale(&w->sets, is_watched, w);
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
	for (size_t i = 0; i < w->n; i++)
		let_go(w, &w->v[i]);
	for (size_t i = 0; i < w->n_shared; i++) {
		hear_nothing(w, w->shared[i].host.host);
		ifp_slot_empty(w->slot.n, w->shared[i].watchers);
		shared_close(&w->shared[i]);
	}
	for (size_t i = 0; i < w->n_lsm; i++) {
		hear_nothing(w, w->lsm[i]->host);
		ifp_slot_empty(w->slot.n, w->lsm[i]->watchers);
		ifp_lsm_teller_close(w->lsm[i]);
		free(w->lsm[i]);
	}
	free(w->lsm);
	ifp_sets_close(&w->sets);
	ring_buffer__free(w->ring);
	ifp_closep(&w->buffer);
	ifp_closep(&w->names);
	ifp_closep(&w->epoll);
	ifp_closep(&w->inotify);
	ifp_closep(&w->slot.fd);
	ifp_store_closep(&w->store);
	free(w->v);
	free(w->shared);
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

/* Commands look for us here when they begin. */
static int hear_those_to_come(struct ifpin_watcher *w)
{
	struct shared *shared;
	int r = find_shared(w, w->netns, &shared);

	if (!r && !*w->only)
		hear(w, shared->host.host, 0);
	return r;
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
		r = ifp_store_each(&w->store, "lsm", hear_kept_lsm, w);
	if (!r)
		r = hear_those_to_come(w);
	if (!r)
		r = refresh_all(w);
	if (!r)
		r = refresh_runs(w);
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
