/* SPDX-License-Identifier: MIT */
/* Which cgroup is meant by a path, a unit or a process. */
#pragma once

#include "internal.h"

struct ifp_target {
	int fd;
	uint64_t id;
	char path[IFPIN_CGROUP_PATH_SIZE]; /* from the root of cgroup v2 */
	char name[IFPIN_PIN_NAME_SIZE];	   /* what a confinement of it is called */
	pid_t move;			   /* to be moved into a cgroup of its own, or 0 */
	int from;			   /* where it was moved from, or -1 */
};

static inline void ifp_target_closep(struct ifp_target *t)
{
	if (t->fd >= 0)
		close(t->fd);
	if (t->from >= 0)
		close(t->from);
}

/* Return: 0; -EINVAL: not exactly one is given, or it is the root; -ENOENT; -ENOTUNIQ; -errno. */
int ifp_target_find(
	const struct ifpin_attach_opts *opts, struct ifp_target *ret, struct ifpin_error *err);

/*
 * Gives t->move and what descends from it a cgroup of its own, which the target is from then on.
 * Return: 0; -EEXIST; -EAGAIN: it forks faster than it can be moved; errno of mkdir and write.
 */
int ifp_target_move(struct ifp_target *t, struct ifpin_error *err);

/* Undoes that, as far as they live. */
void ifp_target_move_back(struct ifp_target *t);
