/* SPDX-License-Identifier: MIT */
/* Where cgroup v2 is, and which cgroup is meant. */
#pragma once

#include <linux/sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Linux 5.7; not in the headers of every system. */
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

/*
 * Descriptor of the root of cgroup v2, the caller's. Where it is not to be seen, it is mounted
 * where nobody else sees it, for as long as the descriptor lives. Return: the descriptor; errno of
 * that mount (-EPERM without CAP_SYS_ADMIN; -ENODEV: the kernel has none).
 */
int ifp_cgroup_root(void);

/* As ifp_process_cgroup() of the caller. */
int ifp_cgroup_own_path(char *ret, size_t size);

/*
 * Path of a cgroup from the root, "/" for that itself, by the id that ifp_cgroup_id() and the
 * kernel's lists of sockets give. With CAP_DAC_READ_SEARCH one call; else a walk.
 * Return: 0; -ENOENT: it was removed, or is not below root_fd; -ENAMETOOLONG; errno of the walk.
 */
int ifp_cgroup_path_by_id(int root_fd, uint64_t id, char *ret, size_t size);

/*
 * Whether it is certain that a cgroup was removed. Not by its path, which another root of the
 * caller (a cgroup namespace) would hide; nor where the kernel does not tell.
 */
bool ifp_cgroup_is_gone(int root_fd, uint64_t id);

/* Whether a path is that of a cgroup or below it. */
bool ifp_path_is_within(const char *path, const char *above);

/* Return: 0; errno of fstat; -EBADF: no cgroup. */
int ifp_cgroup_id(int cgroup_fd, uint64_t *ret);

/* The mount point of cgroup v2 in a line of mountinfo. Return: 0; -ENOENT: another file system, or
 * not its root; -ENAMETOOLONG. */
int ifp_mountinfo_parse(const char *line, char *ret, size_t size);
