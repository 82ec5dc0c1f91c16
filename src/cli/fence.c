// SPDX-License-Identifier: MIT
#include "cli.h"
#include "show.h"

#include <ifpin/fence.h>

#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { OPT_PREFIX = 256, OPT_ETHERTYPE, OPT_NAME, OPT_NAT, OPT_DRY_RUN, OPT_FOLLOW, OPT_JSON };

static const struct option options[] = {
	{"prefix", required_argument, NULL, OPT_PREFIX},
	{"ethertype", required_argument, NULL, OPT_ETHERTYPE},
	{"name", required_argument, NULL, OPT_NAME},
	{"nat", required_argument, NULL, OPT_NAT},
	{"dry-run", no_argument, NULL, OPT_DRY_RUN},
	{"follow", no_argument, NULL, OPT_FOLLOW},
	{"json", no_argument, NULL, OPT_JSON},
	{"help", no_argument, NULL, 'h'},
	{},
};

static const char help_text[] =
	"Usage: ifpin fence apply DEVICE --prefix=NETWORK... [OPTIONS]\n"
	"       ifpin fence show | check | remove [--name=NAME]\n"
	"\n"
	"Keep the traffic of some networks on one interface, whoever sends it: what has a fenced source\n"
	"or destination leaves by DEVICE only, and what arrives elsewhere and has one is dropped.\n"
	"\n"
	"Options of apply:\n"
	"  --prefix=NETWORK     10.0.1.0/24 or fd01::/64; may be given often\n"
	"  --ethertype=NUMBER   also fence a protocol below IP, 0x88b5; may be given often\n"
	"  --name=NAME          name of the fence; default: that of DEVICE\n"
	"  --nat=auto|on|off    also look at addresses as they were before they were translated\n"
	"                       (auto: if the host translates any; turns connection tracking on)\n"
	"  --dry-run            write the rules to standard output and change nothing\n"
	"  --follow             stay, and cover interfaces as they come\n"
	"\n"
	"Options of the others:\n"
	"  --name=NAME          this fence; show and check: default all; remove: if there is but one\n"
	"  --json               show and check: as JSON\n"
	"  -h, --help           this text\n"
	"\n"
	"Exit status: 0; 1 if check found a fence that does not hold as it was applied; 125 for errors.\n"
	"See ifpin-fence(8).\n";

struct args {
	struct ifpin_fence_opts opts;
	struct ifpin_prefix *prefixes;
	size_t room;
	uint16_t ethertypes[IFPIN_FENCE_MAX_ETHERTYPES];
	bool dry_run, follow, json;
};

static int failed(const struct ifpin_error *err)
{
	fprintf(stderr, "ifpin: %s\n", err->text);
	return 125;
}

/* ---- options ---- */

static int add_prefix(struct args *a, const char *text)
{
	struct ifpin_error err;

	if (a->opts.n_prefixes == a->room) {
		size_t room = a->room ? a->room * 2 : 16;
		struct ifpin_prefix *bigger = reallocarray(a->prefixes, room, sizeof(*bigger));

		if (!bigger) {
			fputs("ifpin: fence: no memory\n", stderr);
			return 125;
		}
		a->prefixes = bigger;
		a->room = room;
	}
	if (ifpin_prefix_parse(text, &a->prefixes[a->opts.n_prefixes], &err)) {
		fprintf(stderr, "ifpin: fence: --prefix: %s\n", err.text);
		return usage_error("fence", 125);
	}
	a->opts.n_prefixes++;
	return 0;
}

static int add_ethertype(struct args *a, const char *text)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 0);
	if (*text < '0' || *text > '9' || *end || errno || n < 0x600 || n > 0xffff) {
		fprintf(stderr,
			"ifpin: fence: --ethertype: a number from 0x0600 to 0xffff, not \"%s\"\n",
			text);
		return usage_error("fence", 125);
	}
	if (a->opts.n_ethertypes == IFPIN_FENCE_MAX_ETHERTYPES) {
		fprintf(stderr, "ifpin: fence: more than %d --ethertype\n",
			IFPIN_FENCE_MAX_ETHERTYPES);
		return 125;
	}
	a->ethertypes[a->opts.n_ethertypes++] = (uint16_t)n;
	return 0;
}

