// SPDX-License-Identifier: MIT
/* The page for people: one file, which asks nobody for anything and can be read without scripts. */
#include "page/page.h"

#include "html.h"
#include "page_parts.h"

#include <errno.h>
#include <string.h>

static void head(FILE *f, const struct facts *facts)
{
	ifp_html(f,
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		"style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'\">\n"
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		"<meta name=\"referrer\" content=\"no-referrer\">\n"
		"<meta name=\"generator\" content=\"ifpin %s\">\n"
		"<title>Proof of ifpin, Linux %s, %s</title>\n<style>",
		PAGE_CSS_HASH, PAGE_JS_HASH, IFPIN_VERSION, facts->host.release, facts->date);
	fputs(page_css, f);
	ifp_html(f, "</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#attempts\">"
		    "To the table of attempts</a>\n");
}

static void fact(FILE *f, const char *what, const char *is)
{
	ifp_html(f, "<dt>%s</dt><dd>%s</dd>\n", what, is);
}

static void opening(FILE *f, const struct proof *p, const struct facts *facts)
{
	ifp_html(f,
		"<header>\n<p class=\"kind\">Report of <code>ifpin prove</code></p>\n"
		"<h1>Can traffic that is to use one interface only leave this host by another?</h1>\n");
	ifp_page_answer(f, p);
	ifp_html(f, "<dl class=\"facts\">\n");
	fact(f, "Date", facts->date);
	ifp_html(f, "<dt>Kernel</dt><dd>Linux %s, %s</dd>\n", facts->host.release,
		facts->host.machine);
	fact(f, "ifpin", IFPIN_VERSION);
	ifp_html(f, "<dt>Attempts</dt><dd>%u%s%s</dd>\n</dl>\n", (unsigned int)p->n,
		p->opts->only ? ", only those of " : ", all that this ifpin knows",
		p->opts->only ?: "");
	ifp_html(f,
		"<nav aria-label=\"Contents\"><ul><li><a href=\"#how\">How it was asked</a></li>"
		"<li><a href=\"#held\">Held and not held</a></li>"
		"<li><a href=\"#attempts\">Attempts and protections</a></li>"
		"<li><a href=\"#each\">Each attempt</a></li>"
		"<li><a href=\"#made\">How this was made</a></li></ul></nav>\n</header>\n");
}

static void how(FILE *f, const struct proof *p)
{
	ifp_html(f, "<section aria-labelledby=\"how\"><h2 id=\"how\">How it was asked</h2>\n"
		    "<div class=\"two\">\n<figure>");
	fputs(page_svg, f);
	ifp_html(f,
		"<figcaption>The laboratory, made of network namespaces for this proof "
		"alone.</figcaption></figure>\n<div>\n"
		"<p>Every attempt is code that tries to make a frame leave by <code>out0</code>, "
		"though it is to use <code>in0</code> only. It was made once without any "
		"protection, to see that it leaks at all, and then under each protection.</p>\n"
		"<p>What counts is what arrives: frames are captured at the far end of the other "
		"interface, and each attempt is known again by a marker of its own, or by what "
		"nothing else would send. A frame sent behind each attempt says when all of it "
		"has come. The capture lost no frame: the kernel was asked.</p>\n"
		"<p>An attempt that was not made is never held: its process has to report "
		"that it made it.</p>\n</div>\n</div>\n");
	ifp_page_sums(f, p);
	ifp_html(f, "</section>\n");
}

static void results(FILE *f, const struct proof *p)
{
	ifp_html(f, "<section aria-labelledby=\"held\"><h2 id=\"held\">What was held, and what was "
		    "not</h2>\n");
	ifp_page_held(f, p);
	ifp_html(f, "</section>\n<section aria-labelledby=\"attempts\"><h2 id=\"attempts\" "
		    "tabindex=\"-1\">Attempts and protections</h2>\n");
	ifp_page_filters(f, p);
	ifp_page_matrix(f, p);
	ifp_html(f, "</section>\n<section aria-labelledby=\"each\"><h2 id=\"each\">Each "
		    "attempt</h2>\n");
	ifp_page_attempts(f, p);
	ifp_html(f, "</section>\n");
}

