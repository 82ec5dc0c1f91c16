// SPDX-License-Identifier: MIT
/*
 * The process that makes attempts. It is started once, by whatever confines it, and told by its
 * standard input what to try: to start `ifpin run` for each of thousands of attempts would take
 * minutes. Standard input and output are what every command hands on. When we are killed its input
 * ends, then it ends, and with it what has confined it.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define HELLO "\nifpin attempts 1\n"
#define PATIENCE_MS 60000 /* a machine may be slow; what hangs for longer never ends */
#define LIMIT 10	  /* seconds for one attempt, and for an end */

struct order {
	char name[48];
	struct env env;
};

struct answer {
	enum { MADE = 0x6d616465, ENDED = 0x656e6421 } what;
	int value;
};

/* ---- inside ---- */

static bool read_all(int fd, void *buf, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = read(fd, (uint8_t *)buf + at, len - at);

		if (n <= 0 && !(n < 0 && errno == EINTR))
			return false;
		at += n > 0 ? (size_t)n : 0;
	}
	return true;
}

static void make(const struct order *o, pid_t parent)
{
	const struct attempt *a = ifp_attempt_find(o->name);
	struct answer made = {.what = MADE};

	if (!a)
		_exit(ENOENT);
	/* With us ends what we try, also if it waits for something. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(ESRCH);
	alarm(LIMIT);
	made.value = a->fn(&o->env, a->arg);
	if (write(STDOUT_FILENO, &made, sizeof(made)) != sizeof(made))
		_exit(EIO);
	_exit(-made.value & 0x7f);
}

int ifpin_prove_attempts(void)
{
	struct order o;

	if (write(STDOUT_FILENO, HELLO, strlen(HELLO)) != (ssize_t)strlen(HELLO))
		return -errno;
	while (read_all(STDIN_FILENO, &o, sizeof(o))) {
		struct answer ended = {.what = ENDED};
		pid_t self = getpid(), pid = fork();
		int status = 0;

		if (!pid)
			make(&o, self);
		if (pid < 0 || waitpid(pid, &status, 0) < 0)
			return -errno;
		ended.value = WIFEXITED(status) ? WEXITSTATUS(status) : 0x80 | WTERMSIG(status);
		if (write(STDOUT_FILENO, &ended, sizeof(ended)) != sizeof(ended))
			return -errno;
	}
	return 0;
}

/* ---- outside ---- */

const char *const ifp_agent_command[] = {"prove", "--attempts", NULL};

void ifp_agent_behind(const char *self, const char *words)
{
	_cleanup_free_ char *shell = NULL;

	if (asprintf(&shell, "exec %s \"$@\"", words) < 0) {
		shell = NULL;
		return;
	}
	execl("/bin/sh", "sh", "-c", shell, "sh", self, ifp_agent_command[0], ifp_agent_command[1],
		(char *)NULL);
}

/* What a command says before it starts another is passed over. */
static int await_hello(int fd)
{
	size_t matched = 0;

	while (HELLO[matched]) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		char c;

		if (poll(&p, 1, PATIENCE_MS) <= 0)
			return -ETIMEDOUT;
		if (read(fd, &c, 1) != 1)
			return -ECONNREFUSED;
		matched = c == HELLO[matched] ? matched + 1 : c == HELLO[0];
	}
	return 0;
}

int ifp_agent_start(void (*become)(const void *ctx), const void *ctx, struct agent *ret)
{
	_cleanup_close_ int in_rd = -1, in_wr = -1, out_rd = -1, out_wr = -1;
	struct agent g = {};
	int in[2], out[2], r;

	if (pipe2(in, O_CLOEXEC))
		return -errno;
	in_rd = in[0];
	in_wr = in[1];
	if (pipe2(out, O_CLOEXEC))
		return -errno;
	out_rd = out[0];
	out_wr = out[1];
	g.pid = fork();
	if (g.pid < 0)
		return -errno;
	if (!g.pid) {
		signal(SIGPIPE, SIG_DFL);
		dup2(in_rd, STDIN_FILENO);
		dup2(out_wr, STDOUT_FILENO);
		become(ctx);
		_exit(125);
	}
	close(ifp_take_fd(&in_rd));
	close(ifp_take_fd(&out_wr));
	g.to = ifp_take_fd(&in_wr);
	g.from = ifp_take_fd(&out_rd);
	r = await_hello(g.from);
	if (r) {
		ifp_agent_end(&g);
		return r;
	}
	*ret = g;
	return 0;
}

static int await_answer(struct agent *g, const struct meanwhile *m, struct answer *ret)
{
	for (;;) {
		struct pollfd p[] = {{.fd = g->from, .events = POLLIN},
			{.fd = m ? m->fd : -1, .events = POLLIN}};
		int r;

		if (poll(p, ARRAY_SIZE(p), PATIENCE_MS) <= 0)
			return -ETIMEDOUT;
		r = m ? m->read(m->ctx) : 0;
		if (r)
			return r;
		if (p[0].revents)
			return read_all(g->from, ret, sizeof(*ret)) ? 0 : -ECHILD;
	}
}

int ifp_agent_order(struct agent *g, const struct attempt *a, const struct env *e,
	const struct meanwhile *m, bool *ret_made, int *ret_err)
{
	struct order o = {.env = *e};
	struct answer got = {};
	bool made = false;
	int r;

	strncpy(o.name, a->name, sizeof(o.name) - 1);
	if (write(g->to, &o, sizeof(o)) != sizeof(o))
		return errno == EPIPE ? -ECHILD : -errno;
	do {
		r = await_answer(g, m, &got);
		if (r)
			return r;
		if (got.what != MADE && got.what != ENDED)
			return -EPROTO;
		made |= got.what == MADE;
	} while (got.what != ENDED);
	*ret_made = made;
	*ret_err = got.value;
	return 0;
}

/* A command that stays behind its program is asked to end, and then made to. */
int ifp_agent_end(struct agent *g)
{
	static const int signals[] = {0, SIGTERM, SIGKILL};
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, g->pid, 0);
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int status;

	close(g->to);
	close(g->from);
	if (pidfd < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		if (signals[i])
			kill(g->pid, signals[i]);
		if (poll(&p, 1, LIMIT * 1000) > 0)
			break;
	}
	return waitpid(g->pid, &status, 0) < 0 ? -errno : 0;
}
