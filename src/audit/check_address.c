// SPDX-License-Identifier: MIT
/* Addresses that several devices have, or claim. */
#include "audit.h"

#include <net/if_arp.h>
#include <string.h>

static void cut(uint8_t addr[16], unsigned int len)
{
	for (unsigned int i = len; i < 128; i++)
		addr[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
}

static int compare_nets(const void *x, const void *y)
{
	const struct net *a = x, *b = y;

	return memcmp(a->addr, b->addr, 16) ?: (int)a->len - (int)b->len;
}

static bool is_link_local(const uint8_t a[16])
{
	return (a[0] == 0xfe && (a[1] & 0xc0) == 0x80) ||
	       (ifp_addr_is_v4(a) && a[12] == 169 && a[13] == 254);
}

bool ifp_nets_collect(struct judge *j, struct nets *ret)
{
	*ret = (struct nets){};
	for (size_t i = 0; i < j->s->addrs.n; i++) {
		const struct ifp_local_addr *a = &j->s->addrs.v[i];
		const struct alink *l = ifp_link_at(j->s, a->ifindex);
		struct net *n;

		if (!l || ifp_is_loopback(l) || is_link_local(a->addr))
			continue;
		n = vec_add(&ret->v);
		if (!n) {
			j->no_memory = true;
			ifp_nets_free(ret);
			return false;
		}
		/* On a point-to-point link the network is the peer's. */
		memcpy(n->addr, a->peer, 16);
		memcpy(n->host, a->addr, 16);
		cut(n->addr, a->prefixlen);
		n->len = a->prefixlen;
		n->ifindex = a->ifindex;
		ret->lengths[a->prefixlen] = true;
	}
	if (ret->v.n)
		qsort(ret->v.v, ret->v.n, sizeof(*ret->v.v), compare_nets);
	return true;
}

const struct net *ifp_nets_find(const struct nets *n, const uint8_t addr[16], unsigned int len)
{
	struct net key = {.len = (uint8_t)len};
	const struct net *found;

	memcpy(key.addr, addr, 16);
	cut(key.addr, len);
	found = n->v.n ? bsearch(&key, n->v.v, n->v.n, sizeof(key), compare_nets) : NULL;
	while (found && found > n->v.v && !compare_nets(found - 1, &key))
		found--;
	return found;
}

const struct net *ifp_nets_of(const struct nets *n, const uint8_t addr[16])
{
	for (unsigned int len = 0; len <= 128; len++) {
		const struct net *first = n->lengths[len] ? ifp_nets_find(n, addr, len) : NULL;

		for (const struct net *at = first;
			at && at < n->v.v + n->v.n && !compare_nets(at, first); at++)
			if (!memcmp(at->host, addr, 16))
				return at;
	}
	return NULL;
}

/* Of two networks that overlap, the longer is within the shorter and stands behind it. */
static void judge_overlap(struct judge *j)
{
	struct nets nets;
	struct mend m;

	if (!ifp_nets_collect(j, &nets))
		return;
	for (size_t i = 0; i < nets.v.n; i++)
		for (size_t k = i + 1; k < nets.v.n; k++) {
			const struct net *a = &nets.v.v[i], *b = &nets.v.v[k];
			const struct alink *la = ifp_link_at(j->s, a->ifindex),
					   *lb = ifp_link_at(j->s, b->ifindex);

			if (!ifp_prefix_has(a->addr, a->len, b->addr))
				break;
			if (la == lb || b->len == 128 || (j->dev && la != j->dev && lb != j->dev))
				continue;
			/* Of the two, that is taken away which is not the one that is judged. */
			if (lb == j->dev) {
				const struct net *t = a;

				a = b;
				b = t;
			}
			snprintf(m.s, sizeof(m.s), "ip addr del %s/%u dev %s",
				ifp_address_text(b->host).s,
				b->len - (ifp_addr_is_v4(b->host) ? 96u : 0u),
				ifp_quote(ifp_link_name(j->s, b->ifindex)).s);
			ifp_found(j, ifp_link_at(j->s, a->ifindex), m.s,
				"%s of %s overlaps with %s of %s",
				ifp_prefix_text(a->addr, a->len).s, ifp_link_name(j->s, a->ifindex),
				ifp_prefix_text(b->addr, b->len).s,
				ifp_link_name(j->s, b->ifindex));
			break; /* a device with many would be told with each */
		}
	ifp_nets_free(&nets);
}

static int compare_hosts(const void *x, const void *y)
{
	const struct net *a = x, *b = y;

	return memcmp(a->host, b->host, 16)
		       ?: (a->ifindex > b->ifindex) - (a->ifindex < b->ifindex);
}

static void judge_twice(struct judge *j)
{
	struct nets nets;
	struct mend m;

	if (!ifp_nets_collect(j, &nets))
		return;
	if (nets.v.n)
		qsort(nets.v.v, nets.v.n, sizeof(*nets.v.v), compare_hosts);
	for (size_t i = 1; i < nets.v.n; i++) {
		const struct net *a = &nets.v.v[i - 1], *b = &nets.v.v[i];
		const struct alink *la = ifp_link_at(j->s, a->ifindex),
				   *lb = ifp_link_at(j->s, b->ifindex);

		if (la == lb || memcmp(a->host, b->host, 16) != 0 ||
			(j->dev && la != j->dev && lb != j->dev))
			continue;
		if (lb == j->dev) {
			lb = la;
			la = j->dev;
			b = a;
		}
		snprintf(m.s, sizeof(m.s), "ip addr del %s/%u dev %s", ifp_address_text(b->host).s,
			b->len - (ifp_addr_is_v4(b->host) ? 96u : 0u), ifp_quote(lb->dev.name).s);
		ifp_found(j, la, m.s, "%s is an address of %s and of %s",
			ifp_address_text(b->host).s, la->dev.name, lb->dev.name);
	}
	ifp_nets_free(&nets);
}

/* ---- MAC addresses ---- */

static int compare_macs(const void *x, const void *y)
{
	const struct alink *a = *(const struct alink *const *)x,
			   *b = *(const struct alink *const *)y;

	return memcmp(a->dev.mac, b->dev.mac, sizeof(a->dev.mac))
		       ?: (a->dev.ifindex > b->dev.ifindex) - (a->dev.ifindex < b->dev.ifindex);
}

/* A VLAN has the address of what it stands on, a bridge or bond that of a port. */
static bool share_by_nature(const struct alink *a, const struct alink *b)
{
	uint32_t x = a->dev.ifindex, y = b->dev.ifindex;

	return a->lower == y || b->lower == x || a->dev.master == y || b->dev.master == x ||
	       (a->dev.master && a->dev.master == b->dev.master) ||
	       (a->lower && a->lower == b->lower);
}

static void judge_mac(struct judge *j)
{
	static const uint8_t zero[IFPIN_MAC_SIZE];
	VEC(const struct alink *) v = {};
	struct mend m;

	for_each_link (l, j->s) {
		const struct alink **p;

		if (l->dev.type != ARPHRD_ETHER || !memcmp(l->dev.mac, zero, sizeof(zero)))
			continue;
		p = vec_add(&v);
		if (!p) {
			j->no_memory = true;
			break;
		}
		*p = l;
	}
	if (v.n)
		qsort(v.v, v.n, sizeof(*v.v), compare_macs);
	for (size_t i = 1; i < v.n; i++) {
		const struct alink *a = v.v[i - 1], *b = v.v[i];

		if (memcmp(a->dev.mac, b->dev.mac, sizeof(a->dev.mac)) != 0 ||
			share_by_nature(a, b) || (j->dev && a != j->dev && b != j->dev))
			continue;
		if (b == j->dev) {
			b = a;
			a = j->dev;
		}
		/* Locally administered, and as good as unique by its index. */
		snprintf(m.s, sizeof(m.s), "ip link set dev %s address 02:ff:%02x:%02x:%02x:%02x",
			ifp_quote(b->dev.name).s, b->dev.ifindex >> 24 & 0xff,
			b->dev.ifindex >> 16 & 0xff, b->dev.ifindex >> 8 & 0xff,
			b->dev.ifindex & 0xff);
		ifp_found(
			j, a, m.s, "%s and %s have the same MAC address", a->dev.name, b->dev.name);
	}
	free(v.v);
}

static const struct check checks[] = {
	{{"overlap", "address", IFPIN_CRITICAL, "networks of two devices overlap",
		 "An address that is in both is reached by whichever route is longer or came "
		 "first: control traffic leaves by the other device."},
		judge_overlap, NULL},
	{{"address-twice", "address", IFPIN_WARNING, "two devices have the same address",
		 "The host answers for the address on both: who is behind the other device "
		 "reaches the services that were meant for this one."},
		judge_twice, NULL},
	{{"mac-twice", "address", IFPIN_NOTICE, "two devices have the same MAC address",
		 "Behind one switch, frames for one come in by the other, and ifpin cannot tell "
		 "them apart by it."},
		judge_mac, NULL},
};

const struct check_class ifp_checks_address = {checks, ARRAY_SIZE(checks)};
