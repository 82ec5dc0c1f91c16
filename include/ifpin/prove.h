/* SPDX-License-Identifier: MIT */
/* The battery of leak attempts, and what came of them. */
#pragma once

#include <ifpin/device.h>

#include <stdbool.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IFPIN_PROVE_MAX_WITH 8
#define IFPIN_PROVE_MAX_AGAINST 4

/**
 * struct ifpin_prove_opts - what to prove
 * @size: sizeof(struct ifpin_prove_opts)
 * @only: class or name of the attempts to make, or NULL for all
 * @self: path of the ifpin binary that confines the attempts
 * @colour: whether the table may be coloured
 * @json: file to write a JSON report to, or NULL
 * @junit: file to write a JUnit report to, or NULL
 * @html: file to write a report for people to, or NULL
 * @pcapng: file to write all captured frames to, or NULL
 * @compare: file with an earlier JSON report to compare with, or NULL
 * @command: the words behind `ifpin prove`, @n_command of them, for the reports
 * @with: options to give to `ifpin run` as well, @n_with of them
 * @here: device of this host, as for ifpin_device_resolve(): the attempts are made on the host as
 *	it is, confined to it, and all other devices are watched; NULL: in a laboratory
 * @pin: with @here: in this pin of ifpin_attach(), not by `ifpin run`; or NULL
 * @against: commands to make the attempts behind, @n_against of them: "LABEL=WORDS", or "WORDS"
 *alone. WORDS are those of a shell before the command to confine; {device}, {ifindex}, {netns} and
 *{vrf} are replaced (see ifpin-prove(8)). With @here one, instead of `ifpin run`; else a column
 *each
 * @control: with @here: also without any confinement
 * @confirm, @confirm_ctx: with @here: called when what would be sent has been written to the
 *output, and nothing was sent yet; false: nothing is. NULL: it is not asked
 */
struct ifpin_prove_opts {
	size_t size;
	const char *only;
	const char *self;
	bool colour;
	const char *json;
	const char *junit;
	const char *html;
	const char *pcapng;
	const char *compare;
	const char *const *command;
	size_t n_command;
	const char *const *with;
	size_t n_with;
	const char *here;
	const char *pin;
	const char *const *against;
	size_t n_against;
	bool control;
	bool (*confirm)(void *ctx);
	void *confirm_ctx;
};

/**
 * ifpin_prove_run - make every attempt under every protection and count frames on the wire
 * @opts: see above
 * @out: where the table goes
 * @ret_error: written on failure
 *
 * Return: 0: nothing leaked under ifpin; 1: something did, an attempt is broken, or something is
 * worse than in @opts->compare; -ENOENT: @opts->only matches nothing; -EBADMSG: @opts->compare is
 * no report; -EPROTONOSUPPORT: it is one of another version; -EINVAL: it is one of something else,
 * or a report was asked for that this proof has not, or a command of @opts->against is none;
 * -ECONNREFUSED: such a command does not start what it is to confine; -ENOBUFS: frames were lost;
 * with @opts->here also -ECANCELED: it was not confirmed; -EADDRINUSE: the host has an address for
 * documentation; -ENODEV: there is no other device, or no such one; -ENETDOWN: it is switched off;
 * -EBUSY: another one is made here; -EMULTIHOP: it changes hop limits; or the errno of the step of
 * the laboratory, or of the report, that failed.
 */
IFPIN_API int ifpin_prove_run(
	const struct ifpin_prove_opts *opts, FILE *out, struct ifpin_error *ret_error);

/**
 * ifpin_prove_attempts - make the attempts that standard input tells, in a process of their own
 * each, and tell standard output; what `ifpin prove --here` starts inside the confinement
 *
 * Return: 0: standard input has ended; -errno.
 */
IFPIN_API int ifpin_prove_attempts(void);

/** ifpin_prove_list - write the names, classes and sentences of all attempts */
IFPIN_API void ifpin_prove_list(FILE *out);

/**
 * ifpin_prove_attempt - make one attempt in the calling process, with the environment that the
 * laboratory set; what `ifpin prove` starts inside the confinement
 *
 * Return: 0 when it was made, the errno that the kernel answered negated, -ENOENT: unknown name.
 */
IFPIN_API int ifpin_prove_attempt(const char *name);

#ifdef __cplusplus
}
#endif
