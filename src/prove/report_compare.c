// SPDX-License-Identifier: MIT
/* What changed between two reports. Made for CI: what is worse is told first, and is a failure. */
#include "report.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

static const char *const kinds[CHANGE_KINDS] = {
	[CHANGE_LEAKS] = "new leak",
	[CHANGE_BROKEN] = "broken",
	[CHANGE_UNTRIED] = "no longer tried",
	[CHANGE_GONE] = "attempt gone",
	[CHANGE_LOST] = "mechanism lost",
	[CHANGE_HELD] = "held now",
	[CHANGE_OUTCOME] = "other outcome",
	[CHANGE_ADDED] = "new attempt",
	[CHANGE_FOUND] = "new mechanism",
	[CHANGE_KERNEL] = "kernel",
	[CHANGE_IFPIN] = "ifpin",
	[CHANGE_BATTERY] = "battery",
};

static bool is_regression(const struct change *c)
{
	return c->kind <= CHANGE_LOST;
}

static int add(struct changes *c, enum change_kind kind, const char *what, const char *protection,
	const char *was, const char *is)
{
	if (ifp_grow(&c->list, c->n, sizeof(*c->list)))
		return -ENOMEM;
	c->list[c->n++] = (struct change){kind, what, protection, was, is};
	return 0;
}

static const struct reported *find(const struct report *r, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (!strcmp(r->attempts[i].name, name))
			return &r->attempts[i];
	return NULL;
}

static bool is_ours(int k)
{
	return k == PROT_LIBIFPIN || k == PROT_IFPIN || k == PROT_FENCE;
}

/* The commands of --against may stand in another order. Return: the column of that name; -1. */
static int pair(const char *column, const struct reported *in)
{
	for (int k = 0; k < PROT_COUNT; k++)
		if (in->column[k] && !strcmp(column, in->column[k]))
			return k;
	return -1;
}

/* of: what the outcome without protection is now. */
static enum change_kind judge(int k, enum outcome was, enum outcome is, enum outcome of)
{
	if (is == OUT_BROKEN)
		return CHANGE_BROKEN;
	if (!is_ours(k))
		return CHANGE_OUTCOME;
	if (is == OUT_LEAKED || (is == OUT_NOT_HELD && was != OUT_LEAKED))
		return CHANGE_LEAKS;
	if (is == OUT_HELD)
		return CHANGE_HELD;
	/* What this kernel has no more, nobody can make leak. */
	if (was == OUT_HELD && of != OUT_UNAVAILABLE)
		return CHANGE_UNTRIED;
	return CHANGE_OUTCOME;
}

static int compare_attempt(const struct reported *was, const struct reported *is, struct changes *c)
{
	int r = 0;

	for (int k = 0; k < PROT_COUNT && !r; k++) {
		const char *name = was->column[k];
		int now = name ? pair(name, is) : -1;

		if (name && now < 0)
			r = add(c, is_ours(k) ? CHANGE_UNTRIED : CHANGE_OUTCOME, is->name, name,
				ifp_outcome_names[was->outcome[k]], NULL);
		else if (name && was->outcome[k] != is->outcome[now])
			r = add(c,
				judge(k, was->outcome[k], is->outcome[now], is->outcome[PROT_NONE]),
				is->name, name, ifp_outcome_names[was->outcome[k]],
				ifp_outcome_names[is->outcome[now]]);
	}
	return r;
}

static int compare_attempts(
	const struct report *old, const struct report *new, const char *only, struct changes *c)
{
	int r = 0;

	for (size_t i = 0; i < old->n && !r; i++) {
		const struct reported *was = &old->attempts[i], *is = find(new, was->name);

		if (is)
			r = compare_attempt(was, is, c);
		else if (!only || !strcmp(only, was->name) || !strcmp(only, was->class))
			r = add(c, CHANGE_GONE, was->name, NULL, NULL, NULL);
	}
	for (size_t i = 0; i < new->n && !r; i++)
		if (!find(old, new->attempts[i].name))
			r = add(c, CHANGE_ADDED, new->attempts[i].name, NULL, NULL, NULL);
	return r;
}

static bool has(const struct report *r, const char *mechanism)
{
	for (size_t i = 0; i < r->n_mechanisms; i++)
		if (r->mechanisms[i].there && !strcmp(r->mechanisms[i].name, mechanism))
			return true;
	return false;
}

/* Adds what one has and the other has not. */
static int compare_mechanisms(const struct report *one, const struct report *other,
	enum change_kind kind, struct changes *c)
{
	int r = 0;

	for (size_t i = 0; i < one->n_mechanisms && !r; i++)
		if (one->mechanisms[i].there && !has(other, one->mechanisms[i].name))
			r = add(c, kind, one->mechanisms[i].name, NULL, NULL, NULL);
	return r;
}

