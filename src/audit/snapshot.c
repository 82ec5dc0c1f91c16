// SPDX-License-Identifier: MIT
/* Reads the host once, part by part; a part that cannot be read is a gap, not an end. */
#include "snapshot.h"

#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

void *ifp_vec_add(void **v, size_t *n, size_t size)
{
	char *element;

	if (ifp_grow(v, *n, size))
		return NULL;
	element = (char *)*v + size * (*n)++;
	memset(element, 0, size);
	return element;
}

/* ---- attributes ---- */

void ifp_attrs(const struct nlattr *first, size_t len, const struct nlattr **tb, size_t max)
{
	const struct nlattr *a = first;

	memset(tb, 0, (max + 1) * sizeof(*tb));
	while (mnl_attr_ok(a, (int)len)) {
		size_t step = MNL_ALIGN(a->nla_len);

		if (mnl_attr_get_type(a) <= max)
			tb[mnl_attr_get_type(a)] = a;
		/* The last one need not be padded. */
		if (step >= len)
			return;
		len -= step;
		a = mnl_attr_next(a);
	}
}

uint32_t ifp_attr_u32(const struct nlattr *a, uint32_t unknown)
{
	return a && mnl_attr_get_payload_len(a) >= 4 ? mnl_attr_get_u32(a) : unknown;
}

void ifp_attr_text(const struct nlattr *a, char *ret, size_t size)
{
	size_t len = a ? mnl_attr_get_payload_len(a) : 0;

	if (len >= size)
		len = size - 1;
	if (len)
		memcpy(ret, mnl_attr_get_payload(a), len);
	ret[len] = 0;
}

bool ifp_attr_addr(const struct nlattr *a, uint8_t ret[16])
{
	size_t len = a ? mnl_attr_get_payload_len(a) : 0;

	if (len != 4 && len != 16)
		return false;
	memset(ret, 0, 16);
	if (len == 4)
		ret[10] = ret[11] = 0xff;
	memcpy(ret + 16 - len, mnl_attr_get_payload(a), len);
	return true;
}

/* ---- dumps ---- */

struct nlmsghdr *ifp_request(void *buf, uint16_t type, uint16_t flags, const void *body, size_t len)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	memcpy(mnl_nlmsg_put_extra_header(nlh, len), body, len);
	return nlh;
}

int ifp_dump(
	struct mnl_socket *nl, struct nlmsghdr *req, ifp_nl_cb cb, struct snapshot *s, size_t *n)
{
	size_t before = *n;

	for (int i = 0; i < 5; i++) {
		int r = ifp_nl_ask(nl, req, cb, s);

		if (!r)
			return 0;
		*n = before;
		if (r != -EINTR) {
			ifp_nl_flush(nl);
			return r;
		}
	}
	return -EAGAIN;
}

void ifp_gap(struct snapshot *s, const char *what, int error)
{
	struct ifpin_audit_gap *g = vec_add(&s->gaps);

	if (g)
		*g = (struct ifpin_audit_gap){.what = what, .error = error};
	else
		s->error = -ENOMEM;
}

/* ---- settings of the host ---- */

int64_t ifp_sysctl(const char *path, int64_t unknown)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char buf[32];
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

	if (n <= 0)
		return unknown;
	buf[n] = 0;
	return strtoll(buf, NULL, 10);
}

/* Those of conf/all that count; a device's own come with the list of devices. */
static const struct {
	const char *name;
	int family, index;
} for_all[] = {
	{"ipv4/conf/all/rp_filter", AF_INET, IPV4_DEVCONF_RP_FILTER - 1},
	{"ipv4/conf/all/arp_ignore", AF_INET, IPV4_DEVCONF_ARP_IGNORE - 1},
	{"ipv4/conf/all/arp_announce", AF_INET, IPV4_DEVCONF_ARP_ANNOUNCE - 1},
	{"ipv4/conf/all/arp_filter", AF_INET, IPV4_DEVCONF_ARPFILTER - 1},
	{"ipv4/conf/all/arp_accept", AF_INET, IPV4_DEVCONF_ARP_ACCEPT - 1},
	{"ipv4/conf/all/proxy_arp", AF_INET, IPV4_DEVCONF_PROXY_ARP - 1},
	{"ipv4/conf/all/proxy_arp_pvlan", AF_INET, IPV4_DEVCONF_PROXY_ARP_PVLAN - 1},
	{"ipv4/conf/all/accept_local", AF_INET, IPV4_DEVCONF_ACCEPT_LOCAL - 1},
	{"ipv4/conf/all/route_localnet", AF_INET, IPV4_DEVCONF_ROUTE_LOCALNET - 1},
	{"ipv4/conf/all/accept_redirects", AF_INET, IPV4_DEVCONF_ACCEPT_REDIRECTS - 1},
	{"ipv4/conf/all/accept_source_route", AF_INET, IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE - 1},
	{"ipv4/conf/all/mc_forwarding", AF_INET, IPV4_DEVCONF_MC_FORWARDING - 1},
	{"ipv4/conf/all/bc_forwarding", AF_INET, IPV4_DEVCONF_BC_FORWARDING - 1},
	{"ipv6/conf/all/forwarding", AF_INET6, DEVCONF_FORWARDING},
	{"ipv6/conf/all/proxy_ndp", AF_INET6, DEVCONF_PROXY_NDP},
	{"ipv6/conf/all/seg6_enabled", AF_INET6, DEVCONF_SEG6_ENABLED},
};

