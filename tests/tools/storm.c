// SPDX-License-Identifier: MIT
/*
 * A storm of processes that open sockets and send marked packets to 10.0.2.2 by every plain way
 * there is, without end: storm CGROUP IFINDEX WORKERS PAUSE_US [pass]. It opens some sockets before
 * it enters the cgroup, which its processes have, too; with "pass" they hand them to each other as
 * well, so that a socket may be nowhere but in a message. Writes a byte for each round of a worker,
 * as far as somebody reads them.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/ip_icmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define N_FOREIGN 3

static char marker[] = "ifpin-test-marker";
static struct sockaddr_in to4 = {.sin_family = AF_INET};
static struct sockaddr_in6 to6 = {.sin6_family = AF_INET6};
static int device;
static int foreign[N_FOREIGN];
static int ring[2]; /* foreign sockets on their way */

static void by_pktinfo(int fd)
{
	struct iovec iov = {marker, sizeof(marker)};
	struct in_pktinfo info = {.ipi_ifindex = device};
	char control[CMSG_SPACE(sizeof(info))] __attribute__((aligned(8))) = {};
	struct cmsghdr *c = (struct cmsghdr *)control;
	struct msghdr m = {.msg_name = &to4,
		.msg_namelen = sizeof(to4),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};

	c->cmsg_len = CMSG_LEN(sizeof(info));
	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	sendmsg(fd, &m, MSG_DONTWAIT);
}

static void ping(int fd)
{
	char packet[sizeof(struct icmphdr) + sizeof(marker)] = {ICMP_ECHO};

	memcpy(packet + sizeof(struct icmphdr), marker, sizeof(marker));
	sendto(fd, packet, sizeof(packet), MSG_DONTWAIT, (struct sockaddr *)&to4, sizeof(to4));
}

static void by_udp(int fd)
{
	sendto(fd, marker, sizeof(marker), MSG_DONTWAIT, (struct sockaddr *)&to4, sizeof(to4));
	by_pktinfo(fd);
}

/* Tied to the other device by whoever may; without the right order of things it would stay so. */
static void by_binding(int fd)
{
	setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &device, sizeof(device));
	sendto(fd, marker, sizeof(marker), MSG_DONTWAIT, (struct sockaddr *)&to4, sizeof(to4));
}

static void new_sockets(void)
{
	int udp = socket(AF_INET, SOCK_DGRAM, 0), bound = socket(AF_INET, SOCK_DGRAM, 0),
	    connected = socket(AF_INET, SOCK_DGRAM, 0), udp6 = socket(AF_INET6, SOCK_DGRAM, 0),
	    raw = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP),
	    tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	by_udp(udp);
	by_binding(bound);
	if (!connect(connected, (struct sockaddr *)&to4, sizeof(to4)))
		send(connected, marker, sizeof(marker), MSG_DONTWAIT);
	sendto(udp6, marker, sizeof(marker), MSG_DONTWAIT, (struct sockaddr *)&to6, sizeof(to6));
	ping(raw);
	connect(tcp, (struct sockaddr *)&to4, sizeof(to4));
	close(udp);
	close(bound);
	close(connected);
	close(udp6);
	close(raw);
	close(tcp);
}

static void old_sockets(void)
{
	by_udp(foreign[0]);
	send(foreign[1], marker, sizeof(marker), MSG_DONTWAIT);
	sendto(foreign[2], marker, sizeof(marker), MSG_DONTWAIT, (struct sockaddr *)&to6,
		sizeof(to6));
}

/* ---- sockets in messages ---- */

static void hand_over(int fd)
{
	struct iovec iov = {marker, 1};
	char control[CMSG_SPACE(sizeof(fd))] __attribute__((aligned(8))) = {};
	struct cmsghdr *c = (struct cmsghdr *)control;
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};

	c->cmsg_len = CMSG_LEN(sizeof(fd));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	while (sendmsg(ring[0], &m, 0) < 0 && errno == EINTR)
		;
}

static int take_over(void)
{
	char byte, control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *c;
	int fd = -1;

	if (recvmsg(ring[1], &m, 0) != 1)
		return -1;
	c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* Takes one, uses it, and passes it on; in between nobody has it. */
static void pass_on(void)
{
	int fd = take_over();

	if (fd < 0)
		return;
	sendto(fd, marker, sizeof(marker), MSG_DONTWAIT, (struct sockaddr *)&to4, sizeof(to4));
	hand_over(fd);
	close(fd);
}

/* ---- */

static void work(long pause_us, bool passes)
{
	const struct timespec pause = {.tv_nsec = pause_us * 1000};

	for (;;) {
		pid_t pid = fork();

		if (!pid) {
			new_sockets();
			old_sockets();
			_exit(0);
		}
		if (passes)
			pass_on();
		new_sockets();
		old_sockets();
		if (pid > 0)
			waitpid(pid, NULL, 0);
		if (write(1, ".", 1) < 0 && errno != EAGAIN)
			exit(0);
		nanosleep(&pause, NULL);
	}
}

static void open_foreign(void)
{
	foreign[0] = socket(AF_INET, SOCK_DGRAM, 0);
	foreign[1] = socket(AF_INET, SOCK_DGRAM, 0);
	foreign[2] = socket(AF_INET6, SOCK_DGRAM, 0);
	if (connect(foreign[1], (struct sockaddr *)&to4, sizeof(to4)))
		err(1, "connect");
	for (int i = 0; i < N_FOREIGN; i++)
		if (foreign[i] < 0)
			err(1, "socket");
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ring))
		err(1, "socketpair");
}

static void enter(const char *cgroup)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		err(1, "%s", path);
	close(fd);
}

int main(int argc, char **argv)
{
	bool passes = argc == 6 && !strcmp(argv[5], "pass");

	if (argc != 5 && !passes)
		errx(1, "usage: storm CGROUP IFINDEX WORKERS PAUSE_US [pass]");
	device = atoi(argv[2]);
	to4.sin_port = to6.sin6_port = htons(9);
	inet_pton(AF_INET, "10.0.2.2", &to4.sin_addr);
	inet_pton(AF_INET6, "fd00:2::2", &to6.sin6_addr);
	signal(SIGPIPE, SIG_DFL);
	open_foreign();
	for (int i = 0; passes && i < 2; i++) {
		int fd = socket(AF_INET, SOCK_DGRAM, 0);

		hand_over(fd);
		close(fd);
	}
	enter(argv[1]);
	fcntl(1, F_SETFL, O_NONBLOCK);
	for (int i = 1; i < atoi(argv[3]); i++)
		if (!fork())
			work(atol(argv[4]), passes);
	work(atol(argv[4]), passes);
}
