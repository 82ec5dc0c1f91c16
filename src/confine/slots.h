/* SPDX-License-Identifier: MIT */
/*
 * A slot is what one who watches has in the kernel: a place for a buffer in the maps of watchers,
 * and a bit in what the programs know of the host. It has the same number everywhere, and belongs to whoever has
 * locked the folder of that number: so what a killed one has left is known for that, and is
 * removed.
 */
#pragma once

#include "store.h"

struct ifp_slot {
	int fd; /* of the folder, locked */
	uint32_t n;
};

/* Takes a free one, which is clean; by one who has locked the store. Return: 0; -EUSERS: there is
 * none; -errno. */
int ifp_slot_take(const struct ifp_store *s, struct ifp_slot *ret);

/* Removes what killed ones have left. Return: 0; -errno. */
int ifp_slots_tidy(struct ifpin_error *err);

/* From here on what is in the slot of a map hears. Takes 8 ms. Return: 0; errno of the update. */
int ifp_slot_fill(const struct ifp_slot *slot, int watchers, int buffer);
/* From here on it is empty. Return: 0; errno of the removal. */
int ifp_slot_empty(uint32_t n, int watchers);
