// SPDX-License-Identifier: MIT
/* What the attempts need to know of a host: its devices, addresses, marks, and the pin. */
#include "here.h"

#include "audit/snapshot.h"

#include <ifpin/confine.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

/* Devices that wrap packets. Others of type Ethernet change nothing but a tag or an address. */
static const char *const wrapping[] = {
	"vxlan", "geneve", "gretap", "erspan", "ip6gretap", "ip6erspan", "bareudp", "l2tpeth"};

static bool wraps(const struct ifpin_device *d)
{
	if (d->type != ARPHRD_ETHER)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(wrapping); i++)
		if (!strcmp(d->kind, wrapping[i]))
			return true;
	return false;
}

/* The first address of a device. IPv6: one that routers would let pass. */
static void address_of(const struct snapshot *s, uint32_t ifindex, int family, char *ret)
{
	for (size_t i = 0; i < s->addrs.n; i++) {
		const struct ifp_local_addr *a = &s->addrs.v[i];
		bool four = ifp_addr_is_v4(a->addr);

		if (a->ifindex != ifindex || !a->usable || four != (family == AF_INET) ||
			IN6_IS_ADDR_LINKLOCAL((const struct in6_addr *)a->addr))
			continue;
		ifp_addr_text(a->addr, ret);
		return;
	}
}

/* Whether an address is one for documentation: RFC 5737, RFC 3849. */
static bool documents(const uint8_t a[16])
{
	static const uint8_t nets[][16] = {{[10] = 0xff, 0xff, 192, 0, 2},
		{[10] = 0xff, 0xff, 198, 51, 100}, {[10] = 0xff, 0xff, 203, 0, 113}};
	static const uint8_t net6[] = {0x20, 0x01, 0x0d, 0xb8};

	for (size_t i = 0; i < ARRAY_SIZE(nets); i++)
		if (!memcmp(a, nets[i], 15))
			return true;
	return !memcmp(a, net6, sizeof(net6));
}

/* Where these are the network's own, neither a destination would be harmless nor a question ours.
 */
static int check_addresses(const struct snapshot *s, struct ifpin_error *err)
{
	char text[INET6_ADDRSTRLEN];

	for (size_t i = 0; i < s->addrs.n; i++)
		if (documents(s->addrs.v[i].addr))
			return ifp_fail(err, -EADDRINUSE,
				"this host has the address %s itself: what is for documentation is in use "
				"here, and attempts could not be told from other traffic",
				ifp_addr_text(s->addrs.v[i].addr, text));
	return 0;
}

/* Whether one device's frames leave by another one: it stands on it, or is made of it. */
static bool carries(const struct snapshot *s, uint32_t upper, uint32_t lower, int depth)
{
	const struct alink *u = ifp_link_at(s, upper);

	if (!u || depth > 8)
		return false;
	for (size_t i = 0; i < s->links.n; i++) {
		const struct alink *l = &s->links.v[i];
		uint32_t index = l->dev.ifindex;
		/* A veth's other end is not what it stands on. */
		bool on = (u->lower == index && strcmp(u->dev.kind, "veth") != 0) ||
			  u->outer == index || l->dev.master == upper;

		if (on && index != upper && (index == lower || carries(s, index, lower, depth + 1)))
			return true;
	}
	return false;
}

/*
 * What a VRF is given goes on to one of its members, or nowhere, and is counted there. Whoever is
 * confined to a VRF may use its members.
 */
static bool excused(const struct here *h, const struct ifpin_device *d)
{
	return !strcmp(d->kind, "vrf") ||
	       (!strcmp(h->self.dev.kind, "vrf") && d->master == h->self.dev.ifindex);
}

static int add_other(struct here *h, const struct snapshot *s, const struct alink *l)
{
	struct here_device *d = &h->others[h->n_others];

	if (l->dev.ifindex == h->self.dev.ifindex || l->flags & IFF_LOOPBACK)
		return 0;
	if (!(l->flags & IFF_UP)) {
		memcpy(h->down[h->n_down++], l->dev.name, IF_NAMESIZE);
		return 0;
	}
	*d = (struct here_device){.dev = l->dev,
		.below = carries(s, h->self.dev.ifindex, l->dev.ifindex, 0),
		.excused = excused(h, &l->dev),
		.counts = calloc(h->known.n, sizeof(*d->counts))};
	if (!d->counts)
		return -ENOMEM;
	address_of(s, l->dev.ifindex, AF_INET, d->addr4);
	h->n_others++;
	return 0;
}

