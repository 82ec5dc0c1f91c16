// SPDX-License-Identifier: MIT
/*
 * The socket ring against the plain calls that it stands for: lib_rates DEVICE ADDRESS SECONDS
 * reads one measurement a line from standard input and answers each with one line. So both sides of
 * a pair are measured in one process, and where they send, on one socket.
 *
 * Most answers are operations per second. For "monitor" and "reader" it is the processor time in
 * microseconds that reading took of what was queued since the last time, and the number of
 * messages, which the monitor does not tell; an answer of "lost" says that some were not there.
 */
#include <ifpin/ifpin.h>

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SINK_PORT 7003
#define BATCH 64
#define ROOM (8 << 20) /* as the monitor's own socket has */
#define SKIP_STATS 8   /* RTEXT_FILTER_SKIP_STATS */
#define STRIDE 7919    /* a prime: every name has its turn */

static struct ifpin_device device;
static struct sockaddr_in peer = {.sin_family = AF_INET};
static char payload[64];
static struct iovec iov = {.iov_base = payload, .iov_len = sizeof(payload)};
static struct msghdr bare = {.msg_iov = &iov, .msg_iovlen = 1}, with_info;
static int pinned = -1;
static struct if_nameindex *names;
static size_t n_names, at_name;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void fail_ifpin(const char *what, const struct ifpin_error *err)
{
	fprintf(stderr, "%s: %s\n", what, err->text);
	exit(1);
}

static double now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- sending ---- */

static void open_pinned(void)
{
	static union {
		char buf[CMSG_SPACE(sizeof(struct in_pktinfo))];
		struct cmsghdr align;
	} control;
	struct in_pktinfo info = {.ipi_ifindex = (int)device.ifindex};
	struct ifpin_error err;
	struct cmsghdr *c;

	pinned = ifpin_socket(&device, AF_INET, SOCK_DGRAM, 0, NULL, &err);
	if (pinned < 0)
		fail_ifpin("ifpin_socket", &err);
	if (connect(pinned, (struct sockaddr *)&peer, sizeof(peer)))
		fail("connect");
	with_info = bare;
	with_info.msg_control = control.buf;
	with_info.msg_controllen = sizeof(control.buf);
	c = CMSG_FIRSTHDR(&with_info);
	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
}

static void send_ifpin(void)
{
	if (ifpin_sendmsg(pinned, &device, &bare, 0) != sizeof(payload))
		fail("ifpin_sendmsg");
}

static void send_bare(void)
{
	if (sendmsg(pinned, &bare, 0) != sizeof(payload))
		fail("sendmsg");
}

static void info_ifpin(void)
{
	if (ifpin_sendmsg(pinned, &device, &with_info, 0) != sizeof(payload))
		fail("ifpin_sendmsg");
}

static void info_bare(void)
{
	if (sendmsg(pinned, &with_info, 0) != sizeof(payload))
		fail("sendmsg");
}

/* ---- opening ---- */

static void open_ifpin(int domain, int type)
{
	struct ifpin_error err;
	int fd = ifpin_socket(&device, domain, type, 0, NULL, &err);

	if (fd < 0)
		fail_ifpin("ifpin_socket", &err);
	close(fd);
}

static void open_bare(int domain, int type)
{
	int fd = socket(domain, type | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device.name,
			      (socklen_t)strlen(device.name) + 1))
		fail("SO_BINDTODEVICE");
	close(fd);
}

static void udp_ifpin(void)
{
	open_ifpin(AF_INET, SOCK_DGRAM);
}

static void udp_bare(void)
{
	open_bare(AF_INET, SOCK_DGRAM);
}

static void tcp_ifpin(void)
{
	open_ifpin(AF_INET, SOCK_STREAM);
}

static void tcp_bare(void)
{
	open_bare(AF_INET, SOCK_STREAM);
}

static void udp6_ifpin(void)
{
	open_ifpin(AF_INET6, SOCK_DGRAM);
}

static void udp6_bare(void)
{
	open_bare(AF_INET6, SOCK_DGRAM);
}

/* ---- looking up, each time another name ---- */

static const char *next_name(void)
{
	if (!names) {
		names = if_nameindex();
		if (!names)
			fail("if_nameindex");
		while (names[n_names].if_index)
			n_names++;
	}
	at_name = (at_name + STRIDE) % n_names;
	return names[at_name].if_name;
}

static void resolve_ifpin(void)
{
	struct ifpin_error err;
	struct ifpin_device d;

	if (ifpin_device_resolve(next_name(), &d, &err))
		fail_ifpin("ifpin_device_resolve", &err);
}

