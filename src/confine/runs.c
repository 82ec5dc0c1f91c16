// SPDX-License-Identifier: MIT
/*
 * A command that runs has nothing pinned: its programs are found by the cgroup to which they are
 * attached, and its maps by these.
 */
#include "runs.h"

#include "device/device.h"
#include "host/cgroup.h"
#include "host/processes.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define PREFIX "ifpin."
#define MAX_PROGRAMS 64 /* BPF_CGROUP_MAX_PROGS */

struct walk {
	int (*cb)(const struct ifp_run *run, void *data);
	void *data;
	char path[IFPIN_CGROUP_PATH_SIZE]; /* of the cgroup that is looked at */
};

static bool is_whole(const struct ifp_program_maps *m)
{
	return m->pins >= 0 && m->passed >= 0 && m->denied >= 0 && m->packets >= 0 &&
	       m->watchers >= 0 && m->host >= 0;
}

/* Of an egress program, which uses them all but those of other programs' own. */
static int take_maps(uint32_t id, struct ifp_run *run)
{
	int r = ifp_program_maps_read(id, &run->maps);

	if (r)
		return r;
	run->set = IFP_NO_SET;
	run->set.pins = run->maps.pins;
	run->set.passed = run->maps.passed;
	run->set.denied = run->maps.denied;
	run->set.packets = run->maps.packets;
	return is_whole(&run->maps) ? 0 : -EPROTO;
}

/* Return: 0; -ENOENT: it is gone; -EPROTO: not one of ours, or of another version; -errno. */
static int read_program(int cgroup_fd, uint32_t id, struct ifp_run *run)
{
	int r = take_maps(id, run) ?: ifp_cgroup_id(cgroup_fd, &run->in.cgroup_id);

	if (r)
		return r;
	if (bpf_map_lookup_elem(run->set.pins, &run->in.cgroup_id, &run->value))
		return -errno;
	run->in.set = &run->set;
	run->in.id = run->value.id;
	return ifp_set_held(&run->set, &run->value, &run->held);
}

/* ---- the cgroups ---- */

static int look_at(int fd, const char *name, struct walk *w)
{
	uint32_t ids[MAX_PROGRAMS], n = MAX_PROGRAMS;

	if (strlen(name) >= IFPIN_PIN_NAME_SIZE)
		return 0;
	if (bpf_prog_query(fd, BPF_CGROUP_INET_EGRESS, 0, NULL, ids, &n))
		return errno == ENOENT || errno == ENODEV ? 0 : -errno;
	for (uint32_t i = 0; i < n; i++) {
		struct ifp_run run = {.maps = IFP_NO_PROGRAM_MAPS, .cgroup_fd = fd};
		int r = read_program(fd, ids[i], &run);

		/* A service may have been moved into a cgroup that is so called. */
		if (!r && !run.maps.is.shared) {
			strcpy(run.name, name);
			strcpy(run.cgroup, w->path);
			r = w->cb(&run, w->data);
			ifp_program_maps_close(&run.maps);
			return r;
		}
		ifp_program_maps_close(&run.maps);
		if (r && r != -ENOENT && r != -EPROTO)
			return r;
	}
	return 0;
}

static int walk(int fd, struct walk *w);

static int step_into(int parent, const char *name, struct walk *w)
{
	_cleanup_close_ int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t len = strlen(w->path), more = strlen(name) + 1;
	int r = 0;

	if (fd < 0)
		return errno == ENOENT || errno == ENODEV ? 0 : -errno;
	if (len + more >= sizeof(w->path))
		return 0; /* longer than any that can be told of */
	snprintf(w->path + len, sizeof(w->path) - len, "/%s", name);
	if (!strncmp(name, PREFIX, strlen(PREFIX)))
		r = look_at(fd, name + strlen(PREFIX), w);
	r = r ?: walk(fd, w);
	w->path[len] = 0;
	return r;
}

/* Those without any below are not opened, which most are, but for those of the name that we seek.
 */
static bool is_of_interest(int parent, const char *name)
{
	struct stat st;

	return !strncmp(name, PREFIX, strlen(PREFIX)) ||
	       (!fstatat(parent, name, &st, 0) && st.st_nlink > 2);
}

static int walk(int fd, struct walk *w)
{
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = again < 0 ? NULL : fdopendir(again);
	struct dirent *de;
	int r = 0;

	if (!dir) {
		r = -errno;
		ifp_closep(&again);
		return r == -ENOENT || r == -ENODEV ? 0 : r;
	}
	while (!r && (de = readdir(dir)))
		if (de->d_type == DT_DIR && de->d_name[0] != '.' && is_of_interest(fd, de->d_name))
			r = step_into(fd, de->d_name, w);
	return r;
}

int ifp_runs_each(int (*cb)(const struct ifp_run *run, void *data), void *data)
{
	_cleanup_close_ int root = ifp_cgroup_root();
	struct walk w = {.cb = cb, .data = data};

	return root < 0 ? root : walk(root, &w);
}

/* ---- all of them ---- */

struct runs {
	struct ifpin_device *devices;
	size_t n_devices;
	uint64_t netns;
	struct ifpin_pin_info *v;
	size_t n;
};

static int count_process(pid_t pid, void *data)
{
	(void)pid;
	++*(unsigned int *)data;
	return 0;
}

static void count_processes(struct ifpin_pin_info *i)
{
	_cleanup_close_ int root = ifp_cgroup_root(), fd = -1;

	fd = root < 0 ? root : openat(root, i->cgroup + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		ifp_processes_each(fd, count_process, &i->processes);
}

/* Its supervisor keeps the name of the device in the state, and the index, also while it is gone.
 */
static void find_device(const struct runs *r, const struct ifpin_pin *v, struct ifpin_pin_info *i)
{
	i->device.ifindex = v->ifindex;
	memcpy(i->device.name, v->name, sizeof(i->device.name) - 1);
	for (size_t k = 0; k < r->n_devices; k++)
		if (i->state == IFPIN_PIN_HELD && r->devices[k].ifindex == v->ifindex)
			i->device = r->devices[k];
}

static int add_run(const struct ifp_run *run, void *data)
{
	struct runs *r = data;
	struct ifpin_pin_info *bigger, i = {
					       .cgroup_id = run->in.cgroup_id,
					       .loopback = run->value.loopback,
					       .guard_resolvers = run->value.guard_resolvers,
				       };

	if (!run->value.armed)
		return 0;
	strcpy(i.name, run->name);
	strcpy(i.cgroup, run->cgroup);
	i.state = run->maps.is.netns_cookie != r->netns ? IFPIN_PIN_OTHER_NETNS
		  : run->held				? IFPIN_PIN_HELD
							: IFPIN_PIN_DEVICE_GONE;
	find_device(r, &run->value, &i);
	count_processes(&i);
	bigger = reallocarray(r->v, r->n + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	r->v = bigger;
	r->v[r->n++] = i;
	return 0;
}

int ifpin_runs(struct ifpin_pin_info **ret_runs, size_t *ret_n, struct ifpin_error *ret_error)
{
	struct runs runs = {};
	int r = ifpin_device_list(&runs.devices, &runs.n_devices, ret_error);

	if (r)
		return r;
	r = ifp_own_netns(&runs.netns);
	if (!r)
		r = ifp_runs_each(add_run, &runs);
	free(runs.devices);
	if (r) {
		free(runs.v);
		return ifp_fail_errno(ret_error, r, "cannot list the commands that are confined");
	}
	*ret_runs = runs.v;
	*ret_n = runs.n;
	return 0;
}
