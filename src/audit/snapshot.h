/* SPDX-License-Identifier: MIT */
/* A host's settings, read once; what the checks judge. */
#pragma once

#include "base/nl.h"
#include "device/device.h"
#include "host/sockets.h"

#include <ifpin/audit.h>

#include <stdbool.h>
#include <stdint.h>

#define VEC(type)                                                                                  \
	struct {                                                                                   \
		type *v;                                                                           \
		size_t n;                                                                          \
	}

/* A new element, all zero, at the end. Return: it; NULL: no memory. */
#define vec_add(vec)                                                                               \
	((typeof((vec)->v))ifp_vec_add((void **)&(vec)->v, &(vec)->n, sizeof(*(vec)->v)))

void *ifp_vec_add(void **v, size_t *n, size_t size);

#define CONF4 40 /* IPV4_DEVCONF_*, less one */
#define CONF6 64 /* DEVCONF_* */

/* A device, and what of it ifpin_device does not tell. */
struct alink {
	struct ifpin_device dev;
	uint32_t flags;	      /* IFF_* */
	uint32_t lower;	      /* IFLA_LINK, here: what it stands on, or the other end of a veth */
	bool lower_elsewhere; /* that is in another namespace */
	uint32_t outer;	      /* device that a tunnel's packets are tied to */
	uint32_t promiscuity;
	uint32_t xdp_prog;
	uint8_t xdp_mode; /* XDP_ATTACHED_* */
	bool has4, has6;
	int32_t conf4[CONF4];
	int32_t conf6[CONF6];
};

/* A route, or one next hop of it. */
struct aroute {
	uint8_t dst[16], src[16], gateway[16]; /* IPv4 mapped; src: what the route prefers */
	uint8_t prefixlen;		       /* of 128 */
	uint8_t family, type, protocol;
	uint8_t hops, hop; /* of a multipath route */
	bool has_src, has_gateway, encapsulated, from;
	uint32_t table, metric, ifindex;
};

struct arule {
	uint8_t family, action;
	bool all;	/* selects by nothing */
	bool by_device; /* selects by iif or oif */
	bool by_mark, inverted, l3mdev;
	uint32_t preference, table, mark;
	char selector[160];
};

struct aproxy {
	uint8_t addr[16];
	uint32_t ifindex;
};

struct aendpoint {
	uint8_t addr[16];
	uint32_t flags, ifindex;
	uint8_t id;
};

/* A way in which a filter of tc hands packets on. */
struct atc {
	uint32_t ifindex, parent, chain, priority, handle, target, protocol;
	bool block; /* ifindex is the number of a shared block */
	bool ingress;
	enum { TC_MIRRED, TC_BPF, TC_REWRITE } kind;
	char classifier[16], action[16], name[64];
};

enum anft_kind {
	NFT_DNAT,
	NFT_SNAT,
	NFT_DUP,
	NFT_FWD,
	NFT_TPROXY,
	NFT_MARK,
	NFT_QUEUE,
	NFT_OFFLOAD
};

/* A rule of nftables that leads packets elsewhere. */
struct anft {
	enum anft_kind kind;
	uint8_t family;
	bool xt; /* made by iptables-nft */
	uint64_t handle;
	uint32_t target; /* device, or 0 */
	char table[256], chain[256], word[32], device[IF_NAMESIZE];
};

struct apolicy {
	uint8_t src[16], dst[16]; /* IPv4 mapped */
	uint8_t src_len, dst_len, family, dir;
	uint32_t index, ifindex, n_templates;
	uint8_t outer_src[16], outer_dst[16];
	bool tunnel;
};

/* A BPF program where it can lead packets elsewhere. */
struct abpf {
	enum { BPF_AT_TCX, BPF_AT_CGROUP, BPF_AT_NETNS, BPF_AT_XDP } where;
	uint32_t ifindex, prog, link, attach_type;
	uint64_t cgroup;
	char name[16];
};

struct aowner {
	uint64_t inode;
	int pid;
};