static void read_settings(struct snapshot *s)
{
	char path[96];

	for (size_t i = 0; i < ARRAY_SIZE(for_all); i++) {
		int32_t *v = for_all[i].family == AF_INET ? s->all4 : s->all6;

		snprintf(path, sizeof(path), "/proc/sys/net/%s", for_all[i].name);
		v[for_all[i].index] = (int32_t)ifp_sysctl(path, 0);
	}
	if (access("/proc/sys/net/ipv4/ip_forward", R_OK))
		ifp_gap(s, "settings under /proc/sys/net", -errno);
	s->nonlocal4 = (int)ifp_sysctl("/proc/sys/net/ipv4/ip_nonlocal_bind", -1);
	s->nonlocal6 = (int)ifp_sysctl("/proc/sys/net/ipv6/ip_nonlocal_bind", -1);
	s->l3mdev_tcp = (int)ifp_sysctl("/proc/sys/net/ipv4/tcp_l3mdev_accept", -1);
	s->l3mdev_udp = (int)ifp_sysctl("/proc/sys/net/ipv4/udp_l3mdev_accept", -1);
	s->l3mdev_raw = (int)ifp_sysctl("/proc/sys/net/ipv4/raw_l3mdev_accept", -1);
	s->mptcp = (int)ifp_sysctl("/proc/sys/net/mptcp/enabled", -1);
	s->bpf_unprivileged = (int)ifp_sysctl("/proc/sys/kernel/unprivileged_bpf_disabled", -1);
	s->userns = ifp_sysctl("/proc/sys/user/max_user_namespaces", 0);
	s->userns_denied =
		!ifp_sysctl("/proc/sys/kernel/unprivileged_userns_clone", 1) ||
		ifp_sysctl("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0) > 0;
}

/* ---- all of it ---- */

static int compare_links(const void *x, const void *y)
{
	const struct alink *a = x, *b = y;

	return (a->dev.ifindex > b->dev.ifindex) - (a->dev.ifindex < b->dev.ifindex);
}

void ifp_links_sort(struct snapshot *s)
{
	if (s->links.n)
		qsort(s->links.v, s->links.n, sizeof(*s->links.v), compare_links);
}

const struct alink *ifp_link_at(const struct snapshot *s, uint32_t ifindex)
{
	struct alink key = {.dev.ifindex = ifindex};

	return s->links.n ? bsearch(&key, s->links.v, s->links.n, sizeof(key), compare_links)
			  : NULL;
}

const char *ifp_link_name(const struct snapshot *s, uint32_t ifindex)
{
	const struct alink *l = ifp_link_at(s, ifindex);

	return l ? l->dev.name : "no device";
}

/* -ENOENT and its kin: the kernel has not got it, so there is nothing to be judged. */
static void read_part(struct snapshot *s, const char *what, int r)
{
	if (r && r != -ENOENT && r != -EOPNOTSUPP && r != -EAFNOSUPPORT && r != -EPROTONOSUPPORT)
		ifp_gap(s, what, r);
}

int ifp_snapshot_read(struct snapshot *s)
{
	_cleanup_(ifp_nl_closep) struct mnl_socket *nl = NULL;
	int r = ifp_nl_open(NETLINK_ROUTE, &nl);

	if (r)
		return r;
	r = ifp_read_links(nl, s);
	if (r)
		return r;
	read_settings(s);
	read_part(s, "routes", ifp_read_routes(nl, s));
	/* net.ipv4.nexthop_compat_mode is 0: a route names an object, and no device. */
	if (s->hops_unseen)
		ifp_gap(s, "routes by nexthop objects", -EOPNOTSUPP);
	read_part(s, "policy rules", ifp_read_rules(nl, s));
	read_part(s, "neighbour proxies", ifp_read_proxies(nl, s));
	read_part(s, "filters of tc", ifp_read_filters(nl, s));
	read_part(s, "nftables", ifp_read_nft(s));
	read_part(s, "MPTCP endpoints", s->mptcp < 0 ? 0 : ifp_read_endpoints(s));
	read_part(s, "IPsec policies", ifp_read_policies(s));
	ifp_read_bpf(s);
	ifp_read_sockets(s);
	return s->error;
}

void ifp_snapshot_free(struct snapshot *s)
{
	free(s->links.v);
	free(s->addrs.v);
	free(s->routes.v);
	free(s->rules.v);
	free(s->proxies.v);
	free(s->endpoints.v);
	free(s->filters.v);
	free(s->nft.v);
	free(s->policies.v);
	free(s->bpf.v);
	free(s->socks.v);
	free(s->owners.v);
	free(s->gaps.v);
}
