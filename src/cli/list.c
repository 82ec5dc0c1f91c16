// SPDX-License-Identifier: MIT
#include "cli.h"
#include "show.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char help_text[] =
	"Usage: ifpin list [--json]\n"
	"\n"
	"List all confinements that are in force, one a line.\n"
	"\n"
	"Options:\n"
	"  --json      write JSON\n"
	"  -h, --help  this text\n"
	"\n"
	"States: held, device-gone, replaced, cgroup-gone, other-netns, broken; ifpin-list(8) tells what\n"
	"they mean. Exit status: 0; 125 if they could not be listed.\n";

/* What differs from what `ifpin attach` does by itself. */
static void differences(const struct ifpin_pin_info *pin, char ret[80])
{
	const struct {
		bool differs;
		const char *text;
	} all[] = {
		{!pin->attached, "run"},
		{!pin->loopback, "loopback=deny"},
		{pin->attached && !pin->guard_resolvers, "dns=system"},
		{pin->attached && !pin->rebind, "rebind=no"},
		{pin->attached && !pin->abort, "abort=no"},
	};
	size_t n = 0;

	strcpy(ret, "-");
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i].differs)
			n += (size_t)snprintf(ret + n, 80 - n, "%s%s", n ? "," : "", all[i].text);
}

static int add_row(struct show_table *t, const struct ifpin_pin_info *pin)
{
	char name[64], options_text[80], since[32] = "-", cgroup[IFPIN_CGROUP_PATH_SIZE];

	if (pin->state == IFPIN_PIN_BROKEN && !*pin->cgroup)
		strcpy(options_text, "-");
	else
		differences(pin, options_text);
	if (pin->since)
		show_time(pin->since, "%F %H:%M", since);
	return show_cell(t, "%s", pin->name)
		       ?: show_cell(t, "%s",
				  *pin->device.name ? show_name(pin->device.name, name) : "-")
		       ?: show_cell(t, "%s", ifpin_pin_state_name(pin->state))
		       ?: show_cell(t, "%u", pin->processes) ?: show_cell(t, "%s", since)
		       ?: show_cell(t, "%s", options_text)
		       ?: show_cell(t, "%s",
				  *pin->cgroup ? show_clean(pin->cgroup, cgroup, sizeof(cgroup))
					       : "-");
}

static int write_table(const struct ifpin_pin_info *pins, size_t n)
{
	static const char *const heading[] = {
		"NAME", "DEVICE", "STATE", "PROCESSES", "SINCE", "OPTIONS", "CGROUP"};
	struct show_table t = {.columns = sizeof(heading) / sizeof(heading[0])};
	int r = 0;

	for (size_t i = 0; i < t.columns && !r; i++)
		r = show_cell(&t, "%s", heading[i]);
	for (size_t i = 0; i < n && !r; i++)
		r = add_row(&t, &pins[i]);
	if (r)
		fputs("ifpin: out of memory\n", stderr);
	else
		show_table(&t, stdout);
	show_table_free(&t);
	return r ? 125 : 0;
}

static int write_json(const struct ifpin_pin_info *pins, size_t n)
{
	struct json_object *top = json_object_new_object(), *list = json_object_new_array();

	for (size_t i = 0; i < n; i++)
		json_object_array_add(list, show_pin(&pins[i]));
	json_object_object_add(top, "confinements", list);
	show_pretty(top);
	return 0;
}

int cmd_list(int argc, char **argv)
{
	struct ifpin_pin_info *pins;
	struct ifpin_error err;
	bool json;
	size_t n;
	int r = parse_json(argc, argv, "list", help_text, &json);

	if (r >= 0)
		return r;
	if (optind < argc) {
		fprintf(stderr, "ifpin: list: unexpected argument \"%s\"\n", argv[optind]);
		return usage_error("list", 125);
	}
	r = show_pins(&pins, &n, &err);
	if (r) {
		show_error(&err);
		return 125;
	}
	r = json ? write_json(pins, n) : write_table(pins, n);
	free(pins);
	return r;
}
