// SPDX-License-Identifier: MIT
/* A device that has the place of in0 after that is gone: its name and its index. */
#include "host.h"

#include <errno.h>
#include <net/if.h>

static int say(const struct env *e)
{
	struct target from = ifp_target(LAB_IN4, 0, 0),
		      to = ifp_target("255.255.255.255", e->port, 0);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int on = 1;

	/* Transparent: the address went with in0. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, LAB_IN, sizeof(LAB_IN)) ||
		setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)) ||
		setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)) ||
		bind(fd, (struct sockaddr *)&from.ss, from.len) ||
		sendto(fd, e->magic, MAGIC_LEN, 0, (struct sockaddr *)&to.ss, to.len) < 0)
		return -errno;
	return 0;
}

static int in_its_place(const struct env *e, int arg)
{
	_cleanup_close_ int away = -1;
	int r = ifp_replace_in(e, &away), q;

	(void)arg;
	if (away < 0)
		return r;
	r = r ?: say(e);
	q = ifp_restore_in(e, away);
	return r ?: q;
}

const struct attempt ifp_battery_host_place[] = {
	{"host-in-its-place", "host", "another device that has the name and the index of in0",
		"ip-link(8), index", in_its_place, 0, HOST},
	{},
};
