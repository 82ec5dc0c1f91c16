// SPDX-License-Identifier: MIT
/* Markers of attempts on a host as it is, and whose a frame is. */
#include "here.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <string.h>
#include <sys/random.h>

/* RFC 5737, RFC 3849, RFC 6676. */
static const uint8_t nets4[][3] = {{192, 0, 2}, {198, 51, 100}, {203, 0, 113}};
static const uint8_t groups4[3] = {233, 252, 0};
static const uint8_t net6[4] = {0x20, 0x01, 0x0d, 0xb8};

enum { NEAR, PEER, FAR };

int ifp_marks_draw(unsigned int n, struct here_marks *ret)
{
	struct here_marks m = {.n = n};
	struct {
		uint8_t tag[6], first4, prefix6[8], group6[2];
		uint16_t port;
	} r;

	if (n > HERE_MAX_MARKS)
		return -E2BIG;
	if (getrandom(&r, sizeof(r), 0) != sizeof(r))
		return -errno;
	memcpy(m.tag, r.tag, sizeof(m.tag));
	memcpy(m.prefix6, net6, sizeof(net6));
	memcpy(m.prefix6 + sizeof(net6), r.prefix6, sizeof(r.prefix6));
	memcpy(m.group6, r.group6, sizeof(m.group6));
	m.first4 = (uint8_t)(r.first4 % HERE_MAX_MARKS);
	m.first_port = (uint16_t)(20000 + r.port % 40000);
	*ret = m;
	return 0;
}

static uint8_t host_byte(const struct here_marks *m, unsigned int number)
{
	return (uint8_t)(1 + (m->first4 + number) % HERE_MAX_MARKS);
}

static void text4(const struct here_marks *m, const uint8_t net[3], unsigned int number, char *ret)
{
	uint8_t a[4] = {net[0], net[1], net[2], host_byte(m, number)};

	inet_ntop(AF_INET, a, ret, INET_ADDRSTRLEN);
}

static void text6(const struct here_marks *m, uint8_t kind, unsigned int number, char *ret)
{
	uint8_t a[16] = {};

	memcpy(a, m->prefix6, sizeof(m->prefix6));
	a[13] = kind;
	a[14] = (uint8_t)(number >> 8);
	a[15] = (uint8_t)number;
	inet_ntop(AF_INET6, a, ret, INET6_ADDRSTRLEN);
}

static void group6(const struct here_marks *m, uint8_t scope, unsigned int number, uint8_t ret[16])
{
	const uint8_t a[16] = {0xff, scope, [10] = 0x0d, 0xb8, m->group6[0], m->group6[1],
		(uint8_t)(number >> 8), (uint8_t)number};

	memcpy(ret, a, sizeof(a));
}

void ifp_marks_fill(const struct here_marks *m, unsigned int number, struct env *e)
{
	struct place *at = &e->at;
	uint8_t link_group[16];

	text4(m, nets4[NEAR], number, at->peer_in4);
	text4(m, nets4[PEER], number, at->peer4);
	text4(m, nets4[FAR], number, at->far4);
	text4(m, nets4[FAR], number, at->marked4);
	text4(m, groups4, number, at->many4);
	text6(m, NEAR, number, at->peer_in6);
	text6(m, PEER, number, at->peer6);
	text6(m, FAR, number, at->far6);
	group6(m, 2, number, link_group);
	inet_ntop(AF_INET6, link_group, at->peer_ll, sizeof(at->peer_ll));
	inet_ntop(AF_INET6, link_group, at->many_ll, sizeof(at->many_ll));
	group6(m, 5, number, e->group6);
	memcpy(e->group4, groups4, sizeof(groups4));
	e->group4[3] = host_byte(m, number);
	e->port = (uint16_t)(m->first_port + number);
	/* The first half is for an attempt that needs it for a header. */
	memcpy(e->magic, "ifpin-ok", 8);
	memcpy(e->magic + 8, m->tag, sizeof(m->tag));
	e->magic[14] = (uint8_t)(number >> 8);
	e->magic[15] = (uint8_t)number;
}

/* ---- whose a frame is ---- */

static unsigned int be16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

/* Return: the number that stands there; m->n: none of ours. */
static unsigned int number_at(const struct here_marks *m, const uint8_t *p)
{
	unsigned int number = be16(p);

	return number < m->n ? number : m->n;
}

static unsigned int by_host(const struct here_marks *m, uint8_t host)
{
	unsigned int number = (host + HERE_MAX_MARKS * 2U - 1 - m->first4) % HERE_MAX_MARKS;

	return host && host < 255 && number < m->n ? number : m->n;
}

