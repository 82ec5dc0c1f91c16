/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* setsockopt(): steering for most options, holding for joins and multicast routing. */
#pragma once

#include "verdict.bpf.h"

static __always_inline int device_ok(const struct ifpin_pin *pin, __u32 ifindex)
{
	if (ifindex == IFPIN_LOOPBACK_IFINDEX && pin->loopback)
		return 1;
	return ifindex && ifindex == present(pin, &options);
}

/* The answer that programs know which walk through all interfaces. */
static __always_inline int deny_join(void)
{
	bpf_set_retval(-ERR_NODEV);
	return deny(IFPIN_DENY_JOIN);
}

/* The value as an unsigned number at an offset; -1 where the caller gave less. */
static __always_inline __s64 opt_u32(struct bpf_sockopt *ctx, __u32 off)
{
	__u8 *p = ctx->optval, *end = ctx->optval_end;

	if (ctx->optlen < (int)off + 4 || p + off + 4 > end)
		return -1;
	return *(__u32 *)(p + off);
}

static __always_inline int put_u32(struct bpf_sockopt *ctx, __u32 off, __u32 v)
{
	__u8 *p = ctx->optval, *end = ctx->optval_end;

	if (p + off + 4 > end)
		return -1;
	*(__u32 *)(p + off) = v;
	return 0;
}

/* Asked for the device that it has: do it here, for unprivileged programs may not rebind. */
static __always_inline int bind_option(
	const struct ifpin_pin *pin, struct bpf_sockopt *ctx, __u32 ifindex)
{
	int v = ifindex;

	if (!device_ok(pin, ifindex) || !ctx->sk)
		return deny(IFPIN_DENY_REBIND);
	if (ctx->sk->bound_dev_if != ifindex &&
		bpf_setsockopt(ctx->sk, SOL_SOCKET, SO_BINDTOIFINDEX, &v, sizeof(v)))
		return deny(IFPIN_DENY_REBIND);
	ctx->optlen = -1; /* handled: the kernel's own code is not to run */
	return ALLOW;
}

/*
 * By a mark the host's rules may lead elsewhere, and the kernel reads it again when it has been
 * judged, so a socket with one is tied. connect() to the host itself unties it, and a listener with
 * a mark hears nothing.
 */
static __always_inline int mark_option(const struct ifpin_pin *pin, struct bpf_sockopt *ctx)
{
	int v = pin->ifindex;

	if (!opt_u32(ctx, 0) || !ctx->sk || ctx->sk->bound_dev_if)
		return ALLOW;
	return bpf_setsockopt(ctx->sk, SOL_SOCKET, SO_BINDTOIFINDEX, &v, sizeof(v))
		       ? deny(IFPIN_DENY_BIND)
		       : ALLOW;
}

static __always_inline int opt_socket(const struct ifpin_pin *pin, struct bpf_sockopt *ctx)
{
	char *p = ctx->optval, *end = ctx->optval_end;
	__u64 *word;
	int with_nul;
	__s64 v;

	if (ctx->optname == SO_BINDTOIFINDEX) {
		v = opt_u32(ctx, 0);
		return v < 0 ? deny(IFPIN_DENY_REBIND) : bind_option(pin, ctx, v);
	}
	if (ctx->optname == SO_MARK)
		return mark_option(pin, ctx);
	if (ctx->optname != SO_BINDTODEVICE)
		return ALLOW;
	if (ctx->optlen < 2 || p + IFPIN_NAME_LEN > end)
		return deny(IFPIN_DENY_REBIND);
	if (p[0] == 'l' && p[1] == 'o' && (ctx->optlen == 2 || !p[2]))
		return bind_option(pin, ctx, IFPIN_LOOPBACK_IFINDEX);
	/* Two words under a mask instead of a loop, which the verifier takes milliseconds for. */
	with_nul = ctx->optlen > (int)pin->name_len;
	word = (__u64 *)p;
	if (!pin->name_len || ctx->optlen < (int)pin->name_len ||
		((word[0] ^ pin->name[0]) & (with_nul ? pin->mask_nul[0] : pin->mask[0])) ||
		((word[1] ^ pin->name[1]) & (with_nul ? pin->mask_nul[1] : pin->mask[1])))
		return deny(IFPIN_DENY_REBIND);
	return bind_option(pin, ctx, pin->ifindex);
}

