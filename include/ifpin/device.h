/* SPDX-License-Identifier: MIT */
/* Which network interface is meant. */
#pragma once

#include <net/if.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IFPIN_API __attribute__((visibility("default")))

/**
 * struct ifpin_error - why a call failed, in words for a person
 * @code: negative errno
 * @text: one line: what failed, on what, and what to do; no newline
 */
struct ifpin_error {
	int code;
	char text[1024];
};

/**
 * struct ifpin_device - a network interface as it was when it was looked up
 * @ifindex: index in the network namespace of the caller; the identity that a pin holds
 * @name: name at the time of the look-up
 */
struct ifpin_device {
	uint32_t ifindex;
	char name[IF_NAMESIZE];
};

/**
 * ifpin_device_resolve - find the interface that a person means
 * @spec: a name, an alternative name, "index:N" or "mac:AA:BB:CC:DD:EE:FF"
 * @ret_device: written on success only
 * @ret_error: may be NULL; on failure says what went wrong and which interfaces there are
 *
 * Looks in the network namespace of the calling thread, by one RTM_GETLINK dump
 * (rtnetlink(7)). Alternative names need Linux 5.5, else they are unknown.
 *
 * Return: 0; -EINVAL: @spec is empty, malformed or longer than a name can be;
 * -ENODEV: no such interface; -ENOTUNIQ: several have this MAC address;
 * -ENOMEM, or what socket(2), sendto(2) and recvmsg(2) gave.
 */
IFPIN_API int ifpin_device_resolve(
	const char *spec, struct ifpin_device *ret_device, struct ifpin_error *ret_error);

#ifdef __cplusplus
}
#endif
