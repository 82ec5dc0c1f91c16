// SPDX-License-Identifier: MIT
/*
 * Answers the chassis's other cards, over the device that leads to the backplane and no other.
 *
 * Shows: a UDP server that hears its own device only. A request for its address that arrives by
 * another device, which Linux would take as well, does not reach it, and no answer leaves by
 * another device. IFPIN_GTSM (RFC 5082): what has passed a router is no request.
 * The socket goes on when the device is switched off and on or renamed; follow.c shows what is to
 * be done to live through its removal. request-daemon-naive.c is the same with bind() to the
 * device's address in place of the pin.
 */
#include <ifpin/ifpin.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fail(const char *device, const char *what, const char *why)
{
	fprintf(stderr, "request-daemon: %s: %s: %s\n", device, what, why);
	return -1;
}

/* Return: a socket at the port, or -1. */
static int serve_at(const char *name, uint16_t port)
{
	const struct ifpin_socket_opts opts = {
		.size = sizeof(opts),
		.flags = IFPIN_GTSM,
		.source = IFPIN_SOURCE_DEVICE,
		.port = port,
	};
	struct ifpin_inspection inspection;
	struct ifpin_device device;
	struct ifpin_error error;
	int fd;

	if (ifpin_device_resolve(name, &device, &error))
		return fail(name, "cannot find the device", error.text);
	fd = ifpin_socket(&device, AF_INET, SOCK_DGRAM, 0, &opts, &error);
	if (fd < 0)
		return fail(name, "cannot open a socket", error.text);
	if (!ifpin_inspect(fd, &device, &inspection, NULL))
		printf("%s\n", inspection.text);
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
		/* No guard needed: what came in by the device names no other as its sender's. */
		if (sendto(fd, reply, (size_t)n, 0, (struct sockaddr *)&card, len) < 0)
			fprintf(stderr, "request-daemon: an answer was not sent: %s\n",
				strerror(errno));
	}
}

int main(int argc, char **argv)
{
	int fd, port, r;

	if (argc != 3 || (port = atoi(argv[2])) < 1 || port > 65535) {
		fprintf(stderr, "usage: request-daemon DEVICE PORT\n");
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
