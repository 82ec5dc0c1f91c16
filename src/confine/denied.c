// SPDX-License-Identifier: MIT
/*
 * An event of the programs in words. Its bytes are those of a packet or of an option value that a
 * confined program has chosen: nothing in it is believed but by the length that is given for it.
 */
#include "denied.h"
#include "internal.h"

#include "base/base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#define N_REASONS ARRAY_SIZE(reasons)
#define NOWHERE SIZE_MAX

static const struct {
	const char *name, *text;
} reasons[] = {
#define X(id, name, text) {name, text},
	IFPIN_REASONS(X)
#undef X
};

const char *ifp_reason_name(uint32_t reason)
{
	return reason < N_REASONS ? reasons[reason].name : NULL;
}

const char *ifp_reason_text(uint32_t reason)
{
	return reason < N_REASONS ? reasons[reason].text : NULL;
}

int ifp_denied_parse(const void *data, size_t len, struct ifpin_denial_event *ret)
{
	struct ifpin_denial_event ev;

	if (len != sizeof(ev))
		return -EBADMSG;
	memcpy(&ev, data, sizeof(ev));
	if (ev.reason >= N_REASONS)
		return -EBADMSG;
	*ret = ev;
	return 0;
}

/* ---- a clause ---- */

struct clause {
	const struct ifpin_denial_event *ev;
	ifp_name_of_fn *name_of;
	char *to;
	size_t room;
	uint32_t named;		/* the device that an option value names; 0: none */
	char name[IF_NAMESIZE]; /* where it does so by name */
};

static void _printf_(2, 3) put(struct clause *c, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(c->to, c->room, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n >= c->room)
		n = (int)c->room - 1;
	c->to += n;
	c->room -= (size_t)n;
}

static void put_device(struct clause *c, uint32_t ifindex)
{
	char name[IF_NAMESIZE] = "";

	c->name_of(ifindex, name);
	if (*name)
		put(c, "%s", name);
	else
		put(c, "index:%u", ifindex);
}

/* A text of the program's own: what is not plain becomes a '?'. */
static void put_text(struct clause *c, const uint8_t *text, size_t len)
{
	for (size_t i = 0; i < len && text[i]; i++)
		put(c, "%c", text[i] < 0x20 || text[i] >= 0x7f ? '?' : text[i]);
}

/* What the program gave of its option value, as far as it is in the event. */
static size_t given(const struct ifpin_denial_event *ev)
{
	/* The length is an int of the caller's. */
	if (ev->optlen > INT32_MAX)
		return 0;
	return ev->optlen < sizeof(ev->optval) ? ev->optlen : sizeof(ev->optval);
}

/* A number of the option value. Return: whether the program gave so much. */
static bool number(const struct clause *c, size_t at, uint32_t *ret)
{
	if (at > given(c->ev) || given(c->ev) - at < sizeof(*ret))
		return false;
	memcpy(ret, c->ev->optval + at, sizeof(*ret));
	return true;
}

static void put_group(struct clause *c, int family, size_t at)
{
	size_t len = family == AF_INET ? 4 : 16;
	char text[INET6_ADDRSTRLEN];

	if (at + len <= given(c->ev) && inet_ntop(family, c->ev->optval + at, text, sizeof(text)))
		put(c, " %s", text);
	else
		put(c, " a group");
}

/* ---- options ---- */

enum value {
	VALUE_NAME,	  /* of a device */
	VALUE_INDEX,	  /* of a device */
	VALUE_INDEX_BE,	  /* the same in network order */
	VALUE_MREQN,	  /* struct in_addr, ip_mreq or ip_mreqn */
	VALUE_PKTINFO6,	  /* struct in6_pktinfo */
	VALUE_JOIN4,	  /* struct ip_mreq or ip_mreqn */
	VALUE_JOIN4_FROM, /* struct ip_mreq_source */
	VALUE_JOIN6,	  /* struct ipv6_mreq */
	VALUE_JOIN_GROUP, /* struct group_req, group_source_req */
	VALUE_TEXT,
	VALUE_NONE,
};