/* As a shell would read it again. */
static void command(FILE *f, const struct ifpin_prove_opts *o)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "%+,-./:=@_";

	ifp_html(f, "<dt>Command</dt><dd><code>ifpin prove");
	for (size_t i = 0; i < o->n_command; i++) {
		const char *word = o->command[i];

		if (*word && !word[strspn(word, plain)]) {
			ifp_html(f, " %s", word);
			continue;
		}
		ifp_html(f, " '");
		for (; *word; word++) {
			size_t n = ifp_utf8_length(word) ?: 1;
			char c[5] = "";

			memcpy(c, word, n);
			ifp_html(f, "%s", *word == '\'' ? "'\\''" : c);
			word += n - 1;
		}
		ifp_html(f, "'");
	}
	ifp_html(f, "</code></dd>\n");
}

static void mechanisms(FILE *f, const struct facts *facts)
{
	ifp_html(f,
		"<table class=\"parts\" role=\"table\"><caption>What ifpin holds by, and whether this kernel has "
		"it. Dropped capabilities and a read-only view of cgroups come to it on every "
		"kernel.</caption>\n" THEAD TR COL "Mechanism</th>" COL "What it "
		"does</th>" COL "Here</th></tr></thead>\n" TBODY "\n");
	for (size_t i = 0; i < facts->n; i++) {
		const struct mechanism *m = &facts->mechanisms[i];

		ifp_html(f,
			TR ROW "%s</th>" CELL "%s</td>" CELL "<span class=\"o %s\">%s</span>"
			       " %s</td></tr>\n",
			m->name, m->purpose, m->there ? "held" : "open", m->there ? "yes" : "no",
			m->why);
	}
	ifp_html(f, "</tbody></table>\n");
}

static void made(FILE *f, const struct proof *p, const struct facts *facts)
{
	const char *name;
	char text[64];

	ifp_html(f, "<section aria-labelledby=\"made\"><h2 id=\"made\">How this was made</h2>\n"
		    "<dl class=\"facts\">\n");
	command(f, p->opts);
	fact(f, "Date", facts->date);
	ifp_html(f, "<dt>Kernel</dt><dd>Linux %s, %s, %s</dd>\n", facts->host.release,
		facts->host.version, facts->host.machine);
	snprintf(text, sizeof(text), "%.1f s", p->seconds);
	fact(f, "Duration", text);
	ifp_html(f,
		"<dt>Battery</dt><dd>%u attempts, SHA-256 <code>%s</code> (of the name and the "
		"sentence of each, a line each, in the order of the table)</dd>\n",
		(unsigned int)p->n, facts->sha256);
	for (size_t i = 0; ifp_facts_part(i, &name, text); i++)
		fact(f, name, text);
	ifp_html(f, "</dl>\n");
	mechanisms(f, facts);
	ifp_html(f, "</section>\n");
}

int ifp_report_html(
	const struct proof *p, const struct facts *facts, const char *path, struct ifpin_error *err)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return ifp_fail_errno(err, -errno, "cannot write %s", path);
	head(f, facts);
	opening(f, p, facts);
	ifp_html(f, "<main>\n");
	how(f, p);
	results(f, p);
	made(f, p, facts);
	ifp_html(f,
		"</main>\n<footer><p>Made by ifpin %s on %s. The same in JSON, with every "
		"result, is for programs: <code>ifpin prove --json</code>.</p></footer>\n<script>",
		IFPIN_VERSION, facts->date);
	fputs(page_js, f);
	ifp_html(f, "</script>\n</body>\n</html>\n");
	return ifp_report_close(f, path, err);
}
