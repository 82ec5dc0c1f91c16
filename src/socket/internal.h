/* SPDX-License-Identifier: MIT */
/* What the files of the socket ring share. */
#pragma once

#include <ifpin/socket.h>

#include "base/base.h"

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef IPV6_UNICAST_IF
#define IPV6_UNICAST_IF 76
#endif
#ifndef IPV6_MINHOPCOUNT
#define IPV6_MINHOPCOUNT 73
#endif

/* The options of a caller, whichever version, as those of this one. Return: 0; -EINVAL; -E2BIG. */
int ifp_opts_read(const struct ifpin_socket_opts *opts, struct ifpin_socket_opts *ret,
	struct ifpin_error *err);

struct ifp_kind {
	int domain, type, protocol;
	bool v6only;
};

/* What sort of socket it is. Return: 0; -ENOTSOCK, -EBADF. */
int ifp_kind_of(int fd, struct ifp_kind *ret);

/* Whether the protocol can be held to a device. Return: 0; -EAFNOSUPPORT; -EPROTONOSUPPORT. */
int ifp_kind_check(const struct ifp_kind *k, struct ifpin_error *err);

/* An option that is an int. Return: 0; -errno. */
int ifp_get_int(int fd, int level, int option, int *ret);
int ifp_set_int(int fd, int level, int option, int value);

/* Whether a device is what it was. Return: 0; -EINVAL: none; -ENODEV, -ESTALE, -EXDEV. */
int ifp_device_current(const struct ifpin_device *dev, struct ifpin_error *err);

/* Ties a socket to a device and reads it back. Return: as ifpin_socket(). */
int ifp_tie(int fd, const struct ifpin_device *dev, struct ifpin_error *err);
int ifp_verify(int fd, const struct ifpin_device *dev, struct ifpin_error *err);

/* Every setting of a socket that may have had another device. Return: as ifpin_pin(). */
int ifp_hold_again(
	int fd, const struct ifp_kind *k, const struct ifpin_device *dev, struct ifpin_error *err);

/* reach.c: hop limits, and what is accepted. Return: 0; -errno. */
int ifp_set_reach(int fd, const struct ifp_kind *k, uint32_t flags, struct ifpin_error *err);

/* source.c: binds the source address that the options ask for. Return: as ifpin_socket(). */
int ifp_bind_source(int fd, const struct ifp_kind *k, const struct ifpin_device *dev,
	const struct ifpin_socket_opts *o, struct ifpin_error *err);
/* Whether a socket's own address is the device's. Return: 0; -EADDRNOTAVAIL; -errno. */
int ifp_check_source(int fd, const struct ifpin_device *dev, struct ifpin_error *err);