static const struct option {
	uint32_t level, number;
	enum value value;
	const char *name;
} options[] = {
	{SOL_SOCKET, SO_BINDTODEVICE, VALUE_NAME, "SO_BINDTODEVICE"},
	{SOL_SOCKET, 62, VALUE_INDEX, "SO_BINDTOIFINDEX"},
	{IPPROTO_IP, IP_MULTICAST_IF, VALUE_MREQN, "IP_MULTICAST_IF"},
	{IPPROTO_IP, IP_UNICAST_IF, VALUE_INDEX_BE, "IP_UNICAST_IF"},
	{IPPROTO_IP, IP_HDRINCL, VALUE_NONE, "IP_HDRINCL"},
	{IPPROTO_IP, IP_FREEBIND, VALUE_NONE, "IP_FREEBIND"},
	{IPPROTO_IP, IP_TRANSPARENT, VALUE_NONE, "IP_TRANSPARENT"},
	{IPPROTO_IP, IP_ADD_MEMBERSHIP, VALUE_JOIN4, "IP_ADD_MEMBERSHIP"},
	{IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, VALUE_JOIN4_FROM, "IP_ADD_SOURCE_MEMBERSHIP"},
	{IPPROTO_IP, IP_BLOCK_SOURCE, VALUE_JOIN4_FROM, "IP_BLOCK_SOURCE"},
	{IPPROTO_IP, IP_UNBLOCK_SOURCE, VALUE_JOIN4_FROM, "IP_UNBLOCK_SOURCE"},
	{IPPROTO_IP, MCAST_JOIN_GROUP, VALUE_JOIN_GROUP, "MCAST_JOIN_GROUP"},
	{IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, VALUE_JOIN_GROUP, "MCAST_JOIN_SOURCE_GROUP"},
	{IPPROTO_IP, MCAST_BLOCK_SOURCE, VALUE_JOIN_GROUP, "MCAST_BLOCK_SOURCE"},
	{IPPROTO_IP, MCAST_UNBLOCK_SOURCE, VALUE_JOIN_GROUP, "MCAST_UNBLOCK_SOURCE"},
	{IPPROTO_IPV6, IPV6_MULTICAST_IF, VALUE_INDEX, "IPV6_MULTICAST_IF"},
	{IPPROTO_IPV6, IPV6_UNICAST_IF, VALUE_INDEX_BE, "IPV6_UNICAST_IF"},
	{IPPROTO_IPV6, IPV6_PKTINFO, VALUE_PKTINFO6, "IPV6_PKTINFO"},
	{IPPROTO_IPV6, IPV6_FREEBIND, VALUE_NONE, "IPV6_FREEBIND"},
	{IPPROTO_IPV6, IPV6_TRANSPARENT, VALUE_NONE, "IPV6_TRANSPARENT"},
	{IPPROTO_IPV6, IPV6_RTHDR, VALUE_NONE, "IPV6_RTHDR"},
	{IPPROTO_IPV6, IPV6_2292PKTOPTIONS, VALUE_NONE, "IPV6_2292PKTOPTIONS"},
	{IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, VALUE_JOIN6, "IPV6_JOIN_GROUP"},
	{IPPROTO_IPV6, IPV6_JOIN_ANYCAST, VALUE_JOIN6, "IPV6_JOIN_ANYCAST"},
	{IPPROTO_IPV6, MCAST_JOIN_GROUP, VALUE_JOIN_GROUP, "MCAST_JOIN_GROUP"},
	{IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, VALUE_JOIN_GROUP, "MCAST_JOIN_SOURCE_GROUP"},
	{IPPROTO_IPV6, MCAST_BLOCK_SOURCE, VALUE_JOIN_GROUP, "MCAST_BLOCK_SOURCE"},
	{IPPROTO_IPV6, MCAST_UNBLOCK_SOURCE, VALUE_JOIN_GROUP, "MCAST_UNBLOCK_SOURCE"},
	{IPPROTO_TCP, TCP_ULP, VALUE_TEXT, "TCP_ULP"},
};

static const struct option *find_option(const struct ifpin_denial_event *ev)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (options[i].level == ev->level && options[i].number == ev->option)
			return &options[i];
	return NULL;
}

