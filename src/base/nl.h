/* SPDX-License-Identifier: MIT */
/* One netlink request and its answers, over libmnl. */
#pragma once

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stdint.h>

typedef int (*ifp_nl_cb)(const struct nlmsghdr *nlh, void *data);

static inline void ifp_nl_closep(struct mnl_socket **nl)
{
	if (*nl)
		mnl_socket_close(*nl);
}

/* A socket for ifp_nl_ask(). Return: 0; -errno. */
int ifp_nl_open(int family, struct mnl_socket **ret);

/*
 * Sends a request whose type, flags and body the caller has put in, and hands every answer to cb.
 * Checks port id and sequence. cb returns 0 or a negative errno, which ends it; answers may be left
 * on the socket then, to be thrown away with ifp_nl_flush().
 *
 * Return: 0; -EINTR: a dump changed under us, all of it was handed over; the kernel's error;
 * errno of the socket calls.
 */
int ifp_nl_ask(struct mnl_socket *nl, struct nlmsghdr *req, ifp_nl_cb cb, void *data);

void ifp_nl_flush(struct mnl_socket *nl);

/*
 * The same on a socket of its own, and a dump that changed under us is read again, five times at
 * most, so cb must bear to see an entry twice.
 *
 * Return: 0; -EAGAIN: the dump kept changing; the kernel's error; errno of the socket calls.
 */
int ifp_nl_talk(struct nlmsghdr *req, ifp_nl_cb cb, void *data);
/* The same on another family than NETLINK_ROUTE. */
int ifp_nl_talk_on(int family, struct nlmsghdr *req, ifp_nl_cb cb, void *data);

/* A non-blocking socket that hears the given groups (RTMGRP_*). Return: 0; -errno. */
int ifp_nl_listen(uint32_t groups, struct mnl_socket **ret);

/* Begins or ends to hear a group (RTNLGRP_*) on a socket of ifp_nl_listen(). Return: 0; -errno. */
int ifp_nl_membership(struct mnl_socket *nl, unsigned int group, bool on);

/* Hands over what has come in. Return: 0; -ENOBUFS: messages were lost; -errno. */
int ifp_nl_drain(struct mnl_socket *nl, ifp_nl_cb cb, void *data);
