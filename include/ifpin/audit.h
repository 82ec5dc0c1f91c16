/* SPDX-License-Identifier: MIT */
/* What of a host's settings could let a device's traffic out, or outside traffic in. */
#pragma once

#include <ifpin/device.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** enum ifpin_severity - how bad it is */
enum ifpin_severity {
	IFPIN_NOTICE,	/* takes another condition, or a neighbour who means harm, to be a leak */
	IFPIN_WARNING,	/* frames cross that nobody asked for, though few or of one kind */
	IFPIN_CRITICAL, /* traffic is led from one device to another as it stands */
};

/**
 * struct ifpin_audit_check - something that is looked for; static
 * @id: stable name, as in docs/audit.md
 * @class_name: the class that it is of
 * @severity: of all its findings
 * @title: what is looked for, in one line
 * @why: why it matters, with the leak that it allows
 */
struct ifpin_audit_check {
	const char *id;
	const char *class_name;
	enum ifpin_severity severity;
	const char *title;
	const char *why;
};

/**
 * struct ifpin_finding - one thing that is so
 * @check: what was looked for
 * @device: the device that it is about, or "" where it is about the host
 * @evidence: what is so, in one line without control characters
 * @mend: the command for a POSIX shell that mends it; may hold any bytes of a device's name, quoted
 * @accepted: why it was accepted, or NULL
 *
 * Owned by the audit.
 */
struct ifpin_finding {
	const struct ifpin_audit_check *check;
	char device[IF_NAMESIZE];
	char *evidence;
	char *mend;
	char *accepted;
};

/**
 * struct ifpin_audit_gap - what could not be inspected
 * @what: which part of the host
 * @error: negative errno
 */
struct ifpin_audit_gap {
	const char *what;
	int error;
};

/** struct ifpin_accepted - findings that are known and accepted; opaque */
struct ifpin_accepted;

/** struct ifpin_audit - what came of an inspection; opaque */
struct ifpin_audit;

/**
 * struct ifpin_audit_opts - what to inspect
 * @size: sizeof(struct ifpin_audit_opts)
 * @device: the device that is judged, or NULL for all but loopback
 * @only: ID or class of the checks to make, or NULL for all
 * @accepted: or NULL
 */
struct ifpin_audit_opts {
	size_t size;
	const struct ifpin_device *device;
	const char *only;
	const struct ifpin_accepted *accepted;
};

/**
 * ifpin_audit_run - read the host's settings and judge them
 * @opts: see above
 * @ret_audit: to be released with ifpin_audit_free(); written on success only
 * @ret_error: may be NULL
 *
 * Reads the network namespace of the caller, and changes nothing. What needs a privilege that the
 * caller lacks, or a kernel that has it, is told as a gap.
 *
 * Return: 0; -ENOENT: @opts->only matches no check; -ENODEV: the device is gone; -EINVAL, -E2BIG:
 * of the options' size; -ENOMEM; -EAGAIN: the list of devices kept changing; or what socket(2) and
 * recvmsg(2) gave for it.
 */
IFPIN_API int ifpin_audit_run(const struct ifpin_audit_opts *opts, struct ifpin_audit **ret_audit,
	struct ifpin_error *ret_error);

/** ifpin_audit_findings - all findings, in the order of the checks; owned by the audit */
IFPIN_API const struct ifpin_finding *ifpin_audit_findings(
	const struct ifpin_audit *audit, size_t *ret_n);

/** ifpin_audit_gaps - what was not inspected; owned by the audit */
IFPIN_API const struct ifpin_audit_gap *ifpin_audit_gaps(
	const struct ifpin_audit *audit, size_t *ret_n);

/** ifpin_audit_free - NULL is fine */
IFPIN_API void ifpin_audit_free(struct ifpin_audit *audit);

/** ifpin_audit_check_at - the checks, from 0; NULL behind the last one */
IFPIN_API const struct ifpin_audit_check *ifpin_audit_check_at(size_t i);

/** ifpin_severity_name - "notice", "warning" or "critical" */
IFPIN_API const char *ifpin_severity_name(enum ifpin_severity severity);

/** ifpin_accepted_new - an empty list. Return: 0; -ENOMEM. */
IFPIN_API int ifpin_accepted_new(struct ifpin_accepted **ret_accepted);

/**
 * ifpin_accepted_add - accept what a check finds
 * @spec: "ID", or "ID@DEVICE" for what is about one device
 * @reason: for whoever reads the report; not empty
 *
 * Return: 0; -EINVAL: malformed; -ENOENT: no such check; -ENOMEM.
 */
IFPIN_API int ifpin_accepted_add(struct ifpin_accepted *accepted, const char *spec,
	const char *reason, struct ifpin_error *ret_error);

/**
 * ifpin_accepted_read - accept what a file lists
 *
 * A line is ID or ID@DEVICE, blanks, and the reason. Empty lines and those that begin with # are
 * passed over.
 *
 * Return: 0; -EINVAL, -ENOENT: as ifpin_accepted_add(), and -EINVAL for a line without a reason,
 * each with the number of the line; -EFBIG: more than 16 MiB; -ENOMEM; errno of open(2), read(2).
 * Some lines may have been added then.
 */
IFPIN_API int ifpin_accepted_read(
	struct ifpin_accepted *accepted, const char *path, struct ifpin_error *ret_error);

/** ifpin_accepted_free - NULL is fine */
IFPIN_API void ifpin_accepted_free(struct ifpin_accepted *accepted);

#ifdef __cplusplus
}
#endif
