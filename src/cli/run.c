// SPDX-License-Identifier: MIT
#include "cli.h"

#include <ifpin/confine.h>
#ifdef HAVE_DAEMON
#include <ifpin/control.h>
#endif

#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <unistd.h>

enum {
	OPT_LOOPBACK = 256,
	OPT_USER,
	OPT_DNS,
	OPT_INHERIT,
	OPT_ISOLATE,
	OPT_KEEP_CAP,
	OPT_ALLOW_FAMILY,
	OPT_NAME,
	OPT_CONTROL,
	OPT_JSON
};

static const struct option options[] = {
	{"loopback", required_argument, NULL, OPT_LOOPBACK},
	{"user", required_argument, NULL, OPT_USER},
	{"dns", required_argument, NULL, OPT_DNS},
	{"inherit", required_argument, NULL, OPT_INHERIT},
	{"isolate", no_argument, NULL, OPT_ISOLATE},
	{"keep-cap", required_argument, NULL, OPT_KEEP_CAP},
	{"allow-family", required_argument, NULL, OPT_ALLOW_FAMILY},
	{"name", required_argument, NULL, OPT_NAME},
#ifdef HAVE_DAEMON
	{"control", required_argument, NULL, OPT_CONTROL},
#endif
	{"json", no_argument, NULL, OPT_JSON},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{},
};

static const char help_text[] =
	"Usage: ifpin run [OPTIONS] DEVICE [--] COMMAND [ARG...]\n"
#ifdef HAVE_DAEMON
	"       ifpin run [OPTIONS] PIN [--] COMMAND [ARG...]   (without privileges)\n"
#endif
	"\n"
	"Run COMMAND, and everything it starts, so that its traffic can only use DEVICE: a name,\n"
	"an alternative name, index:N or mac:AA:BB:CC:DD:EE:FF.\n"
	"\n"
	"Options:\n"
	"  --loopback=allow|deny   talk to 127.0.0.0/8, ::1 and the host's own addresses (allow)\n"
	"  --user=NAME[:GROUP]     run COMMAND as this user, with its supplementary groups\n"
	"  --dns=auto|system|ADDR[,ADDR...]\n"
	"                          name servers: those known for DEVICE; as the host is; these\n"
	"  --inherit=refuse|close|pin\n"
	"                          sockets that are already open: do not start; close; tie to DEVICE\n"
	"  --isolate               for hostile programs: own PID and IPC namespaces, no buses,\n"
	"                          agents and container engines\n"
	"  --keep-cap=CAP[,CAP...] do not drop these capabilities (says what that gives up)\n"
	"  --allow-family=FAMILY[,FAMILY...]\n"
	"                          also allow these address families, for instance vsock\n"
	"  --name=NAME             name of the confinement (the process id)\n"
#ifdef HAVE_DAEMON
	"  --control=SOCKET        of ifpind, which lets users without privileges into a PIN of its\n"
	"                          configuration (/run/ifpin/control.sock)\n"
#endif
	"  --json                  at the end, write a summary with all denials to stderr\n"
	"  -v, --verbose           say each step and which kernel mechanism holds what\n"
	"  -h, --help              this text\n"
	"  -V, --version           the version\n"
	"\n"
	"Exit status: COMMAND's, 128+N if signal N ended it, 125 if nothing was run,\n"
	"126 if COMMAND cannot be executed, 127 if it is not found.\n";

struct args {
	struct ifpin_confine_opts opts;
	bool json, verbose;
	const char *control, *widening; /* the last option that ifpind does not grant */
};

static int bad_value(const char *option, const char *value, const char *allowed)
{
	fprintf(stderr, "ifpin: --%s=%s: must be %s\n", option, value, allowed);
	return usage_error("run", IFPIN_EXIT_SETUP);
}

