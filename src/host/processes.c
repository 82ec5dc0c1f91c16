// SPDX-License-Identifier: MIT
/* Processes and descriptors out of /proc: nothing is kept, all is asked anew each time. */
#include "processes.h"

#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <string.h>
#include <sys/syscall.h>

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

/* Return: the directory, or NULL and errno. */
static DIR *open_directory(int parent_fd, const char *path)
{
	int fd = openat(parent_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir && fd >= 0)
		close(fd);
	return dir;
}

/* What the kernel says of a process that has ended, in the words of pid calls. */
static int no_such_process(int err)
{
	return err == -ENOENT ? -ESRCH : err;
}

/* A name that is a number. Return: it; -1. */
static int number_of(const char *name)
{
	uint32_t v;

	return ifp_parse_u32(name, 0, INT32_MAX, &v) ? -1 : (int)v;
}

/* ---- processes ---- */

struct walk {
	int (*cb)(pid_t pid, void *data);
	void *data;
	bool unseen; /* processes of another PID namespace */
};

static pid_t process_of(pid_t tid)
{
	_cleanup_free_ char *text = NULL;
	char path[64];
	const char *p;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	if (ifp_read_file(path, &text))
		return -1;
	p = strstr(text, "\nTgid:");
	return p ? (pid_t)strtol(p + strlen("\nTgid:"), NULL, 10) : -1;
}

/* Return: 0; -EOPNOTSUPP: it is a threaded one, which has a list of threads only; -errno. */
static int read_members(int cgroup_fd, const char *file, bool threads, struct walk *w)
{
	_cleanup_close_ int fd = openat(cgroup_fd, file, O_RDONLY | O_CLOEXEC);
	_cleanup_fclose_ FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	int pid, r;

	if (!f)
		return -errno;
	fd = -1;
	errno = 0;
	while (fscanf(f, "%d", &pid) == 1) {
		if (!pid) {
			w->unseen = true;
			continue;
		}
		if (threads)
			pid = process_of(pid);
		r = pid > 0 ? w->cb(pid, w->data) : 0;
		if (r)
			return r;
		errno = 0;
	}
	return ferror(f) ? -(errno ?: EIO) : 0;
}

static int walk_cgroup(int cgroup_fd, struct walk *w)
{
	_cleanup_closedir_ DIR *dir = open_directory(cgroup_fd, ".");
	struct dirent *de;
	int r;

	if (!dir)
		return -errno;
	r = read_members(cgroup_fd, "cgroup.procs", false, w);
	if (r == -EOPNOTSUPP)
		r = read_members(cgroup_fd, "cgroup.threads", true, w);
	while (!r && (de = readdir(dir))) {
		_cleanup_close_ int fd = -1;

		if (de->d_type != DT_DIR || de->d_name[0] == '.')
			continue;
		fd = openat(cgroup_fd, de->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? -errno : walk_cgroup(fd, w);
		/* Removed meanwhile: nothing lived there. */
		if (r == -ENOENT || r == -ENODEV)
			r = 0;
	}
	return r;
}

static int walk_proc(struct walk *w)
{
	_cleanup_closedir_ DIR *dir = open_directory(AT_FDCWD, "/proc");
	struct dirent *de;
	int r = 0;

	if (!dir)
		return -errno;
	while (!r && (de = readdir(dir))) {
		int pid = number_of(de->d_name);

		if (pid > 0)
			r = w->cb(pid, w->data);
	}
	return r;
}

int ifp_processes_each(int cgroup_fd, int (*cb)(pid_t pid, void *data), void *data)
{
	struct walk w = {.cb = cb, .data = data};
	int r = cgroup_fd < 0 ? walk_proc(&w) : walk_cgroup(cgroup_fd, &w);

	return r ?: w.unseen ? -EXDEV : 0;
}

/* ---- descriptors ---- */

int ifp_descriptor_parse(const char *target, struct ifp_descriptor *ret)
{
	static const struct {
		const char *prefix;
		int kind;
	} known[] = {
		{"anon_inode:[io_uring]", IFP_DESCRIPTOR_IO_URING},
		{"/dev/net/tun", IFP_DESCRIPTOR_WIRE},
		{"/dev/tap", IFP_DESCRIPTOR_WIRE},
		{"/dev/vhost-", IFP_DESCRIPTOR_WIRE},
	};
	unsigned long long inode;
	char end;

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strncmp(target, known[i].prefix, strlen(known[i].prefix))) {
			ret->kind = known[i].kind;
			ret->inode = 0;
			return 0;
		}
	if (sscanf(target, "socket:[%20llu%c", &inode, &end) != 2 || end != ']')
		return -ENOENT;
	ret->kind = IFP_DESCRIPTOR_SOCKET;
	ret->inode = inode;
	return 0;
}

