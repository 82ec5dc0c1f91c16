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
#include "sockopt.bpf.h"

/* ---- holding: packets ------------------------------------------------------------------- */

/*
 * ICMP errors of one's own making would have the kernel send again what other connections of the
 * host wait for. Echo and its answer are what is left. Extension headers could hide others.
 */
static __always_inline int judge_icmp_to_host(struct __sk_buff *skb, int v4)
{
	__u8 proto = 0, type = 0;
	__u8 ihl = 0;

	if (v4) {
		if (bpf_skb_load_bytes(skb, 0, &ihl, 1) || bpf_skb_load_bytes(skb, 9, &proto, 1))
			return deny(IFPIN_DENY_MALFORMED);
		if (proto != IPPROTO_ICMP)
			return ALLOW;
		if (bpf_skb_load_bytes(skb, (ihl & 15) * 4, &type, 1))
			return deny(IFPIN_DENY_MALFORMED);
		return type == ICMP4_ECHO || type == ICMP4_ECHO_REPLY ? ALLOW
								      : deny(IFPIN_DENY_ICMP);
	}
	if (bpf_skb_load_bytes(skb, 6, &proto, 1))
		return deny(IFPIN_DENY_MALFORMED);
	switch (proto) {
	case PROTO_ICMPV6:
		if (bpf_skb_load_bytes(skb, 40, &type, 1))
			return deny(IFPIN_DENY_MALFORMED);
		return type == ICMP6_ECHO || type == ICMP6_ECHO_REPLY ? ALLOW
								      : deny(IFPIN_DENY_ICMP);
	case 0: /* hop-by-hop options, routing, fragment, destination options, mobility, HIP, shim6
		 */
	case 43:
	case 44:
	case 60:
	case 135:
	case 139:
	case 140:
		return deny(IFPIN_DENY_ICMP);
	}
	return ALLOW;
}

/*
 * A source must be the host's own. Were it not, something outside this confinement would answer it
 * by the route to there: the kernel itself, or a service on the host that is reached over loopback.
 * Where these addresses stand: RFC 791, RFC 8200 (<linux/ipv6.h> cannot be had beside our names).
 */
static __always_inline int judge_on_wire(const struct ifpin_pin *pin, struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ifpin_addr src, dst;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		__be32 from, to;

		if (data + 20 > end)
			return deny(IFPIN_DENY_MALFORMED);
		from = *(__be32 *)(data + 12);
		to = *(__be32 *)(data + 16);
		if (from != pin->device_ip4 && from &&
			(!is_local4(from) ||
				(from & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000)))
			return deny(IFPIN_DENY_SOURCE);
		return is_local4(to) ? deny(IFPIN_DENY_LOCAL_ON_WIRE) : ALLOW;
	}
	if (skb->protocol != bpf_htons(ETH_P_IPV6) || data + 40 > end)
		return deny(IFPIN_DENY_MALFORMED);
	__builtin_memcpy(&src, data + 8, sizeof(src));
	__builtin_memcpy(&dst, data + 24, sizeof(dst));
	/* "::" is the source of those who have none yet, and passes for local. */
	if (!is_local(&src) || is_loopback(&src))
		return deny(IFPIN_DENY_SOURCE);
	/* The host hears what goes to a group: a router advertisement would set its addresses. */
	if (dst.b[0] == 0xff)
		return judge_icmp_to_host(skb, 0);
	return is_local(&dst) ? deny(IFPIN_DENY_LOCAL_ON_WIRE) : ALLOW;
}

/*
 * On loopback the source must stay the host's own while the packet is answered. An address of
 * another device may be taken away meanwhile, and what answers it then leaves by the route to
 * there; so only those of loopback and of the device, and one that talks to itself.
 */
