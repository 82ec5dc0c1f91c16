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

/*
 * Once a device has got its link-local address, the kernel reports all groups that it is in by
 * then, without those that were left meanwhile (mld_send_initial_cr()): that is no end of anything.
 * What is in it for certain are solicited-node groups, ff02::1:ff00:0/104.
 */
static bool is_summary(const uint8_t *p, size_t len)
{
	static const uint8_t solicited[13] = {0xff, 2, [11] = 1, [12] = 0xff};

	return len > 62 && p[12] == 0x86 && p[13] == 0xdd &&
	       has(p + 54, len - 54, solicited, sizeof(solicited));
}

/* The kernel asks who has a gateway: a neighbour solicitation, RFC 4861 4.3. */
static bool asks_for(const uint8_t *p, size_t len, const char *gateway, int which)
{
	struct in6_addr a = ifp_lab_probed(gateway, which);

	return len >= 78 && p[12] == 0x86 && p[13] == 0xdd && p[20] == IPPROTO_ICMPV6 &&
	       p[54] == 135 && !memcmp(p + 62, &a, sizeof(a));
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
	return ((a->flags & PROBES) && asks_for(p, len, LAB_GATEWAY6, a->arg)) ||
	       has(p, len, e->magic + MAGIC_LEN / 2, MAGIC_LEN / 2) ||
	       is_connection(p, len, e->port) || is_report(p, len, e);
}

/* The sentinel goes the way of the attempts; what was sent before it has come before it. */
static int send_sentinel(
	const struct lab *lab, const struct env *s, const struct attempt *a, enum side side)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_IP),
		.sll_ifindex = (int)(side == SIDE_IN ? lab->in_index : lab->out_index),
		.sll_halen = 6};

	if (a && (a->flags & PROBES))
		return ifp_lab_probe(a->arg);
	if (a && (a->flags & WAITS_FOR_REPORT))
		return ifp_lab_join(lab, s->group4, s->group6, !strncmp(a->name, "join6", 5));
	memcpy(ll.sll_addr, LAB_PEER_MAC, 6);
	if (sendto(lab->sentinels, s->magic, MAGIC_LEN, 0, (struct sockaddr *)&ll, sizeof(ll)) < 0)
		return -errno;
	return 0;
}

static bool is_sentinel(const struct captured *c, const struct env *s, const struct attempt *a)
{
	if (c->own)
		return false;
	if (a && (a->flags & PROBES))
		return asks_for(c->bytes, c->len, LAB_SENTINEL_GATEWAY6, a->arg);
	if (a && (a->flags & WAITS_FOR_REPORT))
		return is_report(c->bytes, c->len, s);
	return has(c->bytes, c->len, s->magic, MAGIC_LEN);
}

static void read_ancillary(struct msghdr *msg, struct captured *ret)
{
	struct tpacket_auxdata aux;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS)
			memcpy(&ret->at, CMSG_DATA(c), sizeof(ret->at));
		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		ret->tagged = aux.tp_status & TP_STATUS_VLAN_VALID;
		ret->tci = aux.tp_vlan_tci;
		ret->tpid =
			aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid : ETH_P_8021Q;
	}
}

static int receive(int fd, struct captured *ret)
{
	static uint8_t buf[65536];
	uint8_t control[256] __attribute__((aligned(8)));
	struct sockaddr_ll from = {};
	struct iovec iov = {.iov_base = buf, .iov_len = sizeof(buf)};
	struct msghdr msg = {.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &msg, 0);

	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	*ret = (struct captured){.bytes = buf,
		.len = (size_t)n,
		.ifindex = (uint32_t)from.sll_ifindex,
		.own = from.sll_pkttype == PACKET_OUTGOING};
	read_ancillary(&msg, ret);
	return 0;
}

static void count(const struct captured *c, struct result *r)
{
	if (!r->frames++)
		r->first.kept =
			ifp_captured_wire(c, r->first.bytes, sizeof(r->first.bytes), &r->first.len);
	r->fenced += fenced(c->bytes, c->len);
}

