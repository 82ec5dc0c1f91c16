/* SPDX-License-Identifier: MIT */
/* What the files of attaching share. */
#pragma once

#include "existing.h"
#include "freeze.h"
#include "pin.h"
#include "target.h"

void ifp_attach_say(const struct ifpin_attach_opts *o, const char *fmt, ...) _printf_(2, 3);

/* Tells the log what is not held, beginning with "not held: ". */
void ifp_notices(const struct ifpin_attach_opts *o, const struct ifp_target *t, bool has_lsm);

/*
 * A process inside finds out whether the programs do on this kernel what they promise.
 * Return: 0; -ENOTSUP: they do not; -errno.
 */
int ifp_try_inside(
	int cgroup_fd, uint32_t ifindex, uint32_t lsm_probe, struct ifpin_error *err);
