/* SPDX-License-Identifier: MIT */
/* The parts of which the text of a fence is made. */
#pragma once

#include "internal.h"

/* First and last of all priorities. */
#define FIRST "-2147483648"
#define LAST "2147483647"

struct writer {
	FILE *f;
	const struct plan *plan;
	bool four, six;
	unsigned int top4, top6; /* bits of the sets t4 and t6; 0: there are none */
	struct ifp_common common;
};

static inline const char *ifp_dir(bool in)
{
	return in ? "in" : "out";
}

/* ---- sets.c ---- */
void ifp_write_networks(
	const struct writer *w, bool four, const char *name, const char *key, bool typed);
/* The sets t4 and t6: the first bytes of all networks. */
void ifp_write_first_bytes(const struct writer *w, bool four);
void ifp_write_counters(const struct writer *w, const char *const *reasons);
/* Devices on which every frame is read: there the tables without devices need not look again. */
void ifp_write_covered(const struct writer *w);
/* The sets and counters of a table that reads frames. */
void ifp_write_frame_sets(const struct writer *w);
/*
 * What most packets fail: a comparison with what all networks have in common, or a look-up of their
 * first bytes. Nothing where the networks have neither.
 */
void ifp_write_likely(const struct writer *w, bool four, unsigned int bit);
/* One rule: an address at a bit behind a base ("ll", "nh") is in a set, "p4" or "p6". */
void ifp_write_match(const struct writer *w, const char *base, unsigned int bit, const char *set,
	const char *dir, const char *reason);

/* ---- frames.c ---- */
/* Chains that read a frame from its first byte on: DIR_wire_12. */
void ifp_write_wire(const struct writer *w, const char *dir);
/* Chains for a device without link addresses: DIR_bare. */
void ifp_write_bare(const struct writer *w, const char *dir);
