// SPDX-License-Identifier: MIT
/* Their maps are found by the programs, wherever these are: so they need not be pinned. */
#include "lsm_tell.h"
#include "lsm_terms.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#define MAX_PROGRAMS 64
#define MAX_MAPS 16

void ifp_lsm_teller_close(struct ifp_lsm_teller *t)
{
	ifp_host_unmap(&t->host);
	ifp_closep(&t->terms);
	ifp_closep(&t->watchers);
	*t = IFP_NO_LSM_TELLER;
}

/* Return: 0, also if it is not one of ours; -EPROTO: of another version; -errno. */
static int take_map(int *fd, const struct bpf_map_info *info, struct ifp_lsm_teller *t)
{
	if (!strcmp(info->name, ".data.host"))
		return t->host ? 0 : ifp_host_map(*fd, &t->host);
	if (info->type == BPF_MAP_TYPE_CGROUP_STORAGE && t->terms < 0) {
		if (info->value_size != sizeof(struct ifpin_lsm_terms))
			return -EPROTO;
		t->terms = ifp_take_fd(fd);
	} else if (info->type == BPF_MAP_TYPE_ARRAY_OF_MAPS && t->watchers < 0) {
		t->id = info->id;
		t->watchers = ifp_take_fd(fd);
	}
	return 0;
}

static int take_maps(int prog, struct ifp_lsm_teller *t)
{
	uint32_t maps[MAX_MAPS], len = sizeof(struct bpf_prog_info);
	struct bpf_prog_info info = {
		.nr_map_ids = MAX_MAPS,
		.map_ids = (uint64_t)(uintptr_t)maps,
	};
	int r = 0;

	if (bpf_obj_get_info_by_fd(prog, &info, &len))
		return -errno;
	for (uint32_t i = 0; !r && i < info.nr_map_ids && i < MAX_MAPS; i++) {
		_cleanup_close_ int map = bpf_map_get_fd_by_id(maps[i]);
		struct bpf_map_info map_info = {};

		len = sizeof(map_info);
		r = map < 0 || bpf_obj_get_info_by_fd(map, &map_info, &len) ? -errno : 0;
		r = r ?: take_map(&map, &map_info, t);
	}
	return r;
}

/* Return: 0; -ENOENT: it is gone, another's, or of another version; -errno. */
static int read_program(int prog, struct ifp_lsm_teller *ret)
{
	struct ifp_lsm_teller t = IFP_NO_LSM_TELLER;
	int r = take_maps(prog, &t);

	if (r == -EPROTO || (!r && (t.terms < 0 || t.watchers < 0 || !t.host)))
		r = -ENOENT;
	if (r)
		ifp_lsm_teller_close(&t);
	else
		*ret = t;
	return r;
}

int ifp_lsm_teller_of(int cgroup_fd, struct ifp_lsm_teller *ret)
{
	uint32_t ids[MAX_PROGRAMS], flags[MAX_PROGRAMS];
	LIBBPF_OPTS(bpf_prog_query_opts, opts, .prog_ids = ids, .prog_attach_flags = flags,
		.prog_cnt = MAX_PROGRAMS);
	int r = -ENOENT;

	/* EINVAL: a kernel that has no such programs; ENODEV: the cgroup is gone. */
	if (bpf_prog_query_opts(cgroup_fd, BPF_LSM_CGROUP, &opts))
		return errno == EINVAL || errno == ENODEV ? -ENOENT : -errno;
	for (uint32_t i = 0; i < opts.prog_cnt && r == -ENOENT; i++) {
		_cleanup_close_ int prog = bpf_prog_get_fd_by_id(ids[i]);

		r = prog < 0 ? -errno : read_program(prog, ret);
	}
	return r;
}

int ifp_lsm_teller_kept(const struct ifp_store *s, const char *name, struct ifp_lsm_teller *ret)
{
	_cleanup_close_ int prog = ifp_store_get(s, "lsm", name, IFP_LSM_TELLS);

	return prog < 0 ? prog : read_program(prog, ret);
}

int ifp_lsm_teller_counts(const struct ifp_lsm_teller *t, uint64_t cgroup_id, uint32_t confinement,
	struct ifpin_denials *ret)
{
	struct ifpin_lsm_terms terms;

	if (bpf_map_lookup_elem(t->terms, &cgroup_id, &terms))
		return -errno;
	if (terms.id != confinement)
		return -ENOENT;
	*ret = terms.denials;
	return 0;
}
