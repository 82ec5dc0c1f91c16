// SPDX-License-Identifier: MIT
/* Whether somebody follows: by a lock that the kernel takes away with whoever has it. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>

static int open_mark(const struct ifp_store *s, uint64_t netns)
{
	char folder[40];

	snprintf(folder, sizeof(folder), "follow_%llx", (unsigned long long)netns);
	return ifp_store_mark(s, folder);
}

/* For reading, which any number may have at once, and which whoever asks does not disturb. */
int ifp_follow_mark(const struct ifp_store *s, uint64_t netns)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	_cleanup_close_ int fd = open_mark(s, netns);

	if (fd < 0)
		return fd;
	if (fcntl(fd, F_OFD_SETLK, &lock))
		return -errno;
	return ifp_take_fd(&fd);
}

int ifpin_followed(bool *ret_followed, struct ifpin_error *ret_error)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	_cleanup_(ifp_store_closep) struct ifp_store s = {.fd = -1};
	_cleanup_close_ int fd = -1;
	uint64_t netns;
	int r = ifp_store_open(&s, ret_error);

	if (r == -ENOENT) {
		*ret_followed = false;
		return 0;
	}
	if (r)
		return r;
	r = ifp_own_netns(&netns);
	if (!r) {
		fd = open_mark(&s, netns);
		r = fd < 0 ? fd : 0;
	}
	if (!r && fcntl(fd, F_OFD_GETLK, &lock))
		r = -errno;
	if (r)
		return ifp_fail_errno(ret_error, r, "cannot tell whether somebody follows");
	*ret_followed = lock.l_type != F_UNLCK;
	return 0;
}
