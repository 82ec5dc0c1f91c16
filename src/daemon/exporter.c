// SPDX-License-Identifier: MIT
/*
 * ifpin-exporter: OpenMetrics over HTTP, on sockets that ifpind has opened. Two processes: one
 * reads the kernel and needs root for that; the other speaks to whoever connects, as nobody. It
 * ends when nobody has asked for two minutes.
 */
#include "exporter.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <microhttpd.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST_FD 3
#define MAX_SOCKETS 2
#define IDLE_MS (2 * 60 * 1000)
#define NOBODY 65534
#define CONTENT_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* ---- the one that reads ------------------------------------------------------------------- */

static int send_fd(int sock, int fd)
{
	char control[CMSG_SPACE(sizeof(int))]
		__attribute__((aligned(__alignof__(struct cmsghdr)))) = {};
	char ok = fd >= 0;
	struct iovec iov = {&ok, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		struct cmsghdr *h;

		m.msg_control = control;
		m.msg_controllen = sizeof(control);
		h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	}
	return sendmsg(sock, &m, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

/* The text in memory that the other process may read only. Return: descriptor; -errno. */
static int make_text(const char *config_dir)
{
	int fd = memfd_create("metrics", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	int copy, r;

	if (!f) {
		if (fd >= 0)
			close(fd);
		return -errno;
	}
	copy = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD);
	r = metrics_write(f, config_dir);
	if (fclose(f) && !r)
		r = -errno;
	if (!r &&
		(copy < 0 || fcntl(copy, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)))
		r = -errno;
	if (!r)
		return copy;
	if (copy >= 0)
		close(copy);
	return r;
}

/* One byte is a question; the end of them is the end. */
static int answer_questions(int sock, const char *config_dir)
{
	char question;
	ssize_t n;

	for (;;) {
		int fd, r;

		n = recv(sock, &question, 1, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		fd = make_text(config_dir);
		r = send_fd(sock, fd);
		if (fd >= 0)
			close(fd);
		if (r)
			return r;
	}
}

/* ---- the one that speaks ------------------------------------------------------------------ */

struct server {
	int reader;
	bool asked; /* since it was looked at last */
};

static int ask_reader(int sock)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(__alignof__(struct cmsghdr))));
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *h;
	int fd = -1;

	if (send(sock, &byte, 1, MSG_NOSIGNAL) != 1 || recvmsg(sock, &m, MSG_CMSG_CLOEXEC) != 1)
		return -EPIPE;
	h = CMSG_FIRSTHDR(&m);
	if (byte && h && h->cmsg_type == SCM_RIGHTS && h->cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(h), sizeof(fd));
	return fd >= 0 ? fd : -EIO;
}

static enum MHD_Result respond(
	struct MHD_Connection *c, unsigned int status, struct MHD_Response *r, const char *type)
{
	enum MHD_Result ok = MHD_NO;

	if (!r)
		return MHD_NO;
	if (MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type) == MHD_YES)
		ok = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result respond_text(struct MHD_Connection *c, unsigned int status, const char *text)
{
	return respond(c, status,
		MHD_create_response_from_buffer(
			strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT),
		"text/plain; charset=utf-8");
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url,
	const char *method, const char *version, const char *data, size_t *size, void **state)
{
	struct server *s = ctx;
	struct stat st;
	int fd;

	(void)version;
	(void)data;
	(void)state;
	s->asked = true;
	if (*size) {
		*size = 0; /* nobody reads it */
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) && strcmp(method, MHD_HTTP_METHOD_HEAD))
		return respond_text(c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
	if (strcmp(url, "/metrics") && strcmp(url, "/"))
		return respond_text(c, MHD_HTTP_NOT_FOUND, "try /metrics\n");
	fd = ask_reader(s->reader);
	if (fd < 0 || fstat(fd, &st)) {
		if (fd >= 0)
			close(fd);
		return respond_text(c, MHD_HTTP_INTERNAL_SERVER_ERROR,
			"the pins cannot be read; the log of ifpind says why\n");
	}
	return respond(c, MHD_HTTP_OK, MHD_create_response_from_fd((uint64_t)st.st_size, fd),
		CONTENT_TYPE);
}

static int become_nobody(void)
{
	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
		setresuid(NOBODY, NOBODY, NOBODY) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) || prctl(PR_SET_PDEATHSIG, SIGKILL))
		return -errno;
	return 0;
}

static struct MHD_Daemon *start_http(int fd, struct server *s)
{
	return MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, s,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_TIMEOUT, 10U,
		MHD_OPTION_CONNECTION_LIMIT, 16U, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)(16 << 10), MHD_OPTION_END);
}

static int wait_ms(struct MHD_Daemon *const *http, size_t n)
{
	int wait = IDLE_MS;

	for (size_t i = 0; i < n; i++) {
		MHD_UNSIGNED_LONG_LONG ms;

		if (MHD_get_timeout(http[i], &ms) == MHD_YES && ms < (unsigned int)wait)
			wait = (int)ms;
	}
	return wait;
}

static int serve(size_t n, int reader)
{
	struct MHD_Daemon *http[MAX_SOCKETS] = {};
	struct pollfd pfd[MAX_SOCKETS + 1] = {{.fd = reader}}, *sockets = pfd + 1;
	struct server s = {.reader = reader};
	int idle = 0;

	if (become_nobody())
		return 1;
	for (size_t i = 0; i < n; i++) {
		const union MHD_DaemonInfo *info;

		http[i] = start_http(FIRST_FD + (int)i, &s);
		info = http[i] ? MHD_get_daemon_info(http[i], MHD_DAEMON_INFO_EPOLL_FD) : NULL;
		if (!info)
			return 1;
		sockets[i] = (struct pollfd){.fd = info->epoll_fd, .events = POLLIN};
	}
	while (idle < IDLE_MS) {
		int wait = wait_ms(http, n);
		int r = poll(pfd, n + 1, wait);

		/* Without the one that reads there is nothing to say. */
		if ((r < 0 && errno != EINTR) || pfd[0].revents)
			return 1;
		for (size_t i = 0; i < n; i++)
			if (MHD_run(http[i]) != MHD_YES)
				return 1;
		idle = s.asked || r > 0 ? 0 : idle + wait;
		s.asked = false;
	}
	for (size_t i = 0; i < n; i++)
		MHD_stop_daemon(http[i]);
	return 0;
}

/* ---- both --------------------------------------------------------------------------------- */

static int start(size_t n, const char *config_dir)
{
	int pair[2], status = 0, r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return 1;
	pid = fork();
	if (pid < 0)
		return 1;
	if (!pid) {
		close(pair[0]);
		_exit(serve(n, pair[1]));
	}
	close(pair[1]);
	/* What is accepted is the other's; a listener held here would outlive it. */
	for (size_t i = 0; i < n; i++)
		close(FIRST_FD + (int)i);
	r = answer_questions(pair[0], config_dir);
	close(pair[0]);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status))
		return 1;
	return r ? 1 : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"sockets", required_argument, NULL, 's'},
		{},
	};
	const char *config_dir = NULL;
	int c, n = 0;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'c')
			config_dir = optarg;
		else if (c == 's')
			n = optarg[1] ? 0 : optarg[0] - '0';
	}
	if (!config_dir || n < 1 || n > MAX_SOCKETS || optind < argc) {
		fputs("ifpin-exporter: started by ifpind, see ifpind(8)\n", stderr);
		return 1;
	}
	return start((size_t)n, config_dir);
}
