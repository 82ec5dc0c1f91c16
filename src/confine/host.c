// SPDX-License-Identifier: MIT
#include "host.h"

#include "base/base.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define ADDRS_ROUNDS 20

/* ---- addresses ---- */

static int collect(const struct nlmsghdr *nlh, void *data)
{
	struct ifp_addrs *a = data;
	struct ifp_local_addr addr;
	int r;

	if (ifp_addr_parse(nlh, &addr))
		return 0;
	r = ifp_grow(&a->v, a->n, sizeof(*a->v));
	if (!r)
		a->v[a->n++] = addr;
	return r;
}

static int by_address(const void *a, const void *b)
{
	return memcmp(((const struct ifp_local_addr *)a)->addr,
		((const struct ifp_local_addr *)b)->addr, 16);
}

int ifp_addrs_read(struct ifp_addrs *ret)
{
	struct ifp_addrs a = {};
	int r = ifp_addr_dump(collect, &a);

	if (r) {
		ifp_addrs_free(&a);
		return r;
	}
	*ret = a;
	return 0;
}

void ifp_addrs_free(struct ifp_addrs *a)
{
	free(a->v);
	*a = (struct ifp_addrs){};
}

/* In the order of the dump, the first one is the kernel's own choice. */
uint32_t ifp_addrs_primary(const struct ifp_addrs *a, uint32_t ifindex)
{
	uint32_t ip4;

	for (size_t i = 0; i < a->n; i++)
		if (a->v[i].ifindex == ifindex && !a->v[i].secondary &&
			ifp_addr_is_v4(a->v[i].addr)) {
			memcpy(&ip4, a->v[i].addr + 12, 4);
			return ip4;
		}
	return 0;
}

static bool elsewhere(const struct ifp_local_addr *a, const struct ifp_local_addr *b)
{
	return !by_address(a, b) && a->ifindex != b->ifindex;
}

/* An address that two devices have belongs to neither: then its owner is 0. */
static int put_addresses(const struct ifp_addrs *a, const struct ifp_host_maps *to)
{
	for (size_t i = 0; i < a->n; i++) {
		const struct ifp_local_addr *x = &a->v[i];
		uint32_t owner = x->ifindex, bit = ifpin_filter_bit(x->addr);

		if ((i && elsewhere(x, x - 1)) || (i + 1 < a->n && elsewhere(x, x + 1)))
			owner = 0;
		if (bpf_map_update_elem(to->addrs, x->addr, &owner, BPF_ANY))
			return -errno;
		/* One that attaches and one that follows may do this at once. */
		__atomic_fetch_or(
			&to->host->local_filter[bit / 64], 1ULL << bit % 64, __ATOMIC_SEQ_CST);
	}
	return 0;
}

static int remove_gone(const struct ifp_addrs *a, int map)
{
	struct ifp_local_addr key;
	uint8_t here[16], there[16];
	int r = bpf_map_get_next_key(map, NULL, here) ? -errno : 0;

	while (!r) {
		/* The next one first: behind one that is deleted the walk would begin anew. */
		r = bpf_map_get_next_key(map, here, there) ? -errno : 0;
		memcpy(key.addr, here, 16);
		if (!a->n || !bsearch(&key, a->v, a->n, sizeof(key), by_address))
			bpf_map_delete_elem(map, here);
		memcpy(here, there, 16);
	}
	return r == -ENOENT ? 0 : r;
}

int ifp_addrs_write(const struct ifp_addrs *a, const struct ifp_host_maps *to)
{
	struct ifp_addrs sorted = {.n = a->n};
	int r;

	sorted.v = calloc(a->n ?: 1, sizeof(*a->v));
	if (!sorted.v)
		return -ENOMEM;
	if (a->n) {
		memcpy(sorted.v, a->v, a->n * sizeof(*a->v));
		qsort(sorted.v, a->n, sizeof(*a->v), by_address);
	}
	r = put_addresses(&sorted, to);
	if (!r)
		r = remove_gone(&sorted, to->addrs);
	ifp_addrs_free(&sorted);
	return r;
}

/* ---- ways ---- */

/* Zeroes what is behind the prefix, so that one network has one key. */
static void trim(struct ifpin_network *net)
{
	for (uint32_t i = 0; i < 16; i++) {
		uint32_t bits = net->prefixlen > 8 * i ? net->prefixlen - 8 * i : 0;

		if (bits < 8)
			net->addr[i] &= (uint8_t)(0xff00 >> bits);
	}
}

