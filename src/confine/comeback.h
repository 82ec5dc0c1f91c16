/* SPDX-License-Identifier: MIT */
/* The sockets of a confinement whose device was gone and is back with another index. */
#pragma once

#include "internal.h"

struct ifp_comeback {
	int cgroup_fd; /* during ifp_comeback() */
	uint64_t cgroup_id;
	uint64_t netns;
	uint32_t new_index;
	bool rebind, abort;
	unsigned int rebound, aborted, failed; /* written */
};

/*
 * What was tied to a former index, or connected by it, is tied to the new one: datagram and raw
 * sockets, listeners, and what is not connected. TCP connections are aborted: their other end has
 * given them up, or the address is not there any more. Return: 0; -ENOMEM; -errno.
 */
int ifp_comeback(struct ifp_comeback *c);

/*
 * The same for connections that no program has accepted yet, of all that have come back at once:
 * the kernel looks through every connection of the host for the list of them, which takes longer
 * than all else. Return: 0; as ifp_sockets_dump().
 */
int ifp_comeback_queued(struct ifp_comeback *const *v, size_t n);
