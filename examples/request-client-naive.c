// SPDX-License-Identifier: MIT
/*
 * What not to do: request-client.c with bind() to the device's address in place of the pin.
 *
 * bind() sets the source address, and routing ignores it. When the device is switched off, its
 * address stays and its routes go: every request leaves by the default route, with that address.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRIES 3
#define PATIENCE_MS 500

static int fail(const char *device, const char *what, const char *why)
{
	fprintf(stderr, "request-client-naive: %s: %s: %s\n", device, what, why);
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

/* Return: a socket that is connected to the card, or -1. */
static int reach(const char *name, const struct sockaddr_in *card)
{
	struct sockaddr_in own;
	int fd;

	if (find_address(name, &own))
		return -1;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(name, "cannot open a socket", strerror(errno));
	if (bind(fd, (struct sockaddr *)&own, sizeof(own)) ||
		connect(fd, (const struct sockaddr *)card, sizeof(*card))) {
		fail(name, "cannot reach the card", strerror(errno));
		close(fd);
		return -1;
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
		fprintf(stderr, "usage: request-client-naive DEVICE ADDRESS PORT REQUEST...\n");
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
