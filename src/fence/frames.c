// SPDX-License-Identifier: MIT
/* Rules that read frames at offsets of the wire, from their first byte. */
#include "writer.h"

#include <string.h>

/* The deepest frame that is read has so many tags; what has more is dropped. */
#define MAX_TAGS 3
static const char *const tag_types[] = {"0x8100", "0x88a8", "0x9100", "0x9200", "0x9300"};

static void packet4(const struct writer *w, const char *dir, const char *base, unsigned int at)
{
	if (!w->four)
		return;
	ifp_write_match(w, base, at * 8 + 96, "p4", dir, "source");
	ifp_write_match(w, base, at * 8 + 128, "p4", dir, "destination");
}

/* Solicitations, advertisements and redirects tell of an address behind their eight first bytes. */
static void packet6(const struct writer *w, const char *dir, const char *base, unsigned int at)
{
	if (!w->six)
		return;
	ifp_write_match(w, base, at * 8 + 64, "p6", dir, "source");
	ifp_write_match(w, base, at * 8 + 192, "p6", dir, "destination");
	fprintf(w->f,
		"\t\t@%s,%u,8 58 @%s,%u,8 { 135, 136, 137 } @%s,%u,128 @p6 "
		"counter name \"%s-discovery\" drop\n",
		base, at * 8 + 48, base, at * 8 + 320, base, at * 8 + 384, dir);
}

static void at_offset(const struct writer *w, const char *dir, unsigned int at)
{
	fprintf(w->f, "\tchain %s_4_%u {\n", dir, at);
	packet4(w, dir, "ll", at);
	fprintf(w->f, "\t}\n\tchain %s_6_%u {\n", dir, at);
	packet6(w, dir, "ll", at);
	fputs("\t}\n", w->f);
}

/*
 * A frame of a packet socket past the queueing discipline may have no link header that rules can
 * read. It begins, for them, where the kernel takes the end of the link header to be, and that is
 * the device's matter. So all places are looked at where the addresses of IP, ARP and neighbour
 * discovery can be, behind three tags and PPPoE at most. What the socket calls tagged begins
 * anywhere, as its bytes say, and is not let out.
 */
static void headless(const struct writer *w)
{
	fputs("\tchain out_headless {\n\t\tmeta protocol { 0x8100, 0x88a8 } counter name "
	      "\"out-nested\" drop\n",
		w->f);
	if (w->plan->n_ethertypes) /* nor can its type be read */
		fputs("\t\tcounter name \"out-ethertype\" drop\n", w->f);
	/* At odd places only behind LLC and a protocol of PPP that is one byte. */
	for (unsigned int at = 0; w->four && at <= 48; at++)
		if (at % 4 != 1)
			ifp_write_match(
				w, "nh", at * 8, "p4", "out", at % 4 == 2 ? "arp" : "source");
	for (unsigned int at = 0; w->six && at <= 80; at++)
		if (at % 4 != 1)
			ifp_write_match(
				w, "nh", at * 8, "p6", "out", at < 48 ? "source" : "discovery");
	fputs("\t}\n", w->f);
}

/* A frame of IEEE 802.3: a length, LLC and a type field of its own, or IP's number there. */
static void below_length(const struct writer *w, const char *dir, unsigned int tags)
{
	unsigned int at = 14 + 4 * tags;

	fprintf(w->f,
		"\tchain %s_llc_%u {\n\t\t@ll,%u,24 0x060603 @ll,%u,4 vmap { 4 : goto %s_4_%u, "
		"6 : goto %s_6_%u }\n\t\t@ll,%u,24 0xaaaa03 ",
		dir, at, at * 8, (at + 3) * 8, dir, at + 3, dir, at + 3, at * 8);
	/* Its type field is where that behind two tags more would be. */
	if (tags + 2 <= MAX_TAGS)
		fprintf(w->f, "goto %s_wire_%u\n\t}\n", dir, at + 6);
	else
		fprintf(w->f,
			"@ll,%u,16 { 0x0800, 0x0806, 0x86dd } counter name \"%s-nested\" "
			"drop\n\t}\n",
			(at + 6) * 8, dir);
}

