// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Reads every frame of a device, both ways, before all other programs there. On its way out it sees
 * what passes no rule of nftables, too: what traffic control has redirected or mirrored is marked
 * so by the kernel (nf_skip_egress, net/core/dev.c). It does not see what packet sockets send past
 * the queueing discipline.
 *
 * UAPI headers only: with a vmlinux.h libbpf would parse the kernel's whole BTF at each start.
 */
#include <linux/bpf.h>

#include "guard.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define DROP 2	/* TC_ACT_SHOT */
#define NEXT -1 /* TCX_NEXT */
#define OUT 0
#define IN 1

const volatile struct ifpin_guard_about about;

/* The first 16 bits of all networks: for most packets there is nothing more to look up. */
__u8 first4[65536 / 8], first6[65536 / 8];
struct ifpin_guard_counts dropped;

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

/* What the frames of nearly all packets look like, in one piece and without tags. */
struct plain4 {
	__u8 first, before[8], protocol, sum[2];
	__u32 source, destination;
};

struct plain6 {
	__u8 before[6], next, hops;
	__u32 source[4], destination[4];
};

static __always_inline int deny(struct __sk_buff *skb, int in, enum ifpin_guard_reason reason)
{
	__sync_fetch_and_add(&dropped.of[in & 1][reason].packets, 1);
	__sync_fetch_and_add(&dropped.of[in & 1][reason].bytes, skb->len);
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

/* Where to count from: the first byte, or where the packet of the network layer begins. */
enum base { FRAME, PACKET };

static __always_inline long load(
	struct __sk_buff *skb, enum base base, __u32 at, void *to, __u32 len)
{
	return base == FRAME ? bpf_skb_load_bytes(skb, at, to, len)
			     : bpf_skb_load_bytes_relative(skb, at, to, len, BPF_HDR_START_NET);
}

static __always_inline int is_known4(const __u8 *addr)
{
	struct ifpin_guard_key4 key = {.prefixlen = 32};
	__u32 first = two_bytes(addr);

	if (!(first4[first / 8 & 8191] >> (first & 7) & 1))
		return 0;
	__builtin_memcpy(key.addr, addr, sizeof(key.addr));
	return !!bpf_map_lookup_elem(&networks4, &key);
}

static __always_inline int is_known6(const __u8 *addr)
{
	struct ifpin_guard_key6 key = {.prefixlen = 128};
	__u32 first = two_bytes(addr);

	if (!(first6[first / 8 & 8191] >> (first & 7) & 1))
		return 0;
	__builtin_memcpy(key.addr, addr, sizeof(key.addr));
	return !!bpf_map_lookup_elem(&networks6, &key);
}

static __always_inline int is_fenced4(struct __sk_buff *skb, enum base base, __u32 at)
{
	__u8 addr[4];

	return !load(skb, base, at, addr, sizeof(addr)) && is_known4(addr);
}

static __always_inline int is_fenced6(struct __sk_buff *skb, enum base base, __u32 at)
{
	__u8 addr[16];

	return !load(skb, base, at, addr, sizeof(addr)) && is_known6(addr);
}

/* Headers of IP; what ends before its header does is judged by the source, if that is there. */
static __always_inline int judge4(
	struct __sk_buff *skb, int in, enum base base, __u32 at, __u8 ret[20])
{
	if (load(skb, base, at, ret, 20)) {
		ret[0] = 0x45;
		ret[9] = 59; /* of which nothing follows */
		return is_fenced4(skb, base, at + 12) ? deny(skb, in, IFPIN_GUARD_SOURCE) : NEXT;
	}
	if (is_known4(ret + 12))
		return deny(skb, in, IFPIN_GUARD_SOURCE);
	return is_known4(ret + 16) ? deny(skb, in, IFPIN_GUARD_DESTINATION) : NEXT;
}

static __always_inline int judge6(
	struct __sk_buff *skb, int in, enum base base, __u32 at, __u8 ret[40])
{
	if (load(skb, base, at, ret, 40)) {
		ret[6] = 59;
		return is_fenced6(skb, base, at + 8) ? deny(skb, in, IFPIN_GUARD_SOURCE) : NEXT;
	}
	if (is_known6(ret + 8))
		return deny(skb, in, IFPIN_GUARD_SOURCE);
	return is_known6(ret + 24) ? deny(skb, in, IFPIN_GUARD_DESTINATION) : NEXT;
}

static __always_inline int is_fenced_type(__u32 type)
{
	for (__u32 i = 0; i < IFPIN_GUARD_TYPES && i < about.n_types; i++)
		if (about.types[i] == type)
			return 1;
	return 0;
}

#include "unusual.bpf.h"

/* Plain IP is judged here, and all else, layer by layer, by a walk. */
static __always_inline int judge(
	struct __sk_buff *skb, int in, __u32 type, enum base base, __u32 at)
{
	__u8 ip[40];
	int verdict;

	if (type == 0x0800 && !about.ip_types) {
		verdict = judge4(skb, in, base, at, ip);
		if (verdict != NEXT || (ip[0] == 0x45 && !is_unusual(ip[9])))
			return verdict;
	} else if (type == 0x86dd && !about.ip_types) {
		verdict = judge6(skb, in, base, at, ip);
		if (verdict != NEXT || !is_unusual(ip[6]))
			return verdict;
	}
	return walk(skb, in, base, type, at);
}

/* The whole way, for any frame. */
static __always_inline int read_wire(struct __sk_buff *skb, int in)
{
	__u8 type[2];

	/* The outermost tag may be beside the frame already, or yet. */
	if (skb->vlan_present && is_fenced_type(bpf_ntohs((__be16)skb->vlan_proto)))
		return deny(skb, in, IFPIN_GUARD_ETHERTYPE);
	if (bpf_skb_load_bytes(skb, 12, type, sizeof(type)))
		return NEXT;
	return judge(skb, in, two_bytes(type), FRAME, 14);
}

static __always_inline int read_bare(struct __sk_buff *skb, int in, enum base base)
{
	__u8 first = 0;

	if (load(skb, base, 0, &first, 1))
		return NEXT;
	if (skb->protocol == bpf_htons(0x8847) || skb->protocol == bpf_htons(0x8848))
		return walk(skb, in, base, 0x8847, 0);
	if (first >> 4 != 4 && first >> 4 != 6)
		return NEXT;
	return judge(skb, in, first >> 4 == 4 ? 0x0800 : 0x86dd, base, 0);
}

static __always_inline int is_harmless4(const void *p, const void *end)
{
	const struct plain4 *ip = p;

	return (const void *)(ip + 1) <= end && ip->first == 0x45 && !is_unusual(ip->protocol) &&
	       (ip->source & about.mask4) != about.bits4 &&
	       (ip->destination & about.mask4) != about.bits4;
}

static __always_inline int is_harmless6(const void *p, const void *end)
{
	const struct plain6 *ip = p;

	return (const void *)(ip + 1) <= end && !is_unusual(ip->next) &&
	       (ip->source[0] & about.mask6) != about.bits6 &&
	       (ip->destination[0] & about.mask6) != about.bits6;
}

/* IP that has not even the first bits of a fenced network: some comparisons, and no call. */
static __always_inline int wire(struct __sk_buff *skb, int in)
{
	const __u8 *frame = (const void *)(unsigned long)skb->data;
	const void *end = (const void *)(unsigned long)skb->data_end;

	if ((const void *)(frame + 14) <= end && !about.ip_types && !skb->vlan_present) {
		__be16 type = *(const __be16 *)(frame + 12);

		if (type == bpf_htons(0x0800) && is_harmless4(frame + 14, end))
			return NEXT;
		if (type == bpf_htons(0x86dd) && is_harmless6(frame + 14, end))
			return NEXT;
	}
	return read_wire(skb, in);
}

/* A device that is no Ethernet: whether it has a link header, the kernel knows. */
static __always_inline int bare(struct __sk_buff *skb, int in)
{
	int verdict = read_bare(skb, in, PACKET);

	return verdict == NEXT ? read_bare(skb, in, FRAME) : verdict;
}

SEC("tc")
int ifpin_wire_out(struct __sk_buff *skb)
{
	return wire(skb, OUT);
}

SEC("tc")
int ifpin_wire_in(struct __sk_buff *skb)
{
	return wire(skb, IN);
}

SEC("tc")
int ifpin_bare_out(struct __sk_buff *skb)
{
	return bare(skb, OUT);
}

SEC("tc")
int ifpin_bare_in(struct __sk_buff *skb)
{
	return bare(skb, IN);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
