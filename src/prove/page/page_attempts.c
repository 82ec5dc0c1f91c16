// SPDX-License-Identifier: MIT
/* Attempts and protections: who let out what, and the first frame that did. */
#include "page.h"

#include "prove/html.h"

#include <string.h>

static bool begins_class(const struct proof *p, size_t i)
{
	return !i || strcmp(p->attempts[i]->class, p->attempts[i - 1]->class) != 0;
}

/* ---- filters ---- */

void ifp_page_filters(FILE *f, const struct proof *p)
{
	/* Shown by the script that makes them work. */
	ifp_html(f,
		"<form class=\"filters\" hidden aria-label=\"Which attempts are shown\">\n"
		"<label>Words <input type=\"search\" name=\"words\" autocomplete=\"off\"></label>\n"
		"<label>Class <select name=\"group\"><option value=\"\">all</option>");
	for (size_t i = 0; i < p->n; i++)
		if (begins_class(p, i))
			ifp_html(f, "<option>%s</option>", p->attempts[i]->class);
	ifp_html(f, "</select></label>\n"
		    "<label>Outcome <select name=\"what\"><option value=\"\">all</option>"
		    "<option value=\"open\">not held, or leaked, by what ifpin does</option>"
		    "<option value=\"untried\">not tried somewhere, or out of reach</option>"
		    "<option value=\"btd\">leaked past SO_BINDTODEVICE</option></select></label>\n"
		    "<output name=\"count\"></output>\n</form>\n");
}

/* Words for the filter, as many as apply. */
static void filter_words(FILE *f, const struct result r[PROT_COUNT])
{
	bool open = false, untried = false;

	for (int k = 0; k < PROT_COUNT; k++) {
		enum outcome o = r[k].outcome;

		if (ifp_page_is_ours((enum protection)k))
			open |= o == OUT_LEAKED || o == OUT_NOT_HELD || o == OUT_BROKEN;
		untried |= o == OUT_UNAVAILABLE || o == OUT_OF_REACH || o == OUT_NOT_APPLICABLE;
	}
	ifp_html(f, "%s%s%s", open ? "open " : "", untried ? "untried " : "",
		r[PROT_BINDTODEVICE].outcome == OUT_LEAKED ? "btd" : "");
}

/* ---- the table ---- */

static void head(FILE *f, const struct proof *p)
{
	ifp_html(f, THEAD TR COL "Attempt</th>");
	for_each_column (p, k)
		if (k == PROT_BINDTODEVICE)
			ifp_html(f, COL "SO_<wbr>BINDTO<wbr>DEVICE</th>");
		else
			ifp_html(f, COL "%s</th>", ifp_column(p, k));
	ifp_html(f, "</tr></thead>\n");
}

static void cell(FILE *f, const struct result *r)
{
	ifp_html(f, CELL "<span class=\"o %s\">", ifp_page_look(r->outcome));
	if (r->outcome <= OUT_NOT_HELD)
		ifp_html(f, "<b>%u</b> ", r->frames);
	ifp_html(f, "%s</span></td>", ifp_page_word(r->outcome));
}

static void row(FILE *f, const struct proof *p, size_t i)
{
	const struct attempt *a = p->attempts[i];

	ifp_html(f, "<tr role=\"row\" data-name=\"%s\" data-group=\"%s\" data-is=\"", a->name,
		a->class);
	filter_words(f, p->results[i]);
	ifp_html(f, "\">" ROW "<a href=\"#%s\"><code>%s</code></a></th>", a->name, a->name);
	for_each_column (p, k)
		cell(f, &p->results[i][k]);
	ifp_html(f, "</tr>\n");
}

