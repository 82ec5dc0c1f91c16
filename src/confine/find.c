// SPDX-License-Identifier: MIT
/*
 * Which cgroups are confined: those to which our programs are attached, whoever holds these. The
 * programs may be of another version, so their maps are read by the names of what is in them (BTF).
 */
#include "programs.h"

#include "host/cgroup.h"

#include <ifpin/sockets.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <string.h>

#define PREFIX "ifpin."
#define MAX_PROGRAMS 64 /* BPF_CGROUP_MAX_PROGS */
#define MAX_MAPS 64

_Static_assert(IFPIN_CONFINED_NAME_SIZE == IFPIN_PIN_NAME_SIZE, "names of two sizes");
_Static_assert(IFPIN_SOL_PROBE == IFPIN_PROBE_LEVEL, "the programs answer to another level");

static int get_info(int fd, void *info, uint32_t size)
{
	return bpf_obj_get_info_by_fd(fd, info, &size) ? -errno : 0;
}

static void btf_freep(struct btf **btf)
{
	btf__free(*btf);
}

/* Where a variable begins among those of a map, and what it is made of. */
static const struct btf_type *find_variable(
	const struct btf *btf, uint32_t section, const char *name, uint32_t *ret_offset)
{
	const struct btf_type *t = btf__type_by_id(btf, section);

	if (!t || !btf_is_datasec(t))
		return NULL;
	for (int i = 0; i < btf_vlen(t); i++) {
		const struct btf_var_secinfo *info = btf_var_secinfos(t) + i;
		const struct btf_type *v = btf__type_by_id(btf, info->type);

		if (v && btf_is_var(v) && !strcmp(btf__name_by_offset(btf, v->name_off), name)) {
			*ret_offset = info->offset;
			return btf__type_by_id(btf, (uint32_t)btf__resolve_type(btf, v->type));
		}
	}
	return NULL;
}

/* Where a number of size bytes that is a member of a struct is. Return: offset; -1: nowhere. */
static int64_t find_member(
	const struct btf *btf, const struct btf_type *t, const char *member, size_t size)
{
	if (!t || !btf_is_struct(t))
		return -1;
	for (int i = 0; i < btf_vlen(t); i++) {
		const struct btf_member *m = btf_members(t) + i;

		if (!strcmp(btf__name_by_offset(btf, m->name_off), member) &&
			btf__resolve_size(btf, m->type) == (int64_t)size)
			return btf_member_bit_offset(t, (uint32_t)i) / 8;
	}
	return -1;
}

/* Where things are in the maps of a program, which its tag tells from those of other versions. */
struct layout {
	uint8_t tag[BPF_TAG_SIZE];
	bool has_rodata, has_pins;
	int64_t netns, id, armed, held;
};

/* What the maps of one of our programs tell. */
struct reading {
	struct ifpin_confined confined;
	uint32_t held; /* the key of its device */
	int devices;   /* the map of these */
	bool is_ours, unarmed;
};

static void find_layout(const struct bpf_map_info *info, bool rodata, struct layout *l)
{
	_cleanup_(btf_freep) struct btf *btf = btf__load_from_kernel_by_id(info->btf_id);
	const struct btf_type *t = NULL;
	uint32_t at = 0;

	if (rodata) {
		t = btf ? find_variable(btf, info->btf_value_type_id, "set", &at) : NULL;
		l->has_rodata = true;
		l->netns = find_member(btf, t, "netns_cookie", 8);
		l->netns += l->netns >= 0 ? at : 0;
	} else {
		t = btf ? btf__type_by_id(btf, info->btf_value_type_id) : NULL;
		l->has_pins = true;
		l->id = find_member(btf, t, "id", 4);
		l->armed = find_member(btf, t, "armed", 4);
		l->held = find_member(btf, t, "held", 4);
	}
}

static bool copy(
	const struct bpf_map_info *info, const char *value, int64_t at, void *ret, size_t size)
{
	if (at < 0 || (uint64_t)at + size > info->value_size)
		return false;
	memcpy(ret, value + at, size);
	return true;
}

static void read_set(int fd, const struct bpf_map_info *info, struct layout *l, struct reading *r)
{
	_cleanup_free_ char *value = calloc(1, info->value_size ?: 1);
	uint32_t zero = 0;

	r->is_ours = true;
	if (!l->has_rodata)
		find_layout(info, true, l);
	if (value && !bpf_map_lookup_elem(fd, &zero, value))
		copy(info, value, l->netns, &r->confined.netns, sizeof(r->confined.netns));
}

static void read_pin(int fd, const struct bpf_map_info *info, struct layout *l, struct reading *r)
{
	_cleanup_free_ char *value = calloc(1, info->value_size ?: 1);
	uint32_t armed;

	if (!l->has_pins)
		find_layout(info, false, l);
	if (!value || bpf_map_lookup_elem(fd, &r->confined.cgroup_id, value))
		return;
	copy(info, value, l->id, &r->confined.probe, sizeof(r->confined.probe));
	copy(info, value, l->held, &r->held, sizeof(r->held));
	if (copy(info, value, l->armed, &armed, sizeof(armed)))
		r->unarmed = !armed;
}

