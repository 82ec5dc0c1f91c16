/* SPDX-License-Identifier: MIT */
/* The battery on a host as it is: what is sent where, by whom, and how it is known again. */
#pragma once

#include "agent.h"

/*
 * How what an attempt has sent is known: by a number of the attempt in its payload, its port, its
 * group or the address that is asked for. What is not random in them is a prefix or a group for
 * documentation, which no other program has business with.
 */
struct here_marks {
	unsigned int n; /* attempts, all phases; at most HERE_MAX_MARKS */
	uint8_t tag[6]; /* in the payload, before the number */
	uint8_t first4; /* the last byte of addresses and groups of attempt 0 */
	uint16_t first_port;
	uint8_t prefix6[12];
	uint8_t group6[2]; /* in a group, before the number */
};
#define HERE_MAX_MARKS 254 /* hosts in a network of 24 bits */

/* Return: 0; -E2BIG: too many; -errno. */
int ifp_marks_draw(unsigned int n, struct here_marks *ret);
/* Addresses, port, groups and payload of an attempt by its number. */
void ifp_marks_fill(const struct here_marks *m, unsigned int number, struct env *e);

struct here_frame {
	const uint8_t *bytes;
	size_t len;
	uint16_t type;	   /* ARPHRD_* of its device */
	uint16_t protocol; /* as the kernel has it */
};

struct here_hit {
	unsigned int number; /* of the attempt */
	unsigned int times;  /* that its marker is in it */
	bool wrapped;	     /* in a packet to somebody else, as in a tunnel */
	bool far;	     /* routers would let it pass */
};

/* Looks whose frame it is; a report of groups may be of several. */
typedef void (*ifp_marks_hit)(void *ctx, const struct here_hit *hit);
void ifp_marks_find(
	const struct here_marks *m, const struct here_frame *f, ifp_marks_hit hit, void *ctx);

struct here_count {
	unsigned int frames, times, wrapped;
};

struct here_device {
	struct ifpin_device dev;
	char addr4[INET_ADDRSTRLEN]; /* or "" */
	bool below;		     /* frames of the device leave by it */
	bool excused;		     /* a VRF, which has no wire; a member of the one it is */
	const char *unsure;	     /* why a leak by it would not be seen; static; or NULL */
	struct here_count *counts;   /* by number of attempt */
};

struct here {
	const struct ifpin_prove_opts *opts;
	struct here_device self;    /* the device that the attempts are confined to */
	struct here_device *others; /* those that are up, and those that came */
	size_t n_others, n_named;   /* those that attempts may name; the rest came later */
	size_t main;		    /* to which routing leads, among these */
	char (*down)[IF_NAMESIZE];
	size_t n_down;
	char in4[INET_ADDRSTRLEN], in6[INET6_ADDRSTRLEN];
	bool tunnel; /* it wraps packets */
	uint32_t *marks;
	size_t n_marks;
	char pin_device[IF_NAMESIZE]; /* of --name */
	int cgroup;		      /* of --name, or -1 */
	char *against;		      /* the command of --against, or NULL */
	struct here_marks known;
	struct evidence *first; /* by number: the first frame on another device */
	size_t *tried, n_tried; /* numbers in the proof */
	unsigned int made;	/* attempts, one for each device that they name */
	unsigned int seen;	/* frames that were looked at */
	unsigned int unseen;	/* frames that there was no room for */
	int capture, lock;
	struct lab helpers;
};

/* ---- here_host.c ---- */
/* Reads what the attempts need to know. Return: 0; -errno. */
int ifp_here_read(struct here *h, struct ifpin_error *err);
/*
 * After the attempts: whether what leaked could have left, by each of the others. Return: 0;
 * -ENETDOWN: the device itself is switched off or gone by now; -errno.
 */
int ifp_here_doubt(struct here *h);
void ifp_here_free(struct here *h);
/* Where an attempt is made that names that one of the others. */
void ifp_here_place(
	const struct here *h, const struct here_device *other, uint32_t mark, struct env *e);

/* ---- here_watch.c ---- */
/* Return: descriptor of a packet socket that hears what leaves; -errno. */
int ifp_watch_open(void);
/* Counts what has come in. Return: 0; -EMULTIHOP: routers would let something pass; -ENOBUFS: there
 * was no room for some of it; -errno. */
int ifp_watch_drain(struct here *h);
/* What an attempt has put on a device that is not its own. */
unsigned int ifp_here_leaked(
	const struct here *h, const struct here_device *other, unsigned int number);

/* ---- here_agent.c: the process that makes attempts, confined ---- */
enum { HERE_CONFINED, HERE_CONTROL, HERE_PHASES };

/* loose_fd: a socket that it inherits, or -1. Return: as ifp_agent_start(). */
int ifp_here_start(const struct here *h, int phase, int loose_fd, struct agent *ret);
/* Has one attempt made, and counts what comes in. Return: as ifp_agent_order(), and as
 * ifp_watch_drain(). */
int ifp_here_order(struct here *h, struct agent *g, const struct attempt *a, const struct env *e,
	bool *ret_made, int *ret_err);

/* ---- here_report.c ---- */
const char *ifp_here_column(const struct here *h, enum protection k);
void ifp_here_plan(const struct proof *p, FILE *out);
void ifp_here_table(const struct proof *p, FILE *out, bool colour);
struct json_object *ifp_here_json(const struct proof *p);