void ifp_page_matrix(FILE *f, const struct proof *p)
{
	unsigned int width = 1;

	for_each_column (p, k)
		width++;
	ifp_html(f,
		"<table class=\"matrix%s\" role=\"table\"><caption>Frames that arrived at the far "
		"end of the other interface, for each attempt under each protection. "
		"The names lead to what the attempt does.</caption>\n",
		width > 7 ? " wide" : "");
	head(f, p);
	for (size_t i = 0; i < p->n; i++) {
		if (begins_class(p, i))
			ifp_html(f,
				TBODY
				"<tr class=\"group\" role=\"row\"><th "
				"scope=\"rowgroup\" role=\"rowheader\" colspan=\"%u\">%s <span "
				"class=\"about\">%s</span></th></tr>\n",
				width, p->attempts[i]->class,
				ifp_page_class(p->attempts[i]->class));
		row(f, p, i);
		if (i + 1 == p->n || begins_class(p, i + 1))
			ifp_html(f, "</tbody>\n");
	}
	ifp_html(f, "</table>\n");
}

/* ---- one by one ---- */

static void layer(const char *text, void *f)
{
	ifp_html(f, "<li>%s</li>", text);
}

/* Sixteen bytes a line. */
static void bytes(FILE *f, const struct evidence *e)
{
	char line[3 * 16 + 1];

	ifp_html(
		f, "<details><summary>%u bytes</summary><p class=\"bytes\">", (unsigned int)e->len);
	for (size_t i = 0; i < e->kept; i += 16) {
		for (size_t k = 0; k < 16 && i + k < e->kept; k++)
			snprintf(line + 3 * k, 4, "%02x ", e->bytes[i + k]);
		ifp_html(f, "%s\n", line);
	}
	ifp_html(f, "%s</p></details>", e->kept < e->len ? "..." : "");
}

static void frame(FILE *f, const char *column, const struct evidence *e)
{
	ifp_html(f, "<p class=\"first\">First leaked frame, %s%s:</p><ol class=\"layers\">",
		column ? "under " : "without protection", column ?: "");
	ifp_frame_decode(e->bytes, e->kept, layer, f);
	ifp_html(f, "</ol>");
	bytes(f, e);
}

/* The first one shows what a leak would be; one past ifpin is shown as well. */
static void frames(FILE *f, const struct proof *p, const struct result r[PROT_COUNT])
{
	bool any = false;

	for_each_column (p, k) {
		if (!r[k].frames || (any && !ifp_page_is_ours(k)))
			continue;
		if (any && (r[k].outcome == OUT_OF_REACH))
			continue;
		frame(f, k == PROT_NONE ? NULL : ifp_column(p, k), &r[k].first);
		any = true;
	}
	if (!any)
		ifp_html(f, "<p class=\"first\">No frame of it was seen.</p>");
}

static void reasons(FILE *f, const struct proof *p, size_t i)
{
	char why[512];

	for_each_column (p, k) {
		enum outcome o = p->results[i][k].outcome;

		if (o != OUT_NOT_APPLICABLE && !ifp_page_untried(p, k) &&
			*ifp_report_why(p, i, k, why, sizeof(why)))
			ifp_html(f, "<p class=\"why\">%s: %s; %s.</p>", ifp_column(p, k),
				ifp_page_word(o), why);
	}
}

static void article(FILE *f, const struct proof *p, size_t i)
{
	const struct attempt *a = p->attempts[i];

	ifp_html(f,
		"<article id=\"%s\"><h4><code>%s</code></h4><p>%s</p>"
		"<p class=\"rests\">Rests on: %s</p>",
		a->name, a->name, a->sentence, a->rests_on);
	reasons(f, p, i);
	frames(f, p, p->results[i]);
	ifp_html(f, "</article>\n");
}

void ifp_page_attempts(FILE *f, const struct proof *p)
{
	for (size_t i = 0; i < p->n; i++) {
		if (begins_class(p, i))
			ifp_html(f,
				"<section class=\"class\"><h3>%s%s%s</h3>\n"
				"<div class=\"attempts\">\n",
				p->attempts[i]->class,
				*ifp_page_class(p->attempts[i]->class) ? ": " : "",
				ifp_page_class(p->attempts[i]->class));
		article(f, p, i);
		if (i + 1 == p->n || begins_class(p, i + 1))
			ifp_html(f, "</div></section>\n");
	}
}
