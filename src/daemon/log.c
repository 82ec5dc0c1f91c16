// SPDX-License-Identifier: MIT
#include "daemon.h"

#include <stdio.h>
#include <string.h>

static bool verbose, journal;

/* The journal reads a priority in front of a line (sd-daemon(3)); a terminal would show it. */
void say_open(bool be_verbose)
{
	verbose = be_verbose;
	journal = getenv("JOURNAL_STREAM") != NULL;
	setvbuf(stderr, NULL, _IOLBF, 2048);
}

void say(enum level level, const char *fmt, ...)
{
	char text[1600];
	va_list ap;

	if (level == SAY_DEBUG && !verbose)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	if (journal)
		fprintf(stderr, "<%d>%s\n", level, text);
	else
		fprintf(stderr, "ifpind: %s\n", text);
}

void say_step(void *ctx, const char *line)
{
	say(SAY_DEBUG, "pin \"%s\": %s", (const char *)ctx, line);
}