static int compare_texts(struct changes *c, enum change_kind kind, const char *was, const char *is)
{
	return strcmp(was, is) != 0 ? add(c, kind, NULL, NULL, was, is) : 0;
}

static int by_kind(const void *a, const void *b)
{
	const struct change *x = *(const struct change *const *)a;
	const struct change *y = *(const struct change *const *)b;

	return x->kind != y->kind ? (int)x->kind - (int)y->kind : x < y ? -1 : 1;
}

/* By kind, and in the order of the reports within one. */
static int sort(struct changes *c)
{
	_cleanup_free_ const struct change **order = calloc(c->n ?: 1, sizeof(*order));
	struct change *list = calloc(c->n ?: 1, sizeof(*list));

	if (!order || !list) {
		free(list);
		return -ENOMEM;
	}
	for (size_t i = 0; i < c->n; i++)
		order[i] = &c->list[i];
	qsort(order, c->n, sizeof(*order), by_kind);
	for (size_t i = 0; i < c->n; i++)
		list[i] = *order[i];
	free(c->list);
	c->list = list;
	return 0;
}

int ifp_report_compare(
	const struct report *old, const struct report *new, const char *only, struct changes *ret)
{
	_cleanup_(ifp_changes_free) struct changes c = {};
	int r = compare_attempts(old, new, only, &c) ?:
		compare_mechanisms(old, new, CHANGE_LOST, &c) ?:
		compare_mechanisms(new, old, CHANGE_FOUND, &c) ?:
		compare_texts(&c, CHANGE_KERNEL, old->kernel, new->kernel) ?:
		compare_texts(&c, CHANGE_IFPIN, old->ifpin, new->ifpin);

	/* A part of the battery has another checksum in any case. */
	if (!r && !only)
		r = compare_texts(&c, CHANGE_BATTERY, old->sha256, new->sha256);
	r = r ?: sort(&c);
	if (r)
		return r;
	*ret = c;
	c = (struct changes){};
	return 0;
}

unsigned int ifp_changes_regressions(const struct changes *c)
{
	unsigned int n = 0;

	for (size_t i = 0; i < c->n; i++)
		n += is_regression(&c->list[i]);
	return n;
}

void ifp_changes_text(
	const struct changes *c, const struct report *old, const char *path, FILE *out)
{
	unsigned int bad;

	fprintf(out, "\nSince %s (%s, Linux %s): ", path, old->date, old->kernel);
	if (!c->n) {
		fputs("nothing has changed\n", out);
		return;
	}
	bad = ifp_changes_regressions(c);
	fprintf(out, "%u regression%s, %zu other change%s\n", bad, bad == 1 ? "" : "s", c->n - bad,
		c->n - bad == 1 ? "" : "s");
	for (size_t i = 0; i < c->n; i++) {
		const struct change *x = &c->list[i];

		fprintf(out, "  %s%s: ", is_regression(x) ? "REGRESSION: " : "", kinds[x->kind]);
		if (x->what)
			fputs(x->what, out);
		if (x->protection)
			fprintf(out, ", %s", x->protection);
		if (x->was)
			fprintf(out, "%s%s, was %s", x->what ? ": " : "", x->is ?: "not made",
				x->was);
		fputc('\n', out);
	}
}

static void put(json_object *o, const char *key, const char *text)
{
	if (text)
		json_object_object_add(o, key, json_object_new_string(text));
}

json_object *ifp_changes_object(const struct changes *c, const struct report *old, const char *path)
{
	json_object *root = json_object_new_object(), *list = json_object_new_array();

	if (!root || !list) {
		json_object_put(root);
		json_object_put(list);
		return NULL;
	}
	json_object_object_add(root, "file", ifp_report_text(path));
	put(root, "date", old->date);
	put(root, "kernel", old->kernel);
	json_object_object_add(
		root, "regressions", json_object_new_int((int)ifp_changes_regressions(c)));
	for (size_t i = 0; i < c->n; i++) {
		const struct change *x = &c->list[i];
		json_object *o = json_object_new_object();

		put(o, "kind", kinds[x->kind]);
		json_object_object_add(o, "regression", json_object_new_boolean(is_regression(x)));
		put(o, x->kind == CHANGE_LOST || x->kind == CHANGE_FOUND ? "mechanism" : "attempt",
			x->what);
		put(o, "protection", x->protection);
		put(o, "was", x->was);
		put(o, "is", x->is);
		json_object_array_add(list, o);
	}
	json_object_object_add(root, "changes", list);
	return root;
}

void ifp_changes_free(struct changes *c)
{
	free(c->list);
	*c = (struct changes){};
}
