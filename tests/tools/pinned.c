// SPDX-License-Identifier: MIT
/*
 * A program that uses libifpin as it is told: one command a line on standard input, one answer a
 * line on standard output, "ok ..." or "err ERRNO TEXT". What the tests of the library drive, also
 * under valgrind and sanitizers.
 */
#include <ifpin/ifpin.h>
#ifdef HAVE_RESOLVE
#include <ifpin/resolve.h>
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define WORDS 16

static struct ifpin_device devices[10];
static struct ifpin_monitor *monitor;
static char *word[WORDS];
static int words;

/* ---- what commands are made of ---- */

static const char *option(const char *name)
{
	size_t len = strlen(name);

	for (int i = 1; i < words; i++)
		if (!strncmp(word[i], name, len) && word[i][len] == '=')
			return word[i] + len + 1;
	return NULL;
}

static long number(const char *name)
{
	const char *text = option(name);

	return text ? strtol(text, NULL, 0) : 0;
}

/* A bool is given as its bare name. */
static int has(const char *name)
{
	for (int i = 1; i < words; i++)
		if (!strcmp(word[i], name))
			return 1;
	return 0;
}

static int fd(void)
{
	return (int)number("fd");
}

static const struct ifpin_device *device(void)
{
	return devices + number("dev") % 10;
}

static socklen_t address(const char *text, long port, long scope, struct sockaddr_storage *ret)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (!text)
		return 0;
	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
		return sizeof(*in);
	}
	if (inet_pton(AF_INET6, text, &in6->sin6_addr) != 1)
		return 0;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons((uint16_t)port);
	in6->sin6_scope_id = (uint32_t)scope;
	return sizeof(*in6);
}

static void answer(long r, const struct ifpin_error *err)
{
	if (r < 0)
		printf("err %ld %s\n", -r, err && err->code ? err->text : ifpin_strerror((int)r));
	else
		printf("ok %ld\n", r);
}

static const char *mac_text(const uint8_t *mac, size_t len)
{
	static char text[3 * IFPIN_MAC_SIZE + 1];

	strcpy(text, "-");
	for (size_t i = 0; i < len; i++)
		sprintf(text + 3 * i, "%02x%s", mac[i], i + 1 < len ? ":" : "");
	return text;
}

static void print_device(const char *before, const struct ifpin_device *d)
{
	printf("ok %sindex=%u name=%s kind=%s mac=%s master=%u netns=%d flags=%u altnames=%s\n",
		before, d->ifindex, d->name, d->kind, mac_text(d->mac, d->mac_len), d->master,
		d->netns != 0, d->flags, d->altnames);
}

static void read_opts(struct ifpin_socket_opts *o, struct sockaddr_storage *ss)
{
	const char *source = option("source");

	*o = (struct ifpin_socket_opts){.size = sizeof(*o),
		.flags = (uint32_t)number("flags"),
		.port = (uint16_t)number("port")};
	if (source && !strcmp(source, "device")) {
		o->source = IFPIN_SOURCE_DEVICE;
	} else if (source) {
		o->source = IFPIN_SOURCE_ADDRESS;
		o->address_len = address(source, number("port"), number("scope"), ss);
		o->address = (struct sockaddr *)ss;
	}
	if (option("size"))
		o->size = (size_t)number("size");
}

/* ---- devices ---- */

static void do_resolve(void)
{
	struct ifpin_error err = {};
	struct ifpin_device *d = devices + number("dev") % 10;
	int r = ifpin_device_resolve(words > 1 ? word[1] : "", d, &err);

	if (r)
		answer(r, &err);
	else
		print_device("", d);
}

static void do_list(void)
{
	struct ifpin_error err = {};
	struct ifpin_device *v = NULL;
	size_t n = 0, stable = 0;
	int r = ifpin_device_list(&v, &n, &err);

	if (r) {
		answer(r, &err);
		return;
	}
	/* How many have the prefix; thousands of names are nothing for a line. */
	for (size_t i = 0; i < n; i++) {
		if (i && v[i].ifindex <= v[i - 1].ifindex)
			abort();
		if (words > 1 && !strncmp(v[i].name, word[1], strlen(word[1])))
			stable++;
	}
	printf("ok %zu %zu\n", n, stable);
	free(v);
}

