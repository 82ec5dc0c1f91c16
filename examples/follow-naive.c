// SPDX-License-Identifier: MIT
/*
 * What not to do: follow.c with bind() to the device's address in place of the pin.
 *
 * When the device is switched off, its routes go, and the report of just that leaves by the default
 * route. When it was deleted and is there again nothing needs to be done, and nothing is held.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct follow {
	const char *device;
	struct sockaddr_in collector;
	int fd, monitor, epoll;
};

static int fail(const char *device, const char *what, const char *why)
{
	fprintf(stderr, "follow-naive: %s: %s: %s\n", device, what, why);
	return -1;
}

static int watch(struct follow *f, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &event))
		return fail(f->device, "cannot watch a descriptor", strerror(errno));
	return 0;
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

/* The kernel's own messages about devices: what ifpin_monitor_open() reads. */
static int open_monitor(void)
{
	struct sockaddr_nl groups = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK,
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&groups, sizeof(groups))) {
		close(fd);
		return -1;
	}
	return fd;
}

static int open_on_device(struct follow *f)
{
	struct sockaddr_in own;

	if (find_address(f->device, &own))
		return -1;
	f->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (f->fd < 0)
		return fail(f->device, "cannot open a socket", strerror(errno));
	if (bind(f->fd, (struct sockaddr *)&own, sizeof(own)))
		return fail(f->device, "cannot bind its address", strerror(errno));
	f->monitor = open_monitor();
	if (f->monitor < 0)
		return fail(f->device, "cannot follow the device", strerror(errno));
	printf("bound to an address of %s\n", f->device);
	if (watch(f, f->fd))
		return -1;
	return watch(f, f->monitor);
}

static void report(struct follow *f, const char *text)
{
	if (sendto(f->fd, text, strlen(text), 0, (struct sockaddr *)&f->collector,
		    sizeof(f->collector)) < 0)
		printf("%s: not reported: %s\n", text, strerror(errno));
	else
		printf("%s: reported\n", text);
}

static int on_device(struct follow *f)
{
	char buf[32768] __attribute__((aligned(NLMSG_ALIGNTO))), text[64];
	ssize_t n;

	while ((n = recv(f->monitor, buf, sizeof(buf), 0)) > 0) {
		struct nlmsghdr *nlh = (struct nlmsghdr *)buf;

		for (size_t left = (size_t)n; NLMSG_OK(nlh, left); nlh = NLMSG_NEXT(nlh, left)) {
			struct ifinfomsg *link = NLMSG_DATA(nlh);

			if (nlh->nlmsg_type != RTM_NEWLINK ||
				(unsigned int)link->ifi_index != if_nametoindex(f->device))
				continue;
			snprintf(text, sizeof(text), "%s is switched %s", f->device,
				link->ifi_flags & IFF_UP ? "on" : "off");
			report(f, text);
		}
	}
	return errno == EAGAIN ? 0 : fail(f->device, "cannot follow the device", strerror(errno));
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
	struct follow f = {.fd = -1, .monitor = -1, .collector.sin_family = AF_INET};
	int port;

	if (argc != 4 || inet_pton(AF_INET, argv[2], &f.collector.sin_addr) != 1 ||
		(port = atoi(argv[3])) < 1 || port > 65535) {
		fprintf(stderr, "usage: follow-naive DEVICE COLLECTOR PORT\n");
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
	if (f.monitor >= 0)
		close(f.monitor);
	if (f.fd >= 0)
		close(f.fd);
	if (f.epoll >= 0)
		close(f.epoll);
	return EXIT_FAILURE;
}
