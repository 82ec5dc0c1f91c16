/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What frames of unusual forms bear, layer by layer: tags, LLC, PPPoE, MPLS, extension headers,
 * packets inside packets. The step is a function of its own that the kernel verifies once,
 * whatever comes before and after it.
 */
#pragma once

/* The deepest frame that is read; what has more is dropped. */
#define MAX_LAYERS 16
#define MAX_SEGMENTS 8
#define MAX_OPTIONS 16
#define MAX_OPTIONS4 40 /* bytes that an IPv4 header has for them */
#define MAX_ROUTE4 9
#define MORE 1 /* no verdict yet */

enum layer {
	TYPE,	/* what the type field "value" announces begins at "at" */
	HEADER, /* the same of a protocol number of IP */
	NIBBLE, /* IP, of the version that it says itself */
	ETHER,	/* a frame, from its first byte on */
};

struct walk {
	__u32 at, value;
	enum layer layer;
	enum base base;
	__u32 in;
};

static __always_inline int go(struct walk *w, enum layer layer, __u32 value, __u32 by)
{
	w->layer = layer;
	w->value = value;
	w->at += by;
	return MORE;
}

/* Protocols of IP behind which there may be addresses; all others are no business of a walk. */
static __always_inline int is_unusual(__u8 protocol)
{
	const __u64 low = 1ULL << 0 | 1ULL << 4 | 1ULL << 41 | 1ULL << 43 | 1ULL << 44 |
			  1ULL << 47 | 1ULL << 51 | 1ULL << 58 | 1ULL << 60;

	if (protocol < 64)
		return low >> protocol & 1;
	return protocol == 135 || protocol == 137 || protocol == 139 || protocol == 140 ||
	       protocol == 143;
}

/* Of a router advertisement: prefixes that hosts are to take for on the link, RFC 4861 4.6.2. */
static __always_inline int step_options(struct __sk_buff *skb, struct walk *w)
{
	__u32 at = w->at + 16;

	for (int i = 0; i < MAX_OPTIONS; i++) {
		__u8 option[2];

		if (load(skb, w->base, at, option, sizeof(option)) || !option[1])
			return NEXT;
		if (option[0] == 3 && is_fenced6(skb, w->base, at + 16))
			return deny(skb, w->in, IFPIN_GUARD_DISCOVERY);
		at += option[1] * 8;
	}
	return deny(skb, w->in, IFPIN_GUARD_NESTED);
}

static __always_inline int step_discovery(struct __sk_buff *skb, struct walk *w)
{
	__u8 type = 0;

	load(skb, w->base, w->at, &type, 1);
	if (type == 134)
		return step_options(skb, w);
	if (type < 135 || type > 137)
		return NEXT;
	if (is_fenced6(skb, w->base, w->at + 8))
		return deny(skb, w->in, IFPIN_GUARD_DISCOVERY);
	/* A redirect names the gateway, and then whom it leads to. */
	return type == 137 && is_fenced6(skb, w->base, w->at + 24)
		       ? deny(skb, w->in, IFPIN_GUARD_DISCOVERY)
		       : NEXT;
}

/* Routing headers of type 0, 2 and 4 (RFC 8754) list addresses behind their eight first bytes. */
static __always_inline int step_routing(struct __sk_buff *skb, struct walk *w, const __u8 *head)
{
	__u32 n = head[1] / 2;

	if (head[2] == 4 && head[4] + 1U < n)
		n = head[4] + 1U;
	if (head[2] == 0 || head[2] == 2 || head[2] == 4) {
		if (n > MAX_SEGMENTS)
			return deny(skb, w->in, IFPIN_GUARD_NESTED);
		for (__u32 i = 0; i < MAX_SEGMENTS && i < n; i++)
			if (is_fenced6(skb, w->base, w->at + 8 + i * 16))
				return deny(skb, w->in, IFPIN_GUARD_DESTINATION);
	}
	return go(w, HEADER, head[0], head[1] * 8 + 8);
}

