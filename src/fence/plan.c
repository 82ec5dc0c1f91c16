// SPDX-License-Identifier: MIT
/*
 * A fence as text for nftables. One rule a line, so that ifpin_fence_check() can count them.
 *
 * It is text and not JSON since JSON has no `typeof` before libnftables 1.1, and frames are to be
 * read at offsets of the wire, by sets of plain integers: what a packet socket says about its own
 * frame (protocol, start of the header) need not be so.
 */
#include "writer.h"

#include <linux/if_arp.h>
#include <string.h>

/* ---- which devices are exempt ---- */

/*
 * Index, name and group: what takes only some of them after DEVICE is gone is another one. A
 * number would be taken for a name in quotes, so it stands without them.
 */
static void exempt(const struct writer *w, const char *dir, bool carriers_too)
{
	const struct plan *p = w->plan;
	const char *way = !strcmp(dir, "out") ? "oif" : "iif";

	if (!p->shut) {
		fprintf(w->f, "\t\t%s %u %sname \"%s\" ", way, p->device.ifindex, way,
			p->device.name);
		if (p->group)
			fprintf(w->f, "%sgroup %u ", way, p->group);
		fputs("accept\n", w->f);
	}
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

static void open_hook(
	const struct writer *w, const char *chain, const char *point, const char *priority)
{
	fprintf(w->f, "\tchain %s {\n\t\ttype filter hook %s priority %s; policy accept;\n", chain,
		point, priority);
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
	if (p->configured)
		fprintf(w->f, "\t\taccept comment \"configured %s\"\n", p->configured);
	fprintf(w->f, "\t\taccept comment \"asked %d\"\n", p->asked);
	fprintf(w->f, "\t\taccept comment \"nat %d\"\n", p->nat);
	fprintf(w->f, "\t\taccept comment \"bridge %d\"\n", p->bridge);
	fprintf(w->f, "\t\taccept comment \"guarded %d\"\n", p->guarded);
	fprintf(w->f, "\t\taccept comment \"group %u\"\n", p->group);
	fprintf(w->f, "\t\taccept comment \"shut %d\"\n", p->shut);
	for (size_t i = 0; i < p->n_carriers; i++)
		fprintf(w->f, "\t\taccept comment \"carrier %u %s\"\n", p->carriers[i].ifindex,
			p->carriers[i].name);
	fputs("\t}\n", w->f);
}

/* ---- IP, on any device ---- */

static void ip_match(const struct writer *w, bool four, const char *dir, bool dst)
{
	unsigned int top = four ? w->top4 : w->top6;
	unsigned int bit = four ? (dst ? 128 : 96) : (dst ? 192 : 64);

	fputs("\t\t", w->f);
	if (top)
		fprintf(w->f, "@nh,%u,%u @t%d ", bit, top, four ? 4 : 6);
	fprintf(w->f, "%s %s @p%d counter name \"%s-%s\" drop\n", four ? "ip" : "ip6",
		dst ? "daddr" : "saddr", four ? 4 : 6, dir, dst ? "destination" : "source");
}

/*
 * For packets that may be fenced. On devices where rules read each frame they have been judged; but
 * the program in traffic control is not relied upon: it is gone with a device that is made anew,
 * and sees less of what is wrapped up between here and there.
 */
static void ip_rules(const struct writer *w, bool four, const char *dir)
{
	const char *way = !strcmp(dir, "out") ? "oif" : "iif";

	fprintf(w->f, "\tchain %s {\n\t\t%s 1 accept\n", dir, way);
	if (!w->plan->guarded)
		fprintf(w->f, "\t\t%s . %sname @covered accept\n", way, way);
	exempt(w, dir, false);
	ip_match(w, four, dir, false);
	ip_match(w, four, dir, true);
	if (!four)
		fprintf(w->f,
			"\t\ticmpv6 type { 135, 136, 137 } @th,64,128 @n6 counter name "
			"\"%s-discovery\" drop\n",
			dir);
	fputs("\t}\n", w->f);
}

/* Most packets are of no interest, and should find that out first. */
static void ip_hook(const struct writer *w, bool four, const char *chain, const char *point,
	const char *priority, const char *to)
{
	open_hook(w, chain, point, priority);
	for (int dst = 0; dst < 2; dst++) {
		fputs("\t\t", w->f);
		ifp_write_likely(w, four, four ? (dst ? 128 : 96) : (dst ? 192 : 64));
		fprintf(w->f, "goto %s\n", to);
	}
	if (!four) /* an address may stand in a solicitation */
		fprintf(w->f, "\t\tmeta l4proto 58 goto %s\n", to);
	fputs("\t}\n", w->f);
}

/*
 * The source before somebody translates it. Connection tracking remembers more: what the addresses
 * were when the packet came to be.
 */
static void ip_before_nat(const struct writer *w, bool four)
{
	static const char *const ends[] = {"saddr", "daddr"};
	const char *ip = four ? "ip" : "ip6";

	fputs("\tchain leaving {\n\t\toif 1 accept\n", w->f);
	exempt(w, "out", false);
	ip_match(w, four, "out", false);
	for (size_t i = 0; i < 2 && w->plan->nat; i++)
		fprintf(w->f, "\t\tct original %s %s @p%d counter name \"out-translated\" drop\n",
			ip, ends[i], four ? 4 : 6);
	fputs("\t}\n", w->f);
	open_hook(w, "before", "postrouting", FIRST);
	fputs("\t\t", w->f);
	ifp_write_likely(w, four, four ? 96 : 64);
	fputs("goto leaving\n", w->f);
	for (size_t i = 0; i < 2 && w->plan->nat; i++)
		fprintf(w->f, "\t\tct original %s %s @p%d goto leaving\n", ip, ends[i],
			four ? 4 : 6);
	fputs("\t}\n", w->f);
}

/* A table for each family, for one that knows both would have to ask each packet what it is. */
static void ip_table(const struct writer *w, bool four)
{
	static const char *const reasons[] = {
		"source", "destination", "discovery", "translated", NULL};

	if (!(four ? w->four : w->six))
		return;
	open_table(w, four ? "ip" : "ip6");
	ifp_write_networks(
		w, four, four ? "p4" : "p6", four ? "type ipv4_addr" : "type ipv6_addr", true);
	if (!four)
		ifp_write_networks(w, false, "n6", "typeof @th,64,128", false);
	ifp_write_first_bytes(w, four);
	ifp_write_covered(w);
	ifp_write_counters(w, reasons);
	ip_rules(w, four, "out");
	ip_rules(w, four, "in");
	ip_before_nat(w, four);
	ip_hook(w, four, "after", "postrouting", LAST, "out");
	ip_hook(w, four, "arriving", "prerouting", FIRST, "in");
	fputs("}\n", w->f);
}

/* ---- what is below IP ---- */

static void arp_table(const struct writer *w)
{
	static const char *const reasons[] = {"arp", NULL};

	if (!w->four)
		return;
	open_table(w, "arp");
	ifp_write_networks(w, true, "p4", "typeof @nh,112,32", false);
	ifp_write_first_bytes(w, true);
	ifp_write_counters(w, reasons);
	for (int in = 0; in < 2; in++) {
		const char *dir = ifp_dir(in);

		open_hook(w, dir, in ? "input" : "output", in ? FIRST : LAST);
		exempt(w, dir, false);
		ifp_write_match(w, "nh", 112, "p4", dir, "arp");
		ifp_write_match(w, "nh", 192, "p4", dir, "arp");
		fputs("\t}\n", w->f);
	}
	fputs("}\n", w->f);
}

static void bridge_table(const struct writer *w)
{
	if (!w->plan->bridge)
		return;
	open_table(w, "bridge");
	ifp_write_frame_sets(w);
	for (int in = 0; in < 2; in++) {
		const char *dir = ifp_dir(in);

		ifp_write_wire(w, dir);
		open_hook(w, dir, in ? "prerouting" : "postrouting", in ? FIRST : LAST);
		exempt(w, dir, true);
		fprintf(w->f, "\t\tgoto %s_wire_12\n\t}\n", dir);
	}
	fputs("}\n", w->f);
}

/*
 * Where the fence's program in traffic control reads every frame, rules do so only for frames that
 * it may not see: those of packet sockets past the queueing discipline. They have no route.
 */
void ifp_plan_cover(FILE *f, const struct plan *plan, const struct port *port)
{
	for (int in = 0; in < (plan->guarded ? 1 : 2); in++) {
		const char *dir = ifp_dir(in);

		fprintf(f, "table netdev " TABLE_PREFIX "%s {\n\tchain %s%u {\n", plan->name, dir,
			port->ifindex);
		fprintf(f, "\t\ttype filter hook %s device \"%s\" priority %s; policy accept;\n",
			in ? "ingress" : "egress", port->name, in ? FIRST : LAST);
		if (plan->guarded)
			fputs("\t\t" IFP_HAS_ROUTE " accept\n", f);
		fprintf(f, "\t\tgoto %s_%s\n\t}\n}\n", dir,
			port->type == ARPHRD_ETHER ? "wire_12" : "bare");
	}
}

static void netdev_table(const struct writer *w)
{
	open_table(w, "netdev");
	ifp_write_frame_sets(w);
	about(w);
	for (int in = 0; in < (w->plan->guarded ? 1 : 2); in++) {
		ifp_write_wire(w, ifp_dir(in));
		ifp_write_bare(w, ifp_dir(in));
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
	ifp_prefix_common(w->plan->prefixes, w->plan->n_prefixes, &w->common);
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
	ip_table(&w, true);
	ip_table(&w, false);
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
