// SPDX-License-Identifier: MIT
#include "sockets.h"

#include "base/base.h"
#include "host/cgroup.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

int ifp_places_open(const struct ifpin_confined *confined, size_t n, struct ifp_places *ret)
{
	struct ifp_places p = {.confined = confined, .n = n, .root_fd = ifp_cgroup_root()};

	p.paths = calloc(n ?: 1, sizeof(*p.paths));
	for (size_t i = 0; p.paths && i < n; i++) {
		if (!*confined[i].cgroup)
			continue;
		p.paths[i] = strdup(confined[i].cgroup);
		if (!p.paths[i]) {
			ifp_places_close(&p);
			return -ENOMEM;
		}
	}
	if (!p.paths) {
		ifp_places_close(&p);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

void ifp_places_close(struct ifp_places *p)
{
	for (size_t i = 0; p->paths && i < p->n; i++)
		free(p->paths[i]);
	free(p->paths);
	free(p->known);
	ifp_closep(&p->root_fd);
	*p = (struct ifp_places){.root_fd = -1};
}

int ifp_place_of_path(const struct ifp_places *p, const char *path)
{
	int best = IFP_PLACE_NONE;

	for (size_t i = 0; i < p->n; i++)
		if (p->paths[i] && ifp_path_is_within(path, p->paths[i]) &&
			(best < 0 || strlen(p->paths[i]) > strlen(p->paths[best])))
			best = (int)i;
	return best;
}

static int find_place(const struct ifp_places *p, uint64_t cgroup_id)
{
	char path[4096];
	int r;

	for (size_t i = 0; i < p->n; i++)
		if (p->confined[i].cgroup_id == cgroup_id)
			return (int)i;
	if (!p->n)
		return IFP_PLACE_NONE;
	r = p->root_fd < 0 ? -ENOENT
			   : ifp_cgroup_path_by_id(p->root_fd, cgroup_id, path, sizeof(path));
	return r ? IFP_PLACE_UNKNOWN : ifp_place_of_path(p, path);
}

/* Sockets are many, cgroups few: each is looked up once. */
int ifp_place_of_cgroup(struct ifp_places *p, uint64_t cgroup_id)
{
	size_t low = 0, high = p->n_known;
	int place;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (p->known[mid].cgroup_id < cgroup_id)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < p->n_known && p->known[low].cgroup_id == cgroup_id)
		return p->known[low].place;
	place = find_place(p, cgroup_id);
	if (ifp_grow(&p->known, p->n_known, sizeof(*p->known)))
		return place; /* it will be looked up again */
	memmove(p->known + low + 1, p->known + low, (p->n_known - low) * sizeof(*p->known));
	p->known[low] = (struct ifp_cgroup_place){cgroup_id, place};
	p->n_known++;
	return place;
}

bool ifp_place_encloses(const struct ifp_places *p, int outer, int inner)
{
	if (outer == inner)
		return true;
	return outer >= 0 && inner >= 0 && p->paths[outer] && p->paths[inner] &&
	       ifp_path_is_within(p->paths[inner], p->paths[outer]);
}

/* The programs of a confinement refuse sockets of another namespace than its own. */
static bool can_have_made(const struct ifpin_confined *c, uint64_t netns)
{
	return !c->netns || !netns || c->netns == netns;
}

bool ifp_places_any(const struct ifp_places *p, uint64_t netns)
{
	for (size_t i = 0; i < p->n; i++)
		if (can_have_made(&p->confined[i], netns))
			return true;
	return false;
}

int ifp_place_by_probe(const struct ifp_places *p, int fd, uint64_t netns)
{
	int best = IFP_PLACE_NONE;
	bool all = true;
	int v = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct ifpin_confined *c = &p->confined[i];

		if (!can_have_made(c, netns))
			continue;
		if (!c->probe)
			all = false;
		else if (!setsockopt(fd, IFPIN_SOL_PROBE, (int)c->probe, &v, sizeof(v)) &&
			 (best < 0 || ifp_place_encloses(p, best, (int)i)))
			best = (int)i;
	}
	return best < 0 && !all ? IFP_PLACE_UNKNOWN : best;
}