/* What follows a type field that has so many tags before it. */
static void below_tags(const struct writer *w, const char *dir, unsigned int tags)
{
	unsigned int type = 12 + 4 * tags, at = type + 2;

	fprintf(w->f, "\tchain %s_arp_%u {\n", dir, at);
	if (w->four) {
		ifp_write_match(w, "ll", at * 8 + 112, "p4", dir, "arp");
		ifp_write_match(w, "ll", at * 8 + 192, "p4", dir, "arp");
	}
	/* PPPoE: six bytes and the protocol of PPP come first; an odd one may be a single byte. */
	fprintf(w->f,
		"\t}\n\tchain %s_ppp_%u {\n\t\t@ll,%u,16 vmap { 0x0021 : goto %s_4_%u, "
		"0x0057 : goto %s_6_%u }\n\t\t@ll,%u,8 vmap { 0x21 : goto %s_4_%u, "
		"0x57 : goto %s_6_%u }\n\t}\n",
		dir, at, (at + 6) * 8, dir, at + 8, dir, at + 8, (at + 6) * 8, dir, at + 7, dir,
		at + 7);
	below_length(w, dir, tags);
	fprintf(w->f, "\tchain %s_wire_%u {\n", dir, type);
	if (w->plan->n_ethertypes)
		fprintf(w->f, "\t\t@ll,%u,16 @types counter name \"%s-ethertype\" drop\n", type * 8,
			dir);
	/* What is frequent comes first: a comparison costs less than a look-up. */
	fprintf(w->f, "\t\t@ll,%u,16 0x0800 goto %s_4_%u\n\t\t@ll,%u,16 0x86dd goto %s_6_%u\n",
		type * 8, dir, at, type * 8, dir, at);
	fprintf(w->f,
		"\t\t@ll,%u,16 vmap { 0x0806 : goto %s_arp_%u, 0x8035 : goto "
		"%s_arp_%u, 0x8864 : goto %s_ppp_%u",
		type * 8, dir, at, dir, at, dir, at);
	for (size_t i = 0; tags < MAX_TAGS && i < ARRAY_SIZE(tag_types); i++)
		fprintf(w->f, ", %s : goto %s_wire_%u", tag_types[i], dir, type + 4);
	fprintf(w->f, " }\n\t\t@ll,%u,16 < 0x0600 goto %s_llc_%u\n", type * 8, dir, at);
	for (size_t i = 0; tags == MAX_TAGS && i < ARRAY_SIZE(tag_types); i++)
		fprintf(w->f, "\t\t@ll,%u,16 %s counter name \"%s-nested\" drop\n", type * 8,
			tag_types[i], dir);
	/* There is a link header if its first byte is anything at all. */
	if (!tags && !strcmp(dir, "out"))
		fputs("\t\t@ll,0,8 0-255 accept\n\t\tgoto out_headless\n", w->f);
	fputs("\t}\n", w->f);
}

void ifp_write_wire(const struct writer *w, const char *dir)
{
	for (unsigned int at = 14; at <= 14 + 4 * MAX_TAGS + 8; at += 4)
		at_offset(w, dir, at);
	for (unsigned int at = 17; at <= 14 + 4 * MAX_TAGS + 7; at += 4)
		at_offset(w, dir, at);
	if (!strcmp(dir, "out"))
		headless(w);
	for (unsigned int tags = 0; tags <= MAX_TAGS; tags++)
		below_tags(w, dir, tags);
}

/* A device without link addresses: what IP it is stands in the first four bits. */
void ifp_write_bare(const struct writer *w, const char *dir)
{
	fprintf(w->f, "\tchain %s_bare4 {\n", dir);
	packet4(w, dir, "nh", 0);
	fprintf(w->f, "\t}\n\tchain %s_bare6 {\n", dir);
	packet6(w, dir, "nh", 0);
	fprintf(w->f,
		"\t}\n\tchain %s_bare {\n\t\t@nh,0,4 4 goto %s_bare4\n\t\t@nh,0,4 6 goto "
		"%s_bare6\n\t}\n",
		dir, dir, dir);
}
