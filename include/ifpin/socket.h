/* SPDX-License-Identifier: MIT */
/*
 * Sockets that use one device only, opened by the program itself.
 *
 * What is settled when a socket is pinned, and cannot be undone without CAP_NET_RAW: the device of
 * everything that it sends and receives. Settled as well: the device of unicast and multicast after
 * connect(AF_UNSPEC), which makes the kernel forget the first (IP_UNICAST_IF, IP_MULTICAST_IF and
 * their IPv6 twins), no IPv4 source route, no multipath TCP, close-on-exec.
 *
 * What no option of a socket can settle, and who guards it:
 *  - IP_PKTINFO, IPV6_PKTINFO of one packet, and the scope of a link-local destination, which can
 *    name another device: ifpin_sendmsg(), ifpin_sendmmsg(), ifpin_connect().
 *  - connect(AF_UNSPEC) on an IPv6 datagram socket with a source address, where the kernel takes
 *    IPV6_UNICAST_IF for a hint: ifpin_connect() refuses it.
 *  - Joining a group on another device: ifpin_join().
 *  - IP_TTL, IPV6_HOPLIMIT of one packet, which overrule IFPIN_ONE_HOP and IFPIN_GTSM: nobody; do
 *    not send them.
 *  - What the kernel says for a TCP connection that is closed, or never came about: a reset, and
 * for IPv6 an acknowledgement of one in TIME_WAIT, goes where the host's routes lead. Nobody; keep
 *    routes to the device's networks on the device.
 *  - A device that gets the index of one that is gone (an administrator may choose it, and devices
 *    that move between namespaces keep theirs): sockets are tied to the index. Stop sending at
 *    IFPIN_EVENT_GONE, and call ifpin_repin() at IFPIN_EVENT_BACK.
 *  - Before Linux 5.18 a socket that is tied to a port of a VRF may leave by another port of that
 * VRF; one that is tied to a VRF may use all of its ports.
 *
 * What a program does behind the library's back (setsockopt with CAP_NET_RAW, or of IP_UNICAST_IF
 * to nothing, AF_PACKET, io_uring, a second socket) this ring does not see: `ifpin run` holds it.
 */
#pragma once

#include <ifpin/device.h>

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IFPIN_ON_LINK 1	       /* destinations on the link only: no gateway */
#define IFPIN_ONE_HOP 2	       /* hop limit 1: a neighbour cannot forward it */
#define IFPIN_GTSM 4	       /* RFC 5082: send with hop limit 255, accept only 255 */
#define IFPIN_FOREIGN_SOURCE 8 /* allow a source address that is another device's */
#define IFPIN_REUSE_ADDRESS 16 /* SO_REUSEADDR before binding */
#define IFPIN_REUSE_PORT 32    /* SO_REUSEPORT before binding */
#define IFPIN_INHERITABLE 64   /* not close-on-exec */

/** enum ifpin_source - which source address a pinned socket gets */
enum ifpin_source {
	IFPIN_SOURCE_NONE = 0, /* the kernel chooses when it sends; only @port is bound, if any */
	IFPIN_SOURCE_DEVICE,   /* one of the device's own, chosen by the library */
	IFPIN_SOURCE_ADDRESS,  /* @address: one of the device's own, or a group to receive */
};

/**
 * struct ifpin_socket_opts - how a socket is to be pinned; all zero but @size is the safe default
 * @size: sizeof(struct ifpin_socket_opts), by which versions of the struct are told apart
 * @flags: IFPIN_ON_LINK … IFPIN_INHERITABLE
 * @source: which source address
 * @address: for IFPIN_SOURCE_ADDRESS: struct sockaddr_in or sockaddr_in6 with address and port
 * @address_len: its size
 * @port: for the others: port to bind, host byte order; 0: the kernel chooses, for TCP as late as
 *	connect() or listen()
 *
 * IFPIN_ON_LINK is SO_DONTROUTE. IPv6 ignores that, so IPv6 sockets get hop limit 1 as well.
 * IFPIN_GTSM for UDP and raw sockets is a classic BPF filter on the socket: the kernel looks at
 * IP_MINTTL for TCP only. IFPIN_GTSM excludes IFPIN_ONE_HOP and IFPIN_ON_LINK over IPv6.
 *
 * A source address of another device (IFPIN_FOREIGN_SOURCE) is the odd case in which bind() and
 * SO_BINDTODEVICE disagree: packets leave by the device with an address to which answers go
 * elsewhere.
 */
