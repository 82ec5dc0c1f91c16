/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What all programs share: the confinement that one runs for, the maps, and what an address is. */
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "tell.bpf.h"

/* From the kernel's UAPI; their headers cannot be included beside <linux/bpf.h> here. */
enum {
	AF_INET = 2,
	AF_INET6 = 10,
	SOCK_STREAM = 1,
	SOCK_DGRAM = 2,
	SOCK_RAW = 3,
	SOL_SOCKET = 1,
	SO_BINDTODEVICE = 25,
	SO_MARK = 36,
	SO_BINDTOIFINDEX = 62,
	SOL_IPV6 = 41,
	IPV6_2292PKTOPTIONS = 6,
	IPV6_MULTICAST_IF = 17,
	IPV6_JOIN_GROUP = 20,
	IPV6_JOIN_ANYCAST = 27,
	IPV6_PKTINFO = 50,
	IPV6_RTHDR = 57,
	IPV6_TRANSPARENT = 75,
	IPV6_UNICAST_IF = 76,
	IPV6_FREEBIND = 78,
	MRT_FIRST = 200,
	MRT_LAST = 220,
	TCP_ULP = 31,
	PROTO_ICMPV6 = 58,
	ICMP4_ECHO = 8,
	ICMP4_ECHO_REPLY = 0,
	ICMP6_ECHO = 128,
	ICMP6_ECHO_REPLY = 129,
	PROTO_MPTCP = 262,
	ERR_INTR = 4,
	ERR_NODEV = 19,
};

const volatile struct ifpin_set set = {};

/*
 * What is of one confinement stands in the storage of the cgroup to which the programs are
 * attached: the same programs serve any number of them. The kernel hands out that of the cgroup
 * whose attachment it runs just now, so in nested confinements each attachment sees its own. User
 * space replaces the value as a whole, and whoever runs meanwhile goes on with what it began with.
 */
struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, __u64); /* of the cgroup */
	__type(value, struct ifpin_pin);
} pins SEC(".maps");

/* Packets that passed; on each processor its own. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE);
	__type(key, __u64);
	__type(value, struct ifpin_passes);
} passed SEC(".maps");

/* What was denied, by the id of the confinement: not in its storage, which user space replaces. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct ifpin_denials);
} denied SEC(".maps");

/*
 * The devices, by the key that a confinement has for its own. The kernel empties the entry when the
 * device is deleted or leaves the namespace, so an index that another device gets later opens
 * nothing, whoever of us has been killed. Such a map may be used by one type of program only, hence
 * two of them.
 */
struct device_map {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
};
struct device_map packets SEC(".maps");
struct device_map options SEC(".maps");

/* Every address of the host, with the device that has it (0: more than one has it). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, IFPIN_MAX_LOCAL_ADDRS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ifpin_addr);
	__type(value, __u32);
} local_addrs SEC(".maps");

/* By which device the host answers, as far as it is certain: the longest prefix decides. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, IFPIN_MAX_NETWORKS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ifpin_network);
	__type(value, __u32);
} ways SEC(".maps");

/* The confinement that this is run for. */
static __always_inline const struct ifpin_pin *own(void)
{
	return bpf_get_local_storage(&pins, 0);
}

/* The device that is meant, or 0: the kernel has emptied the entry if it is gone. */
static __always_inline __u32 present(const struct ifpin_pin *pin, struct device_map *devices)
{
	__u32 key = pin->held, *ifindex = bpf_map_lookup_elem(devices, &key);

	return ifindex ? *ifindex : 0;
}

static __always_inline void map_v4(struct ifpin_addr *a, __be32 ip4)
{
	__builtin_memset(a->b, 0, 10);
	a->b[10] = a->b[11] = 0xff;
	__builtin_memcpy(&a->b[12], &ip4, 4);
}

static __always_inline int is_v4(const struct ifpin_addr *a)
{
	const __u32 *w = (const __u32 *)a->b;

	return !w[0] && !w[1] && w[2] == bpf_htonl(0xffff);
}

/* 0.0.0.0 and ::, which as a destination mean loopback. */
static __always_inline int is_any(const struct ifpin_addr *a)
{
	const __u32 *w = (const __u32 *)a->b;

	return !w[0] && !w[1] && !w[3] && (!w[2] || w[2] == bpf_htonl(0xffff));
}

static __always_inline int is_loopback(const struct ifpin_addr *a)
{
	const __u32 *w = (const __u32 *)a->b;

	if (is_v4(a))
		return a->b[12] == 127;
	return !w[0] && !w[1] && !w[2] && w[3] == bpf_htonl(1);
}

static __always_inline int is_multicast(const struct ifpin_addr *a)
{
	const __u32 *w = (const __u32 *)a->b;

	if (is_v4(a))
		return (a->b[12] & 0xf0) == 0xe0 || w[3] == 0xffffffff;
	return a->b[0] == 0xff;
}

static __always_inline int same(const struct ifpin_addr *a, const struct ifpin_addr *b)
{
	const __u64 *x = (const __u64 *)a->b, *y = (const __u64 *)b->b;

	return x[0] == y[0] && x[1] == y[1];
}

/*
 * The compiler knows how big the bit can be and leaves a bound out; verifiers before Linux 6.3 or
 * so do not follow it through an exclusive or. So it is told that it does not know.
 */
static __always_inline int maybe_local(__u32 bit)
{
	asm volatile("" : "+r"(bit));
	bit %= IFPIN_FILTER_BITS;
	return host.local_filter[bit / 64] >> bit % 64 & 1;
}

/*
 * Never on a wire: loopback, the unspecified address, and what the host calls its own. Neither
 * inlined nor static: so the verifier looks at it once, not once for each way that leads here.
 */
__attribute__((noinline)) int is_local(const struct ifpin_addr *a)
{
	struct ifpin_addr key;

	if (!a)
		return 1;
	if (is_any(a) || is_loopback(a))
		return 1;
	if (!maybe_local(ifpin_filter_bit(a->b)))
		return 0;
	/* Before Linux 6.2 or so a key is on the caller's own stack. */
	key = *a;
	return bpf_map_lookup_elem(&local_addrs, &key) != NULL;
}

/* The same for the path that every IPv4 packet takes. */
__attribute__((noinline)) int is_local4(__u32 ip4)
{
	const __u8 *b = (const __u8 *)&ip4;
	struct ifpin_addr a;

	if (!ip4 || b[0] == 127)
		return 1;
	if (!maybe_local(ifpin_filter_bit(b - 12)))
		return 0;
	map_v4(&a, ip4);
	return bpf_map_lookup_elem(&local_addrs, &a) != NULL;
}
