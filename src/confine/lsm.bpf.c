// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What no other program of a cgroup sees: sockets that come from outside, sockets of other
 * families, modules that are wanted, and a question that makes the kernel itself send.
 *
 * Attached to a cgroup, so the kernel runs them for that one alone: the first three by the cgroup
 * of the process, the last by that of the socket. They are the same for all confinements and are
 * loaded once; what differs stands in the cgroup's own storage.
 *
 * Structures of the kernel are named as far as they are read; the loader finds where the fields
 * are.
 */
#include "tell.bpf.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#include "lsm_terms.h"

#define DENY 0
#define MAX_DEPTH 64	/* of cgroups below a confinement */
#define MAX_MESSAGES 64 /* in one datagram of netlink */

/* From the kernel's UAPI; their headers cannot be included beside <linux/bpf.h> here. */
enum {
	AF_UNIX = 1,
	AF_INET = 2,
	AF_INET6 = 10,
	SOCK_STREAM = 1,
	NETLINK_ROUTE = 0,
	RTM_GETROUTE = 26,
	NLM_F_DUMP = 0x300,
	RTA_DST = 1,
	TCP = 6,
	UDP = 17,
};

struct message {
	__u32 len;
	__u16 type, flags;
	__u32 seq, pid;
	__u8 family;
};

#define MESSAGE_HEADER 16
#define ROUTE_HEADER 12 /* struct rtmsg */

/* The first attribute of a question, where it is the destination. */
struct destination {
	__u16 len, type;
	struct ifpin_addr addr;
} __attribute__((packed));

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct kernfs_node {
	__u64 id;
};
struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};
struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
};
struct sock_cgroup_data {
	struct cgroup *cgroup;
};
struct in6_addr {
	__u8 b[16];
};
struct sock_common {
	unsigned short skc_family;
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
};
struct sock {
	struct sock_common __sk_common;
	__u16 sk_protocol;
	struct sock_cgroup_data sk_cgrp_data;
};
struct socket {
	struct sock *sk;
};
struct sk_buff {
	unsigned int len;
	unsigned char *data;
};
struct file;
#pragma clang attribute pop

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, __u64);
	__type(value, struct ifpin_lsm_terms);
} terms SEC(".maps");

static __always_inline struct ifpin_lsm_terms *own(void)
{
	return bpf_get_local_storage(&terms, 0);
}

static __always_inline struct ifpin_denials *own_denials(void)
{
	return &own()->denials;
}

static __always_inline __u32 own_id(void)
{
	return own()->id;
}

static __always_inline int has_family(__u64 families, __u32 family)
{
	return family < 64 && families >> family & 1;
}

/* Whether a socket was made in the cgroup or below it. What is too deep to tell was not. */
static __always_inline int is_own(struct sock *sk, __u64 id)
{
	struct cgroup *cgrp = sk->sk_cgrp_data.cgroup;

	for (int i = 0; i < MAX_DEPTH && cgrp; i++) {
		struct cgroup_subsys_state *up;

		if (cgrp->kn->id == id)
			return 1;
		up = cgrp->self.parent;
		if (!up)
			return 0;
		cgrp = up->cgroup;
	}
	return 0;
}

/* ---- what is told ---- */

static __always_inline void map_v4(struct ifpin_addr *a, __be32 ip4)
{
	a->b[10] = a->b[11] = 0xff;
	__builtin_memcpy(&a->b[12], &ip4, 4);
}

/* Of a socket made outside: its device may be one of another network namespace, so not that. */
static __always_inline void tell_foreign(struct sock *sk, int judgement)
{
	struct ifpin_denial_event ev = {};

	if (sk) {
		struct sock_common *c = &sk->__sk_common;

		ev.family = c->skc_family;
		if (ev.family == AF_INET || ev.family == AF_INET6)
			ev.protocol = sk->sk_protocol;
		if (ev.protocol == TCP || ev.protocol == UDP) {
			ev.sport = c->skc_num;
			ev.dport = bpf_ntohs(c->skc_dport);
		}
		if (ev.family == AF_INET) {
			map_v4(&ev.src, c->skc_rcv_saddr);
			map_v4(&ev.dst, c->skc_daddr);
		}
		/* A kernel without IPv6 has not these. */
		if (ev.family == AF_INET6 && bpf_core_field_exists(c->skc_v6_rcv_saddr)) {
			bpf_core_read(&ev.src, sizeof(ev.src), &c->skc_v6_rcv_saddr);
			bpf_core_read(&ev.dst, sizeof(ev.dst), &c->skc_v6_daddr);
		}
	}
	tell_task(&ev);
	publish(&ev, judgement);
}

static __always_inline void tell_family(int family, int judgement)
{
	struct ifpin_denial_event ev = {.family = family};

	tell_task(&ev);
	publish(&ev, judgement);
}

