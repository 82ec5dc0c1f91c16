// SPDX-License-Identifier: MIT
/* Reads a report back. The file is somebody else's: nothing in it is believed before it is looked
 * at. */
#include "report.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#define MAX_DEPTH 16
#define MAX_ATTEMPTS 10000

static int bad(struct ifpin_error *err, const char *whose, const char *what, const char *where)
{
	return ifp_fail(err, -EBADMSG, "%s is not a report of ifpin prove: %s%s%s", whose, what,
		where ? " in " : "", where ?: "");
}

static json_object *member(json_object *o, const char *key, json_type type)
{
	json_object *v = NULL;

	if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, key, &v) ||
		!json_object_is_type(v, type))
		return NULL;
	return v;
}

/* A text of printable ASCII, as ours are, or NULL: it may be written to a terminal. */
static const char *text(json_object *o, const char *key)
{
	json_object *v = member(o, key, json_type_string);
	const char *s = v ? json_object_get_string(v) : "";

	for (int i = 0; v && i < json_object_get_string_len(v); i++)
		if (s[i] < ' ' || s[i] > '~')
			return NULL;
	return v ? s : NULL;
}

static int find(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (name && !strcmp(names[i], name))
			return (int)i;
	return -1;
}

static bool is_against(const char *name)
{
	return !strcmp(name, "against") || !strncmp(name, "against ", strlen("against "));
}

/* On a host as it is, a pin or a command may stand for ifpin run; in the laboratory there may be
 * several commands. Return: its index; -1. */
static int find_protection(const char *name, bool here, const struct reported *a)
{
	int k = PROT_AGAINST;

	if (here && (!strcmp(name, "pin") || !strcmp(name, "against")))
		return PROT_IFPIN;
	if (here || !is_against(name))
		return find(ifp_protection_names, PROT_AGAINST, name);
	while (k < PROT_COUNT && a->column[k])
		k++;
	return k < PROT_COUNT ? k : -1;
}

/* It may be written to a terminal. */
static bool is_plain(const char *s)
{
	while (*s >= ' ' && *s <= '~')
		s++;
	return !*s;
}

static int read_results(
	json_object *o, const char *whose, bool here, struct reported *a, struct ifpin_error *err)
{
	json_object *results = member(o, "results", json_type_object);
	int n = 0;

	if (!results)
		return bad(err, whose, "no \"results\"", a->name);
	json_object_object_foreach(results, key, value)
	{
		int k = is_plain(key) ? find_protection(key, here, a) : -1;
		int outcome = find(ifp_outcome_names, OUT_COUNT, text(value, "outcome"));

		if (k < 0)
			return bad(err, whose, "an unknown protection", a->name);
		if (outcome < 0)
			return bad(err, whose, "no known \"outcome\"", a->name);
		a->column[k] = key;
		n++;
		a->outcome[k] = (enum outcome)outcome;
	}
	return n ? 0 : bad(err, whose, "no results", a->name);
}

static int read_attempts(
	json_object *list, const char *whose, struct report *r, struct ifpin_error *err)
{
	size_t n = json_object_array_length(list);

	if (n > MAX_ATTEMPTS)
		return bad(err, whose, "too many attempts", NULL);
	r->attempts = calloc(n ?: 1, sizeof(*r->attempts));
	if (!r->attempts)
		return ifp_fail(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		json_object *o = json_object_array_get_idx(list, i);
		struct reported *a = &r->attempts[i];
		int q;

		a->name = text(o, "name");
		a->class = text(o, "class");
		if (!a->name || !a->class)
			return bad(err, whose, "an attempt without \"name\" or \"class\"", NULL);
		for (size_t k = 0; k < i; k++)
			if (!strcmp(r->attempts[k].name, a->name))
				return bad(err, whose, "two attempts of one name", a->name);
		q = read_results(o, whose, r->here, a, err);
		if (q)
			return q;
		r->n++;
	}
	return n ? 0 : bad(err, whose, "no attempts", NULL);
}

