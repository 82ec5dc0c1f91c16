// SPDX-License-Identifier: MIT
#include "here.h"
#include "report.h"

#include "confine/lsm.h"
#include "confine/scope.h"

#include <errno.h>
#include <json-c/json.h>
#include <libgen.h>
#include <string.h>

const char *ifp_report_why(
	const struct proof *p, size_t i, enum protection k, char *ret, size_t size)
{
	const struct result *r = &p->results[i][k];

	*ret = 0;
	switch (r->outcome) {
	case OUT_NOT_HELD:
		snprintf(ret, size, "to hold it takes %s", r->lacking);
		break;
	case OUT_BROKEN:
		if (k == PROT_NONE)
			snprintf(ret, size, "no frame arrived without protection: %s",
				r->err ? strerror(r->err) : "the attempt shows nothing here");
		else if (p->results[i][PROT_NONE].outcome == OUT_BROKEN)
			snprintf(ret, size, "no frame arrived without protection, either");
		else
			snprintf(ret, size, "the attempt was not made: it ended with status %d",
				r->err);
		break;
	case OUT_UNAVAILABLE:
		if (k == PROT_FENCE && p->no_fence.code)
			snprintf(ret, size, "no fence could be put up: %s", p->no_fence.text);
		else if (k >= PROT_AGAINST && p->against[k - PROT_AGAINST].none.code)
			snprintf(ret, size, "%s", p->against[k - PROT_AGAINST].none.text);
		else
			snprintf(ret, size, "the kernel has not what it takes: %s",
				strerror(r->err));
		break;
	case OUT_OF_REACH:
		snprintf(ret, size, "%s",
			k == PROT_FENCE ? "the frame has no address of the fence"
					: "no program that opens its sockets by libifpin does "
					  "this by accident");
		break;
	case OUT_NOT_APPLICABLE:
		snprintf(ret, size,
			"the host does it by itself, or a program that is not held: "
			"only a fence is for that");
		break;
	case OUT_NOT_TRIED:
		snprintf(ret, size, "%s", r->lacking);
		break;
	default:
		break;
	}
	return ret;
}

void ifp_report_cell(FILE *out, const struct result *r, int width, bool colour)
{
	static const char *const colours[] = {"\033[32m", "\033[31m", "\033[33m", "\033[35m",
		"\033[90m", "\033[90m", "\033[90m", "\033[90m"};
	char text[32];

	if (r->outcome == OUT_LEAKED || r->outcome == OUT_NOT_HELD)
		snprintf(text, sizeof(text), "%s %u",
			r->outcome == OUT_LEAKED ? "LEAK" : "not held", r->frames);
	else
		snprintf(text, sizeof(text), "%s",
			r->outcome == OUT_HELD ? "." : ifp_outcome_names[r->outcome]);
	fprintf(out, "%s%-*s%s", colour ? colours[r->outcome] : "", width, text,
		colour ? "\033[0m" : "");
}

static int width_of(const struct proof *p, enum protection k)
{
	int n = (int)strlen(ifp_column(p, k)) + 1;

	return n > CELL_WIDTH ? n : CELL_WIDTH;
}

static void totals(const struct proof *p, FILE *out)
{
	for_each_column (p, k) {
		unsigned int n[OUT_COUNT] = {};

		for (size_t i = 0; i < p->n; i++)
			n[p->results[i][k].outcome]++;
		fprintf(out, "%-16s %3u of %zu attempts leaked", ifp_column(p, k),
			n[OUT_LEAKED] + n[OUT_NOT_HELD], p->n - n[OUT_NOT_APPLICABLE]);
		if (n[OUT_NOT_HELD])
			fprintf(out, ", %u of them cannot be held on this kernel", n[OUT_NOT_HELD]);
		for (int o = OUT_BROKEN; o < OUT_NOT_APPLICABLE; o++)
			if (n[o])
				fprintf(out, ", %u %s", n[o], ifp_outcome_names[o]);
		fputc('\n', out);
	}
}