static void put_index(struct clause *c, const char *name, size_t at, bool big_endian)
{
	uint32_t ifindex;

	if (!number(c, at, &ifindex)) {
		put(c, "%s without a device", name);
		return;
	}
	if (big_endian)
		ifindex = ntohl(ifindex);
	c->named = ifindex;
	put(c, ifindex ? "%s named " : "%s would untie", name);
	if (ifindex)
		put_device(c, ifindex);
}

/* " on eth0" or " on 10.0.2.1", the address by which a device is named. */
static void put_on(struct clause *c, size_t address_at, size_t index_at)
{
	uint32_t ifindex = 0, addr = 0;
	char text[INET6_ADDRSTRLEN];

	if (number(c, index_at, &ifindex) && ifindex) {
		c->named = ifindex;
		put(c, " on ");
		put_device(c, ifindex);
	} else if (number(c, address_at, &addr) && addr) {
		put(c, " on the device of %s",
			inet_ntop(AF_INET, &addr, text, sizeof(text)) ?: "?");
	} else {
		put(c, " on whichever device a route leads to");
	}
}

static void put_multicast_if(struct clause *c)
{
	size_t len = given(c->ev);

	put(c, "IP_MULTICAST_IF");
	if (len >= 8)
		put_on(c, 4, 8);
	else
		put_on(c, 0, NOWHERE);
}

static void put_join_group(struct clause *c)
{
	uint16_t family = 0;

	/* struct sockaddr_storage begins at 8: the kernel's uint32_t is padded on 64 bits. */
	if (given(c->ev) >= 10)
		memcpy(&family, c->ev->optval + 8, sizeof(family));
	put(c, "joined");
	if (family == AF_INET)
		put_group(c, AF_INET, 12);
	else
		put_group(c, AF_INET6, 16);
	put_on(c, NOWHERE, 0);
}

static void put_name(struct clause *c, const char *option)
{
	size_t len = given(c->ev) < IF_NAMESIZE - 1 ? given(c->ev) : IF_NAMESIZE - 1;
	struct clause name = {.to = c->name, .room = sizeof(c->name)};

	put_text(&name, c->ev->optval, len);
	put(c, "%s named %s", option, c->name);
}

static void put_option(struct clause *c, const struct option *o)
{
	switch (o->value) {
	case VALUE_NAME:
		if (!given(c->ev) || !c->ev->optval[0]) {
			put(c, "%s would untie", o->name);
			return;
		}
		put_name(c, o->name);
		return;
	case VALUE_INDEX:
	case VALUE_INDEX_BE:
		put_index(c, o->name, 0, o->value == VALUE_INDEX_BE);
		return;
	case VALUE_PKTINFO6:
		put_index(c, o->name, 16, false);
		return;
	case VALUE_MREQN:
		put_multicast_if(c);
		return;
	case VALUE_JOIN4:
	case VALUE_JOIN4_FROM:
		put(c, "joined");
		put_group(c, AF_INET, 0);
		put_on(c, 4, o->value == VALUE_JOIN4 ? 8 : NOWHERE);
		return;
	case VALUE_JOIN6:
		put(c, "joined");
		put_group(c, AF_INET6, 0);
		put_on(c, NOWHERE, 16);
		return;
	case VALUE_JOIN_GROUP:
		put_join_group(c);
		return;
	case VALUE_TEXT:
		put(c, "%s named ", o->name);
		put_text(c, c->ev->optval, given(c->ev) < 16 ? given(c->ev) : 16);
		return;
	case VALUE_NONE:
		put(c, "%s", o->name);
	}
}

/* ---- packets and addresses ---- */

static void put_address(struct clause *c, const struct ifpin_addr *a, uint16_t port)
{
	char text[INET6_ADDRSTRLEN];
	bool v4 = ifp_addr_is_v4(a->b);

	ifp_addr_text(a->b, text);
	if (port)
		put(c, v4 ? "%s:%u" : "[%s]:%u", text, port);
	else
		put(c, "%s", text);
}

/*
 * A bound socket whose packet goes elsewhere all the same was told so for this packet. Of one that
 * is not bound nobody knows whether it was the routes or the caller.
 */
