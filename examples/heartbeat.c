// SPDX-License-Identifier: MIT
/*
 * Heartbeats between the cards of a chassis: each sends one to a multicast group at every interval,
 * and says which others it hears, and which it hears no more.
 *
 * Shows: multicast over one device only, and a service that lives through the device's removal and
 * return. While it is gone nothing is sent, by any device. When it is back, with another index, the
 * socket is pinned anew and the group is joined anew. IFPIN_ONE_HOP: no neighbour can forward a
 * heartbeat. heartbeat-naive.c is the same with bind() to the device's address in place of the pin.
 */
#include <ifpin/ifpin.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define GROUP "ff14::1fb" /* of the scope that an administrator has drawn (RFC 7346) */
#define PORT 7702
#define MAX_CARDS 16
#define MAX_SILENCE 5 /* intervals after which a card counts as lost */

static const struct ifpin_socket_opts opts = {
	.size = sizeof(opts),
	.flags = IFPIN_ONE_HOP,
	.port = PORT,
};

struct heartbeat {
	const char *device, *name;
	struct sockaddr_in6 group;
	struct ifpin_monitor *monitor;
	int fd, send_error;
	struct card {
		char name[64];
		unsigned int silence;
	} cards[MAX_CARDS];
};

static int fail(const char *device, const char *what, const char *why)
{
	fprintf(stderr, "heartbeat: %s: %s: %s\n", device, what, why);
	return -1;
}

/* ---- the device ---- */

static int open_on_device(struct heartbeat *h)
{
	struct ifpin_device device;
	struct ifpin_error error;

	if (ifpin_device_resolve(h->device, &device, &error))
		return fail(h->device, "cannot find the device", error.text);
	h->fd = ifpin_socket(&device, AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0, &opts, &error);
	if (h->fd < 0)
		return fail(h->device, "cannot open a socket", error.text);
	if (ifpin_join(h->fd, &device, (struct sockaddr *)&h->group, NULL, &error))
		return fail(h->device, "cannot join", error.text);
	if (ifpin_monitor_open(&device, &h->monitor, &error))
		return fail(h->device, "cannot follow the device", error.text);
	return 0;
}

/* If this fails, the socket sends nothing until the device comes back the next time. */
static void resume(struct heartbeat *h, const struct ifpin_device *device)
{
	static const char *const done[] = {
		[IFPIN_REPIN_KEPT] = "kept",
		[IFPIN_REPIN_REBOUND] = "rebound",
		[IFPIN_REPIN_REOPENED] = "reopened",
	};
	enum ifpin_repinned how;
	struct ifpin_error error;

	if (ifpin_repin(h->fd, device, &opts, &how, &error))
		fail(h->device, "cannot pin the socket again", error.text);
	else if (ifpin_join(h->fd, device, (struct sockaddr *)&h->group, NULL, &error))
		fail(h->device, "cannot join again", error.text);
	else
		printf("socket %s\n", done[how]);
}

static void follow(struct heartbeat *h)
{
	struct ifpin_event event;
	struct ifpin_error error;
	int r;

	while ((r = ifpin_monitor_next(h->monitor, &event)) == 1) {
		printf("%s\n", event.text);
		/* The membership does nothing any more, and yet it would count. */
		if (event.type == IFPIN_EVENT_GONE &&
			ifpin_leave(
				h->fd, &event.device, (struct sockaddr *)&h->group, NULL, &error))
			fail(h->device, "cannot leave", error.text);
		if (event.type == IFPIN_EVENT_BACK)
			resume(h, &event.device);
	}
	if (r < 0)
		fail(h->device, "cannot follow the device", ifpin_strerror(r));
}

/* ---- the heartbeats ---- */

static void beat(struct heartbeat *h)
{
	char text[80];
	int len = snprintf(text, sizeof(text), "heartbeat %.63s", h->name), error = 0;

	if (sendto(h->fd, text, (size_t)len, 0, (struct sockaddr *)&h->group, sizeof(h->group)) < 0)
		error = errno;
	if (error && error != h->send_error)
		fail(h->device, "heartbeats are not sent", strerror(error));
	h->send_error = error;
}

/* Return: the card, or room for it, or NULL. */
static struct card *find(struct heartbeat *h, const char *name)
{
	struct card *room = NULL;

	for (struct card *c = h->cards; c < h->cards + MAX_CARDS; c++) {
		if (!strcmp(c->name, name))
			return c;
		if (!c->name[0])
			room = c;
	}
	return room;
}

static void hear(struct heartbeat *h)
{
	char text[80], name[64];
	ssize_t n;

	while ((n = recv(h->fd, text, sizeof(text) - 1, 0)) >= 0) {
		struct card *c;

		text[n] = '\0';
		if (sscanf(text, "heartbeat %63s", name) != 1 || !strcmp(name, h->name))
			continue;
		c = find(h, name);
		if (!c)
			continue;
		if (!c->name[0])
			printf("hears %s\n", strcpy(c->name, name));
		c->silence = 0;
	}
}

static void count_silence(struct heartbeat *h)
{
	for (struct card *c = h->cards; c < h->cards + MAX_CARDS; c++)
		if (c->name[0] && ++c->silence > MAX_SILENCE) {
			printf("lost %s\n", c->name);
			c->name[0] = '\0';
		}
}

static int run(struct heartbeat *h, int timer)
{
	struct pollfd events[] = {
		{.fd = timer, .events = POLLIN},
		{.fd = h->fd, .events = POLLIN},
		{.fd = ifpin_monitor_fd(h->monitor), .events = POLLIN},
	};
	uint64_t ticks;

	for (;;) {
		/* Always, for it costs little, and what failed the last time is tried again. */
		follow(h);
		hear(h);
		if (read(timer, &ticks, sizeof(ticks)) == sizeof(ticks)) {
			beat(h);
			count_silence(h);
		}
		if (poll(events, 3, -1) < 0 && errno != EINTR)
			return fail(h->device, "cannot wait", strerror(errno));
	}
}

int main(int argc, char **argv)
{
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	int ms = argc == 4 ? atoi(argv[3]) : 1000;
	struct heartbeat h = {
		.group = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)},
		.fd = -1,
	};
	struct itimerspec interval = {
		.it_value = {ms / 1000, ms % 1000 * 1000000L},
		.it_interval = {ms / 1000, ms % 1000 * 1000000L},
	};

	if (argc < 3 || argc > 4 || ms < 1) {
		fprintf(stderr, "usage: heartbeat DEVICE NAME [MILLISECONDS]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	h.device = argv[1];
	h.name = argv[2];
	inet_pton(AF_INET6, GROUP, &h.group.sin6_addr);
	if (timer < 0 || timerfd_settime(timer, 0, &interval, NULL))
		fail(h.device, "cannot set a timer", strerror(errno));
	else if (!open_on_device(&h))
		run(&h, timer);
	ifpin_monitor_close(h.monitor);
	if (h.fd >= 0)
		close(h.fd);
	return EXIT_FAILURE;
}
