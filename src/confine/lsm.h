/* SPDX-License-Identifier: MIT */
/*
 * BPF LSM, where the kernel has it: sockets made outside cannot be received, other families not be
 * opened, and the kernel not be asked for a route of IPv6, for which it would look for gateways.
 */
#pragma once

#include "policy.h"

#include "base/base.h"

#include <ifpin/confine.h>

struct ifp_lsm;
struct ifp_store;

/* File of a program that uses all of their maps, where they stand in bpffs. */
#define IFP_LSM_TELLS "receive"

/*
 * The programs: those that stand in bpffs since they were needed first, or loaded now; then they
 * are left there, for the loader takes its time to find its way through the kernel's types. locked:
 * the store, if the caller has it for writing; else NULL.
 *
 * Return: 0, and *ret is NULL where the kernel has no BPF LSM, takes no programs for it from
 * anybody, or none for cgroups (Linux 6.0; arm64: 6.4); -errno: it has, and the programs cannot be
 * used.
 */
int ifp_lsm_open(const struct ifp_store *locked, struct ifp_lsm **ret, struct ifpin_error *err);
void ifp_lsm_free(struct ifp_lsm *l);

/* Removes from bpffs what other versions left there; what is attached stays. Return: 0; -errno. */
int ifp_lsm_tidy(const struct ifp_store *locked);

/* Whether the kernel has it, for reports. */
bool ifp_lsm_available(void);

/* For as long as the cgroup lives. Nothing is refused before ifp_lsm_arm(). Return: 0; -errno. */
int ifp_lsm_attach(const struct ifp_lsm *l, int cgroup_fd, struct ifpin_error *err);

/* The same by links pinned in a folder of bpffs, for as long as that stands. */
#define IFP_LSM_LINK "lsm" /* lsm0 to lsm3 */
#define IFP_LSM_LINKS 4
int ifp_lsm_pin(
	const struct ifp_lsm *l, int cgroup_fd, const char *folder, struct ifpin_error *err);

/*
 * What is left of a confinement that has ended would be in force with the first link. For a cgroup
 * where no other is. Return: 0; -errno.
 */
int ifp_lsm_claim(const struct ifp_lsm *l, int cgroup_fd, struct ifpin_error *err);

/*
 * From here on they refuse, families: but those of which sockets may be made; and answer to the id
 * of the confinement. To be called again to change it. Return: 0; -errno.
 */
int ifp_lsm_arm(const struct ifp_lsm *l, int cgroup_fd, uint64_t families, uint32_t confinement,
	struct ifpin_error *err);

/* In a process inside: whether they are in force. Return: 0; -ENODATA: they are not. */
int ifp_lsm_try(uint32_t confinement);

/* What was refused in the cgroup, by enum ifpin_reason. */
void ifp_lsm_denials(const struct ifp_lsm *l, int cgroup_fd, uint64_t ret[IFPIN_REASON_SLOTS]);
/* Adds it to what ifp_denials_from() has filled, from the programs that stand in bpffs. */
void ifp_lsm_add_denials(uint64_t cgroup_id, struct ifpin_denial *denials);
