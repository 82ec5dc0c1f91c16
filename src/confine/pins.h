/* SPDX-License-Identifier: MIT */
/* Confinements that are in force, by their names. */
#pragma once

#include "pin.h"

/* Where one is that is so called. Return: 0; as ifp_sets_find(). */
int ifp_pin_find(struct ifp_sets *sets, const struct ifp_meta *m, struct ifp_pin *ret);

/* Whether all links are there and attached. */
bool ifp_links_live(const struct ifp_store *s, const struct ifp_meta *m);

/* Ends one; by a writer only. Return: as ifp_pin_drop(). */
int ifp_pin_remove(const struct ifp_store *s, const char *name);

/*
 * Ends what is in a folder that is of no use any more, and the programs if nobody needs them any
 * more; by a writer only. Return: 0; 1: its cgroup is gone, and with it the key by which its device
 * stands in the maps, so that ifp_sets_tidy() has to look for it; -errno.
 */
int ifp_pin_drop(const struct ifp_store *s, const char *kind, const char *name);

/* Ends those whose cgroup is gone, and what is left of killed ones. Return: 0; -errno. */
int ifp_pins_gc(unsigned int *ret_removed, struct ifpin_error *err);
