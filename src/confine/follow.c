// SPDX-License-Identifier: MIT
/* What the host changes while a confinement lives: names, addresses, routes. */
#include "follow.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

/* Memory was wanting, or there are too many addresses. */
#define RETRY_MS 1000
#define GROUP(n) (1U << ((n)-1))

struct ifp_follow {
	struct ifp_followed to;
	struct mnl_socket *events;
	struct ifp_ways ways; /* as they were judged last */
	int64_t judged_ms;    /* how long that took */
	bool addresses_changed;
	bool unwritten;	    /* the programs do not have the value yet */
	int64_t routes_due; /* 0: nothing to do */
};

static bool is_ours(uint32_t ifindex, void *data)
{
	return ifindex == *(const uint32_t *)data;
}

static int read_addresses(const struct ifp_followed *to, struct ifp_addrs *ret)
{
	struct ifp_addrs a = {};
	int r = ifp_addrs_read(&a);

	if (!r) {
		to->value->device_ip4 = ifp_addrs_primary(&a, to->ifindex);
		r = ifp_addrs_write(&a, &to->host);
	}
	if (r)
		ifp_addrs_free(&a);
	else
		*ret = a;
	return r;
}

/* A network of another device counts at once; what leads to ours is judged when all is settled. */
static int apply_addresses(const struct ifp_followed *to)
{
	struct ifp_addrs a = {};
	struct ifp_ways w = {};
	int r = read_addresses(to, &a);

	if (!r)
		r = ifp_ways_add_networks(&w, &a, is_ours, (void *)&to->ifindex);
	if (!r)
		r = ifp_ways_write(&w, &to->host, false);
	ifp_addrs_free(&a);
	ifp_ways_free(&w);
	return r;
}

static int apply_all(struct ifp_follow *f)
{
	const struct ifp_followed *to = &f->to;
	struct ifp_addrs a = {};
	struct ifp_ways w = {};
	int64_t start = ifp_now_ms();
	bool agree[2] = {};
	int r = read_addresses(to, &a);

	if (!r)
		r = ifp_ways_judge(&w, to->ifindex, &a, agree);
	if (!r)
		r = ifp_ways_add_networks(&w, &a, is_ours, (void *)&to->ifindex);
	if (!r)
		r = ifp_ways_write(&w, &to->host, true);
	for (int i = 0; i < 2; i++)
		to->value->routes_agree[i] = !r && agree[i];
	ifp_addrs_free(&a);
	ifp_ways_free(&f->ways);
	f->ways = w;
	f->judged_ms = ifp_now_ms() - start;
	return r;
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
		if (!ifp_ways_touched(&f->ways, f->to.ifindex, f->to.value->routes_agree[1], nlh))
			return 0;
		break;
	case RTM_NEWRULE:
	case RTM_DELRULE:
		break;
	default:
		if (ifp_link_parse(nlh, &l) || l.ifindex != f->to.ifindex)
			return 0;
		ifp_pin_name(f->to.value, l.deleted ? "" : l.name);
	}
	if (!f->routes_due)
		f->routes_due = ifp_now_ms() + ifp_ways_settle_ms(f->judged_ms);
	return 0;
}

static int read_name(const struct ifp_followed *to, struct ifpin_error *err)
{
	struct ifpin_device now;
	char spec[32];
	int r;

	snprintf(spec, sizeof(spec), "index:%u", to->ifindex);
	r = ifpin_device_resolve(spec, &now, err);
	ifp_pin_name(to->value, r ? "" : now.name);
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
	r = apply_all(f);
	if (r == -E2BIG)
		return ifp_fail(
			err, r, "the host has more than %d addresses", IFPIN_MAX_LOCAL_ADDRS);
	return r ? ifp_fail_errno(err, r, "cannot read the host's addresses and routes") : 0;
}

int ifp_follow_fd(const struct ifp_follow *f)
{
	return mnl_socket_get_fd(f->events);
}

int ifp_follow_timeout(const struct ifp_follow *f)
{
	int64_t left = f->routes_due - ifp_now_ms();

	if (!f->routes_due)
		return -1;
	return left > 0 ? (int)left : 0;
}

static int apply(struct ifp_follow *f)
{
	int r = ifp_nl_drain(f->events, on_event, f), r2 = 0;

	/* Messages were lost: what we know may be old, so read all of it again. */
	if (r == -ENOBUFS) {
		ifp_nl_flush(f->events); /* older than what is lost */
		f->addresses_changed = true;
		f->routes_due = f->routes_due ?: ifp_now_ms() + ifp_ways_settle_ms(f->judged_ms);
		read_name(&f->to, NULL);
		r = 0;
	}
	if (f->addresses_changed) {
		f->addresses_changed = false;
		r2 = apply_addresses(&f->to);
	}
	if (f->routes_due && f->routes_due <= ifp_now_ms()) {
		f->routes_due = 0;
		r2 = apply_all(f) ?: r2;
	}
	return r ?: r2;
}

int ifp_follow_apply(struct ifp_follow *f)
{
	const struct ifpin_pin before = *f->to.value;
	int r = apply(f), written = 0;

	f->unwritten = f->unwritten || memcmp(&before, f->to.value, sizeof(before)) != 0;
	if (f->unwritten)
		written = ifp_pin_write(f->to.pin, f->to.value);
	f->unwritten = written != 0;
	if ((r || written) && !f->routes_due)
		f->routes_due = ifp_now_ms() + RETRY_MS;
	return r ?: written;
}

void ifp_follow_free(struct ifp_follow *f)
{
	if (!f)
		return;
	if (f->events)
		mnl_socket_close(f->events);
	ifp_ways_free(&f->ways);
	free(f);
}
