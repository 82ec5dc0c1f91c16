// SPDX-License-Identifier: MIT
#include "show.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- tables ---- */

int show_cell(struct show_table *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (t->n == t->room) {
		size_t room = t->room ? 2 * t->room : 64;
		void *bigger = reallocarray(t->cells, room, sizeof(*t->cells));

		if (!bigger)
			return -ENOMEM;
		t->cells = bigger;
		t->room = room;
	}
	va_start(ap, fmt);
	n = vasprintf(&t->cells[t->n], fmt, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	t->n++;
	return 0;
}

static int width(const struct show_table *t, size_t column)
{
	size_t most = 0;

	for (size_t i = column; i < t->n; i += t->columns)
		if (strlen(t->cells[i]) > most)
			most = strlen(t->cells[i]);
	return (int)most;
}

void show_table(const struct show_table *t, FILE *out)
{
	int widths[16] = {};

	for (size_t c = 0; c + 1 < t->columns && c < 16; c++)
		widths[c] = width(t, c);
	for (size_t i = 0; i < t->n; i++) {
		size_t c = i % t->columns;

		if (c + 1 == t->columns)
			fprintf(out, "%s\n", t->cells[i]);
		else
			fprintf(out, "%-*s  ", widths[c], t->cells[i]);
	}
}

void show_table_free(struct show_table *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct show_table){};
}

/* ---- JSON ---- */

void show_string(struct json_object *o, const char *key, const char *s)
{
	json_object_object_add(o, key, *s ? json_object_new_string(s) : NULL);
}

void show_number(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

void show_bool(struct json_object *o, const char *key, bool v)
{
	json_object_object_add(o, key, json_object_new_boolean(v));
}

void show_pretty(struct json_object *o)
{
	puts(json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

void show_line(struct json_object *o)
{
	puts(json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

/* ---- words ---- */

const char *show_clean(const char *s, char *ret, size_t size)
{
	size_t n = 0;

	for (; *s && n + 1 < size; s++)
		ret[n++] = (unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s;
	ret[n] = 0;
	return ret;
}

const char *show_name(const char *name, char ret[64])
{
	return show_clean(name, ret, 64);
}

const char *show_mac(const struct ifpin_device *d, char ret[3 * IFPIN_MAC_SIZE + 1])
{
	*ret = 0;
	for (int i = 0; i < d->mac_len && i < IFPIN_MAC_SIZE; i++)
		sprintf(ret + (i ? 3 * i - 1 : 0), "%s%02x", i ? ":" : "", d->mac[i]);
	return ret;
}

const char *show_time(int64_t time, const char *fmt, char ret[32])
{
	time_t t = (time_t)time;
	struct tm tm;

	if (!localtime_r(&t, &tm) || !strftime(ret, 32, fmt, &tm))
		*ret = 0;
	return ret;
}

void show_error(const struct ifpin_error *err)
{
	fprintf(stderr, "ifpin: %s%s\n", err->text,
		(err->code == -EPERM || err->code == -EACCES) && geteuid() ? " (run it with sudo)"
									   : "");
}

/* ---- a confinement ---- */

static struct json_object *device(const struct ifpin_device *d)
{
	struct json_object *o = json_object_new_object();
	char mac[3 * IFPIN_MAC_SIZE + 1];

	show_string(o, "name", d->name);
	show_number(o, "ifindex", d->ifindex);
	show_string(o, "mac", show_mac(d, mac));
	show_string(o, "kind", d->kind);
	return o;
}

struct json_object *show_pin(const struct ifpin_pin_info *pin)
{
	struct json_object *o = json_object_new_object(), *options;

	show_string(o, "name", pin->name);
	json_object_object_add(o, "device", device(&pin->device));
	show_string(o, "state", ifpin_pin_state_name(pin->state));
	show_bool(o, "attached", pin->attached);
	show_string(o, "cgroup", pin->cgroup);
	show_number(o, "processes", pin->processes);
	json_object_object_add(o, "since", pin->since ? json_object_new_int64(pin->since) : NULL);
	options = json_object_new_object();
	show_bool(options, "loopback", pin->loopback);
	show_bool(options, "guard_resolvers", pin->guard_resolvers);
	show_bool(options, "rebind", pin->rebind);
	show_bool(options, "abort", pin->abort);
	json_object_object_add(o, "options", options);
	return o;
}

static int by_name(const void *a, const void *b)
{
	const struct ifpin_pin_info *x = a, *y = b;

	return strcmp(x->name, y->name);
}

int show_pins(struct ifpin_pin_info **ret, size_t *ret_n, struct ifpin_error *err)
{
	struct ifpin_pin_info *pins = NULL, *runs = NULL, *all;
	size_t n_pins, n_runs = 0;
	int r = ifpin_pins(&pins, &n_pins, err);

	if (!r)
		r = ifpin_runs(&runs, &n_runs, err);
	if (r) {
		free(pins);
		return r;
	}
	all = reallocarray(pins, n_pins + n_runs + 1, sizeof(*all));
	if (!all) {
		free(pins);
		free(runs);
		err->code = -ENOMEM;
		strcpy(err->text, "out of memory");
		return -ENOMEM;
	}
	if (n_runs)
		memcpy(all + n_pins, runs, n_runs * sizeof(*all));
	free(runs);
	qsort(all, n_pins + n_runs, sizeof(*all), by_name);
	*ret = all;
	*ret_n = n_pins + n_runs;
	return 0;
}
