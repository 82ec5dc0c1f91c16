// SPDX-License-Identifier: MIT
/*
 * One measurement: rates MODE DEVICE ADDRESS SECONDS writes operations (or bytes) per second.
 * DEVICE "-" leaves the socket as it is; any other is given to SO_BINDTODEVICE. What is denied and
 * refused are attempts to use DEVICE all the same.
 * `rates serve ADDRESS` answers them all until its standard input ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BULK_PORT 7001
#define ECHO_PORT 7002
#define SINK_PORT 7003
#define BATCH 64

static const char *device = "-";
static unsigned int other; /* index of a device that may not be used */
static struct sockaddr_in peer = {.sin_family = AF_INET};
static char bulk[1 << 17];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int open_socket(int type)
{
	int fd = socket(AF_INET, type, 0);

	if (fd < 0)
		fail("socket");
	if (strcmp(device, "-") != 0 &&
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device) + 1))
		fail("SO_BINDTODEVICE");
	return fd;
}

static int connected(uint16_t port)
{
	int fd = open_socket(SOCK_STREAM);

	peer.sin_port = htons(port);
	if (connect(fd, (struct sockaddr *)&peer, sizeof(peer)))
		fail("connect");
	return fd;
}

/* A datagram socket that is connected, and one that is not. */
static double udp(int fd)
{
	if (send(fd, bulk, 64, 0) != 64 && errno != EINTR)
		fail("send");
	return 1;
}

static double udp_to(int fd)
{
	if (sendto(fd, bulk, 64, 0, (struct sockaddr *)&peer, sizeof(peer)) != 64 && errno != EINTR)
		fail("sendto");
	return 1;
}

static double tcp(int fd)
{
	ssize_t n = send(fd, bulk, sizeof(bulk), 0);

	if (n <= 0)
		fail("send");
	return (double)n;
}

static double request(int fd)
{
	char byte = 'x';

	(void)fd;
	fd = connected(ECHO_PORT);
	if (send(fd, &byte, 1, 0) != 1 || recv(fd, &byte, 1, 0) != 1)
		fail("request");
	close(fd);
	return 1;
}

static double open_close(int fd)
{
	(void)fd;
	close(open_socket(SOCK_DGRAM));
	return 1;
}

/* By IP_PKTINFO, which a confinement denies once the packet is routed. */
static double denied(int fd)
{
	static union {
		char buf[CMSG_SPACE(sizeof(struct in_pktinfo))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = bulk, .iov_len = 64};
	struct msghdr msg = {
		.msg_name = &peer,
		.msg_namelen = sizeof(peer),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct in_pktinfo *info = (void *)CMSG_DATA(&control.align);

	control.align.cmsg_level = IPPROTO_IP;
	control.align.cmsg_type = IP_PKTINFO;
	control.align.cmsg_len = CMSG_LEN(sizeof(*info));
	info->ipi_ifindex = (int)other;
	if (sendmsg(fd, &msg, 0) >= 0 || (errno != EPERM && errno != EINTR))
		fail("a datagram that should have been denied");
	return 1;
}

/* By an option, which is denied at once. */
static double refused(int fd)
{
	if (!setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &other, sizeof(other)) || errno != EPERM)
		fail("an option that should have been denied");
	return 1;
}

static int listener(const char *addr, uint16_t port, int type)
{
	int fd = socket(AF_INET, type, 0), on = 1;

	inet_pton(AF_INET, addr, &peer.sin_addr);
	peer.sin_port = htons(port);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
		bind(fd, (struct sockaddr *)&peer, sizeof(peer)) ||
		(type == SOCK_STREAM && listen(fd, 512)))
		fail("listen");
	return fd;
}

/* Datagrams are never read: their queue fills up and the rest is dropped, at the same cost. */
static int serve(const char *addr)
{
	struct pollfd pfd[4] = {
		{.fd = STDIN_FILENO, .events = POLLIN},
		{.fd = listener(addr, ECHO_PORT, SOCK_STREAM), .events = POLLIN},
		{.fd = listener(addr, BULK_PORT, SOCK_STREAM), .events = POLLIN},
		{.fd = -1, .events = POLLIN},
	};
	char byte;

	listener(addr, SINK_PORT, SOCK_DGRAM);
	puts("ready");
	fflush(stdout);
	while (poll(pfd, 4, -1) > 0 && !pfd[0].revents) {
		if (pfd[1].revents) {
			int fd = accept(pfd[1].fd, NULL, NULL);

			if (recv(fd, &byte, 1, 0) == 1)
				send(fd, &byte, 1, MSG_NOSIGNAL);
			close(fd);
		}
		if (pfd[2].revents)
			pfd[3].fd = accept(pfd[2].fd, NULL, NULL);
		if (pfd[3].revents && recv(pfd[3].fd, bulk, sizeof(bulk), MSG_DONTWAIT) <= 0 &&
			errno != EAGAIN) {
			close(pfd[3].fd);
			pfd[3].fd = -1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		double (*fn)(int fd);
	} modes[] = {{"udp", udp}, {"udp-to", udp_to}, {"tcp", tcp}, {"request", request},
		{"socket", open_close}, {"denied", denied}, {"refused", refused}};
	double (*fn)(int fd) = NULL;
	double start, end, sum = 0;
	int fd;

	if (argc == 3 && !strcmp(argv[1], "serve"))
		return serve(argv[2]);
	for (size_t i = 0; argc == 5 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(argv[1], modes[i].name))
			fn = modes[i].fn;
	if (!fn || inet_pton(AF_INET, argv[3], &peer.sin_addr) != 1) {
		fputs("usage: rates udp|udp-to|tcp|request|socket|denied|refused DEVICE|- ADDRESS SECONDS\n",
			stderr);
		return 2;
	}
	device = argv[2];
	if (fn == denied || fn == refused) {
		other = if_nametoindex(device);
		device = "-";
	}
	peer.sin_port = htons(SINK_PORT);
	fd = fn == tcp ? connected(BULK_PORT) : open_socket(SOCK_DGRAM);
	if (fn == udp && connect(fd, (struct sockaddr *)&peer, sizeof(peer)))
		fail("connect");
	start = now();
	do {
		for (int i = 0; i < BATCH; i++)
			sum += fn(fd);
		end = now();
	} while (end - start < atof(argv[4]));
	printf("%.0f\n", sum / (end - start));
	return 0;
}
