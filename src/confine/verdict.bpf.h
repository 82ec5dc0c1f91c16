/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What becomes of a judgement: it is counted, told to those who watch, and turned into the answer
 * that the kernel expects.
 */
#pragma once

#include "pin.bpf.h"

static __always_inline struct ifpin_denials *own_denials(void)
{
	__u32 id = own()->id;

	return bpf_map_lookup_elem(&denied, &id);
}

static __always_inline __u32 own_id(void)
{
	return own()->id;
}

/* The functions tell_*() are not static, for the verifier's sake: tell.bpf.h. */

__noinline int tell_packet(struct __sk_buff *skb, int judgement)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ifpin_denial_event ev = {.ifindex = skb->ifindex, .knows_task = set.knows_task};
	struct bpf_sock *sk = skb->sk;
	__u16 ports[2] = {};
	__u32 off = 40;

	sk = sk ? bpf_sk_fullsock(sk) : NULL;
	if (sk)
		ev.bound = sk->bound_dev_if;
	if (skb->protocol == bpf_htons(ETH_P_IP) && data + 20 <= end) {
		ev.family = AF_INET;
		ev.protocol = *(__u8 *)(data + 9);
		map_v4(&ev.src, *(__be32 *)(data + 12));
		map_v4(&ev.dst, *(__be32 *)(data + 16));
		off = (*(__u8 *)data & 15) * 4;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6) && data + 40 <= end) {
		ev.family = AF_INET6;
		ev.protocol = *(__u8 *)(data + 6);
		__builtin_memcpy(&ev.src, data + 8, sizeof(ev.src));
		__builtin_memcpy(&ev.dst, data + 24, sizeof(ev.dst));
	}
	if ((ev.protocol == IPPROTO_TCP || ev.protocol == IPPROTO_UDP) &&
		!bpf_skb_load_bytes(skb, off, ports, sizeof(ports))) {
		ev.sport = bpf_ntohs(ports[0]);
		ev.dport = bpf_ntohs(ports[1]);
	}
	/* The current process is the sender only if it is in the cgroup of the socket. */
	ev.uid = bpf_get_socket_uid(skb);
	if (set.knows_task && bpf_get_current_cgroup_id() == bpf_skb_cgroup_id(skb))
		tell_task(&ev);
	publish(&ev, judgement);
	return 0;
}

static __always_inline int settle_packet(struct __sk_buff *skb, int judgement, __u32 way)
{
	struct ifpin_passes *passes;

	if (!is_allowed(judgement)) {
		if (set.tells && host.watching && is_told(judgement))
			tell_packet(skb, judgement);
		return 0;
	}
	passes = bpf_get_local_storage(&passed, 0);
	passes->n[way]++;
	return 1;
}

/* Sockets that are asked for, device nodes and settings: who, and no more. */
__noinline int tell_task_only(int judgement, __u16 family, __u16 protocol)
{
	struct ifpin_denial_event ev = {.family = family, .protocol = protocol};

	tell_task(&ev);
	publish(&ev, judgement);
	return 0;
}

static __always_inline int settle_sock(struct bpf_sock *sk, int judgement)
{
	if (is_allowed(judgement))
		return 1;
	if (set.tells && host.watching && is_told(judgement))
		tell_task_only(judgement, sk->family, sk->protocol);
	return 0;
}

/* The address by itself: each program may read the one of its own family only. */
__noinline int tell_addr(struct bpf_sock_addr *ctx, int judgement, const struct ifpin_addr *dst)
{
	struct ifpin_denial_event ev = {.family = ctx->user_family, .protocol = ctx->protocol};

	if (!dst)
		return 0;
	ev.dport = bpf_ntohs(ctx->user_port);
	ev.dst = *dst;
	tell_task(&ev);
	publish(&ev, judgement);
	return 0;
}

static __always_inline int settle_addr(
	struct bpf_sock_addr *ctx, int judgement, const struct ifpin_addr *dst)
{
	if (is_allowed(judgement))
		return 1;
	if (set.tells && host.watching && is_told(judgement))
		tell_addr(ctx, judgement, dst);
	return 0;
}

__noinline int tell_option(struct bpf_sockopt *ctx, int judgement)
{
	struct ifpin_denial_event ev = {
		.level = ctx->level, .option = ctx->optname, .optlen = ctx->optlen};
	__u8 *p = ctx->optval, *end = ctx->optval_end;

	if (ctx->sk) {
		ev.family = ctx->sk->family;
		ev.protocol = ctx->sk->protocol;
		ev.bound = ctx->sk->bound_dev_if;
	}
	/* The kernel's copy has 16 bytes at least; struct ipv6_mreq and in6_pktinfo have 20, and a
	 * group_req with an IPv6 group 32 that matter. */
	if (p + 16 <= end)
		__builtin_memcpy(ev.optval, p, 16);
	if (p + 20 <= end)
		__builtin_memcpy(ev.optval + 16, p + 16, 4);
	if (p + 32 <= end)
		__builtin_memcpy(ev.optval + 20, p + 20, 12);
	tell_task(&ev);
	publish(&ev, judgement);
	return 0;
}

static __always_inline int settle_option(struct bpf_sockopt *ctx, int judgement)
{
	if (is_allowed(judgement))
		return 1;
	if (set.tells && host.watching && is_told(judgement))
		tell_option(ctx, judgement);
	return 0;
}

static __always_inline int settle_other(int judgement)
{
	if (is_allowed(judgement))
		return 1;
	if (set.tells && host.watching && is_told(judgement))
		tell_task_only(judgement, 0, 0);
	return 0;
}

/* A connection that nobody has accepted yet: the kernel makes it, whatever runs just then. */
__noinline int tell_connection(int judgement, __u16 family)
{
	struct ifpin_denial_event ev = {.family = family, .protocol = IPPROTO_TCP, .knows_task = 1};

	publish(&ev, judgement);
	return 0;
}

static __always_inline void settle_connection(int judgement, __u16 family)
{
	if (!is_allowed(judgement) && set.tells && host.watching && is_told(judgement))
		tell_connection(judgement, family);
}
