// SPDX-License-Identifier: MIT
/*
 * The sockets of the metrics are ours, all else is the exporter's: a process of its own, which is
 * started when somebody connects and ends when nobody has for a while. It has the libraries of an
 * HTTP server, and no state.
 */
#include "daemon.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern char **environ;

#define LISTENERS 2

static void listen_again(struct daemon *d)
{
	for (size_t i = 0; i < LISTENERS; i++) {
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &d->metrics_listener[i]};

		if (d->metrics_listener[i].fd >= 0)
			epoll_ctl(d->epoll, EPOLL_CTL_ADD, d->metrics_listener[i].fd, &ev);
	}
}

/* The exporter accepts meanwhile. */
static void stop_listening(struct daemon *d)
{
	for (size_t i = 0; i < LISTENERS; i++)
		if (d->metrics_listener[i].fd >= 0)
			epoll_ctl(d->epoll, EPOLL_CTL_DEL, d->metrics_listener[i].fd, NULL);
}

/* Whoever waits there would have it started again and again. */
static void send_away(struct daemon *d)
{
	for (size_t i = 0; i < LISTENERS; i++) {
		int fd;

		while (d->metrics_listener[i].fd >= 0 &&
			(fd = accept_or_drop(d, d->metrics_listener[i].fd)) >= 0)
			close(fd);
	}
}

static void on_exporter(struct daemon *d, struct source *s, uint32_t events)
{
	siginfo_t si = {};

	(void)events;
	source_drop(d, s);
	if (waitid(P_PID, (id_t)d->exporter_pid, &si, WEXITED) || si.si_code != CLD_EXITED ||
		si.si_status) {
		say(SAY_ERROR, "the exporter of metrics has failed (%s %d)",
			si.si_code == CLD_EXITED ? "exit status" : "signal", si.si_status);
		send_away(d);
	}
	listen_again(d);
}

static int spawn(struct daemon *d, pid_t *ret)
{
	char sockets[8];
	const char *argv[] = {
		"ifpin-exporter", "--config", d->config_dir, "--sockets", sockets, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int n = 0, r;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_init(&files);
	r = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (!r)
		r = posix_spawnattr_setsigmask(&attr, &none)
			    ?: posix_spawnattr_setsigdefault(&attr, &all);
	/* Above all that is open, then down: neither may fall upon the other. */
	for (int i = 0; !r && i < LISTENERS; i++)
		if (d->metrics_listener[i].fd >= 0)
			r = posix_spawn_file_actions_adddup2(
				&files, d->metrics_listener[i].fd, 1000 + n++);
	for (int i = 0; !r && i < n; i++)
		r = posix_spawn_file_actions_adddup2(&files, 1000 + i, 3 + i);
	if (!r)
		r = posix_spawn_file_actions_addclosefrom_np(&files, 3 + n);
	snprintf(sockets, sizeof(sockets), "%d", n);
	if (!r)
		r = posix_spawn(ret, d->exporter_path, &files, &attr, (char *const *)argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return -r;
}

static void on_scrape(struct daemon *d, struct source *s, uint32_t events)
{
	int r = spawn(d, &d->exporter_pid);

	(void)s;
	(void)events;
	if (r) {
		say(SAY_ERROR, "cannot start %s: %s", d->exporter_path, strerror(-r));
		send_away(d);
		return;
	}
	stop_listening(d);
	d->exporter.ready = on_exporter;
	r = (int)syscall(SYS_pidfd_open, d->exporter_pid, 0);
	r = source_add(d, &d->exporter, r < 0 ? -errno : r, EPOLLIN);
	if (!r)
		return;
	/* One whose end would not be heard of. */
	say(SAY_ERROR, "cannot follow the exporter: %s", strerror(-r));
	kill(d->exporter_pid, SIGKILL);
	waitpid(d->exporter_pid, NULL, 0);
	send_away(d);
	listen_again(d);
}

/* Whoever may reach it may read it, so it is never more than this host. */
static int parse_loopback(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
	const char *colon = strrchr(text, ':');
	char host[64], *end;
	unsigned long port;

	memset(ret, 0, sizeof(*ret));
	if (!colon || colon - text >= (ptrdiff_t)sizeof(host) || !colon[1])
		return -EINVAL;
	port = strtoul(colon + 1, &end, 10);
	if (*end || colon[1] < '0' || colon[1] > '9' || port > 65535)
		return -EINVAL;
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	if (!strcmp(host, "[::1]")) {
		*v6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
			.sin6_port = htons((uint16_t)port),
			.sin6_addr = IN6ADDR_LOOPBACK_INIT};
		*ret_len = sizeof(*v6);
		return 0;
	}
	v4->sin_family = AF_INET;
	v4->sin_port = htons((uint16_t)port);
	*ret_len = sizeof(*v4);
	if (inet_pton(AF_INET, host, &v4->sin_addr) != 1 || ntohl(v4->sin_addr.s_addr) >> 24 != 127)
		return -EINVAL;
	return 0;
}

static int listen_loopback(const char *text)
{
	struct sockaddr_storage at;
	socklen_t len = 0;
	int one = 1, fd, r = parse_loopback(text, &at, &len);

	if (r) {
		say(SAY_ERROR, "--metrics=%s: must be 127.0.0.1:PORT or [::1]:PORT", text);
		return r;
	}
	fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) &&
		!bind(fd, (struct sockaddr *)&at, len) && !listen(fd, 16) &&
		!getsockname(fd, (struct sockaddr *)&at, &len)) {
		say(SAY_INFO, "metrics at port %u of loopback",
			ntohs(((struct sockaddr_in *)&at)->sin_port));
		return fd;
	}
	r = -errno;
	say(SAY_ERROR, "--metrics=%s: cannot listen there: %s", text, strerror(-r));
	if (fd >= 0)
		close(fd);
	return r;
}

int metrics_open(struct daemon *d)
{
	int r;

	for (size_t i = 0; i < LISTENERS; i++)
		d->metrics_listener[i].ready = on_scrape;
	r = source_add(
		d, &d->metrics_listener[0], listen_at(d, "metrics.sock", SOCK_STREAM), EPOLLIN);
	if (!r && d->metrics)
		r = source_add(d, &d->metrics_listener[1], listen_loopback(d->metrics), EPOLLIN);
	return r;
}
