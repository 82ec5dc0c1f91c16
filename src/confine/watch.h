/* SPDX-License-Identifier: MIT */
/* One who watches: what it hears (heard.c), and what it tells of it (watch.c). */
#pragma once

#include "lsm_tell.h"
#include "runs.h"
#include "set.h"
#include "slots.h"

struct ring_buffer;

/* One that is heard. */
struct ifp_watched {
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
struct ifp_watched_netns {
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
	struct ifp_watched *v;
	size_t n;
	struct ifp_watched_netns *shared;
	size_t n_shared;
	struct ifp_lsm_teller **lsm; /* of each build one, as a rule */
	size_t n_lsm;
	int64_t count_at; /* 0: nothing can have been counted */
	bool recent;	  /* whether something was told since the last look at the counts */
	uint64_t offset_ns;
	unsigned int heard; /* in this step */
	bool begun;	    /* a command that is new has begun since */
	unsigned int made_tell;
	uint32_t strangers[16]; /* ids that have been looked for in vain, or just now */
	size_t n_strangers;
	struct ifpin_error failed;
};

/* ---- heard.c ---- */

/* Return: NULL: it is not known. */
struct ifp_watched *ifp_heard_by_id(struct ifpin_watcher *w, uint32_t id);

/*
 * Bring what is heard to what is there: all that is attached; one name of those; commands that run;
 * programs of BPF LSM that stand in bpffs. One that cannot be heard is noted, and does not keep the
 * others from being heard. Return: 0; -errno.
 */
int ifp_heard_refresh(struct ifpin_watcher *w);
int ifp_heard_refresh_pin(const char *name, void *watcher);
int ifp_heard_refresh_runs(struct ifpin_watcher *w);
int ifp_heard_lsm(const char *name, void *watcher);
/* From here on commands that begin see us. Return: 0; -errno. */
int ifp_heard_those_to_come(struct ifpin_watcher *w);

/* Commands that have ended, and sets of programs that nobody uses. */
void ifp_heard_drop_ended(struct ifpin_watcher *w);
void ifp_heard_drop_sets(struct ifpin_watcher *w);
void ifp_heard_close(struct ifpin_watcher *w);

/* ---- watch.c ---- */

/* The next look at what was only counted is in a second. */
void ifp_watch_count_later(struct ifpin_watcher *w);
/* Return: 0; -ENOENT: it has ended; -errno. */
int ifp_watch_counts(const struct ifp_watched *p, struct ifpin_denials *ret);
/* Return: whether there was anything to tell. */
bool ifp_watch_compare(struct ifpin_watcher *w, struct ifp_watched *p);
