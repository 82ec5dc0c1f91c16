// SPDX-License-Identifier: MIT
/* Follows devices as the daemon does, and says each change on a line: type, pin, sentence. */
#include <ifpin/confine.h>

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>

static void on_change(void *ctx, const struct ifpin_change *c)
{
	static const char *const types[] = {
		[IFPIN_CHANGE_GONE] = "gone",
		[IFPIN_CHANGE_BACK] = "back",
		[IFPIN_CHANGE_REPLACED] = "replaced",
		[IFPIN_CHANGE_RENAMED] = "renamed",
		[IFPIN_CHANGE_CGROUP] = "cgroup",
		[IFPIN_CHANGE_RESYNCED] = "resynced",
		[IFPIN_CHANGE_FAILED] = "failed",
	};

	(void)ctx;
	printf("%s %s %u %u %s\n", types[c->type], *c->pin ? c->pin : "-", c->rebound, c->aborted,
		c->text);
	fflush(stdout);
}

int main(void)
{
	struct ifpin_follower *f;
	struct ifpin_error e;

	if (ifpin_follower_open(on_change, NULL, &f, &e))
		errx(1, "%s", e.text);
	puts("ready");
	fflush(stdout);
	for (;;) {
		struct pollfd pfd = {.fd = ifpin_follower_fd(f), .events = POLLIN};

		if (poll(&pfd, 1, ifpin_follower_timeout(f)) < 0 && errno != EINTR)
			err(1, "poll");
		if (ifpin_follower_step(f, &e))
			warnx("%s", e.text);
	}
}
