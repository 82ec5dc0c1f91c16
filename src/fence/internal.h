/* SPDX-License-Identifier: MIT */
/* The fence: what there is to say to nftables, and what it says back. */
#pragma once

#include <ifpin/fence.h>

#include "base/base.h"
#include "guard.h"

#include <json-c/json.h>

/* What each table of a fence is called; nothing else begins so. */
#define TABLE_PREFIX "ifpin_"

/* A device of the namespace, as far as a fence asks. */
struct port {
	uint32_t ifindex, master, link, group;
	uint16_t type;
	bool foreign_link; /* link is an index of another namespace */
	bool xdp, switchdev;
	char name[IF_NAMESIZE];
	char kind[IFPIN_KIND_SIZE];
};

struct ports {
	struct port *list;
	size_t n;
};

/* All that makes up the text of a fence. */
struct plan {
	const char *name;
	struct ifpin_device device;
	const struct port *carriers;
	size_t n_carriers;
	const struct port *covered;
	size_t n_covered;
	const struct ifpin_prefix *prefixes;
	size_t n_prefixes;
	const uint16_t *ethertypes;
	size_t n_ethertypes;
	const char *configured;
	enum ifpin_fence_nat asked;
	bool nat, bridge;
	uint32_t group; /* that DEVICE has, see place.c */
	bool shut;	/* another one has its place: none is exempt */
	bool guarded;	/* the program in traffic control reads every frame of these devices */
};

/*
 * The bits that all networks of a family begin with, of the first 32: of interest is only what has
 * (address & mask) == bits. In a family without networks nothing is.
 */
struct ifp_common {
	uint32_t mask4, bits4, mask6, bits6;
};

/* ---- prefix.c ---- */
bool ifp_prefix_is_v4(const struct ifpin_prefix *p);
/* Sorts, and leaves out those inside others. Return: how many are left. */
size_t ifp_prefix_merge(struct ifpin_prefix *list, size_t n);
/* Whether a network is in one of such a list. */
bool ifp_prefix_holds(const struct ifpin_prefix *list, size_t n, const struct ifpin_prefix *p);
void ifp_prefix_common(const struct ifpin_prefix *list, size_t n, struct ifp_common *ret);
/* First and last address as decimal numbers, which nft takes for integers of any size. */
void ifp_prefix_range(const struct ifpin_prefix *p, char ret_first[48], char ret_last[48]);

/* ---- ports.c ---- */
/* Return: 0; as ifp_nl_talk(); -ENOMEM. */
int ifp_ports_read(struct ports *ret);
void ifp_ports_free(struct ports *ports);
/* Which devices carry DEVICE's own frames, and which are to be covered; NULL: all are. */
int ifp_ports_split(const struct ports *all, const struct ifpin_device *device,
	struct ports *ret_carriers, struct ports *ret_covered);
/* Return: 0; -EINVAL: nft has no way to write this name. */
int ifp_port_name_check(const char *name, struct ifpin_error *err);

/* ---- place.c ---- */
/*
 * The group that a fence gives to a device which has none (0): these first bits, and drawn ones. A
 * device takes its group along to another network namespace, where it must not be another fence's.
 */
#define IFP_FENCE_GROUP 0x69000000u
#define IFP_FENCE_GROUP_MASK 0xff000000u
/* What became of DEVICE, and of its name and index. */
struct place {
	enum ifpin_identity identity;
	struct ifpin_device now; /* as it is; where it is not, as it was */
	bool here;
	bool moved;  /* with another index, name or address */
	bool taken;  /* another one has its name and its index */
	bool marked; /* DEVICE, or the one in its place, has the group */
};
const struct port *ifp_port_at(const struct ports *all, uint32_t ifindex);
/* Return: 0; as ifpin_device_check(). */
int ifp_place_find(const struct ifpin_device *device, uint32_t group, const struct ports *all,
	struct place *ret, struct ifpin_error *err);
/*
 * Decides about the group and about who is exempt, and gives DEVICE the group if it is there and
 * has none. Return: 0; -ENODEV: devices changed, look again; -errno.
 */
int ifp_place_take(struct plan *plan, const struct ports *all, bool dry);
/* Takes the group from devices that no fence is for, but for one that is known. Return: 0; -errno.
 */
int ifp_place_release(const struct ports *all, uint32_t but, struct ifpin_error *err);

/* ---- check.c ---- */
struct check;
/* Notes what is found. */
void ifp_check_say(struct check *c, enum ifpin_finding finding, const char *fmt, ...)
	_printf_(3, 4);

/* ---- beyond.c ---- */
/* Names what is here that no rule can stop. Return: 0; as ifp_nft_list(). */
int ifp_beyond(struct check *c, const struct ifpin_fence *fence, const struct ports *all,
	struct ifpin_error *err);