static int add_way(
	struct ifp_ways *w, const uint8_t addr[16], uint8_t prefixlen, uint32_t owner, bool judged)
{
	struct ifp_way way = {.net = {.prefixlen = prefixlen}, .owner = owner, .judged = judged};
	int r = ifp_grow(&w->v, w->n, sizeof(*w->v));

	if (r)
		return r;
	memcpy(way.net.addr, addr, 16);
	trim(&way.net);
	w->v[w->n++] = way;
	return 0;
}

struct judge {
	struct ifp_ways *ways;
	uint32_t ifindex;
};

static int on_route(const struct ifp_route *route, void *data)
{
	const struct judge *j = data;

	return add_way(
		j->ways, route->dst, route->prefixlen, route->leads_there ? j->ifindex : 0, true);
}

int ifp_ways_judge(
	struct ifp_ways *w, uint32_t ifindex, const struct ifp_addrs *a, bool ret_agree[2])
{
	static const int families[] = {AF_INET, AF_INET6};
	/* One map is for both families: what IPv6 has by default says nothing of IPv4. */
	static const uint8_t all_of_v4[16] = {[10] = 0xff, [11] = 0xff};
	struct judge j = {w, ifindex};
	int r = add_way(w, all_of_v4, 96, 0, false);

	if (r)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		bool agree = false;

		r = ifp_routes_agree(families[i], ifindex, a->v, a->n, &agree, on_route, &j);
		/* A host without IPv6 has no route that could lead elsewhere. */
		if (r == -EOPNOTSUPP && families[i] == AF_INET6)
			agree = true;
		else if (r)
			return r;
		ret_agree[i] = agree;
	}
	return 0;
}

/* Whether one of them contains the other. */
static bool overlap(const struct ifp_route *r, const struct ifpin_network *net)
{
	struct ifp_route way = {.prefixlen = (uint8_t)net->prefixlen};

	if ((r->family == AF_INET) != (net->prefixlen >= 96 && ifp_addr_is_v4(net->addr)))
		return false;
	memcpy(way.dst, net->addr, sizeof(way.dst));
	return ifp_route_covers(&way, r) || ifp_route_covers(r, &way);
}

bool ifp_ways_touched(
	const struct ifp_ways *w, uint32_t ifindex, bool agree6, const struct nlmsghdr *nlh)
{
	struct ifp_route r;

	if (ifp_route_parse(nlh, ifindex, &r))
		return false;
	if (r.uses_device || r.is_default)
		return true;
	if (r.family == AF_INET6 && r.has_gateway && agree6 && nlh->nlmsg_type == RTM_NEWROUTE)
		return true;
	for (size_t i = 0; i < w->n; i++)
		if (w->v[i].judged && overlap(&r, &w->v[i].net))
			return true;
	return false;
}

int ifp_ways_add_networks(struct ifp_ways *w, const struct ifp_addrs *a,
	bool (*is_judged)(uint32_t ifindex, void *data), void *data)
{
	int r = 0;

	for (size_t i = 0; i < a->n && !r; i++)
		if (!is_judged(a->v[i].ifindex, data))
			r = add_way(w, a->v[i].addr, a->v[i].prefixlen, a->v[i].ifindex, false);
	return r;
}

int ifp_ways_append(struct ifp_ways *w, const struct ifp_ways *more)
{
	for (size_t i = 0; i < more->n; i++) {
		const struct ifp_way *x = &more->v[i];
		int r = add_way(w, x->net.addr, (uint8_t)x->net.prefixlen, x->owner, x->judged);

		if (r)
			return r;
	}
	return 0;
}

static int by_network(const struct ifp_way *x, const struct ifp_way *y)
{
	int d = memcmp(x->net.addr, y->net.addr, sizeof(x->net.addr));

	return d ?: (int)x->net.prefixlen - (int)y->net.prefixlen;
}

/* The one that counts comes first: what was judged, and of these what leads somewhere. */
static int by_weight(const void *a, const void *b)
{
	const struct ifp_way *x = a, *y = b;
	int d = by_network(x, y);

	if (d)
		return d;
	if (x->judged != y->judged)
		return x->judged ? -1 : 1;
	return !x->owner - !y->owner;
}

static void settle(struct ifp_ways *w)
{
	size_t n = 0;

	if (w->n)
		qsort(w->v, w->n, sizeof(*w->v), by_weight);
	for (size_t i = 0; i < w->n; i++) {
		struct ifp_way *last = n ? &w->v[n - 1] : NULL;

		if (!last || by_network(last, &w->v[i])) {
			w->v[n++] = w->v[i];
		} else if (!last->judged && last->owner != w->v[i].owner) {
			last->owner = 0; /* two devices have this network */
		}
	}
	w->n = n;
}

