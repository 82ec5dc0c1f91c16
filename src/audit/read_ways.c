// SPDX-License-Identifier: MIT
/* Ways beside the routes: MPTCP endpoints and IPsec policies. */
#include "snapshot.h"

#include "base/base.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/mptcp.h>
#include <linux/xfrm.h>
#include <string.h>
#include <sys/socket.h>

static int on_family(const struct nlmsghdr *nlh, void *data)
{
	const struct nlattr *tb[CTRL_ATTR_FAMILY_ID + 1];
	uint16_t *id = data;
	size_t skip = GENL_HDRLEN;

	if (mnl_nlmsg_get_payload_len(nlh) < skip)
		return 0;
	ifp_attrs(mnl_nlmsg_get_payload_offset(nlh, skip), mnl_nlmsg_get_payload_len(nlh) - skip,
		tb, CTRL_ATTR_FAMILY_ID);
	if (tb[CTRL_ATTR_FAMILY_ID] && mnl_attr_get_payload_len(tb[CTRL_ATTR_FAMILY_ID]) >= 2)
		*id = mnl_attr_get_u16(tb[CTRL_ATTR_FAMILY_ID]);
	return 0;
}

int ifp_on_endpoint(const struct nlmsghdr *nlh, void *data)
{
	const struct nlattr *top[MPTCP_PM_ATTR_ADDR + 1], *tb[MPTCP_PM_ADDR_ATTR_IF_IDX + 1];
	struct snapshot *s = data;
	struct aendpoint *e;
	size_t skip = GENL_HDRLEN;

	if (mnl_nlmsg_get_payload_len(nlh) < skip)
		return 0;
	ifp_attrs(mnl_nlmsg_get_payload_offset(nlh, skip), mnl_nlmsg_get_payload_len(nlh) - skip,
		top, MPTCP_PM_ATTR_ADDR);
	if (!top[MPTCP_PM_ATTR_ADDR])
		return 0;
	ifp_attrs(mnl_attr_get_payload(top[MPTCP_PM_ATTR_ADDR]),
		mnl_attr_get_payload_len(top[MPTCP_PM_ATTR_ADDR]), tb, MPTCP_PM_ADDR_ATTR_IF_IDX);
	e = vec_add(&s->endpoints);
	if (!e)
		return -ENOMEM;
	if (!ifp_attr_addr(tb[MPTCP_PM_ADDR_ATTR_ADDR4], e->addr))
		ifp_attr_addr(tb[MPTCP_PM_ADDR_ATTR_ADDR6], e->addr);
	if (tb[MPTCP_PM_ADDR_ATTR_ID] && mnl_attr_get_payload_len(tb[MPTCP_PM_ADDR_ATTR_ID]))
		e->id = mnl_attr_get_u8(tb[MPTCP_PM_ADDR_ATTR_ID]);
	e->flags = ifp_attr_u32(tb[MPTCP_PM_ADDR_ATTR_FLAGS], 0);
	e->ifindex = ifp_attr_u32(tb[MPTCP_PM_ADDR_ATTR_IF_IDX], 0);
	return 0;
}

int ifp_read_endpoints(struct snapshot *s)
{
	_cleanup_(ifp_nl_closep) struct mnl_socket *nl = NULL;
	struct genlmsghdr g = {.cmd = CTRL_CMD_GETFAMILY, .version = 1};
	struct nlmsghdr *nlh;
	uint16_t family = 0;
	char buf[128];
	int r = ifp_nl_open(NETLINK_GENERIC, &nl);

	if (r)
		return r;
	nlh = ifp_request(buf, GENL_ID_CTRL, 0, &g, sizeof(g));
	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, MPTCP_PM_NAME);
	r = ifp_nl_ask(nl, nlh, on_family, &family);
	if (r || !family)
		return r ?: -ENOENT;
	g = (struct genlmsghdr){.cmd = MPTCP_PM_CMD_GET_ADDR, .version = MPTCP_PM_VER};
	return ifp_dump(nl, ifp_request(buf, family, NLM_F_DUMP, &g, sizeof(g)), ifp_on_endpoint, s,
		&s->endpoints.n);
}

/* ---- IPsec ---- */

static void put_address(uint8_t ret[16], const xfrm_address_t *a, unsigned int family)
{
	if (family == AF_INET) {
		ret[10] = ret[11] = 0xff;
		memcpy(ret + 12, &a->a4, 4);
	} else {
		memcpy(ret, a, 16);
	}
}

static void read_template(const struct nlattr *a, struct apolicy *p)
{
	const struct xfrm_user_tmpl *t = mnl_attr_get_payload(a);
	size_t n = mnl_attr_get_payload_len(a) / sizeof(*t);

	p->n_templates = (uint32_t)n;
	if (!n)
		return;
	p->tunnel = t->mode == XFRM_MODE_TUNNEL;
	put_address(p->outer_src, &t->saddr, t->family);
	put_address(p->outer_dst, &t->id.daddr, t->family);
}

int ifp_on_policy(const struct nlmsghdr *nlh, void *data)
{
	struct xfrm_userpolicy_info info;
	size_t skip = MNL_ALIGN(sizeof(info));
	const struct nlattr *tb[XFRMA_TMPL + 1];
	struct snapshot *s = data;
	struct apolicy p = {};
	struct apolicy *new;

	if (nlh->nlmsg_type != XFRM_MSG_NEWPOLICY || mnl_nlmsg_get_payload_len(nlh) < sizeof(info))
		return 0;
	/* Netlink aligns to four bytes; this struct has numbers of eight. */
	memcpy(&info, mnl_nlmsg_get_payload(nlh), sizeof(info));
	if (info.action != XFRM_POLICY_ALLOW)
		return 0;
	p.family = (uint8_t)info.sel.family;
	p.dir = info.dir;
	p.index = info.index;
	p.ifindex = (uint32_t)info.sel.ifindex;
	put_address(p.src, &info.sel.saddr, p.family);
	put_address(p.dst, &info.sel.daddr, p.family);
	p.src_len = (uint8_t)(info.sel.prefixlen_s + (p.family == AF_INET ? 96 : 0));
	p.dst_len = (uint8_t)(info.sel.prefixlen_d + (p.family == AF_INET ? 96 : 0));
	if (p.src_len > 128 || p.dst_len > 128)
		return 0;
	if (mnl_nlmsg_get_payload_len(nlh) > skip) {
		ifp_attrs(mnl_nlmsg_get_payload_offset(nlh, skip),
			mnl_nlmsg_get_payload_len(nlh) - skip, tb, XFRMA_TMPL);
		if (tb[XFRMA_TMPL])
			read_template(tb[XFRMA_TMPL], &p);
	}
	new = vec_add(&s->policies);
	if (!new)
		return -ENOMEM;
	*new = p;
	return 0;
}

int ifp_read_policies(struct snapshot *s)
{
	_cleanup_(ifp_nl_closep) struct mnl_socket *nl = NULL;
	struct xfrm_userpolicy_id id = {};
	char buf[256];
	int r = ifp_nl_open(NETLINK_XFRM, &nl);

	if (r)
		return r;
	return ifp_dump(nl, ifp_request(buf, XFRM_MSG_GETPOLICY, NLM_F_DUMP, &id, sizeof(id)),
		ifp_on_policy, s, &s->policies.n);
}
