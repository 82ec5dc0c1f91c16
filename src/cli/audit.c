// SPDX-License-Identifier: MIT
#include "cli.h"
#include "show.h"

#include <ifpin/audit.h>

#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ACCEPTED_FILE "/etc/ifpin/audit.accepted"

enum { EXIT_CLEAN, EXIT_FINDINGS, EXIT_ERROR };

enum { OPT_JSON = 256, OPT_ONLY, OPT_IGNORE, OPT_IGNORE_FILE, OPT_FIX, OPT_LIST };

static const struct option options[] = {
	{"json", no_argument, NULL, OPT_JSON},
	{"only", required_argument, NULL, OPT_ONLY},
	{"ignore", required_argument, NULL, OPT_IGNORE},
	{"ignore-file", required_argument, NULL, OPT_IGNORE_FILE},
	{"fix", no_argument, NULL, OPT_FIX},
	{"list", no_argument, NULL, OPT_LIST},
	{"help", no_argument, NULL, 'h'},
	{},
};

static const char help_text[] =
	"Usage: ifpin audit [OPTIONS] [DEVICE]\n"
	"\n"
	"Read this host's settings and say what could let DEVICE's traffic out, or outside "
	"traffic in;\n"
	"without DEVICE, of every device but loopback. Nothing is changed.\n"
	"\n"
	"Options:\n"
	"  --only=ID|CLASS         only these checks\n"
	"  --ignore=ID[@DEVICE]    accept what this check finds (of DEVICE)\n"
	"  --ignore-file=FILE      accepted findings, a line each: ID[@DEVICE] REASON\n"
	"                          (" ACCEPTED_FILE ", if there is one)\n"
	"  --fix                   print a shell script that mends what was found; read it first\n"
	"  --json                  findings as JSON\n"
	"  --list                  list the checks\n"
	"  -h, --help              this text\n"
	"\n"
	"Exit status: 0 if nothing was found but what is accepted, 1 if something was, 2 on "
	"an error.\n";

struct args {
	struct ifpin_audit_opts opts;
	struct ifpin_accepted *accepted;
	struct ifpin_device device;
	bool json, fix, has_file;
};

static void list(void)
{
	const struct ifpin_audit_check *c;

	puts("| ID | class | severity | what is looked for |\n|---|---|---|---|");
	for (size_t i = 0; (c = ifpin_audit_check_at(i)); i++)
		printf("| %s | %s | %s | %s |\n", c->id, c->class_name,
			ifpin_severity_name(c->severity), c->title);
}

/* ---- for people ---- */

/* A device may be called what would write over a terminal's line; only --fix and JSON have it as it
 * is. */
static void put_printable(const char *s)
{
	for (; *s; s++)
		putchar((unsigned char)*s < ' ' || *s == 0x7f ? '?' : *s);
}

static void print_heading(const struct ifpin_audit_check *c, bool colour)
{
	static const char *const colours[] = {"\033[36m", "\033[33m", "\033[31m"};

	printf("\n%s%s%s  %s: %s\n    %s\n", colour ? colours[c->severity] : "",
		ifpin_severity_name(c->severity), colour ? "\033[0m" : "", c->id, c->title, c->why);
}

static void print_finding(const struct ifpin_finding *f)
{
	printf("  * ");
	if (f->device[0]) {
		put_printable(f->device);
		printf(": ");
	}
	printf("%s\n", f->evidence);
	if (f->accepted) {
		printf("      accepted: ");
		put_printable(f->accepted);
	} else {
		printf("      mend: ");
		put_printable(f->mend);
	}
	putchar('\n');
}

static void print_gaps(const struct ifpin_audit *audit, FILE *out, const char *before)
{
	size_t n;
	const struct ifpin_audit_gap *g = ifpin_audit_gaps(audit, &n);

	for (size_t i = 0; i < n; i++)
		fprintf(out, "%snot inspected: %s: %s\n", before, g[i].what, strerror(-g[i].error));
}

static void print_text(const struct ifpin_audit *audit, const struct ifpin_finding *f, size_t n)
{
	bool colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	size_t count[3] = {}, accepted = 0;

	for (size_t i = 0; i < n; i++) {
		if (!i || f[i].check != f[i - 1].check)
			print_heading(f[i].check, colour);
		print_finding(&f[i]);
		accepted += f[i].accepted != NULL;
		count[f[i].check->severity] += f[i].accepted == NULL;
	}
	if (n)
		putchar('\n');
	print_gaps(audit, stdout, "");
	printf("%zu critical, %zu warning, %zu notice; %zu accepted\n", count[IFPIN_CRITICAL],
		count[IFPIN_WARNING], count[IFPIN_NOTICE], accepted);
}

static void print_script(const struct ifpin_audit *audit, const struct ifpin_finding *f, size_t n)
{
	puts("#!/bin/sh\n"
	     "# What `ifpin audit` found, and the commands that mend it. Read each before "
	     "you run it:\n"
	     "# a host that shall route, bridge or serve everybody needs some of this as it is.\n"
	     "# Settings last until the next boot.");
	for (size_t i = 0; i < n; i++)
		if (!f[i].accepted)
			printf("\n# %s (%s): %s\n%s\n", f[i].check->id,
				ifpin_severity_name(f[i].check->severity), f[i].evidence,
				f[i].mend);
	print_gaps(audit, stdout, "\n# ");
}

/* ---- for programs ---- */

