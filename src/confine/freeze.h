/* SPDX-License-Identifier: MIT */
/* A cgroup that stands still while its sockets are looked at. */
#pragma once

#include "internal.h"

struct ifp_freeze {
	int cgroup_fd;
	int life;	/* its end is how the guard learns that we were killed */
	pid_t guard;	/* 0: nothing is frozen by us */
	bool by_others; /* it, or a cgroup above, was frozen already */
};

/*
 * Stops all processes of a cgroup, those that the caller may not belong to. A guard, a process of
 * its own, lets them go on should the caller be killed. Nothing is done where the cgroup is empty,
 * or frozen by somebody else. Return: 0; -ETIMEDOUT: one of them does not stop; -errno.
 */
int ifp_freeze(int cgroup_fd, struct ifp_freeze *ret, struct ifpin_error *err);

/* Lets them go on. Return: 0; -errno: the guard does it. */
int ifp_thaw(struct ifp_freeze *f);
