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
};

/**
 * ifpin_prove_run - make every attempt under every protection and count frames on the wire
 * @opts: see above
 * @out: where the table goes
 * @ret_error: written on failure
 *
 * Return: 0: nothing leaked under ifpin; 1: something did, an attempt is broken, or something is
 * worse than in @opts->compare; -ENOENT: @opts->only matches nothing; -EBADMSG: @opts->compare is
 * no report; -EPROTONOSUPPORT: it is one of another version; -ENOBUFS: the capture lost frames; or
 * the errno of the step of the laboratory, or of the report, that failed.
 */
IFPIN_API int ifpin_prove_run(
	const struct ifpin_prove_opts *opts, FILE *out, struct ifpin_error *ret_error);

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
