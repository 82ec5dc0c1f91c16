/* SPDX-License-Identifier: MIT */
/* What the files of the confinement share. Everything here is set up before the command runs. */
#pragma once

#include <ifpin/confine.h>

#include "base/base.h"
#include "confine/policy.h"
#include "confine/scope.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/capability.h>
#include <sys/types.h>

/* ---- cgroup.c: the cgroup and what killed supervisors left of theirs ---- */

struct ifp_cgroup {
	int fd; /* the directory; locked for as long as a supervisor lives */
	int parent_fd;
	char name[64];
};

/* Removes a cgroup and those below it. Return: 0, also if there is none; -EBUSY; -errno. */
int ifp_cgroup_remove(int parent_fd, const char *name);

/*
 * Makes a cgroup: below the caller's own where only root may move processes out of that, else at
 * the top, so that no delegated part of the tree reaches in.
 * Return: 0; -ENOSYS: no cgroup v2; -EEXIST: the name is taken; errno of mkdir, open, flock.
 */
int ifp_cgroup_make(const char *name, struct ifp_cgroup *ret, struct ifpin_error *err);

/* Kills what lives there, waits until it is empty and removes it. Return: 0; -errno. */
int ifp_cgroup_destroy(struct ifp_cgroup *cg);
/* The name of the confinement: as it was given, or one of its own. */
const char *ifp_cgroup_label(const struct ifp_cgroup *cg);

/* Removes what killed supervisors left beside this one. Done while the command already runs. */
void ifp_cgroup_tidy(const struct ifp_cgroup *cg);

/* ---- seccomp.c ---- */

struct ifp_filter;

/* A bit for each address family of which sockets may be made: those for everybody, and further. */
uint64_t ifp_families(uint64_t further);
/* As the option names it; NULL: it has no name here. */
const char *ifp_family_name(int family);
/* Compiles the system call filter. Return: 0; -ENOSYS: no seccomp filters; -ENOMEM. */
int ifp_filter_make(
	const struct ifpin_confine_opts *opts, struct ifp_filter **ret, struct ifpin_error *err);
/* In the child, with CAP_SYS_ADMIN still there. Return: 0; -errno. */
int ifp_filter_load(const struct ifp_filter *f);
void ifp_filter_free(struct ifp_filter *f);

/* ---- privileges.c ---- */

struct ifp_user {
	bool set;
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	int n_groups;
	char name[64];
	char *home;
};

/* Lists which of these capabilities are missing. Return: 0; -EPERM. */
int ifp_privileges_check(const cap_value_t *needed, size_t n, struct ifpin_error *err);
int ifp_user_find(const char *spec, struct ifp_user *ret, struct ifpin_error *err);
void ifp_user_free(struct ifp_user *u);
/* Capabilities that are dropped unless kept, as a bit mask. */
uint64_t ifp_dropped_caps(uint64_t keep);
/* In the child, in this order, the filter between them. Return: 0; -errno. */
int ifp_drop_bounding(uint64_t dropped);
int ifp_become(const struct ifp_user *u, uint64_t dropped);

/* ---- landlock.c ---- */

/* Whether the command gets a scope. */
bool ifp_scope_wanted(const struct ifpin_confine_opts *opts);
/* In the child, with CAP_SYS_ADMIN still there. Return: 0, also where there are none; -errno. */
int ifp_scope_enter(const struct ifpin_confine_opts *opts);

/* ---- dns.c ---- */

struct ifp_dns {
	bool replace;
	char text[2048];   /* the resolv.conf to show */
	char target[4096]; /* the file that /etc/resolv.conf leads to */
};

/* Return: 0; -ENODATA: no server that may be used; -EINVAL: a malformed address; -errno. */
int ifp_dns_find(
	const struct ifpin_confine_opts *opts, struct ifp_dns *ret, struct ifpin_error *err);

/* ---- mounts.c ---- */

/*
 * In the child, in a mount namespace of its own: makes cgroupfs, /sys and /proc/sys read-only,
 * shows the resolv.conf, hides resolver sockets. *ret_what is set to the step on failure.
 * Return: 0; -errno.
 */
int ifp_mounts_setup(
	const struct ifpin_confine_opts *opts, const struct ifp_dns *dns, const char **ret_what);

/* ---- inherit.c ---- */

struct ifpin_pin;

/*
 * Judges the descriptors that the command would inherit. pin: prepared, for the devices that may be
 * opened inside. Return: 0; -EBUSY; -errno.
 */
int ifp_inherit_check(const struct ifpin_confine_opts *opts, const struct ifpin_pin *pin,
	struct ifpin_error *err);

/* ---- child.c ---- */

struct ifp_child {
	const struct ifpin_confine_opts *opts;
	const struct ifp_filter *filter;
	const struct ifp_user *user;
	const struct ifp_dns *dns;
	int cgroup_fd;
	const struct ifp_signals *signals;
	uint32_t lsm_probe; /* by which the programs of BPF LSM are asked for; 0: there are none */
	int report_fd;	   /* write end; CLOEXEC, so that its end says: the command runs */
	int supervisor_fd; /* pidfd of the caller, whose end the init has to know */
};

struct ifp_child_report {
	int err; /* 0: all is set up */
	char what[192];
};

/* Whether a socket that connects to the outside gets tied. Return: 0; -ENOTSUP; -EPERM; -errno. */
int ifp_try_pin(uint32_t ifindex);

/*
 * Starts the child straight inside the cgroup. *ret_init is the init of its PID namespace, to be
 * waited for at the end, or 0. Return: pid; -errno.
 */
pid_t ifp_child_start(const struct ifp_child *c, pid_t *ret_init);

/* ---- supervise.c ---- */

struct ifp_signals {
	bool blocked;
	sigset_t mask; /* the caller's */
	struct sigaction chld;
};

/* Blocks the signals to forward, before the child starts, and keeps what the caller had. */
int ifp_signals_block(struct ifp_signals *ret);
/* In the child, and at the end. */
void ifp_signals_unblock(const struct ifp_signals *s);
struct ifp_follow;

/* Waits for the end of pid, forwarding signals and applying events. Return: 0; -errno. */
int ifp_supervise(pid_t pid, struct ifp_follow *f, int *ret_status);

/* ---- run.c ---- */

/* Whether traffic can be held to such a device. Return: 0; -EOPNOTSUPP. */
int ifp_device_check(const struct ifpin_device *d, struct ifpin_error *err);

/* Whether a confinement may be called so; NULL: it will be given a name. Return: 0; -EINVAL. */
int ifp_name_check(const char *name, struct ifpin_error *err);

void ifp_say(const struct ifpin_confine_opts *o, const char *fmt, ...) _printf_(2, 3);
