/* SPDX-License-Identifier: MIT */
/* A fence: a guard on the host, by which traffic of some networks uses one device only. */
#pragma once

#include <ifpin/device.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IFPIN_FENCE_NAME_SIZE 24
#define IFPIN_FENCE_REASON_SIZE 24
#define IFPIN_FENCE_FILE_SIZE 64
#define IFPIN_FENCE_MAX_ETHERTYPES 64

/**
 * struct ifpin_prefix - a network
 * @addr: its address, IPv4 mapped into IPv6
 * @prefixlen: of 128, so that an IPv4 /24 has 120
 */
struct ifpin_prefix {
	uint8_t addr[16];
	uint8_t prefixlen;
};

/** enum ifpin_fence_nat - whether to look at addresses as they were before translation, too */
enum ifpin_fence_nat {
	IFPIN_FENCE_NAT_AUTO, /* if the host translates addresses when the fence is applied */
	IFPIN_FENCE_NAT_ON,   /* turns connection tracking on for the namespace */
	IFPIN_FENCE_NAT_OFF,
};

/**
 * struct ifpin_fence_opts - what to fence
 * @size: sizeof(struct ifpin_fence_opts)
 * @device: the only device for this traffic, from ifpin_device_resolve()
 * @name: 1 to 16 of A-Z, a-z, 0-9, '_', '-'; NULL: the name of the device
 * @prefixes: networks, at least one unless there are ethertypes; those inside others are merged
 * @n_prefixes: how many
 * @ethertypes: protocols below IP that are fenced as a whole; 0x0600 and above
 * @n_ethertypes: how many, at most IFPIN_FENCE_MAX_ETHERTYPES
 * @nat: see above
 * @configured: the file that asks for it, if one does, so that its fence is known again: up to 63
 *of A-Z, a-z, 0-9, '.', '_', '-'; or NULL
 */
struct ifpin_fence_opts {
	size_t size;
	struct ifpin_device device;
	const char *name;
	const struct ifpin_prefix *prefixes;
	size_t n_prefixes;
	const uint16_t *ethertypes;
	size_t n_ethertypes;
	enum ifpin_fence_nat nat;
	const char *configured;
};

/** struct ifpin_fence_counter - how much was dropped, and why */
struct ifpin_fence_counter {
	char reason[IFPIN_FENCE_REASON_SIZE];
	uint64_t packets, bytes;
};

/**
 * struct ifpin_fence - a fence as the kernel has it
 * @name: its name
 * @device: the device as it was when the fence was applied: index, name, kind, type, addresses
 * @configured: the file that asks for it; empty: none
 * @asked: what was said about translation
 * @nat: whether addresses before translation are looked at
 * @bridge: whether the kernel has tables for bridges
 * @guarded: whether programs in traffic control read the frames (Linux 6.6), and rules at devices
 *	only those that these do not see
 * @prefixes: the networks, merged
 * @ethertypes: the protocols
 * @covered: indexes of the devices on which frames are looked at
 * @carriers: indexes of the devices that carry DEVICE's own frames: ports of a bridge or bond, what
 *	is under a VLAN; nothing is looked at there
 * @counters: what was dropped
 * @group: the group of devices that DEVICE has, by which rules know it beside its name and index
 * @shut: another device has DEVICE's name and index, and none is exempt
 *
 * Owned by the caller, to be released with ifpin_fence_free().
 */
struct ifpin_fence {
	char name[IFPIN_FENCE_NAME_SIZE];
	char configured[IFPIN_FENCE_FILE_SIZE];
	struct ifpin_device device;
	enum ifpin_fence_nat asked;
	bool nat;
	bool bridge;
	bool guarded;
	struct ifpin_prefix *prefixes;
	size_t n_prefixes;
	uint16_t *ethertypes;
	size_t n_ethertypes;
	uint32_t *covered;
	size_t n_covered;
	uint32_t *carriers;
	size_t n_carriers;
	struct ifpin_fence_counter *counters;
	size_t n_counters;
	uint32_t group;
	bool shut;
};

/**
 * ifpin_prefix_parse - a network in numbers, "10.0.1.0/24" or "fd01::/64"
 *
 * Return: 0; -EINVAL: malformed, of length 0, or with bits set beyond its length.
 */
IFPIN_API int ifpin_prefix_parse(
	const char *text, struct ifpin_prefix *ret_prefix, struct ifpin_error *ret_error);

/** ifpin_prefix_text - the same back; ret_text: at least 56 bytes. Return: @ret_text */
IFPIN_API char *ifpin_prefix_text(const struct ifpin_prefix *prefix, char *ret_text, size_t size);

/**
 * ifpin_fence_apply - put up a fence, or change one, in the caller's network namespace
 * @opts: see above
 * @ret_error: written on failure
 *
 * One transaction: a fence of this name is replaced as a whole, and after a failure all is as it
 * was. The rest of the ruleset is not touched. It holds with every process of ours gone; devices
 * that come later are covered frame by frame only once ifpin_fence_sync() has seen them, but for
 * IP, ARP and bridged frames from the start.
 *
 * Rules know the device by its index, name and group: one in no group is given that of a fence, and
 * ifpin_fence_remove() takes it back.
 *
 * Needs CAP_NET_ADMIN and the egress hook of nftables (Linux 5.16).
 *
 * Return: 0; -EINVAL: options, with the reason; -EEXIST: another program has a table of this name;
 * -EBUSY: a chain of another program has the last priority at an egress hook and would come after
 * the fence; -EOPNOTSUPP: the kernel lacks a hook; -EPERM; -EAGAIN: devices kept changing;
 * -ENOMEM; -EIO: something else that nftables said.
 */
