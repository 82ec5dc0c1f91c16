/* SPDX-License-Identifier: MIT */
/*
 * Connecting by host name through one device only. A library of its own (-lifpin-resolve), for it
 * needs c-ares.
 *
 * The question goes to a name server through the device, by sockets that are pinned to it; a
 * socket that cannot be pinned ends the operation. No resolver of the host is asked, for that would
 * ask on by other devices; /etc/hosts is read, and the search list of /etc/resolv.conf is used.
 */
#pragma once

#include <ifpin/device.h>
#include <ifpin/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct ifpin_connect_opts - how to connect; all zero but @size is the usual
 * @size: sizeof(struct ifpin_connect_opts)
 * @family: AF_UNSPEC for both, AF_INET or AF_INET6
 * @timeout_ms: for all of it, milliseconds; 0: 30000
 * @attempt_delay_ms: RFC 8305 Connection Attempt Delay, milliseconds, 10 to 2000; 0: 250
 * @resolution_delay_ms: RFC 8305 Resolution Delay, milliseconds; 0: 50
 * @servers: name servers (struct sockaddr_in and sockaddr_in6; port 0 is 53), or NULL to ask those
 *	that ifpin_device_nameservers() gives
 * @n_servers: how many
 * @socket: how the connections are to be pinned, or NULL
 */
struct ifpin_connect_opts {
	size_t size;
	int family;
	uint32_t timeout_ms;
	uint32_t attempt_delay_ms;
	uint32_t resolution_delay_ms;
	const struct sockaddr_storage *servers;
	size_t n_servers;
	const struct ifpin_socket_opts *socket;
};

/** struct ifpin_connect - a connection in the making; opaque, for one thread at a time */
struct ifpin_connect;

/**
 * ifpin_connect_start - begin to connect to a host by name, without blocking
 * @device: the device to use
 * @host: a name, or an address in numbers; link-local ones may have a scope ("fe80::1%eth0")
 * @port: TCP port, host byte order
 * @opts: NULL for the usual; copied, but @opts->socket and its address, which are needed until
 *	ifpin_connect_end()
 * @ret_connect: to be released with ifpin_connect_end(), which also cancels
 * @ret_error: may be NULL
 *
 * Asks for AAAA and A at once, and connects in the manner of RFC 8305: IPv6 first, families in
 * turn, the next address when one has failed or has not answered within the delay; the first
 * connection that stands is taken and the others are closed. Of each family 16 addresses are tried.
 * A source address in @opts->socket decides the family.
 *
 * Return: 0; -EINVAL: no name, or bad options; -E2BIG: options of a later version; -EXDEV: the
 * scope is another device's; -ENODATA: no name server is known for the device; -EREMOTEIO: c-ares
 * refuses to start; -ENOMEM or what epoll_create1(2) and timerfd_create(2) gave.
 */
IFPIN_API int ifpin_connect_start(const struct ifpin_device *device, const char *host,
	uint16_t port, const struct ifpin_connect_opts *opts, struct ifpin_connect **ret_connect,
	struct ifpin_error *ret_error);

/** ifpin_connect_fd - what to poll for reading, to call ifpin_connect_step() then; owned by it */
IFPIN_API int ifpin_connect_fd(const struct ifpin_connect *connect);

/**
 * ifpin_connect_step - go on
 * @ret_fd: the connection, the caller's, non-blocking; written if it stands
 * @ret_error: may be NULL; says what was tried and why it failed
 *
 * Never blocks. Call it once after ifpin_connect_start() as well. The kernel does not tell a
 * connection in the making that its device is gone: end it at IFPIN_EVENT_GONE, if you follow the
 * device.
 *
 * Return: 1: connected; 0: not yet; -ENOENT: the name has no address; -ETIMEDOUT: the time is over,
 * or no name server answers; -EREMOTEIO: the name servers refuse to answer; -EINVAL: that can be no
 * name; what connect(2) gave for the last address; what ifpin_socket() gave, for @opts->socket too.
 */
IFPIN_API int ifpin_connect_step(
	struct ifpin_connect *connect, int *ret_fd, struct ifpin_error *ret_error);

/** ifpin_connect_end - release it, and cancel what is under way; NULL is fine */
IFPIN_API void ifpin_connect_end(struct ifpin_connect *connect);

/**
 * ifpin_connect_host - the same, and wait
 * @cancel_fd: a descriptor that ends the wait as soon as it is readable (eventfd(2), pipe(2)), or
 * -1
 *
 * Return: a connected socket, the caller's, blocking; -ECANCELED: @cancel_fd became readable; as
 * ifpin_connect_start() and ifpin_connect_step().
 */
IFPIN_API int ifpin_connect_host(const struct ifpin_device *device, const char *host, uint16_t port,
	const struct ifpin_connect_opts *opts, int cancel_fd, struct ifpin_error *ret_error);

#ifdef __cplusplus
}
#endif
