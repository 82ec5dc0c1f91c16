// SPDX-License-Identifier: MIT
#include "cli.h"

#include <ifpin/prove.h>

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
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
	OPT_ATTEMPT
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
	{"help", no_argument, NULL, 'h'},
	{},
};

static const char help_text[] =
	"Usage: ifpin prove [OPTIONS]\n"
	"\n"
	"Build a laboratory out of network namespaces, make every known leak attempt in it without\n"
	"protection, with bind(), with SO_BINDTODEVICE, through libifpin and with ifpin run, and behind a\n"
	"fence, and count the frames that arrive at the far end of the other interface. Nothing of this\n"
	"host's network is touched.\n"
	"\n"
	"Options:\n"
	"  --only=CLASS|NAME  only these attempts\n"
	"  --with=OPTION      also give this option to ifpin run, for instance --with=--isolate\n"
	"  --list             list the attempts and what they rest on\n"
	"  --json=FILE        also write a JSON report\n"
	"  --junit=FILE       also write a JUnit report\n"
	"  --html=FILE        also write a page for people, with all that was and was not held, and why\n"
	"  --pcapng=FILE      also write every captured frame, for Wireshark\n"
	"  --compare=OLD      also tell what has changed since the JSON report OLD\n"
	"  -h, --help         this text\n"
	"\n"
	"Exit status: 0 if nothing leaked under ifpin run, through libifpin or through the fence, but for\n"
	"what is reported as not held on this kernel; 1 if something did, an attempt is broken, or something\n"
	"is worse than in OLD; 125 if nothing could be proved.\n";

static int attempt(const char *name)
{
	int r = ifpin_prove_attempt(name);

	return -r & 0x7f;
}

static int prove(struct ifpin_prove_opts *o)
{
	struct ifpin_error err;
	int r = ifpin_prove_run(o, stdout, &err);

	if (r >= 0)
		return r;
	fprintf(stderr, "ifpin: %s\n", err.text);
	return 125;
}

int cmd_prove(int argc, char **argv)
{
	static char self[4096];
	const char *with[IFPIN_PROVE_MAX_WITH];
	struct ifpin_prove_opts o = {
		.size = sizeof(o),
		.self = self,
		.with = with,
		.command = (const char *const *)argv + 1,
		.n_command = (size_t)argc - 1,
		.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR"),
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case OPT_JSON:
			o.json = optarg;
			break;
		case OPT_JUNIT:
			o.junit = optarg;
			break;
		case OPT_HTML:
			o.html = optarg;
			break;
		case OPT_PCAPNG:
			o.pcapng = optarg;
			break;
		case OPT_COMPARE:
			o.compare = optarg;
			break;
		case OPT_ONLY:
			o.only = optarg;
			break;
		case OPT_WITH:
			if (o.n_with == IFPIN_PROVE_MAX_WITH) {
				fputs("ifpin: prove: too many --with\n", stderr);
				return usage_error("prove", 125);
			}
			with[o.n_with++] = optarg;
			break;
		case OPT_LIST:
			ifpin_prove_list(stdout);
			return 0;
		case OPT_ATTEMPT:
			return attempt(optarg);
		case 'h':
			fputs(help_text, stdout);
			return 0;
		default:
			return usage_error("prove", 125);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "ifpin: prove: unexpected argument \"%s\"\n", argv[optind]);
		return usage_error("prove", 125);
	}
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0) {
		perror("ifpin: /proc/self/exe");
		return 125;
	}
	return prove(&o);
}