static int each_of_table(int task_fd, struct ifp_descriptor *d,
	int (*cb)(const struct ifp_descriptor *d, void *data), void *data, bool *ret_any)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *de;
	char path[32], target[64];
	ssize_t n;
	int r = 0;

	snprintf(path, sizeof(path), "%d/fd", (int)d->tid);
	dir = open_directory(task_fd, path);
	if (!dir)
		return -errno;
	while (!r && (de = readdir(dir))) {
		d->fd = number_of(de->d_name);
		if (d->fd < 0)
			continue;
		*ret_any = true;
		n = readlinkat(dirfd(dir), de->d_name, target, sizeof(target) - 1);
		/* The numbers may be read by more than who may know what they are. */
		if (n < 0 && errno != ENOENT)
			return -errno;
		if (n <= 0)
			continue;
		target[n] = 0;
		if (!ifp_descriptor_parse(target, d))
			r = cb(d, data);
	}
	return r;
}

/* Where the kernel cannot compare (CONFIG_KCMP), both are looked at. */
static bool share_table(pid_t a, pid_t b)
{
	return !syscall(SYS_kcmp, a, b, KCMP_FILES, 0, 0);
}

int ifp_descriptors_each(
	pid_t pid, int (*cb)(const struct ifp_descriptor *d, void *data), void *data)
{
	_cleanup_closedir_ DIR *tasks = NULL;
	struct ifp_descriptor d = {.pid = pid};
	char path[64];
	struct dirent *de;
	pid_t first = 0;
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = open_directory(AT_FDCWD, path);
	if (!tasks)
		return no_such_process(-errno);
	while (!r && (de = readdir(tasks))) {
		bool any = false;

		d.tid = number_of(de->d_name);
		if (d.tid <= 0 || (first && share_table(first, d.tid)))
			continue;
		r = each_of_table(dirfd(tasks), &d, cb, data, &any);
		/* A thread that has ended; of a first one that has, the others live on. */
		if (r == -ENOENT || r == -ESRCH)
			r = 0;
		if (any && !first)
			first = d.tid;
	}
	return r;
}

static int open_holder(const struct ifp_descriptor *d)
{
	int pidfd = (int)syscall(SYS_pidfd_open, d->tid, 0);

	/* ENOENT, before Linux 6.9 EINVAL: it is a thread and not the first one. */
	if (pidfd < 0 && d->tid != d->pid)
		pidfd = (int)syscall(SYS_pidfd_open, d->tid, PIDFD_THREAD);
	return pidfd < 0 ? -errno : pidfd;
}

static int copy(int pidfd, int fd)
{
	int own = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);

	return own < 0 ? -errno : own;
}

void ifp_taker_close(struct ifp_taker *t)
{
	if (t->tid)
		close(t->pidfd);
	*t = (struct ifp_taker){};
}

int ifp_descriptor_take_by(struct ifp_taker *t, const struct ifp_descriptor *d)
{
	int fd = t->tid == d->tid ? copy(t->pidfd, d->fd) : -ESRCH, pidfd;

	/* Its number may be another's by now. */
	if (fd != -ESRCH)
		return fd;
	pidfd = open_holder(d);
	if (pidfd < 0)
		return pidfd;
	ifp_taker_close(t);
	*t = (struct ifp_taker){.tid = d->tid, .pidfd = pidfd};
	return copy(pidfd, d->fd);
}

int ifp_descriptor_take(const struct ifp_descriptor *d)
{
	_cleanup_(ifp_taker_close) struct ifp_taker t = {};

	return ifp_descriptor_take_by(&t, d);
}

/* ---- what a process is ---- */

int ifp_process_comm(pid_t pid, char ret[16])
{
	_cleanup_free_ char *text = NULL;
	char path[64];
	size_t len;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	r = ifp_read_file(path, &text);
	if (r)
		return no_such_process(r);
	/* A newline ends it, and may be within. */
	len = strlen(text);
	if (len && text[len - 1] == '\n')
		text[len - 1] = 0;
	snprintf(ret, 16, "%s", text);
	return 0;
}

int ifp_cgroup_line_parse(const char *text, char *ret, size_t size)
{
	const char *p = text;
	size_t len;

	/* A line of cgroup v1 names its controllers between the colons. */
	while (strncmp(p, "0::/", 4) != 0) {
		p = strchr(p, '\n');
		if (!p)
			return -ENOENT;
		p++;
	}
	p += strlen("0::");
	len = strcspn(p, "\n");
	if (len >= size)
		return -ENAMETOOLONG;
	memcpy(ret, p, len);
	ret[len] = 0;
	return 0;
}

int ifp_process_cgroup(pid_t pid, char *ret, size_t size)
{
	_cleanup_free_ char *text = NULL;
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	r = ifp_read_file(path, &text);
	return r ? no_such_process(r) : ifp_cgroup_line_parse(text, ret, size);
}
