/* SPDX-License-Identifier: MIT */
/*
 * Where confinements of running services live: in folders of bpffs, by names that tell in which
 * state each is. There is no other record of them.
 *
 *	pin_NAME	in force
 *	new_NAME	being made; without a lock holder: left by one that was killed, and removed
 *	old_NAME	being replaced by pin_NAME; removed, or put back where there is none
 *	host_COOKIE_VERSION	what all of one network namespace share: maps that say what is so of
 *			the host, and in set_HASH_LAYER the programs of each build (set.h);
 *			who watches, and names that commands have left to them (run_tell.h)
 *	lsm_HASH	the programs of BPF LSM, which are the same for all
 *
 * A file name of bpffs has no dot, so that of a confinement is written with '+' instead, which no
 * name has.
 */
#pragma once

#include "host.h"
#include "internal.h"

#include <dirent.h>

/* Below a cgroup that is being confined, for as long as that is tried from inside. */
#define IFP_PROBE_CGROUP "ifpin-probe"

#define IFP_META_VERSION 2 /* of all that is pinned */

/* By which a set of programs is found. */
struct ifp_set_name {
	uint64_t netns; /* its cookie */
	uint64_t hash;	/* of the build */
	uint32_t layer;
	uint32_t pad;
};

/* What a confinement is, in a map of its own. */
struct ifp_meta {
	uint32_t version;
	uint32_t id; /* as in struct ifpin_pin */
	uint64_t cgroup_id;
	struct ifp_set_name set;
	int64_t since;
	struct ifpin_device device;
	char name[IFPIN_PIN_NAME_SIZE];
	char cgroup[IFPIN_CGROUP_PATH_SIZE];
	bool loopback, guard_resolvers, rebind, abort, configured, lsm;
};

struct ifp_store {
	int fd; /* of the folder; locked by a writer */
	char path[64];
};

static inline void ifp_store_closep(struct ifp_store *s)
{
	if (s->fd >= 0)
		close(s->fd);
}

/*
 * Opens the folder for reading. Return: 0; -ENOENT: there is none, so no confinement either;
 * -EPERM: it is not root's alone; errno of open.
 */
int ifp_store_open(struct ifp_store *ret, struct ifpin_error *err);

/*
 * Opens the folder where there is a bpffs, and makes it if need be; mounts nothing and locks
 * nothing. Return: 0; -ENOENT: no bpffs; -EPERM: it is not root's alone; -errno.
 */
int ifp_store_try(struct ifp_store *ret);

/*
 * Opens it for writing: mounts bpffs and makes the folder if need be, waits until no other writer
 * is there, and finishes or undoes what a killed one has left. Return: 0; -EPERM; -errno.
 */
int ifp_store_lock(struct ifp_store *ret, struct ifpin_error *err);

/* Path of a confinement's folder, or of a file in it (NULL: the folder). Return: ret. */
const char *ifp_store_path(const struct ifp_store *s, const char *kind, const char *name,
	const char *file, char ret[256]);

/*
 * Opens what is pinned there. From the store's folder on where the kernel can (Linux 6.5), which
 * takes a third of the time. Return: the descriptor; errno of BPF_OBJ_GET.
 */
int ifp_store_get(const struct ifp_store *s, const char *kind, const char *name, const char *file);
int ifp_store_get_at(const struct ifp_store *s, const char *path);

/* The name of a confinement whose folder is so called. Return: 0; -ENOENT: it is not one. */
int ifp_store_name(const char *folder, const char *kind, char ret[IFPIN_PIN_NAME_SIZE]);

/*
 * Calls cb with the name in each folder of a kind: "pin" for the confinements in force, "host" for
 * network namespaces, whose cookie the name begins with, in hex. Return: 0; what cb returned;
 * -errno.
 */
int ifp_store_each(const struct ifp_store *s, const char *kind,
	int (*cb)(const char *name, void *data), void *data);

bool ifp_store_has(const struct ifp_store *s, const char *kind, const char *name);

/* Removes a folder and what is pinned in it. Return: 0; errno of unlink, rmdir. */
int ifp_store_remove(const struct ifp_store *s, const char *kind, const char *name);
int ifp_store_remove_folder(const char *path);

/* After the end of programs: waits until the kernel has freed them. */
void ifp_store_wait_for_frees(void);

/* new_NAME becomes pin_NAME, whether or not there is one already. Return: 0; errno of rename. */
int ifp_store_commit(const struct ifp_store *s, const char *name);

/*
 * A folder that says by a lock that somebody lives: the kernel takes it away with the last process
 * that has the descriptor, however that ends. Made if need be, and left there. Return: it; -errno.
 */
int ifp_store_mark(const struct ifp_store *s, const char *folder);

int ifp_meta_write(const char *path, const struct ifp_meta *m);
/* Return: 0; -ENOENT; -EPROTO: of another version; -errno. */
int ifp_meta_read(const char *path, struct ifp_meta *ret);
int ifp_meta_of(
	const struct ifp_store *s, const char *kind, const char *name, struct ifp_meta *ret);
/* Over what is there. Return: 0; -errno. */
int ifp_meta_update(const char *path, const struct ifp_meta *m);
/*
 * The device is another one by number or name. Return: 0; -ENOENT: that confinement is not there any
 * more, and what has its name knows its own device; -EPROTO; -errno.
 */
int ifp_meta_set_device(const char *path, uint32_t id, const struct ifpin_device *device);

#define IFP_HOST_NAME_SIZE 32

/* The name of the folder of a network namespace. Return: ret. */
const char *ifp_store_host_name(uint64_t netns, char ret[IFP_HOST_NAME_SIZE]);

/*
 * The maps that all confinements of the caller's network namespace share, made if need be.
 * Return: 0; -ENOENT: there are none and make is false; -errno.
 */
int ifp_store_host(const struct ifp_store *s, uint64_t netns, bool make, struct ifp_host_maps *ret,
	struct ifpin_error *err);
/*
 * The map of those who watch the confinements of a network namespace, one for all, because the
 * kernel takes 8 ms to change a slot. Return: its descriptor; -ENOENT; -errno.
 */
int ifp_store_watchers(const struct ifp_store *s, uint64_t netns);

void ifp_host_maps_close(struct ifp_host_maps *m);

/* What programs and others share of a map of struct ifpin_host. Return: 0; -EPROTO: of another
 * version; -errno. */
int ifp_host_map(int map, struct ifpin_host **ret);
void ifp_host_unmap(struct ifpin_host **host);

/* Says that the caller follows the confinements of this network namespace, for as long as the
 * descriptor lives. Return: it; -errno. */
int ifp_follow_mark(const struct ifp_store *s, uint64_t netns);

/* The cookie of the caller's network namespace. Return: 0; -errno. */
int ifp_own_netns(uint64_t *ret);
