// SPDX-License-Identifier: MIT
/* From clone to exec. Every step must succeed, or the command does not start. */
#include "internal.h"
#include "lsm.h"

#include "host/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif

static bool tell(const struct ifp_child *c, int err, const char *what)
{
	struct ifp_child_report rep = {.err = err};

	snprintf(rep.what, sizeof(rep.what), "%s", what);
	return write(c->report_fd, &rep, sizeof(rep)) == sizeof(rep);
}

/* The exit status is the supervisor's to tell. */
static void report(const struct ifp_child *c, int err, const char *what)
{
	tell(c, err, what);
	_exit(IFPIN_EXIT_SETUP);
}

static void clean_environment(void)
{
	static const char *const agents[] = {"SSH_AUTH_SOCK", "SSH_AGENT_PID", "GPG_AGENT_INFO",
		"DBUS_SESSION_BUS_ADDRESS", "DOCKER_HOST", "CONTAINER_HOST", "XDG_RUNTIME_DIR",
		"TMUX", "STY"};

	for (size_t i = 0; i < ARRAY_SIZE(agents); i++)
		unsetenv(agents[i]);
}

/*
 * Is what the programs promise true on this kernel? Where one of their helpers is missing they load
 * all the same, and every connection would be refused. Nothing is sent: a datagram socket connects.
 */
static int try_pin_by(uint32_t address, uint32_t ifindex)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons(9),
		.sin_addr.s_addr = htonl(address)};
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint32_t bound = 0;
	socklen_t len = sizeof(bound);

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) && errno == EPERM)
		return -EPERM;
	if (getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &bound, &len))
		return -errno;
	return bound == ifindex ? 0 : -ENOTSUP;
}

int ifp_try_pin(uint32_t ifindex)
{
	/* RFC 5737: nobody's, but a laboratory may have one of them for its own. */
	static const uint32_t nobodys[] = {0xc0000201, 0xc6336401, 0xcb007101};
	int r = -ENOTSUP;

	for (size_t i = 0; i < ARRAY_SIZE(nobodys) && r == -ENOTSUP; i++)
		r = try_pin_by(nobodys[i], ifindex);
	return r;
}

/*
 * The working directory is the caller's mount still: by ".." one could walk from there to a
 * cgroupfs that is not ours. Entered again by its path, it is in our namespace; what has no path
 * stays out.
 */
static int reenter_directory(bool isolate)
{
	char path[PATH_MAX];

	if (!getcwd(path, sizeof(path)))
		return -errno;
	if (path[0] != '/')
		return -EXDEV;
	if (!chdir(path))
		return 0;
	return isolate && errno == ENOENT && !chdir("/") ? 0 : -errno;
}

static void confine_self(const struct ifp_child *c)
{
	uint64_t dropped = ifp_dropped_caps(c->opts->keep_caps);
	const char *what = "";
	int r = ifp_try_pin(c->opts->device.ifindex);

	if (r)
		report(c, r,
			"tie a socket to the interface by BPF (bpf_setsockopt, SO_BINDTOIFINDEX; "
			"ifpin needs Linux 6.0)");
	r = c->lsm_probe ? ifp_lsm_try(c->lsm_probe) : 0;
	if (r)
		report(c, r, "put the BPF LSM programs in force");
	r = ifp_mounts_setup(c->opts, c->dns, &what);
	if (r)
		report(c, r, what);
	r = reenter_directory(c->opts->isolate);
	if (r)
		report(c, r, "enter the working directory by its path (start from another one)");
	r = ifp_scope_enter(c->opts);
	if (r)
		report(c, r, "keep processes outside from being traced (Landlock)");
	r = ifp_drop_bounding(dropped);
	if (r)
		report(c, r, "drop capabilities from the bounding set");
	r = ifp_filter_load(c->filter);
	if (r)
		report(c, r, "load the system call filter (kernel option CONFIG_SECCOMP_FILTER)");
	r = ifp_become(c->user, dropped);
	if (r)
		report(c, r, "become the user and drop capabilities");
	if (c->opts->isolate)
		clean_environment();
}

/*
 * The first process of a PID namespace: buries orphans, and is ended by the supervisor with all the
 * rest. Where that has been killed, it ends by itself when the command, which is no child of its
 * own but the second process here, and all others have ended.
 */
static void be_init(const struct ifp_child *c)
{
	enum { CHILDREN, LIFE };
	struct pollfd pfd[2] = {{.fd = CHILDREN, .events = POLLIN}, {.fd = LIFE, .events = POLLIN}};
	struct signalfd_siginfo si;
	bool alone = false;
	sigset_t chld;
	pid_t pid;

	confine_self(c);
	prctl(PR_SET_NAME, "ifpin-init");
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD); /* blocked since before the clone */
	if (dup2(signalfd(-1, &chld, SFD_NONBLOCK), CHILDREN) != CHILDREN ||
		dup2(c->supervisor_fd, LIFE) != LIFE || syscall(SYS_close_range, 2, ~0U, 0))
		_exit(1);
	do {
		while (read(CHILDREN, &si, sizeof(si)) > 0)
			;
		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			;
		/* First the supervisor's life, then the command's. */
		if (pfd[LIFE].revents) {
			pfd[LIFE].fd = alone ? -1 : (int)syscall(SYS_pidfd_open, 2, 0);
			alone = true;
		}
		if (alone && pfd[LIFE].fd < 0 && pid < 0)
			_exit(0);
	} while (poll(pfd, ARRAY_SIZE(pfd), -1) >= 0 || errno == EINTR);
	_exit(1);
}

static pid_t clone_into(const struct ifp_child *c)
{
	struct clone_args args = {
		.flags = CLONE_INTO_CGROUP | CLONE_NEWNS | (c->opts->isolate ? CLONE_NEWIPC : 0),
		.exit_signal = SIGCHLD,
		.cgroup = (uint64_t)c->cgroup_fd,
	};
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	return pid < 0 ? -errno : pid;
}

/* From here on children are born into a PID namespace that has an init of ours. */
static pid_t start_init(const struct ifp_child *c)
{
	pid_t pid;

	if (unshare(CLONE_NEWPID))
		return -errno;
	pid = clone_into(c);
	if (!pid)
		be_init(c);
	return pid;
}

static pid_t start_isolated(const struct ifp_child *c, pid_t *ret_init)
{
	_cleanup_close_ int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	pid_t pid;

	if (own < 0)
		return -errno;
	*ret_init = start_init(c);
	pid = *ret_init > 0 ? clone_into(c) : *ret_init;
	/* The caller's other children are none of our business. */
	if (pid && setns(own, CLONE_NEWPID) && pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return -EPERM;
	}
	return pid;
}

pid_t ifp_child_start(const struct ifp_child *c, pid_t *ret_init)
{
	pid_t pid = c->opts->isolate ? start_isolated(c, ret_init) : clone_into(c);

	if (pid)
		return pid;
	confine_self(c);
	/* From here on an end of the pipe means that the command runs. */
	if (!tell(c, 0, ""))
		_exit(IFPIN_EXIT_SETUP);
	ifp_signals_unblock(c->signals);
	execvp(c->opts->argv[0], c->opts->argv);
	tell(c, -errno, c->opts->argv[0]);
	_exit(IFPIN_EXIT_SETUP);
}
