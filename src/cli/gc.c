// SPDX-License-Identifier: MIT
#include "cli.h"

#include <ifpin/confine.h>

#include <stdio.h>
#include <string.h>

int cmd_gc(int argc, char **argv)
{
	struct ifpin_error err;
	unsigned int n;

	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		puts("Usage: ifpin gc\n\nRemove the cgroups of confinements whose ifpin was killed and "
		     "whose processes have ended.");
		return 0;
	}
	if (argc > 1) {
		fprintf(stderr, "ifpin: gc: unexpected argument \"%s\"\n", argv[1]);
		return usage_error("gc", 125);
	}
	if (ifpin_confine_gc(&n, &err)) {
		fprintf(stderr, "ifpin: %s\n", err.text);
		return 125;
	}
	printf("removed %u\n", n);
	return 0;
}