static __always_inline int judge_on_lo(const struct ifpin_pin *pin, struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	int v4 = skb->protocol == bpf_htons(ETH_P_IP);
	struct ifpin_addr src, dst;
	__u32 *owner;

	if (v4) {
		if (data + 20 > end)
			return deny(IFPIN_DENY_MALFORMED);
		map_v4(&src, *(__be32 *)(data + 12));
		map_v4(&dst, *(__be32 *)(data + 16));
	} else {
		if (skb->protocol != bpf_htons(ETH_P_IPV6) || data + 40 > end)
			return deny(IFPIN_DENY_MALFORMED);
		__builtin_memcpy(&src, data + 8, sizeof(src));
		__builtin_memcpy(&dst, data + 24, sizeof(dst));
	}
	if (is_any(&src))
		return deny(IFPIN_DENY_SOURCE);
	if (!is_loopback(&src) && !same(&src, &dst)) {
		owner = bpf_map_lookup_elem(&local_addrs, &src);
		if (!owner || (*owner != pin->ifindex && *owner != IFPIN_LOOPBACK_IFINDEX))
			return deny(IFPIN_DENY_SOURCE);
	}
	return judge_icmp_to_host(skb, v4);
}

/* Runs after routing: skb->ifindex is the device that the packet is about to leave by. */
static __always_inline int judge_egress(const struct ifpin_pin *pin, struct __sk_buff *skb)
{
	__u32 ifindex;

	if (skb->ifindex == IFPIN_LOOPBACK_IFINDEX)
		return pin->loopback ? judge_on_lo(pin, skb) : deny(IFPIN_DENY_LOOPBACK);
	ifindex = present(pin, &packets);
	if (skb->ifindex != ifindex)
		return deny(ifindex ? IFPIN_DENY_OTHER_DEVICE : IFPIN_DENY_GONE);
	return judge_on_wire(pin, skb);
}

SEC("cgroup_skb/egress")
int ifpin_egress(struct __sk_buff *skb)
{
	const struct ifpin_pin *pin = own();

	return pin->armed ? settle_packet(skb, judge_egress(pin, skb), IFPIN_PASSED_OUT) : ALLOW;
}

/*
 * What answers a connection before there is a socket for it, a SYN cookie, passes no egress
 * program. It goes where the host's routes lead, unless its listener is bound. What these were
 * asked for has no mark, and a source of the device's or of loopback.
 */
static __always_inline int has_way_back(const struct ifpin_pin *pin, struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	int v4 = skb->protocol == bpf_htons(ETH_P_IP);
	struct ifpin_network key = {.prefixlen = 128};
	struct bpf_sock *sk = skb->sk;
	struct ifpin_addr src, dst;
	__u32 *ifindex, *owner;

	sk = sk ? bpf_sk_fullsock(sk) : NULL;
	if (!sk || sk->protocol != IPPROTO_TCP || sk->state != BPF_TCP_LISTEN ||
		sk->bound_dev_if == pin->ifindex)
		return 1;
	if (sk->mark)
		return 0;
	if (v4) {
		if (data + 20 > end)
			return 0;
		map_v4(&src, *(__be32 *)(data + 12));
		map_v4(&dst, *(__be32 *)(data + 16));
	} else {
		if (data + 40 > end)
			return 0;
		__builtin_memcpy(&src, data + 8, sizeof(src));
		__builtin_memcpy(&dst, data + 24, sizeof(dst));
	}
	/* Of a link-local source the kernel keeps the link. */
	if (src.b[0] == 0xfe && (src.b[1] & 0xc0) == 0x80)
		return 1;
	owner = bpf_map_lookup_elem(&local_addrs, &dst);
	if (!owner)
		return 0;
	if (*owner != pin->ifindex && *owner != IFPIN_LOOPBACK_IFINDEX &&
		!(v4 ? pin->routes_agree[0] : pin->routes_agree[1]))
		return 0;
	__builtin_memcpy(key.addr, src.b, sizeof(key.addr));
	ifindex = bpf_map_lookup_elem(&ways, &key);
	return ifindex && *ifindex == pin->ifindex;
}

/*
 * What comes in by a device of a VRF is shown as come in by the VRF. But the kernel gives it to a
 * socket that is tied to the device only if it came by that (inet_sdif).
 */
