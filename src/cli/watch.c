// SPDX-License-Identifier: MIT
#include "cli.h"
#include "show.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum { OPT_JSON = 256 };

static const struct option options[] = {
	{"json", no_argument, NULL, OPT_JSON},
	{"help", no_argument, NULL, 'h'},
	{},
};

static const char help_text[] =
	"Usage: ifpin watch [--json] [NAME]\n"
	"\n"
	"Tell what confinements deny, as it happens, one a line: of the confinement NAME, or of all, also\n"
	"of those that are attached or run later. Interrupt it to end it.\n"
	"\n"
	"Options:\n"
	"  --json      write one JSON object a line\n"
	"  -h, --help  this text\n"
	"\n"
	"A confinement tells up to 1,000 denials a second; what is above is counted.\n"
	"Exit status: 0 when it was interrupted, 125 on failure.\n";

/* Users are few, and asking for a name may take long. */
struct user {
	uint32_t uid;
	char name[32];
};

struct watch {
	bool json;
	uint64_t told, counted, lost;
	struct user users[64];
	size_t n_users;
};

/* ---- words ---- */

static const char *user_name(struct watch *w, uint32_t uid)
{
	size_t n = sizeof(w->users) / sizeof(w->users[0]);
	const struct passwd *pw;
	struct user *u;

	for (size_t i = 0; i < w->n_users && i < n; i++)
		if (w->users[i].uid == uid)
			return w->users[i].name;
	u = &w->users[w->n_users++ % n];
	u->uid = uid;
	pw = getpwuid(uid);
	if (pw)
		show_clean(pw->pw_name, u->name, sizeof(u->name));
	else
		snprintf(u->name, sizeof(u->name), "%u", uid);
	return u->name;
}

static const char *protocol_name(uint16_t protocol, char buf[16])
{
	switch (protocol) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_UDPLITE:
		return "udplite";
	case IPPROTO_ICMP:
		return "icmp";
	case IPPROTO_ICMPV6:
		return "icmp6";
	case IPPROTO_IGMP:
		return "igmp";
	case IPPROTO_SCTP:
		return "sctp";
	case IPPROTO_MPTCP:
		return "mptcp";
	}
	snprintf(buf, 16, "ip-%u", protocol);
	return buf;
}

static bool is_zero(const uint8_t a[16])
{
	static const uint8_t zero[16];

	return !memcmp(a, zero, sizeof(zero));
}

/* Return: whether it is IPv6. */
static bool address_text(const uint8_t a[16], char ret[INET6_ADDRSTRLEN])
{
	struct in6_addr six;
	bool v4;

	memcpy(&six, a, sizeof(six));
	v4 = IN6_IS_ADDR_V4MAPPED(&six);
	if (v4)
		inet_ntop(AF_INET, a + 12, ret, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, &six, ret, INET6_ADDRSTRLEN);
	return !v4;
}

static void print_address(const uint8_t a[16], uint16_t port)
{
	char text[INET6_ADDRSTRLEN];
	bool six = address_text(a, text);

	if (port)
		printf(six ? "[%s]:%u" : "%s:%u", text, port);
	else
		fputs(text, stdout);
}

static const char *time_text(uint64_t ns, char ret[40])
{
	char clock[32];

	snprintf(ret, 40, "%s.%06u", show_time((int64_t)(ns / 1000000000), "%T", clock),
		(unsigned int)(ns % 1000000000 / 1000));
	return ret;
}

/* ---- lines ---- */

static void print_who(struct watch *w, const struct ifpin_denied *d)
{
	char comm[64];

	if (d->pid)
		printf("%s(%u)", show_name(d->comm, comm), d->pid);
	else
		fputs(d->by_kernel ? "kernel" : "?", stdout);
	printf(" %s", user_name(w, d->uid));
}

/* "in0 udp 10.0.1.1:4711 > 10.0.2.2:53", as far as it is known. */
static void print_where(const struct ifpin_denied *d)
{
	char name[64], number[16];

	if (*d->device)
		printf(" %s", show_name(d->device, name));
	else if (d->ifindex)
		printf(" index:%u", d->ifindex);
	else
		fputs(" -", stdout);
	if (d->protocol)
		printf(" %s", protocol_name(d->protocol, number));
	if (!is_zero(d->src)) {
		putchar(' ');
		print_address(d->src, d->sport);
	}
	if (!is_zero(d->dst)) {
		fputs(" > ", stdout);
		print_address(d->dst, d->dport);
	}
}

static void on_denied(void *ctx, const struct ifpin_denied *d)
{
	struct watch *w = ctx;
	char when[40], what[sizeof(d->what)];

	w->told++;
	printf("%s %s ", time_text(d->time, when), d->pin);
	print_who(w, d);
	print_where(d);
	printf(": %s (%s)\n", show_clean(d->what, what, sizeof(what)), d->reason);
}

