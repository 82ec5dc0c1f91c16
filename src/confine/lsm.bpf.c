// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What no other program of a cgroup sees: sockets that come from outside, sockets of other
 * families, and a question that makes the kernel itself send.
 *
 * Attached to a cgroup, so the kernel runs them for that one alone: the first two by the cgroup of
 * the process, the third by that of the socket. They are the same for all confinements and are
 * loaded once; what differs stands in the cgroup's own storage.
 *
 * Structures of the kernel are named as far as they are read; the loader finds where the fields
 * are.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "lsm_terms.h"

#define ALLOW 1
#define DENY 0
#define MAX_DEPTH 64	/* of cgroups below a confinement */
#define MAX_MESSAGES 64 /* in one datagram of netlink */

/* From the kernel's UAPI; their headers cannot be included beside <linux/bpf.h> here. */
enum {
	AF_UNIX = 1,
	AF_INET6 = 10,
	SOCK_STREAM = 1,
	NETLINK_ROUTE = 0,
	RTM_GETROUTE = 26,
	NLM_F_DUMP = 0x300,
};

struct message {
	__u32 len;
	__u16 type, flags;
	__u32 seq, pid;
	__u8 family;
};

#define MESSAGE_HEADER 16

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
struct sock_common {
	unsigned short skc_family;
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

static __always_inline int deny(struct ifpin_lsm_terms *t, enum ifpin_lsm_denied why)
{
	__sync_fetch_and_add(&t->denied[why], 1);
	return DENY;
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

/* Every descriptor that a process gets from another one comes by here. */
SEC("lsm_cgroup/file_receive")
int receive(__u64 *args)
{
	struct file *file = (struct file *)args[0];
	struct ifpin_lsm_terms *t = bpf_get_local_storage(&terms, 0);
	struct socket *sock;
	struct sock *sk;

	if (!t->armed)
		return ALLOW;
	sock = bpf_sock_from_file(file);
	if (!sock)
		return ALLOW;
	sk = sock->sk;
	if (!sk)
		return deny(t, IFPIN_LSM_FOREIGN);
	return has_family(t->carried, sk->__sk_common.skc_family) || is_own(sk, t->cgroup)
		       ? ALLOW
		       : deny(t, IFPIN_LSM_FOREIGN);
}

SEC("lsm_cgroup/socket_create")
int create(__u64 *args)
{
	int family = (int)args[0], type = (int)args[1], kern = (int)args[3];
	__u32 protocol = (__u32)args[2];
	struct ifpin_lsm_terms *t = bpf_get_local_storage(&terms, 0);

	if (!t->armed || kern)
		return ALLOW;
	if (family == AF_UNIX && type == SOCK_STREAM && protocol && protocol == t->probe) {
		bpf_set_retval(-IFPIN_LSM_PROBE_ERROR);
		return DENY;
	}
	return has_family(t->families, (__u32)family) ? ALLOW : deny(t, IFPIN_LSM_FAMILY);
}

/*
 * Asked for one route of IPv6, the kernel looks for gateways that it has not met lately, by
 * whichever device they are. A list of all routes does not. The messages are walked as
 * netlink_rcv_skb() does, which stops where a length makes no sense.
 */
SEC("lsm_cgroup/netlink_send")
int lookup(__u64 *args)
{
	struct sock *sk = (struct sock *)args[0];
	struct sk_buff *skb = (struct sk_buff *)args[1];
	struct ifpin_lsm_terms *t = bpf_get_local_storage(&terms, 0);
	__u32 left, step;
	unsigned char *at;
	struct message m;

	if (!t->armed || sk->sk_protocol != NETLINK_ROUTE)
		return ALLOW;
	left = skb->len;
	at = skb->data;
	for (int i = 0; i < MAX_MESSAGES; i++) {
		if (left < MESSAGE_HEADER)
			return ALLOW;
		m.family = 0;
		if (bpf_probe_read_kernel(
			    &m, left > MESSAGE_HEADER ? MESSAGE_HEADER + 1 : MESSAGE_HEADER, at))
			return deny(t, IFPIN_LSM_LOOKUP);
		if (m.len < MESSAGE_HEADER || m.len > left)
			return ALLOW;
		if (m.type == RTM_GETROUTE && m.family == AF_INET6 &&
			(m.flags & NLM_F_DUMP) != NLM_F_DUMP)
			return deny(t, IFPIN_LSM_LOOKUP);
		step = (m.len + 3) & ~3U;
		if (step >= left)
			return ALLOW;
		left -= step;
		at += step;
	}
	return deny(t, IFPIN_LSM_LOOKUP);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
