// SPDX-License-Identifier: MIT
#include "freeze.h"

#include "host/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define WAIT_MS 3000
#define NEARLY_MS 20

static bool says(int fd, const char *word)
{
	char buf[256];
	ssize_t n = pread(fd, buf, sizeof(buf) - 1, 0);

	buf[n > 0 ? n : 0] = 0;
	return strstr(buf, word) != NULL;
}

/* Only calls that a child of a process with threads may make. */
static void be_guard(int cgroup_fd, int life)
{
	char byte;
	int fd;

	while (read(life, &byte, 1) < 0 && errno == EINTR)
		;
	fd = openat(cgroup_fd, "cgroup.freeze", O_WRONLY);
	if (fd >= 0 && write(fd, "0", 1) == 1)
		_exit(0);
	_exit(1);
}

/*
 * In the cgroup above all: whoever kills the caller's whole cgroup must not kill the guard as well.
 * It begins there, for the kernel has everything stand still that starts or ends while a process
 * moves, and waits for that. No signal tells of its end, which the caller would have to know of.
 */
static pid_t start_guard(int cgroup_fd, int *ret_life)
{
	_cleanup_close_ int root = ifp_cgroup_root();
	struct clone_args args = {.flags = CLONE_INTO_CGROUP, .cgroup = (uint64_t)root};
	int pipefd[2];
	pid_t pid;

	if (root < 0)
		return root;
	if (pipe2(pipefd, O_CLOEXEC))
		return -errno;
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	/*
	 * Where a container takes for the root what is none, and gives its resources away: such a
	 * cgroup has no processes of its own. Then it stays in ours.
	 */
	if (pid < 0 && errno == EBUSY) {
		args = (struct clone_args){};
		pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	}
	if (!pid) {
		sigset_t all;

		sigfillset(&all);
		sigprocmask(SIG_BLOCK, &all, NULL);
		close(pipefd[1]);
		be_guard(cgroup_fd, pipefd[0]);
	}
	close(pipefd[0]);
	if (pid < 0) {
		pid = -errno;
		close(pipefd[1]);
	} else {
		*ret_life = pipefd[1];
	}
	return pid;
}

/*
 * The kernel tells of such events at most every 10 ms (CGROUP_FILE_NOTIFY_MIN_INTV), and one may
 * have been just now: so the file is also looked at between them, as long as it is nearly there.
 */
static int wait_frozen(int events)
{
	struct pollfd pfd = {.fd = events, .events = POLLPRI};
	int64_t begin = ifp_now_ms(), now;

	while (!says(events, "frozen 1")) {
		struct timespec wait = {.tv_nsec = 10 * 1000 * 1000};

		now = ifp_now_ms();
		if (now - begin >= WAIT_MS)
			return -ETIMEDOUT;
		if (now - begin < NEARLY_MS)
			wait.tv_nsec = 200 * 1000;
		if (ppoll(&pfd, 1, &wait, NULL) < 0 && errno != EINTR)
			return -errno;
	}
	return 0;
}

int ifp_thaw(struct ifp_freeze *f)
{
	int r;

	if (!f->guard)
		return 0;
	r = ifp_write_file(f->cgroup_fd, "cgroup.freeze", "0");
	/* Had it not worked, the guard tries once more; else it must not undo what others do. */
	if (!r)
		kill(f->guard, SIGKILL);
	close(f->life);
	waitpid(f->guard, NULL, __WALL);
	f->guard = 0;
	return r;
}

int ifp_freeze(int cgroup_fd, struct ifp_freeze *ret, struct ifpin_error *err)
{
	_cleanup_close_ int events = openat(cgroup_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int freeze = openat(cgroup_fd, "cgroup.freeze", O_RDONLY | O_CLOEXEC);
	struct ifp_freeze f = {.cgroup_fd = cgroup_fd};
	int r = 0;

	if (events < 0 || freeze < 0)
		return ifp_fail_errno(err, -errno, "cannot look at the cgroup");
	f.by_others = says(events, "frozen 1") || says(freeze, "1");
	if (says(freeze, "1")) {
		/* Somebody has said so; not until they stand still do they. */
		r = says(events, "populated 0") ? 0 : wait_frozen(events);
		if (r)
			return ifp_fail_errno(err, r,
				"the cgroup is being stopped by somebody else, and does not stop");
		*ret = f;
		return 0;
	}
	if (says(events, "populated 0")) {
		*ret = f;
		return 0;
	}
	f.guard = start_guard(cgroup_fd, &f.life);
	if (f.guard < 0)
		return ifp_fail_errno(
			err, f.guard, "cannot start a process that guards a stopped cgroup");
	r = ifp_write_file(cgroup_fd, "cgroup.freeze", "1");
	if (!r)
		r = wait_frozen(events);
	if (r) {
		ifp_thaw(&f);
		return ifp_fail_errno(
			err, r, "cannot stop the processes of the cgroup for a moment");
	}
	*ret = f;
	return 0;
}
