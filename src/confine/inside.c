// SPDX-License-Identifier: MIT
/* A process of ours tries a confinement from inside. */
#include "attach.h"
#include "lsm.h"

#include "host/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define TRY_MS 3000

static int try_in(int cgroup_fd, uint32_t ifindex, uint32_t lsm_probe)
{
	int pidfd = -1;
	struct clone_args args = {
		.flags = CLONE_INTO_CGROUP | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.cgroup = (uint64_t)cgroup_fd,
	};
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	int status;

	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(-(ifp_try_pin(ifindex) ?: lsm_probe ? ifp_lsm_try(lsm_probe) : 0));
	/* Somebody may stop the cgroup just now; what stands still there can be killed. */
	if (!poll(&(struct pollfd){.fd = pidfd, .events = POLLIN}, 1, TRY_MS))
		kill(pid, SIGKILL);
	close(pidfd);
	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

/* In a cgroup below, for not every cgroup may have processes of its own. */
int ifp_try_inside(int cgroup_fd, uint32_t ifindex, uint32_t lsm_probe, struct ifpin_error *err)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (mkdirat(cgroup_fd, IFP_PROBE_CGROUP, 0755) && errno != EEXIST)
		return ifp_fail_errno(err, -errno, "cannot make a cgroup below the one to confine");
	fd = openat(cgroup_fd, IFP_PROBE_CGROUP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? -errno : try_in(fd, ifindex, lsm_probe);
	unlinkat(cgroup_fd, IFP_PROBE_CGROUP, AT_REMOVEDIR);
	if (r == -ENOTSUP)
		return ifp_fail(err, r,
			"the kernel does not tie sockets to the interface by BPF (bpf_setsockopt, "
			"SO_BINDTOIFINDEX; ifpin needs Linux 6.1)");
	if (r == -ENODATA)
		return ifp_fail(err, r, "the BPF LSM programs do not run in the cgroup");
	return r ? ifp_fail_errno(err, r, "cannot try the confinement from inside") : 0;
}
