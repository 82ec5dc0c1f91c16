// SPDX-License-Identifier: MIT
/* The report for programs: docs/proof.schema.json describes it. */
#include "report.h"

#include "here.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

static void put(json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

static json_object *texts(const char *const *list, size_t n)
{
	json_object *a = json_object_new_array();

	for (size_t i = 0; i < n; i++)
		json_object_array_add(a, ifp_report_text(list[i]));
	return a;
}

static void add_line(const char *text, void *data)
{
	json_object_array_add(data, json_object_new_string(text));
}

static json_object *frame_of(const struct evidence *e)
{
	json_object *o = json_object_new_object(), *layers = json_object_new_array();
	char hex[2 * sizeof(e->bytes) + 1] = "";

	for (size_t i = 0; i < e->kept; i++)
		snprintf(hex + 2 * i, 3, "%02x", e->bytes[i]);
	ifp_frame_decode(e->bytes, e->kept, add_line, layers);
	json_object_object_add(o, "length", json_object_new_int64((int64_t)e->len));
	put(o, "bytes", hex);
	json_object_object_add(o, "layers", layers);
	return o;
}

static json_object *results_of(const struct proof *p, size_t i)
{
	json_object *all = json_object_new_object();

	for_each_column (p, k) {
		const struct result *r = &p->results[i][k];
		json_object *o = json_object_new_object();
		char why[512];

		put(o, "outcome", ifp_outcome_names[r->outcome]);
		json_object_object_add(o, "frames", json_object_new_int((int)r->frames));
		json_object_object_add(o, "errno", json_object_new_int(r->err));
		if (*ifp_report_why(p, i, k, why, sizeof(why)))
			put(o, "why", why);
		if (r->frames)
			json_object_object_add(o, "first_frame", frame_of(&r->first));
		json_object_object_add(all, ifp_column(p, k), o);
	}
	return all;
}

static json_object *attempts_of(const struct proof *p)
{
	json_object *list = json_object_new_array();

	for (size_t i = 0; i < p->n; i++) {
		json_object *o = json_object_new_object();

		put(o, "name", p->attempts[i]->name);
		put(o, "class", p->attempts[i]->class);
		put(o, "sentence", p->attempts[i]->sentence);
		put(o, "rests_on", p->attempts[i]->rests_on);
		json_object_object_add(o, "results", results_of(p, i));
		json_object_array_add(list, o);
	}
	return list;
}

static json_object *mechanisms_of(const struct facts *f)
{
	json_object *list = json_object_new_array();

	for (size_t i = 0; i < f->n; i++) {
		const struct mechanism *m = &f->mechanisms[i];
		json_object *o = json_object_new_object();

		put(o, "name", m->name);
		json_object_object_add(o, "there", json_object_new_boolean(m->there));
		if (!m->there)
			put(o, "why", m->why);
		json_object_array_add(list, o);
	}
	return list;
}

static json_object *versions(void)
{
	json_object *o = json_object_new_object();
	const char *name;
	char version[32];

	for (size_t i = 0; ifp_facts_part(i, &name, version); i++)
		put(o, name, version);
	return o;
}

static json_object *battery_of(const struct proof *p, const struct facts *f)
{
	json_object *o = json_object_new_object();

	json_object_object_add(o, "attempts", json_object_new_int64((int64_t)p->n));
	put(o, "sha256", f->sha256);
	return o;
}

static json_object *columns(const struct proof *p)
{
	json_object *list = json_object_new_array();

	for_each_column (p, k)
		json_object_array_add(list, json_object_new_string(ifp_column(p, k)));
	return list;
}

/* Behind which commands, by column. */
static json_object *commands(const struct proof *p)
{
	json_object *all = json_object_new_object();

	for (size_t j = 0; j < p->opts->n_against; j++)
		json_object_object_add(
			all, p->against[j].column, ifp_report_text(p->against[j].words));
	return all;
}

json_object *ifp_report_object(const struct proof *p, const struct facts *f)
{
	json_object *root = json_object_new_object();

	if (!root)
		return NULL;
	put(root, "format", REPORT_FORMAT);
	json_object_object_add(root, "version", json_object_new_int(REPORT_VERSION));
	put(root, "date", f->date);
	json_object_object_add(root, "command", texts(p->opts->command, p->opts->n_command));
	if (p->opts->only)
		put(root, "only", p->opts->only);
	json_object_object_add(root, "with", texts(p->opts->with, p->opts->n_with));
	put(root, "kernel", f->host.release);
	put(root, "kernel_build", f->host.version);
	put(root, "machine", f->host.machine);
	json_object_object_add(root, "versions", versions());
	json_object_object_add(root, "mechanisms", mechanisms_of(f));
	json_object_object_add(root, "battery", battery_of(p, f));
	json_object_object_add(root, "seconds", json_object_new_double(p->seconds));
	json_object_object_add(root, "failures", json_object_new_int((int)ifp_report_failures(p)));
	json_object_object_add(root, "protections", columns(p));
	if (!p->here && p->opts->n_against)
		json_object_object_add(root, "against", commands(p));
	if (p->here)
		json_object_object_add(root, "here", ifp_here_json(p));
	json_object_object_add(root, "attempts", attempts_of(p));
	return root;
}

int ifp_report_json(json_object *root, const char *path, struct ifpin_error *err)
{
	if (json_object_to_file_ext(
		    path, root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE))
		return ifp_fail_errno(err, -errno, "cannot write %s", path);
	return 0;
}
