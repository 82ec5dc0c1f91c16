/* SPDX-License-Identifier: MIT */
/*
 * The programs of a command that runs tell nothing at first, and load in two thirds of the time for
 * it. When somebody watches, each is replaced in one step by the same one, with the same maps, that
 * tells. What is held does not change, however far that gets.
 */
#pragma once

#include "store.h"

/*
 * Makes those on a cgroup tell that use a map of pins. watchers: the map in which those who watch
 * are; -1: the one that they have. Return: 0, also if they do already; -EPROTO: they are of another
 * build; -ENOENT: they are gone; -errno.
 */
int ifp_run_tell(int cgroup_fd, int pins, int watchers);

/*
 * The same for a command that is about to run, if anybody is to be seen who watches all
 * confinements of its network namespace; and leaves its name to them. host: its own. Return: 0;
 * -errno.
 */
int ifp_run_tell_if_watched(
	int cgroup_fd, int pins, struct ifpin_host *host, uint32_t id, const char *name);

/*
 * The names that commands of a network namespace have left, by id. The kernel forgets the oldest.
 * make: by a writer, if there is none yet. Return: a map; -ENOENT; -errno.
 */
int ifp_run_names(const struct ifp_store *s, uint64_t netns, bool make);
/* Return: 0; -ENOENT; -errno. */
int ifp_run_name(int names, uint32_t id, char ret[IFPIN_PIN_NAME_SIZE]);
