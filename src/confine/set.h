/* SPDX-License-Identifier: MIT */
/*
 * One loaded set of programs with its maps. It is pinned in the folder of its network namespace
 * (store.h) and serves all confinements there. One that is put on a cgroup beside another one needs
 * a set of another layer, because a cgroup has one storage in each. A command that runs has a set
 * of its own that is pinned nowhere.
 */
#pragma once

#include "store.h"

#define IFP_MAX_PINS 8192   /* in one set that is shared */
#define IFP_PIN_LINK "link" /* files in the folder of a confinement: link0, link1, … */

struct ifp_set {
	int lock; /* its folder; -1: nobody else changes what is in it */
	int pins, passed, denied, packets, options;
	char folder[160]; /* without the path of the store; empty: pinned nowhere */
	bool stale;	  /* another one has its name by now */
};

#define IFP_NO_SET                                                                                 \
	(struct ifp_set)                                                                           \
	{                                                                                          \
		.lock = -1, .pins = -1, .passed = -1, .denied = -1, .packets = -1, .options = -1   \
	}

/* Return: 0; -ENOENT; -EPROTO: of another version; -errno. */
int ifp_set_open(const struct ifp_store *s, const struct ifp_set_name *name, struct ifp_set *ret);
void ifp_set_close(struct ifp_set *set);

/*
 * Opens the one of this build in the first layer in which nothing is in force on a cgroup, or makes
 * it. By a writer only. Return: 0; -EMFILE: there is none; -errno.
 */
int ifp_set_need(const struct ifp_store *s, const struct ifp_host_maps *host, uint64_t netns,
	int cgroup_fd, uint64_t cgroup_id, struct ifp_set_name *ret_name, struct ifp_set *ret,
	struct ifpin_error *err);

/*
 * Whether no program, of whomever, runs for a cgroup where ours would, attached there or above: then
 * no confinement is either. To ask is quicker than to look through all of them.
 */
bool ifp_set_runs_none(int cgroup_fd);

/* Attaches its programs to a cgroup by links pinned in a folder. Return: 0; -errno. */
int ifp_set_link(const struct ifp_store *s, const struct ifp_set *set, int cgroup_fd,
	const char *folder, struct ifpin_error *err);

/* Ends a set that no confinement uses. By a writer only. Return: 0; -errno. */
int ifp_set_drop_unused(const struct ifp_store *s, const struct ifp_set_name *name);

/* The same for all, and what killed ones have left in those that are used. Return: 0; -errno. */
int ifp_sets_tidy(const struct ifp_store *s);

/* Those that are open, each once. */
struct ifp_sets {
	const struct ifp_store *store;
	struct ifp_open_set **v;
	size_t n;
};

/* Opened if need be. Return: 0; as ifp_set_open(); -ENOMEM. */
int ifp_sets_find(
	struct ifp_sets *sets, const struct ifp_set_name *name, const struct ifp_set **ret);
/* Marks those whose name another one has by now: what is asked for next is opened anew. */
void ifp_sets_check(struct ifp_sets *sets);
/* Closes those that are so marked and of which used() is false. */
void ifp_sets_drop_stale(
	struct ifp_sets *sets, bool (*used)(const struct ifp_set *set, void *data), void *data);
void ifp_sets_close(struct ifp_sets *sets);
