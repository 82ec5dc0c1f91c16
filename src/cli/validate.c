// SPDX-License-Identifier: MIT
#include "cli.h"
#include "show.h"

#include <ifpin/config.h>

#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <sys/stat.h>

static const char help_text[] =
	"Usage: ifpin validate [--json] FILE|DIRECTORY...\n"
	"\n"
	"Read files of pins as ifpind does, and say everything that is wrong in them, with file and\n"
	"line. Nothing is applied. ifpin.conf(5) tells what may be in them.\n"
	"\n"
	"Options:\n"
	"  --json       write JSON\n"
	"  -h, --help   this text\n"
	"\n"
	"Exit status: 0 if ifpind would take all of them; 1 if one has errors; 125 if the arguments\n"
	"make no sense.\n";

/* Errors are told as they are found, or gathered. */
struct errors {
	unsigned int n;
	struct json_object *list; /* NULL: told */
};

static void say(void *ctx, const char *path, unsigned int line, const char *text)
{
	struct errors *e = ctx;

	e->n++;
	if (e->list) {
		struct json_object *o = json_object_new_object();

		show_string(o, "file", path);
		json_object_object_add(o, "line", line ? json_object_new_int64(line) : NULL);
		show_string(o, "error", text);
		json_object_array_add(e->list, o);
	} else if (line) {
		fprintf(stderr, "%s:%u: %s\n", path, line, text);
	} else {
		fprintf(stderr, "%s: %s\n", path, text);
	}
}

static void validate(const char *path, struct errors *e)
{
	struct ifpin_config_set *set = NULL;
	struct ifpin_config *config = NULL;
	struct stat st;

	if (stat(path, &st))
		say(e, path, 0, strerror(errno));
	else if (S_ISDIR(st.st_mode))
		ifpin_config_read_dir(path, say, e, &set);
	else
		ifpin_config_read(path, say, e, &config);
	ifpin_config_set_free(set);
	ifpin_config_free(config);
}

int cmd_validate(int argc, char **argv)
{
	struct errors e = {};
	bool json;
	int r = parse_json(argc, argv, "validate", help_text, &json);

	if (r >= 0)
		return r;
	if (optind == argc) {
		fputs("ifpin: validate: no file given\n", stderr);
		return usage_error("validate", 125);
	}
	if (json)
		e.list = json_object_new_array();
	for (int i = optind; i < argc; i++)
		validate(argv[i], &e);
	if (json) {
		struct json_object *top = json_object_new_object();

		show_bool(top, "valid", !e.n);
		json_object_object_add(top, "errors", e.list);
		show_pretty(top);
	}
	return e.n ? 1 : 0;
}