static int read_mechanisms(
	json_object *list, const char *whose, struct report *r, struct ifpin_error *err)
{
	size_t n = json_object_array_length(list);

	r->mechanisms = calloc(n ?: 1, sizeof(*r->mechanisms));
	if (!r->mechanisms)
		return ifp_fail(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		json_object *o = json_object_array_get_idx(list, i);
		json_object *there = member(o, "there", json_type_boolean);
		const char *name = text(o, "name");

		if (!name || !there)
			return bad(err, whose, "a mechanism without \"name\" or \"there\"", NULL);
		r->mechanisms[r->n_mechanisms++] =
			(struct reported_mechanism){name, json_object_get_boolean(there)};
	}
	return 0;
}

static int check_version(json_object *root, const char *whose, struct ifpin_error *err)
{
	const char *format = text(root, "format");
	json_object *version = member(root, "version", json_type_int);

	if (!json_object_is_type(root, json_type_object))
		return bad(err, whose, "no JSON object", NULL);
	if (!format && member(root, "attempts", json_type_array))
		return ifp_fail(err, -EPROTONOSUPPORT,
			"%s is a report from before reports had a version: make it again with "
			"this ifpin",
			whose);
	if (!format || strcmp(format, REPORT_FORMAT) != 0)
		return bad(err, whose, "no \"format\": \"" REPORT_FORMAT "\"", NULL);
	if (!version)
		return bad(err, whose, "no \"version\"", NULL);
	if (json_object_get_int64(version) != REPORT_VERSION)
		return ifp_fail(err, -EPROTONOSUPPORT,
			"%s is a report of version %lld, and this ifpin reads version %d: make it "
			"again with this ifpin",
			whose, (long long)json_object_get_int64(version), REPORT_VERSION);
	return 0;
}

int ifp_report_read(
	json_object *root, const char *whose, struct report *ret, struct ifpin_error *err)
{
	_cleanup_(ifp_report_free) struct report r = {};
	json_object *attempts = member(root, "attempts", json_type_array);
	json_object *mechanisms = member(root, "mechanisms", json_type_array);
	json_object *battery = member(root, "battery", json_type_object);
	int q = check_version(root, whose, err);

	if (q)
		return q;
	r.here = member(root, "here", json_type_object);
	r.kernel = text(root, "kernel");
	r.date = text(root, "date");
	r.ifpin = text(member(root, "versions", json_type_object), "ifpin");
	r.sha256 = text(battery, "sha256");
	if (!r.kernel || !r.date || !r.ifpin || !r.sha256)
		return bad(err, whose,
			"\"kernel\", \"date\", \"versions\" or \"battery\" is missing or no text",
			NULL);
	if (!attempts || !mechanisms)
		return bad(err, whose, "no list of \"attempts\" or \"mechanisms\"", NULL);
	q = read_attempts(attempts, whose, &r, err) ?: read_mechanisms(mechanisms, whose, &r, err);
	if (q)
		return q;
	r.root = json_object_get(root);
	*ret = r;
	r = (struct report){};
	return 0;
}

int ifp_report_parse(const char *json, size_t len, const char *whose, struct report *ret,
	struct ifpin_error *err)
{
	json_tokener *tokener = json_tokener_new_ex(MAX_DEPTH);
	json_object *root = NULL;
	int r = 0;

	if (!tokener)
		return ifp_fail(err, -ENOMEM, "out of memory");
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	if (len > INT32_MAX)
		r = ifp_fail(err, -EBADMSG, "%s is too long for a report", whose);
	if (!r) {
		root = json_tokener_parse_ex(tokener, json, (int)len);
		if (json_tokener_get_error(tokener) != json_tokener_success)
			r = ifp_fail(err, -EBADMSG, "%s is not JSON: %s at byte %zu", whose,
				json_tokener_error_desc(json_tokener_get_error(tokener)),
				json_tokener_get_parse_end(tokener));
	}
	r = r ?: ifp_report_read(root, whose, ret, err);
	json_object_put(root);
	json_tokener_free(tokener);
	return r;
}

int ifp_report_load(const char *path, struct report *ret, struct ifpin_error *err)
{
	_cleanup_free_ char *json = NULL;
	int r = ifp_read_file(path, &json);

	/* The NUL at the end says that nothing follows, where the text ends in a number. */
	return r ? ifp_fail_errno(err, r, "cannot read %s", path)
		 : ifp_report_parse(json, strlen(json) + 1, path, ret, err);
}

void ifp_report_free(struct report *r)
{
	free(r->attempts);
	free(r->mechanisms);
	json_object_put(r->root);
	*r = (struct report){};
}
