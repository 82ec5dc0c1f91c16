/* SPDX-License-Identifier: MIT */
/* What the rings ask about devices, addresses and routes. */
#pragma once

#include <ifpin/device.h>

#include "base/nl.h"

#include <net/ethernet.h>
#include <stdbool.h>
#include <stdint.h>

struct ifp_link {
	uint32_t ifindex;
	char name[IF_NAMESIZE];
	bool deleted;
};

struct ifp_local_addr {
	uint8_t addr[16]; /* IPv4 mapped */
	uint8_t peer[16]; /* of a point-to-point link, else the same */
	uint32_t ifindex;
	uint8_t prefixlen; /* of 128 */
	uint8_t scope;	   /* RT_SCOPE_* */
	bool deleted;
	bool secondary;
	bool usable; /* as a source: neither tentative nor deprecated */
	bool ready;  /* to be bound: not, or no longer, tentative */
	bool failed; /* somebody else has it */
};

struct ifp_route {
	int family;
	uint8_t dst[16];   /* IPv4 mapped */
	uint8_t prefixlen; /* of 128 */
	uint32_t priority, table;
	bool is_default;
	bool by_source; /* for some sources only */
	bool by_tos;
	bool uses_device; /* the one that was asked about */
	bool shared;	  /* and others too */
	bool has_gateway; /* or what cannot be told of */
	bool leads_there; /* the host's own choice is that device; of a judgement only */
};

/* What a person wrote for a device. */
struct ifp_spec {
	const char *text;
	uint32_t index;
	struct ether_addr mac;
	enum { IFP_BY_NAME, IFP_BY_INDEX, IFP_BY_MAC } by;
};

/* Return: 0; -EINVAL, with the reason. */
int ifp_spec_parse(const char *text, struct ifp_spec *ret, struct ifpin_error *err);

/* Reads a link message. Return: 0; -EBADMSG: it is none, or malformed. */
int ifp_link_parse(const struct nlmsghdr *nlh, struct ifp_link *ret);

/* The same, all of it but the namespace. Return: 0; -EBADMSG: it is none, or malformed. */
int ifp_device_parse(const struct nlmsghdr *nlh, struct ifpin_device *ret);

/*
 * Whether two sightings are of one device, by the rule at ifpin_device_check(): at one index, and
 * at another one, where it takes a name as well (VLANs have the MAC address of their parent).
 */
bool ifp_device_same(const struct ifpin_device *a, const struct ifpin_device *b);
bool ifp_device_returned(const struct ifpin_device *was, const struct ifpin_device *now);

/*
 * What became of a device, by a list of all in order of their index; ret_now (may be NULL) as in
 * ifpin_device_check(), but that the namespace is the caller's to compare.
 */
enum ifpin_identity ifp_device_find(const struct ifpin_device *v, size_t n,
	const struct ifpin_device *was, struct ifpin_device *ret_now);

/* The device with an index. Return: 0; -ENODEV: there is none; as ifp_nl_ask(). */
int ifp_device_by_index(uint32_t ifindex, struct ifpin_device *ret);

/* The same over a socket that is there, which decides the namespace. */
int ifp_device_by_index_on(struct mnl_socket *nl, uint32_t ifindex, struct ifpin_device *ret);

/*
 * All devices of the sockets' namespace, as ifpin_device_list(). The second socket, made by
 * ifp_changes_open(), hears what changes meanwhile, and nothing at other times.
 */
int ifp_device_list_on(struct mnl_socket *nl, struct mnl_socket *changes, struct ifpin_device **ret,
	size_t *ret_n);
int ifp_changes_open(struct mnl_socket **ret);

/* Cookie of a socket's network namespace, or 0 where the kernel has none. */
uint64_t ifp_netns_of(int fd);

/* Reads an address message. Return: 0; -EBADMSG: it is none, or malformed. */
int ifp_addr_parse(const struct nlmsghdr *nlh, struct ifp_local_addr *ret);

/* Calls cb for each address message of the namespace. Return: as ifp_nl_talk(). */
int ifp_addr_dump(ifp_nl_cb cb, void *data);
/* The same over a socket that is there. Return: as ifp_nl_ask(). */
int ifp_addr_dump_on(struct mnl_socket *nl, ifp_nl_cb cb, void *data);

/* An address as 16 bytes, IPv4 mapped, from and to a socket address; port 0, scope for link-local
 * ones. Return: 0; -EAFNOSUPPORT. */
int ifp_addr_from_sockaddr(const struct sockaddr *sa, socklen_t len, uint8_t ret[16]);
void ifp_addr_to_sockaddr(const uint8_t addr[16], uint32_t scope, struct sockaddr_storage *ret);

/* Whether an address is loopback or one of the host's own; where it cannot be told, it is. */
bool ifp_addr_is_hosts(const uint8_t addr[16]);

/* The device that the host's own routes would send a packet by, from a source (may be NULL), or 0
 * where it has none. Return: as ifp_nl_talk(). */
int ifp_route_lookup(const uint8_t dst[16], const uint8_t *src, uint32_t scope, uint32_t *ret_oif);

/* Whether the network of one route contains that of the other. Families are the caller's to
 * compare. */
bool ifp_route_covers(const struct ifp_route *outer, const struct ifp_route *r);

/*
 * Reads a message of a unicast route, or one that sends back to the rules (throw, of no device),
 * with the eyes of a device. Return: 0; -ENOMSG: of another kind, or one that every link has for
 * itself; -EBADMSG: it is none, or malformed.
 */
int ifp_route_parse(const struct nlmsghdr *nlh, uint32_t ifindex, struct ifp_route *ret);

/* Puts a network into a route of a family. Return: 0; -EBADMSG: it is none of that family. */
int ifp_route_put_prefix(struct ifp_route *to, const uint8_t *dst, size_t len, uint8_t prefixlen);

/*
 * Whether the host's own routing would use the device for everything that the device's routes
 * reach, from each of the host's addresses. Where it would, sockets need no binding to send by it.
 * For IPv6 never where another device has a gateway: to look for a route the kernel may solicit
 * that.
 *
 * cb is called for each route that was judged (at most 64), and for routes of other devices that
 * lie inside of these (at most 1024; where there are more, what they lie in does not lead there);
 * it may be NULL. Routes are judged for answers from addresses of the device and of loopback. Rules
 * for some destinations count as routes of others.
 *
 * Return: 0; what cb returned; as ifp_nl_talk().
 */
int ifp_routes_agree(int family, uint32_t ifindex, const struct ifp_local_addr *addrs, size_t n,
	bool *ret_agree, int (*cb)(const struct ifp_route *route, void *data), void *data);
