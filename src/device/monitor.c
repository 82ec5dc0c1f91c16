// SPDX-License-Identifier: MIT
/*
 * Following one device. There is no queue: the monitor holds what it has told and what it knows,
 * and an event is the first difference. A message is read only when there is none left, so that
 * nothing is skipped that happened between two calls, and memory does not grow with events.
 */
#include "device.h"

#include "base/base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define ROOM (8 << 20)
#define MAX_STALE (1 << 16) /* messages to throw away before a resync, should they never end */

struct address {
	struct ifp_local_addr a;
	enum { KNOWN, ADDED, REMOVED, UNSEEN } state; /* UNSEEN: a resync has not met it yet */
};

struct ifpin_monitor {
	struct mnl_socket *events, *ask, *changes;
	struct ifpin_device told, now;
	bool told_there, there;
	struct ifpin_device heir; /* another device that has the name */
	uint32_t told_heir;
	struct address *addresses;
	size_t n;
	bool told_resync, stale;
	bool returned; /* by a message, which says nothing of the addresses that it has */
	char *pos;
	int left;
	char buf[32768] __attribute__((aligned(8)));
};

/* ---- what is known ---- */

static struct address *find_address(struct ifpin_monitor *m, const struct ifp_local_addr *a)
{
	for (size_t i = 0; i < m->n; i++)
		if (!memcmp(m->addresses[i].a.addr, a->addr, 16) &&
			!memcmp(m->addresses[i].a.peer, a->peer, 16) &&
			m->addresses[i].a.prefixlen == a->prefixlen)
			return m->addresses + i;
	return NULL;
}

static int add_address(struct ifpin_monitor *m, const struct ifp_local_addr *a)
{
	struct address *old = find_address(m, a);

	if (old) {
		/* Added again before its removal was told: nothing has changed. */
		if (old->state == REMOVED || old->state == UNSEEN)
			old->state = KNOWN;
		return 0;
	}
	if (ifp_grow(&m->addresses, m->n, sizeof(*m->addresses)))
		return -ENOMEM;
	m->addresses[m->n++] = (struct address){.a = *a, .state = ADDED};
	return 0;
}

static void remove_address(struct ifpin_monitor *m, struct address *a)
{
	if (a->state == ADDED)
		*a = m->addresses[--m->n];
	else
		a->state = REMOVED;
}

/* Its addresses went with it: GONE says so for all of them. */
static void lose(struct ifpin_monitor *m)
{
	m->there = false;
	m->n = 0;
}

static void found(struct ifpin_monitor *m, const struct ifpin_device *d)
{
	m->now = *d;
	m->there = true;
	m->heir.ifindex = m->told_heir = 0;
}

/* A device that is not there, and one that could be it. */
static void meet(struct ifpin_monitor *m, const struct ifpin_device *d)
{
	if (ifp_device_returned(&m->now, d)) {
		found(m, d);
	} else if (!strcmp(m->now.name, d->name)) {
		m->heir = *d;
	}
}

static int on_link(struct ifpin_monitor *m, const struct nlmsghdr *nlh)
{
	struct ifp_link l;
	struct ifpin_device d;

	/* Most messages are about others, and need no more than a glance. */
	if (ifp_link_parse(nlh, &l) || (m->there && l.ifindex != m->now.ifindex))
		return 0;
	if (l.deleted) {
		if (m->there)
			lose(m);
		else if (l.ifindex == m->heir.ifindex)
			m->heir.ifindex = m->told_heir = 0;
		return 0;
	}
	if (ifp_device_parse(nlh, &d))
		return 0;
	d.netns = m->now.netns;
	/* While it is watched, an index has one device: whatever changed, it is the same. */
	if (m->there) {
		m->now = d;
	} else {
		meet(m, &d);
		m->returned = m->there;
	}
	return 0;
}

static int on_address(struct ifpin_monitor *m, const struct nlmsghdr *nlh)
{
	struct ifp_local_addr a;
	struct address *old;

	if (ifp_addr_parse(nlh, &a) || !m->there || a.ifindex != m->now.ifindex)
		return 0;
	/* One that cannot be bound yet comes again when it can; one that somebody else has, never.
	 */
	if (!a.deleted && !a.failed)
		return a.ready ? add_address(m, &a) : 0;
	old = find_address(m, &a);
	if (old)
		remove_address(m, old);
	return 0;
}