/* RFC 2784 and 2890; what follows has the type field of Ethernet. */
static __always_inline int step_gre(struct walk *w, const __u8 *head)
{
	__u32 len = 4 + (head[0] >> 7 & 1) * 4 + (head[0] >> 5 & 1) * 4 + (head[0] >> 4 & 1) * 4;

	return head[1] & 7 || head[0] & 0x40 ? NEXT : go(w, TYPE, two_bytes(head + 2), len);
}

static __always_inline int step_header(struct __sk_buff *skb, struct walk *w)
{
	__u8 head[8] = {};

	/* ICMP of four bytes is none; all headers that go on have eight, but GRE and MPLS. */
	if (load(skb, w->base, w->at, head, 8) && load(skb, w->base, w->at, head, 4))
		return NEXT;
	switch (w->value) {
	case 58:
		return step_discovery(skb, w);
	case 0:
	case 60:
	case 135:
	case 139:
	case 140:
		return go(w, HEADER, head[0], head[1] * 8 + 8);
	case 43:
		return step_routing(skb, w, head);
	case 44: /* only the first fragment begins with a header */
		return two_bytes(head + 2) & 0xfff8 ? NEXT : go(w, HEADER, head[0], 8);
	case 51:
		return go(w, HEADER, head[0], head[1] * 4 + 8);
	}
	if (!about.inner)
		return NEXT;
	switch (w->value) {
	case 4:
	case 41:
		return go(w, NIBBLE, 0, 0);
	case 47:
		return step_gre(w, head);
	case 137:
		return go(w, TYPE, 0x8847, 0);
	case 143:
		return go(w, ETHER, 0, 0);
	}
	return NEXT;
}

static __always_inline int is_route(__u8 option)
{
	return option == 131 || option == 137;
}

/*
 * An option of IPv4, of which two list addresses: a loose and a strict source route, RFC 791 3.1. A
 * function of its own, as the step, so that not all of their orders are verified. Return: its
 * length; 0: it is the last; -1: it lists a fenced address.
 */
__noinline int ifpin_option4(struct __sk_buff *skb, struct walk *w, __u32 at)
{
	__u8 option[2] = {};

	if (!w || load(skb, w->base, at, option, 1) || !option[0])
		return 0;
	if (option[0] == 1)
		return 1;
	if (load(skb, w->base, at, option, 2) || option[1] < 2)
		return 0;
	for (__u32 i = 0; is_route(option[0]) && i < MAX_ROUTE4; i++)
		if (7 + i * 4 <= option[1] && is_fenced4(skb, w->base, at + 3 + i * 4))
			return -1;
	return option[1];
}

static __always_inline int step_options4(struct __sk_buff *skb, struct walk *w, __u32 len)
{
	__u32 at = w->at + 20, end = w->at + len;

	for (int i = 0; i < MAX_OPTIONS4 && at < end; i++) {
		int n = ifpin_option4(skb, w, at);

		if (n < 0)
			return deny(skb, w->in, IFPIN_GUARD_DESTINATION);
		if (!n)
			return NEXT;
		at += n;
	}
	return NEXT;
}

static __always_inline int step_ip4(struct __sk_buff *skb, struct walk *w)
{
	__u8 ip[20];
	int verdict = judge4(skb, w->in, w->base, w->at, ip);

	if (verdict == NEXT && (ip[0] & 15) > 5)
		verdict = step_options4(skb, w, (ip[0] & 15) * 4);
	/* Only the first fragment begins with a header. */
	if (verdict != NEXT || !is_unusual(ip[9]) || two_bytes(ip + 6) & 0x1fff)
		return verdict;
	return go(w, HEADER, ip[9], (ip[0] & 15) * 4);
}

static __always_inline int step_ip6(struct __sk_buff *skb, struct walk *w)
{
	__u8 ip[40];
	int verdict = judge6(skb, w->in, w->base, w->at, ip);

	return verdict != NEXT || !is_unusual(ip[6]) ? verdict : go(w, HEADER, ip[6], 40);
}

/* A length, and then LLC: RFC 1042, or the number that IEEE 802.2 has for IP. */
static __always_inline int step_llc(struct walk *w, const __u8 *llc)
{
	if ((llc[2] & 0xef) != 3)
		return NEXT;
	if ((llc[0] & 0xfe) == 0xaa && (llc[1] & 0xfe) == 0xaa)
		return two_bytes(llc + 6) < 0x600 ? NEXT : go(w, TYPE, two_bytes(llc + 6), 8);
	return (llc[0] & 0xfe) == 6 && (llc[1] & 0xfe) == 6 ? go(w, NIBBLE, 0, 3) : NEXT;
}

