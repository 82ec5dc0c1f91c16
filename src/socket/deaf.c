// SPDX-License-Identifier: MIT
/*
 * A socket that hears nothing while it is not tied, so that nothing of another device gets into its
 * queue: a filter that drops all takes the place of its own.
 */
#include "internal.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>

int ifp_filter_read(int fd, struct ifp_filter_saved *ret)
{
	socklen_t n = 0;

	ret->n = 0;
	/* The length of a filter is in instructions, unlike that of any other option. */
	if (getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &n))
		return -errno;
	if (n > BPF_MAXINSNS)
		return -E2BIG;
	if (n && getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, ret->code, &n))
		return -errno;
	ret->n = n;
	return 0;
}

int ifp_filter_write(int fd, const struct ifp_filter_saved *f)
{
	struct sock_fprog prog = {
		.len = (unsigned short)f->n, .filter = (struct sock_filter *)f->code};
	int none = 0;

	if (f->n)
		return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) ? -errno
											 : 0;
	return setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none)) ? -errno : 0;
}

int ifp_deafen(int fd, struct ifp_filter_saved *ret_saved, struct ifpin_error *err)
{
	static const struct ifp_filter_saved nothing = {
		.n = 1, .code = {BPF_STMT(BPF_RET | BPF_K, 0)}};
	int r = ifp_filter_read(fd, ret_saved);

	if (r)
		return ifp_fail_errno(err, r,
			"the socket has a filter that cannot be set again (not a classic one); take it "
			"off first");
	r = ifp_filter_write(fd, &nothing);
	return r ? ifp_fail_errno(err, r, "cannot keep the socket from receiving") : 0;
}

int ifp_hear_again(
	int fd, const struct ifp_filter_saved *saved, bool drain, struct ifpin_error *err)
{
	char byte;
	int r;

	/*
	 * On another processor a packet may have found the socket and not yet be in its queue. This
	 * waits until there is none; where it cannot (nohz_full), all that is left is to be slow.
	 */
	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	while (drain && (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) >= 0 || errno == EINTR))
		;
	r = ifp_filter_write(fd, saved);
	return r ? ifp_fail_errno(err, r, "cannot let the socket receive again") : 0;
}