struct snapshot {
	VEC(struct alink) links; /* by index */
	VEC(struct ifp_local_addr) addrs;
	VEC(struct aroute) routes;
	VEC(struct arule) rules;
	VEC(struct aproxy) proxies;
	VEC(struct aendpoint) endpoints;
	VEC(struct atc) filters;
	VEC(struct anft) nft;
	VEC(struct apolicy) policies;
	VEC(struct abpf) bpf;
	VEC(struct ifp_sock) socks;
	VEC(struct aowner) owners; /* by inode */
	VEC(struct ifpin_audit_gap) gaps;
	int32_t all4[CONF4], all6[CONF6];
	/* -1: this kernel has not got it */
	int nonlocal4, nonlocal6, l3mdev_tcp, l3mdev_udp, l3mdev_raw, mptcp, bpf_unprivileged;
	int64_t userns;
	bool userns_denied; /* by another switch than its number */
	bool hops_unseen;   /* routes by nexthop objects, whose devices are not told */
	int owners_unseen;  /* why a process was not looked at */
	void *scratch;	    /* of the reader that runs */
	int error;	    /* of a reader that could not go on */
};

/* Reads the host. Return: 0; errno of the list of devices; the rest is told as gaps. */
int ifp_snapshot_read(struct snapshot *s);
void ifp_snapshot_free(struct snapshot *s);

/* Return: NULL if there is none. */
const struct alink *ifp_link_at(const struct snapshot *s, uint32_t ifindex);

/* The same, in words: a name, or "no device". */
const char *ifp_link_name(const struct snapshot *s, uint32_t ifindex);

void ifp_links_sort(struct snapshot *s);

/* What went wrong with a part of the host. -ENOENT and the like say that the kernel has none of it.
 */
void ifp_gap(struct snapshot *s, const char *what, int error);

/* A dump whose answers cb adds to a vector, of which n is the count. Return: 0; -errno. */
int ifp_dump(
	struct mnl_socket *nl, struct nlmsghdr *req, ifp_nl_cb cb, struct snapshot *s, size_t *n);

/* Begins a request. */
struct nlmsghdr *ifp_request(
	void *buf, uint16_t type, uint16_t flags, const void *body, size_t len);

/* A number in a file. Return: it; or unknown. */
int64_t ifp_sysctl(const char *path, int64_t unknown);

/* Attributes by type; those above max are passed over. */
void ifp_attrs(const struct nlattr *first, size_t len, const struct nlattr **tb, size_t max);
uint32_t ifp_attr_u32(const struct nlattr *a, uint32_t unknown);
void ifp_attr_text(const struct nlattr *a, char *ret, size_t size);
/* 4 or 16 bytes. Return: false: neither. */
bool ifp_attr_addr(const struct nlattr *a, uint8_t ret[16]);

/* Readers, each of one part of the host. Return: 0; -errno. */
int ifp_read_links(struct mnl_socket *nl, struct snapshot *s);
int ifp_read_routes(struct mnl_socket *nl, struct snapshot *s);
int ifp_read_rules(struct mnl_socket *nl, struct snapshot *s);
int ifp_read_proxies(struct mnl_socket *nl, struct snapshot *s);
int ifp_read_filters(struct mnl_socket *nl, struct snapshot *s);
int ifp_read_nft(struct snapshot *s);
int ifp_read_endpoints(struct snapshot *s);
int ifp_read_policies(struct snapshot *s);
void ifp_read_bpf(struct snapshot *s);
void ifp_read_sockets(struct snapshot *s);

/* One message of a dump; for tests, too. data is the snapshot. */
int ifp_on_link(const struct nlmsghdr *nlh, void *data);
int ifp_on_route(const struct nlmsghdr *nlh, void *data);
int ifp_on_rule(const struct nlmsghdr *nlh, void *data);
int ifp_on_proxy(const struct nlmsghdr *nlh, void *data);
int ifp_on_filter(const struct nlmsghdr *nlh, void *data);
int ifp_on_nft_rule(const struct nlmsghdr *nlh, void *data);
int ifp_on_endpoint(const struct nlmsghdr *nlh, void *data);
int ifp_on_policy(const struct nlmsghdr *nlh, void *data);
