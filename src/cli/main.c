// SPDX-License-Identifier: MIT
#include "cli.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct command {
	const char *name;
	int (*fn)(int argc, char **argv);
	const char *text;
} commands[] = {
	{"run", cmd_run, "run a command that can use one interface only"},
	{"attach", cmd_attach, "confine a service that runs already"},
	{"detach", cmd_detach, "end that"},
	{"list", cmd_list, "list all confinements"},
	{"status", cmd_status, "whether all is held, and what passed and did not"},
	{"watch", cmd_watch, "tell what is denied, as it happens"},
	{"prove", cmd_prove, "attempt every known leak in a laboratory and count frames"},
#ifdef HAVE_FENCE
	{"fence", cmd_fence, "keep the traffic of some networks on one interface, whoever sends it"},
#endif
	{"audit", cmd_audit, "say what of this host's settings could let a leak through"},
	{"sockets", cmd_sockets, "list sockets: which interface each can use, and who holds it"},
#ifdef HAVE_DAEMON
	{"validate", cmd_validate, "say what is wrong in files of pins for ifpind"},
#endif
	{"gc", cmd_gc, "remove what a killed ifpin left behind"},
};

static void help(FILE *out)
{
	fputs("Usage: ifpin COMMAND [OPTIONS]\n\nCommands:\n", out);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].text);
	fputs("\n`ifpin COMMAND --help` tells more. See ifpin(8).\n", out);
}

int usage_error(const char *command, int code)
{
	fprintf(stderr, "Try: ifpin%s%s --help\n", *command ? " " : "", command);
	return code;
}

int parse_json(int argc, char **argv, const char *command, const char *help_text, bool *ret_json)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{},
	};
	bool json = false;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help_text, stdout);
			return 0;
		}
		if (c != 'j')
			return usage_error(command, 125);
		json = true;
	}
	*ret_json = json;
	return -1;
}

/* A closed standard stream would give its number to the next file that is opened. */
static void open_standard_streams(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			exit(125);
}

int main(int argc, char **argv)
{
	open_standard_streams();
	if (argc < 2) {
		fputs("ifpin: no command given\n", stderr);
		return usage_error("", 125);
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		help(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("ifpin " IFPIN_VERSION);
		return 0;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name)) {
			char name[32]; /* what getopt_long() begins its messages with */

			snprintf(name, sizeof(name), "ifpin: %s", commands[i].name);
			argv[1] = name;
			return commands[i].fn(argc - 1, argv + 1);
		}
	fprintf(stderr, "ifpin: no command \"%s\"\n", argv[1]);
	return usage_error("", 125);
}
