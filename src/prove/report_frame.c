// SPDX-License-Identifier: MIT
/* What a leaked frame is, in words: the layers that attempts make, and a number for any other. */
#include "report.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <stdarg.h>
#include <string.h>

#define MAX_LAYERS 8
#define VXLAN_PORT 4789

/* What is left of the frame, and where the words go. */
struct rest {
	const uint8_t *p;
	size_t n;
	unsigned int layers;
	void (*line)(const char *text, void *data);
	void *data;
};

static _printf_(2, 3) void say(struct rest *r, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->line(text, r->data);
}

/* The next n bytes, or NULL: the frame is cut short here. */
static const uint8_t *take(struct rest *r, size_t n, const char *of)
{
	const uint8_t *p = r->p;

	if (r->n < n) {
		say(r, "%s, cut short", of);
		r->n = 0;
		return NULL;
	}
	r->p += n;
	r->n -= n;
	return p;
}

static unsigned int be16(const uint8_t *p)
{
	return (unsigned int)(p[0] << 8 | p[1]);
}

struct name {
	char text[INET6_ADDRSTRLEN];
};

static struct name mac(const uint8_t *p)
{
	struct name n;

	snprintf(n.text, sizeof(n.text), "%02x:%02x:%02x:%02x:%02x:%02x", p[0], p[1], p[2], p[3],
		p[4], p[5]);
	return n;
}

static struct name ip(int family, const uint8_t *p)
{
	struct name n;

	inet_ntop(family, p, n.text, sizeof(n.text));
	return n;
}

static void payload(struct rest *r)
{
	char hex[3 * 16 + 1] = "";
	size_t shown = r->n < 16 ? r->n : 16;

	if (!r->n)
		return;
	for (size_t i = 0; i < shown; i++)
		snprintf(hex + 3 * i, 4, " %02x", r->p[i]);
	say(r, "Payload:%s%s", hex, shown < r->n ? " ..." : "");
	r->n = 0;
}

/* ---- transport ---- */

static void ethernet(struct rest *r);

static void udp(struct rest *r)
{
	const uint8_t *p = take(r, 8, "UDP");

	if (!p)
		return;
	say(r, "UDP, port %u → %u, %u bytes of payload", be16(p), be16(p + 2),
		be16(p + 4) < 8 ? 0 : be16(p + 4) - 8);
	if (be16(p + 2) == VXLAN_PORT && r->n >= 8 && r->layers) {
		p = take(r, 8, "VXLAN");
		say(r, "VXLAN, network %u", (unsigned int)(p[4] << 16) | be16(p + 5));
		ethernet(r);
		return;
	}
	payload(r);
}

static bool joins_multipath(const uint8_t *options, size_t n)
{
	for (size_t i = 0; i + 2 < n && options[i];) {
		if (options[i] == 1) {
			i++;
			continue;
		}
		if (options[i] == 30 && options[i + 2] >> 4 == 1)
			return true;
		if (options[i + 1] < 2)
			return false;
		i += options[i + 1];
	}
	return false;
}

static void tcp(struct rest *r)
{
	static const char *const flags[] = {"FIN", "SYN", "RST", "PSH", "ACK", "URG"};
	const uint8_t *p = take(r, 20, "TCP");
	char text[32] = "";
	size_t n;

	if (!p)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (p[13] >> i & 1)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), " %s", flags[i]);
	n = (size_t)(p[12] >> 4) * 4;
	n = n > 20 ? n - 20 : 0;
	n = n < r->n ? n : r->n;
	say(r, "TCP, port %u → %u,%s%s", be16(p), be16(p + 2), *text ? text : " no flags",
		joins_multipath(r->p, n) ? ", joins a multipath connection" : "");
	take(r, n, "TCP options");
	payload(r);
}

static void icmp(struct rest *r)
{
	const uint8_t *p = take(r, 8, "ICMP");

	if (!p)
		return;
	if (p[0] == 8 || p[0] == 0)
		say(r, "ICMP, echo %s", p[0] ? "request" : "reply");
	else
		say(r, "ICMP, type %u code %u", p[0], p[1]);
	payload(r);
}

static void igmp(struct rest *r)
{
	const uint8_t *p = take(r, 8, "IGMP");

	if (!p)
		return;
	if (p[0] == 0x22 && r->n >= 8)
		say(r, "IGMPv3 report, %u groups, the first %s", be16(p + 6),
			ip(AF_INET, r->p + 4).text);
	else
		say(r, "IGMP %s, group %s",
			p[0] == 0x17				       ? "leave"
			: p[0] == 0x11				       ? "query"
			: p[0] == 0x16 || p[0] == 0x12 || p[0] == 0x22 ? "report"
								       : "of another type",
			ip(AF_INET, p + 4).text);
	r->n = 0;
}

