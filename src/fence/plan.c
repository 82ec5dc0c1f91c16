// SPDX-License-Identifier: MIT
/*
 * A fence as text for nftables. One rule a line, so that ifpin_fence_check() can count them.
 *
 * It is text and not JSON since JSON has no `typeof` before libnftables 1.1, and frames are to be
 * read at offsets of the wire, by sets of plain integers: what a packet socket says about its own
 * frame (protocol, start of the header) need not be so.
 */
#include "internal.h"

#include <inttypes.h>
#include <linux/if_arp.h>
#include <string.h>

#define FIRST "-2147483648"
#define LAST "2147483647"

/* The deepest frame that is read has so many tags; what has more is dropped. */
#define MAX_TAGS 3
static const char *const tag_types[] = {"0x8100", "0x88a8", "0x9100"};

struct writer {
	FILE *f;
	const struct plan *plan;
	bool four, six;
	unsigned int top4, top6; /* bits of the sets t4 and t6; 0: there are none */
};

/* ---- sets ---- */

static void networks(
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
static void first_bytes(const struct writer *w, bool four, const char *name)
{
	const struct plan *p = w->plan;
	unsigned int bits = four ? w->top4 : w->top6, skip = four ? 12 : 0;
	uint32_t last = 0;
	bool any = false;

	if (!bits)
		return;
	fprintf(w->f, "\tset %s {\n\t\ttypeof @nh,0,%u\n\t\telements = { ", name, bits);
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

static void network_sets(const struct writer *w)
{
	first_bytes(w, true, "t4");
	first_bytes(w, false, "t6");
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

static void counters(const struct writer *w, const char *const *reasons)
{
	for (; *reasons; reasons++)
		fprintf(w->f, "\tcounter out-%s { }\n\tcounter in-%s { }\n", *reasons, *reasons);
}

/* ---- frames, read from their first byte ---- */

static void match(const struct writer *w, const char *base, unsigned int bit, const char *set,
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

static void packet4(const struct writer *w, const char *dir, const char *base, unsigned int at)
{
	if (!w->four)
		return;
	match(w, base, at * 8 + 96, "p4", dir, "source");
	match(w, base, at * 8 + 128, "p4", dir, "destination");
}

/* Solicitations, advertisements and redirects tell of an address behind their eight first bytes. */
static void packet6(const struct writer *w, const char *dir, const char *base, unsigned int at)
{
	if (!w->six)
		return;
	match(w, base, at * 8 + 64, "p6", dir, "source");
	match(w, base, at * 8 + 192, "p6", dir, "destination");
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
 * A frame of a packet socket past the queueing discipline has no link header that rules can read,
 * and begins, for them, where the socket says. So all places are looked at where the addresses of
 * IP, ARP and neighbour discovery can be, behind three tags and PPPoE at most.
 */
static void headless(const struct writer *w)
{
	fputs("\tchain out_headless {\n", w->f);
	if (w->plan->n_ethertypes) /* nor can its type be read */
		fputs("\t\tcounter name \"out-ethertype\" drop\n", w->f);
	for (unsigned int at = 12; w->four && at <= 36; at += 2)
		match(w, "nh", at * 8, "p4", "out", at % 4 ? "arp" : "source");
	for (unsigned int at = 8; w->six && at <= 68; at += 4)
		match(w, "nh", at * 8, "p6", "out", at < 48 ? "source" : "discovery");
	fputs("\t}\n", w->f);
}

/* What follows a type field that has so many tags before it. */
static void below_tags(const struct writer *w, const char *dir, unsigned int tags)
{
	unsigned int type = 12 + 4 * tags, at = type + 2;

	fprintf(w->f, "\tchain %s_arp_%u {\n", dir, at);
	if (w->four) {
		match(w, "ll", at * 8 + 112, "p4", dir, "arp");
		match(w, "ll", at * 8 + 192, "p4", dir, "arp");
	}
	/* PPPoE: six bytes and the protocol of PPP come first. */
	fprintf(w->f,
		"\t}\n\tchain %s_ppp_%u {\n\t\t@ll,%u,16 vmap { 0x0021 : goto %s_4_%u, "
		"0x0057 : goto %s_6_%u }\n\t}\n\tchain %s_wire_%u {\n",
		dir, at, (at + 6) * 8, dir, at + 8, dir, at + 8, dir, type);
	if (w->plan->n_ethertypes)
		fprintf(w->f, "\t\t@ll,%u,16 @types counter name \"%s-ethertype\" drop\n", type * 8,
			dir);
	/* What is frequent comes first: a comparison costs less than a look-up. */
	fprintf(w->f, "\t\t@ll,%u,16 0x0800 goto %s_4_%u\n\t\t@ll,%u,16 0x86dd goto %s_6_%u\n",
		type * 8, dir, at, type * 8, dir, at);
	fprintf(w->f, "\t\t@ll,%u,16 vmap { 0x0806 : goto %s_arp_%u, 0x8864 : goto %s_ppp_%u",
		type * 8, dir, at, dir, at);
	for (size_t i = 0; tags < MAX_TAGS && i < ARRAY_SIZE(tag_types); i++)
		fprintf(w->f, ", %s : goto %s_wire_%u", tag_types[i], dir, type + 4);
	fputs(" }\n", w->f);
	if (tags == MAX_TAGS)
		fprintf(w->f, "\t\t@ll,%u,16 { %s, %s, %s } counter name \"%s-nested\" drop\n",
			type * 8, tag_types[0], tag_types[1], tag_types[2], dir);
	/* There is a link header if its first byte is anything at all. */
	if (!tags && !strcmp(dir, "out"))
		fputs("\t\t@ll,0,8 0-255 accept\n\t\tgoto out_headless\n", w->f);
	fputs("\t}\n", w->f);
}

static void wire(const struct writer *w, const char *dir)
{
	for (unsigned int at = 14; at <= 14 + 4 * MAX_TAGS + 8; at += 4)
		at_offset(w, dir, at);
	if (!strcmp(dir, "out"))
		headless(w);
	for (unsigned int tags = 0; tags <= MAX_TAGS; tags++)
		below_tags(w, dir, tags);
}

/* A device without link addresses: what IP it is stands in the first four bits. */
static void bare(const struct writer *w, const char *dir)
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

static const char *const frame_reasons[] = {
	"source", "destination", "arp", "discovery", "ethertype", "nested", NULL};

static void frame_sets(const struct writer *w)
{
	networks(w, true, "p4", "typeof @ll,208,32", false);
	networks(w, false, "p6", "typeof @ll,176,128", false);
	network_sets(w);
	protocols(w);
	counters(w, frame_reasons);
}

/* ---- which devices are exempt ---- */

/*
 * Both the index and the name: what takes only one of them after DEVICE is gone is another one. A
 * number would be taken for a name in quotes, so it stands without them.
 */
static void exempt(const struct writer *w, const char *dir, bool carriers_too)
{
	const struct plan *p = w->plan;
	const char *way = !strcmp(dir, "out") ? "oif" : "iif";

	fprintf(w->f, "\t\t%s %u %sname \"%s\" accept\n", way, p->device.ifindex, way,
		p->device.name);
	for (size_t i = 0; i < p->n_carriers; i++)
		if (carriers_too || !strcmp(p->carriers[i].kind, "vrf"))
			fprintf(w->f, "\t\t%s %u %sname \"%s\" accept\n", way,
				p->carriers[i].ifindex, way, p->carriers[i].name);
}

/* ---- tables ---- */

static void open_table(const struct writer *w, const char *family)
{
	const char *name = w->plan->name;

	/* Added first, so that deleting it is no error. */
	fprintf(w->f,
		"add table %s " TABLE_PREFIX "%s\ndelete table %s " TABLE_PREFIX "%s\n"
		"table %s " TABLE_PREFIX "%s {\n",
		family, name, family, name, family, name);
}

static void hook(const struct writer *w, const char *chain, const char *point, const char *priority,
	const char *rule)
{
	fprintf(w->f,
		"\tchain %s {\n\t\ttype filter hook %s priority %s; policy accept;\n\t\t%s\n\t}\n",
		chain, point, priority, rule);
}

static void hex(FILE *f, const char *what, const uint8_t *bytes, size_t n)
{
	fprintf(f, "\t\taccept comment \"%s ", what);
	for (size_t i = 0; i < n; i++)
		fprintf(f, "%02x", bytes[i]);
	fputs("\"\n", f);
}

/* What apply was told, for show and check. No chain leads here. */
static void about(const struct writer *w)
{
	const struct plan *p = w->plan;
	const struct ifpin_device *d = &p->device;

	fputs("\tchain about {\n\t\taccept comment \"ifpin fence 1\"\n", w->f);
	fprintf(w->f, "\t\taccept comment \"name %s\"\n", d->name);
	fprintf(w->f, "\t\taccept comment \"index %u\"\n", d->ifindex);
	fprintf(w->f, "\t\taccept comment \"type %u\"\n", d->type);
	fprintf(w->f, "\t\taccept comment \"kind %s\"\n", d->kind);
	hex(w->f, "mac", d->mac, d->mac_len);
	hex(w->f, "perm", d->perm_mac, d->perm_mac_len);
	fprintf(w->f, "\t\taccept comment \"nat %d\"\n", p->nat);
	fprintf(w->f, "\t\taccept comment \"bridge %d\"\n", p->bridge);
	for (size_t i = 0; i < p->n_carriers; i++)
		fprintf(w->f, "\t\taccept comment \"carrier %u %s\"\n", p->carriers[i].ifindex,
			p->carriers[i].name);
	fputs("\t}\n", w->f);
}

static void inet_match(const struct writer *w, const char *dir, bool six, bool dst)
{
	unsigned int top = six ? w->top6 : w->top4;
	unsigned int bit = six ? (dst ? 192 : 64) : (dst ? 128 : 96);

	if (!(six ? w->six : w->four))
		return;
	fprintf(w->f, "\t\tmeta nfproto ipv%d ", six ? 6 : 4);
	if (top)
		fprintf(w->f, "@nh,%u,%u @t%d ", bit, top, six ? 6 : 4);
	fprintf(w->f, "%s %s @p%d counter name \"%s-%s\" drop\n", six ? "ip6" : "ip",
		dst ? "daddr" : "saddr", six ? 6 : 4, dir, dst ? "destination" : "source");
}

static void inet_rules(const struct writer *w, const char *dir)
{
	const char *way = !strcmp(dir, "out") ? "oif" : "iif";

	fprintf(w->f, "\tchain %s {\n\t\t%s . %sname @covered accept\n\t\t%s 1 accept\n", dir, way,
		way, way);
	exempt(w, dir, false);
	for (int six = 0; six < 2; six++)
		for (int dst = 0; dst < 2; dst++)
			inet_match(w, dir, six, dst);
	if (w->six)
		fprintf(w->f,
			"\t\ticmpv6 type { 135, 136, 137 } @th,64,128 @n6 counter name "
			"\"%s-discovery\" drop\n",
			dir);
	fputs("\t}\n", w->f);
}

/*
 * The source before somebody translates it. Connection tracking remembers more: what the addresses
 * were when the packet came to be.
 */
static void inet_before_nat(const struct writer *w)
{
	static const char *const ends[] = {"saddr", "daddr"};

	fputs("\tchain leaving {\n\t\toif 1 accept\n", w->f);
	exempt(w, "out", false);
	inet_match(w, "out", false, false);
	inet_match(w, "out", true, false);
	for (int six = 0; six < 2 && w->plan->nat; six++)
		for (size_t i = 0; i < 2 && (six ? w->six : w->four); i++)
			fprintf(w->f,
				"\t\tct original %s %s @p%d counter name \"out-translated\" drop\n",
				six ? "ip6" : "ip", ends[i], six ? 6 : 4);
	/* Most packets are of no interest, and should find that out first. */
	fputs("\t}\n\tchain before {\n\t\ttype filter hook postrouting priority " FIRST
	      "; policy accept;\n",
		w->f);
	for (int six = 0; six < 2; six++) {
		unsigned int top = six ? w->top6 : w->top4;

		if (!(six ? w->six : w->four))
			continue;
		if (top)
			fprintf(w->f, "\t\tmeta nfproto ipv%d @nh,%d,%u @t%d goto leaving\n",
				six ? 6 : 4, six ? 64 : 96, top, six ? 6 : 4);
		else
			fprintf(w->f, "\t\t%s saddr @p%d goto leaving\n", six ? "ip6" : "ip",
				six ? 6 : 4);
		for (size_t i = 0; i < 2 && w->plan->nat; i++)
			fprintf(w->f, "\t\tct original %s %s @p%d goto leaving\n",
				six ? "ip6" : "ip", ends[i], six ? 6 : 4);
	}
	fputs("\t}\n", w->f);
}

void ifp_plan_covered(FILE *f, const struct plan *plan)
{
	for (size_t i = 0; i < plan->n_covered; i++)
		fprintf(f, "%s%u . \"%s\"", i ? ", " : "", plan->covered[i].ifindex,
			plan->covered[i].name);
}

/* Devices on which every frame is read: there the tables without devices need not look again. */
static void covered(const struct writer *w)
{
	fputs("\tset covered {\n\t\ttypeof meta oif . meta oifname\n", w->f);
	if (w->plan->n_covered) {
		fputs("\t\telements = { ", w->f);
		ifp_plan_covered(w->f, w->plan);
		fputs(" }\n", w->f);
	}
	fputs("\t}\n", w->f);
}

static void inet_table(const struct writer *w)
{
	static const char *const reasons[] = {
		"source", "destination", "discovery", "translated", NULL};

	open_table(w, "inet");
	networks(w, true, "p4", "type ipv4_addr", true);
	networks(w, false, "p6", "type ipv6_addr", true);
	networks(w, false, "n6", "typeof @th,64,128", false);
	network_sets(w);
	covered(w);
	counters(w, reasons);
	about(w);
	inet_rules(w, "out");
	inet_rules(w, "in");
	inet_before_nat(w);
	hook(w, "after", "postrouting", LAST, "jump out");
	hook(w, "arriving", "prerouting", FIRST, "jump in");
	fputs("}\n", w->f);
}

static void arp_table(const struct writer *w)
{
	static const char *const reasons[] = {"arp", NULL};

	if (!w->four)
		return;
	open_table(w, "arp");
	networks(w, true, "p4", "typeof @nh,112,32", false);
	first_bytes(w, true, "t4");
	counters(w, reasons);
	for (int in = 0; in < 2; in++) {
		const char *dir = in ? "in" : "out";

		fprintf(w->f,
			"\tchain %s {\n\t\ttype filter hook %sput priority %s; policy accept;\n",
			dir, dir, in ? FIRST : LAST);
		exempt(w, dir, false);
		match(w, "nh", 112, "p4", dir, "arp");
		match(w, "nh", 192, "p4", dir, "arp");
		fputs("\t}\n", w->f);
	}
	fputs("}\n", w->f);
}

static void bridge_table(const struct writer *w)
{
	if (!w->plan->bridge)
		return;
	open_table(w, "bridge");
	frame_sets(w);
	for (int in = 0; in < 2; in++) {
		const char *dir = in ? "in" : "out";

		wire(w, dir);
		fprintf(w->f, "\tchain %s {\n\t\ttype filter hook %s priority %s; policy accept;\n",
			dir, in ? "prerouting" : "postrouting", in ? FIRST : LAST);
		exempt(w, dir, true);
		fprintf(w->f, "\t\tgoto %s_wire_12\n\t}\n", dir);
	}
	fputs("}\n", w->f);
}

void ifp_plan_cover(FILE *f, const struct plan *plan, const struct port *port)
{
	for (int in = 0; in < 2; in++) {
		const char *dir = in ? "in" : "out";

		fprintf(f, "table netdev " TABLE_PREFIX "%s {\n\tchain %s%u {\n", plan->name, dir,
			port->ifindex);
		fprintf(f, "\t\ttype filter hook %s device \"%s\" priority %s; policy accept;\n",
			in ? "ingress" : "egress", port->name, in ? FIRST : LAST);
		fprintf(f, "\t\tgoto %s_%s\n\t}\n}\n", dir,
			port->type == ARPHRD_ETHER ? "wire_12" : "bare");
	}
}

static void netdev_table(const struct writer *w)
{
	open_table(w, "netdev");
	frame_sets(w);
	for (int in = 0; in < 2; in++) {
		wire(w, in ? "in" : "out");
		bare(w, in ? "in" : "out");
	}
	fputs("}\n", w->f);
	for (size_t i = 0; i < w->plan->n_covered; i++)
		ifp_plan_cover(w->f, w->plan, &w->plan->covered[i]);
}

/* Whole bytes that all networks of a family have. */
static void measure(struct writer *w)
{
	unsigned int shortest4 = 16, shortest6 = 32;

	for (size_t i = 0; i < w->plan->n_prefixes; i++) {
		const struct ifpin_prefix *p = &w->plan->prefixes[i];
		bool four = ifp_prefix_is_v4(p);
		unsigned int *shortest = four ? &shortest4 : &shortest6;
		unsigned int len = p->prefixlen - (four ? 96u : 0);

		*(four ? &w->four : &w->six) = true;
		if (len < *shortest)
			*shortest = len;
	}
	w->top4 = w->four ? shortest4 / 8 * 8 : 0;
	w->top6 = w->six ? shortest6 / 8 * 8 : 0;
}

char *ifp_plan_text(const struct plan *plan)
{
	char *text = NULL;
	size_t size;
	struct writer w = {.f = open_memstream(&text, &size), .plan = plan};
	bool failed;

	if (!w.f)
		return NULL;
	measure(&w);
	inet_table(&w);
	arp_table(&w);
	bridge_table(&w);
	netdev_table(&w);
	failed = ferror(w.f);
	if (fclose(w.f) || failed) {
		free(text);
		return NULL;
	}
	return text;
}
