// SPDX-License-Identifier: MIT
/* What would be sent on a host, and what came of it. */
#include "here.h"
#include "report.h"

#include <json-c/json.h>
#include <string.h>
#include <sys/utsname.h>

#define NAMES_SHOWN 8 /* of devices, in one line */

const char *ifp_here_column(const struct here *h, enum protection k)
{
	if (k == PROT_NONE && h->opts->control)
		return ifp_protection_names[k];
	if (k != PROT_IFPIN)
		return NULL;
	return h->opts->pin ? "pin" : h->against ? "against" : ifp_protection_names[k];
}

struct plain {
	char s[IF_NAMESIZE];
};

/* A device may be called what would write over a terminal's line. */
static struct plain plain(const char *name)
{
	struct plain r = {};

	for (size_t i = 0; name[i] && i < sizeof(r.s) - 1; i++)
		r.s[i] = (unsigned char)name[i] < ' ' || name[i] == 0x7f ? '?' : name[i];
	return r;
}

static void by_what(const struct here *h, FILE *out)
{
	const struct ifpin_prove_opts *o = h->opts;

	if (o->pin)
		fprintf(out, "in the pin \"%s\" (to %s)", o->pin, plain(h->pin_device).s);
	else if (h->against)
		fprintf(out, "by the command \"%s\"", h->against);
	else
		fputs("by ifpin run", out);
}

static void print_others(const struct here *h, FILE *out)
{
	for (size_t i = 0; i < h->n_others && i < NAMES_SHOWN; i++)
		fprintf(out, "%s%s%s", i ? ", " : "", plain(h->others[i].dev.name).s,
			h->others[i].excused ? " (not counted: a VRF, or a member of it)"
			: h->others[i].below ? " (which carries it)"
					     : "");
	if (h->n_others > NAMES_SHOWN)
		fprintf(out, " and %zu more", h->n_others - NAMES_SHOWN);
}

void ifp_here_plan(const struct proof *p, FILE *out)
{
	const struct here *h = p->here;
	char prefix[INET6_ADDRSTRLEN];
	struct env e = {};

	ifp_marks_fill(&h->known, 0, &e);
	memcpy(prefix, e.at.peer_in6, sizeof(prefix));
	fprintf(out,
		"Up to %zu attempts to leave by another device than %s would be made, confined ",
		h->n_tried, plain(h->self.dev.name).s);
	by_what(h, out);
	fputs(h->opts->control ? ",\nand then once more without any confinement. " : ".\n", out);
	fprintf(out, "Each sends one to a hundred small packets, by %s; whatever leaks, by: ",
		plain(h->self.dev.name).s);
	print_others(h, out);
	fprintf(out,
		".\n"
		"  to addresses for documentation: 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24,\n"
		"    2001:db8::/32 (here %s and others), groups of 233.252.0.0/24 and\n"
		"    ff02::db8:0:0/96, ff05::db8:0:0/96\n"
		"  with a hop limit of 1: the next router lets none of them pass; what asks for neighbours\n"
		"    (ARP, neighbour discovery) and reports groups (IGMP, MLD) passes no router anyway\n"
		"  with a random marker, by which they are known again\n"
		"Nothing of this host is changed: no route, no rule, no setting, no device.\n",
		prefix);
}

static void print_leaks(const struct here *h, size_t k, int phase, FILE *out)
{
	unsigned int number = (unsigned int)((size_t)phase * h->n_tried + k);
	unsigned int shown = 0, more = 0;

	for (size_t d = 0; d < h->n_others; d++) {
		unsigned int n = ifp_here_leaked(h, &h->others[d], number);

		if (n && shown++ < NAMES_SHOWN)
			fprintf(out, "%s%s %u", shown > 1 ? ", " : "",
				plain(h->others[d].dev.name).s, n);
		else if (n)
			more++;
	}
	if (more)
		fprintf(out, " and %u more devices", more);
}

static void rows(const struct proof *p, FILE *out, bool colour)
{
	const struct here *h = p->here;

	fprintf(out, "%-10s %-26s%-16s", "CLASS", "ATTEMPT", ifp_column(p, PROT_IFPIN));
	fputs(h->opts->control ? "none            WHERE\n" : "WHERE\n", out);
	for (size_t k = 0; k < h->n_tried; k++) {
		const struct attempt *a = p->attempts[h->tried[k]];
		const struct result *r = p->results[h->tried[k]];

		if (r[PROT_IFPIN].outcome == OUT_NOT_TRIED)
			continue;
		fprintf(out, "%-10s %-26s", a->class, a->name);
		ifp_report_cell(out, &r[PROT_IFPIN], CELL_WIDTH, colour);
		if (h->opts->control)
			ifp_report_cell(out, &r[PROT_NONE], CELL_WIDTH, colour);
		print_leaks(h, k, HERE_CONFINED, out);
		fputc('\n', out);
	}
}

/* Each reason once, with all whose reason it is. */
static void by_reason(const struct proof *p, enum outcome o, const char *title, FILE *out)
{
	bool any = false;

	for (size_t i = 0; i < p->n; i++) {
		const char *why = p->results[i][PROT_IFPIN].lacking;
		bool first = p->results[i][PROT_IFPIN].outcome == o;

		for (size_t k = 0; k < i && first; k++)
			first = p->results[k][PROT_IFPIN].outcome != o ||
				strcmp(p->results[k][PROT_IFPIN].lacking, why) != 0;
		if (!first)
			continue;
		if (!any)
			fprintf(out, "\n%s:\n", title);
		any = true;
		fprintf(out, "  %s:", why);
		for (size_t k = i; k < p->n; k++)
			if (p->results[k][PROT_IFPIN].outcome == o &&
				!strcmp(p->results[k][PROT_IFPIN].lacking, why))
				fprintf(out, " %s", p->attempts[k]->name);
		fputc('\n', out);
	}
}

