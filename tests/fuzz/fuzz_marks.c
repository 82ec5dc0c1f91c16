// SPDX-License-Identifier: MIT
/*
 * libFuzzer target: frames of a host, in search of those of attempts. Whatever their bytes are, the
 * number that comes of them is one of an attempt.
 */
#include "prove/here.h"

#include <linux/if_arp.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void hit(void *ctx, const struct here_hit *h)
{
	const struct here_marks *m = ctx;

	if (h->number >= m->n || !h->times)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Known to the corpus, so that frames of attempts can be among what is tried. */
	struct here_marks m = {.n = 180,
		.tag = "marker",
		.first4 = 40,
		.first_port = 20000,
		.prefix6 = {0x20, 0x01, 0x0d, 0xb8},
		.group6 = {1, 2}};
	struct here_frame f = {.bytes = data + 2, .len = size - 2};

	if (size < 2)
		return 0;
	f.type = data[0] & 1 ? ARPHRD_ETHER : ARPHRD_NONE;
	f.protocol = data[1] & 1 ? 0x0800 : data[1] & 2 ? 0x86dd : 0x0806;
	ifp_marks_find(&m, &f, hit, &m);
	return 0;
}