static int on_message(const struct nlmsghdr *nlh, void *data)
{
	if (nlh->nlmsg_type == RTM_NEWADDR || nlh->nlmsg_type == RTM_DELADDR)
		return on_address(data, nlh);
	return on_link(data, nlh);
}

/* ---- the state read anew ---- */

static int find_again(struct ifpin_monitor *m)
{
	_cleanup_free_ struct ifpin_device *v = NULL;
	size_t n;
	int r = ifp_device_list_on(m->ask, m->changes, &v, &n);

	if (r)
		return r;
	for (size_t i = 0; i < n && !m->there; i++)
		meet(m, v + i);
	return 0;
}

static int read_addresses(struct ifpin_monitor *m)
{
	int r = -EINTR;

	for (size_t i = 0; i < m->n; i++)
		if (m->addresses[i].state == KNOWN)
			m->addresses[i].state = UNSEEN;
	for (int i = 0; i < 20 && r == -EINTR; i++)
		r = ifp_addr_dump_on(m->ask, on_message, m);
	if (r)
		return r == -EINTR ? -EAGAIN : r;
	for (size_t i = m->n; i-- > 0;)
		if (m->addresses[i].state == UNSEEN)
			remove_address(m, m->addresses + i);
	m->returned = false;
	return 0;
}

static int resync(struct ifpin_monitor *m)
{
	struct ifpin_device d;
	int r;

	ifp_nl_flush(m->ask);
	r = ifp_device_by_index_on(m->ask, m->now.ifindex, &d);
	if (r && r != -ENODEV)
		return r;
	/* Nobody watched: another MAC address at the same index may be another device. */
	if (r || !ifp_device_same(&m->now, &d))
		lose(m);
	else
		found(m, &d);
	m->heir.ifindex = 0;
	if (!m->there) {
		r = find_again(m);
		if (r)
			return r;
	}
	r = read_addresses(m);
	if (r)
		return r;
	m->stale = false;
	return 0;
}

/* What is still queued is older than what was lost: it must not be read after the new state. */
static int resync_after_loss(struct ifpin_monitor *m)
{
	for (int i = 0; i < MAX_STALE; i++)
		if (mnl_socket_recvfrom(m->events, m->buf, sizeof(m->buf)) < 0 && errno == EAGAIN)
			break;
	m->told_resync = false;
	m->left = 0;
	return resync(m);
}

/* ---- what is told ---- */

static int __attribute__((format(printf, 4, 5))) tell(struct ifpin_event *ev,
	enum ifpin_event_type type, const struct ifpin_device *d, const char *fmt, ...)
{
	va_list ap;

	memset(ev, 0, sizeof(*ev));
	ev->type = type;
	ev->device = *d;
	va_start(ap, fmt);
	vsnprintf(ev->text, sizeof(ev->text), fmt, ap);
	va_end(ap);
	return 1;
}

static int tell_address(struct ifpin_monitor *m, struct address *a, struct ifpin_event *ev)
{
	bool added = a->state == ADDED, four;
	char text[INET6_ADDRSTRLEN];
	struct sockaddr_storage ss;

	ifp_addr_to_sockaddr(a->a.addr, m->told.ifindex, &ss);
	four = ss.ss_family == AF_INET;
	tell(ev, added ? IFPIN_EVENT_ADDRESS_ADDED : IFPIN_EVENT_ADDRESS_REMOVED, &m->told,
		"%s %s %s/%d", m->told.name, added ? "has" : "has lost",
		ifp_addr_text(a->a.addr, text), a->a.prefixlen - (four ? 96 : 0));
	ev->address = ss;
	ev->prefixlen = a->a.prefixlen - (four ? 96u : 0);
	if (added)
		a->state = KNOWN;
	else
		*a = m->addresses[--m->n];
	return 1;
}

