// SPDX-License-Identifier: MIT
/* What counts is what arrives at the far end. */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>

/* Half of the marker is enough: an attempt may need the other half for a header. */
static bool has(const uint8_t *p, size_t len, const uint8_t *what, size_t n)
{
	return memmem(p, len, what, n) != NULL;
}

static bool is_connection(const uint8_t *p, size_t len, uint16_t port)
{
	size_t l4 = 0;

	if (len > 54 && p[12] == 0x08 && p[13] == 0 && p[23] == IPPROTO_TCP)
		l4 = 14 + (size_t)(p[14] & 15) * 4;
	else if (len > 74 - 20 && p[12] == 0x86 && p[13] == 0xdd && p[20] == IPPROTO_TCP)
		l4 = 54;
	return l4 && l4 + 4 <= len && (p[l4 + 2] << 8 | p[l4 + 3]) == port;
}

/* Frames about a group: IGMP or MLD. Anything else with these bytes is not meant. */
static bool is_report(const uint8_t *p, size_t len, const struct env *e)
{
	if (len > 34 && p[12] == 0x08 && p[23] == IPPROTO_IGMP)
		return has(p + 34, len - 34, e->group4, 4);
	if (len > 62 && p[12] == 0x86 && p[13] == 0xdd)
		return has(p + 54, len - 54, e->group6, 16);
	return false;
}

/* The kernel asks who has a gateway: a neighbour solicitation, RFC 4861 4.3. */
static bool asks_for(const uint8_t *p, size_t len, const char *gateway)
{
	uint8_t a[16];

	inet_pton(AF_INET6, gateway, a);
	return len >= 78 && p[12] == 0x86 && p[13] == 0xdd && p[20] == IPPROTO_ICMPV6 &&
	       p[54] == 135 && !memcmp(p + 62, a, 16);
}

/* A network's first bytes at some place of a frame. */
static bool in_fence(const uint8_t *p, size_t len, size_t at, bool four)
{
	static const uint8_t net4[] = {10, 0, 1}, net6[8] = {0xfd, 0, 0, 1};
	size_t n = four ? sizeof(net4) : sizeof(net6);

	return at + n <= len && !memcmp(p + at, four ? net4 : net6, n);
}

static bool tells(const uint8_t *p, size_t len)
{
	if (p[12] == 0x08 && p[13] == 0x06)
		return in_fence(p, len, 28, true) || in_fence(p, len, 38, true);
	return len >= 78 && p[12] == 0x86 && p[13] == 0xdd && p[20] == IPPROTO_ICMPV6 &&
	       (p[54] == 135 || p[54] == 136) && in_fence(p, len, 62, false);
}

static bool fenced(const uint8_t *p, size_t len)
{
	if (p[12] == 0x08 && p[13] == 0)
		return in_fence(p, len, 26, true) || in_fence(p, len, 30, true);
	if (p[12] == 0x86 && p[13] == 0xdd)
		return in_fence(p, len, 22, false) || in_fence(p, len, 38, false) || tells(p, len);
	return tells(p, len);
}

static bool marked(const uint8_t *p, size_t len, const struct env *e, const struct attempt *a)
{
	if ((a->flags & TELLS) && len >= 42 && tells(p, len))
		return true;
	return ((a->flags & PROBES) && asks_for(p, len, LAB_GATEWAY6)) ||
	       has(p, len, e->magic + MAGIC_LEN / 2, MAGIC_LEN / 2) ||
	       is_connection(p, len, e->port) || is_report(p, len, e);
}

/* The sentinel goes the way of the attempts; what was sent before it has come before it. */
static int send_sentinel(const struct lab *lab, const struct env *s, const struct attempt *a)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_IP),
		.sll_ifindex = (int)(a->flags & AT_IN ? lab->in_index : lab->out_index),
		.sll_halen = 6};
	_cleanup_close_ int fd = -1;

	if (a->flags & PROBES)
		return ifp_lab_probe();
	if (a->flags & WAITS_FOR_REPORT)
		return ifp_lab_join(lab, s->group4, s->group6, !strncmp(a->name, "join6", 5));
	fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	memcpy(ll.sll_addr, LAB_PEER_MAC, 6);
	if (fd < 0 || sendto(fd, s->magic, MAGIC_LEN, 0, (struct sockaddr *)&ll, sizeof(ll)) < 0)
		return -errno;
	return 0;
}

int ifp_capture_count(
	const struct lab *lab, const struct env *e, const struct attempt *a, struct result *ret)
{
	int r, capture = a->flags & AT_IN ? lab->capture_in : lab->capture;
	unsigned int frames = 0, of_fence = 0;
	struct env s = *e;

	/* Same attempt, other marker. */
	for (int i = 0; i < MAGIC_LEN; i++)
		s.magic[i] ^= 0x5a;
	s.port = 0;
	s.group4[1] ^= 0x80;
	s.group6[15] ^= 0x80;
	r = send_sentinel(lab, &s, a);
	if (r)
		return r;
	for (;;) {
		struct sockaddr_ll from;
		socklen_t len = sizeof(from);
		uint8_t buf[65536];
		ssize_t n = recvfrom(capture, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len);
		bool own = from.sll_pkttype == PACKET_OUTGOING;

		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		/* What the peer itself answers (an ICMP error quotes the marker) is no leak. */
		if (own == !!(a->flags & FROM_PEER) && marked(buf, (size_t)n, e, a)) {
			frames++;
			of_fence += fenced(buf, (size_t)n);
		}
		if (!own && (a->flags & PROBES ? asks_for(buf, (size_t)n, LAB_SENTINEL_GATEWAY6)
				    : a->flags & WAITS_FOR_REPORT
					    ? is_report(buf, (size_t)n, &s)
					    : has(buf, (size_t)n, s.magic, MAGIC_LEN)))
			break;
	}
	ret->frames = frames;
	ret->fenced = of_fence;
	return 0;
}
