// SPDX-License-Identifier: MIT
#include "cli.h"
#include "show.h"

#include <getopt.h>

static const char help_text[] =
	"Usage: ifpin gc [--json]\n"
	"\n"
	"Remove attached confinements whose cgroup is gone, the cgroups of commands whose ifpin was\n"
	"killed and whose processes have ended, and what a killed `ifpin watch` has left.\n"
	"\n"
	"Options:\n"
	"  --json      write JSON\n"
	"  -h, --help  this text\n"
	"\n"
	"Exit status: 0; 125 on failure.\n";

int cmd_gc(int argc, char **argv)
{
	struct ifpin_error err;
	unsigned int n;
	bool json;
	int r = parse_json(argc, argv, "gc", help_text, &json);

	if (r >= 0)
		return r;
	if (optind < argc) {
		fprintf(stderr, "ifpin: gc: unexpected argument \"%s\"\n", argv[optind]);
		return usage_error("gc", 125);
	}
	if (ifpin_confine_gc(&n, &err)) {
		show_error(&err);
		return 125;
	}
	if (json) {
		struct json_object *top = json_object_new_object();

		show_number(top, "removed", n);
		show_pretty(top);
	} else {
		printf("removed %u\n", n);
	}
	return 0;
}
