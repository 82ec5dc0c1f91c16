// SPDX-License-Identifier: MIT
#include "cli.h"
#include "show.h"

#include <getopt.h>

static const char help_text[] =
	"Usage: ifpin detach [--json] NAME...\n"
	"\n"
	"End confinements that were made by `ifpin attach`: their processes may use any device again.\n"
	"Sockets that were tied stay tied.\n"
	"\n"
	"Options:\n"
	"  --json      say of each what came of it, as JSON\n"
	"  -h, --help  this text\n"
	"\n"
	"Exit status: 0; 125 if one of them could not be ended.\n";

static struct json_object *outcome(const char *name, const struct ifpin_error *err)
{
	struct json_object *o = json_object_new_object();

	show_string(o, "name", name);
	show_bool(o, "detached", !err);
	show_string(o, "error", err ? err->text : "");
	return o;
}

static int detach(char **names, int n, bool json)
{
	struct json_object *top = json_object_new_object(), *list = json_object_new_array();
	struct ifpin_error err;
	int failed = 0;

	for (int i = 0; i < n; i++) {
		int r = ifpin_detach(names[i], &err);

		failed |= r;
		json_object_array_add(list, outcome(names[i], r ? &err : NULL));
		if (r && !json)
			show_error(&err);
	}
	json_object_object_add(top, "confinements", list);
	if (json)
		show_pretty(top);
	else
		json_object_put(top);
	return failed ? 125 : 0;
}

int cmd_detach(int argc, char **argv)
{
	bool json;
	int r = parse_json(argc, argv, "detach", help_text, &json);

	if (r >= 0)
		return r;
	if (optind == argc) {
		fputs("ifpin: detach: the name of a confinement is wanted (see ifpin list)\n",
			stderr);
		return usage_error("detach", 125);
	}
	return detach(argv + optind, argc - optind, json);
}