/* A comma separated list, each word turned into the number of a bit. */
static int parse_bits(const char *option, char *list, int (*number)(const char *), uint64_t *ret)
{
	char *word, *save = NULL;

	for (word = strtok_r(list, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		int n = number(word);

		if (n < 0 || n > 63) {
			fprintf(stderr,
				"ifpin: --%s: \"%s\" is unknown, or cannot be given (see ifpin(8))\n",
				option, word);
			return usage_error("run", IFPIN_EXIT_SETUP);
		}
		*ret |= 1ULL << n;
	}
	return 0;
}

/* What would give a command more than the pin of an administrator does. */
static const char *widens(int c)
{
	switch (c) {
	case OPT_USER:
		return "--user";
	case OPT_DNS:
		return "--dns";
	case OPT_ISOLATE:
		return "--isolate";
	case OPT_KEEP_CAP:
		return "--keep-cap";
	case OPT_ALLOW_FAMILY:
		return "--allow-family";
	case OPT_NAME:
		return "--name";
	case OPT_JSON:
		return "--json";
	}
	return NULL;
}

static int parse_option(struct args *a, int c)
{
	a->widening = widens(c) ?: a->widening;
	switch (c) {
	case OPT_CONTROL:
		a->control = optarg;
		return 0;
	case OPT_LOOPBACK:
		if (strcmp(optarg, "allow") && strcmp(optarg, "deny"))
			return bad_value("loopback", optarg, "allow or deny");
		a->opts.loopback = !strcmp(optarg, "allow");
		return 0;
	case OPT_USER:
		a->opts.user = optarg;
		return 0;
	case OPT_DNS:
		a->opts.dns = !strcmp(optarg, "auto")	  ? IFPIN_DNS_AUTO
			      : !strcmp(optarg, "system") ? IFPIN_DNS_SYSTEM
							  : IFPIN_DNS_LIST;
		a->opts.dns_servers = optarg;
		return 0;
	case OPT_INHERIT:
		if (!strcmp(optarg, "refuse"))
			a->opts.inherit = IFPIN_INHERIT_REFUSE;
		else if (!strcmp(optarg, "close"))
			a->opts.inherit = IFPIN_INHERIT_CLOSE;
		else if (!strcmp(optarg, "pin"))
			a->opts.inherit = IFPIN_INHERIT_PIN;
		else
			return bad_value("inherit", optarg, "refuse, close or pin");
		return 0;
	case OPT_ISOLATE:
		a->opts.isolate = true;
		return 0;
	case OPT_KEEP_CAP:
		return parse_bits("keep-cap", optarg, ifpin_cap_bit, &a->opts.keep_caps);
	case OPT_ALLOW_FAMILY:
		return parse_bits(
			"allow-family", optarg, ifpin_family_number, &a->opts.allow_families);
	case OPT_NAME:
		a->opts.name = optarg;
		return 0;
	case OPT_JSON:
		a->json = true;
		return 0;
	case 'v':
		a->verbose = true;
		return 0;
	}
	return usage_error("run", IFPIN_EXIT_SETUP);
}

static void say(void *ctx, const char *line)
{
	(void)ctx;
	fprintf(stderr, "ifpin: %s\n", line);
}

static void print_json(const struct args *a, const struct ifpin_summary *sum)
{
	json_object *root = json_object_new_object(), *denials = json_object_new_object();

	json_object_object_add(root, "device", json_object_new_string(a->opts.device.name));
	json_object_object_add(root, "ifindex", json_object_new_int64(a->opts.device.ifindex));
	json_object_object_add(root, "started", json_object_new_boolean(sum->started));
	json_object_object_add(root, "exit_status", json_object_new_int(sum->exit_status));
	for (size_t i = 0; i < sum->n_denials; i++)
		json_object_object_add(denials, sum->denials[i].reason,
			json_object_new_int64((int64_t)sum->denials[i].count));
	json_object_object_add(root, "denials", denials);
	fprintf(stderr, "%s\n",
		json_object_to_json_string_ext(
			root, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(root);
}

static void print_denials(const struct ifpin_summary *sum)
{
	for (size_t i = 0; i < sum->n_denials; i++)
		if (sum->denials[i].count)
			fprintf(stderr, "ifpin: denied: %s (%s): %llu\n", sum->denials[i].text,
				sum->denials[i].reason, (unsigned long long)sum->denials[i].count);
}

static void warn_kept(const struct ifpin_confine_opts *o)
{
	for (int cap = 0; cap < 64; cap++) {
		const char *risk = o->keep_caps >> cap & 1 ? ifpin_cap_risk(cap) : NULL;
		char *name = risk ? cap_to_name(cap) : NULL;

		if (risk)
			fprintf(stderr, "ifpin: --keep-cap=%s: a hostile command could %s\n",
				name ?: "?", risk);
		cap_free(name);
	}
}

static int run(struct args *a)
{
	struct ifpin_summary sum;
	struct ifpin_error err;
	int r;

	warn_kept(&a->opts);
	a->opts.log = a->verbose ? say : NULL;
	r = ifpin_confine_run(&a->opts, &sum, &err);
	if (r)
		fprintf(stderr, "ifpin: %s\n", err.text);
	if (sum.left_behind)
		fprintf(stderr,
			"ifpin: the cgroup is left behind: %s; `ifpin gc` removes it later\n",
			strerror(-sum.left_behind));
	if (a->verbose)
		print_denials(&sum);
	if (a->json)
		print_json(a, &sum);
	return sum.exit_status;
}

#ifdef HAVE_DAEMON
/* Only what narrows can be asked for; all else is the administrator's to decide. */
static int check_narrow(const struct args *a)
{
	const char *option = a->opts.inherit == IFPIN_INHERIT_PIN ? "--inherit=pin" : a->widening;

	if (!option)
		return 0;
	fprintf(stderr,
		"ifpin: %s needs privileges: a pin of ifpind can be narrowed by --loopback=deny only "
		"(or run it with sudo)\n",
		option);
	return usage_error("run", IFPIN_EXIT_SETUP);
}

static int exec_failed(const char *command)
{
	int e = errno;

	fprintf(stderr, "ifpin: cannot run \"%s\": %s\n", command, strerror(e));
	return e == ENOENT ? IFPIN_EXIT_NOENT : IFPIN_EXIT_NOEXEC;
}

/* Without privileges: ifpind moves this process into a pin, and it becomes the command. */
static int run_in_pin(struct args *a, const char *pin, const char *why_not_alone)
{
	struct ifpin_enter_opts enter = {
		.size = sizeof(enter), .inherit = a->opts.inherit, .log = a->verbose ? say : NULL};
	struct ifpin_control_reply reply;
	struct ifpin_error err;
	int r;

	if (!a->control && access(IFPIN_CONTROL_PATH, F_OK)) {
		fprintf(stderr, "ifpin: %s\n", why_not_alone);
		return IFPIN_EXIT_SETUP;
	}
	r = check_narrow(a);
	if (r)
		return r;
	r = ifpin_enter_check(&enter, &err);
	if (!r) {
		r = ifpin_control_enter(a->control ?: IFPIN_CONTROL_PATH, pin,
			a->opts.loopback ? 0 : IFPIN_CONTROL_NO_LOOPBACK, &reply, &err);
		if (r && !a->control)
			fprintf(stderr, "ifpin: %s\n", why_not_alone);
	}
	if (!r) {
		enter.ifindex = reply.ifindex;
		r = ifpin_enter(&enter, &err);
	}
	if (r) {
		fprintf(stderr, "ifpin: %s\n", err.text);
		return IFPIN_EXIT_SETUP;
	}
	if (a->verbose)
		fprintf(stderr, "ifpin: in the pin \"%s\" of ifpind: only %s (ifindex %u)\n", pin,
			reply.device, reply.ifindex);
	execvp(a->opts.argv[0], a->opts.argv);
	return exec_failed(a->opts.argv[0]);
}
#endif

int cmd_run(int argc, char **argv)
{
	struct args a = {.opts = {.size = sizeof(a.opts), .loopback = true}};
	struct ifpin_error err;
	const char *target;
	int c, r;

	while ((c = getopt_long(argc, argv, "+hvV", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help_text, stdout);
			return 0;
		}
		if (c == 'V') {
			puts("ifpin " IFPIN_VERSION);
			return 0;
		}
		r = parse_option(&a, c);
		if (r)
			return r;
	}
	if (optind == argc) {
		fputs("ifpin: no interface given\n", stderr);
		return usage_error("run", IFPIN_EXIT_SETUP);
	}
	target = argv[optind++];
	if (optind < argc && !strcmp(argv[optind], "--"))
		optind++;
	if (optind == argc) {
		fputs("ifpin: no command given\n", stderr);
		return usage_error("run", IFPIN_EXIT_SETUP);
	}
	a.opts.argv = argv + optind;
#ifdef HAVE_DAEMON
	if (a.control || ifpin_confine_privileged(&err))
		return run_in_pin(&a, target, err.text);
#endif
	r = ifpin_device_resolve(target, &a.opts.device, &err);
	if (r) {
		fprintf(stderr, "ifpin: %s\n", err.text);
		return IFPIN_EXIT_SETUP;
	}
	return run(&a);
}