/* at: of the message; NULL: not known. What it asks for stands first, as most programs have it. */
static __always_inline void tell_lookup(const unsigned char *at, int judgement)
{
	struct ifpin_denial_event ev = {.family = AF_INET6};
	struct destination d = {};

	if (at && !bpf_probe_read_kernel(&d, sizeof(d), at + MESSAGE_HEADER + ROUTE_HEADER) &&
		d.type == RTA_DST && d.len == sizeof(d))
		ev.dst = d.addr;
	tell_task(&ev);
	publish(&ev, judgement);
}

/* ---- what is refused ---- */

static __always_inline int judge_received(struct ifpin_lsm_terms *t, struct sock *sk)
{
	if (!sk)
		return deny(IFPIN_DENY_FOREIGN);
	return has_family(t->carried, sk->__sk_common.skc_family) || is_own(sk, t->cgroup)
		       ? ALLOW
		       : deny(IFPIN_DENY_FOREIGN);
}

/* Every descriptor that a process gets from another one comes by here. */
SEC("lsm_cgroup/file_receive")
int receive(__u64 *args)
{
	struct file *file = (struct file *)args[0];
	struct ifpin_lsm_terms *t = own();
	struct socket *sock;
	struct sock *sk;
	int judgement;

	if (!t->armed)
		return ALLOW;
	sock = bpf_sock_from_file(file);
	if (!sock)
		return ALLOW;
	sk = sock->sk;
	judgement = judge_received(t, sk);
	if (is_allowed(judgement))
		return ALLOW;
	if (host.watching && is_told(judgement))
		tell_foreign(sk, judgement);
	return DENY;
}

SEC("lsm_cgroup/socket_create")
int create(__u64 *args)
{
	int family = (int)args[0], type = (int)args[1], kern = (int)args[3];
	__u32 protocol = (__u32)args[2];
	struct ifpin_lsm_terms *t = own();
	int judgement;

	if (!t->armed || kern)
		return ALLOW;
	if (family == AF_UNIX && type == SOCK_STREAM && protocol && protocol == t->id) {
		bpf_set_retval(-IFPIN_LSM_PROBE_ERROR);
		return DENY;
	}
	judgement = has_family(t->families, (__u32)family) ? ALLOW : deny(IFPIN_DENY_FAMILY);
	if (is_allowed(judgement))
		return ALLOW;
	if (host.watching && is_told(judgement))
		tell_family(family, judgement);
	return DENY;
}

/*
 * The kernel starts modprobe for it, in no confinement, as root: with files that root inside may
 * have written. The name of the module is not told; it is one of the kernel's.
 */
SEC("lsm_cgroup/kernel_module_request")
int module(__u64 *args)
{
	struct ifpin_denial_event ev = {};
	int judgement;

	(void)args;
	if (!own()->armed)
		return ALLOW;
	judgement = deny(IFPIN_DENY_MODULE);
	if (is_allowed(judgement))
		return ALLOW;
	if (host.watching && is_told(judgement)) {
		tell_task(&ev);
		publish(&ev, judgement);
	}
	return DENY;
}

/*
 * Asked for one route of IPv6, the kernel looks for gateways that it has not met lately, by
 * whichever device they are. A list of all routes does not. The messages are walked as
 * netlink_rcv_skb() does, which stops where a length makes no sense.
 */
static __always_inline int judge_question(
	const unsigned char *data, __u32 len, const unsigned char **ret_at)
{
	const unsigned char *at = data;
	__u32 left = len, step;
	struct message m;

	*ret_at = NULL;
	for (int i = 0; i < MAX_MESSAGES; i++) {
		if (left < MESSAGE_HEADER)
			return ALLOW;
		m.family = 0;
		if (bpf_probe_read_kernel(
			    &m, left > MESSAGE_HEADER ? MESSAGE_HEADER + 1 : MESSAGE_HEADER, at))
			return deny(IFPIN_DENY_LOOKUP);
		if (m.len < MESSAGE_HEADER || m.len > left)
			return ALLOW;
		if (m.type == RTM_GETROUTE && m.family == AF_INET6 &&
			(m.flags & NLM_F_DUMP) != NLM_F_DUMP) {
			if (m.len >= MESSAGE_HEADER + ROUTE_HEADER + sizeof(struct destination))
				*ret_at = at;
			return deny(IFPIN_DENY_LOOKUP);
		}
		step = (m.len + 3) & ~3U;
		if (step >= left)
			return ALLOW;
		left -= step;
		at += step;
	}
	return deny(IFPIN_DENY_LOOKUP);
}

SEC("lsm_cgroup/netlink_send")
int lookup(__u64 *args)
{
	struct sock *sk = (struct sock *)args[0];
	struct sk_buff *skb = (struct sk_buff *)args[1];
	struct ifpin_lsm_terms *t = own();
	const unsigned char *at;
	int judgement;

	if (!t->armed || sk->sk_protocol != NETLINK_ROUTE)
		return ALLOW;
	judgement = judge_question(skb->data, skb->len, &at);
	if (is_allowed(judgement))
		return ALLOW;
	if (host.watching && is_told(judgement))
		tell_lookup(at, judgement);
	return DENY;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