static bool is_wanted(const struct ifp_ways *w, const struct ifpin_network *net)
{
	size_t low = 0, high = w->n;
	struct ifp_way key = {.net = *net};

	while (low < high) {
		size_t mid = (low + high) / 2;
		int d = by_network(&key, &w->v[mid]);

		if (!d)
			return true;
		if (d < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return false;
}

/* A walk through this sort of map goes on behind a key that is not there any more. */
static int remove_unwanted(const struct ifp_ways *w, int map)
{
	struct ifpin_network here, there;
	int r = bpf_map_get_next_key(map, NULL, &here) ? -errno : 0;

	while (!r) {
		r = bpf_map_get_next_key(map, &here, &there) ? -errno : 0;
		if (!is_wanted(w, &here))
			bpf_map_delete_elem(map, &here);
		here = there;
	}
	return r == -ENOENT ? 0 : r;
}

int ifp_ways_write(struct ifp_ways *w, const struct ifp_host_maps *to, bool prune)
{
	settle(w);
	for (size_t i = 0; i < w->n; i++)
		if (bpf_map_update_elem(to->ways, &w->v[i].net, &w->v[i].owner, BPF_ANY))
			return -errno;
	return prune ? remove_unwanted(w, to->ways) : 0;
}

int ifp_ways_merge(struct ifp_ways *w, const struct ifp_host_maps *to, uint32_t ifindex)
{
	settle(w);
	for (size_t i = 0; i < w->n; i++) {
		const struct ifp_way *x = &w->v[i];
		bool is_sure = x->judged && x->owner;
		uint32_t owner;

		if (!bpf_map_update_elem(
			    to->ways, &x->net, &x->owner, is_sure ? BPF_ANY : BPF_NOEXIST))
			continue;
		if (is_sure || errno != EEXIST)
			return -errno;
		/* Another one's judgement stays; one of ours that is true no more does not. */
		if (x->judged && !bpf_map_lookup_elem(to->ways, &x->net, &owner) &&
			owner == ifindex &&
			bpf_map_update_elem(to->ways, &x->net, &x->owner, BPF_ANY))
			return -errno;
	}
	return 0;
}

void ifp_ways_free(struct ifp_ways *w)
{
	free(w->v);
	*w = (struct ifp_ways){};
}

/* ---- both, for one device ---- */

static bool is_ours(uint32_t ifindex, void *data)
{
	return ifindex == *(const uint32_t *)data;
}

/* Whether two dumps tell the programs the same. */
static bool is_same(const struct ifp_addrs *a, const struct ifp_addrs *b)
{
	bool same = a->n == b->n;

	for (size_t i = 0; i < a->n && same; i++)
		same = !by_address(&a->v[i], &b->v[i]) && a->v[i].ifindex == b->v[i].ifindex &&
		       a->v[i].secondary == b->v[i].secondary;
	return same;
}

/*
 * One that came while they were written may have been told by the follower, and removed again here:
 * so it goes on until nothing has changed.
 */
static int write_addrs(struct ifp_addrs *a, const struct ifp_host_maps *to)
{
	int r = ifp_addrs_read(a);

	for (int i = 0; i < ADDRS_ROUNDS && !r; i++) {
		struct ifp_addrs now = {};
		bool same;

		r = ifp_addrs_write(a, to) ?: ifp_addrs_read(&now);
		if (r)
			return r;
		same = is_same(a, &now);
		ifp_addrs_free(a);
		*a = now;
		if (same)
			return 0;
	}
	return r ?: -EAGAIN;
}

int ifp_host_fill(const struct ifp_host_maps *to, uint32_t ifindex, struct ifp_addrs *ret_addrs,
	bool ret_agree[2])
{
	struct ifp_addrs a = {};
	struct ifp_ways w = {};
	int r = write_addrs(&a, to);

	if (!r)
		r = ifp_ways_judge(&w, ifindex, &a, ret_agree);
	if (!r)
		r = ifp_ways_add_networks(&w, &a, is_ours, &ifindex);
	if (!r)
		r = ifp_ways_merge(&w, to, ifindex);
	ifp_ways_free(&w);
	if (r)
		ifp_addrs_free(&a);
	else
		*ret_addrs = a;
	return r;
}
