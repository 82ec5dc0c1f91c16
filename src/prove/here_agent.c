// SPDX-License-Identifier: MIT
/* What confines the process that makes attempts on a host as it is. */
#include "here.h"

#include <errno.h>
#include <fcntl.h>

struct start {
	const struct here *h;
	int phase, loose_fd;
};

/* In the child: becomes the process that makes attempts. */
static void become(const void *ctx)
{
	const struct start *s = ctx;
	const struct here *h = s->h;
	const char *self = h->opts->self;
	struct ifp_run_args args;

	if (s->loose_fd >= 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		/* That it is refused is not worth a word on the terminal. */
		dup2(null, STDERR_FILENO);
		fcntl(s->loose_fd, F_SETFD, 0);
	}
	if (s->phase == HERE_CONTROL || h->opts->pin) {
		/* Only what is made from here on counts as made in the pin. */
		if (s->phase != HERE_CONTROL && ifp_write_file(h->cgroup, "cgroup.procs", "0"))
			return;
		execl(self, self, ifp_agent_command[0], ifp_agent_command[1], (char *)NULL);
	} else if (h->against) {
		ifp_agent_behind(self, h->against);
	} else {
		ifp_run_args(h->opts, h->self.dev.name, ifp_agent_command, &args);
		execv(self, (char *const *)args.argv);
	}
}

int ifp_here_start(const struct here *h, int phase, int loose_fd, struct agent *ret)
{
	return ifp_agent_start(
		become, &(struct start){.h = h, .phase = phase, .loose_fd = loose_fd}, ret);
}

static int drain(void *h)
{
	return ifp_watch_drain(h);
}

int ifp_here_order(struct here *h, struct agent *g, const struct attempt *a, const struct env *e,
	bool *ret_made, int *ret_err)
{
	struct meanwhile m = {.fd = h->capture, .read = drain, .ctx = h};
	int r = ifp_agent_order(g, a, e, &m, ret_made, ret_err);

	/* What it has sent by itself stands in the queue of the packet socket by now. */
	return r ?: ifp_watch_drain(h);
}
