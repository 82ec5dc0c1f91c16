/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the BPF LSM programs and user space must agree on. Plain C, included by both. */
#pragma once

#include "policy.h"

/*
 * Of one cgroup, kept by the kernel for as long as that lives. All zero, as the kernel makes it:
 * nothing is refused yet.
 */
struct ifpin_lsm_terms {
	__u64 cgroup;	/* its id; sockets made there or below are its own */
	__u64 families; /* a bit for each address family of which sockets may be made */
	__u64 carried;	/* and for each of which a socket made outside may be received */
	__u32 id; /* of the confinement; also what the programs answer to, to show that they are in
		     force */
	__u32 armed;
	struct ifpin_denials denials;
};

/* What socket(AF_UNIX, SOCK_STREAM, id) fails with where they are (ENOANO). */
#define IFPIN_LSM_PROBE_ERROR 55
