// SPDX-License-Identifier: MIT
/* What the host changes while a confinement lives: names, addresses, routes. */
#include "follow.h"

#include "device/device.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* Routes come in bursts; they are judged once a burst is over. */
#define ROUTES_SETTLE_MS 100
#define GROUP(n) (1U << ((n)-1))

struct ifp_follow {
	struct ifp_followed to;
	struct mnl_socket *events;
	bool addresses_changed;
	int64_t routes_due; /* 0: nothing to do */
};

struct addresses {
	struct ifp_local_addr *all;
	size_t n, room;
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void set_name(struct ifpin_state *s, const char *name)
{
	size_t len = strlen(name);

	memset(s->name, 0, sizeof(s->name));
	memset(s->mask, 0, sizeof(s->mask));
	memset(s->mask_nul, 0, sizeof(s->mask_nul));
	memcpy(s->name, name, len);
	memset(s->mask, 0xff, len);
	memset(s->mask_nul, 0xff, len + 1);
	s->name_len = (uint32_t)len;
}

static int collect(const struct nlmsghdr *nlh, void *data)
{
	struct addresses *a = data;
	struct ifp_local_addr addr;

	if (ifp_addr_parse(nlh, &addr))
		return 0;
	if (a->n == a->room) {
		size_t room = a->room ? 2 * a->room : 64;
		void *all = reallocarray(a->all, room, sizeof(*a->all));

		if (!all)
			return -ENOMEM;
		a->all = all;
		a->room = room;
	}
	a->all[a->n++] = addr;
	return 0;
}

static int by_address(const void *a, const void *b)
{
	return memcmp(((const struct ifp_local_addr *)a)->addr,
		((const struct ifp_local_addr *)b)->addr, 16);
}

static bool elsewhere(const struct ifp_local_addr *a, const struct ifp_local_addr *b)
{
	return !by_address(a, b) && a->ifindex != b->ifindex;
}

/* An address that two devices have belongs to neither: then its owner is 0. */
static int put_all(const struct ifp_followed *to, const struct addresses *a)
{
	int r = 0;

	for (size_t i = 0; i < a->n && !r; i++) {
		const struct ifp_local_addr *x = &a->all[i];
		uint32_t owner = x->ifindex, bit = ifpin_filter_bit(x->addr);

		if ((i && elsewhere(x, x - 1)) || (i + 1 < a->n && elsewhere(x, x + 1)))
			owner = 0;
		r = bpf_map__update_elem(
			to->local_addrs, x->addr, 16, &owner, sizeof(owner), BPF_ANY);
		to->state->local_filter[bit / 64] |= 1ULL << bit % 64;
	}
	return r;
}

static int remove_gone(const struct ifp_followed *to, const struct addresses *a)
{
	struct ifp_local_addr key, *next = NULL;
	uint8_t here[16], there[16];
	int r = bpf_map__get_next_key(to->local_addrs, NULL, here, 16);

	while (!r) {
		/* The next one first: behind one that is deleted the walk would begin anew. */
		r = bpf_map__get_next_key(to->local_addrs, here, there, 16);
		memcpy(key.addr, here, 16);
		next = a->n ? bsearch(&key, a->all, a->n, sizeof(key), by_address) : NULL;
		if (!next)
			bpf_map__delete_elem(to->local_addrs, here, 16, 0);
		memcpy(here, there, 16);
	}
	return r == -ENOENT ? 0 : r;
}

static void find_primary(const struct ifp_followed *to, const struct addresses *a)
{
	to->state->device_ip4 = 0;
	for (size_t i = 0; i < a->n; i++)
		if (a->all[i].ifindex == to->ifindex && !a->all[i].secondary &&
			ifp_addr_is_v4(a->all[i].addr)) {
			memcpy(&to->state->device_ip4, a->all[i].addr + 12, 4);
			return;
		}
}

/* The networks that are linked to other devices; what leads to ours comes from judge_routes(). */
static int put_networks(const struct ifp_followed *to, const struct addresses *a)
{
	int r = 0;

	for (size_t i = 0; i < a->n && !r; i++) {
		struct ifpin_network key = {.prefixlen = a->all[i].prefixlen};

		if (a->all[i].ifindex == to->ifindex)
			continue;
		memcpy(key.addr, a->all[i].addr, 16);
		r = bpf_map__update_elem(
			to->ways, &key, sizeof(key), &a->all[i].ifindex, sizeof(uint32_t), BPF_ANY);
	}
	return r;
}

static int put_way(const struct ifp_route *route, void *data)
{
	const struct ifp_followed *to = data;
	struct ifpin_network key = {.prefixlen = route->prefixlen};
	uint32_t owner = route->leads_there ? to->ifindex : 0;

	memcpy(key.addr, route->dst, 16);
	return bpf_map__update_elem(to->ways, &key, sizeof(key), &owner, sizeof(owner), BPF_ANY);
}

/* A network that is gone is one that no answer goes to. */
static void forget_ways(const struct ifp_followed *to)
{
	struct ifpin_network key;

	while (!bpf_map__get_next_key(to->ways, NULL, &key, sizeof(key)))
		if (bpf_map__delete_elem(to->ways, &key, sizeof(key), 0))
			return;
}

static int read_addresses(const struct ifp_followed *to)
{
	struct addresses a = {};
	int r = ifp_addr_dump(collect, &a);

	/* In the order of the dump, the first one is the kernel's own choice. */
	if (!r)
		find_primary(to, &a);
	if (!r && a.n)
		qsort(a.all, a.n, sizeof(*a.all), by_address);
	if (!r)
		r = put_all(to, &a);
	if (!r)
		r = remove_gone(to, &a);
	if (!r)
		r = put_networks(to, &a);
	free(a.all);
	return r;
}

static int judge_routes(const struct ifp_followed *to)
{
	static const int families[] = {AF_INET, AF_INET6};

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		bool agree = false;
		int r = ifp_routes_agree(families[i], to->ifindex, &agree, put_way, (void *)to);

		/* A host without IPv6 has no route that could lead elsewhere. */
		if (r == -EOPNOTSUPP && families[i] == AF_INET6)
			agree = true;
		else if (r)
			return r;
		to->state->routes_agree[i] = agree;
	}
	return 0;
}

