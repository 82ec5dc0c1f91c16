// SPDX-License-Identifier: MIT
/*
 * Who has the place that rules exempt: the name and index of DEVICE. Another one can have both, but
 * it is not born with the group that a fence gives to DEVICE, and that goes when DEVICE does.
 */
#include "internal.h"

#include "base/nl.h"
#include "device/device.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/random.h>

const struct port *ifp_port_at(const struct ports *all, uint32_t ifindex)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->list[i].ifindex == ifindex)
			return &all->list[i];
	return NULL;
}

static int set_group(uint32_t ifindex, uint32_t group)
{
	char buf[128];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi;

	nlh->nlmsg_type = RTM_NEWLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	*ifi = (struct ifinfomsg){.ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex};
	mnl_attr_put_u32(nlh, IFLA_GROUP, group);
	return ifp_nl_talk(nlh, NULL, NULL);
}

static bool is_ours(uint32_t group)
{
	return (group & IFP_FENCE_GROUP_MASK) == IFP_FENCE_GROUP;
}

/* Return: 0; -errno. */
static int draw_group(uint32_t *ret)
{
	uint32_t drawn;

	if (getrandom(&drawn, sizeof(drawn), 0) != sizeof(drawn))
		return -errno;
	*ret = IFP_FENCE_GROUP | (drawn & ~IFP_FENCE_GROUP_MASK);
	return 0;
}

/* Another one may have come in its place before it got the group. Return: 0; -ENODEV; -errno. */
static int mark(const struct ifpin_device *device, uint32_t group)
{
	struct ifpin_device now;
	int r = set_group(device->ifindex, group) ?: ifp_device_by_index(device->ifindex, &now);

	if (r || ifp_device_same(device, &now))
		return r;
	return set_group(device->ifindex, 0) ?: -ENODEV;
}

int ifp_place_find(const struct ifpin_device *device, uint32_t group, const struct ports *all,
	struct place *ret, struct ifpin_error *err)
{
	const struct port *at = ifp_port_at(all, device->ifindex), *port;
	struct place p = {};
	int r = ifpin_device_check(device, &p.identity, &p.now, err);

	if (r)
		return r;
	/* Our own mark says more than an address, which may be given anew. */
	if (p.identity == IFPIN_REPLACED && at && is_ours(group) && at->group == group &&
		at->type == device->type && !strcmp(at->kind, device->kind)) {
		r = ifp_device_by_index(device->ifindex, &p.now);
		if (r)
			return ifp_fail_errno(err, r, "cannot look up %s", device->name);
		p.identity = strcmp(p.now.name, device->name) ? IFPIN_RENAMED : IFPIN_SAME;
	}
	p.here =
		p.identity == IFPIN_SAME || p.identity == IFPIN_RENAMED || p.identity == IFPIN_BACK;
	p.taken = p.identity == IFPIN_REPLACED && at && !strcmp(at->name, device->name);
	p.moved = p.here && (p.identity != IFPIN_SAME || !ifp_device_same(device, &p.now));
	port = p.here ? ifp_port_at(all, p.now.ifindex) : p.taken ? at : NULL;
	p.marked = port && group && port->group == group;
	if (!p.here)
		p.now = *device;
	*ret = p;
	return 0;
}

int ifp_place_take(struct plan *plan, const struct ports *all, bool dry)
{
	const struct port *at = ifp_port_at(all, plan->device.ifindex);
	struct ifpin_device now;
	int r = at ? ifp_device_by_index(at->ifindex, &now) : -ENODEV;

	if (r && (r != -ENODEV || at))
		return r;
	plan->shut =
		!r && !ifp_device_same(&plan->device, &now) && !strcmp(now.name, plan->device.name);
	if (r || !ifp_device_same(&plan->device, &now))
		return draw_group(&plan->group);
	/* A group that somebody has chosen stays: other rules may go by it. */
	plan->group = at->group;
	if (at->group)
		return 0;
	r = draw_group(&plan->group);
	return r || dry ? r : mark(&plan->device, plan->group);
}

static int is_fenced(uint32_t ifindex, bool *ret, struct ifpin_error *err)
{
	_cleanup_free_ struct fence_table *tables = NULL;
	struct ifpin_fence f;
	bool any = false;
	size_t n;
	int r = ifp_state_tables(&tables, &n, err);

	for (size_t i = 0; !r && !any && i < n; i++) {
		if (strcmp(tables[i].family, "netdev") != 0)
			continue;
		r = ifp_state_read_devices(tables[i].fence, &f, err);
		if (r == -ENOENT)
			r = 0;
		else if (!r) {
			any = f.device.ifindex == ifindex && !f.shut;
			ifp_state_clear(&f);
		}
	}
	if (!r)
		*ret = any;
	return r;
}

int ifp_place_release(const struct ports *all, uint32_t but, struct ifpin_error *err)
{
	int r = 0;

	for (size_t i = 0; i < all->n && !r; i++) {
		const struct port *p = &all->list[i];
		bool fenced = false;

		if (!is_ours(p->group) || p->ifindex == but)
			continue;
		r = is_fenced(p->ifindex, &fenced, err);
		if (r || fenced)
			continue;
		r = set_group(p->ifindex, 0);
		r = r == -ENODEV ? 0 : r;
		if (r)
			ifp_fail_errno(err, r, "cannot give %s its group back", p->name);
	}
	return r;
}