IFPIN_API int ifpin_fence_apply(const struct ifpin_fence_opts *opts, struct ifpin_error *ret_error);

/**
 * ifpin_fence_plan - what ifpin_fence_apply() would give to nftables
 * @ret_text: the transaction as text of nft(8); to be released with free(3)
 *
 * The kernel is asked whether it would take it, and nothing is changed.
 *
 * Return: as ifpin_fence_apply().
 */
IFPIN_API int ifpin_fence_plan(
	const struct ifpin_fence_opts *opts, char **ret_text, struct ifpin_error *ret_error);

/**
 * ifpin_fence_list - the fences of the network namespace
 * @ret_fences: to be released with ifpin_fence_free(); NULL where there is none
 *
 * Return: 0; -EPERM; -ENOMEM; -EIO.
 */
IFPIN_API int ifpin_fence_list(
	struct ifpin_fence **ret_fences, size_t *ret_n, struct ifpin_error *ret_error);

/**
 * ifpin_fence_matches - is a fence what these options ask for?
 *
 * Compared are networks, protocols, what was said about translation and who has configured it; not
 * the device, for that may be the same under another index (ifpin_device_check()).
 */
IFPIN_API bool ifpin_fence_matches(
	const struct ifpin_fence *fence, const struct ifpin_fence_opts *opts);

/** ifpin_fence_free - release what ifpin_fence_list() gave; NULL is fine */
IFPIN_API void ifpin_fence_free(struct ifpin_fence *fences, size_t n);

/** enum ifpin_finding - how bad something is that ifpin_fence_check() says */
enum ifpin_finding {
	IFPIN_FINDING_BROKEN, /* the fence does not hold as it was applied */
	IFPIN_FINDING_BEYOND, /* out of the reach of any rule, and found here */
	IFPIN_FINDING_NOTE,
};

/**
 * ifpin_fence_check - does a fence hold?
 * @name: of the fence
 * @cb: called for each finding, with one sentence
 * @ret_broken: number of findings that are IFPIN_FINDING_BROKEN
 *
 * Return: 0; -ENOENT: there is no trace of this fence; as ifpin_fence_list().
 */
IFPIN_API int ifpin_fence_check(const char *name,
	void (*cb)(void *ctx, enum ifpin_finding finding, const char *text), void *ctx,
	unsigned int *ret_broken, struct ifpin_error *ret_error);

/**
 * ifpin_fence_sync - bring a fence up to date with the devices that there are
 * @name: of the fence
 * @ret_changed: number of devices whose cover was changed
 *
 * Covers devices that have come, and after renames; where DEVICE itself came back with another
 * index, the fence follows it. A replaced DEVICE stays shut out.
 *
 * Return: 0; -ENOENT: no such fence; as ifpin_fence_apply().
 */
IFPIN_API int ifpin_fence_sync(
	const char *name, unsigned int *ret_changed, struct ifpin_error *ret_error);

/**
 * ifpin_fence_remove - take a fence down; nothing of it is left
 *
 * Return: 0; -ENOENT: no such fence; -EPERM; -EIO.
 */
IFPIN_API int ifpin_fence_remove(const char *name, struct ifpin_error *ret_error);

/** struct ifpin_fence_watch - hears of devices and rules; for one thread at a time */
struct ifpin_fence_watch;

#define IFPIN_FENCE_DEVICES 1 /* have come, gone, or changed: ifpin_fence_sync() */
#define IFPIN_FENCE_RULES                                                                          \
	2 /* of a fence, or chains of anybody, have changed: ifpin_fence_check() */

/**
 * ifpin_fence_watch_open - hear of devices, and of what is done to the rules of nftables
 *
 * Return: 0; errno of the socket calls.
 */
IFPIN_API int ifpin_fence_watch_open(
	struct ifpin_fence_watch **ret_watch, struct ifpin_error *ret_error);

/** ifpin_fence_watch_fd - what to poll for reading; owned by the watch */
IFPIN_API int ifpin_fence_watch_fd(const struct ifpin_fence_watch *watch);

/**
 * ifpin_fence_watch_step - read what has come, never blocking
 *
 * What ifpin_fence_apply() and ifpin_fence_sync() do to rules is heard of as well.
 *
 * Return: IFPIN_FENCE_DEVICES, IFPIN_FENCE_RULES, both, or 0: nothing of interest; errno of
 * recvmsg(2), negated. Lost messages count as a change.
 */
IFPIN_API int ifpin_fence_watch_step(struct ifpin_fence_watch *watch);

/** ifpin_fence_watch_close - end it; NULL is fine */
IFPIN_API void ifpin_fence_watch_close(struct ifpin_fence_watch *watch);

#ifdef __cplusplus
}
#endif