static void do_check(void)
{
	static const char *const names[] = {
		"same", "renamed", "back", "replaced", "gone", "other-netns"};
	struct ifpin_error err = {};
	struct ifpin_device now;
	enum ifpin_identity identity;
	int r = ifpin_device_check(device(), &identity, &now, &err);

	if (r)
		answer(r, &err);
	else
		printf("ok %s %u %s\n", names[identity], now.ifindex, now.name);
}

static void do_nameservers(void)
{
	struct ifpin_error err = {};
	struct sockaddr_storage *v = NULL;
	char text[INET6_ADDRSTRLEN];
	size_t n = 0;
	int r = ifpin_device_nameservers(device(), &v, &n, &err);

	if (r) {
		answer(r, &err);
		return;
	}
	printf("ok");
	for (size_t i = 0; i < n; i++) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(v + i);
		bool six = v[i].ss_family == AF_INET6;

		inet_ntop(v[i].ss_family,
			six ? (void *)&in6->sin6_addr
			    : (void *)&((struct sockaddr_in *)(v + i))->sin_addr,
			text, sizeof(text));
		printf(" %s", text);
		if (six && in6->sin6_scope_id)
			printf("%%%u", in6->sin6_scope_id);
	}
	puts("");
	free(v);
}

/* ---- sockets ---- */

static int domain(void)
{
	return has("inet6") ? AF_INET6 : has("unix") ? AF_UNIX : AF_INET;
}

static int type(void)
{
	return has("stream") ? SOCK_STREAM : has("raw") ? SOCK_RAW : SOCK_DGRAM;
}

static void do_socket(void)
{
	struct ifpin_error err = {};
	struct sockaddr_storage ss;
	struct ifpin_socket_opts o;

	read_opts(&o, &ss);
	answer(ifpin_socket(device(), domain(), type() | (has("nonblock") ? SOCK_NONBLOCK : 0),
		       (int)number("protocol"), has("defaults") ? NULL : &o, &err),
		&err);
}

static void do_plain(void)
{
	int new = socket(domain(), type(), (int)number("protocol"));

	answer(new < 0 ? -errno : new, NULL);
}

static void do_pin(void)
{
	struct ifpin_error err = {};
	struct sockaddr_storage ss;
	struct ifpin_socket_opts o;
	int it = fd(), r;

	read_opts(&o, &ss);
	r = ifpin_pin(&it, device(), &o, &err);
	/* The promise: a socket that is not pinned is closed. */
	if (r && (it != -1 || fcntl(fd(), F_GETFD) >= 0))
		abort();
	answer(r, &err);
}

static void do_setsockopt(void)
{
	int value = (int)number("value");
	socklen_t len = sizeof(value);
	int r = has("get") ? getsockopt(fd(), (int)number("level"), (int)number("option"), &value,
				     &len)
			   : setsockopt(fd(), (int)number("level"), (int)number("option"), &value,
				     sizeof(value));

	answer(r ? -errno : value, NULL);
}

static void do_bind(void)
{
	struct sockaddr_storage ss;
	socklen_t len = address(option("to"), number("port"), number("scope"), &ss);

	answer(bind(fd(), (struct sockaddr *)&ss, len) ? -errno : 0, NULL);
}

static void do_listen(void)
{
	answer(listen(fd(), 10) ? -errno : 0, NULL);
}

static void do_accept(void)
{
	int new = accept4(fd(), NULL, NULL, SOCK_CLOEXEC);

	answer(new < 0 ? -errno : new, NULL);
}

static void do_connect(void)
{
	struct sockaddr_storage ss;
	socklen_t len = address(option("to"), number("port"), number("scope"), &ss);

	/* Without a destination it is AF_UNSPEC. */
	if (has("plain"))
		answer(connect(fd(), (struct sockaddr *)&ss, len ?: sizeof(ss)) ? -errno : 0, NULL);
	else
		answer(ifpin_connect(fd(), device(), (struct sockaddr *)&ss, len ?: sizeof(ss)),
			NULL);
}

/* cmsg=LEVEL:TYPE:HEX, so that anything can be in it, malformed or not. */
static size_t control(const char *text, uint8_t *buf, size_t size)
{
	struct cmsghdr *c = (struct cmsghdr *)buf;
	unsigned int byte;
	size_t n = 0;
	char *end;

	memset(buf, 0, size);
	if (!text)
		return 0;
	c->cmsg_level = (int)strtol(text, &end, 0);
	c->cmsg_type = (int)strtol(end + 1, &end, 0);
	for (end++; sscanf(end, "%2x", &byte) == 1 && CMSG_SPACE(n + 1) < size; end += 2)
		CMSG_DATA(c)[n++] = (uint8_t)byte;
	c->cmsg_len = CMSG_LEN(n) + (size_t)number("lie");
	return CMSG_SPACE(n);
}

