/* SPDX-License-Identifier: MIT */
/* Keeps the state of a confinement's BPF programs true to the host. */
#pragma once

#include "host.h"
#include "internal.h"

struct ifp_followed {
	uint32_t ifindex;
	struct ifpin_state *state; /* what the programs read */
	struct ifp_host_maps host;
};

struct ifp_follow;

/*
 * Fills the state and listens from then on. *ret is set even on failure.
 * Return: 0; -ENODEV: the device is gone; -E2BIG: too many addresses; errno of netlink.
 */
int ifp_follow_start(
	const struct ifp_followed *to, struct ifp_follow **ret, struct ifpin_error *err);
/* Readable when something has happened. */
int ifp_follow_fd(const struct ifp_follow *f);
/* Milliseconds until ifp_follow_apply() has something to do by itself; -1: nothing. */
int ifp_follow_timeout(const struct ifp_follow *f);
/* Return: 0; -errno: the state may be old. */
int ifp_follow_apply(struct ifp_follow *f);
void ifp_follow_free(struct ifp_follow *f);

/* The device's name as the programs compare it; "": it has none. */
void ifp_state_name(struct ifpin_state *s, const char *name);
