// SPDX-License-Identifier: MIT
#include "cli.h"

#include <ifpin/config.h>

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct option options[] = {
	{"help", no_argument, NULL, 'h'},
	{},
};

static const char help_text[] =
	"Usage: ifpin validate FILE|DIRECTORY...\n"
	"\n"
	"Read files of pins as ifpind does, and say everything that is wrong in them, with file and\n"
	"line. Nothing is applied. ifpin.conf(5) tells what may be in them.\n"
	"\n"
	"Options:\n"
	"  -h, --help   this text\n"
	"\n"
	"Exit status: 0 if ifpind would take all of them; 1 if one has errors; 125 if the arguments\n"
	"make no sense.\n";

static void say(void *ctx, const char *path, unsigned int line, const char *text)
{
	unsigned int *n = ctx;

	++*n;
	if (line)
		fprintf(stderr, "%s:%u: %s\n", path, line, text);
	else
		fprintf(stderr, "%s: %s\n", path, text);
}

static void validate(const char *path, unsigned int *n)
{
	struct ifpin_config_set *set = NULL;
	struct ifpin_config *config = NULL;
	struct stat st;

	if (!stat(path, &st) && S_ISDIR(st.st_mode))
		ifpin_config_read_dir(path, say, n, &set);
	else
		ifpin_config_read(path, say, n, &config);
	ifpin_config_set_free(set);
	ifpin_config_free(config);
}

int cmd_validate(int argc, char **argv)
{
	unsigned int errors = 0;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c != 'h')
			return usage_error("validate", 125);
		fputs(help_text, stdout);
		return 0;
	}
	if (optind == argc) {
		fputs("ifpin: validate: no file given\n", stderr);
		return usage_error("validate", 125);
	}
	for (int i = optind; i < argc; i++)
		validate(argv[i], &errors);
	return errors ? 1 : 0;
}
