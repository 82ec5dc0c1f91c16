/* SPDX-License-Identifier: MIT */
/* What the rings ask about devices, addresses and routes. */
#pragma once

#include <ifpin/device.h>

#include "base/nl.h"

#include <stdbool.h>
#include <stdint.h>

struct ifp_link {
	uint32_t ifindex;
	char name[IF_NAMESIZE];
	bool deleted;
};

struct ifp_local_addr {
	uint8_t addr[16]; /* IPv4 mapped */
	uint32_t ifindex;
	uint8_t prefixlen; /* of 128 */
	bool deleted;
	bool secondary;
};

/* A route of a device, and whether the host's own choice for it is that device. */
struct ifp_route {
	uint8_t dst[16];   /* IPv4 mapped */
	uint8_t prefixlen; /* of 128 */
	bool leads_there;
};

/* Reads a link message. Return: 0; -EBADMSG: it is none, or malformed. */
int ifp_link_parse(const struct nlmsghdr *nlh, struct ifp_link *ret);

/* Reads an address message. Return: 0; -EBADMSG: it is none, or malformed. */
int ifp_addr_parse(const struct nlmsghdr *nlh, struct ifp_local_addr *ret);

/* Calls cb for each address message of the namespace. Return: as ifp_nl_talk(). */
int ifp_addr_dump(ifp_nl_cb cb, void *data);

/* Whether a change of this route can change the answer of ifp_routes_agree(). */
bool ifp_route_matters(const struct nlmsghdr *nlh, uint32_t ifindex);

/*
 * Whether the host's own routing would use the device for everything that the device's routes
 * reach. Where it would, sockets need no binding to send by it.
 *
 * cb is called for each route that was judged (at most 64); it may be NULL.
 *
 * Return: 0; what cb returned; as ifp_nl_talk().
 */
int ifp_routes_agree(int family, uint32_t ifindex, bool *ret_agree,
	int (*cb)(const struct ifp_route *route, void *data), void *data);
