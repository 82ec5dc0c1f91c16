// SPDX-License-Identifier: MIT
#include "cli.h"

#include <ifpin/prove.h>

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	OPT_JSON = 256,
	OPT_JUNIT,
	OPT_HTML,
	OPT_PCAPNG,
	OPT_COMPARE,
	OPT_ONLY,
	OPT_LIST,
	OPT_WITH,
	OPT_ATTEMPT,
	OPT_HERE,
	OPT_NAME,
	OPT_AGAINST,
	OPT_CONTROL,
	OPT_YES,
	OPT_ATTEMPTS
};

static const struct option options[] = {
	{"json", required_argument, NULL, OPT_JSON},
	{"junit", required_argument, NULL, OPT_JUNIT},
	{"html", required_argument, NULL, OPT_HTML},
	{"pcapng", required_argument, NULL, OPT_PCAPNG},
	{"compare", required_argument, NULL, OPT_COMPARE},
	{"only", required_argument, NULL, OPT_ONLY},
	{"with", required_argument, NULL, OPT_WITH},
	{"list", no_argument, NULL, OPT_LIST},
	{"attempt", required_argument, NULL, OPT_ATTEMPT}, /* what prove starts inside run */
	{"here", required_argument, NULL, OPT_HERE},
	{"name", required_argument, NULL, OPT_NAME},
	{"against", required_argument, NULL, OPT_AGAINST},
	{"control", no_argument, NULL, OPT_CONTROL},
	{"yes", no_argument, NULL, OPT_YES},
	{"attempts", no_argument, NULL, OPT_ATTEMPTS}, /* the same for --here: many */
	{"help", no_argument, NULL, 'h'},
	{},
};

static const char help_text[] =
	"Usage: ifpin prove [--against=[LABEL=]COMMAND]... [OPTIONS]\n"
	"       ifpin prove --here=DEVICE [--name=PIN | --against=COMMAND] [OPTIONS]\n"
	"\n"
	"Build a laboratory out of network namespaces, make every known leak attempt in it without\n"
	"protection, with bind(), with SO_BINDTODEVICE, through libifpin and with ifpin run, and behind a\n"
	"fence, and count the frames that arrive at the far end of the other interface. Nothing of this\n"
	"host's network is touched.\n"
	"\n"
	"Options:\n"
	"  --only=CLASS|NAME  only these attempts\n"
	"  --with=OPTION      also give this option to ifpin run, for instance --with=--isolate\n"
	"  --against=[LABEL=]COMMAND\n"
	"                     also behind this command, to compare; up to four. In it {vrf} stands for a VRF\n"
	"                     with the device in it: --against='vrf=ip vrf exec {vrf}'; see ifpin-prove(8)\n"
	"  --list             list the attempts and what they rest on\n"
	"  --json=FILE        also write a JSON report\n"
	"  --junit=FILE       also write a JUnit report\n"
	"  --html=FILE        also write a page for people, with all that was and was not held, and why\n"
	"  --pcapng=FILE      also write every captured frame, for Wireshark\n"
	"  --compare=OLD      also tell what has changed since the JSON report OLD\n"
	"  -h, --help         this text\n"
	"\n"
	"On this host, as it is:\n"
	"  --here=DEVICE      make the attempts here, confined to DEVICE by ifpin run, and watch all other\n"
	"                     devices; with documentation addresses and a hop limit of 1\n"
	"  --name=PIN         in this pin of ifpin attach, instead of ifpin run\n"
	"  --against=COMMAND  behind this command, such as \"ip vrf exec red\", instead\n"
	"  --control          also make them without any confinement\n"
	"  --yes              do not say what will be sent, and do not ask\n"
	"\n"
	"Exit status: 0 if nothing leaked under ifpin run, through libifpin or through the fence, but for\n"
	"what is reported as not held on this kernel; 1 if something did, an attempt is broken, or something\n"
	"is worse than in OLD; 125 if nothing could be proved.\n";

static int attempt(const char *name)
{
	int r = ifpin_prove_attempt(name);

	return -r & 0x7f;
}