static int count(const struct nlmsghdr *nlh, void *data)
{
	(void)nlh;
	++*(unsigned long *)data;
	return MNL_CB_OK;
}

static void resolve_bare(void)
{
	unsigned int ifindex = if_nametoindex(next_name());
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	char buf[32768];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	unsigned long answers = 0;
	ssize_t n;

	if (!ifindex || !nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0)
		fail("netlink");
	nlh->nlmsg_type = RTM_GETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	nlh->nlmsg_seq = 1;
	ifi->ifi_index = (int)ifindex;
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, SKIP_STATS);
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		fail("sendto");
	n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
	if (n < 0 ||
		mnl_cb_run(buf, (size_t)n, 1, mnl_socket_get_portid(nl), count, &answers) < 0 ||
		answers != 1)
		fail("RTM_GETLINK");
	mnl_socket_close(nl);
}

/* ---- following; the first time opens what listens ---- */

static void monitor(void)
{
	static struct ifpin_monitor *m;
	struct ifpin_event ev;
	struct ifpin_error err;
	bool lost = false;
	double start;
	int r;

	if (!m && ifpin_monitor_open(&device, &m, &err))
		fail_ifpin("ifpin_monitor_open", &err);
	start = now(CLOCK_THREAD_CPUTIME_ID);
	while ((r = ifpin_monitor_next(m, &ev)) > 0)
		lost = lost || ev.type == IFPIN_EVENT_RESYNCED;
	start = now(CLOCK_THREAD_CPUTIME_ID) - start;
	if (r || lost)
		puts("lost");
	else
		printf("%.3f\n", start * 1e6);
}

static struct mnl_socket *open_reader(void)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int room = ROOM;

	if (!nl ||
		mnl_socket_bind(nl, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
			MNL_SOCKET_AUTOPID) < 0 ||
		setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		fail("netlink");
	return nl;
}

static void reader(void)
{
	static struct mnl_socket *nl;
	static char buf[32768];
	unsigned long messages = 0;
	double start;
	ssize_t n;

	if (!nl)
		nl = open_reader();
	start = now(CLOCK_THREAD_CPUTIME_ID);
	while ((n = mnl_socket_recvfrom(nl, buf, sizeof(buf))) > 0)
		if (mnl_cb_run(buf, (size_t)n, 0, 0, count, &messages) < 0)
			fail("mnl_cb_run");
	start = now(CLOCK_THREAD_CPUTIME_ID) - start;
	if (n < 0 && errno != EAGAIN)
		puts("lost");
	else
		printf("%.3f %lu\n", start * 1e6, messages);
}

/* ---- one line, one answer ---- */

static void rate(void (*fn)(void), double seconds)
{
	double start, end, sum = 0;

	fn(); /* what is done once is not measured */
	start = now(CLOCK_MONOTONIC);
	do {
		for (int i = 0; i < BATCH; i++)
			fn();
		sum += BATCH;
		end = now(CLOCK_MONOTONIC);
	} while (end - start < seconds);
	printf("%.0f\n", sum / (end - start));
}

static void measure(const char *what, double seconds)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} rates[] = {{"send", send_ifpin}, {"send-bare", send_bare}, {"info", info_ifpin},
		{"info-bare", info_bare}, {"udp", udp_ifpin}, {"udp-bare", udp_bare},
		{"tcp", tcp_ifpin}, {"tcp-bare", tcp_bare}, {"udp6", udp6_ifpin},
		{"udp6-bare", udp6_bare}, {"resolve", resolve_ifpin},
		{"resolve-bare", resolve_bare}};

	if (!strcmp(what, "monitor"))
		return monitor();
	if (!strcmp(what, "reader"))
		return reader();
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
		if (!strcmp(what, rates[i].name))
			return rate(rates[i].fn, seconds);
	fprintf(stderr, "%s: no such measurement\n", what);
	exit(2);
}

int main(int argc, char **argv)
{
	struct ifpin_error err;
	char line[64];

	if (argc != 4 || inet_pton(AF_INET, argv[2], &peer.sin_addr) != 1) {
		fputs("usage: lib_rates DEVICE ADDRESS SECONDS\n", stderr);
		return 2;
	}
	peer.sin_port = htons(SINK_PORT);
	if (ifpin_device_resolve(argv[1], &device, &err))
		fail_ifpin(argv[1], &err);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (pinned < 0 && (!strncmp(line, "send", 4) || !strncmp(line, "info", 4)))
			open_pinned();
		measure(line, atof(argv[3]));
		fflush(stdout);
	}
	return 0;
}
