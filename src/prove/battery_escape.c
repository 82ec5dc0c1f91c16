// SPDX-License-Identifier: MIT
/* Ways to be somebody else, somewhere else, or to have a socket from there. */
#include "internal.h"

#include "host/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

/* The plainest leak there is, through the per-datagram option that no binding stops. */
static int leak(const struct env *e)
{
	struct target t = ifp_target(e->at.peer4, e->port, 0);
	struct in_pktinfo info = {.ipi_ifindex = (int)e->out_index};
	_cleanup_close_ int fd = ifp_sock(e, AF_INET, SOCK_DGRAM, 0);

	if (fd < 0)
		return fd;
	return ifp_send_cmsg(e, fd, &t, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
}

static int in_child(const struct env *e, int (*fn)(const struct env *e))
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(-fn(e) & 0x7f);
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

static int leak_from_grandchild(const struct env *e)
{
	setsid();
	return in_child(e, leak);
}

static int children(const struct env *e, int arg)
{
	int r = 0;

	if (arg == 0)
		return in_child(e, leak_from_grandchild);
	for (int i = 0; i < arg && !r; i++)
		r = in_child(e, leak);
	return r;
}

static void *leak_in_thread(void *arg)
{
	return (void *)(intptr_t)leak(arg);
}

static int thread(const struct env *e, int arg)
{
	pthread_t t;
	void *ret = NULL;

	(void)arg;
	if (pthread_create(&t, NULL, leak_in_thread, (void *)e) || pthread_join(t, &ret))
		return -EAGAIN;
	return (int)(intptr_t)ret;
}

static int cgroup_procs(const struct env *e, int v1)
{
	int moved = ifp_move_to_root_cgroup(v1, ""), r = leak(e);

	return moved ?: r;
}

/*
 * The cgroupfs that a process outside sees, reached through its root directory. One without
 * capabilities may be traced by whoever is as poor: become that for the look, and root again after.
 */
static int cgroup_of_other(const struct env *e, int arg)
{
	char root[64];
	int moved, fd, r;

	(void)arg;
	snprintf(root, sizeof(root), "/proc/%d/root", (int)e->poor);
	setfsgid(65534);
	setfsuid(65534);
	fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	setfsuid(0);
	setfsgid(0);
	snprintf(root, sizeof(root), "/proc/self/fd/%d", fd);
	moved = fd < 0 ? -EACCES : ifp_move_to_root_cgroup(false, root);
	r = leak(e);
	return moved ?: r;
}

/* CLONE_INTO_CGROUP asks for the file's permissions, not for those of the mount. */
static int clone_into(const struct env *e, int arg)
{
	char point[256] = "", type[64];
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mounts", "re");
	_cleanup_close_ int fd = -1;
	struct clone_args args = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD};
	int status;
	long pid;

	(void)arg;
	/* The first one that is to be seen: another mount may lie over it. */
	while (f && fd < 0 && fscanf(f, "%*s %255s %63s %*[^\n]", point, type) == 2)
		if (!strcmp(type, "cgroup2"))
			fd = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -ENOENT;
	args.cgroup = (uint64_t)fd;
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(-leak(e) & 0x7f);
	return waitpid((pid_t)pid, &status, 0) < 0 ? -errno : -WEXITSTATUS(status);
}

/* The peer's own namespace: a frame that leaves there needs no device of the host. */
static int enter_netns(const struct env *e, int arg)
{
	struct target t = ifp_target(LAB_OUT4, e->port, 0);
	_cleanup_close_ int ns = -1, fd = -1;
	char path[64];

	(void)arg;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)e->giver);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWNET))
		return -errno;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return fd < 0 ? -errno : ifp_send(e, fd, &t);
}

/*
 * A socket that came from elsewhere. Who has libifpin pins it first; it is the laboratory's, and is
 * wanted loose again.
 */
static int send_by(const struct env *e, int *fd)
{
	struct target t = ifp_target(e->at.peer4, e->port, 0);
	struct ip_mreqn none = {};
	int zero = 0, r = e->prot == PROT_LIBIFPIN ? ifp_protect(e, fd, AF_INET, false) : 0;

	if (r)
		return r;
	r = ifp_send(e, *fd, &t);
	if (e->prot == PROT_LIBIFPIN &&
		(setsockopt(*fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0) ||
			setsockopt(*fd, IPPROTO_IP, IP_UNICAST_IF, &zero, sizeof(zero)) ||
			setsockopt(*fd, IPPROTO_IP, IP_MULTICAST_IF, &none, sizeof(none))))
		return -errno;
	return r;
}

static int inherited(const struct env *e, int arg)
{
	int fd = e->inherited_fd;

	(void)arg;
	return fd < 0 ? -EBADF : send_by(e, &fd);
}

static int passed(const struct env *e, int arg)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	uint8_t control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), got = -1;
	int n = snprintf(
		sun.sun_path + 1, sizeof(sun.sun_path) - 1, "ifpin-giver-%d", (int)e->giver);

	(void)arg;
	if (fd < 0 ||
		connect(fd, (struct sockaddr *)&sun,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) ||
		recvmsg(fd, &m, MSG_CMSG_CLOEXEC) < 0)
		return -errno;
	if (!CMSG_FIRSTHDR(&m))
		return -EACCES;
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(got));
	return send_by(e, &got);
}

