// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The programs that hold a cgroup to one device.
 *
 * Two kinds of work are done here and must not be confused. The skb programs *hold*: whatever a
 * socket was told, a packet passes only on the device or on loopback. All other programs *steer*:
 * they make ordinary traffic take the right way, or refuse early with a clear error. Only joins
 * and multicast routing are held by a steering program, because the packets that they cause are
 * sent by sockets of the kernel that no skb program of this cgroup ever sees.
 *
 * UAPI headers only: with a vmlinux.h libbpf would parse the kernel's whole BTF at each start.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "policy.h"

#define ALLOW 1

/* From the kernel's UAPI; their headers cannot be included beside <linux/bpf.h> here. */
enum {
	AF_INET = 2,
	AF_INET6 = 10,
	SOCK_STREAM = 1,
	SOCK_DGRAM = 2,
	SOCK_RAW = 3,
	SOL_SOCKET = 1,
	SO_BINDTODEVICE = 25,
	SO_BINDTOIFINDEX = 62,
	SOL_IPV6 = 41,
	IPV6_MULTICAST_IF = 17,
	IPV6_JOIN_GROUP = 20,
	IPV6_JOIN_ANYCAST = 27,
	IPV6_PKTINFO = 50,
	IPV6_UNICAST_IF = 76,
	MRT_FIRST = 200,
	MRT_LAST = 220,
	TCP_ULP = 31,
	PROTO_ICMPV6 = 58,
	PROTO_MPTCP = 262,
	ERR_INTR = 4,
	DEV_MEM_MAJOR = 1,
	DEV_MISC_MAJOR = 10,
	PAGE = 4096,
};

const volatile struct ifpin_policy policy = {};

/* Written by the supervisor through a shared mapping. */
struct ifpin_state state = {};
__u64 denials[IFPIN_REASON_COUNT] = {};

/* Every address of the host, with the device that has it (0: more than one has it). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, IFPIN_MAX_LOCAL_ADDRS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ifpin_addr);
	__type(value, __u32);
} local_addrs SEC(".maps");

static __always_inline int deny(enum ifpin_reason reason)
{
	__sync_fetch_and_add(&denials[reason], 1);
	return 0;
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

static __always_inline int maybe_local(__u32 bit)
{
	return state.local_filter[bit / 64] >> bit % 64 & 1;
}

/* Never on a wire: loopback, the unspecified address, and what the host calls its own. */
static __always_inline int is_local(const struct ifpin_addr *a)
{
	return is_any(a) || is_loopback(a) ||
	       (maybe_local(ifpin_filter_bit(a->b)) &&
		       bpf_map_lookup_elem(&local_addrs, a) != NULL);
}

/* The same for the path that every IPv4 packet takes. */
static __always_inline int is_local4(__be32 ip4)
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

/* ---- holding: packets ------------------------------------------------------------------- */

/*
 * Whether the destination is an address of the host; -1 where there is none to be found. Where it
 * stands: RFC 791, RFC 8200 (<linux/ipv6.h> cannot be included beside the names above).
 */
static __always_inline int goes_to_local(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ifpin_addr a;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		return data + 20 > end ? -1 : is_local4(*(__be32 *)(data + 16));
	if (skb->protocol != bpf_htons(ETH_P_IPV6) || data + 40 > end)
		return -1;
	__builtin_memcpy(&a, data + 24, sizeof(a));
	return is_local(&a);
}

SEC("cgroup_skb/egress")
int ifpin_egress(struct __sk_buff *skb)
{
	int local;

	/* Runs after routing: this is the device that the packet is about to leave by. */
	if (skb->ifindex == IFPIN_LOOPBACK_IFINDEX)
		return policy.loopback ? ALLOW : deny(IFPIN_DENY_LOOPBACK);
	if (skb->ifindex != policy.ifindex)
		return deny(IFPIN_DENY_OTHER_DEVICE);
	if (state.gone)
		return deny(IFPIN_DENY_GONE);
	local = goes_to_local(skb);
	if (local)
		return deny(local < 0 ? IFPIN_DENY_MALFORMED : IFPIN_DENY_LOCAL_ON_WIRE);
	return ALLOW;
}

SEC("cgroup_skb/ingress")
int ifpin_ingress(struct __sk_buff *skb)
{
	if (skb->ifindex == IFPIN_LOOPBACK_IFINDEX)
		return policy.loopback ? ALLOW : deny(IFPIN_DENY_LOOPBACK);
	if (skb->ifindex != policy.ifindex)
		return deny(IFPIN_DENY_INGRESS);
	return ALLOW;
}