struct ifpin_socket_opts {
	size_t size;
	uint32_t flags;
	enum ifpin_source source;
	const struct sockaddr *address;
	socklen_t address_len;
	uint16_t port;
};

/**
 * ifpin_socket - open a socket that uses one device only
 * @device: from ifpin_device_resolve()
 * @domain: AF_INET or AF_INET6
 * @type: SOCK_STREAM, SOCK_DGRAM or SOCK_RAW, with SOCK_NONBLOCK if wanted; SOCK_CLOEXEC is implied
 * @protocol: as in socket(2): 0, TCP, UDP, UDP-Lite, ICMP, ICMPv6; raw sockets: any
 * @opts: NULL for the defaults
 * @ret_error: may be NULL
 *
 * Ties the socket to the name and reads back that it is tied to the index that @device had. If it
 * is not, one look-up decides whether the device was renamed, which is fine, or replaced; what was
 * opened for the wrong one is closed. Nothing that came by another device is ever in its queue.
 *
 * Another device that has the same name and the same index, made since or in another network
 * namespace, passes for this one; ifpin_device_check() and a monitor tell them apart. Raw sockets
 * take some milliseconds, for it is waited until nothing is under way to them.
 *
 * Return: a descriptor, the caller's; -EINVAL: bad options, or a device that was never looked up;
 * -E2BIG: options of a later version; -ENODEV: the device is gone; -ESTALE: it is back with another
 * index, or name or index belong to another one; -EXDEV: it is of another network namespace;
 * -EAFNOSUPPORT; -EPROTONOSUPPORT: the protocol (MPTCP, SCTP, ...) may use other devices by itself;
 * -EADDRNOTAVAIL: the source address is not the device's, or it has none; -EADDRINUSE, -EACCES: the
 * port is taken, or privileged; -EPERM: raw sockets need CAP_NET_RAW, and before Linux 5.7 all pins
 * do; -EAGAIN: the device changes, try again; -ENOPROTOOPT: before Linux 5.1; or what socket(2),
 * setsockopt(2), bind(2) gave.
 */
IFPIN_API int ifpin_socket(const struct ifpin_device *device, int domain, int type, int protocol,
	const struct ifpin_socket_opts *opts, struct ifpin_error *ret_error);

/**
 * ifpin_pin - pin a socket that exists
 * @fd: the descriptor; closed and set to -1 on failure, so that what is not pinned cannot be used
 * @device, @opts, @ret_error: as for ifpin_socket()
 *
 * For sockets that were handed over, or made by another library. A connection is pinned if its
 * local address is the device's. Nobody else may use the socket meanwhile. Not visible, so not
 * judged: groups joined earlier, packets that are queued already, and copies of the descriptor,
 * which share the socket and are not closed. Where it is tied to @device already, setting
 * IP_UNICAST_IF needs CAP_NET_RAW; without, it stays as it was, and ifpin_inspect() says so. All
 * IPv4 options of the socket (IP_OPTIONS) are cleared, not source routes alone, sticky packet-info,
 * and data that is corked. It hears nothing meanwhile, some milliseconds.
 *
 * Return: 0; -EPERM: it is tied to another device, and untying it needs CAP_NET_RAW; -EINVAL: it
 * listens already, and may have connections that are not pinned; -EACCES: it has a filter that is
 * not a classic one; -ENOTSOCK, -EBADF; else as ifpin_socket().
 */
IFPIN_API int ifpin_pin(int *fd, const struct ifpin_device *device,
	const struct ifpin_socket_opts *opts, struct ifpin_error *ret_error);