static void read_map(int *fd, const struct bpf_map_info *info, struct layout *l, struct reading *r)
{
	if (info->type == BPF_MAP_TYPE_ARRAY && !strcmp(info->name, "ifpin_bp.rodata"))
		read_set(*fd, info, l, r);
	else if (info->type == BPF_MAP_TYPE_CGROUP_STORAGE && !strcmp(info->name, "pins") &&
		 info->key_size == sizeof(r->confined.cgroup_id))
		read_pin(*fd, info, l, r);
	else if (info->type == BPF_MAP_TYPE_DEVMAP_HASH && r->devices < 0 &&
		 info->value_size == sizeof(r->confined.ifindex))
		r->devices = ifp_take_fd(fd);
}

/* Return: 0; -ENOENT: it is gone; -errno. */
static int read_program(uint32_t id, struct layout *l, struct reading *r)
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
	if (memcmp(l->tag, info.tag, sizeof(l->tag)) != 0) {
		*l = (struct layout){};
		memcpy(l->tag, info.tag, sizeof(l->tag));
	}
	for (uint32_t i = 0; !err && i < info.nr_map_ids && i < MAX_MAPS; i++) {
		_cleanup_close_ int map = bpf_map_get_fd_by_id(maps[i]);
		struct bpf_map_info map_info = {};

		err = map < 0 ? -errno : get_info(map, &map_info, sizeof(map_info));
		if (!err)
			read_map(&map, &map_info, l, r);
	}
	/* The kernel empties the entry when the device is gone. */
	if (r->devices >= 0 && bpf_map_lookup_elem(r->devices, &r->held, &r->confined.ifindex))
		r->confined.ifindex = 0;
	ifp_closep(&r->devices);
	return err;
}

struct found {
	struct ifpin_confined *v;
	size_t n;
	struct layout layout; /* of the program that was looked at last */
};

static void name_of(const char *cgroup, char ret[IFPIN_CONFINED_NAME_SIZE])
{
	size_t len;

	if (cgroup[1])
		cgroup = strrchr(cgroup, '/') + 1;
	if (!strncmp(cgroup, PREFIX, strlen(PREFIX)))
		cgroup += strlen(PREFIX);
	len = strlen(cgroup);
	if (len > strlen(".service") && !strcmp(cgroup + len - strlen(".service"), ".service"))
		len -= strlen(".service");
	snprintf(ret, IFPIN_CONFINED_NAME_SIZE, "%.*s", (int)len, cgroup);
}

static int append(struct found *f, const struct ifpin_confined *c)
{
	if (ifp_grow(&f->v, f->n, sizeof(*f->v)))
		return -ENOMEM;
	f->v[f->n++] = *c;
	return 0;
}

/* Return: 0, also where it was removed meanwhile; -errno. */
/* cgroup: the same from the root of cgroup v2. */
static int look_at(const char *path, const char *cgroup, struct found *f)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint32_t ids[MAX_PROGRAMS], n = MAX_PROGRAMS;
	uint64_t cgroup_id;
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (bpf_prog_query(fd, BPF_CGROUP_INET_EGRESS, 0, NULL, ids, &n))
		return errno == ENOENT || errno == ENODEV ? 0 : -errno;
	r = n ? ifp_cgroup_id(fd, &cgroup_id) : 0;
	for (uint32_t i = 0; i < n && !r; i++) {
		struct reading reading = {.confined.cgroup_id = cgroup_id, .devices = -1};

		r = read_program(ids[i], &f->layout, &reading);
		if (r && r != -ENOENT)
			return r;
		if (r || !reading.is_ours || reading.unarmed) {
			r = 0;
			continue;
		}
		name_of(cgroup, reading.confined.name);
		if (strlen(cgroup) < sizeof(reading.confined.cgroup))
			strcpy(reading.confined.cgroup, cgroup);
		return append(f, &reading.confined);
	}
	return r;
}

/* What is behind the path of the root, with one slash before it. */
static const char *below(const char *path, size_t root_len)
{
	const char *p = path + root_len;

	while (*p == '/')
		p++;
	return *p ? p - 1 : "/";
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
			r = look_at(e->fts_accpath, below(e->fts_path, strlen(path)), f);
	fts_close(fts);
	return r;
}

/* A confinement that was made by ifpin_attach() need not have the name of its cgroup. */
static int set_names(struct found *f, struct ifpin_error *err)
{
	struct ifpin_pin_info *pins = NULL;
	size_t n;
	int r = ifpin_pins(&pins, &n, err);

	for (size_t i = 0; !r && i < n; i++)
		for (size_t k = 0; k < f->n; k++)
			if (f->v[k].cgroup_id == pins[i].cgroup_id)
				strcpy(f->v[k].name, pins[i].name);
	free(pins);
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
	r = set_names(&f, ret_error);
	if (r) {
		free(f.v);
		return r;
	}
	*ret_confined = f.v;
	*ret_n = f.n;
	return 0;
}