static unsigned int by_addr4(const struct here_marks *m, const uint8_t a[4])
{
	for (size_t i = 0; i < ARRAY_SIZE(nets4); i++)
		if (!memcmp(a, nets4[i], 3))
			return by_host(m, a[3]);
	return m->n;
}

static unsigned int by_group4(const struct here_marks *m, const uint8_t a[4])
{
	return memcmp(a, groups4, 3) != 0 ? m->n : by_host(m, a[3]);
}

static unsigned int by_addr6(const struct here_marks *m, const uint8_t a[16])
{
	return memcmp(a, m->prefix6, sizeof(m->prefix6)) != 0 ? m->n : number_at(m, a + 14);
}

static unsigned int by_group6(const struct here_marks *m, const uint8_t a[16])
{
	uint8_t is[16];
	unsigned int number = number_at(m, a + 14);

	group6(m, a[1], number, is);
	return number < m->n && (a[1] == 2 || a[1] == 5) && !memcmp(a, is, 16) ? number : m->n;
}

/* A packet, and where its parts are. */
struct packet {
	const uint8_t *at, *end; /* of the IP header */
	const uint8_t *body;	 /* behind it and its extensions, or NULL: none, or cut off */
	uint8_t protocol;
	bool six;
};

static bool parse4(const uint8_t *p, const uint8_t *end, struct packet *ret)
{
	size_t head;

	if (end - p < 20 || p[0] >> 4 != 4)
		return false;
	head = (size_t)(p[0] & 15) * 4;
	*ret = (struct packet){.at = p, .end = end, .protocol = p[9]};
	/* Of a later fragment the body does not begin here. */
	if (head >= 20 && (size_t)(end - p) >= head && !(be16(p + 6) & 0x1fff))
		ret->body = p + head;
	return true;
}

static bool parse6(const uint8_t *p, const uint8_t *end, struct packet *ret)
{
	if (end - p < 40 || p[0] >> 4 != 6)
		return false;
	*ret = (struct packet){.at = p, .end = end, .protocol = p[6], .body = p + 40, .six = true};
	/* Hop-by-hop options are before every report of groups. */
	if (ret->protocol == 0 && end - ret->body >= 8) {
		size_t n = 8 + (size_t)ret->body[1] * 8;

		ret->protocol = ret->body[0];
		ret->body = (size_t)(end - ret->body) >= n ? ret->body + n : NULL;
	}
	return true;
}

/* The first header that is not the link's. Return: false: no IP; *ret_protocol says what. */
static bool find_packet(const struct here_frame *f, struct packet *ret, unsigned int *ret_protocol,
	const uint8_t **ret_at)
{
	const uint8_t *p = f->bytes, *end = p + f->len;
	unsigned int protocol = f->protocol;

	if (f->type == ARPHRD_ETHER) {
		if (f->len < 14)
			return false;
		protocol = be16(p + 12);
		p += 14;
		while ((protocol == ETH_P_8021Q || protocol == ETH_P_8021AD) && end - p >= 4) {
			protocol = be16(p + 2);
			p += 4;
		}
	}
	*ret_protocol = protocol;
	*ret_at = p;
	if (protocol == ETH_P_IP)
		return parse4(p, end, ret);
	return protocol == ETH_P_IPV6 && parse6(p, end, ret);
}

static unsigned int hops(const struct packet *p)
{
	return p->six ? p->at[7] : p->at[8];
}

/* Errors quote what caused them; the attempt has not sent them. */
static bool is_error(const struct packet *p)
{
	if (!p->body || p->end - p->body < 1)
		return false;
	if (p->six)
		return p->protocol == IPPROTO_ICMPV6 && p->body[0] < 128;
	return p->protocol == IPPROTO_ICMP &&
	       (p->body[0] == 3 || p->body[0] == 4 || p->body[0] == 5 || p->body[0] == 11 ||
		       p->body[0] == 12);
}

/* By what it is addressed to. Return: m->n: to nobody of ours. */
static unsigned int by_destination(const struct here_marks *m, const struct packet *p)
{
	unsigned int number;

	if (!p->six) {
		number = by_addr4(m, p->at + 16);
		return number < m->n ? number : by_group4(m, p->at + 16);
	}
	number = by_addr6(m, p->at + 24);
	return number < m->n ? number : by_group6(m, p->at + 24);
}

