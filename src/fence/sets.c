// SPDX-License-Identifier: MIT
/* Networks as sets of nftables, and the rules that look something up in them. */
#include "writer.h"

#include <inttypes.h>
#include <string.h>

void ifp_write_networks(
	const struct writer *w, bool four, const char *name, const char *key, bool typed)
{
	const struct plan *p = w->plan;
	const char *comma = "";

	if (!(four ? w->four : w->six))
		return;
	fprintf(w->f, "\tset %s {\n\t\t%s\n\t\tflags interval\n\t\telements = { ", name, key);
	for (size_t i = 0; i < p->n_prefixes; i++) {
		char first[64], last[48];

		if (ifp_prefix_is_v4(&p->prefixes[i]) != four)
			continue;
		if (typed) {
			ifpin_prefix_text(&p->prefixes[i], first, sizeof(first));
			fprintf(w->f, "%s%s", comma, first);
		} else {
			ifp_prefix_range(&p->prefixes[i], first, last);
			fprintf(w->f, strcmp(first, last) != 0 ? "%s%s-%s" : "%s%s", comma, first,
				last);
		}
		comma = ", ";
	}
	fputs(" }\n\t}\n", w->f);
}

/*
 * The first bytes of all networks, for a look-up that takes the same time however many there are,
 * and is all there is for most packets.
 */
void ifp_write_first_bytes(const struct writer *w, bool four)
{
	const struct plan *p = w->plan;
	unsigned int bits = four ? w->top4 : w->top6, skip = four ? 12 : 0;
	uint32_t last = 0;
	bool any = false;

	if (!bits)
		return;
	fprintf(w->f, "\tset t%d {\n\t\ttypeof @nh,0,%u\n\t\telements = { ", four ? 4 : 6, bits);
	for (size_t i = 0; i < p->n_prefixes; i++) {
		const uint8_t *a = p->prefixes[i].addr + skip;
		uint32_t first = 0;

		if (ifp_prefix_is_v4(&p->prefixes[i]) != four)
			continue;
		for (unsigned int k = 0; k < bits / 8; k++)
			first = first << 8 | a[k];
		if (!any || first != last)
			fprintf(w->f, "%s%u", any ? ", " : "", first);
		any = true;
		last = first;
	}
	fputs(" }\n\t}\n", w->f);
}

static void protocols(const struct writer *w)
{
	const struct plan *p = w->plan;

	if (!p->n_ethertypes)
		return;
	fputs("\tset types {\n\t\ttypeof @ll,96,16\n\t\telements = { ", w->f);
	for (size_t i = 0; i < p->n_ethertypes; i++)
		fprintf(w->f, "%s0x%04x", i ? ", " : "", p->ethertypes[i]);
	fputs(" }\n\t}\n", w->f);
}

void ifp_write_counters(const struct writer *w, const char *const *reasons)
{
	for (; *reasons; reasons++)
		fprintf(w->f, "\tcounter out-%s { }\n\tcounter in-%s { }\n", *reasons, *reasons);
}

void ifp_plan_covered(FILE *f, const struct plan *plan)
{
	for (size_t i = 0; i < plan->n_covered; i++)
		fprintf(f, "%s%u . \"%s\"", i ? ", " : "", plan->covered[i].ifindex,
			plan->covered[i].name);
}

void ifp_write_covered(const struct writer *w)
{
	fputs("\tset covered {\n\t\ttypeof meta oif . meta oifname\n", w->f);
	if (w->plan->n_covered) {
		fputs("\t\telements = { ", w->f);
		ifp_plan_covered(w->f, w->plan);
		fputs(" }\n", w->f);
	}
	fputs("\t}\n", w->f);
}

void ifp_write_frame_sets(const struct writer *w)
{
	static const char *const reasons[] = {
		"source", "destination", "arp", "discovery", "ethertype", "nested", NULL};

	ifp_write_networks(w, true, "p4", "typeof @ll,208,32", false);
	ifp_write_networks(w, false, "p6", "typeof @ll,176,128", false);
	ifp_write_first_bytes(w, true);
	ifp_write_first_bytes(w, false);
	protocols(w);
	ifp_write_counters(w, reasons);
}

void ifp_write_likely(const struct writer *w, bool four, unsigned int bit)
{
	uint32_t mask = four ? w->common.mask4 : w->common.mask6;
	unsigned int top = four ? w->top4 : w->top6;

	/* Comparisons of up to four bytes are what nftables does fastest. */
	if (mask >= 0xff000000)
		fprintf(w->f, "@nh,%u,32 & 0x%08" PRIx32 " == 0x%08" PRIx32 " ", bit, mask,
			four ? w->common.bits4 : w->common.bits6);
	else if (top)
		fprintf(w->f, "@nh,%u,%u @t%d ", bit, top, four ? 4 : 6);
}

void ifp_write_match(const struct writer *w, const char *base, unsigned int bit, const char *set,
	const char *dir, const char *reason)
{
	bool four = set[1] == '4';
	unsigned int top = four ? w->top4 : w->top6;

	fputs("\t\t", w->f);
	if (top)
		fprintf(w->f, "@%s,%u,%u @t%d ", base, bit, top, four ? 4 : 6);
	fprintf(w->f, "@%s,%u,%d @%s counter name \"%s-%s\" drop\n", base, bit, four ? 32 : 128,
		set, dir, reason);
}