static __always_inline int is_tied(struct __sk_buff *skb, __u32 ifindex)
{
	struct bpf_sock *sk = skb->sk;

	return sk && ifindex && sk->bound_dev_if == ifindex;
}

static __always_inline int judge_ingress(const struct ifpin_pin *pin, struct __sk_buff *skb)
{
	__u32 ifindex;

	if (skb->ifindex == IFPIN_LOOPBACK_IFINDEX)
		return pin->loopback ? ALLOW : deny(IFPIN_DENY_LOOPBACK);
	ifindex = present(pin, &packets);
	if (skb->ifindex != ifindex && !is_tied(skb, ifindex))
		return deny(IFPIN_DENY_INGRESS);
	return has_way_back(pin, skb) ? ALLOW : deny(IFPIN_DENY_NO_WAY_BACK);
}

SEC("cgroup_skb/ingress")
int ifpin_ingress(struct __sk_buff *skb)
{
	const struct ifpin_pin *pin = own();

	return pin->armed ? settle_packet(skb, judge_ingress(pin, skb), IFPIN_PASSED_IN) : ALLOW;
}

/* ---- steering: sockets ------------------------------------------------------------------ */

/*
 * Sockets start unbound and are bound once it is known where they talk to, because the kernel lets
 * a process without CAP_NET_RAW bind a socket and never unbind it again (sock_bindtoindex_locked).
 * Those for which no later hook runs are bound here, unless the host's routes do the same.
 */
static __always_inline int judge_creation(const struct ifpin_pin *pin, struct bpf_sock *sk)
{
	__u32 agree = pin->routes_agree[0] && (sk->family == AF_INET || pin->routes_agree[1]);
	__u32 hooked = 0;

	/* An ifindex means something in its own namespace only; elsewhere it would match by luck.
	 */
	if (bpf_get_netns_cookie(sk) != set.netns_cookie)
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
		/*
		 * Of a multicast the kernel hears a copy itself, as if it came in by the device
		 * that IP_PKTINFO names, and no program sees it. An IGMP query would make it report
		 * there.
		 */
		if (sk->family == AF_INET &&
			(sk->protocol == IPPROTO_RAW || sk->protocol == IPPROTO_IGMP))
			return deny(IFPIN_DENY_PROTOCOL);
		break;
	default:
		return deny(IFPIN_DENY_PROTOCOL);
	}
	if (!pin->loopback || (!hooked && !agree))
		sk->bound_dev_if = pin->ifindex;
	return ALLOW;
}

SEC("cgroup/sock_create")
int ifpin_sock_create(struct bpf_sock *sk)
{
	const struct ifpin_pin *pin = own();

	return pin->armed ? settle_sock(sk, judge_creation(pin, sk)) : ALLOW;
}

static __always_inline int tie(void *ctx, __u32 ifindex)
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
	return bound_dev(ctx) == ifindex ? ALLOW : tie(ctx, ifindex);
}

static __always_inline void load6(struct bpf_sock_addr *ctx, struct ifpin_addr *a)
{
	__u32 *w = (__u32 *)a->b;

	w[0] = ctx->user_ip6[0];
	w[1] = ctx->user_ip6[1];
	w[2] = ctx->user_ip6[2];
	w[3] = ctx->user_ip6[3];
}

/* DNS, also over TLS. Which file of the host says so does not matter: it may be replaced. */
static __always_inline int asks_resolver(const struct ifpin_pin *pin, struct bpf_sock_addr *ctx)
{
	return pin->guard_resolvers &&
	       (ctx->user_port == bpf_htons(53) || ctx->user_port == bpf_htons(853));
}

static __always_inline int to_local(const struct ifpin_pin *pin, struct bpf_sock_addr *ctx)
{
	if (!pin->loopback)
		return deny(IFPIN_DENY_LOOPBACK);
	return asks_resolver(pin, ctx) ? deny(IFPIN_DENY_RESOLVER) : ALLOW;
}

