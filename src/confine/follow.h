/* SPDX-License-Identifier: MIT */
/* Keeps the state of a confinement's BPF programs true to the host. */
#pragma once

#include "host.h"
#include "internal.h"
#include "pin.h"

struct ifp_followed {
	uint32_t ifindex;
	struct ifpin_pin *value;   /* what is to be so */
	const struct ifp_pin *pin; /* where the programs read it */
	struct ifp_host_maps host;
};

struct ifp_follow;

/*
 * Fills the value, which is the caller's to write, and listens from then on. *ret is set even on
 * failure. Return: 0; -ENODEV: the device is gone; -E2BIG: too many addresses; errno of netlink.
 */
int ifp_follow_start(
	const struct ifp_followed *to, struct ifp_follow **ret, struct ifpin_error *err);
/* Readable when something has happened. */
int ifp_follow_fd(const struct ifp_follow *f);
/* Milliseconds until ifp_follow_apply() has something to do by itself; -1: nothing. */
int ifp_follow_timeout(const struct ifp_follow *f);
/* Also writes the value. Return: 0; -errno: what the programs read may be old. */
int ifp_follow_apply(struct ifp_follow *f);
void ifp_follow_free(struct ifp_follow *f);
