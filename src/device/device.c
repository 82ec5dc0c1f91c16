// SPDX-License-Identifier: MIT
/* Looking devices up: one by name, index or MAC address, and all of them. */
#include "device.h"

#include "base/base.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netinet/ether.h>
#include <stdio.h>
#include <string.h>

#define ALT_NAME_SIZE 128 /* ALTIFNAMSIZ; <linux/if.h> does not go with <net/if.h> */
#define SKIP_STATS 8	  /* RTEXT_FILTER_SKIP_STATS */

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

uint64_t ifp_netns_of(int fd)
{
	uint64_t cookie;
	socklen_t len = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) ? 0 : cookie;
}

static struct nlmsghdr *link_request(char *buf, uint32_t ifindex, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi;

	nlh->nlmsg_type = RTM_GETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = (int)ifindex;
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, SKIP_STATS);
	return nlh;
}

static int on_link(const struct nlmsghdr *nlh, void *data)
{
	return ifp_device_parse(nlh, data);
}

static int ask_one(struct mnl_socket *nl, struct nlmsghdr *req, struct ifpin_device *ret)
{
	struct ifpin_device d = {};
	int r = ifp_nl_ask(nl, req, on_link, &d);

	if (r)
		return r;
	d.netns = ifp_netns_of(mnl_socket_get_fd(nl));
	*ret = d;
	return 0;
}

int ifp_device_by_index_on(struct mnl_socket *nl, uint32_t ifindex, struct ifpin_device *ret)
{
	char buf[256] = {};

	return ask_one(nl, link_request(buf, ifindex, 0), ret);
}

int ifp_device_by_index(uint32_t ifindex, struct ifpin_device *ret)
{
	_cleanup_(ifp_nl_closep) struct mnl_socket *nl = NULL;
	int r = ifp_nl_open(NETLINK_ROUTE, &nl);

	return r ?: ifp_device_by_index_on(nl, ifindex, ret);
}

static int by_name(struct mnl_socket *nl, const char *name, struct ifpin_device *ret)
{
	char buf[512] = {};
	struct nlmsghdr *req = link_request(buf, 0, 0);
	bool is_long = strlen(name) >= IF_NAMESIZE;
	int r;

	/* Either attribute finds names of both sorts; IFLA_IFNAME is known to every kernel. */
	mnl_attr_put_strz(req, is_long ? IFLA_ALT_IFNAME : IFLA_IFNAME, name);
	r = ask_one(nl, req, ret);
	return is_long && r == -EINVAL ? -ENODEV : r; /* before Linux 5.5 */
}

/* ---- all of them ---- */

struct table {
	struct ifpin_device *v; /* by index */
	size_t n;
	uint64_t netns;
};

static int compare(const void *key, const void *entry)
{
	uint32_t a = *(const uint32_t *)key, b = ((const struct ifpin_device *)entry)->ifindex;

	return a < b ? -1 : a > b;
}

static struct ifpin_device *find(const struct table *t, uint32_t ifindex)
{
	return t->n ? bsearch(&ifindex, t->v, t->n, sizeof(*t->v), compare) : NULL;
}

static int put(struct table *t, const struct ifpin_device *d)
{
	struct ifpin_device *old = find(t, d->ifindex);
	size_t at = t->n;

	if (old) {
		*old = *d;
		return 0;
	}
	if (ifp_grow(&t->v, t->n, sizeof(*t->v)))
		return -ENOMEM;
	while (at && t->v[at - 1].ifindex > d->ifindex)
		at--;
	memmove(t->v + at + 1, t->v + at, (t->n - at) * sizeof(*t->v));
	t->v[at] = *d;
	t->n++;
	return 0;
}

static void forget(struct table *t, uint32_t ifindex)
{
	struct ifpin_device *d = find(t, ifindex);

	if (!d)
		return;
	memmove(d, d + 1, (size_t)(t->v + t->n - (d + 1)) * sizeof(*d));
	t->n--;
}

static int on_change(const struct nlmsghdr *nlh, void *data)
{
	struct table *t = data;
	struct ifpin_device d;

	if (ifp_device_parse(nlh, &d))
		return 0;
	d.netns = t->netns;
	if (nlh->nlmsg_type == RTM_DELLINK) {
		forget(t, d.ifindex);
		return 0;
	}
	return put(t, &d);
}

/*
 * A dump of thousands is never of one moment. What changes meanwhile is heard of, and set right
 * after it. Before Linux 6.10 a dump can also pass over a device when one before it is deleted:
 * so one that was interrupted is repeated, and what either saw counts.
 */
static int list_once(struct mnl_socket *nl, struct mnl_socket *changes, struct table *t)
{
	char buf[256] = {};
	int r = -EINTR;

	t->n = 0;
	for (int i = 0; i < 3 && r == -EINTR; i++)
		r = ifp_nl_ask(nl, link_request(buf, 0, NLM_F_DUMP), on_change, t);
	if (r && r != -EINTR)
		return r;
	return ifp_nl_drain(changes, on_change, t);
}

