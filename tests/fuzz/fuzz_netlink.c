// SPDX-License-Identifier: MIT
/*
 * libFuzzer target: whatever comes over netlink, as single messages and as the story of a device
 * that the monitor follows.
 */
#include "device/monitor.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_device(const struct ifpin_device *d)
{
	if (!d->ifindex || !memchr(d->name, 0, sizeof(d->name)) ||
		!memchr(d->kind, 0, sizeof(d->kind)) ||
		!memchr(d->altnames, 0, sizeof(d->altnames)) || d->mac_len > IFPIN_MAC_SIZE ||
		d->perm_mac_len > IFPIN_MAC_SIZE || !ifp_device_same(d, d))
		abort();
}

/* Each state is told once, and what is told adds up to what is so. */
static void tell_all(struct ifpin_monitor *m)
{
	struct ifpin_event ev;
	int bound = 1000;

	while (difference(m, &ev)) {
		if (!ev.text[0] || !--bound)
			abort();
		if (ev.type == IFPIN_EVENT_BACK && !ifp_device_same(&m->now, &ev.device))
			abort();
	}
	if (m->told_there != m->there || (m->there && m->told.ifindex != m->now.ifindex))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ifpin_monitor m;
	/* Netlink pads every message to four bytes, and its attributes are looked for up to there.
	 */
	struct nlmsghdr *nlh = calloc(1, MNL_ALIGN(size) ?: 1), *first = nlh;
	struct ifpin_device d;
	struct ifp_local_addr a;
	struct ifp_route route;
	int left = (int)size;

	if (!nlh)
		return 0;
	memcpy(nlh, data, size);
	m = (struct ifpin_monitor){.told_there = true, .there = true, .told_resync = true};
	m.told.ifindex = m.now.ifindex = 2;
	strcpy(m.told.name, "in0");
	strcpy(m.now.name, "in0");
	/* libmnl takes the length for an int; no kernel sends one that is negative then. */
	for (; mnl_nlmsg_ok(nlh, left) && nlh->nlmsg_len <= (uint32_t)left;
		nlh = mnl_nlmsg_next(nlh, &left)) {
		if (!ifp_device_parse(nlh, &d))
			check_device(&d);
		if (!ifp_addr_parse(nlh, &a) && a.prefixlen > 128)
			abort();
		if (!ifp_route_parse(nlh, 2, &route) &&
			(route.prefixlen > 128 || (route.shared && !route.uses_device)))
			abort();
		if (on_message(nlh, &m))
			break;
		tell_all(&m);
	}
	free(m.addresses);
	free(first);
	return 0;
}