/* IGMP, RFC 3376 4.2, and its older versions. */
static void find_reports4(
	const struct here_marks *m, const struct packet *p, ifp_marks_hit hit, void *ctx)
{
	const uint8_t *r = p->body + 8;
	unsigned int number;

	if (p->end - p->body < 8)
		return;
	if (p->body[0] != 0x22) {
		number = by_group4(m, p->body + 4);
		if (number < m->n)
			hit(ctx, &(struct here_hit){.number = number, .times = 1});
		return;
	}
	for (unsigned int i = be16(p->body + 6); i && p->end - r >= 8; i--) {
		size_t n = 8 + be16(r + 2) * 4U + r[1] * 4U;

		number = by_group4(m, r + 4);
		if (number < m->n)
			hit(ctx, &(struct here_hit){.number = number, .times = 1});
		if ((size_t)(p->end - r) < n)
			return;
		r += n;
	}
}

/* MLD, RFC 3810 5.2, and its older version; neighbour solicitations, RFC 4861 4.3. */
static void find_icmp6(
	const struct here_marks *m, const struct packet *p, ifp_marks_hit hit, void *ctx)
{
	const uint8_t *r = p->body + 8;
	unsigned int number = m->n;

	if (p->end - p->body < 8)
		return;
	if (p->body[0] != 143) {
		if (p->end - p->body >= 24 && p->body[0] == 135)
			number = by_addr6(m, p->body + 8);
		else if (p->end - p->body >= 24 && (p->body[0] == 131 || p->body[0] == 132))
			number = by_group6(m, p->body + 8);
		if (number < m->n)
			hit(ctx, &(struct here_hit){.number = number, .times = 1});
		return;
	}
	for (unsigned int i = be16(p->body + 6); i && p->end - r >= 20; i--) {
		size_t n = 20 + be16(r + 2) * 16U + r[1] * 4U;

		number = by_group6(m, r + 4);
		if (number < m->n)
			hit(ctx, &(struct here_hit){.number = number, .times = 1});
		if ((size_t)(p->end - r) < n)
			return;
		r += n;
	}
}

/* Without payload: by addresses, and ports as well where these are few. */
static void find_bare(
	const struct here_marks *m, const struct packet *p, ifp_marks_hit hit, void *ctx)
{
	unsigned int number = by_destination(m, p), port;

	if (p->body && !p->six && p->protocol == IPPROTO_IGMP)
		return find_reports4(m, p, hit, ctx);
	if (p->body && p->six && p->protocol == IPPROTO_ICMPV6)
		return find_icmp6(m, p, hit, ctx);
	if (number == m->n)
		return;
	if (!p->six) {
		if (p->protocol != IPPROTO_TCP || !p->body || p->end - p->body < 4)
			return;
		port = be16(p->body + 2);
		if (port != (uint16_t)(m->first_port + number))
			return;
	}
	hit(ctx, &(struct here_hit){.number = number, .times = 1, .far = hops(p) > 1});
}

/* ARP requests, RFC 826: who has an address of ours. */
static void find_arp(const struct here_marks *m, const uint8_t *p, const uint8_t *end,
	ifp_marks_hit hit, void *ctx)
{
	unsigned int number;

	if (end - p < 8 || be16(p + 2) != ETH_P_IP || end - p < 8 + 2 * (p[4] + p[5]) || p[5] != 4)
		return;
	number = by_addr4(m, p + 8 + 2 * p[4] + 4);
	if (number < m->n)
		hit(ctx, &(struct here_hit){.number = number, .times = 1});
}

void ifp_marks_find(
	const struct here_marks *m, const struct here_frame *f, ifp_marks_hit hit, void *ctx)
{
	const uint8_t *at = f->bytes, *end = f->bytes + f->len, *tag;
	unsigned int times = 0, number = m->n, protocol = 0;
	struct packet p = {};
	bool ip = find_packet(f, &p, &protocol, &at);

	if (ip && is_error(&p))
		return;
	for (const uint8_t *from = f->bytes;
		(tag = memmem(from, (size_t)(end - from), m->tag, sizeof(m->tag)));
		from = tag + sizeof(m->tag)) {
		if (end - tag < (ptrdiff_t)sizeof(m->tag) + 2)
			break;
		number = number_at(m, tag + sizeof(m->tag));
		times += number < m->n;
	}
	if (times && number < m->n) {
		bool ours = ip && by_destination(m, &p) < m->n;

		hit(ctx, &(struct here_hit){.number = number,
				 .times = times,
				 .wrapped = !ours,
				 .far = ours && hops(&p) > 1});
	} else if (ip)
		find_bare(m, &p, hit, ctx);
	else if (protocol == ETH_P_ARP)
		find_arp(m, at, end, hit, ctx);
}