/**
 * ifpin_sendmsg - sendmsg(2) that refuses what names another device
 * @fd: a pinned socket
 * @device: its device
 * @msg, @flags: as for sendmsg(2)
 *
 * Looks at control messages and the scope of the destination before the kernel does. No allocation
 * and no further system call. Refused: IP_PKTINFO, IPV6_PKTINFO and scopes of another device;
 * IPv4 options (IP_RETOPTS) and routing headers (IPV6_RTHDR), which can route by the sender's will.
 * Other control messages are none of its business, nor is the source address in packet-info.
 *
 * Return: bytes sent; -EXDEV: it names another device; -EPERM: it carries a route; -EINVAL: a
 * control message is malformed; or what sendmsg(2) gave.
 */
IFPIN_API ssize_t ifpin_sendmsg(
	int fd, const struct ifpin_device *device, const struct msghdr *msg, int flags);

struct mmsghdr;

/**
 * ifpin_sendmmsg - sendmmsg(2) that refuses what names another device
 *
 * All of @msgvec is looked at first: nothing is sent if one is refused.
 *
 * Return: messages sent; as ifpin_sendmsg().
 */
IFPIN_API int ifpin_sendmmsg(int fd, const struct ifpin_device *device, struct mmsghdr *msgvec,
	unsigned int vlen, int flags);

/**
 * ifpin_connect - connect(2) that keeps the pin
 * @fd: a pinned socket
 * @device: its device
 * @address, @len: as for connect(2); AF_UNSPEC dissolves the association of an IPv4 datagram socket
 *
 * connect(AF_UNSPEC) makes the kernel forget the device of a UDP socket; it is tied again, which
 * needs no privilege. Meanwhile IP_UNICAST_IF holds what is sent, and it hears nothing, some
 * milliseconds. For IPv6 nothing would hold: it is refused. Connect to another address, or open
 * another socket.
 *
 * Return: 0; -EXDEV: the scope is another device's, or the socket is not tied to @device;
 * -EOPNOTSUPP: AF_UNSPEC on an IPv6 socket; -EINPROGRESS: as connect(2) on a non-blocking socket;
 * -ENODEV, -ESTALE: it could not be tied again; or what connect(2) gave.
 */
IFPIN_API int ifpin_connect(
	int fd, const struct ifpin_device *device, const struct sockaddr *address, socklen_t len);

/**
 * ifpin_join - join a multicast group on the device
 * @fd: a socket pinned to @device
 * @group: struct sockaddr_in or sockaddr_in6, multicast
 * @source: NULL for any source; else the one whose packets are wanted (RFC 3678)
 * @ret_error: may be NULL
 *
 * A socket that is bound to an address of the device does not receive what is sent to a group:
 * leave the source open, or bind the group. A membership ends with its device and does not come
 * back with it: leave when it is gone, with the device that IFPIN_EVENT_GONE gives, and join again
 * with the one that IFPIN_EVENT_BACK gives.
 *
 * Return: 0; -EXDEV: the socket is not tied to @device; -EINVAL: no multicast address, or a source
 * of the other family; -EAFNOSUPPORT; -EADDRINUSE: it is joined already; -ENOBUFS: too many groups
 * (igmp_max_memberships); -ENODEV; or what setsockopt(2) gave.
 */
IFPIN_API int ifpin_join(int fd, const struct ifpin_device *device, const struct sockaddr *group,
	const struct sockaddr *source, struct ifpin_error *ret_error);

/**
 * ifpin_leave - leave a multicast group on the device, which may be gone
 *
 * Of a device that is gone, the whole group is left, whatever the source.
 *
 * Return: 0; -EADDRNOTAVAIL: it was not joined; else as ifpin_join().
 */
IFPIN_API int ifpin_leave(int fd, const struct ifpin_device *device, const struct sockaddr *group,
	const struct sockaddr *source, struct ifpin_error *ret_error);

/** enum ifpin_verdict - what a socket can use */
enum ifpin_verdict {
	IFPIN_VERDICT_PINNED,	  /* the device that was asked about, or the one it is tied to */
	IFPIN_VERDICT_UNPINNED,	  /* whichever device the routes say */
	IFPIN_VERDICT_ELSEWHERE,  /* another device than the one that was asked about */
	IFPIN_VERDICT_DEAD,	  /* none: its device is gone; it must be pinned anew */
	IFPIN_VERDICT_INCOMPLETE, /* tied, and yet not held: @text says why */
};

