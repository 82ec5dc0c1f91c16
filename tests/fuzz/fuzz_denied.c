// SPDX-License-Identifier: MIT
/*
 * libFuzzer target: events out of a ring buffer. Whatever their bytes are, the words that come of
 * them are plain text with an end.
 */
#include "base/base.h"
#include "confine/denied.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void name_of(uint32_t ifindex, char ret[IF_NAMESIZE])
{
	memset(ret, 0, IF_NAMESIZE);
	if (ifindex % 2)
		memset(ret, 'a', IF_NAMESIZE - 1);
}

static void check_text(const char *s, size_t size)
{
	if (!memchr(s, 0, size))
		abort();
	for (; *s; s++)
		if (*s < 0x20 || *s == 0x7f)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ifpin_denial_event ev;
	struct ifpin_denied d;

	if (ifp_denied_parse(data, size, &ev))
		return 0;
	if (size != sizeof(ev))
		abort();
	ifp_denied_fill(&ev, name_of, 0, &d);
	check_text(d.what, sizeof(d.what));
	if (!*d.what || !d.reason || !d.text || !memchr(d.comm, 0, sizeof(d.comm)) ||
		(!d.pid && *d.comm))
		abort();
	return 0;
}