/* A session of PPPoE; the protocol of PPP is one byte if that is odd. */
static __always_inline int step_ppp(struct walk *w, const __u8 *head)
{
	__u32 protocol = head[6] & 1 ? head[6] : two_bytes(head + 6);
	__u32 len = head[6] & 1 ? 7 : 8;

	switch (protocol) {
	case 0x21:
		return go(w, TYPE, 0x0800, len);
	case 0x57:
		return go(w, TYPE, 0x86dd, len);
	case 0x281:
		return go(w, TYPE, 0x8847, len);
	}
	return NEXT;
}

/* RFC 8300. */
static __always_inline int step_nsh(struct walk *w, const __u8 *head)
{
	__u32 len = (head[1] & 0x3f) * 4;

	switch (head[3]) {
	case 1:
		return go(w, TYPE, 0x0800, len);
	case 2:
		return go(w, TYPE, 0x86dd, len);
	case 3:
		return go(w, ETHER, 0, len);
	case 4:
		return go(w, TYPE, 0x894f, len);
	case 5:
		return go(w, TYPE, 0x8847, len);
	}
	return NEXT;
}

static __always_inline int step_type(struct __sk_buff *skb, struct walk *w)
{
	__u8 head[8] = {};

	if (is_fenced_type(w->value))
		return deny(skb, w->in, IFPIN_GUARD_ETHERTYPE);
	if (w->value == 0x0800)
		return step_ip4(skb, w);
	if (w->value == 0x86dd)
		return step_ip6(skb, w);
	if (load(skb, w->base, w->at, head, 8) && load(skb, w->base, w->at, head, 4))
		return NEXT;
	switch (w->value) {
	case 0x0806:
	case 0x8035:
		return is_fenced4(skb, w->base, w->at + 14) || is_fenced4(skb, w->base, w->at + 24)
			       ? deny(skb, w->in, IFPIN_GUARD_ARP)
			       : NEXT;
	case 0x8100:
	case 0x88a8:
	case 0x9100:
	case 0x9200:
	case 0x9300:
		return go(w, TYPE, two_bytes(head + 2), 4);
	case 0x8864:
		return step_ppp(w, head);
	case 0x8847:
	case 0x8848: /* the last label has a bit for that */
		return head[2] & 1 ? go(w, NIBBLE, 0, 4) : go(w, TYPE, w->value, 4);
	case 0x88e7:
		return go(w, ETHER, 0, 4);
	case 0x6558:
		return go(w, ETHER, 0, 0);
	case 0x894f:
		return step_nsh(w, head);
	}
	return w->value < 0x600 ? step_llc(w, head) : NEXT;
}

/* Return: a verdict, or MORE. */
__noinline int ifpin_step(struct __sk_buff *skb, struct walk *w)
{
	__u8 bytes[2] = {};

	if (!w)
		return DROP;
	switch (w->layer) {
	case TYPE:
		return step_type(skb, w);
	case HEADER:
		return step_header(skb, w);
	case NIBBLE:
		load(skb, w->base, w->at, bytes, 1);
		return bytes[0] >> 4 == 4   ? go(w, TYPE, 0x0800, 0)
		       : bytes[0] >> 4 == 6 ? go(w, TYPE, 0x86dd, 0)
					    : NEXT;
	case ETHER:
		return load(skb, w->base, w->at + 12, bytes, 2) ? NEXT
								: go(w, TYPE, two_bytes(bytes), 14);
	}
	return DROP;
}

static __noinline int walk(struct __sk_buff *skb, int in, enum base base, __u32 type, __u32 at)
{
	struct walk w = {.at = at, .value = type, .layer = TYPE, .base = base, .in = in};

	for (int i = 0; i < MAX_LAYERS; i++) {
		int verdict = ifpin_step(skb, &w);

		if (verdict != MORE)
			return verdict;
	}
	return deny(skb, in, IFPIN_GUARD_NESTED);
}
