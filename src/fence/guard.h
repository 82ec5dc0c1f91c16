/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the program at the devices and user space have in common. */
#pragma once

#include <linux/types.h>

#define IFPIN_GUARD_TYPES 64

struct ifpin_guard_key4 {
	__u32 prefixlen;
	__u8 addr[4];
};

struct ifpin_guard_key6 {
	__u32 prefixlen;
	__u8 addr[16];
};

/* By its name the programs of a fence are found again. */
struct ifpin_guard_about {
	char fence[24];
	__u32 n_types;
	__u16 types[IFPIN_GUARD_TYPES];
};
