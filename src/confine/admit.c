// SPDX-License-Identifier: MIT
/* Processes of others are let into a confined cgroup. Privileged, and trusting nobody. */
#include "internal.h"

#include "host/cgroup.h"
#include "host/processes.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#define PREFIX "run."

static int open_dir(int fd, const char *name)
{
	int next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return next < 0 ? -errno : next;
}

/* Whoever may write cgroup.procs of a cgroup may move processes out of what is below. */
static bool only_root_moves(int fd)
{
	struct stat st;

	return !fstatat(fd, "cgroup.procs", &st, 0) && !st.st_uid && !(st.st_mode & 022);
}

int ifpin_cgroup_open(const char *path, bool make, struct ifpin_error *ret_error)
{
	_cleanup_close_ int fd = ifp_cgroup_root();
	_cleanup_free_ char *copy = strdup(path);
	char *name, *save = NULL;

	if (fd < 0)
		return ifp_fail_errno(ret_error, fd, "cannot open cgroup v2");
	if (!copy)
		return ifp_fail(ret_error, -ENOMEM, "out of memory");
	for (name = strtok_r(copy, "/", &save); name; name = strtok_r(NULL, "/", &save)) {
		int next;

		if (make && mkdirat(fd, name, 0755) && errno != EEXIST)
			return ifp_fail_errno(ret_error, -errno,
				"cannot make \"%s\" of the cgroup %s", name, path);
		next = open_dir(fd, name);
		if (next < 0)
			return ifp_fail_errno(ret_error, next, "cannot open the cgroup %s", path);
		close(ifp_take_fd(&fd));
		fd = next;
		if (make && !only_root_moves(fd))
			return ifp_fail(ret_error, -EPERM,
				"others than root may move processes out of \"%s\" of the cgroup %s",
				name, path);
	}
	return ifp_take_fd(&fd);
}

static bool has_ended(int pidfd)
{
	struct pollfd pfd = {.fd = pidfd, .events = POLLIN};

	return poll(&pfd, 1, 0) != 0;
}

/* All four: a process that runs as two users is not one user's to confine. */
static int check_user(pid_t pid, uid_t uid, struct ifpin_error *err)
{
	_cleanup_free_ char *text = NULL;
	unsigned int id[4];
	char path[64];
	const char *line;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	r = ifp_read_file(path, &text);
	line = r ? NULL : strstr(text, "\nUid:");
	if (!line || sscanf(line, " Uid: %u %u %u %u", &id[0], &id[1], &id[2], &id[3]) != 4)
		return ifp_fail_errno(
			err, r ?: -EBADMSG, "cannot tell whose process %d is", (int)pid);
	for (size_t i = 0; i < ARRAY_SIZE(id); i++)
		if (id[i] != uid)
			return ifp_fail(err, -EPERM, "process %d does not run as user %u only",
				(int)pid, (unsigned int)uid);
	return 0;
}

/*
 * By a set-user-ID program the user would have us confine, stop and kill what is somebody else's.
 * No_new_privs is of a thread, and inherited: with all threads there are (one) having it, nobody in
 * the cgroup is ever without. Asked in this order, for a thread may be made between two readings.
 */
static int check_no_new_privs(pid_t pid, struct ifpin_error *err)
{
	static const char *const wanted[] = {"\nNoNewPrivs:\t1\n", "\nThreads:\t1\n"};
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		_cleanup_free_ char *text = NULL;
		int r = ifp_read_file(path, &text);

		if (r)
			return ifp_fail_errno(
				err, r, "cannot tell the privileges of process %d", (int)pid);
		if (!strstr(text, wanted[i]))
			return ifp_fail(err, -EPERM,
				"process %d has not given up new privileges (PR_SET_NO_NEW_PRIVS), or "
				"has several threads",
				(int)pid);
	}
	return 0;
}

static int check_netns(pid_t pid, struct ifpin_error *err)
{
	struct stat own, other;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	if (stat("/proc/self/ns/net", &own) || stat(path, &other))
		return ifp_fail_errno(
			err, -errno, "cannot tell the network namespace of process %d", (int)pid);
	if (own.st_ino != other.st_ino || own.st_dev != other.st_dev)
		return ifp_fail(
			err, -EXDEV, "process %d is in another network namespace", (int)pid);
	return 0;
}

static int check_process(const struct ifpin_admit_opts *o, struct ifpin_error *err)
{
	int r = check_user(o->pid, o->uid, err);

	if (!r)
		r = check_no_new_privs(o->pid, err);
	if (!r)
		r = check_netns(o->pid, err);
	/* What was read is that process's only if it is there still. */
	if (has_ended(o->pidfd))
		r = ifp_fail(err, -ESRCH, "process %d has ended", (int)o->pid);
	return r;
}

static int move(int cgroup_fd, pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)pid);
	return ifp_write_file(cgroup_fd, "cgroup.procs", text);
}

/* One of that name is of a process that had this pid before; in use, it is somebody's still. */
static int make_fresh(int parent_fd, const char *name, struct ifpin_error *err)
{
	int fd;

	if (mkdirat(parent_fd, name, 0755)) {
		if (errno != EEXIST)
			return ifp_fail_errno(err, -errno, "cannot make the cgroup %s", name);
		if (ifp_cgroup_remove(parent_fd, name) || mkdirat(parent_fd, name, 0755))
			return ifp_fail_errno(err, -errno, "cannot make the cgroup %s anew", name);
	}
	fd = open_dir(parent_fd, name);
	return fd < 0 ? ifp_fail_errno(err, fd, "cannot open the cgroup %s", name) : fd;
}

static int narrow(const struct ifpin_admit_opts *o, const char *name, const char *path,
	struct ifpin_error *err)
{
	struct ifpin_attach_opts a;

