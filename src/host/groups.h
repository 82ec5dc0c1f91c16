/* SPDX-License-Identifier: MIT */
/* Multicast groups that the host's sockets have joined. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct ifp_group {
	uint32_t ifindex;
	uint8_t addr[16]; /* IPv4 mapped */
};

struct ifp_groups {
	struct ifp_group *v;
	size_t n;
};

/* Those of the network namespace, but for what the kernel itself hears on every device, and for
 * those on one device. Return: 0; -ENOMEM; errno of open and read. */
int ifp_groups_read(uint32_t but_ifindex, struct ifp_groups *ret);
void ifp_groups_free(struct ifp_groups *g);

/* Whether a socket has joined it. */
bool ifp_group_joined(int fd, const struct ifp_group *g);

/* Return: 0; errno of setsockopt. */
int ifp_group_leave(int fd, const struct ifp_group *g);

/* Read a line of /proc/net/igmp6; of /proc/net/igmp, where the device stands in a line before.
 * Return: 0; -ENOENT: it names none. */
int ifp_group_parse6(const char *line, struct ifp_group *ret);
int ifp_group_parse4(const char *line, uint32_t *ifindex, struct ifp_group *ret);
