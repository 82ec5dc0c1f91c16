// SPDX-License-Identifier: MIT
/*
 * Asks a card of the chassis something, over the device that leads to the backplane and no other.
 *
 * Shows: a UDP client whose requests cannot leave by another device, whatever the routes say. If
 * the device is switched off, or no route by it leads to the card, the request fails; it does not
 * take the default route. IFPIN_GTSM (RFC 5082): what has passed a router is no answer.
 * request-client-naive.c is the same with bind() to the device's address in place of the pin.
 */
#include <ifpin/ifpin.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRIES 3
#define PATIENCE_MS 500

static int fail(const char *device, const char *what, const char *why)
{
	fprintf(stderr, "request-client: %s: %s: %s\n", device, what, why);
	return -1;
}

/* Return: a socket that is connected to the card, or -1. */
static int reach(const char *name, const struct sockaddr_in *card)
{
	const struct ifpin_socket_opts opts = {
		.size = sizeof(opts),
		.flags = IFPIN_GTSM,
		.source = IFPIN_SOURCE_DEVICE,
	};
	struct ifpin_device device;
	struct ifpin_error error;
	int fd, r;

	if (ifpin_device_resolve(name, &device, &error))
		return fail(name, "cannot find the device", error.text);
	fd = ifpin_socket(&device, AF_INET, SOCK_DGRAM, 0, &opts, &error);
	if (fd < 0)
		return fail(name, "cannot open a socket", error.text);
	r = ifpin_connect(fd, &device, (const struct sockaddr *)card, sizeof(*card));
	if (r) {
		close(fd);
		return fail(name, "cannot reach the card", ifpin_strerror(r));
	}
	return fd;
}

/* An answer begins with the request's number; late answers to earlier requests are passed over. */
static int ask(int fd, unsigned int number, const char *request, char *ret_answer, size_t size)
{
	struct pollfd event = {.fd = fd, .events = POLLIN};
	char text[256];
	int len = snprintf(text, sizeof(text), "%u %s", number, request);
	ssize_t n;

	if (len >= (int)sizeof(text))
		return -EMSGSIZE;
	if (send(fd, text, (size_t)len, 0) < 0)
		return -errno;
	while (poll(&event, 1, PATIENCE_MS) == 1) {
		char *rest;

		n = recv(fd, text, sizeof(text) - 1, 0);
		if (n < 0)
			return -errno;
		text[n] = '\0';
		if (strtoul(text, &rest, 10) != number || *rest != ' ')
			continue;
		snprintf(ret_answer, size, "%s", rest + 1);
		return 0;
	}
	return -ETIMEDOUT;
}

int main(int argc, char **argv)
{
	struct sockaddr_in card = {.sin_family = AF_INET};
	unsigned int number = 0;
	char answer[256];
	int fd, port;

	if (argc < 5 || inet_pton(AF_INET, argv[2], &card.sin_addr) != 1 ||
		(port = atoi(argv[3])) < 1 || port > 65535) {
		fprintf(stderr, "usage: request-client DEVICE ADDRESS PORT REQUEST...\n");
		return 2;
	}
	card.sin_port = htons((uint16_t)port);
	fd = reach(argv[1], &card);
	if (fd < 0)
		return EXIT_FAILURE;
	for (int i = 4; i < argc; i++) {
		int r = -ETIMEDOUT;

		for (int try = 0; try < TRIES && r == -ETIMEDOUT; try++)
			r = ask(fd, ++number, argv[i], answer, sizeof(answer));
		if (r) {
			fail(argv[1], argv[i], strerror(-r));
			close(fd);
			return EXIT_FAILURE;
		}
		printf("%s: %s\n", argv[i], answer);
	}
	close(fd);
	return EXIT_SUCCESS;
}
