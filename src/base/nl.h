/* SPDX-License-Identifier: MIT */
/* One netlink request and its answers, over libmnl. */
#pragma once

#include <libmnl/libmnl.h>
#include <stdint.h>

typedef int (*ifp_nl_cb)(const struct nlmsghdr *nlh, void *data);

/*
 * Sends a request whose type, flags and body the caller has put in, and hands every answer to cb.
 * Checks port id and sequence; a dump that changed under us is read again, five times at most,
 * so cb must bear to see an entry twice. cb returns 0 or a negative errno, which ends it.
 *
 * Return: 0; -EAGAIN: the dump kept changing; the kernel's error; errno of the socket calls.
 */
int ifp_nl_talk(struct nlmsghdr *req, ifp_nl_cb cb, void *data);
/* The same on another family than NETLINK_ROUTE. */
int ifp_nl_talk_on(int family, struct nlmsghdr *req, ifp_nl_cb cb, void *data);

/* A non-blocking socket that hears the given groups (RTMGRP_*). Return: 0; -errno. */
int ifp_nl_listen(uint32_t groups, struct mnl_socket **ret);

/* Hands over what has come in. Return: 0; -ENOBUFS: messages were lost; -errno. */
int ifp_nl_drain(struct mnl_socket *nl, ifp_nl_cb cb, void *data);
