// SPDX-License-Identifier: MIT
/* Words of others in a report. */
#include "report.h"

#include "html.h"

#include <json-c/json.h>
#include <string.h>

json_object *ifp_report_text(const char *text)
{
	_cleanup_free_ char *s = strdup(text);

	for (char *c = s; c && *c; c += ifp_utf8_length(c) ?: 1)
		if (!ifp_utf8_length(c))
			*c = '?';
	return json_object_new_string(s ?: "");
}
