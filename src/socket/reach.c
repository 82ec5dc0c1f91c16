// SPDX-License-Identifier: MIT
/* How far packets may go, and how far those may have come that are accepted. */
#include "internal.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>

/*
 * For sockets that the kernel asks no IP_MINTTL for. The first nibble behind the link header tells
 * IPv4 from IPv6, for IPv6 sockets receive both.
 */
static int accept_only_255(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (unsigned int)SKF_NET_OFF),
		BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 4, 0, 2),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (unsigned int)SKF_NET_OFF + 8),
		BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (unsigned int)SKF_NET_OFF + 7),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 255, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = {.len = ARRAY_SIZE(code), .filter = code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) ? -errno : 0;
}

static int set_hops(int fd, const struct ifp_kind *k, int hops, bool minimum)
{
	int r = 0;

	if (k->domain == AF_INET6) {
		r = ifp_set_int(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, hops);
		if (!r)
			r = ifp_set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hops);
		if (!r && minimum)
			r = ifp_set_int(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, hops);
	}
	if (!r && (k->domain == AF_INET || (!k->v6only && k->type != SOCK_RAW))) {
		r = ifp_set_int(fd, IPPROTO_IP, IP_TTL, hops);
		if (!r && k->type != SOCK_STREAM)
			r = ifp_set_int(fd, IPPROTO_IP, IP_MULTICAST_TTL, hops);
		if (!r && minimum)
			r = ifp_set_int(fd, IPPROTO_IP, IP_MINTTL, hops);
	}
	return r;
}

int ifp_set_reach(int fd, const struct ifp_kind *k, uint32_t flags, struct ifpin_error *err)
{
	bool gtsm = flags & IFPIN_GTSM, on_link = flags & IFPIN_ON_LINK;
	bool one_hop = flags & IFPIN_ONE_HOP || (on_link && k->domain == AF_INET6);
	int r = 0;

	if (gtsm && one_hop)
		return ifp_fail(err, -EINVAL,
			"IPv6 has no SO_DONTROUTE: on-link only would be hop limit 1, which excludes GTSM");
	if (on_link)
		r = ifp_set_int(fd, SOL_SOCKET, SO_DONTROUTE, 1);
	if (!r && (gtsm || one_hop))
		r = set_hops(fd, k, gtsm ? 255 : 1, gtsm);
	if (!r && gtsm && k->type != SOCK_STREAM)
		r = accept_only_255(fd);
	return r ? ifp_fail_errno(err, r, "cannot limit how far the socket's packets go") : 0;
}
