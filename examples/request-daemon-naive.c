// SPDX-License-Identifier: MIT
/*
 * What not to do: request-daemon.c with bind() to the device's address in place of the pin.
 *
 * Linux takes a packet for any of its addresses by any device (the weak host model of RFC 1122),
 * and answers to where the routes lead. Whoever sits behind another device can ask this daemon.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fail(const char *device, const char *what, const char *why)
{
	fprintf(stderr, "request-daemon-naive: %s: %s: %s\n", device, what, why);
	return -1;
}

/* The device's address, as bind() wants it. */
static int find_address(const char *name, struct sockaddr_in *ret_address)
{
	struct ifaddrs *all, *a;
	int r = -1;

	if (getifaddrs(&all))
		return fail(name, "cannot list addresses", strerror(errno));
	for (a = all; a && r; a = a->ifa_next)
		if (!strcmp(a->ifa_name, name) && a->ifa_addr &&
			a->ifa_addr->sa_family == AF_INET) {
			memcpy(ret_address, a->ifa_addr, sizeof(*ret_address));
			r = 0;
		}
	freeifaddrs(all);
	return r ? fail(name, "cannot find its address", "it has none") : 0;
}

/* Return: a socket at the port, or -1. */
static int serve_at(const char *name, uint16_t port)
{
	struct sockaddr_in own;
	int fd;

	if (find_address(name, &own))
		return -1;
	own.sin_port = htons(port);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(name, "cannot open a socket", strerror(errno));
	if (bind(fd, (struct sockaddr *)&own, sizeof(own))) {
		fail(name, "cannot bind its address", strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

/* What this card can be asked. */
static void answer(const char *request, char *ret_text, size_t size)
{
	double load;

	if (!strcmp(request, "load") && getloadavg(&load, 1) == 1)
		snprintf(ret_text, size, "%.2f", load);
	else if (!strcmp(request, "pid"))
		snprintf(ret_text, size, "%d", (int)getpid());
	else
		snprintf(ret_text, size, "unknown request: %s", request);
}

/* A request is a number, a blank and what is asked; the answer begins with the same number. */
static int serve(int fd)
{
	for (;;) {
		struct sockaddr_storage card;
		socklen_t len = sizeof(card);
		char request[256], text[256], reply[300], *rest;
		ssize_t n = recvfrom(
			fd, request, sizeof(request) - 1, 0, (struct sockaddr *)&card, &len);
		unsigned long number;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		request[n] = '\0';
		number = strtoul(request, &rest, 10);
		if (rest == request || *rest != ' ')
			continue;
		answer(rest + 1, text, sizeof(text));
		n = snprintf(reply, sizeof(reply), "%lu %s", number, text);
		if (sendto(fd, reply, (size_t)n, 0, (struct sockaddr *)&card, len) < 0)
			fprintf(stderr, "request-daemon-naive: an answer was not sent: %s\n",
				strerror(errno));
	}
}

int main(int argc, char **argv)
{
	int fd, port, r;

	if (argc != 3 || (port = atoi(argv[2])) < 1 || port > 65535) {
		fprintf(stderr, "usage: request-daemon-naive DEVICE PORT\n");
		return 2;
	}
	fd = serve_at(argv[1], (uint16_t)port);
	if (fd < 0)
		return EXIT_FAILURE;
	printf("ready\n");
	fflush(stdout);
	r = serve(fd);
	fail(argv[1], "cannot receive", strerror(-r));
	close(fd);
	return EXIT_FAILURE;
}
