/* SPDX-License-Identifier: MIT */
/* The processes of the host or of a cgroup, and the descriptors that they hold. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Calls cb for each process of a cgroup and of those below it, or, with cgroup_fd < 0, for each one
 * that /proc shows. Who forks meanwhile may be missed: ask again until nothing new comes. A process
 * may be told more than once.
 *
 * Return: 0; -EXDEV: the cgroup has processes of a PID namespace that is not shown here (all others
 * were told); what cb returned; errno of open and read.
 */
int ifp_processes_each(int cgroup_fd, int (*cb)(pid_t pid, void *data), void *data);

struct ifp_descriptor {
	pid_t pid;
	pid_t tid; /* a thread of it that has the descriptor; mostly the same */
	int fd;
	enum {
		IFP_DESCRIPTOR_SOCKET,
		IFP_DESCRIPTOR_IO_URING,
		IFP_DESCRIPTOR_WIRE, /* a device node by which frames are sent: tun, macvtap, vhost */
	} kind;
	uint64_t inode; /* of a socket, whichever family it is of */
};

/*
 * Calls cb for each descriptor of a process that is a socket, an io_uring (which can hold sockets of
 * its own, that no list shows), or a wire. Threads with a table of their own are looked at, too; one that
 * several of these share is told more than once. One that only waits in a message of a unix socket
 * is nobody's.
 *
 * Return: 0, also where all descriptors are closed, as those of a zombie are; -ESRCH: it has ended;
 * -EACCES: it may not be looked at (ptrace(2)); what cb returned; errno of open and read.
 */
int ifp_descriptors_each(
	pid_t pid, int (*cb)(const struct ifp_descriptor *d, void *data), void *data);

/*
 * A copy of another process's descriptor, by pidfd_getfd(2), Linux 5.6. It may be another one by
 * now than the one that was seen: compare the inode.
 * Return: the descriptor, CLOEXEC, the caller's; -ESRCH: the process has ended; -EBADF: it was
 * closed; -EPERM: ptrace(2) does not allow it; -ENOSYS; -EINVAL: of a thread with a table of its
 * own, before Linux 6.9.
 */
int ifp_descriptor_take(const struct ifp_descriptor *d);

/* Whose descriptor was taken last; kept open, for most have more than one. All zero: nobody's. */
struct ifp_taker {
	pid_t tid;
	int pidfd;
};

void ifp_taker_close(struct ifp_taker *t);

/* As ifp_descriptor_take(), which is for one. */
int ifp_descriptor_take_by(struct ifp_taker *t, const struct ifp_descriptor *d);

/* Name of a process, as it calls itself: any bytes but NUL. Return: 0; -ESRCH; errno of open. */
int ifp_process_comm(pid_t pid, char ret[16]);

/*
 * Its cgroup, as a path from the root of cgroup v2, "/" for that itself. Seen from a cgroup
 * namespace, it begins with "/.." where it is outside.
 * Return: 0; -ESRCH; -ENOENT: no cgroup v2; -ENAMETOOLONG; errno of open and read.
 */
int ifp_process_cgroup(pid_t pid, char *ret, size_t size);

/* Reads the text of /proc/PID/cgroup. Return: 0; -ENOENT: no cgroup v2; -ENAMETOOLONG. */
int ifp_cgroup_line_parse(const char *text, char *ret, size_t size);

/*
 * Reads what a link of /proc/PID/fd leads to.
 * Return: 0, kind and inode set; -ENOENT: none of these.
 */
int ifp_descriptor_parse(const char *target, struct ifp_descriptor *ret);
