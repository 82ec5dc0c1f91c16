// SPDX-License-Identifier: MIT
/*
 * What a cgroup program cannot hold, as far as the processes inside could do it. `ifpin run` takes
 * these things away; of a service that is the business of who starts it.
 */
#include "attach.h"

#include "host/cgroup.h"
#include "host/processes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/stat.h>

struct found {
	uint64_t caps; /* of all processes together */
	unsigned int unfiltered, root, n;
	pid_t example;
};

static uint64_t field(const char *text, const char *name, int base)
{
	const char *p = strstr(text, name);

	return p ? strtoull(p + strlen(name), NULL, base) : 0;
}

static int look_at(pid_t pid, void *data)
{
	_cleanup_free_ char *text = NULL;
	struct found *f = data;
	uint64_t caps;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (pid == getpid() || ifp_read_file(path, &text))
		return 0;
	/* The bounding set counts as well, unless no new privileges can be had. */
	caps = field(text, "\nCapPrm:\t", 16);
	if (!field(text, "\nNoNewPrivs:\t", 10))
		caps |= field(text, "\nCapBnd:\t", 16);
	f->n++;
	f->caps |= caps;
	f->root += !field(text, "\nUid:\t", 10);
	if (!field(text, "\nSeccomp:\t", 10)) {
		f->unfiltered++;
		f->example = pid;
	}
	return 0;
}

static bool has(const struct found *f, int cap)
{
	return f->caps >> cap & 1;
}

/* Whoever may write the cgroup.procs of a common ancestor may move processes out. */
static int owner_on_the_way(const char *path, uid_t *ret)
{
	_cleanup_close_ int fd = ifp_cgroup_root();
	char copy[IFPIN_CGROUP_PATH_SIZE], *name, *save = NULL;
	struct stat st;

	snprintf(copy, sizeof(copy), "%s", path);
	for (name = strtok_r(copy, "/", &save); name && fd >= 0;
		name = strtok_r(NULL, "/", &save)) {
		int next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		close(fd);
		fd = next;
		if (fd >= 0 && !fstatat(fd, "cgroup.procs", &st, 0) && st.st_uid) {
			*ret = st.st_uid;
			return 1;
		}
	}
	return 0;
}

void ifp_notices(const struct ifpin_attach_opts *o, const struct ifp_target *t, bool has_lsm)
{
	struct found f = {};
	uid_t owner;

	ifp_processes_each(t->fd, look_at, &f);
	if (!has_lsm && f.unfiltered && has(&f, CAP_NET_RAW))
		ifp_attach_say(o,
			"not held: packet sockets (AF_PACKET, AF_XDP): processes inside may have "
			"CAP_NET_RAW (RestrictAddressFamilies= or CapabilityBoundingSet= of "
			"systemd.exec(5), or ifpin run)");
	if (f.unfiltered) {
		ifp_attach_say(o,
			"not held: sockets of processes outside that those inside may trace, as those "
			"of the same user (pidfd_getfd(2), ptrace(2); SystemCallFilter= of "
			"systemd.exec(5), or ifpin run)");
#ifdef __x86_64__
		ifp_attach_say(o,
			"not held: joins of multicast groups on other devices by 32-bit calls "
			"(SystemCallArchitectures=native of systemd.exec(5), or ifpin run)");
#endif
	}
	if (has(&f, CAP_NET_ADMIN) || has(&f, CAP_SYS_ADMIN))
		ifp_attach_say(o,
			"not held: processes inside may have CAP_NET_ADMIN or CAP_SYS_ADMIN, by which "
			"the host's network can be changed and the confinement be left");
	if (f.root)
		ifp_attach_say(o,
			"not held: processes inside run as root and may write another cgroup's "
			"cgroup.procs (ProtectControlGroups= of systemd.exec(5), or ifpin run)");
	if (owner_on_the_way(t->path, &owner))
		ifp_attach_say(o,
			"not held: user %u owns a cgroup on the way to %s and may move processes out",
			(unsigned int)owner, t->path);
}