static int set_nat(struct args *a, const char *text)
{
	static const char *const words[] = {"auto", "on", "off"};

	for (size_t i = 0; i < 3; i++)
		if (!strcmp(text, words[i])) {
			a->opts.nat = (enum ifpin_fence_nat)i;
			return 0;
		}
	fprintf(stderr, "ifpin: fence: --nat must be auto, on or off, not \"%s\"\n", text);
	return usage_error("fence", 125);
}

/* Return: 0; an exit code; -1: help was given. */
static int parse(int argc, char **argv, struct args *a)
{
	int c, r = 0;

	while (!r && (c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case OPT_PREFIX:
			r = add_prefix(a, optarg);
			break;
		case OPT_ETHERTYPE:
			r = add_ethertype(a, optarg);
			break;
		case OPT_NAME:
			a->opts.name = optarg;
			break;
		case OPT_NAT:
			r = set_nat(a, optarg);
			break;
		case OPT_DRY_RUN:
			a->dry_run = true;
			break;
		case OPT_FOLLOW:
			a->follow = true;
			break;
		case OPT_JSON:
			a->json = true;
			break;
		case 'h':
			fputs(help_text, stdout);
			return -1;
		default:
			return usage_error("fence", 125);
		}
	}
	return r;
}

/* ---- apply ---- */

/* Until a signal ends it; the fence stays. */
static int follow(const char *name, struct ifpin_fence_watch *watch, int signals)
{
	struct pollfd fds[2] = {{.fd = ifpin_fence_watch_fd(watch), .events = POLLIN},
		{.fd = signals, .events = POLLIN}};
	struct ifpin_error err;
	unsigned int changed;

	/* What came while the fence was put up is waiting, or is found by the first look. */
	for (int r = IFPIN_FENCE_DEVICES; r >= 0;) {
		if (r & IFPIN_FENCE_DEVICES && ifpin_fence_sync(name, &changed, &err)) {
			if (err.code == -ENOENT)
				return failed(&err);
			fprintf(stderr, "ifpin: %s\n", err.text);
		}
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents)
			return 0;
		r = ifpin_fence_watch_step(watch);
		if (r < 0)
			fprintf(stderr, "ifpin: cannot hear of interfaces: %s\n",
				ifpin_strerror(r));
	}
	return 125;
}

static int apply_and_follow(struct args *a)
{
	struct ifpin_fence_watch *watch;
	struct ifpin_error err;
	sigset_t set;
	int fd, code;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0) {
		perror("ifpin: signalfd");
		return 125;
	}
	/* Listen first, so that nothing comes between. */
	if (ifpin_fence_watch_open(&watch, &err))
		return failed(&err);
	if (ifpin_fence_apply(&a->opts, &err)) {
		code = failed(&err);
	} else {
		puts("applied; following");
		fflush(stdout);
		code = follow(a->opts.name ?: a->opts.device.name, watch, fd);
	}
	ifpin_fence_watch_close(watch);
	close(fd);
	return code;
}

static int apply(struct args *a, const char *device)
{
	struct ifpin_error err;
	char *text;

	a->opts.prefixes = a->prefixes;
	a->opts.ethertypes = a->ethertypes;
	if (ifpin_device_resolve(device, &a->opts.device, &err))
		return failed(&err);
	if (a->dry_run) {
		if (ifpin_fence_plan(&a->opts, &text, &err))
			return failed(&err);
		fputs(text, stdout);
		free(text);
		return 0;
	}
	if (a->follow)
		return apply_and_follow(a);
	return ifpin_fence_apply(&a->opts, &err) ? failed(&err) : 0;
}

/* ---- show ---- */

#define NO_FENCE "ifpin: there is no fence in this network namespace\n"

