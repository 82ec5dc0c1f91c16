// SPDX-License-Identifier: MIT
/* The kernel holds the state: a confinement is a cgroup named ifpin.*, nothing else. */
#include "pins.h"
#include "slots.h"

#include "host/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define PREFIX "ifpin."
#define END_SECONDS 5

static int open_dir(int parent_fd, const char *path)
{
	int fd = openat(parent_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int open_top(struct ifpin_error *err)
{
	int fd = ifp_cgroup_root();

	return fd >= 0 ? fd
		       : ifp_fail(err, -ENOSYS,
				 "cgroup v2 is not mounted and cannot be (kernel option "
				 "CONFIG_CGROUPS; try: mount -t cgroup2 none /sys/fs/cgroup/unified)");
}

/* A cgroup whose cgroup.procs a user owns lets that user move processes out of what is below. */
static bool only_root_moves(int dirfd)
{
	struct stat st;

	return !fstatat(dirfd, "cgroup.procs", &st, 0) && !st.st_uid && !(st.st_mode & 022);
}

/* Down to the caller's own cgroup, as far as only root may move processes on the way. */
static int open_own(int top, char *path)
{
	_cleanup_close_ int fd = open_dir(top, ".");
	char *name, *save = NULL;

	for (name = strtok_r(path, "/", &save); name && fd >= 0;
		name = strtok_r(NULL, "/", &save)) {
		int next = open_dir(fd, name);

		close(ifp_take_fd(&fd));
		fd = next;
		if (fd >= 0 && !only_root_moves(fd))
			return -EPERM;
	}
	return ifp_take_fd(&fd);
}

static int open_parent(struct ifpin_error *err)
{
	_cleanup_close_ int top = open_top(err), own = -1;
	char path[1024];
	int r;

	if (top < 0)
		return ifp_take_fd(&top);
	r = ifp_cgroup_own_path(path, sizeof(path));
	if (r)
		return ifp_fail_errno(err, r, "cannot tell the cgroup of this process");
	/* A path that leads up is of another cgroup namespace, and shows nothing here. */
	if (strncmp(path, "/..", 3) != 0)
		own = open_own(top, path);
	return own >= 0 ? ifp_take_fd(&own) : ifp_take_fd(&top);
}

static bool populated(int fd)
{
	char buf[256];
	ssize_t n = pread(fd, buf, sizeof(buf) - 1, 0);

	if (n <= 0)
		return false;
	buf[n] = 0;
	return strstr(buf, "populated 1") != NULL;
}

static bool is_empty(int cgroup_fd)
{
	_cleanup_close_ int fd = openat(cgroup_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);

	return fd < 0 || !populated(fd);
}

static bool same_dir(int parent_fd, const char *name, int fd)
{
	struct stat a, b;

	return !fstatat(parent_fd, name, &a, 0) && !fstat(fd, &b) && a.st_ino == b.st_ino;
}

/* Nested cgroups go deepest first. */
int ifp_cgroup_remove(int parent_fd, const char *name)
{
	int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *de;
	DIR *dir;

	if (!unlinkat(parent_fd, name, AT_REMOVEDIR) || errno == ENOENT) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return -errno;
	while ((de = readdir(dir)))
		if (de->d_type == DT_DIR && de->d_name[0] != '.')
			ifp_cgroup_remove(dirfd(dir), de->d_name);
	closedir(dir);
	return unlinkat(parent_fd, name, AT_REMOVEDIR) ? -errno : 0;
}

/*
 * The lock keeps the cleaning of another ifpin off, which may hold it for a moment, or have removed
 * the cgroup between mkdir and flock. One that a killed ifpin has left has programs of its own and
 * is made anew. Return: 0; -EEXIST: it is in use; -EAGAIN: try again; -errno.
 */
static int try_make_locked(struct ifp_cgroup *cg)
{
	bool ours = !mkdirat(cg->parent_fd, cg->name, 0755);

	if (!ours && errno != EEXIST)
		return -errno;
	cg->fd = open_dir(cg->parent_fd, cg->name);
	if (cg->fd < 0)
		return cg->fd == -ENOENT ? -EAGAIN : cg->fd;
	if (!is_empty(cg->fd))
		return -EEXIST;
	if (flock(cg->fd, LOCK_EX | LOCK_NB) || !same_dir(cg->parent_fd, cg->name, cg->fd))
		return -EAGAIN;
	if (ours)
		return 0;
	return ifp_cgroup_remove(cg->parent_fd, cg->name) ?: -EAGAIN;
}

static int make_locked(struct ifp_cgroup *cg)
{
	int r = -EAGAIN;

	for (int i = 0; i < 1000 && r == -EAGAIN; i++) {
		r = try_make_locked(cg);
		if (r && cg->fd >= 0)
			close(ifp_take_fd(&cg->fd));
		if (r == -EAGAIN)
			sched_yield();
	}
	/* Locked and empty for that long: another ifpin is about to start its command there. */
	return r == -EAGAIN ? -EEXIST : r;
}

static int make_unnamed(struct ifp_cgroup *cg)
{
	int r;

	snprintf(cg->name, sizeof(cg->name), PREFIX "%d", (int)getpid());
	r = make_locked(cg);
	/* What a killed ifpin that had our pid has left running, or a pid of another namespace. */
	for (int i = 1; r == -EEXIST && i < 1000; i++) {
		snprintf(cg->name, sizeof(cg->name), PREFIX "%d-%d", (int)getpid(), i);
		r = make_locked(cg);
	}
	return r;
}

int ifp_cgroup_make(const char *name, struct ifp_cgroup *ret, struct ifpin_error *err)
{
	struct ifp_cgroup cg = {.fd = -1, .parent_fd = open_parent(err)};
	int r;

	if (cg.parent_fd < 0)
		return cg.parent_fd;
	if (name)
		snprintf(cg.name, sizeof(cg.name), PREFIX "%s", name);
	r = name ? make_locked(&cg) : make_unnamed(&cg);
	if (r) {
		close(cg.parent_fd);
		if (r == -EEXIST)
			return ifp_fail(err, r, "a confinement named \"%s\" is running",
				cg.name + strlen(PREFIX));
		return ifp_fail_errno(err, r, "cannot make the cgroup %s", cg.name);
	}
	*ret = cg;
	return 0;
}

const char *ifp_cgroup_label(const struct ifp_cgroup *cg)
{
	return cg->name + strlen(PREFIX);
}

int ifp_cgroup_destroy(struct ifp_cgroup *cg)
{
	_cleanup_close_ int events = openat(cg->fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	struct pollfd pfd = {.fd = events, .events = POLLPRI};
	int r = events < 0 ? -errno : ifp_write_file(cg->fd, "cgroup.kill", "1");

	/* What does not end is stuck in the kernel; it stays confined. */
	for (int i = 0; !r && populated(events) && i < END_SECONDS; i++)
		poll(&pfd, 1, 1000);
	r = r ?: ifp_cgroup_remove(cg->parent_fd, cg->name);
	close(ifp_take_fd(&cg->fd));
	close(ifp_take_fd(&cg->parent_fd));
	return r;
}

static bool remove_if_dead(int parent_fd, const char *name)
{
	_cleanup_close_ int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB) && is_empty(fd) &&
	       !ifp_cgroup_remove(parent_fd, name);
}

/* A confinement without a name has its supervisor's pid: where that lives, nothing is left over. */
static bool supervisor_lives(const char *id)
{
	uint32_t pid;

	return !ifp_parse_u32(id, 1, INT32_MAX, &pid) && (!kill((pid_t)pid, 0) || errno != ESRCH);
}

void ifp_cgroup_tidy(const struct ifp_cgroup *cg)
{
	DIR *dir = fdopendir(openat(cg->parent_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *de;

	while (dir && (de = readdir(dir)))
		if (!strncmp(de->d_name, PREFIX, strlen(PREFIX)) &&
			!supervisor_lives(de->d_name + strlen(PREFIX)))
			remove_if_dead(cg->parent_fd, de->d_name);
	if (dir)
		closedir(dir);
}

int ifpin_confine_gc(unsigned int *ret_removed, struct ifpin_error *ret_error)
{
	_cleanup_close_ int top = -1;
	char path[64];
	char *paths[] = {path, NULL};
	unsigned int removed = 0, pins;
	FTSENT *e;
	FTS *fts;
	int r;

	/* Else what cannot be removed would not be counted, and "removed 0" said. */
	if (geteuid())
		return ifp_fail(
			ret_error, -EPERM, "not privileged: what could be removed is root's");
	top = open_top(ret_error);
	if (top < 0)
		return top;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/", top);
	fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	if (!fts)
		return ifp_fail_errno(ret_error, -errno, "cannot walk the cgroups");
	while ((e = fts_read(fts))) {
		if (e->fts_info != FTS_D || strncmp(e->fts_name, PREFIX, strlen(PREFIX)) != 0)
			continue;
		fts_set(fts, e, FTS_SKIP);
		if (remove_if_dead(AT_FDCWD, e->fts_accpath))
			removed++;
	}
	fts_close(fts);
	if (ifp_pins_gc(&pins, ret_error))
		return ret_error->code;
	r = ifp_slots_tidy(ret_error);
	if (r)
		return r;
	*ret_removed = removed + pins;
	return 0;
}