static int read_devices(struct here *h, const struct snapshot *s, struct ifpin_error *err)
{
	int r = 0;

	h->others = calloc(s->links.n, sizeof(*h->others));
	h->down = calloc(s->links.n, sizeof(*h->down));
	h->self.counts = calloc(h->known.n, sizeof(*h->self.counts));
	h->first = calloc(h->known.n, sizeof(*h->first));
	if (!h->others || !h->down || !h->self.counts || !h->first)
		r = -ENOMEM;
	for (size_t i = 0; i < s->links.n && !r; i++)
		r = add_other(h, s, &s->links.v[i]);
	if (r)
		return ifp_fail(err, r, "out of memory");
	h->n_named = h->n_others;
	if (!h->n_others)
		return ifp_fail(err, -ENODEV,
			"no other device is switched on here: there is nothing that %s's traffic could "
			"leave by",
			h->self.dev.name);
	address_of(s, h->self.dev.ifindex, AF_INET, h->in4);
	address_of(s, h->self.dev.ifindex, AF_INET6, h->in6);
	h->tunnel = wraps(&h->self.dev);
	return 0;
}

/* Marks that rules of the host select by. Return: 0; -ENOMEM. */
static int read_marks(struct here *h, const struct snapshot *s)
{
	for (size_t i = 0; i < s->rules.n; i++) {
		const struct arule *r = &s->rules.v[i];
		bool known = !r->by_mark || r->family != AF_INET;

		for (size_t k = 0; k < h->n_marks && !known; k++)
			known = h->marks[k] == r->mark;
		if (known)
			continue;
		if (ifp_grow(&h->marks, h->n_marks, sizeof(*h->marks)))
			return -ENOMEM;
		h->marks[h->n_marks++] = r->mark;
	}
	return 0;
}

/* Where routing leads what is for nobody: the device that forgotten traffic leaves by. */
static void find_main(struct here *h)
{
	uint8_t dst[16];
	uint32_t oif = 0;
	struct env e = {};

	ifp_marks_fill(&h->known, 0, &e);
	if (ifp_parse_addr(e.at.far4, dst) || ifp_route_lookup(dst, NULL, 0, &oif))
		return;
	for (size_t i = 0; i < h->n_others; i++)
		if (h->others[i].dev.ifindex == oif)
			h->main = i;
}

static int find_pin(struct here *h, struct ifpin_error *err)
{
	_cleanup_free_ struct ifpin_pin_info *pins = NULL;
	size_t n = 0;
	int r = ifpin_pins(&pins, &n, err);

	if (r)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(pins[i].name, h->opts->pin) != 0)
			continue;
		if (pins[i].state != IFPIN_PIN_HELD)
			return ifp_fail(err, -ENOTCONN, "the pin \"%s\": %s", pins[i].name,
				ifpin_pin_state_text(pins[i].state));
		memcpy(h->pin_device, pins[i].device.name, sizeof(h->pin_device));
		h->cgroup = ifpin_cgroup_open(pins[i].cgroup, false, err);
		return h->cgroup < 0 ? h->cgroup : 0;
	}
	return ifp_fail(err, -ENOENT, "there is no pin \"%s\" (see ifpin list)", h->opts->pin);
}

int ifp_here_read(struct here *h, struct ifpin_error *err)
{
	_cleanup_(ifp_nl_closep) struct mnl_socket *nl = NULL;
	_cleanup_(ifp_snapshot_free) struct snapshot s = {};
	int r = ifpin_device_resolve(h->opts->here, &h->self.dev, err);

	if (r)
		return r;
	if (!strcmp(h->self.dev.name, "lo"))
		return ifp_fail(
			err, -EINVAL, "lo leads nowhere: no attempt would send anything by it");
	if (!(h->self.dev.flags & IFPIN_DEVICE_UP))
		return ifp_fail(err, -ENETDOWN, "%s is switched off: every attempt would fail",
			h->self.dev.name);
	r = ifp_nl_open(NETLINK_ROUTE, &nl);
	if (!r)
		r = ifp_read_links(nl, &s);
	if (!r)
		r = ifp_read_rules(nl, &s);
	if (r)
		return ifp_fail_errno(err, r, "cannot read the devices and rules of the host");
	r = check_addresses(&s, err);
	if (!r)
		r = read_devices(h, &s, err);
	if (r)
		return r;
	if (read_marks(h, &s))
		return ifp_fail(err, -ENOMEM, "out of memory");
	find_main(h);
	return h->opts->pin ? find_pin(h, err) : 0;
}

struct gateways {
	struct here *h;
	struct snapshot s;
};

static bool is_gateway(const struct snapshot *s, uint32_t ifindex, const uint8_t addr[16])
{
	for (size_t i = 0; i < s->routes.n; i++)
		if (s->routes.v[i].has_gateway && s->routes.v[i].ifindex == ifindex &&
			!memcmp(s->routes.v[i].gateway, addr, 16))
			return true;
	return false;
}

