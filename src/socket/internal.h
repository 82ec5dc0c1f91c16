/* SPDX-License-Identifier: MIT */
/* What the files of the socket ring share. */
#pragma once

#include <ifpin/socket.h>

#include "base/base.h"

#include <linux/filter.h>

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
/* Whether socket and device are of one namespace. Return: 0; -EXDEV. */
int ifp_check_netns(int fd, const struct ifpin_device *dev, struct ifpin_error *err);
/* Puts the device into every setting of a socket that is not tied, or fails. by_name: of a fresh
 * one. Return: as ifpin_socket(). */
int ifp_hold(int fd, const struct ifp_kind *k, const struct ifpin_device *dev,
	const struct ifpin_socket_opts *o, bool by_name, struct ifpin_error *err);

/* Every setting of a socket that may have had another device. Return: as ifpin_pin(). */
int ifp_hold_again(int fd, const struct ifp_kind *k, const struct ifpin_device *dev,
	const struct ifpin_socket_opts *o, struct ifpin_error *err);

/* deaf.c */
struct ifp_filter_saved {
	size_t n; /* instructions; 0: no filter */
	struct sock_filter code[BPF_MAXINSNS];
};

/* A socket's classic filter. Return: 0; -EACCES: it has another one; -errno. */
int ifp_filter_read(int fd, struct ifp_filter_saved *ret);
int ifp_filter_write(int fd, const struct ifp_filter_saved *f);
/* From here on a socket receives nothing. On failure it is as it was. Return: 0; -errno. */
int ifp_deafen(int fd, struct ifp_filter_saved *ret_saved, struct ifpin_error *err);
/*
 * It does again, once nothing is under way to it; drain: and without what is in its queue. Takes
 * some milliseconds. Return: 0; -errno.
 */
int ifp_hear_again(
	int fd, const struct ifp_filter_saved *saved, bool drain, struct ifpin_error *err);

/* reach.c: hop limits, and what is accepted. Return: 0; -errno. */
int ifp_set_reach(int fd, const struct ifp_kind *k, uint32_t flags, struct ifpin_error *err);

/* source.c: binds the source address that the options ask for. Return: as ifpin_socket(). */
int ifp_bind_source(int fd, const struct ifp_kind *k, const struct ifpin_device *dev,
	const struct ifpin_socket_opts *o, struct ifpin_error *err);
/* Whether a socket's own address is the device's. Return: 0; -EADDRNOTAVAIL; -errno. */
int ifp_check_source(int fd, const struct ifpin_device *dev, struct ifpin_error *err);
