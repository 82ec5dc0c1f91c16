/* SPDX-License-Identifier: MIT */
/* The BPF programs and their maps, as they are loaded. */
#pragma once

#include "host.h"
#include "internal.h"
#include "program_maps.h"
#include "set.h"

#define IFP_N_PROGRAMS 13

struct ifp_programs;

/**
 * struct ifp_programs_opts - how to load the programs
 * @shared: maps of the host that others keep true, or NULL: make some of their own, and room for
 *	one confinement. Only those that are shared tell, which takes longer to load (run_tell.h)
 * @watchers: with @shared, from ifp_store_watchers()
 */
struct ifp_programs_opts {
	const struct ifp_host_maps *shared;
	int watchers;
};

/* Return: 0; -ENOSYS, -EPERM, …: the kernel does not load them. */
int ifp_programs_load(
	const struct ifp_programs_opts *opts, struct ifp_programs **ret, struct ifpin_error *err);
void ifp_programs_free(struct ifp_programs *p);

/* For as long as the cgroup lives, whatever becomes of us. Return: 0; -errno. */
int ifp_programs_attach(struct ifp_programs *p, int cgroup_fd, struct ifpin_error *err);

/*
 * Loads the same programs as those whose maps these are, but such that tell. Nothing of the maps is
 * changed. Return: 0; -errno.
 */
int ifp_programs_like(
	const struct ifpin_set *is, const struct ifp_program_maps *maps, struct ifp_programs **ret);
/* The kernel's hash of one of them, which says nothing of its maps. Return: 0; -errno. */
int ifp_program_tag(const struct ifp_programs *p, int hook, uint8_t ret[BPF_TAG_SIZE]);
/* Puts one in the place of another that is attached to a cgroup. Return: 0; -ENOENT: it is not;
 * -errno. */
int ifp_program_replace(const struct ifp_programs *p, int cgroup_fd, int hook, int old);

/* Files in the folder of a set: a program by the number of the hook that it is for. */
#define IFP_SET_PROG "prog"
#define IFP_SET_PINS "pins"
#define IFP_SET_PASSED "passed"
#define IFP_SET_DENIED "denied"
#define IFP_SET_PACKETS "packets"
#define IFP_SET_OPTIONS "options"

/*
 * Pins programs and maps in a new folder. Return: 0; -errno, and what has been pinned until then is
 * the caller's to remove.
 */
int ifp_programs_pin(struct ifp_programs *p, const char *folder, struct ifpin_error *err);

/* Which build they are of. */
uint64_t ifp_programs_hash(void);

/* The hooks that they are for. */
extern const int ifp_program_hooks[IFP_N_PROGRAMS];

/* The maps, which stay theirs. */
struct ifp_set ifp_programs_set(const struct ifp_programs *p);
struct ifp_host_maps ifp_programs_host(const struct ifp_programs *p);

/* Fills denials of a summary. */
void ifp_denials_from(const uint64_t *counts, struct ifpin_denial *ret, size_t *ret_n);