	if (!o->narrow)
		return 0;
	a = *o->narrow;
	a.name = name;
	a.cgroup = path;
	a.unit = NULL;
	a.pid = 0;
	return ifpin_attach(&a, NULL, err);
}

/* Effective programs of one kind, those from above included. */
static int count_programs(int fd, enum bpf_attach_type type)
{
	uint32_t n = 0;

	if (bpf_prog_query(fd, type, BPF_F_QUERY_EFFECTIVE, NULL, NULL, &n))
		return -errno;
	return (int)n;
}

/*
 * A request may only narrow: who is confined already, by ifpin or by programs that a service
 * manager has put on a cgroup (IPAddressDeny=, RestrictNetworkInterfaces=, DevicePolicy=), would
 * leave that.
 */
static int check_free(int fd, const char *path, struct ifpin_error *err)
{
	static const enum bpf_attach_type types[] = {BPF_CGROUP_INET_INGRESS,
		BPF_CGROUP_INET_EGRESS, BPF_CGROUP_INET_SOCK_CREATE, BPF_CGROUP_INET4_CONNECT,
		BPF_CGROUP_INET6_CONNECT, BPF_CGROUP_INET4_BIND, BPF_CGROUP_INET6_BIND,
		BPF_CGROUP_UDP4_SENDMSG, BPF_CGROUP_UDP6_SENDMSG, BPF_CGROUP_SETSOCKOPT,
		BPF_CGROUP_DEVICE, BPF_CGROUP_SYSCTL};
	_cleanup_close_ int root = ifp_cgroup_root();

	if (root < 0)
		return ifp_fail_errno(err, root, "cannot open cgroup v2");
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		int here = count_programs(fd, types[i]),
		    everywhere = count_programs(root, types[i]);

		if (here < 0 || everywhere < 0)
			return ifp_fail_errno(err, here < 0 ? here : everywhere,
				"cannot list the BPF programs of the cgroup %s", path);
		if (here > everywhere)
			return ifp_fail(err, -EACCES,
				"the cgroup %s is confined by BPF programs already, which a process of it "
				"may not leave",
				path);
	}
	return 0;
}

/* Whether it is there, and is what was asked for, can be told only afterwards. */
static int move_and_look(
	const struct ifpin_admit_opts *o, int fd, const char *path, struct ifpin_error *err)
{
	char before[IFPIN_CGROUP_PATH_SIZE], after[IFPIN_CGROUP_PATH_SIZE];
	_cleanup_close_ int old = -1;
	int r = ifp_process_cgroup(o->pid, before, sizeof(before));

	old = r ? r : ifpin_cgroup_open(before, false, NULL);
	if (old < 0)
		return ifp_fail_errno(
			err, old, "cannot open the cgroup of process %d", (int)o->pid);
	r = check_free(old, before, err);
	if (!r)
		r = check_process(o, err);
	if (r)
		return r;
	r = move(fd, o->pid);
	if (r)
		return ifp_fail_errno(
			err, r, "cannot move process %d to the cgroup %s", (int)o->pid, path);
	r = ifp_process_cgroup(o->pid, after, sizeof(after));
	if (r || strcmp(after, path) != 0)
		r = ifp_fail(
			err, r ?: -EIO, "process %d is not in the cgroup %s", (int)o->pid, path);
	if (!r)
		r = check_process(o, err);
	if (r && r != -ESRCH)
		move(old, o->pid);
	return r;
}

int ifpin_admit(
	const struct ifpin_admit_opts *opts, char *ret_cgroup, struct ifpin_error *ret_error)
{
	char name[32], path[IFPIN_CGROUP_PATH_SIZE + sizeof(name)];
	_cleanup_close_ int parent = -1, fd = -1;
	int r;

	if (opts->size != sizeof(*opts))
		return ifp_fail(ret_error, -EINVAL, "options of another version of the library");
	snprintf(name, sizeof(name), PREFIX "%d", (int)opts->pid);
	snprintf(path, sizeof(path), "%s/%s", opts->cgroup, name);
	if (opts->pid <= 0 || strlen(path) >= IFPIN_CGROUP_PATH_SIZE)
		return ifp_fail(ret_error, -EINVAL, "no process, or too long a path");
	parent = ifpin_cgroup_open(opts->cgroup, true, ret_error);
	if (parent < 0)
		return parent;
	fd = make_fresh(parent, name, ret_error);
	if (fd < 0)
		return fd;
	r = narrow(opts, name, path, ret_error);
	if (r) {
		/* One of this name may be there: the process is in another pin, which that narrows.
		 */
		ifp_cgroup_remove(parent, name);
		return r;
	}
	r = move_and_look(opts, fd, path, ret_error);
	if (r) {
		if (opts->narrow)
			ifpin_detach(name, NULL);
		ifp_cgroup_remove(parent, name);
		return r;
	}
	strcpy(ret_cgroup, path);
	return 0;
}

int ifpin_dismiss(const char *cgroup, pid_t pid, struct ifpin_error *ret_error)
{
	_cleanup_close_ int parent = ifpin_cgroup_open(cgroup, false, ret_error), fd = -1;
	char name[32];
	int r;

	if (parent < 0)
		return parent;
	snprintf(name, sizeof(name), PREFIX "%d", (int)pid);
	fd = open_dir(parent, name);
	if (fd == -ENOENT)
		return 0;
	r = fd < 0 ? fd : ifp_write_file(fd, "cgroup.kill", "1");
	r = r ?: ifp_cgroup_remove(parent, name);
	if (r)
		return ifp_fail_errno(ret_error, r, "cannot remove the cgroup %s/%s", cgroup, name);
	r = ifpin_detach(name, ret_error);
	return r == -ENOENT ? 0 : r;
}