static void show_one(const struct ifpin_fence *f)
{
	char text[64];
	uint64_t dropped = 0;

	printf("fence %s: %s (index %u)%s\n", f->name, f->device.name, f->device.ifindex,
		f->nat ? ", also before address translation" : "");
	for (size_t i = 0; i < f->n_prefixes; i++)
		printf("  prefix     %s\n", ifpin_prefix_text(&f->prefixes[i], text, sizeof(text)));
	for (size_t i = 0; i < f->n_ethertypes; i++)
		printf("  ethertype  0x%04x\n", f->ethertypes[i]);
	if (*f->configured)
		printf("  configured by %s.conf\n", f->configured);
	printf("  covers     %zu interface%s", f->n_covered, f->n_covered == 1 ? "" : "s");
	if (f->n_carriers)
		printf("; %zu carr%s the frames of %s", f->n_carriers,
			f->n_carriers == 1 ? "ies" : "y", f->device.name);
	puts("");
	for (size_t i = 0; i < f->n_counters; i++) {
		if (f->counters[i].packets)
			printf("  dropped    %-16s %llu packets, %llu bytes\n",
				f->counters[i].reason, (unsigned long long)f->counters[i].packets,
				(unsigned long long)f->counters[i].bytes);
		dropped += f->counters[i].packets;
	}
	if (!dropped)
		puts("  dropped    nothing");
}

static json_object *numbers(const uint32_t *list, size_t n)
{
	json_object *array = json_object_new_array();

	for (size_t i = 0; i < n; i++)
		json_object_array_add(array, json_object_new_int64(list[i]));
	return array;
}

static json_object *json_of(const struct ifpin_fence *f)
{
	json_object *o = json_object_new_object(), *prefixes = json_object_new_array();
	json_object *types = json_object_new_array(), *dropped = json_object_new_object();
	char text[64];

	json_object_object_add(o, "name", json_object_new_string(f->name));
	json_object_object_add(o, "device", json_object_new_string(f->device.name));
	json_object_object_add(o, "ifindex", json_object_new_int64(f->device.ifindex));
	if (*f->configured)
		json_object_object_add(o, "configured", json_object_new_string(f->configured));
	json_object_object_add(o, "nat", json_object_new_boolean(f->nat));
	for (size_t i = 0; i < f->n_prefixes; i++)
		json_object_array_add(prefixes, json_object_new_string(ifpin_prefix_text(
							&f->prefixes[i], text, sizeof(text))));
	for (size_t i = 0; i < f->n_ethertypes; i++)
		json_object_array_add(types, json_object_new_int(f->ethertypes[i]));
	for (size_t i = 0; i < f->n_counters; i++) {
		json_object *c = json_object_new_object();

		json_object_object_add(
			c, "packets", json_object_new_int64((int64_t)f->counters[i].packets));
		json_object_object_add(
			c, "bytes", json_object_new_int64((int64_t)f->counters[i].bytes));
		json_object_object_add(dropped, f->counters[i].reason, c);
	}
	json_object_object_add(o, "prefixes", prefixes);
	json_object_object_add(o, "ethertypes", types);
	json_object_object_add(o, "covered", numbers(f->covered, f->n_covered));
	json_object_object_add(o, "carriers", numbers(f->carriers, f->n_carriers));
	json_object_object_add(o, "dropped", dropped);
	return o;
}

static int show(const struct args *a)
{
	json_object *list = json_object_new_array();
	struct ifpin_fence *fences;
	struct ifpin_error err;
	bool found = !a->opts.name;
	size_t n;

	if (ifpin_fence_list(&fences, &n, &err)) {
		json_object_put(list);
		return failed(&err);
	}
	for (size_t i = 0; i < n; i++) {
		if (a->opts.name && strcmp(a->opts.name, fences[i].name) != 0)
			continue;
		found = true;
		if (a->json)
			json_object_array_add(list, json_of(&fences[i]));
		else
			show_one(&fences[i]);
	}
	ifpin_fence_free(fences, n);
	if (!n && found && !a->json)
		puts("no fences");
	if (a->json && found)
		show_pretty(list);
	else
		json_object_put(list);
	if (!found)
		fprintf(stderr, "ifpin: there is no fence \"%s\"\n", a->opts.name);
	return found ? 0 : 125;
}

/* ---- check and remove ---- */

struct findings {
	json_object *list; /* or NULL */
	const char *name;
};

