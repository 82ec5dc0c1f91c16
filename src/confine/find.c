// SPDX-License-Identifier: MIT
/* Which cgroups are confined: those to which our programs are attached, whoever holds these. */
#include "programs.h"

#include "host/cgroup.h"

#include <ifpin/sockets.h>

#include "ifpin.skel.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <string.h>

#define PREFIX "ifpin."
#define MAX_PROGRAMS 64 /* BPF_CGROUP_MAX_PROGS */
#define MAX_MAPS 64

_Static_assert(IFPIN_SOL_PROBE == IFPIN_PROBE_LEVEL, "the programs answer to another level");

struct found {
	struct ifpin_confined *v;
	size_t n, room;
};

static int get_info(int fd, void *info, uint32_t size)
{
	return bpf_obj_get_info_by_fd(fd, info, &size) ? -errno : 0;
}

/* What a map of one of our programs tells. */
struct reading {
	struct ifpin_confined confined;
	bool is_ours, armed;
};

/* A map of another version, whose layout is another, tells nothing but that it is ours. */
static void read_map(int fd, const struct bpf_map_info *info, struct reading *r)
{
	struct ifpin_bpf__rodata rodata;
	struct ifpin_bpf__bss bss;
	uint32_t zero = 0, ifindex;

	if (!strcmp(info->name, "ifpin_bp.rodata")) {
		r->is_ours = true;
		if (info->value_size == sizeof(rodata) && !bpf_map_lookup_elem(fd, &zero, &rodata))
			r->confined.probe = rodata.policy.id;
	} else if (!strcmp(info->name, "ifpin_bp.bss")) {
		r->armed = info->value_size != sizeof(bss) ||
			   bpf_map_lookup_elem(fd, &zero, &bss) || bss.state.armed;
	} else if (info->type == BPF_MAP_TYPE_DEVMAP) {
		/* The kernel empties it when the device is gone. */
		if (!bpf_map_lookup_elem(fd, &zero, &ifindex))
			r->confined.ifindex = ifindex;
	}
}

/* Return: 0; -ENOENT: it is gone; -errno. */
static int read_program(uint32_t id, struct reading *r)
{
	_cleanup_close_ int fd = bpf_prog_get_fd_by_id(id);
	uint32_t maps[MAX_MAPS];
	struct bpf_prog_info info = {
		.nr_map_ids = MAX_MAPS,
		.map_ids = (uint64_t)(uintptr_t)maps,
	};
	int err;

	if (fd < 0)
		return -errno;
	err = get_info(fd, &info, sizeof(info));
	for (uint32_t i = 0; !err && i < info.nr_map_ids && i < MAX_MAPS; i++) {
		_cleanup_close_ int map = bpf_map_get_fd_by_id(maps[i]);
		struct bpf_map_info map_info = {};

		err = map < 0 ? -errno : get_info(map, &map_info, sizeof(map_info));
		if (!err)
			read_map(map, &map_info, r);
	}
	return err;
}

static void name_of(const char *cgroup, char ret[IFPIN_CONFINED_NAME_SIZE])
{
	size_t len;

	if (!strncmp(cgroup, PREFIX, strlen(PREFIX)))
		cgroup += strlen(PREFIX);
	len = strlen(cgroup);
	if (len > strlen(".service") && !strcmp(cgroup + len - strlen(".service"), ".service"))
		len -= strlen(".service");
	snprintf(ret, IFPIN_CONFINED_NAME_SIZE, "%.*s", (int)len, cgroup);
}

static int append(struct found *f, const struct ifpin_confined *c)
{
	if (f->n == f->room) {
		size_t room = f->room ? 2 * f->room : 16;
		struct ifpin_confined *bigger = reallocarray(f->v, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		f->v = bigger;
		f->room = room;
	}
	f->v[f->n++] = *c;
	return 0;
}

/* Return: 0, also where it was removed meanwhile; -errno. */
static int look_at(const char *path, const char *name, struct found *f)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint32_t ids[MAX_PROGRAMS], n = MAX_PROGRAMS;
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (bpf_prog_query(fd, BPF_CGROUP_INET_EGRESS, 0, NULL, ids, &n))
		return errno == ENOENT || errno == ENODEV ? 0 : -errno;
	for (uint32_t i = 0; i < n; i++) {
		struct reading reading = {};

		r = read_program(ids[i], &reading);
		if (r && r != -ENOENT)
			return r;
		if (r || !reading.is_ours || !reading.armed)
			continue;
		name_of(name, reading.confined.name);
		return ifp_cgroup_id(fd, &reading.confined.cgroup_id)
			       ?: append(f, &reading.confined);
	}
	return 0;
}

static int walk(int root, struct found *f)
{
	char path[64];
	char *paths[] = {path, NULL};
	int r = 0;
	FTSENT *e;
	FTS *fts;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/", root);
	fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_NOSTAT, NULL);
	if (!fts)
		return -errno;
	while (!r && (e = fts_read(fts)))
		if (e->fts_info == FTS_D)
			r = look_at(e->fts_accpath, e->fts_level ? e->fts_name : "/", f);
	fts_close(fts);
	return r;
}

int ifpin_confined_list(
	struct ifpin_confined **ret_confined, size_t *ret_n, struct ifpin_error *ret_error)
{
	_cleanup_close_ int root = ifp_cgroup_root();
	struct found f = {};
	int r;

	if (root < 0)
		return ifp_fail_errno(ret_error, root, "cgroup v2 is not mounted and cannot be");
	r = walk(root, &f);
	if (r) {
		free(f.v);
		return ifp_fail_errno(ret_error, r, "cannot tell which cgroups are confined");
	}
	*ret_confined = f.v;
	*ret_n = f.n;
	return 0;
}