static void do_send(void)
{
	const char *text = option("text") ?: "ifpin-test-marker";
	struct iovec iov = {.iov_base = (void *)text, .iov_len = strlen(text)};
	uint8_t buf[256] __attribute__((aligned(8)));
	struct sockaddr_storage ss;
	struct mmsghdr m[2] = {};
	struct msghdr *msg = &m[1].msg_hdr;

	msg->msg_namelen = address(option("to"), number("port"), number("scope"), &ss);
	msg->msg_name = msg->msg_namelen ? &ss : NULL;
	if (has("nofamily"))
		ss.ss_family = AF_UNSPEC;
	msg->msg_iov = &iov;
	msg->msg_iovlen = 1;
	msg->msg_controllen = control(option("cmsg"), buf, sizeof(buf));
	msg->msg_control = msg->msg_controllen ? buf : NULL;
	m[0].msg_hdr = (struct msghdr){.msg_name = msg->msg_name,
		.msg_namelen = msg->msg_namelen,
		.msg_iov = &iov,
		.msg_iovlen = 1};
	if (has("plain")) {
		ssize_t n = sendmsg(fd(), msg, has("more") ? MSG_MORE : 0);

		answer(n < 0 ? -errno : n, NULL);
	} else if (has("two")) {
		answer(ifpin_sendmmsg(fd(), device(), m, 2, 0), NULL);
	} else {
		answer(ifpin_sendmsg(fd(), device(), msg, 0), NULL);
	}
}

static void do_receive(void)
{
	struct pollfd pfd = {.fd = fd(), .events = POLLIN};
	char buf[2048];
	ssize_t n;

	if (poll(&pfd, 1, (int)(number("timeout") ?: 5000)) != 1) {
		answer(-ETIMEDOUT, NULL);
		return;
	}
	n = recv(fd(), buf, sizeof(buf) - 1, 0);
	if (n < 0) {
		answer(-errno, NULL);
		return;
	}
	/* A raw socket has the header, too. */
	buf[n] = 0;
	printf("ok %s\n", has("raw") || n < 20 || buf[0] != 0x45 ? buf : buf + 20);
}

static void do_membership(void)
{
	struct ifpin_error err = {};
	struct sockaddr_storage group, source;
	bool has_source = address(option("source"), 0, 0, &source);

	address(option("group"), 0, 0, &group);
	answer((!strcmp(word[0], "join") ? ifpin_join : ifpin_leave)(fd(), device(),
		       (struct sockaddr *)&group, has_source ? (struct sockaddr *)&source : NULL,
		       &err),
		&err);
}

static void do_inspect(void)
{
	static const char *const verdicts[] = {
		"pinned", "unpinned", "elsewhere", "dead", "incomplete"};
	struct ifpin_inspection i;
	struct ifpin_error err = {};
	int r = ifpin_inspect(fd(), option("dev") ? device() : NULL, &i, &err);

	if (r)
		answer(r, &err);
	else
		printf("ok %s bound=%u unicast=%u alive=%d same=%d local=%d peer=%d %s\n",
			verdicts[i.verdict], i.bound_ifindex, i.unicast_ifindex, i.alive, i.same,
			i.local_is_devices, i.peer_routed_there, i.text);
}

static void do_repin(void)
{
	static const char *const names[] = {"kept", "rebound", "reopened"};
	struct sockaddr_storage ss;
	struct ifpin_socket_opts o;
	struct ifpin_error err = {};
	enum ifpin_repinned how;
	int r;

	read_opts(&o, &ss);
	r = ifpin_repin(fd(), device(), &o, &how, &err);
	if (r)
		answer(r, &err);
	else
		printf("ok %s\n", names[how]);
}

static void do_close(void)
{
	answer(close(fd()) ? -errno : 0, NULL);
}

/* ---- the monitor ---- */

static void do_monitor(void)
{
	struct ifpin_error err = {};

	ifpin_monitor_close(monitor);
	monitor = NULL;
	answer(ifpin_monitor_open(device(), &monitor, &err), &err);
}