/** enum ifpin_answer - yes, no, or a question that does not arise */
enum ifpin_answer {
	IFPIN_NOT_APPLICABLE,
	IFPIN_NO,
	IFPIN_YES,
};

/**
 * struct ifpin_inspection - what a socket is bound to
 * @verdict: all in one word
 * @domain, @type, @protocol: as in socket(2)
 * @bound_ifindex: index that it is tied to, or 0
 * @unicast_ifindex: IP_UNICAST_IF or IPV6_UNICAST_IF, or 0: what holds after connect(AF_UNSPEC)
 * @device: the device of @bound_ifindex, if there is one; else ifindex is 0
 * @alive: whether it exists
 * @same: whether it is the device that was asked about
 * @local_is_devices: whether the local address is one of the device's
 * @peer_routed_there: whether the host's own routes would lead to the peer by that device
 * @local: address, which may be the unspecified one
 * @peer: address; ss_family is 0 where there is none
 * @text: the same in a sentence
 * @reserved: zero
 */
struct ifpin_inspection {
	enum ifpin_verdict verdict;
	int domain, type, protocol;
	uint32_t bound_ifindex;
	uint32_t unicast_ifindex;
	enum ifpin_answer alive, same, local_is_devices, peer_routed_there;
	struct ifpin_device device;
	struct sockaddr_storage local, peer;
	char text[512];
	uint64_t reserved[8];
};

/**
 * ifpin_inspect - what is this socket bound to?
 * @fd: any socket
 * @device: the device that it should be tied to, or NULL
 * @ret_inspection: the answer
 * @ret_error: may be NULL
 *
 * For reading only. Devices are looked up in the network namespace of the caller; -EXDEV where the
 * socket or @device is of another (Linux 5.14).
 *
 * Return: 0; -EAFNOSUPPORT: no IPv4 or IPv6 socket; -EXDEV; -ENOTSOCK, -EBADF; or as
 * ifpin_device_list().
 */
IFPIN_API int ifpin_inspect(int fd, const struct ifpin_device *device,
	struct ifpin_inspection *ret_inspection, struct ifpin_error *ret_error);

/** enum ifpin_repinned - what ifpin_repin() did */
enum ifpin_repinned {
	IFPIN_REPIN_KEPT,     /* it was tied to the index already */
	IFPIN_REPIN_REBOUND,  /* the same socket is tied to the new index; connections go on */
	IFPIN_REPIN_REOPENED, /* the descriptor is another socket now, with the same addresses */
};

/**
 * ifpin_repin - tie a socket to its device again after that was gone and has come back
 * @fd: a socket pinned to the old index
 * @device: the device as it is now (IFPIN_EVENT_BACK)
 * @opts: as when it was opened; source and port are ignored: those of the socket are kept
 * @ret_how: may be NULL; what was done
 * @ret_error: may be NULL
 *
 * With CAP_NET_RAW the socket itself is bound to the new index. Without, a new one is opened, given
 * the common options, addresses and listening state of the old one, and put in its place by
 * dup3(2): the number stays, but epoll(7) forgets it, and what was queued is lost. Groups are not
 * carried over (see ifpin_join()).
 *
 * Return: 0; -ENOTCONN: a TCP connection cannot be reopened, only the program can; -EADDRNOTAVAIL:
 * the device does not have the socket's address (yet): try again at IFPIN_EVENT_ADDRESS_ADDED;
 * where it has another one now, open the socket anew; -EXDEV: the device that it is tied to is
 * there still; -ENOTSOCK, -EBADF; else as ifpin_socket(). On failure the socket is tied to the
 * index as before; as long as no other device gets that, it sends nothing.
 */
IFPIN_API int ifpin_repin(int fd, const struct ifpin_device *device,
	const struct ifpin_socket_opts *opts, enum ifpin_repinned *ret_how,
	struct ifpin_error *ret_error);

#ifdef __cplusplus
}
#endif