static const char *grouped(uint64_t n, char ret[32])
{
	char digits[24];
	size_t len = (size_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n),
	       to = 0;

	for (size_t i = 0; i < len; i++) {
		if (i && !((len - i) % 3))
			ret[to++] = ',';
		ret[to++] = digits[i];
	}
	ret[to] = 0;
	return ret;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void count_burst(struct watch *w, const struct ifpin_burst *b)
{
	if (b->lost)
		w->lost += b->count;
	else
		w->counted += b->count;
}

static void on_burst(void *ctx, const struct ifpin_burst *b)
{
	char when[40], n[32];

	count_burst(ctx, b);
	printf("%s %s … %s more: ", time_text(now_ns(), when), b->pin, grouped(b->count, n));
	if (b->lost)
		puts("lost, for they came faster than they were read here");
	else
		printf("%s (%s)\n", b->text, b->reason);
}

/* ---- JSON ---- */

static struct json_object *line_of(const char *type, const char *pin, uint64_t time)
{
	struct json_object *o = json_object_new_object();

	show_string(o, "type", type);
	show_number(o, "time_ns", time);
	show_string(o, "confinement", pin);
	return o;
}

static void put_address(struct json_object *o, const char *key, const char *port_key,
	const uint8_t a[16], uint16_t port)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (!is_zero(a))
		address_text(a, text);
	show_string(o, key, text);
	json_object_object_add(o, port_key, port ? json_object_new_int(port) : NULL);
}

static void json_denied(void *ctx, const struct ifpin_denied *d)
{
	struct json_object *o = line_of("denied", d->pin, d->time);
	char text[sizeof(d->what)], number[16];

	((struct watch *)ctx)->told++;
	show_string(o, "reason", d->reason);
	show_string(o, "what", show_clean(d->what, text, sizeof(text)));
	json_object_object_add(o, "pid", d->pid ? json_object_new_uint64(d->pid) : NULL);
	show_string(o, "process", show_name(d->comm, text));
	show_bool(o, "by_kernel", d->by_kernel);
	show_number(o, "uid", d->uid);
	json_object_object_add(
		o, "ifindex", d->ifindex ? json_object_new_uint64(d->ifindex) : NULL);
	show_string(o, "device", d->device);
	json_object_object_add(
		o, "bound_ifindex", d->bound ? json_object_new_uint64(d->bound) : NULL);
	show_string(o, "protocol", d->protocol ? protocol_name(d->protocol, number) : "");
	put_address(o, "source", "source_port", d->src, d->sport);
	put_address(o, "destination", "destination_port", d->dst, d->dport);
	show_line(o);
}

static void json_burst(void *ctx, const struct ifpin_burst *b)
{
	struct json_object *o = line_of(b->lost ? "lost" : "counted", b->pin, now_ns());

	count_burst(ctx, b);
	show_string(o, "reason", b->lost ? "" : b->reason);
	show_number(o, "count", b->count);
	show_line(o);
}

/* ---- the command ---- */

static void sum_up(const struct watch *w)
{
	char told[32], counted[32], lost[32];

	if (w->json) {
		struct json_object *o = line_of("summary", "", now_ns());

		show_number(o, "told", w->told);
		show_number(o, "counted", w->counted);
		show_number(o, "lost", w->lost);
		show_line(o);
		return;
	}
	fprintf(stderr, "ifpin: %s denied; %s more were only counted, %s lost\n",
		grouped(w->told, told), grouped(w->counted, counted), grouped(w->lost, lost));
}

/* The end comes by a signal, or when nobody reads what is written. */
static int follow(struct watch *w, struct ifpin_watcher *watcher, int signals)
{
	struct pollfd fds[] = {
		{.fd = ifpin_watcher_fd(watcher), .events = POLLIN},
		{.fd = signals, .events = POLLIN},
		{.fd = STDOUT_FILENO}, /* POLLERR is told unasked */
	};
	struct ifpin_error err;

	for (;;) {
		int r = poll(fds, 3, ifpin_watcher_timeout(watcher));

		if (r < 0 && errno != EINTR) {
			perror("ifpin: poll");
			return 125;
		}
		/* What came before the signal is still told. */
		r = ifpin_watcher_step(watcher, &err);
		if (r)
			show_error(&err);
		if (fflush(stdout) || fds[2].revents & (POLLERR | POLLNVAL))
			return 0;
		if (fds[1].revents)
			break;
	}
	sum_up(w);
	return 0;
}

static int watch(struct watch *w, const char *name)
{
	struct ifpin_watcher *watcher;
	struct ifpin_error err;
	sigset_t mask;
	int signals, r;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN);
	signals = signalfd(-1, &mask, SFD_CLOEXEC);
	if (signals < 0) {
		perror("ifpin: signalfd");
		return 125;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	r = ifpin_watcher_open(name, w->json ? json_denied : on_denied,
		w->json ? json_burst : on_burst, w, &watcher, &err);
	if (r) {
		show_error(&err);
		close(signals);
		return 125;
	}
	/* Whoever starts this waits for it, and then for what is denied. */
	if (w->json)
		show_line(line_of("watching", name ?: "", now_ns()));
	else
		fprintf(stderr, "ifpin: watching %s; interrupt to end\n",
			name ?: "all confinements");
	r = follow(w, watcher, signals);
	ifpin_watcher_close(watcher);
	close(signals);
	return r;
}

int cmd_watch(int argc, char **argv)
{
	struct watch w = {};
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help_text, stdout);
			return 0;
		}
		if (c != OPT_JSON)
			return usage_error("watch", 125);
		w.json = true;
	}
	if (argc - optind > 1) {
		fprintf(stderr, "ifpin: watch: unexpected argument \"%s\"\n", argv[optind + 1]);
		return usage_error("watch", 125);
	}
	return watch(&w, argv[optind]);
}
