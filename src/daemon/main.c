// SPDX-License-Identifier: MIT
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

enum { OPT_CONFIG = 256, OPT_RUNTIME, OPT_GROUP, OPT_CGROUP, OPT_METRICS, OPT_EXPORTER, OPT_BPFFS };

static const struct option options[] = {
	{"config", required_argument, NULL, OPT_CONFIG},
	{"runtime", required_argument, NULL, OPT_RUNTIME},
	{"group", required_argument, NULL, OPT_GROUP},
	{"cgroup", required_argument, NULL, OPT_CGROUP},
	{"metrics", required_argument, NULL, OPT_METRICS},
	{"exporter", required_argument, NULL, OPT_EXPORTER},
	{"bpffs", required_argument, NULL, OPT_BPFFS},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{},
};

static const char help_text[] =
	"Usage: ifpind [OPTIONS]\n"
	"\n"
	"Keep in force the pins and fences that the files of a folder ask for, follow their devices, and\n"
	"let users run commands in pins. It stays in the foreground; SIGHUP reads the files anew. What is in force\n"
	"is held by the kernel: it stays when ifpind ends, however that comes about.\n"
	"\n"
	"Options:\n"
	"  --config=DIR             the files, NAME.conf (" IFPIN_CONFIG_DIR ")\n"
	"  --runtime=DIR            where the sockets are made (/run/ifpin)\n"
	"  --group=GROUP            who may use the sockets (ifpin)\n"
	"  --cgroup=NAME            folder at the root of cgroup v2 for commands of users (ifpind)\n"
	"  --metrics=127.0.0.1:PORT serve OpenMetrics there, too; loopback only\n"
	"  --exporter=FILE          program that serves them (" IFPIN_EXPORTER ")\n"
	"  --bpffs=DIR              where the pins are looked at for changes by others\n"
	"                           (/sys/fs/bpf/ifpin)\n"
	"  -v, --verbose            say each step\n"
	"  -h, --help               this text\n"
	"  -V, --version            the version\n"
	"\n"
	"Exit status: 0 after SIGTERM or SIGINT; 1 if it could not begin, or go on.\n";

static bool parse_option(struct daemon *d, int c)
{
	switch (c) {
	case OPT_CONFIG:
		d->config_dir = optarg;
		return true;
	case OPT_RUNTIME:
		d->runtime_dir = optarg;
		return true;
	case OPT_GROUP:
		d->group = optarg;
		return true;
	case OPT_CGROUP:
		d->cgroup = optarg;
		return *optarg && !strchr(optarg, '/') && optarg[0] != '.';
	case OPT_METRICS:
		d->metrics = optarg;
		return true;
	case OPT_EXPORTER:
		d->exporter_path = optarg;
		return true;
	case OPT_BPFFS:
		d->bpffs = optarg;
		return true;
	case 'v':
		d->verbose = true;
		return true;
	}
	return false;
}

static void on_signal(struct daemon *d, struct source *s, uint32_t events)
{
	struct signalfd_siginfo si;

	(void)events;
	while (read(s->fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGHUP)
			d->reload = true;
		else
			d->quit = true;
	}
}

static int open_signals(struct daemon *d)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	d->signals.ready = on_signal;
	return source_add(d, &d->signals, signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), EPOLLIN);
}

/*
 * Two of them would not do harm to pins, but take each other's sockets away. A record lock, for
 * that is not inherited: children of one that was killed may outlive it for a moment.
 */
static int lock(struct daemon *d)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[4096];

	if (mkdir(d->runtime_dir, 0755) && errno != EEXIST) {
		say(SAY_ERROR, "%s: cannot make it: %s", d->runtime_dir, strerror(errno));
		return -errno;
	}
	snprintf(path, sizeof(path), "%s/lock", d->runtime_dir);
	d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->lock_fd < 0 || fcntl(d->lock_fd, F_SETLK, &whole)) {
		int r = -errno;

		say(SAY_ERROR, "%s: %s", path,
			r == -EAGAIN || r == -EACCES ? "another ifpind is running" : strerror(-r));
		return r;
	}
	return 0;
}

static enum level level_of(enum ifpin_change_type type)
{
	switch (type) {
	case IFPIN_CHANGE_FAILED:
		return SAY_ERROR;
	case IFPIN_CHANGE_GONE:
	case IFPIN_CHANGE_REPLACED:
		return SAY_WARNING;
	default:
		return SAY_NOTICE;
	}
}

static void on_change(void *ctx, const struct ifpin_change *change)
{
	struct daemon *d = ctx;
	struct pin *p = pins_find(d, change->pin);

	if (*change->pin)
		say(level_of(change->type), "pin \"%s\": %s", change->pin, change->text);
	else
		say(level_of(change->type), "%s", change->text);
	if (!p)
		return;
	/* What was said last is no longer so. */
	free(p->problem);
	p->problem = NULL;
	if (change->type == IFPIN_CHANGE_CGROUP)
		p->dirty = true;
}

