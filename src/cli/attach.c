// SPDX-License-Identifier: MIT
#include "cli.h"
#include "show.h"

#include <ifpin/confine.h>

#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	OPT_CGROUP = 256,
	OPT_UNIT,
	OPT_PID,
	OPT_NAME,
	OPT_EXISTING,
	OPT_LOOPBACK,
	OPT_DNS,
	OPT_REBIND,
	OPT_ABORT,
	OPT_JSON
};

static const struct option options[] = {
	{"cgroup", required_argument, NULL, OPT_CGROUP},
	{"unit", required_argument, NULL, OPT_UNIT},
	{"pid", required_argument, NULL, OPT_PID},
	{"name", required_argument, NULL, OPT_NAME},
	{"existing", required_argument, NULL, OPT_EXISTING},
	{"loopback", required_argument, NULL, OPT_LOOPBACK},
	{"dns", required_argument, NULL, OPT_DNS},
	{"rebind", required_argument, NULL, OPT_REBIND},
	{"abort", required_argument, NULL, OPT_ABORT},
	{"json", no_argument, NULL, OPT_JSON},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{},
};

static const char help_text[] =
	"Usage: ifpin attach [OPTIONS] DEVICE (--cgroup=PATH | --unit=NAME.service | --pid=PID)\n"
	"\n"
	"Confine a service that runs already, so that its traffic can only use DEVICE: a name, an\n"
	"alternative name, index:N or mac:AA:BB:CC:DD:EE:FF. It stays so until `ifpin detach`.\n"
	"\n"
	"Options:\n"
	"  --cgroup=PATH           the processes of this cgroup, and of those below it\n"
	"  --unit=NAME.service     those of a service of systemd\n"
	"  --pid=PID               this process and its descendants\n"
	"  --name=NAME             name of the confinement (that of the cgroup)\n"
	"  --existing=refuse|pin|kill\n"
	"                          sockets that do not conform: list them and change nothing; tie\n"
	"                          them to DEVICE; abort those that cannot be tied\n"
	"  --loopback=allow|deny   talk to 127.0.0.0/8, ::1 and the host's own addresses (allow)\n"
	"  --dns=guard|system      refuse resolvers on this host, which ask by other devices (guard)\n"
	"  --rebind=yes|no         when DEVICE comes back, tie sockets to it again (yes)\n"
	"  --abort=yes|no          when DEVICE comes back, abort its TCP connections (yes)\n"
	"  --json                  say what came of it, and what is not held, as JSON\n"
	"  -v, --verbose           say what is done about each socket\n"
	"  -h, --help              this text\n"
	"\n"
	"Exit status: 0 if it is confined, 125 if nothing has changed.\n";

struct args {
	struct ifpin_attach_opts opts;
	bool verbose, json;
	json_object *not_held, *notes, *steps; /* lines, with --json */
};

static int bad_value(const char *option, const char *allowed)
{
	fprintf(stderr, "ifpin: attach: --%s=%s: must be %s\n", option, optarg, allowed);
	return usage_error("attach", IFPIN_EXIT_SETUP);
}

/* One of two words, the first of which means true. */
static int parse_choice(const char *option, const char *yes, const char *no, bool *ret)
{
	char allowed[32];

	snprintf(allowed, sizeof(allowed), "%s or %s", yes, no);
	if (strcmp(optarg, yes) && strcmp(optarg, no))
		return bad_value(option, allowed);
	*ret = !strcmp(optarg, yes);
	return 0;
}

static int parse_existing(enum ifpin_existing *ret)
{
	if (!strcmp(optarg, "refuse"))
		*ret = IFPIN_EXISTING_REFUSE;
	else if (!strcmp(optarg, "pin"))
		*ret = IFPIN_EXISTING_PIN;
	else if (!strcmp(optarg, "kill"))
		*ret = IFPIN_EXISTING_KILL;
	else
		return bad_value("existing", "refuse, pin or kill");
	return 0;
}

