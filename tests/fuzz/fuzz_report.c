// SPDX-License-Identifier: MIT
/* libFuzzer target: a report that somebody else wrote, compared with itself; and a frame in words.
 */
#include "prove/report.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count(const char *text, void *data)
{
	*(size_t *)data += strlen(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(ifp_report_free) struct report r = {};
	_cleanup_(ifp_changes_free) struct changes c = {};
	size_t words = 0;

	ifp_frame_decode(data, size, count, &words);
	if (ifp_report_parse((const char *)data, size, "fuzz", &r, NULL))
		return 0;
	if (ifp_report_compare(&r, &r, NULL, &c) || c.n)
		abort();
	return 0;
}
