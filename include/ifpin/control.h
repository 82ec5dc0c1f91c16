/* SPDX-License-Identifier: MIT */
/*
 * How `ifpin run` asks ifpind to be let into a pin: messages of fixed size over a socket that keeps
 * them apart (SOCK_SEQPACKET). Both ends are on one host and in its byte order.
 *
 *	client				daemon
 *	ASK, name, flags	->	takes the peer's credentials, opens a pidfd, looks at the
 *					rules of the pin
 *				<-	0: go on, or an error
 *	ENTER, name, flags	->	the kernel says who has sent it: only the process to which
 *					the pidfd leads, alive from before until after, goes on
 *				<-	0: you are inside, or an error
 */
#pragma once

#include <ifpin/confine.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IFPIN_CONTROL_PATH "/run/ifpin/control.sock"
#define IFPIN_CONTROL_MAGIC 0x6e706669 /* "ifpn" */
#define IFPIN_CONTROL_VERSION 1

enum ifpin_control_step { IFPIN_CONTROL_ASK = 1, IFPIN_CONTROL_ENTER = 2 };

#define IFPIN_CONTROL_NO_LOOPBACK 1 /* narrow: no 127.0.0.0/8, no ::1, no address of the host */

/**
 * struct ifpin_control_request - what a client may say; a pin and what is to be narrowed
 * @magic, @version: IFPIN_CONTROL_*
 * @step: enum ifpin_control_step
 * @flags: IFPIN_CONTROL_NO_LOOPBACK; the same in both steps
 * @name: of the pin, the same in both steps; zero behind its end
 */
struct ifpin_control_request {
	uint32_t magic, version, step, flags;
	char name[64];
};

/**
 * struct ifpin_control_reply - what the daemon says
 * @code: 0, or a negative errno
 * @ifindex, @device: of the pin, in the answer to ENTER
 * @text: what was wrong
 */
struct ifpin_control_reply {
	uint32_t magic, version;
	int32_t code;
	uint32_t ifindex;
	char device[IF_NAMESIZE];
	char text[512];
};

/**
 * ifpin_control_parse - look at a message that somebody has sent
 *
 * Return: 0; -EMSGSIZE: not of this size; -EPROTO: no such message; -EPROTONOSUPPORT: of another
 * version; -EINVAL: the name or the flags are malformed.
 */
IFPIN_API int ifpin_control_parse(
	const void *data, size_t len, struct ifpin_control_request *ret_request);

/**
 * ifpin_control_enter - have the daemon move this process into a pin
 * @path: of its socket
 * @name: of the pin
 * @flags: IFPIN_CONTROL_NO_LOOPBACK
 *
 * On success the process is in a cgroup that is confined to the device, and ifpin_enter() has to
 * follow. Sets no_new_privs, also where the daemon then refuses; for a process with one thread. Waits for the daemon, ten seconds at most for each answer.
 *
 * Return: 0; -ENOENT, -ECONNREFUSED: no daemon, no pin of this name; -EACCES: the caller may not;
 * -EPERM: who listens there is not root; -ETIMEDOUT; -EPROTO: the answer is malformed; what the
 * daemon said.
 */
IFPIN_API int ifpin_control_enter(const char *path, const char *name, uint32_t flags,
	struct ifpin_control_reply *ret_reply, struct ifpin_error *ret_error);

#ifdef __cplusplus
}
#endif
