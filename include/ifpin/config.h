/* SPDX-License-Identifier: MIT */
/* Files that say which pins and fences there shall be: /etc/ifpin/pins.d/NAME.conf, see
 * ifpin.conf(5). */
#pragma once

#include <ifpin/confine.h>
#include <ifpin/fence.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IFPIN_CONFIG_DIR "/etc/ifpin/pins.d"
#define IFPIN_RUN_PER_USER 32 /* commands at once, unless the file says otherwise */

/**
 * struct ifpin_config_fence - what the section [Fence] says
 * @name: of the fence
 * @device: for ifpin_device_resolve(), as that of a pin
 * @prefixes, @n_prefixes, @ethertypes, @n_ethertypes, @nat: as in struct ifpin_fence_opts
 */
struct ifpin_config_fence {
	char name[IFPIN_FENCE_NAME_SIZE];
	char *device;
	struct ifpin_prefix *prefixes;
	size_t n_prefixes;
	uint16_t ethertypes[IFPIN_FENCE_MAX_ETHERTYPES];
	size_t n_ethertypes;
	enum ifpin_fence_nat nat;
};

/**
 * struct ifpin_config - what one file says
 * @name: of the file, without ".conf", and of its pin
 * @path: of the file
 * @pin: there is a section [Pin], which the following are about
 * @device: for ifpin_device_resolve(); never "index:N", for an index is no identity
 * @cgroup: path from the root of cgroup v2, or NULL
 * @unit: name of a systemd unit, or NULL; without both the pin is for `ifpin run NAME` only
 * @existing, @loopback, @guard_resolvers, @rebind, @abort: as in struct ifpin_attach_opts
 * @run: users may ask the daemon to put commands into it
 * @run_loopback: whether these may talk to loopback; never true where @loopback is not
 * @run_per_user: how many commands a user may have in it at once
 * @groups, @n_groups, @users, @n_users: who may ask
 * @fence: or NULL
 */
struct ifpin_config {
	char name[IFPIN_PIN_NAME_SIZE];
	char *path;
	bool pin;
	char *device, *cgroup, *unit;
	enum ifpin_existing existing;
	bool loopback, guard_resolvers, rebind, abort;
	bool run, run_loopback;
	uint32_t run_per_user;
	uint32_t *groups, *users;
	size_t n_groups, n_users;
	struct ifpin_config_fence *fence;
};

/**
 * ifpin_config_error_fn - hears of every error in a file
 * @path: of the file or folder
 * @line: counted from 1; 0: the file as a whole
 * @text: one line, without path and line
 */
typedef void ifpin_config_error_fn(
	void *ctx, const char *path, unsigned int line, const char *text);

/**
 * ifpin_config_read - read the file of one pin
 * @path: of the file; its name gives the name of the pin
 * @on_error: called for each error, in the order of lines
 * @ret_config: to be released with ifpin_config_free()
 *
 * Users and groups are looked up (getpwnam(3)); devices and cgroups are not: they may come later.
 *
 * Return: 0; -EINVAL: errors were told; -EPERM: others may write the file; -ENOMEM, or what open(2)
 * and read(2) gave: told as well.
 */
IFPIN_API int ifpin_config_read(const char *path, ifpin_config_error_fn *on_error, void *ctx,
	struct ifpin_config **ret_config);

/** ifpin_config_free - release it; NULL is fine */
IFPIN_API void ifpin_config_free(struct ifpin_config *config);

/**
 * struct ifpin_config_set - what the files of a folder say
 * @files, @n_files: those without errors, by name
 * @bad, @n_bad: names of those with errors, so that what they ask for can be left as it is
 */
struct ifpin_config_set {
	struct ifpin_config **files;
	size_t n_files;
	char (*bad)[IFPIN_PIN_NAME_SIZE];
	size_t n_bad;
};

/**
 * ifpin_config_read_dir - read all files NAME.conf of a folder
 * @ret_set: to be released with ifpin_config_set_free()
 *
 * Other files, and those whose name begins with a dot, are not looked at. Two files for the same
 * cgroup or unit, or for a fence of the same name, are an error of the second.
 *
 * Return: 0, also where files have errors; -EPERM: others may write the folder; -ENOMEM, or what
 * open(2) and readdir(3) gave: told to @on_error, and nothing is known then.
 */
IFPIN_API int ifpin_config_read_dir(const char *dir, ifpin_config_error_fn *on_error, void *ctx,
	struct ifpin_config_set **ret_set);

/** ifpin_config_set_free - release it; NULL is fine */
IFPIN_API void ifpin_config_set_free(struct ifpin_config_set *set);

#ifdef __cplusplus
}
#endif