static unsigned int own_frames(const struct here *h)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < h->known.n; i++)
		n += h->self.counts[i].frames;
	for (size_t d = 0; d < h->n_others; d++)
		for (unsigned int i = 0; i < h->known.n && h->others[d].excused; i++)
			n += h->others[d].counts[i].frames;
	return n;
}

static void print_unsure(const struct here *h, FILE *out)
{
	for (size_t i = 0; i < h->n_others; i++)
		if (h->others[i].unsure)
			fprintf(out, "Not seen: what leaks by %s, %s.\n",
				plain(h->others[i].dev.name).s, h->others[i].unsure);
}

static void total(const struct proof *p, enum protection k, const char *name, FILE *out)
{
	unsigned int n[OUT_COUNT] = {};

	for (size_t i = 0; i < p->n; i++)
		n[p->results[i][k].outcome]++;
	fprintf(out, "%-16s %3u of %zu attempts leaked", name, n[OUT_LEAKED] + n[OUT_NOT_HELD],
		p->n - n[OUT_NOT_TRIED] - n[OUT_NOT_APPLICABLE]);
	if (n[OUT_NOT_HELD])
		fprintf(out, ", %u of them cannot be held so", n[OUT_NOT_HELD]);
	if (n[OUT_BROKEN])
		fprintf(out, ", %u broken", n[OUT_BROKEN]);
	fprintf(out, ", %u not tried here\n", n[OUT_NOT_TRIED]);
}

void ifp_here_table(const struct proof *p, FILE *out, bool colour)
{
	const struct here *h = p->here;
	struct utsname u;

	fprintf(out, "On this host, as it is: only %s, ", plain(h->self.dev.name).s);
	by_what(h, out);
	fputs(".\n\n", out);
	rows(p, out, colour);
	fputs("\n\".\": no frame; LEAK, not held: frames that another device was given to send\n",
		out);
	by_reason(p, OUT_NOT_HELD, "Not held so, and what it would need", out);
	by_reason(p, OUT_NOT_TRIED, "Not tried here, and why", out);
	fprintf(out, "\nWatched: ");
	print_others(h, out);
	fprintf(out, "; %u frames looked at, of which %u were the attempts' own, by %s\n", h->seen,
		own_frames(h), plain(h->self.dev.name).s);
	for (size_t i = 0; i < h->n_down; i++)
		fprintf(out, "%s%s%s", i ? ", " : "Switched off: ", plain(h->down[i]).s,
			i + 1 == h->n_down ? "\n" : "");
	print_unsure(h, out);
	if (!own_frames(h))
		fprintf(out,
			"No attempt has sent anything by %s, so this shows little: is there a "
			"firewall, or no carrier?\n",
			plain(h->self.dev.name).s);
	if (!h->opts->control)
		fputs("Which of them leak here without confinement, --control would show.\n", out);
	fputc('\n', out);
	if (h->opts->control)
		total(p, PROT_NONE, ifp_protection_names[PROT_NONE], out);
	total(p, PROT_IFPIN, ifp_column(p, PROT_IFPIN), out);
	if (!uname(&u))
		fprintf(out,
			"\nLinux %s %s; %u attempts, counted for each device that they name; "
			"%.1f s\n",
			u.release, u.machine, h->made, p->seconds);
}

static json_object *text(const char *s)
{
	return s ? ifp_report_text(s) : NULL;
}

static json_object *leaks_of(const struct proof *p)
{
	const struct here *h = p->here;
	json_object *list = json_object_new_array();

	for (size_t k = 0; k < h->n_tried; k++)
		for (size_t d = 0; d < h->n_others; d++) {
			unsigned int n = ifp_here_leaked(h, &h->others[d], (unsigned int)k);
			json_object *o = n ? json_object_new_object() : NULL;

			if (!o)
				continue;
			json_object_object_add(o, "attempt", text(p->attempts[h->tried[k]]->name));
			json_object_object_add(o, "device", text(h->others[d].dev.name));
			json_object_object_add(o, "frames", json_object_new_int64(n));
			json_object_array_add(list, o);
		}
	return list;
}

static json_object *reasons_of(const struct proof *p)
{
	json_object *o = json_object_new_object();

	for (size_t i = 0; i < p->n; i++)
		if (p->results[i][PROT_IFPIN].outcome == OUT_NOT_TRIED)
			json_object_object_add(
				o, p->attempts[i]->name, text(p->results[i][PROT_IFPIN].lacking));
	return o;
}

json_object *ifp_here_json(const struct proof *p)
{
	const struct here *h = p->here;
	json_object *o = json_object_new_object(), *watched = json_object_new_array();
	json_object *unsure = json_object_new_array();

	for (size_t i = 0; i < h->n_others; i++) {
		json_object_array_add(watched, text(h->others[i].dev.name));
		if (h->others[i].unsure)
			json_object_array_add(unsure, text(h->others[i].dev.name));
	}
	json_object_object_add(o, "device", text(h->self.dev.name));
	json_object_object_add(o, "ifindex", json_object_new_int64(h->self.dev.ifindex));
	json_object_object_add(o, "pin", text(h->opts->pin));
	json_object_object_add(o, "against", text(h->against));
	json_object_object_add(o, "control", json_object_new_boolean(h->opts->control));
	json_object_object_add(o, "watched", watched);
	json_object_object_add(o, "unsure", unsure);
	json_object_object_add(o, "made", json_object_new_int64(h->made));
	json_object_object_add(o, "own_frames", json_object_new_int64(own_frames(h)));
	json_object_object_add(o, "leaks", leaks_of(p));
	json_object_object_add(o, "not_tried", reasons_of(p));
	return o;
}
