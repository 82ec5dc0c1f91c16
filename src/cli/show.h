/* SPDX-License-Identifier: MIT */
/* How the commands that look at confinements show them, as text and as JSON. */
#pragma once

#include <ifpin/confine.h>

#include <json-c/json.h>
#include <stdio.h>

/**
 * struct show_table - columns as wide as need be
 * @columns: how many
 * @cells: of the rows, one after the other, the heading first
 */
struct show_table {
	size_t columns, n, room;
	char **cells;
};

/* Return: 0; -ENOMEM. */
int show_cell(struct show_table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void show_table(const struct show_table *t, FILE *out);
void show_table_free(struct show_table *t);

/* An empty string is null. */
void show_string(struct json_object *o, const char *key, const char *s);
void show_number(struct json_object *o, const char *key, uint64_t v);
void show_bool(struct json_object *o, const char *key, bool v);
void show_pretty(struct json_object *o); /* on standard output, and releases it */
void show_line(struct json_object *o);	 /* the same in one line */

/* Others choose these names: what would move the cursor becomes a '?'. Return: ret.
 */
const char *show_clean(const char *s, char *ret, size_t size);
const char *show_name(const char *name, char ret[64]);

/* The address on the link, "02:00:00:00:00:01"; empty: it has none. Return: ret. */
const char *show_mac(const struct ifpin_device *d, char ret[3 * IFPIN_MAC_SIZE + 1]);

/* Seconds since 1970 in the local time zone, by strftime(3). Return: ret. */
const char *show_time(int64_t time, const char *fmt, char ret[32]);

/* On standard error, with what to do about missing privileges. */
void show_error(const struct ifpin_error *err);

/* Those that were attached, and commands that run. Return: 0; -errno. */
int show_pins(struct ifpin_pin_info **ret, size_t *ret_n, struct ifpin_error *err);

/* What both `list` and `status` tell of a confinement. */
struct json_object *show_pin(const struct ifpin_pin_info *pin);