static void do_next(void)
{
	static const char *const names[] = {"gone", "back", "renamed", "replaced", "up", "down",
		"carrier", "no-carrier", "mac", "address-added", "address-removed", "resynced"};
	struct pollfd pfd = {.fd = ifpin_monitor_fd(monitor), .events = POLLIN};
	struct ifpin_event ev;
	int r = ifpin_monitor_next(monitor, &ev);

	while (!r && poll(&pfd, 1, (int)number("timeout")) == 1)
		r = ifpin_monitor_next(monitor, &ev);
	if (r < 0)
		answer(r, NULL);
	else if (!r)
		puts("ok none");
	else
		printf("ok %s %u %s\n", names[ev.type], ev.device.ifindex, ev.text);
	/* What is followed goes on by another name or index. */
	if (r > 0 && ifpin_monitor_device(monitor))
		devices[9] = *ifpin_monitor_device(monitor);
}

/* Makes the socket of the monitor lose messages: a buffer for next to nothing. */
static void do_shrink(void)
{
	int room = 1;

	answer(setsockopt(ifpin_monitor_fd(monitor), SOL_SOCKET, SO_RCVBUF, &room, sizeof(room))
			? -errno
			: 0,
		NULL);
}

/* ---- names ---- */

#ifdef HAVE_RESOLVE
static void do_host(void)
{
	struct sockaddr_storage servers[4];
	char list[256] = "", *save = NULL;
	struct itimerspec its = {.it_value.tv_nsec = number("cancel") * 1000000L};
	struct ifpin_connect_opts o = {.size = sizeof(o),
		.family = has("inet6")	? AF_INET6
			  : has("inet") ? AF_INET
					: 0,
		.timeout_ms = (uint32_t)number("timeout"),
		.attempt_delay_ms = (uint32_t)number("delay")};
	struct ifpin_socket_opts s = {.size = sizeof(s), .port = (uint16_t)number("own-port")};
	struct ifpin_error err = {};
	int cancel = -1, r;

	o.socket = s.port ? &s : NULL;

	if (option("servers")) {
		snprintf(list, sizeof(list), "%s", option("servers"));
		for (char *w = strtok_r(list, ",", &save); w; w = strtok_r(NULL, ",", &save))
			address(w, number("dns-port"), 0, servers + o.n_servers++);
		o.servers = servers;
	}
	if (option("cancel")) {
		cancel = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
		timerfd_settime(cancel, 0, &its, NULL);
	}
	r = ifpin_connect_host(
		device(), words > 1 ? word[1] : "", (uint16_t)number("port"), &o, cancel, &err);
	if (cancel >= 0)
		close(cancel);
	answer(r, &err);
}
#endif

/* ---- the rest ---- */

static void do_uid(void)
{
	answer(setresuid(65534, 65534, 65534) ? -errno : 0, NULL);
}

static void do_netns(void)
{
	answer(unshare(CLONE_NEWNET) ? -errno : 0, NULL);
}

static const struct {
	const char *name;
	void (*fn)(void);
} commands[] = {
	{"resolve", do_resolve},
	{"list", do_list},
	{"check", do_check},
	{"nameservers", do_nameservers},
	{"socket", do_socket},
	{"plain", do_plain},
	{"pin", do_pin},
	{"option", do_setsockopt},
	{"bind", do_bind},
	{"listen", do_listen},
	{"accept", do_accept},
	{"connect", do_connect},
	{"send", do_send},
	{"receive", do_receive},
	{"join", do_membership},
	{"leave", do_membership},
	{"inspect", do_inspect},
	{"repin", do_repin},
	{"close", do_close},
	{"monitor", do_monitor},
	{"next", do_next},
	{"shrink", do_shrink},
#ifdef HAVE_RESOLVE
	{"host", do_host},
#endif
	{"uid", do_uid},
	{"netns", do_netns},
};

static void obey(char *line)
{
	char *save = NULL;

	words = 0;
	for (char *w = strtok_r(line, " \n", &save); w && words < WORDS;
		w = strtok_r(NULL, " \n", &save))
		word[words++] = w;
	for (size_t i = 0; words && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(word[0], commands[i].name)) {
			commands[i].fn();
			return;
		}
	puts("err 0 no such command");
}

int main(void)
{
	char line[1024];

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ok ready");
	while (fgets(line, sizeof(line), stdin))
		obey(line);
	ifpin_monitor_close(monitor);
	return 0;
}