static int parse_pid(pid_t *ret)
{
	char *end;
	long v = strtol(optarg, &end, 10);

	if (*optarg < '0' || *optarg > '9' || *end || v < 1 || v > INT32_MAX)
		return bad_value("pid", "the number of a process");
	*ret = (pid_t)v;
	return 0;
}

static int parse_option(struct args *a, int c)
{
	switch (c) {
	case OPT_CGROUP:
		a->opts.cgroup = optarg;
		return 0;
	case OPT_UNIT:
		a->opts.unit = optarg;
		return 0;
	case OPT_PID:
		return parse_pid(&a->opts.pid);
	case OPT_NAME:
		a->opts.name = optarg;
		return 0;
	case OPT_EXISTING:
		return parse_existing(&a->opts.existing);
	case OPT_LOOPBACK:
		return parse_choice("loopback", "allow", "deny", &a->opts.loopback);
	case OPT_DNS:
		return parse_choice("dns", "guard", "system", &a->opts.guard_resolvers);
	case OPT_REBIND:
		return parse_choice("rebind", "yes", "no", &a->opts.rebind);
	case OPT_ABORT:
		return parse_choice("abort", "yes", "no", &a->opts.abort);
	case OPT_JSON:
		a->json = true;
		return 0;
	case 'v':
		a->verbose = true;
		return 0;
	}
	return usage_error("attach", IFPIN_EXIT_SETUP);
}

static bool begins(const char *line, const char *word)
{
	return !strncmp(line, word, strlen(word));
}

/* What is not held is said in any case. */
static void say(void *ctx, const char *line)
{
	const struct args *a = ctx;
	json_object *list = begins(line, "not held") ? a->not_held
			    : begins(line, "note: ") ? a->notes
						     : a->steps;

	if (a->json)
		json_object_array_add(list, json_object_new_string(line));
	else if (a->verbose || list != a->steps)
		fprintf(stderr, "ifpin: %s\n", line);
}

static void print_json(struct args *a, const char *name, const struct ifpin_error *err)
{
	json_object *root = json_object_new_object();

	json_object_object_add(root, "attached", json_object_new_boolean(!err));
	json_object_object_add(root, "device", json_object_new_string(a->opts.device.name));
	json_object_object_add(root, "ifindex", json_object_new_int64(a->opts.device.ifindex));
	json_object_object_add(root, "name", err ? NULL : json_object_new_string(name));
	json_object_object_add(root, "error", err ? json_object_new_string(err->text) : NULL);
	json_object_object_add(root, "not_held", json_object_get(a->not_held));
	json_object_object_add(root, "notes", json_object_get(a->notes));
	json_object_object_add(root, "steps", json_object_get(a->steps));
	show_line(root);
}

static int attach(struct args *a, const char *device)
{
	char name[IFPIN_PIN_NAME_SIZE];
	struct ifpin_error err;
	int r = ifpin_device_resolve(device, &a->opts.device, &err);

	a->not_held = json_object_new_array();
	a->notes = json_object_new_array();
	a->steps = json_object_new_array();
	if (!r)
		r = ifpin_attach(&a->opts, name, &err);
	if (a->json)
		print_json(a, name, r ? &err : NULL);
	else if (r)
		fprintf(stderr, "ifpin: %s\n", err.text);
	json_object_put(a->not_held);
	json_object_put(a->notes);
	json_object_put(a->steps);
	return r ? IFPIN_EXIT_SETUP : 0;
}

int cmd_attach(int argc, char **argv)
{
	struct args a = {.opts = {
				 .size = sizeof(a.opts),
				 .loopback = true,
				 .guard_resolvers = true,
				 .rebind = true,
				 .abort = true,
				 .log = say,
				 .log_ctx = &a,
			 }};
	int c, r = 0;

	while ((c = getopt_long(argc, argv, "hv", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help_text, stdout);
			return 0;
		}
		r = parse_option(&a, c);
		if (r)
			return r;
	}
	if (optind != argc - 1) {
		fputs(optind == argc ? "ifpin: attach: no interface given\n"
				     : "ifpin: attach: too many arguments\n",
			stderr);
		return usage_error("attach", IFPIN_EXIT_SETUP);
	}
	return attach(&a, argv[optind]);
}