/* ---- steering: sockets ------------------------------------------------------------------ */

/*
 * Sockets start unbound and are bound once it is known where they talk to, because the kernel lets
 * a process without CAP_NET_RAW bind a socket and never unbind it again (sock_bindtoindex_locked).
 * Those for which no later hook runs are bound here, unless the host's routes do the same.
 */
SEC("cgroup/sock_create")
int ifpin_sock_create(struct bpf_sock *sk)
{
	__u32 agree = policy.routes_agree[0] && (sk->family == AF_INET || policy.routes_agree[1]);
	__u32 hooked = 0;

	/* An ifindex means something in its own namespace only; elsewhere it would match by luck.
	 */
	if (bpf_get_netns_cookie(sk) != policy.netns_cookie)
		return deny(IFPIN_DENY_NETNS);

	switch (sk->type) {
	case SOCK_STREAM:
		if (sk->protocol != IPPROTO_TCP && sk->protocol != PROTO_MPTCP)
			return deny(IFPIN_DENY_PROTOCOL);
		hooked = sk->protocol == IPPROTO_TCP;
		break;
	case SOCK_DGRAM:
		if (sk->protocol == IPPROTO_ICMP || sk->protocol == PROTO_ICMPV6)
			break;
		if (sk->protocol != IPPROTO_UDP && sk->protocol != IPPROTO_UDPLITE)
			return deny(IFPIN_DENY_PROTOCOL);
		hooked = 1;
		break;
	case SOCK_RAW:
		break;
	default:
		return deny(IFPIN_DENY_PROTOCOL);
	}
	if (!policy.loopback || (!hooked && !agree))
		sk->bound_dev_if = policy.ifindex;
	return ALLOW;
}

static __always_inline int pin(void *ctx, __u32 ifindex)
{
	int v = ifindex;

	return bpf_setsockopt(ctx, SOL_SOCKET, SO_BINDTOIFINDEX, &v, sizeof(v))
		       ? deny(IFPIN_DENY_BIND)
		       : ALLOW;
}

static __always_inline __u32 bound_dev(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	return sk ? sk->bound_dev_if : 0;
}

static __always_inline int steer(struct bpf_sock_addr *ctx, __u32 ifindex)
{
	return bound_dev(ctx) == ifindex ? ALLOW : pin(ctx, ifindex);
}

static __always_inline void load6(struct bpf_sock_addr *ctx, struct ifpin_addr *a)
{
	__u32 *w = (__u32 *)a->b;

	w[0] = ctx->user_ip6[0];
	w[1] = ctx->user_ip6[1];
	w[2] = ctx->user_ip6[2];
	w[3] = ctx->user_ip6[3];
}

/* connect() comes before routing: local talk is unbound, all else is bound to the device. */
static __always_inline int connect_to(struct bpf_sock_addr *ctx, const struct ifpin_addr *a)
{
	if (is_local(a))
		return policy.loopback ? steer(ctx, 0) : deny(IFPIN_DENY_LOOPBACK);
	return steer(ctx, policy.ifindex);
}

SEC("cgroup/connect4")
int ifpin_connect4(struct bpf_sock_addr *ctx)
{
	struct ifpin_addr a;

	map_v4(&a, ctx->user_ip4);
	return connect_to(ctx, &a);
}

SEC("cgroup/connect6")
int ifpin_connect6(struct bpf_sock_addr *ctx)
{
	struct ifpin_addr a;

	load6(ctx, &a);
	return connect_to(ctx, &a);
}

/*
 * A listener has to hear both loopback and the device, so it stays unbound; the ingress program
 * refuses everything else. Its answers follow the host's routing, and the egress program refuses
 * them where that leads elsewhere. One on the device's own address is bound then: those who reach
 * it over loopback lose, those who reach it over the device win.
 */
static __always_inline int bind_to(struct bpf_sock_addr *ctx, const struct ifpin_addr *a)
{
	__u32 agree = is_v4(a) ? policy.routes_agree[0] : policy.routes_agree[1];
	__u32 *owner = bpf_map_lookup_elem(&local_addrs, a);

	if (is_multicast(a))
		return steer(ctx, policy.ifindex);
	if (is_any(a))
		return ALLOW;
	if (!policy.loopback)
		return owner && *owner == policy.ifindex ? ALLOW : deny(IFPIN_DENY_LOOPBACK);
	if (!owner || *owner == policy.ifindex)
		return is_loopback(a) || agree ? ALLOW : steer(ctx, policy.ifindex);
	return ALLOW;
}