/* One address may stand for several peers; it is lost when the last of them is. */
static bool is_last(const struct ifpin_monitor *m, const struct address *a)
{
	for (const struct address *b = m->addresses; b < m->addresses + m->n; b++)
		if (b != a && b->state != REMOVED && !memcmp(b->a.addr, a->a.addr, 16) &&
			b->a.prefixlen == a->a.prefixlen)
			return false;
	return true;
}

static int tell_addresses(struct ifpin_monitor *m, struct ifpin_event *ev)
{
	for (size_t i = m->n; i-- > 0;) {
		struct address *a = m->addresses + i;

		if (a->state != REMOVED && a->state != ADDED)
			continue;
		if (is_last(m, a))
			return tell_address(m, a, ev);
		if (a->state == ADDED)
			a->state = KNOWN;
		else
			*a = m->addresses[--m->n];
	}
	return 0;
}

static int tell_flags(struct ifpin_monitor *m, struct ifpin_event *ev)
{
	const struct ifpin_device *d = &m->now;
	uint32_t changed = m->told.flags ^ d->flags;
	bool on;

	if (changed & IFPIN_DEVICE_UP) {
		m->told.flags ^= IFPIN_DEVICE_UP;
		on = d->flags & IFPIN_DEVICE_UP;
		return tell(ev, on ? IFPIN_EVENT_UP : IFPIN_EVENT_DOWN, &m->told,
			"%s is switched %s", d->name, on ? "on" : "off");
	}
	if (changed & IFPIN_DEVICE_CARRIER) {
		m->told.flags ^= IFPIN_DEVICE_CARRIER;
		on = d->flags & IFPIN_DEVICE_CARRIER;
		return tell(ev, on ? IFPIN_EVENT_CARRIER : IFPIN_EVENT_NO_CARRIER, &m->told,
			"%s has %s link", d->name, on ? "a" : "no");
	}
	return 0;
}

static int tell_device(struct ifpin_monitor *m, struct ifpin_event *ev)
{
	struct ifpin_device was = m->told;
	uint32_t flags = m->told.flags;

	if (strcmp(was.name, m->now.name) != 0) {
		m->told = m->now;
		m->told.flags = flags;
		return tell(ev, IFPIN_EVENT_RENAMED, &m->told, "%s is called %s now", was.name,
			m->now.name);
	}
	if (was.mac_len != m->now.mac_len || memcmp(was.mac, m->now.mac, was.mac_len) != 0) {
		m->told = m->now;
		m->told.flags = flags;
		return tell(
			ev, IFPIN_EVENT_MAC, &m->told, "%s has another MAC address", m->now.name);
	}
	/* What has no event of its own (master, alternative names) goes along. */
	m->told = m->now;
	m->told.flags = flags;
	return tell_flags(m, ev);
}

static void mac_text(const struct ifpin_device *d, char ret[3 * IFPIN_MAC_SIZE])
{
	strcpy(ret, "none");
	for (size_t i = 0; i < d->mac_len; i++)
		sprintf(ret + 3 * i, i + 1 < d->mac_len ? "%02x:" : "%02x", d->mac[i]);
}

static int tell_heir(struct ifpin_monitor *m, struct ifpin_event *ev)
{
	char has[3 * IFPIN_MAC_SIZE], had[3 * IFPIN_MAC_SIZE];

	m->told_heir = m->heir.ifindex;
	mac_text(&m->heir, has);
	mac_text(&m->told, had);
	return tell(ev, IFPIN_EVENT_REPLACED, &m->heir,
		"another device (index %u, MAC address %s, was %s) has the name %s now; it is not "
		"accepted",
		m->heir.ifindex, has, had, m->heir.name);
}

