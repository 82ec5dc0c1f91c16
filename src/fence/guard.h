/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs at the devices and user space have in common. */
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

/*
 * By its name the programs of a fence are found again. The masks are for the first four bytes of an
 * address as they lie in memory.
 */
struct ifpin_guard_about {
	char fence[24];
	__u32 mask4, bits4, mask6, bits6;
	__u16 ip_types; /* IP itself is fenced as a protocol */
	__u16 inner;	/* packets inside packets are looked at */
	__u32 n_types;
	__u16 types[IFPIN_GUARD_TYPES];
};

enum ifpin_guard_reason {
	IFPIN_GUARD_SOURCE,
	IFPIN_GUARD_DESTINATION,
	IFPIN_GUARD_ARP,
	IFPIN_GUARD_DISCOVERY,
	IFPIN_GUARD_ETHERTYPE,
	IFPIN_GUARD_NESTED,
	IFPIN_GUARD_REASONS,
};

/* What was dropped, on the way out and on the way in. */
struct ifpin_guard_counts {
	struct {
		__u64 packets, bytes;
	} of[2][IFPIN_GUARD_REASONS];
};
