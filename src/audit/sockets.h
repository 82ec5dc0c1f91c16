/* SPDX-License-Identifier: MIT */
/* What the files of the list of sockets share. */
#pragma once

#include <ifpin/sockets.h>

#include "host/processes.h"
#include "host/sockets.h"

/* ---- places.c: which confinement a cgroup is in ---- */

#define IFP_PLACE_NONE (-1)
#define IFP_PLACE_UNKNOWN (-2)

struct ifp_cgroup_place {
	uint64_t cgroup_id;
	int place;
};

struct ifp_places {
	const struct ifpin_confined *confined;
	size_t n;
	char **paths; /* of their cgroups; NULL: gone */
	int root_fd;  /* of cgroup v2; or negative */
	struct ifp_cgroup_place *known;
	size_t n_known;
};

/* Return: 0; -ENOMEM. */
int ifp_places_open(
	const struct ifpin_confined *confined, size_t n_confined, struct ifp_places *ret);
void ifp_places_close(struct ifp_places *p);

/* The innermost confinement that encloses a cgroup: its number, IFP_PLACE_NONE, or where the cgroup
 * is gone IFP_PLACE_UNKNOWN. */
int ifp_place_of_path(const struct ifp_places *p, const char *path);
int ifp_place_of_cgroup(struct ifp_places *p, uint64_t cgroup_id);

/* Whether all that is in one is in the other as well. */
bool ifp_place_encloses(const struct ifp_places *p, int outer, int inner);

/* Whether a socket of a network namespace can have been made in one of them. */
bool ifp_places_any(const struct ifp_places *p, uint64_t netns);

/* The innermost one whose programs say that they judge a socket of a namespace; UNKNOWN: not all
 * can be asked. */
int ifp_place_by_probe(const struct ifp_places *p, int fd, uint64_t netns);

/* ---- collect.c: sockets and who holds them ---- */

/* A socket as it was found, before it is judged. */
struct ifp_found {
	struct ifp_sock s;
	bool unused;	 /* neither bound nor connected */
	int place;	 /* the confinement in which it was made */
	size_t first, n; /* its holders */
};

struct ifp_holder {
	uint64_t inode;
	struct ifp_descriptor d;
};

/* Sockets by inode; holders by inode, pid and descriptor. */
struct ifp_collection {
	struct ifp_found *sockets;
	size_t n;
	struct ifp_holder *holders;
	size_t n_holders;
	unsigned int unread;
};

/* Return: 0; -ENOMEM; as ifp_sockets_dump(), ifp_processes_each(). */
int ifp_collect(struct ifp_places *places, struct ifp_collection *ret);
void ifp_collection_free(struct ifp_collection *c);

/* ---- sockets.c ---- */

/* What a socket can use, of which all is known that can be. alive: whether the device is there. */
struct ifp_socket_facts {
	const struct ifp_sock *s;
	bool confined, unknown_place, foreign;
	uint32_t confined_ifindex;
	bool bound_alive, confined_alive;
};

enum ifpin_socket_verdict ifp_socket_judge(const struct ifp_socket_facts *f);
