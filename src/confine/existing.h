/* SPDX-License-Identifier: MIT */
/*
 * The sockets that processes of a cgroup have before it is confined. What the programs of the
 * cgroup judge (it was made inside) is held from the moment they are armed; all else is looked at
 * here.
 */
#pragma once

#include "host.h"
#include "internal.h"

#include "host/groups.h"
#include "host/processes.h"
#include "host/sockets.h"

enum ifp_remedy {
	IFP_CONFORMS,
	IFP_TIE,      /* tied to the device, it conforms and goes on */
	IFP_ABORT,    /* only its end helps */
	IFP_HOPELESS, /* not even that can be had from outside its process */
};

/* A socket that a process of the cgroup holds. */
struct ifp_held {
	struct ifp_descriptor at; /* one of the descriptors that lead to it */
	struct ifp_sock sock; /* of other families, and of device nodes, only the family is set */
	int fd;		      /* a copy, of what only waits in a message; else -1 */
	bool native;	      /* the programs of the cgroup judge it */
	bool joined;	      /* a group on another device, which it is made to leave */
	uint32_t tie_to;      /* for IFP_TIE; 0: it need not be tied */
	enum ifp_remedy remedy;
	const char *why; /* static */
};

struct ifp_existing {
	int cgroup_fd;
	uint32_t id; /* of the programs */
	uint64_t netns;
	struct ifpin_device device;
	bool loopback;
	bool still; /* the cgroup is frozen: messages of its unix sockets are looked into as well */
	enum ifpin_existing mode;
	const struct ifp_addrs *addrs;
	void (*log)(void *log_ctx, const char *line);
	void *log_ctx;

	struct ifp_groups groups; /* on other devices */
	struct ifp_held *v;
	size_t n;
	struct ifp_taker taker;
	unsigned int tied, aborted, io_urings;
};

/*
 * Looks at all of them. Call it while the cgroup is frozen: else one may be passed on meanwhile.
 * Return: 0; -EXDEV: a process of another network or PID namespace; -ENOMEM; -errno.
 */
int ifp_existing_read(struct ifp_existing *e, struct ifpin_error *err);

/* A copy of its descriptor. Return: 0; -ESRCH: that is another one by now, or none; -errno. */
int ifp_held_take(struct ifp_existing *e, struct ifp_held *h);

/* What is to be done about one, of which there is a copy. */
void ifp_held_judge(const struct ifp_existing *e, struct ifp_held *h);

/*
 * Does what the mode says about those that do not conform; first all are judged, then all are
 * dealt with. Return: 0; -EBUSY: some remain, listed in err and, all of them, in the log.
 */
int ifp_existing_settle(struct ifp_existing *e, struct ifpin_error *err);

/*
 * How many connections are accepted by the kernel, not by their program, and not tied: no
 * descriptor leads to them yet. Return: 0; as ifp_sockets_dump().
 */
int ifp_existing_queued(const struct ifp_existing *e, unsigned int *ret_n);

/*
 * Ends connections to listeners that were made outside, and are tied by now, which began before
 * that. Return: 0; -EBUSY: there are ever more; -EOPNOTSUPP: the kernel cannot end them
 * (CONFIG_INET_DIAG_DESTROY); as ifp_sockets_dump().
 */
int ifp_existing_drop_half_open(const struct ifp_existing *e);

/* How many internet sockets there are that the programs of the cgroup do not judge. */
unsigned int ifp_existing_foreign(const struct ifp_existing *e);

void ifp_existing_free(struct ifp_existing *e);