static void leaks_of_bindtodevice(const struct proof *p, FILE *out)
{
	bool any = false;

	for (size_t i = 0; i < p->n; i++) {
		if (p->results[i][PROT_BINDTODEVICE].outcome != OUT_LEAKED)
			continue;
		if (!any)
			fputs("\nWhat SO_BINDTODEVICE lets out:\n", out);
		any = true;
		fprintf(out, "  %s: %s (%s)\n", p->attempts[i]->name, p->attempts[i]->sentence,
			p->attempts[i]->rests_on);
	}
}

/* One of them alone makes the proof fail, so it is said why. */
static void broken(const struct proof *p, FILE *out)
{
	char why[200];

	for (size_t i = 0; i < p->n; i++)
		for_each_column (p, k)
			if (p->results[i][k].outcome == OUT_BROKEN &&
				(k == PROT_NONE || p->results[i][PROT_NONE].outcome != OUT_BROKEN))
				fprintf(out, "\nBroken (%s): %s: %s\n", ifp_column(p, k),
					p->attempts[i]->name,
					ifp_report_why(p, i, k, why, sizeof(why)));
}

static void table(const struct proof *p, FILE *out, bool colour)
{
	struct utsname u;

	fprintf(out, "%-10s %-26s", "CLASS", "ATTEMPT");
	for_each_column (p, k)
		fprintf(out, "%-*s", width_of(p, k), ifp_column(p, k));
	fputc('\n', out);
	for (size_t i = 0; i < p->n; i++) {
		fprintf(out, "%-10s %-26s", p->attempts[i]->class, p->attempts[i]->name);
		for_each_column (p, k)
			ifp_report_cell(out, &p->results[i][k], width_of(p, k), colour);
		fputc('\n', out);
	}
	fputs("\n\".\": no frame; LEAK, not held: frames that arrived at the far end of the other device;\n"
	      "out of reach: what no program does by accident that opens its sockets by libifpin; for a fence,\n"
	      "what has no address of the fence on the wire; n/a: what a program cannot hold that does not do it\n",
		out);
	leaks_of_bindtodevice(p, out);
	for (size_t i = 0; i < p->n; i++)
		for (int k = PROT_IFPIN; k < PROT_AGAINST; k++)
			if (p->results[i][k].outcome == OUT_NOT_HELD)
				fprintf(out,
					"\nNot held on this kernel%s: %s: %s (would need %s)\n",
					k == PROT_FENCE ? " by a fence" : "", p->attempts[i]->name,
					p->attempts[i]->sentence, p->results[i][k].lacking);
	broken(p, out);
	if (p->no_fence.code)
		fprintf(out, "\nNo fence could be put up here: %s\n", p->no_fence.text);
	for (size_t j = 0; j < p->opts->n_against; j++)
		fprintf(out, "\n%s: %s%s%s\n", p->against[j].column, p->against[j].words,
			p->against[j].none.code ? ": nothing was tried: " : "",
			p->against[j].none.text);
	fputc('\n', out);
	totals(p, out);
	if (!uname(&u))
		fprintf(out,
			"\nLinux %s %s; ifpin run holds by cgroup BPF, seccomp, capabilities, mounts%s%s; "
			"%.1f s\n",
			u.release, u.machine, ifp_lsm_available() ? ", BPF LSM" : " (no BPF LSM)",
			ifp_scope_available() ? " and a Landlock scope" : " (no Landlock scopes)",
			p->seconds);
}

static bool failed(const struct result r[PROT_COUNT])
{
	static const enum protection ours[] = {PROT_LIBIFPIN, PROT_IFPIN, PROT_FENCE};

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		if (r[ours[i]].outcome == OUT_LEAKED || r[ours[i]].outcome == OUT_BROKEN)
			return true;
	return r[PROT_NONE].outcome == OUT_BROKEN;
}

unsigned int ifp_report_failures(const struct proof *p)
{
	unsigned int n = 0;

	for (size_t i = 0; i < p->n; i++)
		n += failed(p->results[i]);
	return n;
}

static int check_path(const char *path, struct ifpin_error *err)
{
	_cleanup_free_ char *copy = strdup(path);

	if (!copy)
		return ifp_fail(err, -ENOMEM, "out of memory");
	if (access(access(path, F_OK) ? dirname(copy) : path, W_OK))
		return ifp_fail_errno(err, -errno, "cannot write %s", path);
	return 0;
}