static int difference(struct ifpin_monitor *m, struct ifpin_event *ev)
{
	int r;

	if (!m->told_resync) {
		m->told_resync = true;
		return tell(ev, IFPIN_EVENT_RESYNCED, &m->told,
			"messages of the kernel were lost; the state of %s was read anew",
			m->told.name);
	}
	if (m->told_there && (!m->there || m->told.ifindex != m->now.ifindex)) {
		m->told_there = false;
		return tell(ev, IFPIN_EVENT_GONE, &m->told, "%s (index %u) is gone", m->told.name,
			m->told.ifindex);
	}
	if (!m->told_there && m->there) {
		m->told = m->now;
		m->told_there = true;
		return tell(ev, IFPIN_EVENT_BACK, &m->told, "%s is back with index %u", m->now.name,
			m->now.ifindex);
	}
	if (!m->there && m->heir.ifindex && m->told_heir != m->heir.ifindex)
		return tell_heir(m, ev);
	if (!m->there)
		return 0;
	r = tell_device(m, ev);
	return r ?: tell_addresses(m, ev);
}

/* ---- messages, one at a time ---- */

/* Return: 1: one was taken; 0: there is none; -errno. */
static int take_message(struct ifpin_monitor *m)
{
	struct nlmsghdr *nlh = (struct nlmsghdr *)m->pos;
	ssize_t n;
	int r;

	if (m->left > 0 && mnl_nlmsg_ok(nlh, m->left) && nlh->nlmsg_len <= (uint32_t)m->left) {
		r = on_message(nlh, m);
		m->pos = (char *)mnl_nlmsg_next(nlh, &m->left);
		return r ?: 1;
	}
	n = mnl_socket_recvfrom(m->events, m->buf, sizeof(m->buf));
	if (n >= 0) {
		m->pos = m->buf;
		m->left = (int)n;
		return 1;
	}
	if (errno == EAGAIN)
		return 0;
	if (errno != ENOBUFS)
		return -errno;
	m->stale = true;
	return 1;
}

int ifpin_monitor_next(struct ifpin_monitor *m, struct ifpin_event *ret_event)
{
	for (;;) {
		int r = m->stale ? resync_after_loss(m) : m->returned ? read_addresses(m) : 0;

		if (!r && difference(m, ret_event))
			return 1;
		if (!r)
			r = take_message(m);
		if (r < 0)
			m->stale = true;
		if (r <= 0)
			return r;
	}
}

int ifpin_monitor_fd(const struct ifpin_monitor *m)
{
	return mnl_socket_get_fd(m->events);
}

const struct ifpin_device *ifpin_monitor_device(const struct ifpin_monitor *m)
{
	return m->told_there ? &m->told : NULL;
}

void ifpin_monitor_close(struct ifpin_monitor *m)
{
	if (!m)
		return;
	ifp_nl_closep(&m->events);
	ifp_nl_closep(&m->ask);
	ifp_nl_closep(&m->changes);
	free(m->addresses);
	free(m);
}

static void closep(struct ifpin_monitor **m)
{
	ifpin_monitor_close(*m);
}

static int listen_first(struct ifpin_monitor *m)
{
	int room = ROOM, fd,
	    r = ifp_nl_listen(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR, &m->events);

	if (r)
		return r;
	fd = mnl_socket_get_fd(m->events);
	/* Whichever of the two works: the second asks for CAP_NET_ADMIN. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	r = ifp_nl_open(NETLINK_ROUTE, &m->ask);
	return r ?: ifp_changes_open(&m->changes);
}

int ifpin_monitor_open(const struct ifpin_device *device, struct ifpin_monitor **ret_monitor,
	struct ifpin_error *ret_error)
{
	_cleanup_(closep) struct ifpin_monitor *m = calloc(1, sizeof(*m));
	uint64_t netns;
	int r;

	if (!m)
		return ifp_fail(ret_error, -ENOMEM, "out of memory");
	r = listen_first(m);
	if (r)
		return ifp_fail_errno(ret_error, r, "cannot listen to the kernel");
	netns = ifp_netns_of(mnl_socket_get_fd(m->ask));
	if (device->netns && device->netns != netns)
		return ifp_fail(ret_error, -EXDEV, "%s was looked up in another network namespace",
			device->name);
	m->told = m->now = *device;
	m->told_there = m->there = m->told_resync = true;
	r = resync(m);
	if (r)
		return ifp_fail_errno(ret_error, r, "cannot look up %s", device->name);
	*ret_monitor = m;
	m = NULL;
	return 0;
}
