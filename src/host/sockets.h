/* SPDX-License-Identifier: MIT */
/* The sockets of the network namespace, as the kernel shows them to whoever asks. */
#pragma once

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IFP_SOCKS_TCP 1
#define IFP_SOCKS_MPTCP 2
#define IFP_SOCKS_UDP 4
#define IFP_SOCKS_UDPLITE 8
#define IFP_SOCKS_RAW 16
#define IFP_SOCKS_ICMP 32 /* of ping, without CAP_NET_RAW */
#define IFP_SOCKS_PACKET 64
#define IFP_SOCKS_XDP 128
#define IFP_SOCKS_ALL 255

/* One socket as sock_diag(7) or /proc/net shows it. */
struct ifp_sock {
	uint8_t family;		/* AF_INET, AF_INET6, AF_PACKET, AF_XDP */
	uint8_t type;		/* SOCK_*; 0: not told */
	uint8_t state;		/* TCP_*; of datagrams TCP_CLOSE or TCP_ESTABLISHED; else 0 */
	bool v6only;		/* where told */
	bool brief;		/* cookie, device (but of packet sockets), cgroup are not told */
	bool subflow;		/* of an MPTCP socket, which has the same inode */
	uint16_t protocol;	/* IPPROTO_*; of packet sockets ETH_P_* in host order */
	uint16_t lport, pport;	/* of ICMP sockets lport is the identifier */
	uint32_t bound_ifindex; /* of packet and XDP sockets the one that they are bound to */
	uint32_t uid;
	uint64_t cookie;
	uint64_t cgroup_id;	     /* of the cgroup in which it was made; 0: not told */
	uint64_t inode;		     /* 0: no descriptor can be had (queued, orphaned, TIME_WAIT) */
	uint8_t local[16], peer[16]; /* IPv4 mapped */
};

/*
 * Calls cb once for each socket of the kinds in what (IFP_SOCKS_*). Not shown by any kernel are
 * sockets without a port that were never connected, and protocols that are not listed above: their
 * descriptors can be asked (ifp_socket_ask()). Where the kernel has no diag module for a protocol
 * (raw sockets often; ICMP always), the lists of /proc/net tell less: see brief.
 *
 * The kernel resumes a list by counting: a socket may be passed over while others of its hash
 * bucket end. Who must not miss one asks again until two answers agree. Cgroups are told since
 * Linux 5.8, and not of connections in TIME_WAIT or half open.
 *
 * Return: 0, and a bit in *ret_unseen for each kind of which there may be sockets and is no list;
 * -EAGAIN: a list kept changing; -EBADMSG; -ENOMEM; what cb returned; errno of socket calls.
 */
int ifp_sockets_dump(unsigned int what, int (*cb)(const struct ifp_sock *s, void *data), void *data,
	unsigned int *ret_unseen);

/*
 * Calls cb for the inode of each unix and netlink socket, so that they can be left alone. Not out
 * of /proc/net/unix: with a name that has a newline in it, a program can write a line there.
 * Return: 0, also where the kernel has no such list; else as ifp_sockets_dump().
 */
int ifp_sockets_others(int (*cb)(uint64_t inode, void *data), void *data);

/*
 * What a descriptor is. Its cgroup is not told by any call; all else is.
 * Return: 0; -EAFNOSUPPORT: none of the families above; errno of fstat and getsockopt.
 */
int ifp_socket_ask(int fd, struct ifp_sock *ret);

/*
 * Aborts a socket (SOCK_DESTROY, CONFIG_INET_DIAG_DESTROY; CAP_NET_ADMIN), if it still is the same
 * one. A TCP socket is closed and its peer told so. A UDP or raw socket lives on: what waits on it
 * is woken by ECONNABORTED, its association is dissolved, and it is not tied to a device any more.
 * Of MPTCP only a subflow can be aborted, which the socket survives. Return: 0; -ENOENT: it is
 * gone; -EINVAL: a subflow that listens; -EOPNOTSUPP: not by this kernel, or not of this kind
 * (MPTCP, ICMP, packet, XDP), or it is brief; -EPERM; errno of socket calls.
 */
int ifp_socket_destroy(const struct ifp_sock *s);

/* Ties an internet socket to a device and reads it back. Return: 0; -EBUSY: it is tied to another
 * one; errno of setsockopt and getsockopt. */
int ifp_socket_tie(int fd, uint32_t ifindex);

/*
 * Reads a message of sock_diag; protocol and type are the asker's to know, where that is not of
 * packet or XDP sockets. Return: 0; -EBADMSG: it is none, or malformed.
 */
int ifp_sock_parse(const struct nlmsghdr *nlh, struct ifp_sock *ret);

/*
 * Reads a line of /proc/net/{tcp,udp,udplite,raw,icmp} or their IPv6 twins, and one of
 * /proc/net/packet. Return: 0; -EBADMSG, for the heading too.
 */
int ifp_sock_parse_proc(const char *line, struct ifp_sock *ret);
int ifp_sock_parse_proc_packet(const char *line, struct ifp_sock *ret);
