// SPDX-License-Identifier: MIT
#include "target.h"

#include "host/cgroup.h"
#include "host/processes.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <string.h>
#include <sys/stat.h>

#define PREFIX "ifpin."
#define MAX_ROUNDS 100 /* of moving what a process has forked meanwhile */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Letters, digits and the like; all else becomes '_', as in unit names that were escaped. */
static void name_after(const char *what, char ret[IFPIN_PIN_NAME_SIZE])
{
	size_t len = strlen(what), suffix = strlen(".service");

	if (len > suffix && !strcmp(what + len - suffix, ".service"))
		len -= suffix;
	if (len >= IFPIN_PIN_NAME_SIZE)
		len = IFPIN_PIN_NAME_SIZE - 1;
	memcpy(ret, what, len);
	ret[len] = 0;
	for (char *p = ret; *p; p++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.",
			    *p))
			*p = '_';
}

static int open_at(int root, const char *path, struct ifp_target *t, struct ifpin_error *err)
{
	size_t len;

	while (*path == '/')
		path++;
	if (!*path || strstr(path, ".."))
		return ifp_fail(err, -EINVAL, "a cgroup is wanted, not the root of all");
	if (strlen(path) + 2 > sizeof(t->path))
		return ifp_fail(err, -ENAMETOOLONG, "the path of the cgroup is too long");
	snprintf(t->path, sizeof(t->path), "/%s", path);
	for (len = strlen(t->path); t->path[len - 1] == '/'; len--)
		t->path[len - 1] = 0;
	t->fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->fd < 0)
		return ifp_fail_errno(err, -errno, "cannot open the cgroup %s", t->path);
	if (ifp_cgroup_id(t->fd, &t->id))
		return ifp_fail(err, -EINVAL, "%s is not a cgroup", t->path);
	name_after(base_name(t->path), t->name);
	return 0;
}

/* A path below the mount point is meant as the file system has it; every other, from the root. */
static int by_path(int root, const char *path, struct ifp_target *t, struct ifpin_error *err)
{
	char self[64], point[IFPIN_CGROUP_PATH_SIZE];
	ssize_t n;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", root);
	n = readlink(self, point, sizeof(point) - 1);
	if (n > 1) {
		point[n] = 0;
		if (ifp_path_is_within(path, point))
			path += n;
	}
	return open_at(root, path, t, err);
}

static void fts_closep(FTS **fts)
{
	if (*fts)
		fts_close(*fts);
}

/*
 * A unit of the system has a cgroup of its name; units of users have theirs below user.slice, where
 * anybody may give any name.
 */
static int by_unit(int root, const char *unit, struct ifp_target *t, struct ifpin_error *err)
{
	char top[64], found[IFPIN_CGROUP_PATH_SIZE] = "";
	char *paths[] = {top, NULL};
	_cleanup_(fts_closep) FTS *fts = NULL;
	FTSENT *e;

	if (strchr(unit, '/') || !strchr(unit, '.'))
		return ifp_fail(
			err, -EINVAL, "\"%s\" is not the name of a unit (NAME.service)", unit);
	snprintf(top, sizeof(top), "/proc/self/fd/%d/", root);
	fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV | FTS_NOSTAT, NULL);
	while (fts && (e = fts_read(fts))) {
		if (e->fts_info != FTS_D && e->fts_info != FTS_NSOK)
			continue;
		if (e->fts_level == 1 && !strcmp(e->fts_name, "user.slice"))
			fts_set(fts, e, FTS_SKIP);
		if (e->fts_info != FTS_D || strcmp(e->fts_name, unit) != 0)
			continue;
		if (*found)
			return ifp_fail(err, -ENOTUNIQ,
				"several cgroups are called %s; give one with --cgroup", unit);
		snprintf(found, sizeof(found), "%s", e->fts_path + strlen(top));
		fts_set(fts, e, FTS_SKIP);
	}
	if (!*found)
		return ifp_fail(err, -ENOENT,
			"no cgroup is called %s: the service is not running (to confine it before its "
			"first process, see ifpind(8))",
			unit);
	return open_at(root, found, t, err);
}

/* ---- a process ---- */

