// SPDX-License-Identifier: MIT
/* Files and folders of pins: who may have written them, and what they say together. */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define SUFFIX ".conf"
#define MAX_FILE (64 << 10)

static int tell(
	ifpin_config_error_fn *on_error, void *ctx, const char *path, int code, const char *text)
{
	on_error(ctx, path, 0, text ?: strerrordesc_np(-code) ?: "unknown error");
	return code;
}

void ifpin_config_free(struct ifpin_config *config)
{
	if (!config)
		return;
	free(config->path);
	free(config->device);
	free(config->cgroup);
	free(config->unit);
	free(config->groups);
	free(config->users);
	if (config->fence) {
		free(config->fence->device);
		free(config->fence->prefixes);
	}
	free(config->fence);
	free(config);
}

static void config_freep(struct ifpin_config **c)
{
	ifpin_config_free(*c);
}

/* Who may write it decides what is pinned: that must be root, or whoever calls. */
static const char *judge_writers(const struct stat *st)
{
	if (st->st_uid && st->st_uid != geteuid())
		return "its owner is neither root nor the caller (try: chown root)";
	if (st->st_mode & S_IWOTH || (st->st_mode & S_IWGRP && st->st_gid))
		return "others than its owner may write it (try: chmod go-w)";
	return NULL;
}

static int read_all(int fd, char **ret, size_t *ret_len)
{
	_cleanup_free_ char *buf = malloc(MAX_FILE + 1);
	size_t used = 0;
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	do {
		n = read(fd, buf + used, MAX_FILE + 1 - used);
		if (n < 0 && errno != EINTR)
			return -errno;
		used += n > 0 ? (size_t)n : 0;
	} while (n && used <= MAX_FILE);
	if (used > MAX_FILE)
		return -EFBIG;
	*ret_len = used;
	*ret = buf;
	buf = NULL;
	return 0;
}

/* Opened without waiting: it might be a pipe. */
static int read_checked(
	const char *path, ifpin_config_error_fn *on_error, void *ctx, char **ret, size_t *ret_len)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	const char *wrong;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st))
		return tell(on_error, ctx, path, -errno, NULL);
	if (!S_ISREG(st.st_mode))
		return tell(on_error, ctx, path, -EINVAL, "not a regular file");
	wrong = judge_writers(&st);
	if (wrong)
		return tell(on_error, ctx, path, -EPERM, wrong);
	r = read_all(fd, ret, ret_len);
	return r ? tell(on_error, ctx, path, r, r == -EFBIG ? "larger than 64 KiB" : NULL) : 0;
}

int ifpin_config_read(const char *path, ifpin_config_error_fn *on_error, void *ctx,
	struct ifpin_config **ret_config)
{
	_cleanup_(config_freep) struct ifpin_config *c = calloc(1, sizeof(*c));
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	size_t len = strlen(base), text_len = 0;
	_cleanup_free_ char *text = NULL;
	int r;

	if (c)
		c->path = strdup(path);
	if (!c || !c->path)
		return tell(on_error, ctx, path, -ENOMEM, NULL);
	if (len < strlen(SUFFIX) || strcmp(base + len - strlen(SUFFIX), SUFFIX) != 0)
		return tell(on_error, ctx, path, -EINVAL, "the name of a file is NAME.conf");
	len -= strlen(SUFFIX);
	if (!ifp_config_name_ok(base, len))
		return tell(on_error, ctx, path, -EINVAL,
			"a pin's name has 1 to 48 letters, digits, '.', '_' or '-', and does not begin "
			"with '.' or \"run.\"");
	memcpy(c->name, base, len);
	r = read_checked(path, on_error, ctx, &text, &text_len);
	if (r)
		return r;
	r = ifp_config_parse(text, text_len, on_error, ctx, c);
	if (r)
		return r == -ENOMEM ? tell(on_error, ctx, path, r, NULL) : r;
	*ret_config = c;
	c = NULL;
	return 0;
}

/* ---- folders ------------------------------------------------------------------------------ */

void ifpin_config_set_free(struct ifpin_config_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->n_files; i++)
		ifpin_config_free(set->files[i]);
	free(set->files);
	free(set->bad);
	free(set);
}

