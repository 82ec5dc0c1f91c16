// SPDX-License-Identifier: MIT
#include "transit.h"

#include "base/base.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_IN_MESSAGE 253 /* SCM_MAX_FD of the kernel */

static unsigned int count(int unix_fd)
{
	_cleanup_free_ char *text = NULL;
	char path[64];
	const char *p;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", unix_fd);
	if (ifp_read_file(path, &text))
		return 0;
	p = strstr(text, "\nscm_fds:");
	return p ? (unsigned int)strtoul(p + strlen("\nscm_fds:"), NULL, 10) : 0;
}

/* All are taken out first, for none may be left open when cb fails. */
static int give(struct msghdr *m, unsigned int *ret_n, int (*cb)(int fd, void *data), void *data)
{
	int r = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int fds[MAX_IN_MESSAGE];

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || n > MAX_IN_MESSAGE)
			continue;
		memcpy(fds, CMSG_DATA(c), n * sizeof(int));
		for (size_t i = 0; i < n; i++, ++*ret_n) {
			if (!r)
				r = cb(fds[i], data);
			else
				close(fds[i]);
		}
	}
	return r;
}

/* Looks at the messages one after the other, from where the last look ended (SO_PEEK_OFF). */
static int peek_all(int fd, unsigned int expected, int (*cb)(int fd, void *data), void *data)
{
	char control[CMSG_SPACE(MAX_IN_MESSAGE * sizeof(int)) + 256] __attribute__((aligned(8)));
	char byte[4096];
	unsigned int n = 0;

	while (n < expected) {
		struct iovec iov = {byte, sizeof(byte)};
		struct msghdr m = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control)};
		int r;

		if (recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0)
			return -EAGAIN;
		r = give(&m, &n, cb, data);
		if (!r && m.msg_flags & MSG_CTRUNC)
			r = -EMFILE;
		if (r)
			return r;
	}
	return 0;
}

int ifp_transit_each(int unix_fd, int (*cb)(int fd, void *data), void *data)
{
	unsigned int expected = count(unix_fd);
	int before = -1, start = 0, r;
	socklen_t len = sizeof(before);

	if (!expected)
		return 0;
	if (getsockopt(unix_fd, SOL_SOCKET, SO_PEEK_OFF, &before, &len) ||
		setsockopt(unix_fd, SOL_SOCKET, SO_PEEK_OFF, &start, sizeof(start)))
		return -errno;
	r = peek_all(unix_fd, expected, cb, data);
	if (setsockopt(unix_fd, SOL_SOCKET, SO_PEEK_OFF, &before, sizeof(before)) && !r)
		r = -errno;
	return r;
}
