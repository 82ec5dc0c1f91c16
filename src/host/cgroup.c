// SPDX-License-Identifier: MIT
#include "cgroup.h"

#include "base/base.h"
#include "processes.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define FILEID_KERNFS 0xfe

static int unescape(const char *from, size_t len, char *ret, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned int c;

		if (n + 1 >= size)
			return -ENAMETOOLONG;
		/* Blanks and backslashes are written as three octal digits. */
		if (from[i] == '\\' && i + 3 < len && sscanf(from + i + 1, "%3o", &c) == 1) {
			ret[n++] = (char)c;
			i += 3;
		} else {
			ret[n++] = from[i];
		}
	}
	ret[n] = 0;
	return 0;
}

int ifp_mountinfo_parse(const char *line, char *ret, size_t size)
{
	size_t len = strcspn(line, "\n");
	const char *type = memmem(line, len, " - cgroup2 ", strlen(" - cgroup2 "));
	int root = 0, begin = 0, end = 0;

	if (!type || sscanf(line, "%*s %*s %*s %n%*s %n%*s%n", &root, &begin, &end) < 0 ||
		end <= begin || line + end > type || strncmp(line + root, "/ ", 2) != 0)
		return -ENOENT;
	return unescape(line + begin, (size_t)(end - begin), ret, size);
}

/* Beside v1 it is not /sys/fs/cgroup. */
static int open_mounted(void)
{
	_cleanup_free_ char *text = NULL;
	char *line, *save = NULL;
	char point[4096];
	int r = ifp_read_file("/proc/self/mountinfo", &text);

	if (r)
		return r;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (!ifp_mountinfo_parse(line, point, sizeof(point))) {
			int fd = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			struct statfs fs;

			/* Another mount may hide it. */
			if (fd >= 0 && !fstatfs(fd, &fs) && fs.f_type == CGROUP2_SUPER_MAGIC)
				return fd;
			if (fd >= 0)
				close(fd);
		}
	return -ENOENT;
}

/* `ip netns exec` hides cgroupfs. */
static int mount_unseen(void)
{
	_cleanup_close_ int fs = fsopen("cgroup2", FSOPEN_CLOEXEC);
	int fd;

	if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -errno;
	fd = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

int ifp_cgroup_root(void)
{
	int fd = open_mounted();

	return fd >= 0 ? fd : mount_unseen();
}

int ifp_cgroup_own_path(char *ret, size_t size)
{
	return ifp_process_cgroup(getpid(), ret, size);
}

bool ifp_path_is_within(const char *path, const char *above)
{
	size_t n = strlen(above);

	if (!strcmp(above, "/"))
		return true;
	return !strncmp(path, above, n) && (path[n] == '/' || !path[n]);
}

int ifp_cgroup_id(int cgroup_fd, uint64_t *ret)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(cgroup_fd, &fs) || fstat(cgroup_fd, &st))
		return -errno;
	if (fs.f_type != CGROUP2_SUPER_MAGIC)
		return -EBADF;
	*ret = st.st_ino;
	return 0;
}

/* Where a descriptor leads. Return: 0; -ENAMETOOLONG; -errno. */
static int path_of(int fd, char *ret, size_t size)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, ret, size);
	if (n < 0)
		return -errno;
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	ret[n] = 0;
	return 0;
}

/* What is left of a path below another one. Return: 0; -ENOENT: it is not below; -ENAMETOOLONG. */
static int below(const char *root, const char *path, char *ret, size_t size)
{
	size_t len = strcmp(root, "/") ? strlen(root) : 0;

	if (strncmp(path, root, len) != 0 || (path[len] && path[len] != '/'))
		return -ENOENT;
	return (size_t)snprintf(ret, size, "%s", path[len] ? path + len : "/") < size
		       ? 0
		       : -ENAMETOOLONG;
}

/* Return: descriptor (O_PATH); -ENOENT: there is none such; -EPERM; -errno. */
static int open_by_id(int root_fd, uint64_t id)
{
	union {
		struct file_handle h;
		char room[sizeof(struct file_handle) + sizeof(id)];
	} u = {.h = {.handle_bytes = sizeof(id), .handle_type = FILEID_KERNFS}};
	int fd;

	memcpy(u.room + sizeof(struct file_handle), &id, sizeof(id));
	fd = open_by_handle_at(root_fd, &u.h, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 ? fd : errno == ESTALE ? -ENOENT : -errno;
}

static int walk_to_id(int root_fd, uint64_t id, char *ret, size_t size)
{
	char root[64], top[64];
	char *tops[] = {top, NULL};
	int r = -ENOENT;
	FTSENT *e;
	FTS *fts;

	snprintf(root, sizeof(root), "/proc/self/fd/%d", root_fd);
	snprintf(top, sizeof(top), "%s/", root);
	fts = fts_open(tops, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	if (!fts)
		return -errno;
	while (r == -ENOENT && (e = fts_read(fts)))
		if (e->fts_info == FTS_D && e->fts_statp->st_ino == id)
			r = below(root, e->fts_path, ret, size);
	fts_close(fts);
	return r;
}

bool ifp_cgroup_is_gone(int root_fd, uint64_t id)
{
	_cleanup_close_ int fd = open_by_id(root_fd, id);

	return fd == -ENOENT;
}

int ifp_cgroup_path_by_id(int root_fd, uint64_t id, char *ret, size_t size)
{
	_cleanup_close_ int fd = open_by_id(root_fd, id);
	char root[4096], path[8192];
	int r;

	if (fd == -ENOENT)
		return fd;
	if (fd < 0)
		return walk_to_id(root_fd, id, ret, size);
	r = path_of(root_fd, root, sizeof(root)) ?: path_of(fd, path, sizeof(path));
	return r ?: below(root, path, ret, size);
}