int ifp_report_check(const struct ifpin_prove_opts *o, struct ifpin_error *err)
{
	const char *const paths[] = {o->json, o->junit, o->html, o->pcapng};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(paths) && !r; i++)
		r = paths[i] ? check_path(paths[i], err) : 0;
	return r;
}

int ifp_report_close(FILE *f, const char *path, struct ifpin_error *err)
{
	bool failed_before = ferror(f);

	errno = 0;
	if (!fclose(f) && !failed_before)
		return 0;
	return ifp_fail_errno(err, errno ? -errno : -EIO, "cannot write %s", path);
}

/* Names, classes and reasons are ours and hold no character that XML would want escaped. */
static int junit(const struct proof *p, const char *path, struct ifpin_error *err)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return ifp_fail_errno(err, -errno, "cannot write %s", path);
	fprintf(f,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"ifpin prove\" "
		"tests=\"%zu\" failures=\"%u\" time=\"%.3f\">\n",
		p->n, ifp_report_failures(p), p->seconds);
	for (size_t i = 0; i < p->n; i++) {
		bool host = p->attempts[i]->flags & HOST;
		const struct result *x = &p->results[i][host ? PROT_FENCE : PROT_IFPIN];

		fprintf(f, "  <testcase classname=\"%s\" name=\"%s\">", p->attempts[i]->class,
			p->attempts[i]->name);
		if (failed(p->results[i]))
			fprintf(f, "<failure message=\"%s, %u frames\"/>",
				ifp_outcome_names[x->outcome], x->frames);
		else if (x->outcome != OUT_HELD)
			fprintf(f, "<skipped message=\"%s\"/>", ifp_outcome_names[x->outcome]);
		fputs("</testcase>\n", f);
	}
	fputs("</testsuite>\n", f);
	return ifp_report_close(f, path, err);
}

static int write_json(const struct proof *p, const struct facts *facts, const struct report *old,
	const struct changes *changes, struct ifpin_error *err)
{
	json_object *root = ifp_report_object(p, facts);
	int r;

	if (!root)
		return ifp_fail(err, -ENOMEM, "out of memory");
	if (old)
		json_object_object_add(
			root, "compared", ifp_changes_object(changes, old, p->opts->compare));
	r = ifp_report_json(root, p->opts->json, err);
	json_object_put(root);
	return r;
}

/* The new report is compared as others will read it. */
static int compare(const struct proof *p, const struct facts *facts, const struct report *old,
	struct changes *ret, struct report *ret_new, struct ifpin_error *err)
{
	json_object *root = ifp_report_object(p, facts);
	int r = root ? ifp_report_read(root, "this proof", ret_new, err)
		     : ifp_fail(err, -ENOMEM, "out of memory");

	json_object_put(root);
	if (!r && ifp_report_compare(old, ret_new, p->opts->only, ret))
		r = ifp_fail(err, -ENOMEM, "out of memory");
	return r;
}

int ifp_report_write(
	const struct proof *p, FILE *out, const struct report *old, struct ifpin_error *err)
{
	_cleanup_(ifp_changes_free) struct changes changes = {};
	_cleanup_(ifp_report_free) struct report new = {};
	const struct ifpin_prove_opts *o = p->opts;
	struct facts facts;
	int r;

	ifp_facts(p, &facts);
	if (p->here)
		ifp_here_table(p, out, o->colour);
	else
		table(p, out, o->colour);
	r = old ? compare(p, &facts, old, &changes, &new, err) : 0;
	if (!r && old)
		ifp_changes_text(&changes, old, o->compare, out);
	if (!r && o->json)
		r = write_json(p, &facts, old, &changes, err);
	if (!r && o->junit)
		r = junit(p, o->junit, err);
	if (!r && o->html)
		r = ifp_report_html(p, &facts, o->html, err);
	if (r)
		return r;
	return ifp_report_failures(p) || ifp_changes_regressions(&changes) ? 1 : 0;
}
