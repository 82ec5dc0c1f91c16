/* SPDX-License-Identifier: MIT */
/* What BPF programs have to know of the host: its addresses, and by which device it answers. */
#pragma once

#include "confine/policy.h"
#include "device/device.h"

#include <stdbool.h>
#include <stddef.h>

/* The maps that hold it; one set for a command, or one for all pins of a network namespace. */
struct ifp_host_maps {
	struct ifpin_host *host; /* a mapping of the map that host_fd is */
	int host_fd;
	int addrs; /* address to device */
	int ways;  /* network to the device by which answers go there */
};

/* The host's addresses, sorted; of one address of two devices both are there. */
struct ifp_addrs {
	struct ifp_local_addr *v;
	size_t n;
};

/* Return: 0; -ENOMEM; as ifp_addr_dump(). */
int ifp_addrs_read(struct ifp_addrs *ret);
void ifp_addrs_free(struct ifp_addrs *a);

/* Makes the maps say it. Return: 0; -E2BIG: too many; -ENOMEM; -errno. */
int ifp_addrs_write(const struct ifp_addrs *a, const struct ifp_host_maps *to);

/* The IPv4 address that the kernel would choose on a device, network byte order; 0: none. */
uint32_t ifp_addrs_primary(const struct ifp_addrs *a, uint32_t ifindex);

struct ifp_way {
	struct ifpin_network net;
	uint32_t owner; /* 0: not certain */
	bool judged;	/* by the host's own choice, and not just from an address */
};

struct ifp_ways {
	struct ifp_way *v;
	size_t n;
};

/*
 * Adds the routes of a device, each with whether the host's own choice leads there, and those of
 * others that lie inside. ret_agree: [0] IPv4, [1] IPv6, as ifp_routes_agree(). Return: 0; -ENOMEM;
 * as that.
 */
int ifp_ways_judge(
	struct ifp_ways *w, uint32_t ifindex, const struct ifp_addrs *a, bool ret_agree[2]);

/*
 * Whether a change of this route can change what was judged of a device; agree6: of IPv6. That
 * another device's last IPv6 gateway is gone does not count: the kernel may learn such routes by
 * the thousand, and it does no harm.
 */
bool ifp_ways_touched(
	const struct ifp_ways *w, uint32_t ifindex, bool agree6, const struct nlmsghdr *nlh);

/*
 * How long to wait for more, in ms, before routes are judged again: they come in bursts, and on a
 * host with a table of the whole Internet they never end. last_ms: how long it took the last time.
 */
static inline int64_t ifp_ways_settle_ms(int64_t last_ms)
{
	return last_ms > 100 ? 10 * last_ms : 100;
}

/* Adds the networks that addresses of a device make, unless it has been judged. */
int ifp_ways_add_networks(struct ifp_ways *w, const struct ifp_addrs *a,
	bool (*is_judged)(uint32_t ifindex, void *data), void *data);

int ifp_ways_append(struct ifp_ways *w, const struct ifp_ways *more);

/* Makes the map say it; prune: and nothing else. Return: 0; -E2BIG; -errno. */
int ifp_ways_write(struct ifp_ways *w, const struct ifp_host_maps *to, bool prune);
/*
 * Adds to the map what was judged of one device, by one who has not looked at others: what is known
 * of these stays. Return: 0; -errno.
 */
int ifp_ways_merge(struct ifp_ways *w, const struct ifp_host_maps *to, uint32_t ifindex);
void ifp_ways_free(struct ifp_ways *w);

/*
 * What the programs know of the host, for a device that is confined now; the follower takes care of
 * it from then on. Return: 0; -EAGAIN: the addresses do not stop changing; -E2BIG; -ENOMEM; -errno.
 */
int ifp_host_fill(const struct ifp_host_maps *to, uint32_t ifindex, struct ifp_addrs *ret_addrs,
	bool ret_agree[2]);
