/* SPDX-License-Identifier: MIT */
/* What stands of one confinement in the maps of its set. */
#pragma once

#include "set.h"

/* One, as it is found. */
struct ifp_pin {
	const struct ifp_set *set; /* NULL: it could not be opened; then there is nothing to find */
	uint64_t cgroup_id;
	uint32_t id;
};

/* What does not depend on the device. Return: 0; -errno. */
int ifp_pin_prepare(
	bool loopback, bool guard_resolvers, struct ifpin_pin *ret, struct ifpin_error *err);

/* The device's name as the programs compare it; "": it has none. */
void ifp_pin_name(struct ifpin_pin *pin, const char *name);

/* Gives it an id, and counters under that. Return: 0; -E2BIG: the set is full; -errno. */
int ifp_set_add(const struct ifp_set *set, struct ifpin_pin *pin);
/* Takes away what is of it in the maps of the set. */
void ifp_set_forget(const struct ifp_set *set, const struct ifpin_pin *pin);

/*
 * Puts a device into the maps, under a key that nothing looks at until the value is written; then
 * looks whether it is the one. Return: 0; -ENODEV, -ESTALE: it is gone, or another has its index,
 * and pin->held is 0; -errno.
 */
int ifp_set_hold(const struct ifp_set *set, struct ifpin_pin *pin, const struct ifpin_device *d);

/* Return: 0; -ENOENT: there is none, or another one is on this cgroup; -errno. */
int ifp_pin_read(const struct ifp_pin *p, struct ifpin_pin *ret);
/* Whatever was there. Return: 0; -ENOENT: the programs are not attached; -errno. */
int ifp_pin_write(const struct ifp_pin *p, const struct ifpin_pin *value);

/*
 * To change it: reads it and keeps others from changing it, until ifp_pin_end(), which writes it
 * (NULL: nothing has changed). Return: 0; as above, and then there is nothing to end.
 */
int ifp_pin_begin(const struct ifp_pin *p, struct ifpin_pin *ret);
int ifp_pin_end(const struct ifp_pin *p, const struct ifpin_pin *value);

/* From here on packets pass on this device, if it is it. Return: as ifp_set_hold(), and nothing
 * passes then. */
int ifp_pin_hold(const struct ifp_pin *p, const struct ifpin_device *d);
/* Which it is; 0: none. The kernel takes it away when the device is deleted. Return: 0; -errno. */
int ifp_set_held(const struct ifp_set *set, const struct ifpin_pin *pin, uint32_t *ret_ifindex);

/*
 * Takes the storage over from one that was there before: whoever would change that one finds
 * another id from then on, and ifp_pin_write() needs no lock until this one is known to others. So
 * nobody is waited for while a cgroup stands still that he may be in. Return: 0, also where there
 * is none yet; -errno.
 */
int ifp_pin_claim(const struct ifp_pin *p, const struct ifpin_pin *value);

/* From here on it holds nothing. *ret is the last value. Return: as ifp_pin_begin(). */
int ifp_pin_disarm(const struct ifp_pin *p, struct ifpin_pin *ret);
