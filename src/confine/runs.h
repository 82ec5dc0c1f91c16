/* SPDX-License-Identifier: MIT */
/* Confinements of commands that run (ifpin_confine_run()), as others find them: by their cgroups.
 */
#pragma once

#include "pin.h"
#include "program_maps.h"

/* One, for as long as a callback lasts. */
struct ifp_run {
	char name[IFPIN_PIN_NAME_SIZE];
	char cgroup[IFPIN_CGROUP_PATH_SIZE];
	struct ifp_program_maps maps; /* of its programs, as far as that for packets uses them */
	struct ifp_set set;	      /* the same */
	struct ifp_pin in;	      /* the set */
	struct ifpin_pin value;
	uint32_t held; /* index of the device; 0: it is gone */
	int cgroup_fd;
};

/*
 * Calls cb for each whose programs are of this version and hold. Return: 0; what cb returned;
 * errno of the walk and of asking the kernel.
 */
int ifp_runs_each(int (*cb)(const struct ifp_run *run, void *data), void *data);
