// SPDX-License-Identifier: MIT
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

/*
 * Programs in traffic control and rules change one after the other, so two who change a fence at
 * once would each take the other's part away. A file is wanted that each network namespace has of
 * its own, and that nobody but root may open, for else anybody could make all others wait.
 */
#define LOCK_FILE "/proc/sys/net/ipv4/tcp_fastopen_key"

int ifp_fence_lock(int *ret, struct ifpin_error *err)
{
	_cleanup_close_ int fd = open(LOCK_FILE, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : 0;

	if (r == -EACCES || r == -EPERM)
		return ifp_fail(err, -EPERM,
			"not privileged: fences need cap_net_admin (run it with sudo)");
	while (!r && flock(fd, LOCK_EX))
		if (errno != EINTR)
			r = -errno;
	if (r)
		return ifp_fail_errno(
			err, r, "cannot wait for others who change fences (" LOCK_FILE ")");
	*ret = ifp_take_fd(&fd);
	return 0;
}
