// SPDX-License-Identifier: MIT
/* The answer, and what it does not cover: of equal weight. */
#include "page.h"

#include "prove/html.h"

#include <string.h>

struct sums {
	unsigned int of[OUT_COUNT];
	unsigned int tried; /* held or let out */
};

const char *ifp_page_look(enum outcome o)
{
	static const char *const looks[OUT_COUNT] = {[OUT_HELD] = "held",
		[OUT_LEAKED] = "leak",
		[OUT_NOT_HELD] = "open",
		[OUT_BROKEN] = "leak"};

	return looks[o] ?: "off";
}

const char *ifp_page_word(enum outcome o)
{
	return o == OUT_UNAVAILABLE ? "not here" : ifp_outcome_names[o];
}

const char *ifp_page_class(const char *class)
{
	static const struct {
		const char *class, *text;
	} texts[] = {
		{"route", "ordinary traffic that routing sends by the other device"},
		{"pktinfo", "the packet names its device by itself"},
		{"option", "socket options that choose or lose the device"},
		{"join", "multicast joins, which the kernel reports by a socket of its own"},
		{"packet", "families below IP"},
		{"reflect", "packets that make the kernel itself send a frame"},
		{"escape",
			"ways to be somebody else, somewhere else, or to have a socket from there"},
		{"host", "what the host does by itself, or a program that is not held"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (!strcmp(class, texts[i].class))
			return texts[i].text;
	return "";
}

bool ifp_page_is_ours(enum protection k)
{
	return k == PROT_LIBIFPIN || k == PROT_IFPIN || k == PROT_FENCE;
}

bool ifp_page_untried(const struct proof *p, enum protection k)
{
	return k >= PROT_AGAINST && p->against[k - PROT_AGAINST].none.code;
}

static struct sums sum(const struct proof *p, int k)
{
	struct sums s = {};

	for (size_t i = 0; i < p->n; i++)
		s.of[p->results[i][k].outcome]++;
	s.tried = s.of[OUT_HELD] + s.of[OUT_LEAKED] + s.of[OUT_NOT_HELD];
	return s;
}

/* ---- the answer ---- */

static void name_of(FILE *f, const struct proof *p, size_t i)
{
	ifp_html(f, "<a href=\"#%s\"><code>%s</code></a>", p->attempts[i]->name,
		p->attempts[i]->name);
}

static void answer_of(FILE *f, const struct proof *p, enum protection k)
{
	struct sums s = sum(p, k);

	if (!s.tried && !s.of[OUT_BROKEN])
		return;
	if (k == PROT_NONE)
		ifp_html(f, "<li>Without protection %u of %u attempts leaked", s.of[OUT_LEAKED],
			s.tried + s.of[OUT_BROKEN]);
	else
		ifp_html(f, "<li><code>%s</code> held %u of %u attempts", ifp_column(p, k),
			s.of[OUT_HELD], s.tried + s.of[OUT_BROKEN]);
	if (s.of[OUT_LEAKED] && k != PROT_NONE)
		ifp_html(f, "; %u leaked", s.of[OUT_LEAKED]);
	if (s.of[OUT_NOT_HELD])
		ifp_html(f, "; %u cannot be held on this kernel", s.of[OUT_NOT_HELD]);
	if (s.of[OUT_BROKEN])
		ifp_html(f, "; %u could not be made", s.of[OUT_BROKEN]);
	if (s.of[OUT_OF_REACH])
		ifp_html(f, "; %u more are out of its reach", s.of[OUT_OF_REACH]);
	ifp_html(f, ".</li>\n");
}

/* The names of what is not held, each once. */
static void name_open(FILE *f, const struct proof *p)
{
	bool any = false;

	for (size_t i = 0; i < p->n; i++) {
		bool open = false;

		for_each_column (p, k)
			open |= p->results[i][k].outcome == OUT_NOT_HELD;
		if (!open)
			continue;
		ifp_html(f, "%s", any ? ", " : "");
		name_of(f, p, i);
		any = true;
	}
}

static unsigned int attempts_leaked(const struct proof *p)
{
	unsigned int n = 0;

	for (size_t i = 0; i < p->n; i++) {
		bool leaked = false;

		for_each_column (p, k)
			leaked |= ifp_page_is_ours(k) && p->results[i][k].outcome == OUT_LEAKED;
		n += leaked;
	}
	return n;
}

void ifp_page_answer(FILE *f, const struct proof *p)
{
	static const enum protection order[] = {
		PROT_IFPIN, PROT_LIBIFPIN, PROT_FENCE, PROT_BINDTODEVICE, PROT_BIND, PROT_NONE};
	unsigned int failures = ifp_report_failures(p), leaked = attempts_leaked(p), open = 0;

	for_each_column (p, k)
		open += sum(p, k).of[OUT_NOT_HELD];
	ifp_html(f, "<div class=\"answer %s\"><p class=\"short\">",
		failures ? "leak"
		: open	 ? "open"
			 : "held");
	if (leaked) {
		ifp_html(
			f, "Yes: %u of %u attempts leaked past ifpin.", leaked, (unsigned int)p->n);
	} else if (failures) {
		ifp_html(f,
			"This does not tell: %u of %u attempts could not be made, or show nothing.",
			failures, (unsigned int)p->n);
	} else if (open) {
		ifp_html(f, "No, but for what this kernel gives no means to hold: ");
		name_open(f, p);
		ifp_html(f, ".");
	} else {
		ifp_html(f, "No: not by any of the attempts that were made.");
	}
	ifp_html(f, "</p>\n<ul>\n");
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		if (ifp_column(p, order[i]))
			answer_of(f, p, order[i]);
	for_each_column (p, k)
		if (k >= PROT_AGAINST)
			answer_of(f, p, k);
	ifp_html(f, "</ul></div>\n");
}

/* ---- sums ---- */

void ifp_page_sums(FILE *f, const struct proof *p)
{
	static const char *const what[PROT_AGAINST] = {
		[PROT_NONE] = "a socket as the program opens it",
		[PROT_BIND] = "the socket has an address of in0 as its source",
		[PROT_BINDTODEVICE] = "the socket is tied to in0 by this option alone",
		[PROT_LIBIFPIN] = "the program opens and uses its sockets by this library",
		[PROT_IFPIN] = "the program, and all that it starts, is confined to in0",
		[PROT_FENCE] = "the host holds all traffic with addresses of in0's networks",
	};
	static const struct {
		enum outcome outcome;
		const char *head;
	} columns[] = {{OUT_HELD, "Held"}, {OUT_LEAKED, "Leaked"}, {OUT_NOT_HELD, "Not held"},
		{OUT_BROKEN, "Broken"}, {OUT_OF_REACH, "Out of reach"},
		{OUT_UNAVAILABLE, "Not here"}, {OUT_NOT_APPLICABLE, "n/a"}};

	ifp_html(f,
		"<table class=\"sums\" role=\"table\"><caption>Number of attempts by outcome. \"Out of reach\" and \"n/a\": "
		"not what the protection is for. \"Not here\": this kernel has not what the "
		"attempt takes.</caption>\n" THEAD TR COL "Protection</th>" COL "What it is</th>");
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		ifp_html(f, COL "%s</th>", columns[i].head);
	ifp_html(f, "</tr></thead>\n" TBODY "\n");
	for_each_column (p, k) {
		struct sums s = sum(p, k);

		ifp_html(f, TR ROW "<code>%s</code></th>" CELL, ifp_column(p, k));
		if (k < PROT_AGAINST)
			ifp_html(f, "%s</td>", what[k]);
		else
			ifp_html(f, "the program is started by <code>%s</code></td>",
				p->against[k - PROT_AGAINST].words);
		for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
			ifp_html(f, "<td role=\"cell\" data-of=\"%s\">%u</td>", columns[i].head,
				s.of[columns[i].outcome]);
		ifp_html(f, "</tr>\n");
	}
	ifp_html(f, "</tbody></table>\n");
}

/* ---- what was held, and what was not ---- */

/* One line for each, with its reason. */
static bool list_open(FILE *f, const struct proof *p, int k)
{
	bool any = false;
	char why[512];

	for (size_t i = 0; i < p->n; i++) {
		const struct result *r = &p->results[i][k];

		if (r->outcome != OUT_LEAKED && r->outcome != OUT_NOT_HELD &&
			r->outcome != OUT_BROKEN)
			continue;
		if (!any)
			ifp_html(f, "<h4>%s</h4><ul>\n", ifp_column(p, (enum protection)k));
		any = true;
		ifp_report_why(p, i, (enum protection)k, why, sizeof(why));
		ifp_html(f, "<li>");
		name_of(f, p, i);
		ifp_html(f, ": %s. <span class=\"o %s\">%s</span> %u frame%s%s%s.</li>\n",
			p->attempts[i]->sentence, ifp_page_look(r->outcome),
			ifp_page_word(r->outcome), r->frames, r->frames == 1 ? "" : "s",
			*why ? "; " : "", why);
	}
	if (any)
		ifp_html(f, "</ul>\n");
	return any;
}

/* Attempts with the same outcome and reason stand together. */
static bool list_untried(FILE *f, const struct proof *p, int k, enum outcome o)
{
	_cleanup_free_ bool *done = calloc(p->n, sizeof(*done));
	char why[512], other[512];
	bool any = false;

	for (size_t i = 0; done && i < p->n; i++) {
		unsigned int n = 0;

		if (done[i] || p->results[i][k].outcome != o)
			continue;
		any = true;
		ifp_report_why(p, i, (enum protection)k, why, sizeof(why));
		ifp_html(f, "<h4>%s: %s</h4><p class=\"names\">Because %s:",
			ifp_column(p, (enum protection)k), ifp_page_word(o), why);
		for (size_t x = i; x < p->n; x++) {
			if (p->results[x][k].outcome != o ||
				strcmp(ifp_report_why(
					       p, x, (enum protection)k, other, sizeof(other)),
					why) != 0)
				continue;
			done[x] = true;
			ifp_html(f, "%s", n++ ? ", " : " ");
			name_of(f, p, x);
		}
		ifp_html(f, " (%u in all).</p>\n", n);
	}
	return any;
}

static void not_held(FILE *f, const struct proof *p)
{
	bool any = false;

	ifp_html(f, "<div class=\"card open\"><h3>Not held, or not tried</h3>\n");
	for_each_column (p, k)
		if (ifp_page_is_ours(k))
			any |= list_open(f, p, k);
	any |= list_untried(f, p, PROT_NONE, OUT_BROKEN);
	any |= list_untried(f, p, PROT_NONE, OUT_UNAVAILABLE);
	for_each_column (p, k) {
		if (ifp_page_untried(p, k))
			ifp_html(f, "<h4>%s: not here</h4><p>Nothing was tried: %s.</p>\n",
				ifp_column(p, k), p->against[k - PROT_AGAINST].none.text);
		if (!ifp_page_is_ours(k))
			continue;
		any |= list_untried(f, p, k, OUT_OF_REACH);
		if (k == PROT_FENCE && p->no_fence.code)
			any |= list_untried(f, p, k, OUT_UNAVAILABLE);
	}
	/* One reason for the three of them, and the same attempts. */
	any |= list_untried(f, p, PROT_IFPIN, OUT_NOT_APPLICABLE);
	if (!any)
		ifp_html(f, "<p>Nothing of what was asked for.</p>\n");
	ifp_html(f,
		"<h4>No proof can show</h4><ul>"
		"<li>ways out that nobody has made an attempt of;</li>"
		"<li>other kernels, other devices and other rules than those of this laboratory;</li>"
		"<li>what a process that is not held does for one that is: docs/threat-model.md "
		"has these.</li></ul></div>\n");
}

static void held_by(FILE *f, const struct proof *p, int k)
{
	struct sums s = sum(p, k);

	if (!s.tried)
		return;
	ifp_html(f, "<h4>%s: %u of %u</h4><ul>\n", ifp_column(p, (enum protection)k),
		s.of[OUT_HELD], s.tried);
	for (size_t i = 0; i < p->n;) {
		const char *class = p->attempts[i]->class;
		unsigned int held = 0;

		for (; i < p->n && !strcmp(p->attempts[i]->class, class); i++)
			held += p->results[i][k].outcome == OUT_HELD;
		if (held)
			ifp_html(f, "<li>%u %s%s%s</li>\n", held, class,
				*ifp_page_class(class) ? ": " : "", ifp_page_class(class));
	}
	ifp_html(f, "</ul>\n");
}

void ifp_page_held(FILE *f, const struct proof *p)
{
	ifp_html(f, "<div class=\"two\">\n");
	not_held(f, p);
	ifp_html(f, "<div class=\"card held\"><h3>Held</h3>\n"
		    "<p>No frame arrived at the far end, though the attempt was made, and the same "
		    "attempt without protection did put one there.</p>\n");
	for_each_column (p, k)
		if (ifp_page_is_ours(k))
			held_by(f, p, k);
	ifp_html(f, "</div>\n</div>\n");
}
