// SPDX-License-Identifier: MIT
#include "internal.h"
#include "program_maps.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#define MAX_MAPS 64

/* One of a known name, whose values are as this version has them. */
struct place {
	const char *name;
	size_t size;
	int *fd;
};

void ifp_program_maps_close(struct ifp_program_maps *m)
{
	int *const fds[] = {&m->pins, &m->passed, &m->denied, &m->packets, &m->options,
		&m->watchers, &m->host, &m->addrs, &m->ways};

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		ifp_closep(fds[i]);
	*m = IFP_NO_PROGRAM_MAPS;
}

static int read_set(int fd, const struct bpf_map_info *info, struct ifp_program_maps *m)
{
	uint32_t zero = 0;

	if (info->value_size != sizeof(m->is))
		return -EPROTO;
	if (bpf_map_lookup_elem(fd, &zero, &m->is))
		return -errno;
	m->has_set = true;
	return 0;
}

static int take(int *fd, const struct bpf_map_info *info, struct ifp_program_maps *m)
{
	const struct place places[] = {
		{"pins", sizeof(struct ifpin_pin), &m->pins},
		{"passed", sizeof(struct ifpin_passes), &m->passed},
		{"denied", sizeof(struct ifpin_denials), &m->denied},
		{"packets", sizeof(uint32_t), &m->packets},
		{"options", sizeof(uint32_t), &m->options},
		{"watchers", sizeof(uint32_t), &m->watchers},
		{"ifpin_watchers", sizeof(uint32_t), &m->watchers}, /* of all (store.c) */
		{".data.host", sizeof(struct ifpin_host), &m->host},
		{"local_addrs", sizeof(uint32_t), &m->addrs},
		{"ways", sizeof(uint32_t), &m->ways},
	};

	if (!strcmp(info->name, "ifpin_bp.rodata"))
		return read_set(*fd, info, m);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (strcmp(info->name, places[i].name) != 0)
			continue;
		if (info->value_size != places[i].size)
			return -EPROTO;
		if (places[i].fd == &m->pins)
			m->pins_id = info->id;
		if (*places[i].fd < 0)
			*places[i].fd = ifp_take_fd(fd);
	}
	return 0;
}

int ifp_map_id(int map, uint32_t *ret)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(map, &info, &len))
		return -errno;
	*ret = info.id;
	return 0;
}

int ifp_program_maps_read(uint32_t prog_id, struct ifp_program_maps *m)
{
	_cleanup_close_ int prog = bpf_prog_get_fd_by_id(prog_id);
	uint32_t maps[MAX_MAPS], len = sizeof(struct bpf_prog_info);
	struct bpf_prog_info info = {
		.nr_map_ids = MAX_MAPS,
		.map_ids = (uint64_t)(uintptr_t)maps,
	};
	int r = 0;

	m->has_set = false;
	m->pins_id = 0;
	if (prog < 0 || bpf_obj_get_info_by_fd(prog, &info, &len))
		return -errno;
	memcpy(m->tag, info.tag, sizeof(m->tag));
	for (uint32_t i = 0; !r && i < info.nr_map_ids && i < MAX_MAPS; i++) {
		_cleanup_close_ int map = bpf_map_get_fd_by_id(maps[i]);
		struct bpf_map_info map_info = {};

		len = sizeof(map_info);
		if (map < 0 || bpf_obj_get_info_by_fd(map, &map_info, &len))
			return -errno;
		r = take(&map, &map_info, m);
	}
	return r ?: m->has_set && m->pins_id ? 0 : -EPROTO;
}
