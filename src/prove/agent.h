/* SPDX-License-Identifier: MIT */
/* A process that makes attempts, behind whatever confines it. */
#pragma once

#include "internal.h"

struct agent {
	pid_t pid;
	int to, from;
};

/* What has to be read while an attempt is made, lest there be no room for it. */
struct meanwhile {
	int fd;
	int (*read)(void *ctx); /* Return: 0; -errno. */
	void *ctx;
};

/* The words behind "ifpin" that make a process one. */
extern const char *const ifp_agent_command[];

/* In the child: puts it behind words of a shell. Returns when that fails. */
void ifp_agent_behind(const char *self, const char *words);
/* become: called in the child, which is to start ifpin with ifp_agent_command. Return: 0;
 * -ECONNREFUSED: what confines it has ended before it began; -ETIMEDOUT; -errno. */
int ifp_agent_start(void (*become)(const void *ctx), const void *ctx, struct agent *ret);
/* Has one attempt made. m: or NULL. *ret_made: whether it says that it was. Return: 0; -ECHILD: it
 * has ended; -ETIMEDOUT; -errno. */
int ifp_agent_order(struct agent *g, const struct attempt *a, const struct env *e,
	const struct meanwhile *m, bool *ret_made, int *ret_err);
/* Waits for its end. Return: 0; -errno. */
int ifp_agent_end(struct agent *g);
