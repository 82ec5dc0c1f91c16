/* SPDX-License-Identifier: MIT */
/* The BPF programs of one confinement, and their maps. */
#pragma once

#include "host.h"
#include "internal.h"

struct ifp_programs;

/**
 * struct ifp_programs_opts - how to load the programs
 * @device: which is held until it is deleted
 * @loopback, @guard_resolvers: as in struct ifpin_attach_opts
 * @tells: whether denials can be watched; takes longer to load
 * @armed: whether they hold from the moment they are attached; else ifp_programs_arm() says when
 * @shared: maps of the host that others keep true, or NULL: make some of their own
 * @watchers: with @shared, from ifp_store_watchers()
 */
struct ifp_programs_opts {
	const struct ifpin_device *device;
	bool loopback, guard_resolvers;
	bool tells;
	bool armed;
	const struct ifp_host_maps *shared;
	int watchers;
};

/* Return: 0; -ENOSYS, -EPERM, …: the kernel does not load them; -ENODEV, -ESTALE: the device is
 * gone. */
int ifp_programs_load(
	const struct ifp_programs_opts *opts, struct ifp_programs **ret, struct ifpin_error *err);
void ifp_programs_free(struct ifp_programs *p);

/* For as long as the cgroup lives, whatever becomes of us. Return: 0; -errno. */
int ifp_programs_attach(struct ifp_programs *p, int cgroup_fd, struct ifpin_error *err);

/*
 * By links and maps pinned in a new folder of bpffs: for as long as that stands. Return: 0; -errno,
 * and what has been pinned until then is the caller's to remove.
 */
int ifp_programs_pin(
	struct ifp_programs *p, int cgroup_fd, const char *folder, struct ifpin_error *err);

/* Files in such a folder. */
#define IFP_PIN_STATE "state"	  /* struct ifp_pinned_state, as the compiler lays it out */
#define IFP_PIN_PACKETS "packets" /* device_of_packets */
#define IFP_PIN_OPTIONS "options" /* device_of_options */
#define IFP_PIN_PASSED "passed"
#define IFP_PIN_LINK "link" /* link0, link1, … */

/* From here on they hold. */
void ifp_programs_arm(struct ifp_programs *p);

uint32_t ifp_programs_id(const struct ifp_programs *p);
struct ifpin_state *ifp_programs_state(struct ifp_programs *p);
struct ifp_host_maps ifp_programs_host(struct ifp_programs *p);
const uint64_t *ifp_programs_denials(const struct ifp_programs *p);

/* Fills denials of a summary. */
void ifp_denials_from(const uint64_t *counts, struct ifpin_denial *ret, size_t *ret_n);
