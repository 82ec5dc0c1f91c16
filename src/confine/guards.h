/* SPDX-License-Identifier: MIT */
/* The devices that confinements are held to, and what the programs know of their addresses and
 * routes. */
#pragma once

#include "host.h"

struct ifp_guarded {
	uint32_t ifindex;
	bool judged; /* what follows is so; else the routes are to be asked again */
	bool agree[2];
	struct ifp_ways ways;
};

/* All zero: none. */
struct ifp_guards {
	struct ifp_guarded *v;
	size_t n;
};

/* NULL: it is none of them. */
const struct ifp_guarded *ifp_guards_find(const struct ifp_guards *g, uint32_t ifindex);

/* Return: 0, also if it is there already; -ENOMEM. */
int ifp_guards_add(struct ifp_guards *g, uint32_t ifindex);
void ifp_guards_keep(
	struct ifp_guards *g, bool (*is_needed)(uint32_t ifindex, void *data), void *data);
void ifp_guards_free(struct ifp_guards *g);

/* A message of a route. Return: whether devices are to be judged anew because of it. */
bool ifp_guards_on_route(struct ifp_guards *g, const struct nlmsghdr *nlh);
void ifp_guards_judge_anew(struct ifp_guards *g);

/* Reads the host's addresses and writes them for the programs. Return: 0; -E2BIG; -ENOMEM; -errno.
 */
int ifp_guards_write_addresses(
	struct ifp_guards *g, const struct ifp_host_maps *to, struct ifp_addrs *ret);
/* Judges what is to be judged, and writes all routes. Return: as above. */
int ifp_guards_write_routes(
	struct ifp_guards *g, const struct ifp_addrs *a, const struct ifp_host_maps *to);
