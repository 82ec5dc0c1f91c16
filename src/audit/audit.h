/* SPDX-License-Identifier: MIT */
/* Checks, and what they need to judge a snapshot. */
#pragma once

#include "audit/snapshot.h"
#include "base/base.h"

struct judge;

struct check {
	struct ifpin_audit_check about;
	void (*fn)(struct judge *j);
	const void *arg; /* of fn, where several checks share one */
};

/* The checks of one class. */
struct check_class {
	const struct check *v;
	size_t n;
};

struct ifpin_audit {
	struct snapshot s;
	VEC(struct ifpin_finding) findings;
};

struct judge {
	const struct snapshot *s;
	const struct alink *dev; /* NULL: all but loopback */
	const struct check *check;
	struct ifpin_audit *audit;
	const struct ifpin_accepted *accepted;
	bool no_memory;
};

extern const struct check_class ifp_checks_forward, ifp_checks_relation, ifp_checks_conf,
	ifp_checks_address, ifp_checks_route, ifp_checks_nft, ifp_checks_steer, ifp_checks_socket,
	ifp_checks_privilege;

/* Makes the checks. only: or NULL. Return: 0; -ENOENT: it matches none; -ENOMEM. */
int ifp_judge(struct ifpin_audit *a, const struct alink *dev, const char *only,
	const struct ifpin_accepted *accepted);

/* Records a finding. about: or NULL for the host. */
void ifp_found(struct judge *j, const struct alink *about, const char *mend, const char *fmt, ...)
	_printf_(4, 5);

/* Room for a mend: quoted names and an address. */
struct mend {
	char s[1536];
};

/* A word of a shell command that stands for any bytes. */
struct quoted {
	char s[4 * IF_NAMESIZE + 3];
};
struct quoted ifp_quote(const char *word);

/*
 * A command that sets a device's own setting, or the host's as of the device "all". A name that
 * sysctl(8) would not take for a name is written past it.
 */
struct mend ifp_set(int family, const char *device, const char *name, int value);

/* An address in numbers, with its prefix if that is not the whole of it. */
struct prefix_text {
	char s[INET6_ADDRSTRLEN + 8];
};
struct prefix_text ifp_prefix_text(const uint8_t addr[16], unsigned int len);
struct prefix_text ifp_address_text(const uint8_t addr[16]);

bool ifp_prefix_has(const uint8_t net[16], unsigned int len, const uint8_t addr[16]);

bool ifp_is_loopback(const struct alink *l);

/* Whether a device's own settings are asked for. */
bool ifp_is_subject(const struct judge *j, const struct alink *l);

/* Whether it is another device than the one that is judged; of all, each is. It must be up. */
bool ifp_is_other(const struct judge *j, const struct alink *l);

#define for_each_link(l, s)                                                                        \
	for (const struct alink *l = (s)->links.v; l && l < (s)->links.v + (s)->links.n; l++)

/* A process that has a socket, or NULL. */
const struct aowner *ifp_owner(const struct snapshot *s, const struct ifp_sock *sock);

/* The networks that devices have addresses in, but for link-local ones and loopback. */
struct net {
	uint8_t addr[16]; /* without its host part */
	uint8_t host[16]; /* as it was assigned */
	uint8_t len;	  /* of 128 */
	uint32_t ifindex;
};
struct nets {
	VEC(struct net) v; /* by address, then by length */
	bool lengths[129]; /* which there are */
};
/* Return: false: no memory, and the judge knows. */
bool ifp_nets_collect(struct judge *j, struct nets *ret);
/* The first one that has the address, of this length. Return: or NULL. */
const struct net *ifp_nets_find(const struct nets *n, const uint8_t addr[16], unsigned int len);
/* The one whose device has the address itself. Return: or NULL. */
const struct net *ifp_nets_of(const struct nets *n, const uint8_t addr[16]);
static inline void ifp_nets_free(struct nets *n)
{
	free(n->v.v);
}

/* A command that deletes a route. */
struct mend ifp_route_delete(const struct snapshot *s, const struct aroute *r);

/* Reads the text of a file, which it cuts up. Return: as ifpin_accepted_read(). */
int ifp_accepted_parse(struct ifpin_accepted *accepted, char *text, const char *path,
	struct ifpin_error *ret_error);

/* Why a finding was accepted, or NULL. */
const char *ifp_accepted_reason(const struct ifpin_accepted *a, const char *id, const char *device);

/* Whether a check or a class has this name. */
bool ifp_check_known(const char *id);
