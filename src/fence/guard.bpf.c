// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What traffic control redirects or mirrors to a device passes no rule of nftables there: the
 * kernel marks it so (nf_skip_egress, net/core/dev.c). This program comes before all others at the
 * device's egress and looks at the same addresses.
 *
 * UAPI headers only: with a vmlinux.h libbpf would parse the kernel's whole BTF at each start.
 */
#include <linux/bpf.h>

#include "guard.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define DROP 2	/* TC_ACT_SHOT */
#define NEXT -1 /* TCX_NEXT */
#define MAX_TAGS 3

const volatile struct ifpin_guard_about about;

/* The first 16 bits of all networks: for most packets there is nothing more to look up. */
__u8 first4[65536 / 8], first6[65536 / 8];
__u64 dropped_packets, dropped_bytes;

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct ifpin_guard_key4);
	__type(value, __u8);
} networks4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct ifpin_guard_key6);
	__type(value, __u8);
} networks6 SEC(".maps");

static __always_inline int deny(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&dropped_packets, 1);
	__sync_fetch_and_add(&dropped_bytes, skb->len);
	return DROP;
}

/* The compiler knows that this is below 65536 and would leave bounds out; older verifiers do not.
 */
static __always_inline __u32 two_bytes(const __u8 *p)
{
	__u32 n = p[0] << 8 | p[1];

	asm volatile("" : "+r"(n));
	return n;
}

static __always_inline int is_fenced4(struct __sk_buff *skb, __u32 at)
{
	struct ifpin_guard_key4 key = {.prefixlen = 32};
	__u32 first;

	if (bpf_skb_load_bytes(skb, at, key.addr, sizeof(key.addr)))
		return 0;
	first = two_bytes(key.addr);
	return first4[first / 8 & 8191] >> (first & 7) & 1 && bpf_map_lookup_elem(&networks4, &key);
}

static __always_inline int is_fenced6(struct __sk_buff *skb, __u32 at)
{
	struct ifpin_guard_key6 key = {.prefixlen = 128};
	__u32 first;

	if (bpf_skb_load_bytes(skb, at, key.addr, sizeof(key.addr)))
		return 0;
	first = two_bytes(key.addr);
	return first6[first / 8 & 8191] >> (first & 7) & 1 && bpf_map_lookup_elem(&networks6, &key);
}

static __always_inline int packet4(struct __sk_buff *skb, __u32 at)
{
	return is_fenced4(skb, at + 12) || is_fenced4(skb, at + 16) ? deny(skb) : NEXT;
}

static __always_inline int packet6(struct __sk_buff *skb, __u32 at)
{
	__u8 next = 0, type = 0;

	if (is_fenced6(skb, at + 8) || is_fenced6(skb, at + 24))
		return deny(skb);
	bpf_skb_load_bytes(skb, at + 6, &next, 1);
	bpf_skb_load_bytes(skb, at + 40, &type, 1);
	if (next == 58 && type >= 135 && type <= 137 && is_fenced6(skb, at + 48))
		return deny(skb);
	return NEXT;
}

static __always_inline int is_fenced_type(__u16 type)
{
	for (__u32 i = 0; i < IFPIN_GUARD_TYPES && i < about.n_types; i++)
		if (about.types[i] == type)
			return 1;
	return 0;
}

static __always_inline int judge(struct __sk_buff *skb, __u16 type, __u32 at)
{
	if (is_fenced_type(type))
		return deny(skb);
	switch (type) {
	case 0x0800:
		return packet4(skb, at);
	case 0x86dd:
		return packet6(skb, at);
	case 0x0806:
		return is_fenced4(skb, at + 14) || is_fenced4(skb, at + 24) ? deny(skb) : NEXT;
	case 0x8100:
	case 0x88a8:
	case 0x9100: /* deeper than is looked */
		return deny(skb);
	}
	return NEXT;
}

SEC("tc")
int ifpin_wire(struct __sk_buff *skb)
{
	__be16 type = 0;
	__u32 at = 14;

	if (bpf_skb_load_bytes(skb, 12, &type, sizeof(type)))
		return NEXT;
	for (int i = 0; i < MAX_TAGS; i++) {
		if (type != bpf_htons(0x8100) && type != bpf_htons(0x88a8) &&
			type != bpf_htons(0x9100))
			break;
		if (is_fenced_type(bpf_ntohs(type)))
			return deny(skb);
		if (bpf_skb_load_bytes(skb, at + 2, &type, sizeof(type)))
			return NEXT;
		at += 4;
	}
	if (type == bpf_htons(0x8864)) {
		if (is_fenced_type(0x8864))
			return deny(skb);
		if (bpf_skb_load_bytes(skb, at + 6, &type, sizeof(type)))
			return NEXT;
		type = type == bpf_htons(0x0021)   ? bpf_htons(0x0800)
		       : type == bpf_htons(0x0057) ? bpf_htons(0x86dd)
						   : 0;
		at += 8;
	}
	return judge(skb, bpf_ntohs(type), at);
}

/* A device without link addresses. */
SEC("tc")
int ifpin_bare(struct __sk_buff *skb)
{
	__u8 first = 0;

	if (bpf_skb_load_bytes(skb, 0, &first, 1))
		return NEXT;
	return judge(skb, first >> 4 == 4 ? 0x0800 : first >> 4 == 6 ? 0x86dd : 0, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
