/* SPDX-License-Identifier: MIT */
/* What the programs tell of a denial, and what it means. */
#pragma once

#include "policy.h"

#include <ifpin/confine.h>

/*
 * Looks at what came out of a ring buffer. Return: 0; -EBADMSG: no event, or one of another
 * version.
 */
int ifp_denied_parse(const void *data, size_t len, struct ifpin_denial_event *ret);

/* The name of a device: writes an empty string where there is none. */
typedef void ifp_name_of_fn(uint32_t ifindex, char ret[IF_NAMESIZE]);

/* In words; all but the name of the confinement. offset_ns: from CLOCK_MONOTONIC to 1970. */
void ifp_denied_fill(const struct ifpin_denial_event *ev, ifp_name_of_fn *name_of,
	uint64_t offset_ns, struct ifpin_denied *ret);

/* The word and the clause of a reason; NULL: there is no such one. */
const char *ifp_reason_name(uint32_t reason);
const char *ifp_reason_text(uint32_t reason);
