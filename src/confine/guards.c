// SPDX-License-Identifier: MIT
#include "guards.h"

#include "base/base.h"

#include <errno.h>

static struct ifp_guarded *find(const struct ifp_guards *g, uint32_t ifindex)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->v[i].ifindex == ifindex)
			return &g->v[i];
	return NULL;
}

const struct ifp_guarded *ifp_guards_find(const struct ifp_guards *g, uint32_t ifindex)
{
	return find(g, ifindex);
}

int ifp_guards_add(struct ifp_guards *g, uint32_t ifindex)
{
	if (find(g, ifindex))
		return 0;
	if (ifp_grow(&g->v, g->n, sizeof(*g->v)))
		return -ENOMEM;
	g->v[g->n++] = (struct ifp_guarded){.ifindex = ifindex};
	return 0;
}

void ifp_guards_keep(
	struct ifp_guards *g, bool (*is_needed)(uint32_t ifindex, void *data), void *data)
{
	size_t n = 0;

	for (size_t i = 0; i < g->n; i++) {
		if (is_needed(g->v[i].ifindex, data))
			g->v[n++] = g->v[i];
		else
			ifp_ways_free(&g->v[i].ways);
	}
	g->n = n;
}

void ifp_guards_free(struct ifp_guards *g)
{
	for (size_t i = 0; i < g->n; i++)
		ifp_ways_free(&g->v[i].ways);
	free(g->v);
	*g = (struct ifp_guards){};
}

bool ifp_guards_on_route(struct ifp_guards *g, const struct nlmsghdr *nlh)
{
	bool any = false;

	for (size_t i = 0; i < g->n; i++)
		if (!g->v[i].judged ||
			ifp_ways_touched(&g->v[i].ways, g->v[i].ifindex, g->v[i].agree[1], nlh)) {
			g->v[i].judged = false;
			any = true;
		}
	return any;
}

void ifp_guards_judge_anew(struct ifp_guards *g)
{
	for (size_t i = 0; i < g->n; i++)
		g->v[i].judged = false;
}

static bool is_guarded(uint32_t ifindex, void *data)
{
	return find(data, ifindex) != NULL;
}

int ifp_guards_write_addresses(
	struct ifp_guards *g, const struct ifp_host_maps *to, struct ifp_addrs *ret)
{
	struct ifp_addrs a = {};
	struct ifp_ways w = {};
	int r = ifp_addrs_read(&a);

	if (!r)
		r = ifp_addrs_write(&a, to);
	/* A network of another device counts at once. */
	if (!r)
		r = ifp_ways_add_networks(&w, &a, is_guarded, g);
	if (!r)
		r = ifp_ways_write(&w, to, false);
	ifp_ways_free(&w);
	if (r)
		ifp_addrs_free(&a);
	else
		*ret = a;
	return r;
}

int ifp_guards_write_routes(
	struct ifp_guards *g, const struct ifp_addrs *a, const struct ifp_host_maps *to)
{
	struct ifp_ways all = {};
	int r = 0;

	for (size_t i = 0; i < g->n && !r; i++) {
		struct ifp_guarded *one = &g->v[i];

		if (!one->judged) {
			ifp_ways_free(&one->ways);
			r = ifp_ways_judge(&one->ways, one->ifindex, a, one->agree);
			one->judged = !r;
		}
		if (!r)
			r = ifp_ways_append(&all, &one->ways);
	}
	if (!r)
		r = ifp_ways_add_networks(&all, a, is_guarded, g);
	if (!r)
		r = ifp_ways_write(&all, to, true);
	ifp_ways_free(&all);
	return r;
}
