// SPDX-License-Identifier: MIT
#include "silence.h"

#include <errno.h>
#include <linux/filter.h>
#include <poll.h>
#include <sys/socket.h>

bool ifp_is_shut(int fd)
{
	struct pollfd pfd = {.fd = fd};
	socklen_t len = sizeof(int);
	int type;

	return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) && type == SOCK_DGRAM &&
	       poll(&pfd, 1, 0) == 1 && pfd.revents & POLLHUP;
}

static bool is_deaf(int fd)
{
	socklen_t len = sizeof(int), n = 1;
	struct sock_filter code = {};
	int locked = 0;

	/* The length of a filter is in instructions, unlike that of any other option. */
	return !getsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &locked, &len) && locked &&
	       !getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, &code, &n) && n == 1 &&
	       code.code == (BPF_RET | BPF_K) && !code.k;
}

bool ifp_is_silent(int fd)
{
	return ifp_is_shut(fd) && is_deaf(fd);
}

int ifp_uncork(int fd)
{
	static const char too_much[65535];

	/* A send that is too long throws it away. */
	return send(fd, too_much, sizeof(too_much), MSG_DONTWAIT | MSG_MORE | MSG_NOSIGNAL) < 0
		       ? 0
		       : -EBUSY;
}

int ifp_silence(int fd)
{
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog prog = {.len = 1, .filter = &nothing};
	int one = 1;

	/* Not connected, it is shut all the same, and ENOTCONN is said. */
	shutdown(fd, SHUT_RDWR);
	if (!is_deaf(fd) && (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) ||
				    setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &one, sizeof(one))))
		return -errno;
	return ifp_is_silent(fd) ? 0 : -EBUSY;
}
