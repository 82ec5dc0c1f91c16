// SPDX-License-Identifier: MIT
/* cgroups that do not exist yet, and what others take away: inotify, on cgroupfs and bpffs. */
#include "daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#define DRIFT_MS 200 /* attach and detach make many events */

static int watch_fd(int inotify, int fd, uint32_t mask)
{
	char path[32];
	int wd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	wd = inotify_add_watch(inotify, path, mask | IN_ONLYDIR);
	return wd < 0 ? -errno : wd;
}

static int open_below(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

static void await(struct pin *pin, int wd, const char *name, size_t len)
{
	free(pin->awaited);
	pin->awaited = strndup(name, len);
	pin->wd = wd;
}

/*
 * Down to the last folder that there is. It is watched before the next one is looked for, so that
 * none can come unseen.
 */
static int locate_path(struct daemon *d, struct pin *pin, char *ret)
{
	const char *name = pin->config->cgroup + 1;
	int fd = open_below(d->cgroup_root, ".");
	int r = fd < 0 ? fd : 0;

	while (!r) {
		char part[256];
		size_t len = strcspn(name, "/");
		int next, wd = watch_fd(d->cgroups.fd, fd, IN_CREATE | IN_DELETE);

		if (wd < 0) {
			r = wd;
			break;
		}
		snprintf(part, sizeof(part), "%.*s", (int)len, name);
		await(pin, wd, name, len);
		next = open_below(fd, part);
		close(fd);
		fd = next;
		r = next < 0 ? next : 0;
		if (!name[len])
			break;
		name += len + 1;
	}
	if (fd >= 0)
		close(fd);
	if (!r)
		snprintf(ret, IFPIN_CGROUP_PATH_SIZE, "%s", pin->config->cgroup);
	return r;
}

/* ---- units -------------------------------------------------------------------------------- */

static bool is_slice(const char *name)
{
	size_t len = strlen(name);

	return len > 6 && !strcmp(name + len - 6, ".slice");
}

static void forget_slices(struct daemon *d)
{
	for (size_t i = 0; i < d->n_slices; i++)
		free(d->slices[i].path);
	free(d->slices);
	d->slices = NULL;
	d->n_slices = 0;
}

static int add_slice(struct daemon *d, int fd, const char *path)
{
	int wd = watch_fd(d->cgroups.fd, fd, IN_CREATE | IN_DELETE);
	struct slice *more;
	char *copy;

	if (wd < 0)
		return wd;
	more = realloc(d->slices, (d->n_slices + 1) * sizeof(*more));
	if (more)
		d->slices = more;
	copy = strdup(path);
	if (!more || !copy) {
		free(copy);
		return -ENOMEM;
	}
	d->slices[d->n_slices++] = (struct slice){wd, copy};
	return 0;
}

/*
 * A unit is found by its name in the tree of slices, which only the service manager makes. Below
 * services and scopes users may have cgroups of any name: nothing is looked for there.
 */
static int scan_slices(struct daemon *d, int fd, const char *path)
{
	int copy = open_below(fd, "."), r = add_slice(d, fd, path);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *de;

	if (r || !dir) {
		if (dir)
			closedir(dir);
		else if (copy >= 0)
			close(copy);
		return r ?: -ENOMEM;
	}
	while (!r && (de = readdir(dir))) {
		char below[IFPIN_CGROUP_PATH_SIZE];
		int next;

		if (de->d_type != DT_DIR || !is_slice(de->d_name) ||
			snprintf(below, sizeof(below), "%s/%s", path, de->d_name) >=
				(int)sizeof(below))
			continue;
		next = open_below(fd, de->d_name);
		if (next < 0)
			continue; /* it went away meanwhile */
		r = scan_slices(d, next, below);
		close(next);
	}
	closedir(dir);
	return r;
}

static int locate_unit(struct daemon *d, struct pin *pin, char *ret)
{
	int r = d->n_slices ? 0 : scan_slices(d, d->cgroup_root, "");

	if (r) {
		forget_slices(d);
		return r;
	}
	for (size_t i = 0; i < d->n_slices; i++) {
		struct stat st;

		if (snprintf(ret, IFPIN_CGROUP_PATH_SIZE, "%s/%s", d->slices[i].path,
			    pin->config->unit) < IFPIN_CGROUP_PATH_SIZE &&
			!fstatat(d->cgroup_root, ret + 1, &st, AT_SYMLINK_NOFOLLOW))
			return 0;
	}
	return -ENOENT;
}

int wait_locate(struct daemon *d, struct pin *pin, char ret[IFPIN_CGROUP_PATH_SIZE])
{
	struct ifpin_error err;
	int fd;

	if (pin->config->cgroup)
		return locate_path(d, pin, ret);
	if (pin->config->unit)
		return locate_unit(d, pin, ret);
	pins_run_cgroup(d, pin->config->name, ret);
	fd = ifpin_cgroup_open(ret, true, &err);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* ---- events ------------------------------------------------------------------------------- */

static bool in_slice(const struct daemon *d, int wd)
{
	for (size_t i = 0; i < d->n_slices; i++)
		if (d->slices[i].wd == wd)
			return true;
	return false;
}

static void on_event(struct daemon *d, const struct inotify_event *ev)
{
	bool all = ev->mask & IN_Q_OVERFLOW, wanted = false, slice = in_slice(d, ev->wd);
	const char *name = ev->len ? ev->name : "";

	/* The tree of slices has changed: it is read again when a unit is looked for. */
	if (all || (slice && (is_slice(name) || ev->mask & IN_IGNORED)))
		forget_slices(d);
	for (size_t i = 0; i < d->n_pins; i++) {
		struct pin *p = &d->pins[i];

		if (p->config->unit)
			p->dirty |= all ||
				    (slice && (is_slice(name) || !strcmp(name, p->config->unit) ||
						      ev->mask & IN_IGNORED));
		else if (p->wd == ev->wd && p->awaited) {
			wanted = true;
			p->dirty |= ev->mask & IN_IGNORED || !strcmp(name, p->awaited);
		}
		p->dirty |= all;
	}
	/* Nobody waits there any more. */
	if (!wanted && !slice && !(ev->mask & (IN_IGNORED | IN_Q_OVERFLOW)))
		inotify_rm_watch(d->cgroups.fd, ev->wd);
}

static void drain(
	struct daemon *d, int fd, void (*fn)(struct daemon *, const struct inotify_event *))
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		const struct inotify_event *ev;

		for (char *p = buf; p < buf + n; p += sizeof(*ev) + ev->len) {
			ev = (const struct inotify_event *)p;
			fn(d, ev);
		}
	}
}