/* A frame that counts bears the attempt and the protection alone, so that it can be filtered by. */
static int keep(const struct lab *lab, enum side side, int fd, const struct captured *c,
	const struct env *e, const char *attempt, const char *uncounted)
{
	char comment[128];

	if (!lab->file)
		return 0;
	snprintf(comment, sizeof(comment), "%s%s%s / %s", uncounted ? "not counted: " : "",
		uncounted ?: "", attempt, lab->column ?: ifp_protection_names[e->prot]);
	return ifp_pcapng_frame(lab->file, side, fd, c, comment);
}

#define MOST_MARKS 16 /* one summary with all of them is one frame */

/* Whether it is the end. Where that cannot be told by it, another end mark is sent. Return: 0;
 * -EBUSY: it never can; -errno. */
static int look_for_end(const struct lab *lab, enum side side, const struct captured *c,
	struct env *s, const struct attempt *a, bool *ret)
{
	*ret = is_sentinel(c, s, a);
	if (!*ret || !a || !(a->flags & WAITS_FOR_REPORT) || !is_summary(c->bytes, c->len))
		return 0;
	*ret = false;
	return ++s->group6[12] < MOST_MARKS ? send_sentinel(lab, s, a, side) : -EBUSY;
}

/* Reads what came to one side until its sentinel. */
static int read_side(const struct lab *lab, enum side side, const struct env *e,
	const struct env *sentinel, const struct attempt *a, bool counts, struct result *ret)
{
	int fd = side == SIDE_IN ? lab->capture_in : lab->capture;
	const struct attempt *by = counts ? a : NULL;
	struct env s = *sentinel;
	int r = send_sentinel(lab, &s, by, side);
	bool ends = false;

	while (!r && !ends) {
		struct captured c;
		bool hit;

		r = receive(fd, &c);
		if (r)
			break;
		/* What the peer itself answers (an ICMP error quotes the marker) is no leak. */
		hit = counts && c.own == !!(a->flags & FROM_PEER) && marked(c.bytes, c.len, e, a);
		r = look_for_end(lab, side, &c, &s, by, &ends);
		if (hit)
			count(&c, ret);
		r = r
			    ?: keep(lab, side, fd, &c, e, a->name,
				       hit    ? NULL
				       : ends ? "end mark of "
					      : "during ");
	}
	return r;
}

int ifp_capture_count(
	const struct lab *lab, const struct env *e, const struct attempt *a, struct result *ret)
{
	enum side side = a->flags & AT_IN ? SIDE_IN : SIDE_OUT;
	enum side other = side == SIDE_IN ? SIDE_OUT : SIDE_IN;
	struct result seen = {.err = ret->err};
	struct env s = *e;
	int r;

	/* Same attempt, other marker. */
	for (int i = 0; i < MAGIC_LEN; i++)
		s.magic[i] ^= 0x5a;
	s.port = 0;
	s.group4[1] ^= 0x80;
	s.group6[15] ^= 0x80;
	r = read_side(lab, side, e, &s, a, true, &seen)
		    ?: read_side(lab, other, e, &s, a, false, &seen);
	if (!r)
		*ret = seen;
	return r;
}

int ifp_capture_lost(const struct lab *lab, unsigned int ret[SIDE_COUNT])
{
	const int fds[SIDE_COUNT] = {[SIDE_OUT] = lab->capture, [SIDE_IN] = lab->capture_in};
	unsigned int lost[SIDE_COUNT];

	for (int i = 0; i < SIDE_COUNT; i++) {
		struct tpacket_stats stats;
		socklen_t len = sizeof(stats);

		if (getsockopt(fds[i], SOL_PACKET, PACKET_STATISTICS, &stats, &len))
			return -errno;
		lost[i] = stats.tp_drops;
	}
	memcpy(ret, lost, sizeof(lost));
	return 0;
}
