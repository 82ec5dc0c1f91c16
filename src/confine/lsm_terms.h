/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the BPF LSM programs and user space must agree on. Plain C, included by both. */
#pragma once

#include <linux/types.h>

enum ifpin_lsm_denied { IFPIN_LSM_FOREIGN, IFPIN_LSM_FAMILY, IFPIN_LSM_LOOKUP, IFPIN_LSM_DENIED };

/*
 * Of one cgroup, kept by the kernel for as long as that lives. All zero, as the kernel makes it:
 * nothing is refused yet.
 */
struct ifpin_lsm_terms {
	__u64 cgroup;	/* its id; sockets made there or below are its own */
	__u64 families; /* a bit for each address family of which sockets may be made */
	__u64 carried;	/* and for each of which a socket made outside may be received */
	__u32 probe;	/* by which the programs show that they are in force */
	__u32 armed;
	__u64 denied[IFPIN_LSM_DENIED];
};

/* What socket(AF_UNIX, SOCK_STREAM, probe) fails with where they are (ENOANO). */
#define IFPIN_LSM_PROBE_ERROR 55