static void put_other_device(struct clause *c)
{
	const struct ifpin_denial_event *ev = c->ev;
	const char *by = ev->family == AF_INET ? "IP_PKTINFO" : "a scope or IPV6_PKTINFO";

	if (!ev->bound)
		put(c, "routed to ");
	else if (ev->bound == ev->ifindex)
		put(c, "sent by a socket tied to ");
	else if (ev->protocol == IPPROTO_TCP)
		put(c, "sent, though its socket is tied elsewhere, to ");
	else
		put(c, "%s named ", by);
	put_device(c, ev->ifindex);
	if (!ev->bound && ev->protocol != IPPROTO_TCP)
		put(c, ", or %s named it", by);
}

static bool is_unknown(const struct ifpin_addr *a)
{
	static const struct ifpin_addr none;

	return !memcmp(a, &none, sizeof(none));
}

static void put_family(struct clause *c, uint16_t family)
{
	const char *name = ifp_family_name(family);

	if (name)
		put(c, "%s", name);
	else
		put(c, "number %u", family);
}

static void put_what(struct clause *c)
{
	const struct ifpin_denial_event *ev = c->ev;
	bool is_option = ev->level || ev->option || ev->optlen;
	const struct option *o = is_option ? find_option(ev) : NULL;

	if (o) {
		put_option(c, o);
		return;
	}
	switch (ev->reason) {
	case IFPIN_DENY_OTHER_DEVICE:
		put_other_device(c);
		return;
	case IFPIN_DENY_INGRESS:
		put(c, "came in from ");
		put_device(c, ev->ifindex);
		return;
	case IFPIN_DENY_GONE:
		put(c, "the device is gone, and this was about to be sent out by ");
		put_device(c, ev->ifindex);
		return;
	case IFPIN_DENY_LOCAL_ON_WIRE:
		put_address(c, &ev->dst, 0);
		put(c, " is the host's own, and was about to be sent out");
		return;
	case IFPIN_DENY_RESOLVER:
		put(c, "asked the resolver at ");
		put_address(c, &ev->dst, ev->dport);
		return;
	case IFPIN_DENY_FAMILY:
		put(c, "asked for a socket of the family ");
		put_family(c, ev->family);
		return;
	case IFPIN_DENY_FOREIGN:
		put(c, "was handed a socket of the family ");
		put_family(c, ev->family);
		put(c, " that was made outside");
		return;
	case IFPIN_DENY_LOOKUP:
		if (is_unknown(&ev->dst))
			break;
		put(c, "asked for the route to ");
		put_address(c, &ev->dst, 0);
		put(c, ", whose gateway would be looked for");
		return;
	case IFPIN_DENY_PROTOCOL:
		put(c, "asked for a socket of protocol %u", ev->protocol);
		return;
	}
	if (is_option)
		put(c, "%s (level %u, option %u)", reasons[ev->reason].text, ev->level, ev->option);
	else
		put(c, "%s", reasons[ev->reason].text);
}

void ifp_denied_fill(const struct ifpin_denial_event *ev, ifp_name_of_fn *name_of,
	uint64_t offset_ns, struct ifpin_denied *ret)
{
	struct ifpin_denied d = {
		.reason = reasons[ev->reason].name,
		.text = reasons[ev->reason].text,
		.time = ev->time + offset_ns,
		.pid = ev->pid,
		.by_kernel = !ev->pid && ev->knows_task,
		.uid = ev->uid,
		.ifindex = ev->ifindex,
		.bound = ev->bound,
		.family = ev->family,
		.protocol = ev->protocol,
		.sport = ev->sport,
		.dport = ev->dport,
		.level = ev->level,
		.option = ev->option,
	};
	struct clause c = {.ev = ev, .name_of = name_of, .to = d.what, .room = sizeof(d.what)};

	memcpy(d.src, ev->src.b, sizeof(d.src));
	memcpy(d.dst, ev->dst.b, sizeof(d.dst));
	if (ev->pid)
		memcpy(d.comm, ev->comm, sizeof(d.comm) - 1);
	put_what(&c);
	if (!d.ifindex)
		d.ifindex = c.named;
	if (d.ifindex)
		name_of(d.ifindex, d.device);
	else
		memcpy(d.device, c.name, sizeof(d.device));
	*ret = d;
}