/* ---- plan.c ---- */
/* Whether a packet has a route, as rules ask: there is no realm that is not this number or another.
 */
#define IFP_HAS_ROUTE "meta rtclassid != 0xffffffff"
/* The transaction. Return: text, to be released with free(); NULL: no memory. */
char *ifp_plan_text(const struct plan *plan);
/* Those chains of a device that the plan has, alone. */
void ifp_plan_cover(FILE *f, const struct plan *plan, const struct port *port);

/* ---- sets.c ---- */
/* Elements of the set of covered devices. */
void ifp_plan_covered(FILE *f, const struct plan *plan);

/* ---- nft.c ---- */
/* Hands text to nftables as one transaction, or only asks. Return: 0; -errno, see fence.h. */
int ifp_nft_run(const char *text, bool dry, struct ifpin_error *err);
/* What a list command gives. Return: 0, the array to be put with json_object_put(); -errno. */
int ifp_nft_list(const char *command, json_object **ret, struct ifpin_error *err);
/* The same as text, without what is in sets; JSON does not tell all. */
int ifp_nft_text(const char *command, char **ret, struct ifpin_error *err);
/* Whether the text of a table says that it is switched off. */
bool ifp_nft_dormant(const char *text);
/* Whether a chain of a fence hangs on a device, by the text of a list. */
bool ifp_nft_hooked(const char *text, const char *fence, const char *chain, const char *device);
/* A member of an object by kind ("chain", "rule"), or NULL. */
json_object *ifp_nft_of(json_object *item, const char *kind);
const char *ifp_nft_string(json_object *o, const char *key);
static inline void ifp_nft_putp(json_object **o)
{
	json_object_put(*o);
}
int64_t ifp_nft_int(json_object *o, const char *key);

/* ---- state.c ---- */
/* Reads one fence. Return: 0; -ENOENT; -errno. */
int ifp_state_read(const char *name, struct ifpin_fence *ret, struct ifpin_error *err);
/* Only the device, the carriers and what is covered: quick, however many networks there are. */
int ifp_state_read_devices(const char *name, struct ifpin_fence *ret, struct ifpin_error *err);
/* A table of a fence, also where only a part of a fence is left. */
struct fence_table {
	char family[8], fence[IFPIN_FENCE_NAME_SIZE];
};
int ifp_state_tables(struct fence_table **ret, size_t *ret_n, struct ifpin_error *err);
void ifp_state_clear(struct ifpin_fence *fence);

/* ---- fence.c ---- */
int ifp_fence_name_check(const char *name, struct ifpin_error *err);
/* Whether something translates addresses in this namespace. Return: 0; -errno. */
int ifp_host_has_nat(bool *ret, struct ifpin_error *err);
/* Replaces the fence by what it was, for the devices there are now. */
int ifp_fence_again(
	const struct ifpin_fence *was, const struct ifpin_device *device, struct ifpin_error *err);

/* ---- lock.c ---- */
/* Waits until nobody else changes fences of this network namespace. Return: 0; -EPERM; -errno. */
int ifp_fence_lock(int *ret, struct ifpin_error *err);

/* ---- guard.c: a program in traffic control, for what passes no rule ---- */
struct ifp_guard;
/* Whether this kernel has tcx, Linux 6.6. */
bool ifp_guard_has_place(void);
/* plan: in memory as long as that is. Return: 0; errno of bpf(2). */
int ifp_guard_load(const struct plan *plan, struct ifp_guard **ret);
void ifp_guard_end(struct ifp_guard *g);
/*
 * Before all other programs of the device, on both ways. The fence's former ones stay, but where
 * this one drops all that they drop: there it takes their place. Return: 0; -errno.
 */
int ifp_guard_attach(struct ifp_guard *g, const struct port *port);
/* Undoes all of that, at all devices. */
void ifp_guard_undo(struct ifp_guard *g);
/*
 * The program of a fence at a device. ret_overtaken: somebody else's comes before it. Return: its
 * id; 0: there is none; -errno.
 */
int64_t ifp_guard_find(const char *fence, uint32_t ifindex, bool in, bool *ret_overtaken);
/* Whether a program that is no fence's is on a device's way in. */
bool ifp_guard_has_others(uint32_t ifindex);
/* Takes those of a fence off a device, but for the new ones. Return: how many there were; -errno.
 */
int ifp_guard_detach(const char *fence, uint32_t ifindex, const struct ifp_guard *but);
/* Ties the programs of one device to another of the same type. Return: 0; -ENOENT; -errno. */
int ifp_guard_extend(const char *fence, uint32_t from, const struct port *to);
/* What the programs of a fence have dropped, by a device where they are. */
bool ifp_guard_counts(const char *fence, uint32_t ifindex, struct ifpin_guard_counts *ret);