static json_object *text_or_null(const char *s)
{
	return s && *s ? json_object_new_string(s) : NULL;
}

static json_object *json_finding(const struct ifpin_finding *f)
{
	json_object *o = json_object_new_object();

	json_object_object_add(o, "id", json_object_new_string(f->check->id));
	json_object_object_add(o, "class", json_object_new_string(f->check->class_name));
	json_object_object_add(
		o, "severity", json_object_new_string(ifpin_severity_name(f->check->severity)));
	json_object_object_add(o, "device", text_or_null(f->device));
	json_object_object_add(o, "evidence", json_object_new_string(f->evidence));
	json_object_object_add(o, "why", json_object_new_string(f->check->why));
	json_object_object_add(o, "mend", json_object_new_string(f->mend));
	json_object_object_add(o, "accepted", text_or_null(f->accepted));
	return o;
}

static void print_json(const struct args *a, const struct ifpin_audit *audit,
	const struct ifpin_finding *f, size_t n)
{
	json_object *root = json_object_new_object(), *findings = json_object_new_array(),
		    *gaps = json_object_new_array();
	const struct ifpin_audit_gap *g;
	size_t n_gaps;

	for (size_t i = 0; i < n; i++)
		json_object_array_add(findings, json_finding(&f[i]));
	g = ifpin_audit_gaps(audit, &n_gaps);
	for (size_t i = 0; i < n_gaps; i++) {
		json_object *o = json_object_new_object();

		json_object_object_add(o, "what", json_object_new_string(g[i].what));
		json_object_object_add(o, "error", json_object_new_string(strerror(-g[i].error)));
		json_object_array_add(gaps, o);
	}
	json_object_object_add(
		root, "device", a->opts.device ? text_or_null(a->device.name) : NULL);
	json_object_object_add(root, "findings", findings);
	json_object_object_add(root, "not_inspected", gaps);
	show_line(root);
}

/* ---- the command ---- */

static int fail(const struct ifpin_error *err)
{
	fprintf(stderr, "ifpin: audit: %s\n", err->text);
	return EXIT_ERROR;
}

static int audit(struct args *a)
{
	struct ifpin_audit *audit = NULL;
	struct ifpin_error err;
	const struct ifpin_finding *f;
	size_t n, left = 0;

	a->opts.accepted = a->accepted;
	if (ifpin_audit_run(&a->opts, &audit, &err))
		return fail(&err);
	f = ifpin_audit_findings(audit, &n);
	for (size_t i = 0; i < n; i++)
		left += f[i].accepted == NULL;
	if (a->json)
		print_json(a, audit, f, n);
	else if (a->fix)
		print_script(audit, f, n);
	else
		print_text(audit, f, n);
	ifpin_audit_free(audit);
	if (fflush(stdout) || ferror(stdout)) {
		perror("ifpin: audit: standard output");
		return EXIT_ERROR;
	}
	return left ? EXIT_FINDINGS : EXIT_CLEAN;
}

/* Return: 0; -1: there is nothing more to do, with the exit status in *ret_status. */
static int parse_option(struct args *a, int c, int *ret_status)
{
	struct ifpin_error err;

	switch (c) {
	case OPT_JSON:
		a->json = true;
		return 0;
	case OPT_ONLY:
		a->opts.only = optarg;
		return 0;
	case OPT_IGNORE:
		if (!ifpin_accepted_add(a->accepted, optarg, "--ignore", &err))
			return 0;
		*ret_status = fail(&err);
		return -1;
	case OPT_IGNORE_FILE:
		a->has_file = true;
		if (!ifpin_accepted_read(a->accepted, optarg, &err))
			return 0;
		*ret_status = fail(&err);
		return -1;
	case OPT_FIX:
		a->fix = true;
		return 0;
	case OPT_LIST:
		list();
		*ret_status = EXIT_CLEAN;
		return -1;
	case 'h':
		fputs(help_text, stdout);
		*ret_status = EXIT_CLEAN;
		return -1;
	}
	*ret_status = usage_error("audit", EXIT_ERROR);
	return -1;
}

static int run(struct args *a, int argc, char **argv)
{
	struct ifpin_error err;
	int c, status;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1)
		if (parse_option(a, c, &status))
			return status;
	if (a->json && a->fix) {
		fputs("ifpin: audit: --json and --fix do not go together\n", stderr);
		return usage_error("audit", EXIT_ERROR);
	}
	if (optind < argc) {
		if (ifpin_device_resolve(argv[optind], &a->device, &err))
			return fail(&err);
		a->opts.device = &a->device;
		optind++;
	}
	if (optind < argc) {
		fprintf(stderr, "ifpin: audit: unexpected argument \"%s\"\n", argv[optind]);
		return usage_error("audit", EXIT_ERROR);
	}
	if (!a->has_file && !access(ACCEPTED_FILE, F_OK) &&
		ifpin_accepted_read(a->accepted, ACCEPTED_FILE, &err))
		return fail(&err);
	return audit(a);
}

int cmd_audit(int argc, char **argv)
{
	struct args a = {.opts = {.size = sizeof(a.opts)}};
	int status;

	if (ifpin_accepted_new(&a.accepted)) {
		fputs("ifpin: audit: out of memory\n", stderr);
		return EXIT_ERROR;
	}
	status = run(&a, argc, argv);
	ifpin_accepted_free(a.accepted);
	return status;
}
