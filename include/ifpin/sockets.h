/* SPDX-License-Identifier: MIT */
/* The sockets of a host: who holds each, and which device it can use. */
#pragma once

#include <ifpin/device.h>

#include <stdbool.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IFPIN_CONFINED_NAME_SIZE 49
#define IFPIN_CONFINED_PATH_SIZE 1024
#define IFPIN_SOL_PROBE 0x6966 /* level of setsockopt(2) for the question in @probe below */

/**
 * struct ifpin_confined - a cgroup whose sockets are held, as ifpin_sockets() has to know it
 * @cgroup_id: inode number of the cgroup
 * @ifindex: the device; 0: it is gone, and nothing passes
 * @netns: cookie of the network namespace in which sockets can be made there; 0: not known
 * @probe: the option by which its programs answer for their sockets; 0: not known
 * @name: of the confinement
 * @cgroup: path from the root of cgroup v2; empty: not known
 *
 * From ifpin_confined_list() (confine.h).
 */
struct ifpin_confined {
	uint64_t cgroup_id;
	uint64_t netns;
	uint32_t ifindex;
	uint32_t probe;
	char name[IFPIN_CONFINED_NAME_SIZE];
	char cgroup[IFPIN_CONFINED_PATH_SIZE];
};

/** enum ifpin_socket_verdict - which devices a socket can use */
enum ifpin_socket_verdict {
	IFPIN_SOCKET_PINNED,   /* one: it is tied to it, or made in a confinement, which holds it */
	IFPIN_SOCKET_UNPINNED, /* whichever the routes say */
	IFPIN_SOCKET_ELSEWHERE, /* tied to another device than its confinement's: nothing passes */
	IFPIN_SOCKET_DEAD,	/* none: the device is gone that it is tied or confined to */
	IFPIN_SOCKET_FOREIGN, /* held inside a confinement, and made outside of it: not confined */
	IFPIN_SOCKET_UNHELD,  /* a packet or XDP socket inside: no program judges what it sends */
	IFPIN_SOCKET_UNKNOWN, /* the kernel tells nobody, or not this caller */
	IFPIN_SOCKET_VERDICTS,
};

/** ifpin_socket_verdict_name - the verdict in a word, static: "pinned", "unpinned", … */
IFPIN_API const char *ifpin_socket_verdict_name(enum ifpin_socket_verdict verdict);

/** ifpin_socket_verdict_text - what it means in one clause, static */
IFPIN_API const char *ifpin_socket_verdict_text(enum ifpin_socket_verdict verdict);

/**
 * struct ifpin_socket_holder - a descriptor of a socket
 * @pid: process
 * @fd: its descriptor
 * @comm: name of the process, as it calls itself
 * @confinement: in which the process is, or empty
 * @foreign: whether the socket was made outside of that
 */
struct ifpin_socket_holder {
	pid_t pid;
	int fd;
	char comm[16];
	char confinement[IFPIN_CONFINED_NAME_SIZE];
	bool foreign;
};

/**
 * struct ifpin_socket_info - one socket
 * @verdict: see above
 * @domain, @type, @protocol: as in socket(2); @protocol of packet sockets is ETH_P_*, host order
 * @state: TCP_* of <netinet/tcp.h>; of datagram sockets TCP_CLOSE or TCP_ESTABLISHED; else 0
 * @v6only: an IPv6 socket that has no part in IPv4
 * @subflow: belongs to an MPTCP socket, which is in the list as well
 * @unused: neither bound nor connected
 * @bound_ifindex: the device that it is tied to, or 0; of packet and XDP sockets, bound to
 * @ifindex: the only device that it can use, or 0; where it is dead, the one that is gone (if
 * known)
 * @device: name of that device; empty where there is none
 * @confinement: in which it was made, or empty
 * @uid: user who made it
 * @cookie: SO_COOKIE; 0: not told
 * @inode: as in /proc/PID/fd; 0: no descriptor can be had
 * @local, @peer: addresses; ss_family is 0 for packet and XDP sockets
 * @n_holders: descriptors, and as many entries of @holders
 * @holders: by pid and descriptor; in the same block of memory as the list
 */
struct ifpin_socket_info {
	enum ifpin_socket_verdict verdict;
	int domain, type, protocol;
	uint8_t state;
	bool v6only, subflow, unused;
	uint32_t bound_ifindex, ifindex;
	char device[IF_NAMESIZE];
	char confinement[IFPIN_CONFINED_NAME_SIZE];
	uid_t uid;
	uint64_t cookie, inode;
	struct sockaddr_storage local, peer;
	size_t n_holders;
	const struct ifpin_socket_holder *holders;
};

/**
 * ifpin_sockets - every internet, packet and XDP socket of the network namespace
 * @confined: confinements that are in force; may be NULL if @n_confined is 0
 * @n_confined: how many
 * @ret_sockets: by protocol, address and port; to be released with free(3), which releases the
 *	holders, too
 * @ret_n: how many
 * @ret_unread: may be NULL; processes that the caller may not look into, so that sockets without a
 *	holder may have one all the same
 * @ret_error: may be NULL
 *
 * By sock_diag(7), which tells the device and (Linux 5.8) the cgroup in which a socket was made; by
 * /proc, which tells who holds it. Sockets of which the kernel has no list (raw ones without
 * CONFIG_INET_RAW_DIAG, ICMP, XDP, those that are not bound yet, SCTP and the like) are asked
 * themselves: their descriptor is copied by pidfd_getfd(2) for a moment, Linux 5.6. In which
 * confinement these were made, its programs are asked (@probe). A host is not seen at one instant:
 * what comes or ends meanwhile may be missing.
 *
 * Needs CAP_SYS_PTRACE to look into other users' processes. What is only held by an io_uring, or
 *waits in a message, has no holder.
 *
 * Return: 0; -EAGAIN: a list kept changing; -ENOMEM; -EBADMSG; errno of socket calls, and of
 *opening /proc.
 */
IFPIN_API int ifpin_sockets(const struct ifpin_confined *confined, size_t n_confined,
	struct ifpin_socket_info **ret_sockets, size_t *ret_n, unsigned int *ret_unread,
	struct ifpin_error *ret_error);

#ifdef __cplusplus
}
#endif