/* connect() comes before routing: local talk is unbound, all else is bound to the device. */
static __always_inline int connect_to(
	const struct ifpin_pin *pin, struct bpf_sock_addr *ctx, const struct ifpin_addr *a)
{
	int judgement;

	if (!is_local(a))
		return steer(ctx, pin->ifindex);
	judgement = to_local(pin, ctx);
	return judgement == ALLOW ? steer(ctx, 0) : judgement;
}

SEC("cgroup/connect4")
int ifpin_connect4(struct bpf_sock_addr *ctx)
{
	const struct ifpin_pin *pin = own();
	struct ifpin_addr a;

	if (!pin->armed)
		return ALLOW;
	map_v4(&a, ctx->user_ip4);
	return settle_addr(ctx, connect_to(pin, ctx, &a), &a);
}

SEC("cgroup/connect6")
int ifpin_connect6(struct bpf_sock_addr *ctx)
{
	const struct ifpin_pin *pin = own();
	struct ifpin_addr a;

	if (!pin->armed)
		return ALLOW;
	load6(ctx, &a);
	return settle_addr(ctx, connect_to(pin, ctx, &a), &a);
}

/*
 * A listener has to hear both loopback and the device, so it stays unbound; the ingress program
 * refuses everything else. Its answers follow the host's routing, and the egress program refuses
 * them where that leads elsewhere. One on the device's own address is bound then: those who reach
 * it over loopback lose, those who reach it over the device win.
 */
static __always_inline int bind_to(
	const struct ifpin_pin *pin, struct bpf_sock_addr *ctx, const struct ifpin_addr *a)
{
	__u32 agree = is_v4(a) ? pin->routes_agree[0] : pin->routes_agree[1];
	__u32 *owner = bpf_map_lookup_elem(&local_addrs, a);

	if (is_multicast(a))
		return steer(ctx, pin->ifindex);
	if (is_any(a))
		return ALLOW;
	if (!pin->loopback)
		return owner && *owner == pin->ifindex ? ALLOW : deny(IFPIN_DENY_LOOPBACK);
	if (!owner || *owner == pin->ifindex)
		return is_loopback(a) || agree ? ALLOW : steer(ctx, pin->ifindex);
	return ALLOW;
}

SEC("cgroup/bind4")
int ifpin_bind4(struct bpf_sock_addr *ctx)
{
	const struct ifpin_pin *pin = own();
	struct ifpin_addr a;

	if (!pin->armed)
		return ALLOW;
	map_v4(&a, ctx->user_ip4);
	return settle_addr(ctx, bind_to(pin, ctx, &a), &a);
}

SEC("cgroup/bind6")
int ifpin_bind6(struct bpf_sock_addr *ctx)
{
	const struct ifpin_pin *pin = own();
	struct ifpin_addr a;

	if (!pin->armed)
		return ALLOW;
	load6(ctx, &a);
	return settle_addr(ctx, bind_to(pin, ctx, &a), &a);
}

/* No denial: this call is not made, and the next one will be. */
#define REPEAT 0

/*
 * udp_sendmsg() has read the bound device before these run: a binding made here counts from the
 * next call on. So this call is answered with EINTR, "nothing was sent, call again", which the
 * runtimes of Python, Go, Rust and node do by themselves. It happens once a socket, and only where
 * the host's routes lead elsewhere than the device.
 */
static __always_inline int bind_and_repeat(const struct ifpin_pin *pin, struct bpf_sock_addr *ctx)
{
	int judgement = tie(ctx, pin->ifindex);

	return judgement == ALLOW ? REPEAT : judgement;
}