static int on_neighbour(const struct nlmsghdr *nlh, void *data)
{
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[NDA_DST + 1];
	struct gateways *g = data;
	uint8_t addr[16];

	if (nlh->nlmsg_type != RTM_NEWNEIGH || mnl_nlmsg_get_payload_len(nlh) < sizeof(*ndm) ||
		!(ndm->ndm_state & (NUD_INCOMPLETE | NUD_FAILED)))
		return 0;
	ifp_attrs(mnl_nlmsg_get_payload_offset(nlh, sizeof(*ndm)),
		mnl_nlmsg_get_payload_len(nlh) - MNL_ALIGN(sizeof(*ndm)), tb, NDA_DST);
	if (!ifp_attr_addr(tb[NDA_DST], addr) ||
		!is_gateway(&g->s, (uint32_t)ndm->ndm_ifindex, addr))
		return 0;
	for (size_t i = 0; i < g->h->n_others; i++)
		if (g->h->others[i].dev.ifindex == (uint32_t)ndm->ndm_ifindex &&
			!g->h->others[i].unsure)
			g->h->others[i].unsure =
				"whose gateway does not answer: of what leaks to that, only the "
				"question for the gateway leaves, which others ask, too";
	return 0;
}

static int doubt_gateways(struct here *h, struct mnl_socket *nl)
{
	struct gateways g = {.h = h};
	struct ndmsg ndm = {.ndm_family = AF_UNSPEC};
	char buf[128];
	int r = ifp_read_routes(nl, &g.s);

	if (!r)
		r = ifp_nl_ask(nl, ifp_request(buf, RTM_GETNEIGH, NLM_F_DUMP, &ndm, sizeof(ndm)),
			on_neighbour, &g);
	ifp_snapshot_free(&g.s);
	/* What changed under the dump is of no matter. */
	return r == -EINTR ? 0 : r;
}

/* What is given to such a device is dropped before anybody who listens. */
static const char *why_unsure(const struct alink *l)
{
	if (!l)
		return "which is gone by now";
	if (!(l->dev.flags & IFPIN_DEVICE_UP))
		return "which was switched off meanwhile";
	return l->dev.flags & IFPIN_DEVICE_CARRIER ? NULL : "which has no carrier";
}

static int doubt_devices(struct here *h, struct mnl_socket *nl)
{
	_cleanup_(ifp_snapshot_free) struct snapshot s = {};
	const struct alink *self;
	int r = ifp_read_links(nl, &s);

	if (r)
		return r;
	/* Those that came later have been named by no attempt. */
	for (size_t i = 0; i < h->n_named; i++)
		if (!h->others[i].excused)
			h->others[i].unsure = why_unsure(ifp_link_at(&s, h->others[i].dev.ifindex));
	self = ifp_link_at(&s, h->self.dev.ifindex);
	return self && self->dev.flags & IFPIN_DEVICE_UP ? 0 : -ENETDOWN;
}

int ifp_here_doubt(struct here *h)
{
	_cleanup_(ifp_nl_closep) struct mnl_socket *nl = NULL;
	int r = ifp_nl_open(NETLINK_ROUTE, &nl);

	return r ?: doubt_devices(h, nl) ?: doubt_gateways(h, nl);
}

void ifp_here_free(struct here *h)
{
	for (size_t i = 0; i < h->n_others; i++)
		free(h->others[i].counts);
	free(h->others);
	free(h->down);
	free(h->marks);
	free(h->against);
	free(h->first);
	free(h->self.counts);
	free(h->tried);
	if (h->cgroup >= 0)
		close(h->cgroup);
	if (h->capture >= 0)
		close(h->capture);
	if (h->lock >= 0)
		close(h->lock);
	ifp_lab_end(&h->helpers);
}

void ifp_here_place(
	const struct here *h, const struct here_device *other, uint32_t mark, struct env *e)
{
	struct place *at = &e->at;

	memcpy(at->in, h->self.dev.name, sizeof(at->in));
	memcpy(at->in4, h->in4, sizeof(at->in4));
	memcpy(at->in6, h->in6, sizeof(at->in6));
	memcpy(at->out, other->dev.name, sizeof(at->out));
	memcpy(at->out4, other->addr4, sizeof(at->out4));
	/* From the device to itself: no switch forwards that, no neighbour takes it. */
	if (other->dev.mac_len == sizeof(at->out_mac)) {
		memcpy(at->out_mac, other->dev.mac, sizeof(at->out_mac));
		memcpy(at->peer_mac, other->dev.mac, sizeof(at->peer_mac));
	}
	at->mark = mark;
	at->hops = 1;
	e->in_index = h->self.dev.ifindex;
	e->out_index = other->dev.ifindex;
	e->inherited_fd = -1;
	e->giver = h->helpers.giver;
	e->giver_fd = h->helpers.giver_fd;
	e->poor = h->helpers.poor;
	e->ns_host = e->ns_in = e->ns_out = -1;
}
