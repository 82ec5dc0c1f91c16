/* SPDX-License-Identifier: MIT */
/* A confinement: a process tree that can use one network interface only. */
#pragma once

#include <ifpin/device.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IFPIN_EXIT_SETUP 125  /* nothing was run */
#define IFPIN_EXIT_NOEXEC 126 /* the command was found and cannot be executed */
#define IFPIN_EXIT_NOENT 127  /* the command was not found */

/** enum ifpin_inherit - what to do about sockets and the like that are already open */
enum ifpin_inherit {
	IFPIN_INHERIT_REFUSE, /* list them and run nothing */
	IFPIN_INHERIT_CLOSE,
	IFPIN_INHERIT_PIN, /* tie TCP sockets to the device; refuse all that cannot be tied */
};

enum ifpin_dns {
	IFPIN_DNS_AUTO,	  /* what the host knows for the device, never a resolver on the host */
	IFPIN_DNS_SYSTEM, /* leave all as it is */
	IFPIN_DNS_LIST,	  /* the addresses given */
};

/**
 * struct ifpin_confine_opts - how to confine a command
 * @size: sizeof(struct ifpin_confine_opts), by which versions of the struct are told apart
 * @device: the only interface, from ifpin_device_resolve()
 * @argv: command and arguments, NULL at the end; searched for in PATH
 * @name: name of the confinement, or NULL to have one made
 * @loopback: whether 127.0.0.0/8, ::1 and the host's own addresses may be talked to
 * @isolate: own PID and IPC namespaces, no sockets of buses, agents and engines
 * @inherit: what to do about open sockets
 * @dns: where the command's name servers come from
 * @dns_servers: for IFPIN_DNS_LIST: addresses, comma separated
 * @user: NAME[:GROUP] to become, or NULL
 * @keep_caps: bit N set: do not drop capability N
 * @allow_families: bit N set: also allow address family N
 * @log: called with one line for each step, or NULL; without newline
 * @log_ctx: handed to @log
 */
struct ifpin_confine_opts {
	size_t size;
	struct ifpin_device device;
	char *const *argv;
	const char *name;
	bool loopback;
	bool isolate;
	enum ifpin_inherit inherit;
	enum ifpin_dns dns;
	const char *dns_servers;
	const char *user;
	uint64_t keep_caps;
	uint64_t allow_families;
	void (*log)(void *log_ctx, const char *line);
	void *log_ctx;
};

#define IFPIN_MAX_REASONS 32

/** struct ifpin_denial - how often something was denied, and why */
struct ifpin_denial {
	const char *reason; /* stable word, static */
	const char *text;   /* one clause for a person, static */
	uint64_t count;
};

/**
 * struct ifpin_summary - what a confinement came to
 * @exit_status: as the shell has it: the command's status, or 128 + signal
 * @started: whether the command's first instruction was reached
 * @left_behind: 0, or why the cgroup could not be removed (negative errno); -EBUSY: a process does
 *	not end
 * @n_denials: entries of @denials in use, one for each reason there is
 */
struct ifpin_summary {
	int exit_status;
	bool started;
	int left_behind;
	size_t n_denials;
	struct ifpin_denial denials[IFPIN_MAX_REASONS];
};

/**
 * ifpin_confine_run - run a command confined to one interface, and wait for its end
 * @opts: see above
 * @ret_summary: written always; exit_status is 125, 126 or 127 on failure
 * @ret_error: written on failure
 *
 * The caller becomes the supervisor: job control signals are forwarded, and what the command
 * left running is killed at its end. The kernel holds the confinement, not the caller: killed
 * at any moment, it opens nothing.
 *
 * Needs Linux 6.0 (bpf_setsockopt in setsockopt programs; before it CLONE_INTO_CGROUP,
 * mount_setattr, SO_NETNS_COOKIE), cgroup v2, CONFIG_CGROUP_BPF, CONFIG_SECCOMP_FILTER, and
 * CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_SETPCAP.
 * Single-threaded callers only: it changes the signal mask while it runs, and forks.
 *
 * Return: 0 when the command ran; -EPERM: privileges are missing; -ENOSYS: the kernel lacks a
 * feature; -ENOENT, -EACCES, -ENOEXEC: the command could not be executed; -EBUSY: sockets are
 * open and @inherit refuses; -ENODATA: no name servers; else the errno of the step that failed.
 */
IFPIN_API int ifpin_confine_run(const struct ifpin_confine_opts *opts,
	struct ifpin_summary *ret_summary, struct ifpin_error *ret_error);

/**
 * ifpin_confine_gc - remove what killed supervisors left behind
 * @ret_removed: number of confinements removed
 * @ret_error: written on failure
 *
 * Removes cgroups of ifpin in which no process lives and which no supervisor holds.
 *
 * Return: 0; -ENOSYS: no cgroup v2; or the errno of the directory walk.
 */
IFPIN_API int ifpin_confine_gc(unsigned int *ret_removed, struct ifpin_error *ret_error);

/** ifpin_cap_bit - number of a capability by its name, with or without "cap_"; -EINVAL */
IFPIN_API int ifpin_cap_bit(const char *name);

/**
 * ifpin_cap_risk - what a hostile command could do that keeps a capability (@keep_caps)
 * @cap: its number
 *
 * Return: one clause, static; NULL: the capability is not dropped anyway.
 */
IFPIN_API const char *ifpin_cap_risk(int cap);

/** ifpin_family_number - number of an address family by its name, with or without "AF_"; -EINVAL */
IFPIN_API int ifpin_family_number(const char *name);

#ifdef __cplusplus
}
#endif
