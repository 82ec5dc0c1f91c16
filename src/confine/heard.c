// SPDX-License-Identifier: MIT
/* Which confinements one who watches hears, and what it has in the kernel for that. */
#include "pins.h"
#include "run_tell.h"
#include "watch.h"

#include "host/cgroup.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* Each lets go of 13 programs: see ifp_store_wait_for_frees(). */
#define MADE_TELL_AT_ONCE 32

struct ifp_watched *ifp_heard_by_id(struct ifpin_watcher *w, uint32_t id)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->v[i].id == id)
			return &w->v[i];
	return NULL;
}

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
static int find_lsm(struct ifpin_watcher *w, int cgroup_fd, struct ifp_watched *p)
{
	struct ifp_lsm_teller lsm;
	int r = ifp_lsm_teller_of(cgroup_fd, &lsm);

	if (r)
		return r == -ENOENT ? 0 : r;
	return keep_lsm(w, &lsm, &p->lsm);
}

static int find_lsm_at(struct ifpin_watcher *w, const char *cgroup, struct ifp_watched *p)
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
int ifp_heard_lsm(const char *name, void *data)
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

static void let_go(struct ifpin_watcher *w, struct ifp_watched *p)
{
	if (p->set)
		return;
	if (p->host)
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
	struct ifp_watched *p = &w->v[i];

	ifp_watch_compare(w, p);
	let_go(w, p);
	memmove(p, p + 1, (w->n - i - 1) * sizeof(*p));
	w->n--;
}

static void shared_close(struct ifp_watched_netns *s)
{
	ifp_closep(&s->watchers);
	ifp_host_maps_close(&s->host);
}

/* Return: 0; -ENOMEM; errno of the maps. */
static int find_shared(struct ifpin_watcher *w, uint64_t netns, struct ifp_watched_netns **ret)
{
	struct ifp_watched_netns new = {.netns = netns};
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
	struct ifpin_watcher *w, struct ifp_watched *p, const char *name, struct ifpin_host *host)
{
	struct ifpin_denials now;
	int r = ifp_watch_counts(p, &now);

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
	ifp_watch_count_later(w);
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
	struct ifp_watched p = {.id = m->id,
		.cgroup_id = m->cgroup_id,
		.own_netns = m->set.netns == w->netns,
		.pins = -1,
		.denied = -1,
		.watchers = -1};
	struct ifp_watched_netns *shared;
	int r = find_shared(w, m->set.netns, &shared) ?: make_room(w);

	r = r ?: ifp_sets_find(&w->sets, &m->set, &p.set);
	r = r ?: find_lsm_at(w, m->cgroup, &p);
	return r ?: begin_to_hear(w, &p, name, shared->host.host);
}

/* Return: whether a map of watchers is that of all in a network namespace, in which we are. */
static bool is_shared(struct ifpin_watcher *w, const struct ifp_run *run)
{
	struct ifp_watched_netns *shared;
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
	struct ifp_watched p = {.id = run->value.id,
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
	else if (r == -ENOENT)
		ifp_fail(&w->failed, r, "cannot watch \"%s\", of which parts are gone", name);
	else if (r)
		ifp_fail_errno(&w->failed, r, "cannot watch \"%s\"", name);
}

/* Those of other network namespaces only by name: they would not look for us when they begin. */
static bool is_wanted(const struct ifpin_watcher *w, const struct ifp_run *run)
{
	return *w->only ? !strcmp(w->only, run->name) : run->maps.is.netns_cookie == w->netns;
}

/* The storage of a cgroup goes with it. */
static bool has_ended(const struct ifp_watched *p)
{
	struct ifpin_pin pin;

	return !p->set && bpf_map_lookup_elem(p->pins, &p->cgroup_id, &pin) && errno == ENOENT;
}

/* One that cannot be heard as long as it lives: said once. */
static void give_up(struct ifpin_watcher *w, const struct ifp_run *run, int why)
{
	struct ifp_watched p = {.id = run->value.id,
		.cgroup_id = run->in.cgroup_id,
		.pins = run->set.pins,
		.denied = -1,
		.watchers = -1};

	if (has_ended(&p) || make_room(w))
		return;
	note(w, run->name, why);
	p.pins = fcntl(run->set.pins, F_DUPFD_CLOEXEC, 0);
	strcpy(p.name, run->name);
	w->v[w->n++] = p;
}

/* One that is not in force yet looks for us when it is. */
static int add_run(const struct ifp_run *run, void *data)
{
	struct ifpin_watcher *w = data;
	int r;

	if (!run->value.armed || !is_wanted(w, run) || ifp_heard_by_id(w, run->value.id))
		return 0;
	r = make_tell(w, run) ?: begin_to_hear_run(w, run);
	if (r == -EPROTO || r == -ENOENT)
		give_up(w, run, r);
	else
		note(w, run->name, r);
	return 0;
}

void ifp_heard_drop_ended(struct ifpin_watcher *w)
{
	for (size_t i = w->n; i-- > 0;)
		if (has_ended(&w->v[i]))
			drop(w, i);
}

int ifp_heard_refresh_runs(struct ifpin_watcher *w)
{
	ifp_heard_drop_ended(w);
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
int ifp_heard_refresh_pin(const char *name, void *data)
{
	struct ifpin_watcher *w = data;

	note(w, name, refresh(w, name));
	return 0;
}

int ifp_heard_refresh(struct ifpin_watcher *w)
{
	for (size_t i = w->n; i-- > 0;) {
		char name[IFPIN_PIN_NAME_SIZE];

		if (!w->v[i].set)
			continue;
		strcpy(name, w->v[i].name);
		ifp_heard_refresh_pin(name, w);
	}
	return *w->only ? ifp_heard_refresh_pin(w->only, w)
			: ifp_store_each(&w->store, "pin", ifp_heard_refresh_pin, w);
}

/* Commands look for us here when they begin. */
int ifp_heard_those_to_come(struct ifpin_watcher *w)
{
	struct ifp_watched_netns *shared;
	int r = find_shared(w, w->netns, &shared);

	if (!r && !*w->only)
		hear(w, shared->host.host, 0);
	return r;
}

void ifp_heard_drop_sets(struct ifpin_watcher *w)
{
	ifp_sets_drop_stale(&w->sets, is_watched, w);
}

void ifp_heard_close(struct ifpin_watcher *w)
{
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
	free(w->v);
	free(w->shared);
}