static void icmp6(struct rest *r)
{
	static const char *const discovery[] = {"router solicitation", "router advertisement",
		"neighbour solicitation", "neighbour advertisement", "redirect"};
	const uint8_t *p = take(r, 8, "ICMPv6");

	if (!p)
		return;
	if (p[0] == 128 || p[0] == 129) {
		say(r, "ICMPv6, echo %s", p[0] == 128 ? "request" : "reply");
		payload(r);
	} else if (p[0] >= 133 && p[0] <= 137) {
		if (p[0] >= 135 && r->n >= 16)
			say(r, "ICMPv6, %s for %s", discovery[p[0] - 133], ip(AF_INET6, r->p).text);
		else
			say(r, "ICMPv6, %s", discovery[p[0] - 133]);
	} else if (p[0] == 143 && r->n >= 20) {
		say(r, "MLDv2 report, %u groups, the first %s", be16(p + 6),
			ip(AF_INET6, r->p + 4).text);
	} else if (p[0] >= 130 && p[0] <= 132 && r->n >= 16) {
		say(r, "MLD %s, group %s",
			p[0] == 130   ? "query"
			: p[0] == 131 ? "report"
				      : "leave",
			ip(AF_INET6, r->p).text);
	} else {
		say(r, "ICMPv6, type %u code %u", p[0], p[1]);
		payload(r);
	}
}

/* ---- network ---- */

static void network(struct rest *r, unsigned int type);

static void transport(struct rest *r, unsigned int proto)
{
	switch (proto) {
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		if (proto == IPPROTO_UDPLITE)
			say(r, "UDP-Lite");
		udp(r);
		break;
	case IPPROTO_TCP:
		tcp(r);
		break;
	case IPPROTO_ICMP:
		icmp(r);
		break;
	case IPPROTO_ICMPV6:
		icmp6(r);
		break;
	case IPPROTO_IGMP:
		igmp(r);
		break;
	case IPPROTO_IPIP:
		network(r, ETH_P_IP);
		break;
	case IPPROTO_IPV6:
		network(r, ETH_P_IPV6);
		break;
	default:
		say(r, "IP protocol %u", proto);
		payload(r);
	}
}

static void ip4(struct rest *r)
{
	const uint8_t *p = take(r, 20, "IPv4");
	size_t options, total;

	if (!p)
		return;
	say(r, "IPv4, %s → %s, %u bytes, hop limit %u%s", ip(AF_INET, p + 12).text,
		ip(AF_INET, p + 16).text, be16(p + 2), p[8],
		be16(p + 6) & 0x3fff ? ", a fragment" : "");
	options = (size_t)(p[0] & 15) * 4;
	options = options > 20 ? options - 20 : 0;
	/* What pads a frame to its least length is not the packet's. */
	total = be16(p + 2) > 20 ? be16(p + 2) - 20U : 0;
	r->n = total && total < r->n ? total : r->n;
	if (options && !take(r, options, "IPv4 options"))
		return;
	if (be16(p + 6) & 0x1fff)
		payload(r);
	else
		transport(r, p[9]);
}

static void ip6(struct rest *r)
{
	const uint8_t *p = take(r, 40, "IPv6");
	unsigned int next;

	if (!p)
		return;
	say(r, "IPv6, %s → %s, %u bytes, hop limit %u", ip(AF_INET6, p + 8).text,
		ip(AF_INET6, p + 24).text, be16(p + 4) + 40, p[7]);
	next = p[6];
	r->n = be16(p + 4) && be16(p + 4) < r->n ? be16(p + 4) : r->n;
	while (next == IPPROTO_HOPOPTS || next == IPPROTO_DSTOPTS || next == IPPROTO_ROUTING) {
		size_t more;

		say(r, "IPv6 %s",
			next == IPPROTO_HOPOPTS	  ? "hop-by-hop options"
			: next == IPPROTO_DSTOPTS ? "destination options"
						  : "routing header");
		p = take(r, 8, "IPv6 extension header");
		if (!p)
			return;
		next = p[0];
		more = (size_t)p[1] * 8;
		if (more && !take(r, more, "IPv6 extension header"))
			return;
	}
	transport(r, next);
}

static void arp(struct rest *r)
{
	const uint8_t *p = take(r, 28, "ARP");

	if (!p)
		return;
	if (be16(p + 6) == 2)
		say(r, "ARP reply, %s is at %s", ip(AF_INET, p + 14).text, mac(p + 8).text);
	else
		say(r, "ARP request, %s asks who has %s", ip(AF_INET, p + 14).text,
			ip(AF_INET, p + 24).text);
	r->n = 0;
}

static void network(struct rest *r, unsigned int type)
{
	const uint8_t *p;

	if (!r->layers--) {
		r->layers = 0;
		say(r, "more layers than are shown");
		return;
	}
	switch (type) {
	case ETH_P_IP:
		ip4(r);
		break;
	case ETH_P_IPV6:
		ip6(r);
		break;
	case ETH_P_ARP:
		arp(r);
		break;
	case ETH_P_8021Q:
	case ETH_P_8021AD:
		p = take(r, 4, "VLAN tag");
		if (!p)
			return;
		say(r, "VLAN tag, VLAN %u", be16(p) & 0xfff);
		network(r, be16(p + 2));
		break;
	default:
		say(r, "%s 0x%04x", type < ETH_P_802_3_MIN ? "length" : "EtherType", type);
		payload(r);
	}
}

static void ethernet(struct rest *r)
{
	const uint8_t *p = take(r, ETH_HLEN, "Ethernet");

	if (!p)
		return;
	say(r, "Ethernet, %s → %s", mac(p + 6).text, mac(p).text);
	network(r, be16(p + 12));
}

void ifp_frame_decode(
	const uint8_t *bytes, size_t len, void (*line)(const char *text, void *data), void *data)
{
	struct rest r = {.p = bytes, .n = len, .layers = MAX_LAYERS, .line = line, .data = data};

	ethernet(&r);
}
