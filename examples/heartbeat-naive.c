// SPDX-License-Identifier: MIT
/*
 * What not to do: heartbeat.c with bind() to the device's address in place of the pin.
 *
 * There is a multicast route by every device, and bind() chooses none of them. As soon as the
 * device is gone the heartbeats leave by another one, with the address that the device had, and
 * when it is back they still do. Nothing is heard then: the membership went with the device.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
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

struct heartbeat {
	const char *device, *name;
	struct sockaddr_in6 group;
	int fd, out, send_error; /* one bound to a host's address hears no multicast: two */
	struct card {
		char name[64];
		unsigned int silence;
	} cards[MAX_CARDS];
};

static int fail(const char *device, const char *what, const char *why)
{
	fprintf(stderr, "heartbeat-naive: %s: %s: %s\n", device, what, why);
	return -1;
}

/* ---- the device ---- */

/* The device's address, as bind() wants it; a link-local one would be another thing. */
static int find_address(const char *name, struct sockaddr_in6 *ret_address)
{
	struct ifaddrs *all, *a;
	int r = -1;

	if (getifaddrs(&all))
		return fail(name, "cannot list addresses", strerror(errno));
	for (a = all; a && r; a = a->ifa_next) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)a->ifa_addr;

		if (!strcmp(a->ifa_name, name) && in6 && in6->sin6_family == AF_INET6 &&
			!IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr)) {
			*ret_address = *in6;
			r = 0;
		}
	}
	freeifaddrs(all);
	return r ? fail(name, "cannot find its address", "it has none") : 0;
}

static int open_on_device(struct heartbeat *h)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)}, own;
	struct ipv6_mreq join = {h->group.sin6_addr, if_nametoindex(h->device)};

	if (find_address(h->device, &own))
		return -1;
	h->out = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	h->fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (h->out < 0 || h->fd < 0)
		return fail(h->device, "cannot open a socket", strerror(errno));
	if (bind(h->out, (struct sockaddr *)&own, sizeof(own)) ||
		bind(h->fd, (struct sockaddr *)&any, sizeof(any)))
		return fail(h->device, "cannot bind", strerror(errno));
	if (setsockopt(h->fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &join, sizeof(join)))
		return fail(h->device, "cannot join", strerror(errno));
	return 0;
}

/* ---- the heartbeats ---- */

static void beat(struct heartbeat *h)
{
	char text[80];
	int len = snprintf(text, sizeof(text), "heartbeat %.63s", h->name), error = 0;

	if (sendto(h->out, text, (size_t)len, 0, (struct sockaddr *)&h->group, sizeof(h->group)) <
		0)
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
	};
	uint64_t ticks;

	for (;;) {
		hear(h);
		if (read(timer, &ticks, sizeof(ticks)) == sizeof(ticks)) {
			beat(h);
			count_silence(h);
		}
		if (poll(events, 2, -1) < 0 && errno != EINTR)
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
		.out = -1,
	};
	struct itimerspec interval = {
		.it_value = {ms / 1000, ms % 1000 * 1000000L},
		.it_interval = {ms / 1000, ms % 1000 * 1000000L},
	};

	if (argc < 3 || argc > 4 || ms < 1) {
		fprintf(stderr, "usage: heartbeat-naive DEVICE NAME [MILLISECONDS]\n");
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
	if (h.fd >= 0)
		close(h.fd);
	if (h.out >= 0)
		close(h.out);
	return EXIT_FAILURE;
}
