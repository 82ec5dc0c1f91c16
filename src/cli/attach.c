// SPDX-License-Identifier: MIT
#include "cli.h"

#include <ifpin/confine.h>

#include <getopt.h>
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
	OPT_ABORT
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
	"  -v, --verbose           say what is done about each socket\n"
	"  -h, --help              this text\n"
	"\n"
	"Exit status: 0 if it is confined, 125 if nothing has changed.\n";

struct args {
	struct ifpin_attach_opts opts;
	bool verbose;
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
	case 'v':
		a->verbose = true;
		return 0;
	}
	return usage_error("attach", IFPIN_EXIT_SETUP);
}

/* What is not held is said in any case. */
static void say(void *ctx, const char *line)
{
	const struct args *a = ctx;

	if (a->verbose || !strncmp(line, "not held", 8) || !strncmp(line, "note: ", 6))
		fprintf(stderr, "ifpin: %s\n", line);
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
	struct ifpin_error err;
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
	r = ifpin_device_resolve(argv[optind], &a.opts.device, &err);
	if (!r)
		r = ifpin_attach(&a.opts, NULL, &err);
	if (r)
		fprintf(stderr, "ifpin: %s\n", err.text);
	return r ? IFPIN_EXIT_SETUP : 0;
}

int cmd_detach(int argc, char **argv)
{
	struct ifpin_error err;
	int r = 0;

	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		puts("Usage: ifpin detach NAME...\n\nEnd confinements that were made by `ifpin attach`: "
		     "their processes may use any device again.\nSockets that were tied stay tied.");
		return 0;
	}
	if (argc < 2 || argv[1][0] == '-') {
		fputs("ifpin: detach: the name of a confinement is wanted (see ifpin list)\n",
			stderr);
		return usage_error("detach", IFPIN_EXIT_SETUP);
	}
	for (int i = 1; i < argc; i++)
		if (ifpin_detach(argv[i], &err)) {
			fprintf(stderr, "ifpin: %s\n", err.text);
			r = IFPIN_EXIT_SETUP;
		}
	return r;
}