static void on_finding(void *ctx, enum ifpin_finding finding, const char *text)
{
	static const char *const words[] = {"broken", "beyond", "note"};
	const struct findings *f = ctx;
	json_object *o;

	if (!f->list) {
		printf("fence %s: %s: %s\n", f->name, words[finding], text);
		return;
	}
	o = json_object_new_object();
	json_object_object_add(o, "fence", json_object_new_string(f->name));
	json_object_object_add(o, "finding", json_object_new_string(words[finding]));
	json_object_object_add(o, "text", json_object_new_string(text));
	json_object_array_add(f->list, o);
}

static int check_one(const char *name, json_object *list, unsigned int *broken)
{
	struct findings f = {.list = list, .name = name};
	struct ifpin_error err;
	unsigned int n;
	int r = ifpin_fence_check(name, on_finding, &f, &n, &err);

	if (r == -ENOENT) {
		on_finding(&f, IFPIN_FINDING_BROKEN, err.text);
		n = 1;
	} else if (r) {
		return failed(&err);
	}
	if (!n && !list)
		printf("fence %s: holds\n", name);
	*broken += n;
	return 0;
}

static int check(const struct args *a)
{
	json_object *list = a->json ? json_object_new_array() : NULL;
	struct ifpin_fence *fences = NULL;
	struct ifpin_error err;
	unsigned int broken = 0;
	size_t n = 0;
	int code = 0;

	if (a->opts.name) {
		code = check_one(a->opts.name, list, &broken);
	} else if (ifpin_fence_list(&fences, &n, &err)) {
		code = failed(&err);
	} else if (!n) {
		fputs(NO_FENCE, stderr);
		broken = 1;
	}
	for (size_t i = 0; i < n && !code; i++)
		code = check_one(fences[i].name, list, &broken);
	ifpin_fence_free(fences, n);
	if (list && !code)
		show_pretty(list);
	else
		json_object_put(list);
	return code ?: broken > 0;
}

static int take_down(const struct args *a)
{
	struct ifpin_fence *fences;
	struct ifpin_error err;
	char name[IFPIN_FENCE_NAME_SIZE] = "";
	size_t n;

	if (!a->opts.name) {
		if (ifpin_fence_list(&fences, &n, &err))
			return failed(&err);
		if (n == 1)
			snprintf(name, sizeof(name), "%s", fences[0].name);
		ifpin_fence_free(fences, n);
		if (!n) {
			fputs(NO_FENCE, stderr);
			return 125;
		}
		if (n > 1) {
			fprintf(stderr,
				"ifpin: fence: there are %zu fences: say which one (--name)\n", n);
			return 125;
		}
	}
	return ifpin_fence_remove(a->opts.name ?: name, &err) ? failed(&err) : 0;
}

static int dispatch(struct args *a, int argc, char **argv)
{
	const char *verb = optind < argc ? argv[optind++] : NULL;
	bool is_apply = verb && !strcmp(verb, "apply");

	if (!verb) {
		fputs("ifpin: fence: apply, show, check or remove?\n", stderr);
		return usage_error("fence", 125);
	}
	if (is_apply && optind == argc) {
		fputs("ifpin: fence: no interface given\n", stderr);
		return usage_error("fence", 125);
	}
	if (optind + is_apply < argc) {
		fprintf(stderr, "ifpin: fence: unexpected argument \"%s\"\n",
			argv[optind + is_apply]);
		return usage_error("fence", 125);
	}
	if (!is_apply && (a->opts.n_prefixes || a->opts.n_ethertypes || a->dry_run || a->follow)) {
		fprintf(stderr, "ifpin: fence: %s takes no options but --name and --json\n", verb);
		return usage_error("fence", 125);
	}
	if (is_apply)
		return apply(a, argv[optind]);
	if (!strcmp(verb, "show"))
		return show(a);
	if (!strcmp(verb, "check"))
		return check(a);
	if (!strcmp(verb, "remove"))
		return take_down(a);
	fprintf(stderr, "ifpin: fence: no verb \"%s\"\n", verb);
	return usage_error("fence", 125);
}

int cmd_fence(int argc, char **argv)
{
	struct args a = {.opts = {.size = sizeof(a.opts)}};
	int r = parse(argc, argv, &a);

	r = r ? (r < 0 ? 0 : r) : dispatch(&a, argc, argv);
	free(a.prefixes);
	return r;
}
