/* SPDX-License-Identifier: MIT */
/*
 * By what the programs of BPF LSM tell those who watch. They are of no network namespace, so they
 * have slots of their own, in which a slot has the same number (slots.h).
 */
#pragma once

#include "lsm.h"
#include "store.h"

struct ifp_lsm_teller {
	uint32_t id; /* of the map of watchers, by which one is told from another */
	int terms, watchers;
	struct ifpin_host *host; /* only who watches stands in it */
};

#define IFP_NO_LSM_TELLER ((struct ifp_lsm_teller){.terms = -1, .watchers = -1})

/* Of those that are attached to a cgroup. Return: 0; -ENOENT: none of this version are; -errno. */
int ifp_lsm_teller_of(int cgroup_fd, struct ifp_lsm_teller *ret);
/* Of those that stand in bpffs under a name (lsm_NAME). Return: as above. */
int ifp_lsm_teller_kept(const struct ifp_store *s, const char *name, struct ifp_lsm_teller *ret);
void ifp_lsm_teller_close(struct ifp_lsm_teller *t);

/*
 * What they count of a confinement. Return: 0; -ENOENT: its cgroup is gone, or is another one's
 * now; -errno.
 */
int ifp_lsm_teller_counts(const struct ifp_lsm_teller *t, uint64_t cgroup_id, uint32_t confinement,
	struct ifpin_denials *ret);