static int taken(const struct env *e, int arg)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, e->giver, 0), fd = -1;

	(void)arg;
	if (pidfd < 0)
		return -errno;
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, e->giver_fd, 0);
	return fd < 0 ? -errno : send_by(e, &fd);
}

/* One submission on a ring made by hand; only its result is waited for. */
static int uring_submit(const struct io_uring_sqe *sqe)
{
	struct io_uring_params p = {};
	_cleanup_close_ int ring = (int)syscall(SYS_io_uring_setup, 4, &p);
	uint8_t *sq, *cq;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqe;

	if (ring < 0)
		return -errno;
	sq = mmap(NULL, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
	cq = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof(*cqe), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_CQ_RING);
	sqes = mmap(NULL, p.sq_entries * sizeof(*sqe), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
	if (sq == MAP_FAILED || cq == MAP_FAILED || sqes == MAP_FAILED)
		return -errno;
	sqes[0] = *sqe;
	*(uint32_t *)(sq + p.sq_off.array) = 0;
	__atomic_store_n((uint32_t *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		return -errno;
	cqe = (struct io_uring_cqe *)(cq + p.cq_off.cqes);
	return cqe->res;
}

static int uring_pktinfo(const struct env *e, int arg)
{
	struct target t = ifp_target(e->at.peer4, e->port, 0);
	struct in_pktinfo info = {.ipi_ifindex = (int)e->out_index};
	uint8_t control[CMSG_SPACE(sizeof(info))] __attribute__((aligned(8))) = {};
	struct iovec iov = {.iov_base = (void *)e->magic, .iov_len = MAGIC_LEN};
	struct msghdr m = {.msg_name = &t.ss,
		.msg_namelen = t.len,
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	_cleanup_close_ int fd = ifp_sock(e, AF_INET, SOCK_DGRAM, 0);
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_SENDMSG, .fd = fd, .addr = (uint64_t)(uintptr_t)&m, .len = 1};
	int r;

	(void)arg;
	if (fd < 0)
		return fd;
	*c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(info)),
		.cmsg_level = IPPROTO_IP,
		.cmsg_type = IP_PKTINFO};
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	r = uring_submit(&sqe);
	return r < 0 ? r : 0;
}

/* IORING_OP_SOCKET makes a socket that no system call filter has seen. */
static int uring_socket(const struct env *e, int arg)
{
	struct io_uring_sqe sqe = {
		.opcode = 45 /* IORING_OP_SOCKET */, .fd = AF_INET, .off = SOCK_DGRAM};
	struct target t = ifp_target(e->at.peer4, e->port, 0);
	struct in_pktinfo info = {.ipi_ifindex = (int)e->out_index};
	_cleanup_close_ int fd = uring_submit(&sqe);
	int r = fd < 0 ? fd : ifp_protect(e, &fd, AF_INET, false);

	(void)arg;
	return r ?: ifp_send_cmsg(e, fd, &t, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
}

#define CLASS "escape"
const struct attempt ifp_battery_escape[] = {
	{"child", CLASS, "a child of the program", "fork(2)", children, 1, 0},
	{"daemon", CLASS, "a grandchild in a session of its own", "setsid(2)", children, 0, 0},
	{"fork-storm", CLASS, "a hundred children, one after the other", "fork(2)", children, 100,
		0},
	{"thread", CLASS, "another thread", "pthreads(7)", thread, 0, 0},
	{"cgroup-procs", CLASS, "a move to the root cgroup of version 2", "cgroups(7)",
		cgroup_procs, 0, PAST_LIBRARY | NEEDS_RUN},
	{"cgroup-procs-v1", CLASS, "a move to the root cgroups of version 1", "cgroups(7)",
		cgroup_procs, 1, PAST_LIBRARY},
	{"cgroup-of-other", CLASS,
		"a move to the root cgroup by the root directory of a process outside",
		"ptrace(2), proc(5)", cgroup_of_other, 0, NEEDS_SCOPE | PAST_LIBRARY | NEEDS_RUN},
	{"clone-into-cgroup", CLASS, "a child that starts in the root cgroup", "clone(2)",
		clone_into, 0, PAST_LIBRARY | NEEDS_RUN},
	{"enter-netns", CLASS, "another network namespace", "setns(2)", enter_netns, 0,
		FROM_PEER | PAST_LIBRARY, "no device of another namespace is watched"},
	{"inherited-socket", CLASS, "a socket that was open before", "execve(2)", inherited, 0,
		INHERITS | NEEDS_RUN},
	{"passed-socket", CLASS, "a socket that a process outside hands over", "unix(7)", passed, 0,
		NEEDS_LSM},
	{"taken-socket", CLASS, "a socket taken out of a process outside", "pidfd_getfd(2)", taken,
		0, NEEDS_RUN},
	{"io-uring-pktinfo", CLASS, "IP_PKTINFO through io_uring", "io_uring(7)", uring_pktinfo, 0,
		PAST_LIBRARY},
	{"io-uring-socket", CLASS, "a socket made by io_uring", "io_uring(7)", uring_socket, 0, 0},
	{},
};