/* Said to a person who is there, or not at all. */
static bool confirm(void *ctx)
{
	char answer[16] = "";

	(void)ctx;
	if (!isatty(STDIN_FILENO)) {
		fputs("ifpin: prove: there is no terminal to ask: --yes sends this\n", stderr);
		return false;
	}
	fputs("Send this? [y/N] ", stdout);
	fflush(stdout);
	return fgets(answer, sizeof(answer), stdin) &&
	       (!strcmp(answer, "y\n") || !strcmp(answer, "yes\n"));
}

static int check_here(const struct ifpin_prove_opts *o, bool yes)
{
	const char *option = o->pin ? "--name" : o->control ? "--control" : yes ? "--yes" : NULL;

	if (o->here || !option)
		return 0;
	fprintf(stderr, "ifpin: prove: %s needs --here\n", option);
	return usage_error("prove", 125);
}

static int prove(struct ifpin_prove_opts *o)
{
	struct ifpin_error err;
	int r = ifpin_prove_run(o, stdout, &err);

	if (r < 0) {
		fprintf(stderr, "ifpin: %s\n", err.text);
		return 125;
	}
	/* A report of which nothing or half can be read is none. */
	if (fflush(stdout) || ferror(stdout)) {
		perror("ifpin: cannot write the report");
		return 125;
	}
	return r;
}

struct args {
	struct ifpin_prove_opts opts;
	char self[4096];
	const char *with[IFPIN_PROVE_MAX_WITH], *against[IFPIN_PROVE_MAX_AGAINST];
};

/* One that may be given more than once. */
static int add(const char **list, size_t *n, size_t most, const char *option)
{
	if (*n == most) {
		fprintf(stderr, "ifpin: prove: too many --%s\n", option);
		return usage_error("prove", 125);
	}
	list[(*n)++] = optarg;
	return 0;
}

static int parse_option(struct args *a, int c)
{
	struct ifpin_prove_opts *o = &a->opts;
	const struct {
		int c;
		const char **to;
	} texts[] = {
		{OPT_JSON, &o->json},
		{OPT_JUNIT, &o->junit},
		{OPT_HTML, &o->html},
		{OPT_PCAPNG, &o->pcapng},
		{OPT_COMPARE, &o->compare},
		{OPT_ONLY, &o->only},
		{OPT_HERE, &o->here},
		{OPT_NAME, &o->pin},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (texts[i].c == c) {
			*texts[i].to = optarg;
			return 0;
		}
	switch (c) {
	case OPT_WITH:
		if (*optarg != '-') {
			fprintf(stderr,
				"ifpin: prove: --with=%s: must be an option of ifpin run, with its "
				"hyphens: --with=--isolate\n",
				optarg);
			return usage_error("prove", 125);
		}
		return add(a->with, &o->n_with, IFPIN_PROVE_MAX_WITH, "with");
	case OPT_AGAINST:
		return add(a->against, &o->n_against, IFPIN_PROVE_MAX_AGAINST, "against");
	case OPT_CONTROL:
		o->control = true;
		return 0;
	case OPT_YES:
		o->confirm = NULL;
		return 0;
	}
	return usage_error("prove", 125);
}

int cmd_prove(int argc, char **argv)
{
	static struct args a;
	int c, r;

	a.opts = (struct ifpin_prove_opts){
		.size = sizeof(a.opts),
		.self = a.self,
		.with = a.with,
		.against = a.against,
		.command = (const char *const *)argv + 1,
		.n_command = (size_t)argc - 1,
		.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR"),
		.confirm = confirm,
	};
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case OPT_ATTEMPTS:
			return -ifpin_prove_attempts() & 0x7f;
		case OPT_LIST:
			ifpin_prove_list(stdout);
			return 0;
		case OPT_ATTEMPT:
			return attempt(optarg);
		case 'h':
			fputs(help_text, stdout);
			return 0;
		}
		r = parse_option(&a, c);
		if (r)
			return r;
	}
	if (optind < argc) {
		fprintf(stderr, "ifpin: prove: unexpected argument \"%s\"\n", argv[optind]);
		return usage_error("prove", 125);
	}
	r = check_here(&a.opts, !a.opts.confirm);
	if (r)
		return r;
	if (readlink("/proc/self/exe", a.self, sizeof(a.self) - 1) < 0) {
		perror("ifpin: /proc/self/exe");
		return 125;
	}
	return prove(&a.opts);
}