static void set_freep(struct ifpin_config_set **s)
{
	ifpin_config_set_free(*s);
}

static int is_conf(const struct dirent *de)
{
	size_t len = strlen(de->d_name);

	return de->d_name[0] != '.' && len > strlen(SUFFIX) &&
	       !strcmp(de->d_name + len - strlen(SUFFIX), SUFFIX);
}

static void add_bad(struct ifpin_config_set *set, const char *file)
{
	size_t len = strlen(file) - strlen(SUFFIX);

	/* What cannot be the name of a pin has none in force. */
	if (ifp_config_name_ok(file, len))
		memcpy(set->bad[set->n_bad++], file, len);
}

static bool same(const char *a, const char *b)
{
	return a && b && !strcmp(a, b);
}

/* One cgroup cannot be held to two devices, and a fence has a name of its own. */
static bool taken(const struct ifpin_config_set *set, const struct ifpin_config *c,
	ifpin_config_error_fn *on_error, void *ctx)
{
	char text[256];

	for (size_t i = 0; i < set->n_files; i++) {
		const struct ifpin_config *o = set->files[i];

		bool pin = same(o->cgroup, c->cgroup) || same(o->unit, c->unit);

		if (!pin && (!o->fence || !c->fence || strcmp(o->fence->name, c->fence->name) != 0))
			continue;
		snprintf(text, sizeof(text), "its %s is that of %s" SUFFIX " already",
			!pin	  ? "fence's name"
			: c->unit ? "Unit="
				  : "Cgroup=",
			o->name);
		on_error(ctx, c->path, 0, text);
		return true;
	}
	return false;
}

static int read_file(struct ifpin_config_set *set, const char *dir, const char *file,
	ifpin_config_error_fn *on_error, void *ctx)
{
	_cleanup_(config_freep) struct ifpin_config *c = NULL;
	_cleanup_free_ char *path = NULL;
	int r;

	if (asprintf(&path, "%s/%s", dir, file) < 0) {
		path = NULL;
		return tell(on_error, ctx, dir, -ENOMEM, NULL);
	}
	r = ifpin_config_read(path, on_error, ctx, &c);
	/* A file that went away since the folder was read is no longer there. */
	if (r == -ENOENT && faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW))
		return 0;
	if (r == -ENOMEM)
		return r;
	if (r || taken(set, c, on_error, ctx)) {
		add_bad(set, file);
		return 0;
	}
	set->files[set->n_files++] = c;
	c = NULL;
	return 0;
}

static int check_dir(const char *dir, ifpin_config_error_fn *on_error, void *ctx)
{
	const char *wrong;
	struct stat st;

	if (stat(dir, &st))
		return tell(on_error, ctx, dir, -errno, NULL);
	if (!S_ISDIR(st.st_mode))
		return tell(on_error, ctx, dir, -ENOTDIR, NULL);
	wrong = judge_writers(&st);
	return wrong ? tell(on_error, ctx, dir, -EPERM, wrong) : 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

int ifpin_config_read_dir(const char *dir, ifpin_config_error_fn *on_error, void *ctx,
	struct ifpin_config_set **ret_set)
{
	_cleanup_(set_freep) struct ifpin_config_set *set = calloc(1, sizeof(*set));
	struct dirent **files = NULL;
	int n, r = check_dir(dir, on_error, ctx);

	if (r)
		return r;
	n = scandir(dir, &files, is_conf, by_name);
	if (n < 0)
		return tell(on_error, ctx, dir, -errno, NULL);
	if (set) {
		set->files = calloc((size_t)n + 1, sizeof(*set->files));
		set->bad = calloc((size_t)n + 1, sizeof(*set->bad));
	}
	if (!set || !set->files || !set->bad)
		r = tell(on_error, ctx, dir, -ENOMEM, NULL);
	for (int i = 0; i < n; i++) {
		if (!r)
			r = read_file(set, dir, files[i]->d_name, on_error, ctx);
		free(files[i]);
	}
	free(files);
	if (r)
		return r;
	*ret_set = set;
	set = NULL;
	return 0;
}