static void on_cgroups(struct daemon *d, struct source *s, uint32_t events)
{
	(void)events;
	drain(d, s->fd, on_event);
}

static void on_bpf_event(struct daemon *d, const struct inotify_event *ev)
{
	(void)ev;
	if (d->reconcile_at == NEVER)
		d->reconcile_at = now_ms() + DRIFT_MS;
}

static void on_bpf(struct daemon *d, struct source *s, uint32_t events)
{
	(void)events;
	drain(d, s->fd, on_bpf_event);
}

int wait_open(struct daemon *d)
{
	struct ifpin_error err;
	int r;

	d->cgroup_root = ifpin_cgroup_open("/", false, &err);
	if (d->cgroup_root < 0) {
		say(SAY_ERROR, "%s", err.text);
		return d->cgroup_root;
	}
	d->cgroups.ready = on_cgroups;
	d->bpf.ready = on_bpf;
	r = source_add(d, &d->cgroups, inotify_init1(IN_CLOEXEC | IN_NONBLOCK), EPOLLIN);
	if (!r)
		r = source_add(d, &d->bpf, inotify_init1(IN_CLOEXEC | IN_NONBLOCK), EPOLLIN);
	if (r)
		say(SAY_ERROR, "cannot wait for cgroups (inotify): %s", strerror(-r));
	return r;
}

/* The folder of pins, and that of each. Adding a watch twice changes nothing. */
void wait_drift(struct daemon *d)
{
	static const uint32_t gone = IN_DELETE | IN_MOVED_FROM | IN_ONLYDIR;
	int wd = inotify_add_watch(d->bpf.fd, d->bpffs, gone | IN_CREATE | IN_MOVED_TO);
	DIR *dir = wd < 0 ? NULL : opendir(d->bpffs);
	struct dirent *de;

	while (dir && (de = readdir(dir))) {
		char path[512];

		if (strncmp(de->d_name, "pin_", 4) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", d->bpffs, de->d_name);
		inotify_add_watch(d->bpf.fd, path, gone);
	}
	if (dir)
		closedir(dir);
}

void wait_close(struct daemon *d)
{
	forget_slices(d);
	source_drop(d, &d->cgroups);
	source_drop(d, &d->bpf);
	if (d->cgroup_root >= 0)
		close(d->cgroup_root);
}