/* An option whose value must be one of our devices, or 0 for none. */
static __always_inline int opt_index(
	const struct ifpin_pin *pin, struct bpf_sockopt *ctx, __u32 off, int big_endian)
{
	__s64 v = opt_u32(ctx, off);

	if (v < 0)
		return ALLOW; /* too short: the kernel refuses it with the errno that programs know
			       */
	if (big_endian)
		v = bpf_ntohl((__u32)v);
	return !v || device_ok(pin, v) ? ALLOW : deny(IFPIN_DENY_REBIND);
}

/* A join with the ifindex at an offset. None named: ours, not the one that a route would pick. */
static __always_inline int join_index(
	const struct ifpin_pin *pin, struct bpf_sockopt *ctx, __u32 off)
{
	__s64 v = opt_u32(ctx, off);

	if (v < 0 || ctx->optlen > PAGE)
		return deny_join();
	if (v)
		return device_ok(pin, v) ? ALLOW : deny_join();
	/* While the device is gone, its index may be another's. */
	if (!device_ok(pin, pin->ifindex))
		return deny_join();
	return put_u32(ctx, off, pin->ifindex) ? deny(IFPIN_DENY_MALFORMED) : ALLOW;
}

/* Which of our devices has this IPv4 address; 0 for any other, or where it is not certain. */
static __always_inline __u32 owner_of(__be32 ip4)
{
	struct ifpin_addr a;
	__u32 *owner;

	map_v4(&a, ip4);
	if (is_loopback(&a))
		return IFPIN_LOOPBACK_IFINDEX;
	owner = bpf_map_lookup_elem(&local_addrs, &a);
	return owner ? *owner : 0;
}

/* struct ip_mreq {group, address} or struct ip_mreqn {group, address, ifindex}. */
static __always_inline int join_v4(const struct ifpin_pin *pin, struct bpf_sockopt *ctx)
{
	__s64 addr = opt_u32(ctx, 4), idx = opt_u32(ctx, 8);

	if (addr < 0)
		return deny_join();
	if (idx <= 0)
		idx = addr ? owner_of(addr) : pin->ifindex;
	if (!device_ok(pin, idx))
		return deny_join();
	/* Name the device itself, so that an address that moves meanwhile changes nothing. */
	if (put_u32(ctx, 8, idx))
		return deny(IFPIN_DENY_MALFORMED);
	ctx->optlen = 12;
	return ALLOW;
}

/* struct ip_mreq_source {group, address, source}: has no place for an ifindex. */
static __always_inline int join_v4_source(const struct ifpin_pin *pin, struct bpf_sockopt *ctx)
{
	__s64 addr = opt_u32(ctx, 4);

	if (addr < 0)
		return deny_join();
	if (!addr) {
		addr = pin->device_ip4;
		if (!addr || put_u32(ctx, 4, addr))
			return deny_join();
	}
	return device_ok(pin, owner_of(addr)) ? ALLOW : deny_join();
}

/* IP_MULTICAST_IF takes struct in_addr, struct ip_mreq or struct ip_mreqn. */
static __always_inline int multicast_if_v4(const struct ifpin_pin *pin, struct bpf_sockopt *ctx)
{
	__s64 idx = opt_u32(ctx, 8), addr = opt_u32(ctx, ctx->optlen >= 8 ? 4 : 0);

	if (idx <= 0)
		idx = addr > 0 ? owner_of(addr) : pin->ifindex;
	return device_ok(pin, idx) ? ALLOW : deny(IFPIN_DENY_REBIND);
}

/* Headers and source addresses of the program's own making. */
static __always_inline int opt_forge(struct bpf_sockopt *ctx)
{
	__u8 *p = ctx->optval, *end = ctx->optval_end;

	if (ctx->optlen > PAGE)
		return deny(IFPIN_DENY_SOURCE);
	/* One byte will do for the kernel; switching off is allowed. */
	for (int i = 0; i < 4 && i < ctx->optlen && p + i + 1 <= end; i++)
		if (p[i])
			return deny(IFPIN_DENY_SOURCE);
	return ALLOW;
}