static int open_follower(struct daemon *d)
{
	struct ifpin_error err;
	int fd, r = ifpin_follower_open(on_change, d, &d->follower, &err);

	if (r) {
		say(SAY_ERROR, "cannot follow devices: %s", err.text);
		return r;
	}
	/* A copy: what epoll watches is closed by source_drop(). */
	fd = fcntl(ifpin_follower_fd(d->follower), F_DUPFD_CLOEXEC, 3);
	return source_add(d, &d->follower_source, fd < 0 ? -errno : fd, EPOLLIN);
}

static void on_follower(struct daemon *d, struct source *s, uint32_t events)
{
	(void)s;
	(void)events;
	d->follower_retry_at = 0; /* a step is due */
}

static int begin(struct daemon *d)
{
	int r;

	d->epoll = epoll_create1(EPOLL_CLOEXEC);
	d->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (d->epoll < 0 || d->spare_fd < 0) {
		say(SAY_ERROR, "cannot begin: %s", strerror(errno));
		return -errno;
	}
	r = open_signals(d);
	if (r) {
		say(SAY_ERROR, "cannot take signals: %s", strerror(-r));
		return r;
	}
	r = lock(d);
	if (!r)
		r = wait_open(d);
	d->follower_source.ready = on_follower;
	if (!r)
		r = open_follower(d);
	if (r)
		return r;
	/* Files that cannot be read change nothing, and are waited for. */
	pins_reload(d);
	r = control_open(d);
	if (!r)
		r = metrics_open(d);
	return r;
}

static void finish(struct daemon *d)
{
	notify("STOPPING=1");
	source_drop(d, &d->follower_source);
	ifpin_follower_close(d->follower);
	fences_close(d);
	wait_close(d);
}

/* Each pin has descriptors in the follower. */
static void raise_limits(void)
{
	struct rlimit l;

	if (!getrlimit(RLIMIT_NOFILE, &l) && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max < 65536 ? l.rlim_max : 65536;
		setrlimit(RLIMIT_NOFILE, &l);
	}
	/* Lists of all pins are given back to the system, not kept for the next time. */
	mallopt(M_MMAP_THRESHOLD, 64 << 10);
	mallopt(M_TRIM_THRESHOLD, 64 << 10);
}

static int serve(struct daemon *d)
{
	struct ifpin_error err;
	int r = ifpin_confine_privileged(&err);

	say_open(d->verbose);
	if (r) {
		say(SAY_ERROR, "%s", err.text);
		return 1;
	}
	raise_limits();
	r = begin(d);
	if (!r) {
		d->watchdog_every = notify_watchdog();
		d->watchdog_at = d->watchdog_every == NEVER ? NEVER : now_ms();
		notify("READY=1");
		say(SAY_NOTICE, "ifpind " IFPIN_VERSION " serves %zu pins and %zu fences of %s",
			d->n_pins, d->n_fences, d->config_dir);
		r = loop_run(d);
		if (r)
			say(SAY_ERROR, "cannot go on: %s", strerror(-r));
	}
	finish(d);
	return r ? 1 : 0;
}

static struct daemon daemon_state = {
	.config_dir = IFPIN_CONFIG_DIR,
	.runtime_dir = "/run/ifpin",
	.group = "ifpin",
	.cgroup = "ifpind",
	.bpffs = "/sys/fs/bpf/ifpin",
	.exporter_path = IFPIN_EXPORTER,
	.signals.fd = -1,
	.follower_source.fd = -1,
	.cgroups.fd = -1,
	.bpf.fd = -1,
	.links.fd = -1,
	.control.fd = -1,
	.fence_source.fd = -1,
	.metrics_listener = {{.fd = -1}, {.fd = -1}},
	.exporter.fd = -1,
	.cgroup_root = -1,
	.retry_delay = 1000,
	.reconcile_at = NEVER,
	.retry_at = NEVER,
	.follower_retry_at = NEVER,
	.watchdog_at = NEVER,
	.fences_at = NEVER,
};

int main(int argc, char **argv)
{
	struct daemon *d = &daemon_state;
	int c;

	while ((c = getopt_long(argc, argv, "hvV", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help_text, stdout);
			return 0;
		}
		if (c == 'V') {
			puts("ifpind " IFPIN_VERSION);
			return 0;
		}
		if (!parse_option(d, c)) {
			if (c != '?')
				fprintf(stderr,
					"ifpind: --cgroup=%s: must be the name of a folder\n",
					optarg);
			fputs("Try: ifpind --help\n", stderr);
			return 1;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "ifpind: unexpected argument \"%s\"\nTry: ifpind --help\n",
			argv[optind]);
		return 1;
	}
	return serve(d);
}