static int list_hearing(struct mnl_socket *nl, struct mnl_socket *changes, struct table *t)
{
	int r = -ENOBUFS;

	for (int i = 0; i < 20 && r == -ENOBUFS; i++)
		r = list_once(nl, changes, t);
	return r == -ENOBUFS ? -EAGAIN : r;
}

int ifp_device_list_on(
	struct mnl_socket *nl, struct mnl_socket *changes, struct ifpin_device **ret, size_t *ret_n)
{
	struct table t = {.netns = ifp_netns_of(mnl_socket_get_fd(nl))};
	int r = ifp_nl_membership(changes, RTNLGRP_LINK, true);

	if (r)
		return r;
	r = list_hearing(nl, changes, &t);
	ifp_nl_membership(changes, RTNLGRP_LINK, false);
	ifp_nl_flush(changes);
	if (r) {
		free(t.v);
		return r;
	}
	*ret = t.v;
	*ret_n = t.n;
	return 0;
}

int ifp_changes_open(struct mnl_socket **ret)
{
	int r = ifp_nl_listen(0, ret), room = 8 << 20;

	if (r)
		return r;
	/* Whichever of the two works: the second asks for CAP_NET_ADMIN. */
	setsockopt(mnl_socket_get_fd(*ret), SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	setsockopt(mnl_socket_get_fd(*ret), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	return 0;
}

static int list_here(struct mnl_socket *nl, struct ifpin_device **ret, size_t *ret_n)
{
	_cleanup_(ifp_nl_closep) struct mnl_socket *changes = NULL;
	int r = ifp_changes_open(&changes);

	return r ?: ifp_device_list_on(nl, changes, ret, ret_n);
}

int ifpin_device_list(
	struct ifpin_device **ret_devices, size_t *ret_n, struct ifpin_error *ret_error)
{
	_cleanup_(ifp_nl_closep) struct mnl_socket *nl = NULL;
	int r = ifp_nl_open(NETLINK_ROUTE, &nl);

	if (!r)
		r = list_here(nl, ret_devices, ret_n);
	return r ? ifp_fail_errno(ret_error, r, "cannot list the interfaces") : 0;
}

/* ---- what a person means ---- */

int ifp_spec_parse(const char *text, struct ifp_spec *ret, struct ifpin_error *err)
{
	struct ifp_spec s = {.text = text};

	if (!*text)
		return ifp_fail(err, -EINVAL, "no interface given");
	if (!strncmp(text, "index:", 6)) {
		s.by = IFP_BY_INDEX;
		if (ifp_parse_u32(text + 6, 1, INT32_MAX, &s.index))
			return ifp_fail(err, -EINVAL,
				"\"%s\": an index is a number from 1 to 2147483647", text);
	} else if (!strncmp(text, "mac:", 4)) {
		s.by = IFP_BY_MAC;
		if (strlen(text) != 4 + 17 || !ether_aton_r(text + 4, &s.mac))
			return ifp_fail(err, -EINVAL,
				"\"%s\": a MAC address is six pairs of hexadecimal digits", text);
	} else if (strlen(text) >= ALT_NAME_SIZE) {
		return ifp_fail(err, -EINVAL,
			"interface name of %zu bytes is too long (at most %d, alternative names %d)",
			strlen(text), IF_NAMESIZE - 1, ALT_NAME_SIZE - 1);
	}
	*ret = s;
	return 0;
}

static void list_names(const struct ifpin_device *v, size_t n, char *buf, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		if (used + strlen(v[i].name) + sizeof(", ...") + 2 > size) {
			strcpy(buf + used, ", ...");
			return;
		}
		used += (size_t)sprintf(buf + used, "%s%s", used ? ", " : "", v[i].name);
	}
}

static int by_mac(const struct ifp_spec *s, const struct ifpin_device *v, size_t n,
	struct ifpin_device *ret, unsigned int *ret_hits)
{
	unsigned int hits = 0;

	for (size_t i = 0; i < n; i++)
		if (v[i].mac_len == sizeof(s->mac) && !memcmp(v[i].mac, &s->mac, sizeof(s->mac)) &&
			!hits++)
			*ret = v[i];
	*ret_hits = hits;
	return hits == 1 ? 0 : hits ? -ENOTUNIQ : -ENODEV;
}

/* What needs all devices: a MAC address, and the message that there is none of the name. */
static int from_list(struct mnl_socket *nl, const struct ifp_spec *s, struct ifpin_device *ret,
	struct ifpin_error *err)
{
	_cleanup_free_ struct ifpin_device *v = NULL;
	unsigned int hits = 0;
	char names[768] = "";
	size_t n = 0;
	int r = list_here(nl, &v, &n);

	if (r)
		return ifp_fail_errno(err, r, "cannot list the interfaces");
	r = s->by == IFP_BY_MAC ? by_mac(s, v, n, ret, &hits) : -ENODEV;
	if (!r)
		return 0;
	list_names(v, n, names, sizeof(names));
	if (r == -ENOTUNIQ)
		return ifp_fail(err, r,
			"%u interfaces have \"%s\"; give a name or index:N (there are: %s)", hits,
			s->text, names);
	return ifp_fail(err, r, "no interface \"%s\" in this network namespace (there are: %s)",
		s->text, names);
}

int ifpin_device_resolve(
	const char *spec, struct ifpin_device *ret_device, struct ifpin_error *ret_error)
{
	_cleanup_(ifp_nl_closep) struct mnl_socket *nl = NULL;
	struct ifpin_device d;
	struct ifp_spec s;
	int r = ifp_spec_parse(spec, &s, ret_error);

	if (r)
		return r;
	r = ifp_nl_open(NETLINK_ROUTE, &nl);
	if (r)
		return ifp_fail_errno(ret_error, r, "cannot ask the kernel for its interfaces");
	if (s.by == IFP_BY_NAME)
		r = by_name(nl, spec, &d);
	else if (s.by == IFP_BY_INDEX)
		r = ifp_device_by_index_on(nl, s.index, &d);
	if (s.by == IFP_BY_MAC || r == -ENODEV)
		r = from_list(nl, &s, &d, ret_error);
	else if (r)
		ifp_fail_errno(ret_error, r, "cannot look up interface \"%s\"", spec);
	if (!r)
		*ret_device = d;
	return r;
}

static enum ifpin_identity find_elsewhere(const struct ifpin_device *v, size_t n,
	const struct ifpin_device *was, const struct ifpin_device *at_its_index,
	struct ifpin_device *now)
{
	const struct ifpin_device *heir = at_its_index;

	for (size_t i = 0; i < n; i++) {
		if (v[i].ifindex != was->ifindex && ifp_device_returned(was, v + i)) {
			*now = v[i];
			return IFPIN_BACK;
		}
		if (!strcmp(v[i].name, was->name))
			heir = v + i;
	}
	*now = heir ? *heir : (struct ifpin_device){};
	return heir ? IFPIN_REPLACED : IFPIN_GONE;
}

enum ifpin_identity ifp_device_find(const struct ifpin_device *v, size_t n,
	const struct ifpin_device *was, struct ifpin_device *ret_now)
{
	const struct table t = {.v = (struct ifpin_device *)v, .n = n};
	const struct ifpin_device *here = find(&t, was->ifindex);
	struct ifpin_device now = {};
	enum ifpin_identity identity;

	if (here && ifp_device_same(was, here)) {
		now = *here;
		identity = strcmp(was->name, here->name) ? IFPIN_RENAMED : IFPIN_SAME;
	} else {
		identity = find_elsewhere(v, n, was, here, &now);
	}
	if (ret_now)
		*ret_now = now;
	return identity;
}

static int find_it(struct mnl_socket *nl, const struct ifpin_device *was,
	enum ifpin_identity *ret_identity, struct ifpin_device *now)
{
	_cleanup_free_ struct ifpin_device *v = NULL;
	size_t n;
	int r = list_here(nl, &v, &n);

	if (!r)
		*ret_identity = ifp_device_find(v, n, was, now);
	return r;
}

int ifpin_device_check(const struct ifpin_device *device, enum ifpin_identity *ret_identity,
	struct ifpin_device *ret_now, struct ifpin_error *ret_error)
{
	_cleanup_(ifp_nl_closep) struct mnl_socket *nl = NULL;
	struct ifpin_device now = {};
	enum ifpin_identity identity;
	int r;

	if (!device->ifindex)
		return ifp_fail(
			ret_error, -EINVAL, "no device: it was never looked up, or it is gone");
	r = ifp_nl_open(NETLINK_ROUTE, &nl);
	if (r)
		return ifp_fail_errno(ret_error, r, "cannot ask the kernel for its interfaces");
	if (device->netns && device->netns != ifp_netns_of(mnl_socket_get_fd(nl))) {
		identity = IFPIN_OTHER_NETNS;
	} else {
		r = ifp_device_by_index_on(nl, device->ifindex, &now);
		if (!r && ifp_device_same(device, &now))
			identity = strcmp(device->name, now.name) ? IFPIN_RENAMED : IFPIN_SAME;
		else if (!r || r == -ENODEV)
			r = find_it(nl, device, &identity, &now);
		if (r)
			return ifp_fail_errno(ret_error, r, "cannot look up %s", device->name);
	}
	*ret_identity = identity;
	if (ret_now)
		*ret_now = now;
	return 0;
}