static __always_inline int opt_inet(const struct ifpin_pin *pin, struct bpf_sockopt *ctx)
{
	switch (ctx->optname) {
	case MCAST_JOIN_GROUP:
	case MCAST_JOIN_SOURCE_GROUP:
	case MCAST_BLOCK_SOURCE:
	case MCAST_UNBLOCK_SOURCE:
		return join_index(pin, ctx, 0);
	case MRT_FIRST ... MRT_LAST:
		return deny(IFPIN_DENY_MROUTE);
	}
	if (ctx->level == IPPROTO_IP) {
		switch (ctx->optname) {
		case IP_ADD_MEMBERSHIP:
			return join_v4(pin, ctx);
		case IP_ADD_SOURCE_MEMBERSHIP:
		case IP_BLOCK_SOURCE:
		case IP_UNBLOCK_SOURCE:
			return join_v4_source(pin, ctx);
		case IP_MULTICAST_IF:
			return multicast_if_v4(pin, ctx);
		case IP_UNICAST_IF:
			return opt_index(pin, ctx, 0, 1);
		case IP_HDRINCL:
		case IP_FREEBIND:
		case IP_TRANSPARENT:
			return opt_forge(ctx);
		}
		return ALLOW;
	}
	switch (ctx->optname) {
	case IPV6_JOIN_GROUP:
	case IPV6_JOIN_ANYCAST:
		return join_index(pin, ctx, 16);
	case IPV6_MULTICAST_IF:
		return opt_index(pin, ctx, 0, 0);
	case IPV6_UNICAST_IF:
		return opt_index(pin, ctx, 0, 1);
	case IPV6_PKTINFO:
		return opt_index(pin, ctx, 16, 0);
	case IPV6_FREEBIND:
	case IPV6_TRANSPARENT:
		return opt_forge(ctx);
	/* The kernel looks for the way to a segment, also of what is for the host itself. */
	case IPV6_RTHDR:
	case IPV6_2292PKTOPTIONS:
		return ctx->optlen ? deny(IFPIN_DENY_SOURCE) : ALLOW;
	}
	return ALLOW;
}

static __always_inline int opt_tcp(struct bpf_sockopt *ctx)
{
	char *p = ctx->optval, *end = ctx->optval_end;

	if (ctx->optname != TCP_ULP)
		return ALLOW;
	if (ctx->optlen >= 3 && ctx->optlen <= 16 && p + 3 <= end && p[0] == 't' && p[1] == 'l' &&
		p[2] == 's')
		return ALLOW;
	return deny(IFPIN_DENY_ULP);
}

/* Level and option of the question whether this socket is one of ours (IFPIN_PROBE_LEVEL). */
static __always_inline int is_probe(const struct ifpin_pin *pin, struct bpf_sockopt *ctx)
{
	return ctx->level == IFPIN_PROBE_LEVEL && ctx->optname == (int)pin->id;
}

static __always_inline int judge_option(const struct ifpin_pin *pin, struct bpf_sockopt *ctx)
{
	if (ctx->level == SOL_SOCKET)
		return opt_socket(pin, ctx);
	if (ctx->level == IPPROTO_IP || ctx->level == SOL_IPV6)
		return opt_inet(pin, ctx);
	if (ctx->level == IPPROTO_TCP)
		return opt_tcp(ctx);
	return ALLOW;
}

SEC("cgroup/setsockopt")
int ifpin_setsockopt(struct bpf_sockopt *ctx)
{
	const struct ifpin_pin *pin = own();
	int judgement;

	if (is_probe(pin, ctx))
		ctx->optlen = -1;
	if (!pin->armed)
		return ALLOW;
	/* Handled by a program below: what is there for the kernel to do is nothing. */
	if (ctx->optlen == -1)
		return ALLOW;
	judgement = judge_option(pin, ctx);
	/* Long values (filters, source lists) do not fit our window; the kernel reads the original.
	 */
	if (judgement == ALLOW && ctx->optlen > PAGE)
		ctx->optlen = 0;
	return settle_option(ctx, judgement);
}
