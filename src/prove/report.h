/* SPDX-License-Identifier: MIT */
/* What is said about a proof, and to whom: a table, JSON, JUnit, a page, a comparison. */
#pragma once

#include "internal.h"

#include <sys/utsname.h>

#define REPORT_FORMAT "ifpin-proof"
#define REPORT_VERSION 1

struct json_object;

/* ---- report.c ---- */
struct report;
/* All that was asked for. old: the report to compare with, or NULL. Return: as ifpin_prove_run. */
int ifp_report_write(
	const struct proof *p, FILE *out, const struct report *old, struct ifpin_error *err);
/*
 * Whether the files can be written, as far as that can be told before anything is made or sent.
 * Return: 0; -ENOMEM; errno of access.
 */
int ifp_report_check(const struct ifpin_prove_opts *o, struct ifpin_error *err);
/* Closes a file that was written to. Return: 0; errno of write; -EIO. */
int ifp_report_close(FILE *f, const char *path, struct ifpin_error *err);
/* Return: number of attempts that leaked under ifpin or are broken. */
unsigned int ifp_report_failures(const struct proof *p);
/* Why an attempt was not held, or not tried. Return: ret, empty where there is nothing to say. */
const char *ifp_report_why(
	const struct proof *p, size_t i, enum protection k, char *ret, size_t size);

/* ---- report_facts.c: on what the proof was made ---- */
struct mechanism {
	const char *name, *purpose;
	bool there;
	const char *why; /* it is not there */
};

struct facts {
	struct utsname host;
	char date[32];	 /* UTC, RFC 3339 */
	char sha256[65]; /* of each attempt's name and sentence, a line each, in their order */
	size_t n;
	struct mechanism mechanisms[8];
};

void ifp_facts(const struct proof *p, struct facts *ret);
/* Name and version of the i-th part. Return: false after the last. */
bool ifp_facts_part(size_t i, const char **ret_name, char ret_version[32]);

/* ---- report_frame.c ---- */
/* A line for each layer of an Ethernet frame, handed over one by one. */
void ifp_frame_decode(
	const uint8_t *bytes, size_t len, void (*line)(const char *text, void *data), void *data);

/* ---- report_text.c ---- */
/* A word of the command line, a path or the name of a device may be anything; JSON is UTF-8. */
struct json_object *ifp_report_text(const char *text);

/* ---- report_json.c ---- */
/* Return: the report, to be put by the caller; NULL: out of memory. */
struct json_object *ifp_report_object(const struct proof *p, const struct facts *facts);
int ifp_report_json(struct json_object *root, const char *path, struct ifpin_error *err);

/* ---- report_html.c ---- */
int ifp_report_html(const struct proof *p, const struct facts *facts, const char *path,
	struct ifpin_error *err);

/* ---- report_read.c: a report in JSON, as far as reports are compared ---- */
struct reported {
	const char *name, *class;
	const char *column[PROT_COUNT]; /* what the protection is called, or NULL: not made */
	enum outcome outcome[PROT_COUNT];
};

struct reported_mechanism {
	const char *name;
	bool there;
};

/* The texts live in root. */
struct report {
	struct json_object *root;
	bool here; /* on a host as it is, not in the laboratory */
	const char *kernel, *date, *ifpin, *sha256;
	size_t n, n_mechanisms;
	struct reported *attempts;
	struct reported_mechanism *mechanisms;
};

/* Holds a reference to root. Return: 0; -EBADMSG: not a report; -EPROTONOSUPPORT: one of another
 * version; -ENOMEM. */
int ifp_report_read(
	struct json_object *root, const char *whose, struct report *ret, struct ifpin_error *err);
/* Return: as ifp_report_read(), and errno of open, read. */
int ifp_report_parse(const char *text, size_t len, const char *whose, struct report *ret,
	struct ifpin_error *err);
int ifp_report_load(const char *path, struct report *ret, struct ifpin_error *err);
void ifp_report_free(struct report *r);

/* ---- report_compare.c ---- */
/* The first ones are regressions. */
enum change_kind {
	CHANGE_LEAKS,
	CHANGE_BROKEN,
	CHANGE_UNTRIED,
	CHANGE_GONE,
	CHANGE_LOST,
	CHANGE_HELD,
	CHANGE_OUTCOME,
	CHANGE_ADDED,
	CHANGE_FOUND,
	CHANGE_KERNEL,
	CHANGE_IFPIN,
	CHANGE_BATTERY,
	CHANGE_KINDS
};

/* The texts live in the reports. */
struct change {
	enum change_kind kind;
	const char *what;	/* an attempt, a mechanism, or NULL */
	const char *protection; /* or NULL */
	const char *was, *is;	/* or NULL */
};

struct changes {
	size_t n;
	struct change *list; /* regressions first */
};

/* only: class or name of the attempts that the new report was asked for, or NULL. Return: 0;
 * -ENOMEM. */
int ifp_report_compare(
	const struct report *old, const struct report *new, const char *only, struct changes *ret);
unsigned int ifp_changes_regressions(const struct changes *c);
void ifp_changes_text(
	const struct changes *c, const struct report *old, const char *path, FILE *out);
/* Return: an object; NULL: out of memory. */
struct json_object *ifp_changes_object(
	const struct changes *c, const struct report *old, const char *path);
void ifp_changes_free(struct changes *c);
