// SPDX-License-Identifier: MIT
/*
 * Tells a collector (as syslog does, by UDP) what becomes of a device, through that device alone.
 *
 * Shows: an epoll loop with the monitor, and what a pinned socket needs when its device was deleted
 * and is there again: ifpin_repin(), and epoll_ctl() if that had to open another socket. While the
 * device cannot send, a report is lost; it does not take another way.
 * follow-naive.c is the same with bind() to the device's address in place of the pin.
 */
#include <ifpin/ifpin.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static const struct ifpin_socket_opts opts = {
	.size = sizeof(opts),
	.source = IFPIN_SOURCE_DEVICE,
};

struct follow {
	const char *device;
	struct sockaddr_in collector;
	struct ifpin_monitor *monitor;
	int fd, epoll;
	bool dead; /* the socket's device went away, and it is not pinned again yet */
};

static int fail(const char *device, const char *what, const char *why)
{
	fprintf(stderr, "follow: %s: %s: %s\n", device, what, why);
	return -1;
}

static int watch(struct follow *f, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &event))
		return fail(f->device, "cannot watch a descriptor", strerror(errno));
	return 0;
}

static void say_state(struct follow *f, const struct ifpin_device *device)
{
	struct ifpin_inspection inspection;
	struct ifpin_error error;

	if (ifpin_inspect(f->fd, device, &inspection, &error))
		fail(f->device, "cannot look at the socket", error.text);
	else
		printf("%s\n", inspection.text);
}

static int open_on_device(struct follow *f)
{
	struct ifpin_device device;
	struct ifpin_error error;

	if (ifpin_device_resolve(f->device, &device, &error))
		return fail(f->device, "cannot find the device", error.text);
	f->fd = ifpin_socket(&device, AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0, &opts, &error);
	if (f->fd < 0)
		return fail(f->device, "cannot open a socket", error.text);
	if (ifpin_monitor_open(&device, &f->monitor, &error))
		return fail(f->device, "cannot follow the device", error.text);
	say_state(f, &device);
	if (watch(f, f->fd))
		return -1;
	return watch(f, ifpin_monitor_fd(f->monitor));
}

static int repin(struct follow *f, const struct ifpin_device *device)
{
	static const char *const done[] = {
		[IFPIN_REPIN_KEPT] = "kept",
		[IFPIN_REPIN_REBOUND] = "rebound",
		[IFPIN_REPIN_REOPENED] = "reopened",
	};
	enum ifpin_repinned how;
	struct ifpin_error error;
	int r = ifpin_repin(f->fd, device, &opts, &how, &error);

	/* The socket's address is not there yet: with the next address this is tried again. */
	if (r == -EADDRNOTAVAIL)
		printf("socket not pinned yet: %s\n", error.text);
	else if (r)
		fail(f->device, "cannot pin the socket again", error.text);
	if (r)
		return 0;
	f->dead = false;
	printf("socket %s\n", done[how]);
	say_state(f, device);
	/* epoll knows the socket that was opened first; this is another one by the same number. */
	return how == IFPIN_REPIN_REOPENED ? watch(f, f->fd) : 0;
}

static void report(struct follow *f, const char *text)
{
	/* The address came from the command line, without a scope: no need for ifpin_sendmsg(). */
	if (sendto(f->fd, text, strlen(text), 0, (struct sockaddr *)&f->collector,
		    sizeof(f->collector)) < 0)
		printf("%s: not reported: %s\n", text, strerror(errno));
	else
		printf("%s: reported\n", text);
}

static int on_device(struct follow *f)
{
	struct ifpin_event event;
	int r;

	while ((r = ifpin_monitor_next(f->monitor, &event)) == 1) {
		if (event.type == IFPIN_EVENT_GONE)
			f->dead = true;
		if (f->dead &&
			(event.type == IFPIN_EVENT_BACK ||
				event.type == IFPIN_EVENT_ADDRESS_ADDED) &&
			repin(f, &event.device))
			return -1;
		report(f, event.text);
	}
	return r ? fail(f->device, "cannot follow the device", ifpin_strerror(r)) : 0;
}

static void on_answer(struct follow *f)
{
	char text[256];
	ssize_t n;

	while ((n = recv(f->fd, text, sizeof(text), 0)) >= 0)
		printf("collector: %.*s\n", (int)n, text);
}

static int run(struct follow *f)
{
	struct epoll_event event;

	/* What became of the device while the socket was opened is there already. */
	if (on_device(f))
		return -1;
	for (;;) {
		int n = epoll_wait(f->epoll, &event, 1, -1);

		if (n < 0 && errno != EINTR)
			return fail(f->device, "cannot wait", strerror(errno));
		if (n == 1 && event.data.fd == f->fd)
			on_answer(f);
		else if (n == 1 && on_device(f))
			return -1;
	}
}

int main(int argc, char **argv)
{
	struct follow f = {.fd = -1, .collector.sin_family = AF_INET};
	int port;

	if (argc != 4 || inet_pton(AF_INET, argv[2], &f.collector.sin_addr) != 1 ||
		(port = atoi(argv[3])) < 1 || port > 65535) {
		fprintf(stderr, "usage: follow DEVICE COLLECTOR PORT\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	f.device = argv[1];
	f.collector.sin_port = htons((uint16_t)port);
	f.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (f.epoll < 0)
		fail(f.device, "cannot make an epoll", strerror(errno));
	else if (!open_on_device(&f))
		run(&f);
	ifpin_monitor_close(f.monitor);
	if (f.fd >= 0)
		close(f.fd);
	if (f.epoll >= 0)
		close(f.epoll);
	return EXIT_FAILURE;
}