static pid_t parent_of(pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	char path[64], *end;
	int parent;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (ifp_read_file(path, &text))
		return 0;
	/* The name may have any character; the last parenthesis ends it. */
	end = strrchr(text, ')');
	return end && sscanf(end + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

static bool descends_from(pid_t pid, pid_t from)
{
	for (int i = 0; pid > 1 && i < 4096; i++, pid = parent_of(pid))
		if (pid == from)
			return true;
	return false;
}

static int is_other(pid_t pid, void *data)
{
	return !descends_from(pid, *(pid_t *)data) && pid != getpid();
}

static int by_pid(int root, pid_t pid, struct ifp_target *t, struct ifpin_error *err)
{
	char path[IFPIN_CGROUP_PATH_SIZE], comm[16] = "";
	int r = ifp_process_cgroup(pid, path, sizeof(path));

	if (!r)
		r = ifp_process_comm(pid, comm);
	if (r)
		return ifp_fail_errno(err, r, "process %d", (int)pid);
	if (!strncmp(path, "/..", 3))
		return ifp_fail(err, -EINVAL,
			"process %d is in a cgroup that cannot be seen from here (cgroup namespace)",
			(int)pid);
	if (strcmp(path, "/") != 0) {
		r = open_at(root, path, t, err);
		if (!r)
			r = ifp_processes_each(t->fd, is_other, &pid);
		if (!r)
			return 0;
		if (r < 0)
			return err->code
				       ?: ifp_fail_errno(
						  err, r, "cannot look at the cgroup %s", path);
	} else {
		t->fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (t->fd < 0)
			return ifp_fail_errno(err, -errno, "cannot open the root of cgroup v2");
		strcpy(t->path, "/");
	}
	t->move = pid;
	name_after(comm, t->name);
	return 0;
}

int ifp_target_find(
	const struct ifpin_attach_opts *opts, struct ifp_target *ret, struct ifpin_error *err)
{
	_cleanup_(ifp_target_closep) struct ifp_target t = {.fd = -1, .from = -1};
	_cleanup_close_ int root = -1;
	int r;

	err->code = 0;
	if (!!opts->cgroup + !!opts->unit + !!opts->pid != 1)
		return ifp_fail(err, -EINVAL, "give one of --cgroup, --unit and --pid");
	root = ifp_cgroup_root();
	if (root < 0)
		return ifp_fail_errno(err, root,
			"cgroup v2 is not mounted and cannot be (kernel option CONFIG_CGROUPS)");
	if (opts->cgroup)
		r = by_path(root, opts->cgroup, &t, err);
	else if (opts->unit)
		r = by_unit(root, opts->unit, &t, err);
	else
		r = by_pid(root, opts->pid, &t, err);
	if (r)
		return r;
	if (opts->name)
		snprintf(t.name, sizeof(t.name), "%s", opts->name);
	*ret = t;
	t.fd = t.from = -1;
	return 0;
}

/* ---- a cgroup of its own ---- */

struct moving {
	pid_t first;
	int to;
	const char *path; /* of the cgroup that they are moved to */
	unsigned int moved;
	int err;
};

static int move_one(pid_t pid, void *data)
{
	struct moving *m = data;
	char text[16], path[IFPIN_CGROUP_PATH_SIZE];

	if (!descends_from(pid, m->first) || ifp_process_cgroup(pid, path, sizeof(path)) ||
		!strcmp(path, m->path))
		return 0;
	snprintf(text, sizeof(text), "%d", (int)pid);
	m->err = ifp_write_file(m->to, "cgroup.procs", text);
	if (m->err == -ESRCH)
		m->err = 0;
	m->moved++;
	return m->err;
}

static int move_all(int from, int to, const char *path, pid_t first)
{
	struct moving m = {.first = first, .to = to, .path = path, .moved = 1};
	char text[16];
	int r;

	/* First the one whose children they are: what it forks from here on is born inside. */
	snprintf(text, sizeof(text), "%d", (int)first);
	r = ifp_write_file(to, "cgroup.procs", text);
	for (int i = 0; !r && m.moved && i < MAX_ROUNDS; i++) {
		m.moved = 0;
		r = ifp_processes_each(from, move_one, &m);
	}
	return r ?: m.moved ? -EAGAIN : 0;
}

int ifp_target_move(struct ifp_target *t, struct ifpin_error *err)
{
	char dir[IFPIN_PIN_NAME_SIZE + sizeof(PREFIX)], path[IFPIN_CGROUP_PATH_SIZE];
	_cleanup_close_ int own = -1;
	int r;

	snprintf(dir, sizeof(dir), PREFIX "%s", t->name);
	if (strlen(t->path) + strlen(dir) + 2 > sizeof(path))
		return ifp_fail(err, -ENAMETOOLONG, "the path of the cgroup would be too long");
	snprintf(path, sizeof(path), "%s/%s", strcmp(t->path, "/") ? t->path : "", dir);
	if (mkdirat(t->fd, dir, 0755))
		return ifp_fail_errno(err, -errno, "cannot make the cgroup %s", path);
	own = openat(t->fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = own < 0 ? -errno : ifp_cgroup_id(own, &t->id);
	if (!r)
		r = move_all(t->fd, own, path, t->move);
	if (r) {
		/* What has been moved goes back, as far as it lives. */
		move_all(own, t->fd, t->path, t->move);
		unlinkat(t->fd, dir, AT_REMOVEDIR);
		return ifp_fail_errno(
			err, r, "cannot move process %d into the cgroup %s", (int)t->move, path);
	}
	t->from = t->fd;
	t->fd = ifp_take_fd(&own);
	strcpy(t->path, path);
	return 0;
}

void ifp_target_move_back(struct ifp_target *t)
{
	char *slash = strrchr(t->path, '/'), dir[IFPIN_PIN_NAME_SIZE + sizeof(PREFIX)];

	if (t->from < 0)
		return;
	snprintf(dir, sizeof(dir), "%s", slash + 1);
	*slash = 0;
	move_all(t->fd, t->from, *t->path ? t->path : "/", t->move);
	unlinkat(t->from, dir, AT_REMOVEDIR);
	close(ifp_take_fd(&t->from));
}
