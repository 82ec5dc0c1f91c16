// SPDX-License-Identifier: MIT
/* The devices of the namespace, and which of them a fence covers. */
#include "internal.h"

#include "base/nl.h"

#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

static void read_kind(const struct nlattr *info, char ret[IFPIN_KIND_SIZE])
{
	const struct nlattr *a;

	mnl_attr_for_each_nested (a, info)
		if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
			snprintf(ret, IFPIN_KIND_SIZE, "%s", mnl_attr_get_str(a));
}

static bool has_xdp(const struct nlattr *xdp)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested (a, xdp)
		if (mnl_attr_get_type(a) == IFLA_XDP_ATTACHED)
			return mnl_attr_get_u8(a) != XDP_ATTACHED_NONE;
	return false;
}

static int put(struct ports *all, const struct port *p)
{
	/* A dump that is read again shows a device twice. */
	for (size_t i = 0; i < all->n; i++)
		if (all->list[i].ifindex == p->ifindex) {
			all->list[i] = *p;
			return 0;
		}
	if (ifp_grow(&all->list, all->n, sizeof(*all->list)))
		return -ENOMEM;
	all->list[all->n++] = *p;
	return 0;
}

static int on_link(const struct nlmsghdr *nlh, void *data)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	struct port p = {.ifindex = (uint32_t)ifi->ifi_index, .type = ifi->ifi_type};
	const struct nlattr *a;

	if (nlh->nlmsg_type != RTM_NEWLINK)
		return 0;
	mnl_attr_for_each (a, nlh, sizeof(*ifi)) {
		switch (mnl_attr_get_type(a)) {
		case IFLA_IFNAME:
			snprintf(p.name, sizeof(p.name), "%s", mnl_attr_get_str(a));
			break;
		case IFLA_MASTER:
			p.master = mnl_attr_get_u32(a);
			break;
		case IFLA_LINK:
			p.link = mnl_attr_get_u32(a);
			break;
		case IFLA_GROUP:
			p.group = mnl_attr_get_u32(a);
			break;
		case IFLA_LINK_NETNSID:
			p.foreign_link = true;
			break;
		case IFLA_PHYS_SWITCH_ID:
			p.switchdev = true;
			break;
		case IFLA_XDP:
			p.xdp = has_xdp(a);
			break;
		case IFLA_LINKINFO:
			read_kind(a, p.kind);
			break;
		}
	}
	return put(data, &p);
}

int ifp_ports_read(struct ports *ret)
{
	struct ports all = {};
	char buf[512];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi;
	int r;

	nlh->nlmsg_type = RTM_GETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	r = ifp_nl_talk(nlh, on_link, &all);
	if (r) {
		free(all.list);
		return r;
	}
	*ret = all;
	return 0;
}

void ifp_ports_free(struct ports *ports)
{
	free(ports->list);
	*ports = (struct ports){};
}

/* Kinds whose frames come out of the device under them as they are, with a tag at most. */
static bool shows_below(const struct port *p)
{
	static const char *const kinds[] = {"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(p->kind, kinds[i]))
			return true;
	return false;
}

static bool carries(const struct ports *all, const struct port *p, const struct port *of)
{
	const struct port *master;

	if (p->master == of->ifindex)
		return true;
	if (shows_below(of) && !of->foreign_link && of->link == p->ifindex)
		return true;
	/* A VRF is passed on the way out, and sees the packet as its own. */
	master = ifp_port_at(all, of->master);
	return master == p && !strcmp(p->kind, "vrf");
}

int ifp_ports_split(const struct ports *all, const struct ifpin_device *device,
	struct ports *ret_carriers, struct ports *ret_covered)
{
	const struct port *dev = device ? ifp_port_at(all, device->ifindex) : NULL;
	struct ports carriers = {}, covered = {};
	size_t before = 0;
	int r = 0;

	if (dev && strcmp(dev->name, device->name) != 0)
		dev = NULL; /* another one: it is to be covered */
	for (size_t i = 0; dev && i < all->n && !r; i++)
		if (carries(all, &all->list[i], dev))
			r = put(&carriers, &all->list[i]);
	/* What is under those: ports of a bond under a VLAN; what is above a VRF is not ours. */
	while (!r && before < carriers.n) {
		const struct port of = carriers.list[before++];

		for (size_t i = 0; strcmp(of.kind, "vrf") != 0 && i < all->n && !r; i++)
			if (&all->list[i] != dev && carries(all, &all->list[i], &of))
				r = put(&carriers, &all->list[i]);
	}
	for (size_t i = 0; i < all->n && !r; i++) {
		const struct port *p = &all->list[i];

		if (p != dev && p->type != ARPHRD_LOOPBACK && !ifp_port_at(&carriers, p->ifindex))
			r = put(&covered, p);
	}
	if (r) {
		ifp_ports_free(&carriers);
		ifp_ports_free(&covered);
		return r;
	}
	*ret_carriers = carriers;
	*ret_covered = covered;
	return 0;
}

int ifp_port_name_check(const char *name, struct ifpin_error *err)
{
	if (!strpbrk(name, "\"\\*"))
		return 0;
	return ifp_fail(err, -EINVAL,
		"nftables has no way to write the name of the interface %s: rename it", name);
}
