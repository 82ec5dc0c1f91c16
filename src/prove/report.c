// SPDX-License-Identifier: MIT
#include "here.h"

#include "confine/scope.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/utsname.h>

const char *const ifp_protection_names[PROT_COUNT] = {
	"none", "bind", "SO_BINDTODEVICE", "libifpin", "ifpin run", "fence"};
const char *const ifp_outcome_names[OUT_COUNT] = {
	"held", "leaked", "not held", "broken", "unavailable", "out of reach", "n/a", "not tried"};

void ifp_report_cell(FILE *out, const struct result *r, bool colour)
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
	fprintf(out, "%s%-16s%s", colour ? colours[r->outcome] : "", text, colour ? "\033[0m" : "");
}

static void totals(const struct proof *p, FILE *out)
{
	for (int k = 0; k < PROT_SHOWN; k++) {
		unsigned int n[OUT_COUNT] = {};

		for (size_t i = 0; i < p->n; i++)
			n[p->results[i][k].outcome]++;
		fprintf(out, "%-16s %3u of %zu attempts leaked", ifp_protection_names[k],
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

void ifp_report_table(const struct proof *p, FILE *out, bool colour)
{
	struct utsname u;

	if (p->here) {
		ifp_here_table(p, out, colour);
		return;
	}
	fprintf(out, "%-10s %-26s", "CLASS", "ATTEMPT");
	for (int k = 0; k < PROT_SHOWN; k++)
		fprintf(out, "%-16s", ifp_protection_names[k]);
	fputc('\n', out);
	for (size_t i = 0; i < p->n; i++) {
		fprintf(out, "%-10s %-26s", p->attempts[i]->class, p->attempts[i]->name);
		for (int k = 0; k < PROT_SHOWN; k++)
			ifp_report_cell(out, &p->results[i][k], colour);
		fputc('\n', out);
	}
	fputs("\n\".\": no frame; LEAK, not held: frames that arrived at the far end of the other device;\n"
	      "out of reach: what no program does by accident that opens its sockets by libifpin; for a fence,\n"
	      "what has no address of the fence on the wire; n/a: what a program cannot hold that does not do it\n",
		out);
	leaks_of_bindtodevice(p, out);
	for (size_t i = 0; i < p->n; i++)
		for (int k = PROT_IFPIN; k < PROT_SHOWN; k++)
			if (p->results[i][k].outcome == OUT_NOT_HELD)
				fprintf(out,
					"\nNot held on this kernel%s: %s: %s (would need %s)\n",
					k == PROT_FENCE ? " by a fence" : "", p->attempts[i]->name,
					p->attempts[i]->sentence, p->results[i][k].lacking);
	if (p->no_fence.code)
		fprintf(out, "\nNo fence could be put up here: %s\n", p->no_fence.text);
	fputc('\n', out);
	totals(p, out);
	if (!uname(&u))
		fprintf(out,
			"\nLinux %s %s; ifpin run holds by cgroup BPF, seccomp, capabilities, mounts%s; "
			"%.1f s\n",
			u.release, u.machine,
			ifp_scope_available() ? " and a Landlock scope" : " (no Landlock scopes)",
			p->seconds);
}

static json_object *results_of(const struct proof *p, size_t i)
{
	json_object *all = json_object_new_object();

	for (int k = 0; k < PROT_SHOWN; k++) {
		const struct result *r = &p->results[i][k];
		const char *name = ifp_column(p, (enum protection)k);
		json_object *o = name ? json_object_new_object() : NULL;

		if (!o)
			continue;
		json_object_object_add(
			o, "outcome", json_object_new_string(ifp_outcome_names[r->outcome]));
		json_object_object_add(o, "frames", json_object_new_int((int)r->frames));
		json_object_object_add(o, "errno", json_object_new_int(r->err));
		json_object_object_add(all, name, o);
	}
	return all;
}

int ifp_report_json(const struct proof *p, const char *path, struct ifpin_error *err)
{
	json_object *root = json_object_new_object(), *list = json_object_new_array();
	struct utsname u = {};
	int r;

	uname(&u);
	json_object_object_add(root, "kernel", json_object_new_string(u.release));
	if (p->here)
		json_object_object_add(root, "here", ifp_here_json(p));
	json_object_object_add(root, "seconds", json_object_new_double(p->seconds));
	json_object_object_add(root, "failures", json_object_new_int((int)ifp_report_failures(p)));
	for (size_t i = 0; i < p->n; i++) {
		json_object *o = json_object_new_object();

		json_object_object_add(o, "name", json_object_new_string(p->attempts[i]->name));
		json_object_object_add(o, "class", json_object_new_string(p->attempts[i]->class));
		json_object_object_add(
			o, "sentence", json_object_new_string(p->attempts[i]->sentence));
		json_object_object_add(
			o, "rests_on", json_object_new_string(p->attempts[i]->rests_on));
		json_object_object_add(o, "results", results_of(p, i));
		json_object_array_add(list, o);
	}
	json_object_object_add(root, "attempts", list);
	r = json_object_to_file_ext(path, root, JSON_C_TO_STRING_PRETTY) ? -errno : 0;
	json_object_put(root);
	return r ? ifp_fail_errno(err, r, "cannot write %s", path) : 0;
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

/* Names, classes and reasons are ours and hold no character that XML would want escaped. */
int ifp_report_junit(const struct proof *p, const char *path, struct ifpin_error *err)
{
	_cleanup_fclose_ FILE *f = fopen(path, "we");

	if (!f)
		return ifp_fail_errno(err, -errno, "cannot write %s", path);
	fprintf(f,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"ifpin prove\" "
		"tests=\"%zu\" failures=\"%u\" time=\"%.3f\">\n",
		p->n, ifp_report_failures(p), p->seconds);
	for (size_t i = 0; i < p->n; i++) {
		bool host = p->attempts[i]->flags & HOST;
		const struct result *r = &p->results[i][host ? PROT_FENCE : PROT_IFPIN];

		fprintf(f, "  <testcase classname=\"%s\" name=\"%s\">", p->attempts[i]->class,
			p->attempts[i]->name);
		if (failed(p->results[i]))
			fprintf(f, "<failure message=\"%s, %u frames\"/>",
				ifp_outcome_names[r->outcome], r->frames);
		else if (r->outcome != OUT_HELD)
			fprintf(f, "<skipped message=\"%s\"/>", ifp_outcome_names[r->outcome]);
		fputs("</testcase>\n", f);
	}
	fputs("</testsuite>\n", f);
	return ferror(f) ? ifp_fail(err, -EIO, "cannot write %s", path) : 0;
}
