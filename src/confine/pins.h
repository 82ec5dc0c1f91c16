/* SPDX-License-Identifier: MIT */
/* Confinements that are in force, as user space opens them. */
#pragma once

#include "programs.h"
#include "store.h"

#include "ifpin.skel.h"

#define IFP_N_PROGRAMS 13

/* The maps of one. */
struct ifp_pin {
	int state, packets, options;
	struct ifpin_bpf__bss *bss; /* a mapping of state */
};

/* kind: "pin", or "new" for one that is being made. Return: 0; -ENOENT; -EPROTO: of another
 * version; -errno. */
int ifp_pin_open(
	const struct ifp_store *s, const char *kind, const char *name, struct ifp_pin *ret);
void ifp_pin_close(struct ifp_pin *p);

/* The state of one in force alone. Return: 0; -ENOENT; -EPROTO: of another version; -errno. */
int ifp_state_open(const struct ifp_store *s, const char *name, struct ifpin_bpf__bss **ret);
/* The same from a descriptor of the map. */
int ifp_state_map(int state, struct ifpin_bpf__bss **ret);
void ifp_state_close(struct ifpin_bpf__bss **bss);

/* From here on packets pass on this device, if it is it. Return: 0; -ENODEV, -ESTALE: it is gone,
 * or another has its index, and nothing passes; -errno. */
int ifp_pin_hold(struct ifp_pin *p, const struct ifpin_device *d);
/* Which it is; 0: none. The kernel takes it away when the device is deleted. Return: 0; -errno. */
int ifp_pin_held(const struct ifp_pin *p, uint32_t *ret_ifindex);

/* Whether all links are there and attached. */
bool ifp_links_live(const struct ifp_store *s, const char *name);

/* Ends one; by a writer only. Return: 0; -errno. */
int ifp_pin_remove(const struct ifp_store *s, const char *name);

/* Ends those whose cgroup is gone. Return: 0; -errno. */
int ifp_pins_gc(unsigned int *ret_removed, struct ifpin_error *err);
