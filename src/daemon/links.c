// SPDX-License-Identifier: MIT
/*
 * A device that was never there cannot be followed: the follower knows the devices of pins that are
 * in force. So while one is missing, any change of a link is a reason to look again.
 */
#include "daemon.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* Also after ENOBUFS: what was lost may have been the one. */
static void on_links(struct daemon *d, struct source *s, uint32_t events)
{
	char buf[8192];

	(void)events;
	while (recv(s->fd, buf, sizeof(buf), MSG_DONTWAIT) > 0 || errno == ENOBUFS)
		;
	for (size_t i = 0; i < d->n_pins; i++)
		if (d->pins[i].state == PIN_WAITS_DEVICE)
			d->pins[i].dirty = true;
}

static int open_links(void)
{
	struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	int r;

	if (fd < 0 || !bind(fd, (struct sockaddr *)&to, sizeof(to)))
		return fd < 0 ? -errno : fd;
	r = -errno;
	close(fd);
	return r;
}

void links_update(struct daemon *d)
{
	bool wanted = false;
	int r;

	for (size_t i = 0; i < d->n_pins && !wanted; i++)
		wanted = d->pins[i].state == PIN_WAITS_DEVICE;
	if (!wanted) {
		source_drop(d, &d->links);
		return;
	}
	if (d->links.fd >= 0)
		return;
	d->links.ready = on_links;
	r = source_add(d, &d->links, open_links(), EPOLLIN);
	if (r) {
		say(SAY_ERROR, "cannot hear of new devices: %s", strerror(-r));
		for (size_t i = 0; i < d->n_pins; i++)
			if (d->pins[i].state == PIN_WAITS_DEVICE)
				d->pins[i].state = PIN_FAILED;
		if (d->retry_at == NEVER)
			d->retry_at = now_ms() + 1000;
		return;
	}
	/* One may have come before we listened. */
	for (size_t i = 0; i < d->n_pins; i++)
		d->pins[i].dirty |= d->pins[i].state == PIN_WAITS_DEVICE;
	pins_settle(d);
}