SEC("cgroup/bind4")
int ifpin_bind4(struct bpf_sock_addr *ctx)
{
	struct ifpin_addr a;

	map_v4(&a, ctx->user_ip4);
	return bind_to(ctx, &a);
}

SEC("cgroup/bind6")
int ifpin_bind6(struct bpf_sock_addr *ctx)
{
	struct ifpin_addr a;

	load6(ctx, &a);
	return bind_to(ctx, &a);
}

/*
 * udp_sendmsg() has read the bound device before these run: a binding made here counts from the
 * next call on. So this call is answered with EINTR, "nothing was sent, call again", which the
 * runtimes of Python, Go, Rust and node do by themselves. It happens once a socket, and only where
 * the host's routes lead elsewhere than the device.
 */
static __always_inline int bind_and_repeat(struct bpf_sock_addr *ctx)
{
	if (!pin(ctx, policy.ifindex))
		return 0;
	bpf_set_retval(-ERR_INTR);
	return 0;
}

/* The program has bound the socket by itself, or it talked to the device before. */
static __always_inline int local_from_bound4(struct bpf_sock_addr *ctx, __be32 dst)
{
	int zero = 0;

	/*
	 * The route to 0.0.0.0 leads to the source address over loopback, whatever the bound device
	 * is (ip_route_output_key_hash_rcu). So this datagram arrives; for the answers to arrive
	 * too the socket must be unbound, which takes CAP_NET_RAW: try.
	 */
	ctx->msg_src_ip4 = dst ?: bpf_htonl(INADDR_LOOPBACK);
	ctx->user_ip4 = 0;
	bpf_setsockopt(ctx, SOL_SOCKET, SO_BINDTOIFINDEX, &zero, sizeof(zero));
	return ALLOW;
}

SEC("cgroup/sendmsg4")
int ifpin_sendmsg4(struct bpf_sock_addr *ctx)
{
	__u32 bound = bound_dev(ctx);
	struct ifpin_addr a;

	map_v4(&a, ctx->user_ip4);
	/* The plainest case first: where routing does what is wanted, nothing is to be done. */
	if (!bound && policy.loopback && policy.routes_agree[0] && !is_multicast(&a))
		return ALLOW;
	if (is_local(&a)) {
		if (!policy.loopback)
			return deny(IFPIN_DENY_LOOPBACK);
		return bound == policy.ifindex ? local_from_bound4(ctx, ctx->user_ip4) : ALLOW;
	}
	if (bound == policy.ifindex)
		return ALLOW;
	/* Unbound multicast and broadcast go out by the device that has the source address. */
	if (is_multicast(&a)) {
		if (ctx->msg_src_ip4)
			return ALLOW;
		if (!state.device_ip4)
			return bind_and_repeat(ctx);
		ctx->msg_src_ip4 = state.device_ip4;
		return ALLOW;
	}
	return policy.routes_agree[0] ? ALLOW : bind_and_repeat(ctx);
}

SEC("cgroup/sendmsg6")
int ifpin_sendmsg6(struct bpf_sock_addr *ctx)
{
	struct ifpin_addr a;

	load6(ctx, &a);
	if (is_local(&a))
		return policy.loopback ? steer(ctx, 0) : deny(IFPIN_DENY_LOOPBACK);
	if (bound_dev(ctx) == policy.ifindex)
		return ALLOW;
	/* Which device is meant is in a scope that is not shown here: from the next call on, ours.
	 */
	if (is_multicast(&a))
		return pin(ctx, policy.ifindex);
	return policy.routes_agree[1] ? ALLOW : bind_and_repeat(ctx);
}

/*
 * A connection accepted by an unbound listener is tied to the device as soon as it exists, so
 * that what the kernel later sends for it without its socket (TIME_WAIT, resets) stays there too.
 */
