// SPDX-License-Identifier: MIT
/*
 * Commands that were let in. Each has a cgroup, run.PID, below that of its pin; when the command
 * has ended, what it left there is killed and the cgroup removed.
 */
#include "daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static void forget(struct daemon *d, struct run *run)
{
	struct run **p = &d->runs;

	while (*p && *p != run)
		p = &(*p)->next;
	if (*p)
		*p = run->next;
	/* Its pin may have been waiting for the last command. */
	if (!pins_find(d, run->name))
		d->reconcile_at = now_ms();
	source_drop(d, &run->process);
	source_drop(d, &run->events);
	free(run);
}

bool runs_any(const struct daemon *d, const char *pin)
{
	const struct run *r = d->runs;

	while (r && strcmp(r->name, pin) != 0)
		r = r->next;
	return r != NULL;
}

static void end(struct daemon *d, struct run *run);

static void on_events(struct daemon *d, struct source *s, uint32_t events)
{
	(void)events;
	end(d, (struct run *)((char *)s - offsetof(struct run, events)));
}

/* Until it is empty: cgroup.events tells. */
static int watch_end(struct daemon *d, struct run *run, const char *cgroup)
{
	char path[IFPIN_CGROUP_PATH_SIZE + 64], buf[256];
	int fd;

	if (run->events.fd >= 0)
		return pread(run->events.fd, buf, sizeof(buf), 0) < 0 ? -errno : 0;
	snprintf(path, sizeof(path), "%s/run.%d/cgroup.events", cgroup + 1, (int)run->pid);
	fd = openat(d->cgroup_root, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* Read once, so that what comes from now on is news. */
	if (read(fd, buf, sizeof(buf)) < 0) {
		close(fd);
		return -EIO;
	}
	run->events.ready = on_events;
	return source_add(d, &run->events, fd, EPOLLPRI);
}

static void end(struct daemon *d, struct run *run)
{
	char cgroup[IFPIN_CGROUP_PATH_SIZE];
	struct ifpin_error err;
	int r;

	pins_run_cgroup(d, run->name, cgroup);
	source_drop(d, &run->process);
	r = watch_end(d, run, cgroup);
	r = ifpin_dismiss(cgroup, run->pid, &err);
	if (r == -EBUSY && run->events.fd >= 0)
		return;
	if (r && r != -ENOENT)
		say(SAY_ERROR, "pin \"%s\": after process %d: %s", run->name, (int)run->pid,
			err.text);
	else
		say(SAY_DEBUG, "pin \"%s\": process %d has ended", run->name, (int)run->pid);
	forget(d, run);
}

static void on_process(struct daemon *d, struct source *s, uint32_t events)
{
	(void)events;
	end(d, (struct run *)((char *)s - offsetof(struct run, process)));
}

unsigned int runs_of_user(const struct daemon *d, const char *pin, uid_t uid)
{
	unsigned int n = 0;

	for (const struct run *r = d->runs; r; r = r->next)
		n += r->uid == uid && !strcmp(r->name, pin);
	return n;
}

static struct run *make(struct daemon *d, const char *pin, pid_t pid, uid_t uid)
{
	struct run *run = calloc(1, sizeof(*run));

	if (!run)
		return NULL;
	run->process.fd = run->events.fd = -1;
	run->pid = pid;
	run->uid = uid;
	snprintf(run->name, sizeof(run->name), "%s", pin);
	run->next = d->runs;
	d->runs = run;
	return run;
}

int runs_add(struct daemon *d, const char *pin, pid_t pid, int pidfd, uid_t uid)
{
	struct run *run = make(d, pin, pid, uid);
	int r;

	if (!run) {
		close(pidfd);
		return -ENOMEM;
	}
	run->process.ready = on_process;
	r = source_add(d, &run->process, pidfd, EPOLLIN);
	if (r)
		forget(d, run);
	return r;
}

/* ---- after a restart ---------------------------------------------------------------------- */

static bool is_known(const struct daemon *d, const char *pin, pid_t pid)
{
	for (const struct run *r = d->runs; r; r = r->next)
		if (r->pid == pid && !strcmp(r->name, pin))
			return true;
	return false;
}

static bool is_inside(pid_t pid, const char *cgroup)
{
	char path[64], line[IFPIN_CGROUP_PATH_SIZE + 8], want[IFPIN_CGROUP_PATH_SIZE + 40];
	bool inside = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	snprintf(want, sizeof(want), "0::%s/run.%d\n", cgroup, (int)pid);
	f = fopen(path, "re");
	while (f && !inside && fgets(line, sizeof(line), f))
		inside = !strcmp(line, want);
	if (f)
		fclose(f);
	return inside;
}

/* Who has this pid is the command only if it is in the cgroup that bears the pid. */
static void adopt(struct daemon *d, const char *pin, const char *cgroup, pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	char path[64];
	struct stat st;
	struct run *run;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (pidfd >= 0 && is_inside(pid, cgroup) && !stat(path, &st)) {
		if (runs_add(d, pin, pid, pidfd, st.st_uid))
			say(SAY_ERROR, "pin \"%s\": cannot follow process %d", pin, (int)pid);
		return;
	}
	if (pidfd >= 0)
		close(pidfd);
	run = make(d, pin, pid, 0);
	if (run)
		end(d, run);
}

void runs_adopt(struct daemon *d, const char *pin)
{
	char cgroup[IFPIN_CGROUP_PATH_SIZE];
	struct dirent *de;
	DIR *dir;
	int fd;

	pins_run_cgroup(d, pin, cgroup);
	fd = ifpin_cgroup_open(cgroup, false, NULL);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((de = readdir(dir))) {
		int pid;

		if (sscanf(de->d_name, "run.%d", &pid) == 1 && pid > 0 && !is_known(d, pin, pid))
			adopt(d, pin, cgroup, pid);
	}
	closedir(dir);
}