static __always_inline int settle_send(
	struct bpf_sock_addr *ctx, int judgement, const struct ifpin_addr *to)
{
	if (judgement != REPEAT)
		return settle_addr(ctx, judgement, to);
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

static __always_inline int send4(
	const struct ifpin_pin *pin, struct bpf_sock_addr *ctx, const struct ifpin_addr *to)
{
	__u32 bound = bound_dev(ctx);
	int judgement;

	/* The plainest case first: where routing does what is wanted, nothing is to be done. */
	if (!bound && pin->loopback && pin->routes_agree[0] && !is_multicast(to) &&
		!asks_resolver(pin, ctx))
		return ALLOW;
	if (is_local(to)) {
		judgement = to_local(pin, ctx);
		if (judgement != ALLOW || bound != pin->ifindex)
			return judgement;
		return local_from_bound4(ctx, ctx->user_ip4);
	}
	if (bound == pin->ifindex)
		return ALLOW;
	/* Unbound multicast and broadcast go out by the device that has the source address. */
	if (is_multicast(to)) {
		if (ctx->msg_src_ip4)
			return ALLOW;
		if (!pin->device_ip4)
			return bind_and_repeat(pin, ctx);
		ctx->msg_src_ip4 = pin->device_ip4;
		return ALLOW;
	}
	return pin->routes_agree[0] ? ALLOW : bind_and_repeat(pin, ctx);
}

SEC("cgroup/sendmsg4")
int ifpin_sendmsg4(struct bpf_sock_addr *ctx)
{
	const struct ifpin_pin *pin = own();
	struct ifpin_addr to;

	if (!pin->armed)
		return ALLOW;
	map_v4(&to, ctx->user_ip4);
	return settle_send(ctx, send4(pin, ctx, &to), &to);
}

static __always_inline int send6(
	const struct ifpin_pin *pin, struct bpf_sock_addr *ctx, const struct ifpin_addr *to)
{
	int judgement;

	if (is_local(to)) {
		judgement = to_local(pin, ctx);
		return judgement == ALLOW ? steer(ctx, 0) : judgement;
	}
	if (bound_dev(ctx) == pin->ifindex)
		return ALLOW;
	/* Which device is meant is in a scope that is not shown here: from the next call on, ours.
	 */
	if (is_multicast(to))
		return tie(ctx, pin->ifindex);
	return pin->routes_agree[1] ? ALLOW : bind_and_repeat(pin, ctx);
}

SEC("cgroup/sendmsg6")
int ifpin_sendmsg6(struct bpf_sock_addr *ctx)
{
	const struct ifpin_pin *pin = own();
	struct ifpin_addr to;

	if (!pin->armed)
		return ALLOW;
	load6(ctx, &to);
	return settle_send(ctx, send6(pin, ctx, &to), &to);
}

/*
 * A connection accepted by an unbound listener is tied to the device as soon as it exists, so
 * that what the kernel later sends for it without its socket (TIME_WAIT, resets) stays there too.
 */
SEC("sockops")
int ifpin_sockops(struct bpf_sock_ops *ctx)
{
	const struct ifpin_pin *pin = own();
	struct ifpin_addr a;
	__u32 *w = (__u32 *)a.b;
	int v = pin->ifindex;

	if (!pin->armed || ctx->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
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
		settle_connection(deny(IFPIN_DENY_BIND), ctx->family);
	return 1;
}

/* ---- holding: device nodes that are wires ------------------------------------------------ */

static __always_inline int judge_node(const struct ifpin_pin *pin, struct bpf_cgroup_dev_ctx *ctx)
{
	int writes = !!(ctx->access_type >> 16 & BPF_DEVCG_ACC_WRITE);

	if ((ctx->access_type & 0xffff) != BPF_DEVCG_DEV_CHAR ||
		ifpin_device_is_harmless(pin->allowed_majors, ctx->major, ctx->minor, writes))
		return ALLOW;
	return deny(IFPIN_DENY_DEVNODE);
}

SEC("cgroup/dev")
int ifpin_dev(struct bpf_cgroup_dev_ctx *ctx)
{
	const struct ifpin_pin *pin = own();

	return pin->armed ? settle_other(judge_node(pin, ctx)) : ALLOW;
}

/* ---- holding: settings of the kernel ----------------------------------------------------- */

/* Not by a read-only mount: over one, programs inside could mount no proc of their own. */
SEC("cgroup/sysctl")
int ifpin_sysctl(struct bpf_sysctl *ctx)
{
	const struct ifpin_pin *pin = own();

	return pin->armed && ctx->write ? settle_other(deny(IFPIN_DENY_SYSCTL)) : ALLOW;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