static int on_event(const struct nlmsghdr *nlh, void *data)
{
	struct ifp_follow *f = data;
	struct ifp_link l;

	switch (nlh->nlmsg_type) {
	case RTM_NEWADDR:
	case RTM_DELADDR:
		f->addresses_changed = true;
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		if (!ifp_route_matters(nlh, f->to.ifindex))
			return 0;
		break;
	case RTM_NEWRULE:
	case RTM_DELRULE:
		break;
	default:
		if (ifp_link_parse(nlh, &l) || l.ifindex != f->to.ifindex)
			return 0;
		set_name(f->to.state, l.deleted ? "" : l.name);
	}
	if (!f->routes_due)
		f->routes_due = now_ms() + ROUTES_SETTLE_MS;
	return 0;
}

static int read_name(const struct ifp_followed *to, struct ifpin_error *err)
{
	struct ifpin_device now;
	char spec[32];
	int r;

	snprintf(spec, sizeof(spec), "index:%u", to->ifindex);
	r = ifpin_device_resolve(spec, &now, err);
	set_name(to->state, r ? "" : now.name);
	return r;
}

/* Events first, then the dumps: what changes in between is heard twice, never missed. */
int ifp_follow_start(
	const struct ifp_followed *to, struct ifp_follow **ret, struct ifpin_error *err)
{
	struct ifp_follow *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return ifp_fail(err, -ENOMEM, "out of memory");
	f->to = *to;
	*ret = f; /* freed by ifp_follow_free() in any case */
	r = ifp_nl_listen(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
				  RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | GROUP(RTNLGRP_IPV4_RULE) |
				  GROUP(RTNLGRP_IPV6_RULE),
		&f->events);
	if (r)
		return ifp_fail_errno(err, r, "cannot listen to changes of interfaces");
	r = read_name(to, err);
	if (r)
		return r;
	r = read_addresses(to);
	if (r)
		return ifp_fail_errno(err, r, "cannot learn the host's own addresses (at most %d)",
			IFPIN_MAX_LOCAL_ADDRS);
	r = judge_routes(to);
	return r ? ifp_fail_errno(err, r, "cannot read the host's routes") : 0;
}

int ifp_follow_fd(const struct ifp_follow *f)
{
	return mnl_socket_get_fd(f->events);
}

int ifp_follow_timeout(const struct ifp_follow *f)
{
	int64_t left = f->routes_due - now_ms();

	if (!f->routes_due)
		return -1;
	return left > 0 ? (int)left : 0;
}

int ifp_follow_apply(struct ifp_follow *f)
{
	int r = ifp_nl_drain(f->events, on_event, f), r2 = 0;

	/* Messages were lost: what we know may be old, so read all of it again. */
	if (r == -ENOBUFS) {
		f->addresses_changed = true;
		f->routes_due = f->routes_due ?: now_ms() + ROUTES_SETTLE_MS;
		read_name(&f->to, NULL);
		r = 0;
	}
	if (f->addresses_changed) {
		f->addresses_changed = false;
		r2 = read_addresses(&f->to);
	}
	if (f->routes_due && f->routes_due <= now_ms()) {
		f->routes_due = 0;
		forget_ways(&f->to);
		r2 = r2 ?: read_addresses(&f->to);
		r2 = judge_routes(&f->to) ?: r2;
	}
	return r ?: r2;
}

void ifp_follow_free(struct ifp_follow *f)
{
	if (!f)
		return;
	if (f->events)
		mnl_socket_close(f->events);
	free(f);
}
