// SPDX-License-Identifier: MIT
/* Devices with their settings, and addresses: two dumps for all of them. */
#include "snapshot.h"

#include "base/base.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/if_tunnel.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/rtnetlink.h>
#include <string.h>

/* No counters, which are most of what a device's message is. */
#define SKIP_STATS (1 << 3)

static bool read_numbers(const struct nlattr *a, int32_t *ret, size_t room)
{
	size_t n = a ? mnl_attr_get_payload_len(a) / sizeof(*ret) : 0;

	memcpy(ret, n ? mnl_attr_get_payload(a) : ret, (n < room ? n : room) * sizeof(*ret));
	return n;
}

static void read_settings(const struct nlattr *spec, struct alink *l)
{
	const struct nlattr *family;

	mnl_attr_for_each_nested (family, spec) {
		const struct nlattr *tb[IFLA_INET6_CONF + 1];

		ifp_attrs(mnl_attr_get_payload(family), mnl_attr_get_payload_len(family), tb,
			IFLA_INET6_CONF);
		if (mnl_attr_get_type(family) == AF_INET)
			l->has4 = read_numbers(tb[IFLA_INET_CONF], l->conf4, CONF4);
		if (mnl_attr_get_type(family) == AF_INET6)
			l->has6 = read_numbers(tb[IFLA_INET6_CONF], l->conf6, CONF6);
	}
}

/* The device that a tunnel's packets are tied to: of VXLAN in its own data, of others IFLA_LINK. */
static void read_info(const struct nlattr *info, struct alink *l)
{
	const struct nlattr *tb[IFLA_INFO_DATA + 1], *data[IFLA_VXLAN_LINK + 1];

	ifp_attrs(mnl_attr_get_payload(info), mnl_attr_get_payload_len(info), tb, IFLA_INFO_DATA);
	if (!tb[IFLA_INFO_DATA] || strcmp(l->dev.kind, "vxlan") != 0)
		return;
	ifp_attrs(mnl_attr_get_payload(tb[IFLA_INFO_DATA]),
		mnl_attr_get_payload_len(tb[IFLA_INFO_DATA]), data, IFLA_VXLAN_LINK);
	l->outer = ifp_attr_u32(data[IFLA_VXLAN_LINK], 0);
}

static void read_xdp(const struct nlattr *xdp, struct alink *l)
{
	const struct nlattr *tb[IFLA_XDP_HW_PROG_ID + 1];

	ifp_attrs(
		mnl_attr_get_payload(xdp), mnl_attr_get_payload_len(xdp), tb, IFLA_XDP_HW_PROG_ID);
	if (tb[IFLA_XDP_ATTACHED] && mnl_attr_get_payload_len(tb[IFLA_XDP_ATTACHED]))
		l->xdp_mode = mnl_attr_get_u8(tb[IFLA_XDP_ATTACHED]);
	l->xdp_prog = ifp_attr_u32(tb[IFLA_XDP_PROG_ID], 0);
}

int ifp_on_link(const struct nlmsghdr *nlh, void *data)
{
	const struct nlattr *tb[IFLA_XDP + 1];
	struct snapshot *s = data;
	struct ifpin_device dev;
	struct alink *l;

	if (ifp_device_parse(nlh, &dev))
		return 0; /* wireless extensions; what concerns ports of a bridge */
	l = vec_add(&s->links);
	if (!l)
		return -ENOMEM;
	l->dev = dev;
	l->flags = ((const struct ifinfomsg *)mnl_nlmsg_get_payload(nlh))->ifi_flags;
	ifp_attrs(mnl_nlmsg_get_payload_offset(nlh, sizeof(struct ifinfomsg)),
		mnl_nlmsg_get_payload_len(nlh) - MNL_ALIGN(sizeof(struct ifinfomsg)), tb, IFLA_XDP);
	/* The index would be one of the other namespace. */
	l->lower_elsewhere = tb[IFLA_LINK_NETNSID];
	l->lower = l->lower_elsewhere ? 0 : ifp_attr_u32(tb[IFLA_LINK], 0);
	l->promiscuity = ifp_attr_u32(tb[IFLA_PROMISCUITY], 0);
	if (tb[IFLA_AF_SPEC])
		read_settings(tb[IFLA_AF_SPEC], l);
	if (tb[IFLA_LINKINFO])
		read_info(tb[IFLA_LINKINFO], l);
	if (tb[IFLA_XDP])
		read_xdp(tb[IFLA_XDP], l);
	return 0;
}

static int on_address(const struct nlmsghdr *nlh, void *data)
{
	struct snapshot *s = data;
	struct ifp_local_addr a, *new;

	if (ifp_addr_parse(nlh, &a))
		return 0;
	new = vec_add(&s->addrs);
	if (!new)
		return -ENOMEM;
	*new = a;
	return 0;
}

int ifp_read_links(struct mnl_socket *nl, struct snapshot *s)
{
	struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC};
	struct ifaddrmsg ifa = {.ifa_family = AF_UNSPEC};
	char buf[128];
	struct nlmsghdr *nlh = ifp_request(buf, RTM_GETLINK, NLM_F_DUMP, &ifi, sizeof(ifi));
	int r;

	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, SKIP_STATS);
	r = ifp_dump(nl, nlh, ifp_on_link, s, &s->links.n);
	if (r)
		return r;
	ifp_links_sort(s);
	nlh = ifp_request(buf, RTM_GETADDR, NLM_F_DUMP, &ifa, sizeof(ifa));
	return ifp_dump(nl, nlh, on_address, s, &s->addrs.n);
}
