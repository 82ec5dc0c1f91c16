/* SPDX-License-Identifier: MIT */
/* The maps of programs that are attached somewhere, found by their names. */
#pragma once

#include "policy.h"

#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>

struct ifp_program_maps {
	int pins, passed, denied, packets, options, watchers, host, addrs, ways;
	uint32_t pins_id;	   /* of the map, by which programs of one set are known */
	uint8_t tag[BPF_TAG_SIZE]; /* of the program that was read last: the kernel's hash of it */
	struct ifpin_set is;	   /* and what it is */
	bool has_set;
};

#define IFP_NO_PROGRAM_MAPS                                                                        \
	((struct ifp_program_maps){.pins = -1,                                                     \
		.passed = -1,                                                                      \
		.denied = -1,                                                                      \
		.packets = -1,                                                                     \
		.options = -1,                                                                     \
		.watchers = -1,                                                                    \
		.host = -1,                                                                        \
		.addrs = -1,                                                                       \
		.ways = -1})

/*
 * Opens those that a program uses and that are not open yet. Return: 0; -ENOENT: it is gone;
 * -EPROTO: it is not one of ours, or of another version; -errno.
 */
int ifp_program_maps_read(uint32_t prog_id, struct ifp_program_maps *m);
/* By which a map is told from all others. Return: 0; -errno. */
int ifp_map_id(int map, uint32_t *ret);
void ifp_program_maps_close(struct ifp_program_maps *m);