SEC("sockops")
int ifpin_sockops(struct bpf_sock_ops *ctx)
{
	struct ifpin_addr a;
	__u32 *w = (__u32 *)a.b;
	int v = policy.ifindex;

	if (ctx->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		return 1;
	if (ctx->family == AF_INET) {
		map_v4(&a, ctx->remote_ip4);
	} else {
		w[0] = ctx->remote_ip6[0];
		w[1] = ctx->remote_ip6[1];
		w[2] = ctx->remote_ip6[2];
		w[3] = ctx->remote_ip6[3];
	}
	if (!is_local(&a) && bpf_setsockopt(ctx, SOL_SOCKET, SO_BINDTOIFINDEX, &v, sizeof(v)))
		deny(IFPIN_DENY_BIND);
	return 1;
}

/* ---- steering and holding: socket options ------------------------------------------------ */

static __always_inline int device_ok(__u32 ifindex)
{
	return ifindex == policy.ifindex || (ifindex == IFPIN_LOOPBACK_IFINDEX && policy.loopback);
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
static __always_inline int bind_option(struct bpf_sockopt *ctx, __u32 ifindex)
{
	int v = ifindex;

	if (!device_ok(ifindex) || !ctx->sk)
		return deny(IFPIN_DENY_REBIND);
	if (ctx->sk->bound_dev_if != ifindex &&
		bpf_setsockopt(ctx->sk, SOL_SOCKET, SO_BINDTOIFINDEX, &v, sizeof(v)))
		return deny(IFPIN_DENY_REBIND);
	ctx->optlen = -1; /* handled: the kernel's own code is not to run */
	return ALLOW;
}

static __always_inline int opt_socket(struct bpf_sockopt *ctx)
{
	char *p = ctx->optval, *end = ctx->optval_end;
	__u64 *word;
	int with_nul;
	__s64 v;

	if (ctx->optname == SO_BINDTOIFINDEX) {
		v = opt_u32(ctx, 0);
		return v < 0 ? deny(IFPIN_DENY_REBIND) : bind_option(ctx, v);
	}
	if (ctx->optname != SO_BINDTODEVICE)
		return ALLOW;
	if (ctx->optlen < 2 || p + IFPIN_NAME_LEN > end)
		return deny(IFPIN_DENY_REBIND);
	if (p[0] == 'l' && p[1] == 'o' && (ctx->optlen == 2 || !p[2]))
		return bind_option(ctx, IFPIN_LOOPBACK_IFINDEX);
	/* Two words under a mask instead of a loop, which the verifier takes milliseconds for. */
	with_nul = ctx->optlen > (int)state.name_len;
	word = (__u64 *)p;
	if (!state.name_len || ctx->optlen < (int)state.name_len ||
		((word[0] ^ state.name[0]) & (with_nul ? state.mask_nul[0] : state.mask[0])) ||
		((word[1] ^ state.name[1]) & (with_nul ? state.mask_nul[1] : state.mask[1])))
		return deny(IFPIN_DENY_REBIND);
	return bind_option(ctx, policy.ifindex);
}

/* An option whose value must be one of our devices, or 0 for none. */
static __always_inline int opt_index(struct bpf_sockopt *ctx, __u32 off, int big_endian)
{
	__s64 v = opt_u32(ctx, off);

	if (v < 0)
		return ALLOW; /* too short: the kernel refuses it with the errno that programs know
			       */
	if (big_endian)
		v = bpf_ntohl((__u32)v);
	return !v || device_ok(v) ? ALLOW : deny(IFPIN_DENY_REBIND);
}

/* A join with the ifindex at an offset. None named: ours, not the one that a route would pick. */
static __always_inline int join_index(struct bpf_sockopt *ctx, __u32 off)
{
	__s64 v = opt_u32(ctx, off);

	if (v < 0 || ctx->optlen > PAGE)
		return deny(IFPIN_DENY_JOIN);
	if (v)
		return device_ok(v) ? ALLOW : deny(IFPIN_DENY_JOIN);
	return put_u32(ctx, off, policy.ifindex) ? deny(IFPIN_DENY_MALFORMED) : ALLOW;
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
static __always_inline int join_v4(struct bpf_sockopt *ctx)
{
	__s64 addr = opt_u32(ctx, 4), idx = opt_u32(ctx, 8);

	if (addr < 0)
		return deny(IFPIN_DENY_JOIN);
	if (idx <= 0)
		idx = addr ? owner_of(addr) : policy.ifindex;
	if (!device_ok(idx))
		return deny(IFPIN_DENY_JOIN);
	/* Name the device itself, so that an address that moves meanwhile changes nothing. */
	if (put_u32(ctx, 8, idx))
		return deny(IFPIN_DENY_MALFORMED);
	ctx->optlen = 12;
	return ALLOW;
}

/* struct ip_mreq_source {group, address, source}: has no place for an ifindex. */
static __always_inline int join_v4_source(struct bpf_sockopt *ctx)
{
	__s64 addr = opt_u32(ctx, 4);

	if (addr < 0)
		return deny(IFPIN_DENY_JOIN);
	if (!addr) {
		addr = state.device_ip4;
		if (!addr || put_u32(ctx, 4, addr))
			return deny(IFPIN_DENY_JOIN);
	}
	return device_ok(owner_of(addr)) ? ALLOW : deny(IFPIN_DENY_JOIN);
}

/* IP_MULTICAST_IF takes struct in_addr, struct ip_mreq or struct ip_mreqn. */
static __always_inline int multicast_if_v4(struct bpf_sockopt *ctx)
{
	__s64 idx = opt_u32(ctx, 8), addr = opt_u32(ctx, ctx->optlen >= 8 ? 4 : 0);

	if (idx <= 0)
		idx = addr > 0 ? owner_of(addr) : policy.ifindex;
	return device_ok(idx) ? ALLOW : deny(IFPIN_DENY_REBIND);
}

static __always_inline int opt_inet(struct bpf_sockopt *ctx)
{
	switch (ctx->optname) {
	case MCAST_JOIN_GROUP:
	case MCAST_JOIN_SOURCE_GROUP:
	case MCAST_BLOCK_SOURCE:
	case MCAST_UNBLOCK_SOURCE:
		return join_index(ctx, 0);
	case MRT_FIRST ... MRT_LAST:
		return deny(IFPIN_DENY_MROUTE);
	}
	if (ctx->level == IPPROTO_IP) {
		switch (ctx->optname) {
		case IP_ADD_MEMBERSHIP:
			return join_v4(ctx);
		case IP_ADD_SOURCE_MEMBERSHIP:
		case IP_BLOCK_SOURCE:
		case IP_UNBLOCK_SOURCE:
			return join_v4_source(ctx);
		case IP_MULTICAST_IF:
			return multicast_if_v4(ctx);
		case IP_UNICAST_IF:
			return opt_index(ctx, 0, 1);
		}
		return ALLOW;
	}
	switch (ctx->optname) {
	case IPV6_JOIN_GROUP:
	case IPV6_JOIN_ANYCAST:
		return join_index(ctx, 16);
	case IPV6_MULTICAST_IF:
		return opt_index(ctx, 0, 0);
	case IPV6_UNICAST_IF:
		return opt_index(ctx, 0, 1);
	case IPV6_PKTINFO:
		return opt_index(ctx, 16, 0);
	}
	return ALLOW;
}

static __always_inline int opt_tcp(struct bpf_sockopt *ctx)
{
	char *p = ctx->optval, *end = ctx->optval_end;

	if (ctx->optname != TCP_ULP)
		return ALLOW;
	if (ctx->optlen >= 3 && p + 3 <= end && p[0] == 't' && p[1] == 'l' && p[2] == 's')
		return ALLOW;
	return deny(IFPIN_DENY_ULP);
}

SEC("cgroup/setsockopt")
int ifpin_setsockopt(struct bpf_sockopt *ctx)
{
	int ret = ALLOW;

	if (ctx->level == SOL_SOCKET)
		ret = opt_socket(ctx);
	else if (ctx->level == IPPROTO_IP || ctx->level == SOL_IPV6)
		ret = opt_inet(ctx);
	else if (ctx->level == IPPROTO_TCP)
		ret = opt_tcp(ctx);
	/* Long values (filters, source lists) do not fit our window; the kernel reads the original.
	 */
	if (ret == ALLOW && ctx->optlen > PAGE)
		ctx->optlen = 0;
	return ret;
}

/* ---- holding: device nodes that are wires ------------------------------------------------ */

SEC("cgroup/dev")
int ifpin_dev(struct bpf_cgroup_dev_ctx *ctx)
{
	if ((ctx->access_type & 0xffff) != BPF_DEVCG_DEV_CHAR)
		return ALLOW;
	/* /dev/mem, /dev/kmem, /dev/port */
	if (ctx->major == DEV_MEM_MAJOR && (ctx->minor == 1 || ctx->minor == 2 || ctx->minor == 4))
		return deny(IFPIN_DENY_DEVNODE);
	/* tun, vfio, vhost-net, vhost-vsock */
	if (ctx->major == DEV_MISC_MAJOR &&
		(ctx->minor == 200 || ctx->minor == 196 || ctx->minor == 238 || ctx->minor == 241))
		return deny(IFPIN_DENY_DEVNODE);
	for (int i = 0; i < IFPIN_MAX_DENIED_MAJORS && policy.denied_majors[i]; i++)
		if (ctx->major == policy.denied_majors[i])
			return deny(IFPIN_DENY_DEVNODE);
	return ALLOW;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
