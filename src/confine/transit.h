/* SPDX-License-Identifier: MIT */
/* Descriptors that are on their way in messages of unix sockets (SCM_RIGHTS). */
#pragma once

/*
 * Calls cb with a copy of each that waits to be received from a unix socket, which cb takes over.
 * Nothing is received; but who receives at the same time is disturbed, so the holders of the socket
 * must stand still. Linux 5.11 tells how many there are.
 *
 * Return: 0; -EAGAIN: some wait in connections that nobody has accepted yet; -EMFILE: no descriptor
 * is left for them; what cb returned; errno of recvmsg and setsockopt.
 */
int ifp_transit_each(int unix_fd, int (*cb)(int fd, void *data), void *data);
