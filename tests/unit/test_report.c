// SPDX-License-Identifier: MIT
/* What a report says: text in a page, frames in words, and what is worse than before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "prove/html.h"
#include "prove/report.h"

#include <errno.h>
#include <string.h>

/* ---- escaping ---- */

static void assert_html(const char *text, const char *html)
{
	char *got = NULL;
	size_t n;
	FILE *f = open_memstream(&got, &n);

	ifp_html_text(f, text);
	fclose(f);
	assert_string_equal(got, html);
	free(got);
}

static void escapes(void **state)
{
	(void)state;
	assert_html("", "");
	assert_html("a b\tc\n", "a b\tc\n");
	assert_html("<script>alert('x') & \"y\"</script>",
		"&lt;script&gt;alert(&#39;x&#39;) &amp; &quot;y&quot;&lt;/script&gt;");
	assert_html("\x01\x1b[31m\x7f", "\uFFFD\uFFFD[31m\uFFFD");
	assert_html("gr\u00fc\u00df \u2192 \U0001F600", "gr\u00fc\u00df \u2192 \U0001F600");
}

static void not_utf8(void **state)
{
	(void)state;
	assert_html("a\xff z", "a\uFFFD z");
	assert_html("\xc3", "\uFFFD");				     /* ends too early */
	assert_html("\xc3<b>", "\uFFFD&lt;b&gt;");		     /* eats nothing that follows */
	assert_html("\xe2\x86<", "\uFFFD\uFFFD&lt;");		     /* nor this */
	assert_html("\xc0\xbc", "\uFFFD\uFFFD");		     /* "<" in two bytes */
	assert_html("\xe0\x80\xbc", "\uFFFD\uFFFD\uFFFD");	     /* and in three */
	assert_html("\xed\xa0\x80", "\uFFFD\uFFFD\uFFFD");	     /* half of a pair */
	assert_html("\xf4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"); /* beyond the last */
	assert_html("\xf8\x88\x80\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD");
}

static void formats(void **state)
{
	char *got = NULL;
	size_t n;
	FILE *f = open_memstream(&got, &n);

	(void)state;
	ifp_html(f, "<p title=\"%s\">%u %% of %s</p>", "\"><i>", 7, "<%s>");
	fclose(f);
	assert_string_equal(got, "<p title=\"&quot;&gt;&lt;i&gt;\">7 % of &lt;%s&gt;</p>");
	free(got);
}

/* ---- frames ---- */

static void add_line(const char *text, void *data)
{
	FILE *f = data;

	fprintf(f, "%s\n", text);
}

static void assert_frame(const char *hex, const char *lines)
{
	uint8_t bytes[512];
	char *got = NULL;
	size_t n, len = 0;
	FILE *f = open_memstream(&got, &n);

	for (const char *p = hex; *p; p += 2) {
		unsigned int byte;

		while (*p == ' ')
			p++;
		assert_int_equal(sscanf(p, "%2x", &byte), 1);
		bytes[len++] = (uint8_t)byte;
	}
	ifp_frame_decode(bytes, len, add_line, f);
	fclose(f);
	assert_string_equal(got, lines);
	free(got);
}

#define ETHERNET "020000000202020000000201"
#define WORDS "Ethernet, 02:00:00:00:02:01 → 02:00:00:00:02:02\n"

static void frames(void **state)
{
	(void)state;
	assert_frame(ETHERNET "0800 4500001e00000000 4011 0000 0a000101 0a000202"
			      "4e20 4e21 000a 0000 abcd",
		WORDS "IPv4, 10.0.1.1 → 10.0.2.2, 30 bytes, hop limit 64\n"
		      "UDP, port 20000 → 20001, 2 bytes of payload\nPayload: ab cd\n");
	assert_frame(ETHERNET "8100 0007 86dd 6000000000143a40"
			      "fd000001000000000000000000000001 fd000002000000000000000000000002"
			      "8000000000000000",
		WORDS "VLAN tag, VLAN 7\nIPv6, fd00:1::1 → fd00:2::2, 60 bytes, hop limit 64\n"
		      "ICMPv6, echo request\n");
	assert_frame(ETHERNET "0806 0001080006040001 020000000101 0a000101 000000000000 0a000202",
		WORDS "ARP request, 10.0.1.1 asks who has 10.0.2.2\n");
	assert_frame(ETHERNET "0800 46000028000000000102 0000 0a000201 e0000016 94040000"
			      "2200000000000001 04000000ef010007",
		WORDS "IPv4, 10.0.2.1 → 224.0.0.22, 40 bytes, hop limit 1\n"
		      "IGMPv3 report, 1 groups, the first 239.1.0.7\n");
	assert_frame(ETHERNET
		"0800 45000034000000004006 0000 0a000201 0a000202"
		"0001000200000000000000008002 ffff 0000 0000 1e0c100000000000 00000000",
		WORDS "IPv4, 10.0.2.1 → 10.0.2.2, 52 bytes, hop limit 64\n"
		      "TCP, port 1 → 2, SYN, joins a multipath connection\n");
	assert_frame(ETHERNET "88b5 0102", WORDS "EtherType 0x88b5\nPayload: 01 02\n");
}

static void short_frames(void **state)
{
	(void)state;
	assert_frame("0200", "Ethernet, cut short\n");
	assert_frame(ETHERNET "0800 4500", WORDS "IPv4, cut short\n");
	assert_frame(ETHERNET "0800 4f00001e00000000 4011 0000 0a000101 0a000202 00",
		WORDS "IPv4, 10.0.1.1 → 10.0.2.2, 30 bytes, hop limit 64\n"
		      "IPv4 options, cut short\n");
	/* Tags in tags without end. */
	assert_frame(ETHERNET "8100 0001 8100 0001 8100 0001 8100 0001 8100 0001 8100 0001 8100 "
			      "0001 8100 0001 8100 0001 8100 0001",
		WORDS "VLAN tag, VLAN 1\nVLAN tag, VLAN 1\nVLAN tag, VLAN 1\nVLAN tag, VLAN 1\n"
		      "VLAN tag, VLAN 1\nVLAN tag, VLAN 1\nVLAN tag, VLAN 1\nVLAN tag, VLAN 1\n"
		      "more layers than are shown\n");
}

/* ---- reading ---- */

#define REPORT(version, mechanisms, attempts)                                                       \
	"{\"format\":\"ifpin-proof\",\"version\":" version ",\"date\":\"d\",\"kernel\":\"6.1\","    \
	"\"versions\":{\"ifpin\":\"1\"},\"battery\":{\"sha256\":\"x\"},\"mechanisms\":[" mechanisms \
	"],\"attempts\":[" attempts "]}"
#define ATTEMPT(name, none, run)                                                                   \
	"{\"name\":\"" name "\",\"class\":\"c\",\"results\":{\"none\":{\"outcome\":\"" none        \
	"\"},\"ifpin run\":{\"outcome\":\"" run "\"}}}"
#define MECHANISM(name, there) "{\"name\":\"" name "\",\"there\":" there "}"

static void assert_bad(const char *json, int code, const char *words)
{
	struct report r;
	struct ifpin_error err;

	assert_int_equal(ifp_report_parse(json, strlen(json) + 1, "old.json", &r, &err), code);
	if (!strstr(err.text, words) || !strstr(err.text, "old.json"))
		fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static void bad_reports(void **state)
{
	(void)state;
	assert_bad("", -EBADMSG, "is not JSON");
	assert_bad("{\"format\":", -EBADMSG, "is not JSON");
	assert_bad("{} x", -EBADMSG, "is not JSON");
	assert_bad("[]", -EBADMSG, "no JSON object");
	assert_bad("null", -EBADMSG, "no JSON object");
	assert_bad("{}", -EBADMSG, "no \"format\"");
	assert_bad("{\"format\":\"ifpin-\\u0000proof\"}", -EBADMSG, "no \"format\"");
	assert_bad("{\"kernel\":\"6.1\",\"attempts\":[]}", -EPROTONOSUPPORT,
		"from before reports had a version");
	assert_bad(REPORT("2", "", ""), -EPROTONOSUPPORT, "is a report of version 2");
	assert_bad(REPORT("\"1\"", "", ""), -EBADMSG, "no \"version\"");
	assert_bad(REPORT("1", "", ""), -EBADMSG, "no attempts");
	assert_bad(REPORT("1", "", "1"), -EBADMSG, "an attempt without");
	assert_bad(REPORT("1", "", ATTEMPT("a\\u001b[31m", "leaked", "held")), -EBADMSG,
		"an attempt without");
	assert_bad(REPORT("1", "", "{\"name\":\"a\",\"class\":\"c\"}"), -EBADMSG,
		"no \"results\" in a");
	assert_bad(REPORT("1", "", "{\"name\":\"a\",\"class\":\"c\",\"results\":{}}"), -EBADMSG,
		"no results in a");
	assert_bad(
		REPORT("1", "",
			"{\"name\":\"a\",\"class\":\"c\",\"results\":{\"x\":{\"outcome\":\"held\"}}}"),
		-EBADMSG, "an unknown protection in a");
	assert_bad(REPORT("1", "", ATTEMPT("a", "leaked", "great")), -EBADMSG,
		"no known \"outcome\" in a");
	assert_bad(
		REPORT("1", "", ATTEMPT("a", "leaked", "held") "," ATTEMPT("a", "leaked", "held")),
		-EBADMSG, "two attempts of one name");
	assert_bad(REPORT("1", MECHANISM("m", "1"), ATTEMPT("a", "leaked", "held")), -EBADMSG,
		"a mechanism without");
}

/* ---- comparing ---- */

static void compared(const char *old_json, const char *new_json, const char *only,
	const char *lines, unsigned int regressions)
{
	_cleanup_(ifp_report_free) struct report old = {}, new = {};
	_cleanup_(ifp_changes_free) struct changes c = {};
	struct ifpin_error err;
	char *got = NULL;
	size_t n;
	FILE *f = open_memstream(&got, &n);

	if (ifp_report_parse(old_json, strlen(old_json) + 1, "old", &old, &err) ||
		ifp_report_parse(new_json, strlen(new_json) + 1, "new", &new, &err))
		fail_msg("%s", err.text);
	assert_int_equal(ifp_report_compare(&old, &new, only, &c), 0);
	ifp_changes_text(&c, &old, "old.json", f);
	fclose(f);
	assert_string_equal(strstr(got, "): ") + 3, lines);
	assert_int_equal(ifp_changes_regressions(&c), regressions);
	free(got);
}

#define OLD_NEW(old, new, lines, regressions)                                                      \
	compared(REPORT("1", "", old), REPORT("1", "", new), NULL, lines, regressions)
#define OTHER ATTEMPT("z", "leaked", "held")

static void regressions(void **state)
{
	(void)state;
	OLD_NEW(OTHER, OTHER, "nothing has changed\n", 0);
	OLD_NEW(ATTEMPT("a", "leaked", "held"), ATTEMPT("a", "leaked", "leaked"),
		"1 regression, 0 other changes\n"
		"  REGRESSION: new leak: a, ifpin run: leaked, was held\n",
		1);
	OLD_NEW(ATTEMPT("a", "leaked", "held"), ATTEMPT("a", "leaked", "not held"),
		"1 regression, 0 other changes\n"
		"  REGRESSION: new leak: a, ifpin run: not held, was held\n",
		1);
	OLD_NEW(ATTEMPT("a", "leaked", "not held"), ATTEMPT("a", "leaked", "leaked"),
		"1 regression, 0 other changes\n"
		"  REGRESSION: new leak: a, ifpin run: leaked, was not held\n",
		1);
	OLD_NEW(ATTEMPT("a", "leaked", "held"), ATTEMPT("a", "broken", "held"),
		"1 regression, 0 other changes\n"
		"  REGRESSION: broken: a, none: broken, was leaked\n",
		1);
	OLD_NEW(ATTEMPT("a", "leaked", "held"), ATTEMPT("a", "leaked", "out of reach"),
		"1 regression, 0 other changes\n"
		"  REGRESSION: no longer tried: a, ifpin run: out of reach, was held\n",
		1);
	OLD_NEW(ATTEMPT("a", "leaked", "held"),
		"{\"name\":\"a\",\"class\":\"c\",\"results\":{\"none\":{\"outcome\":\"leaked\"}}}",
		"1 regression, 0 other changes\n"
		"  REGRESSION: no longer tried: a, ifpin run: not made, was held\n",
		1);
	OLD_NEW(ATTEMPT("a", "leaked", "held") "," OTHER, OTHER,
		"1 regression, 0 other changes\n  REGRESSION: attempt gone: a\n", 1);
	compared(REPORT("1", MECHANISM("m", "true"), OTHER),
		REPORT("1", MECHANISM("m", "false"), OTHER), NULL,
		"1 regression, 0 other changes\n  REGRESSION: mechanism lost: m\n", 1);
}

static void other_changes(void **state)
{
	(void)state;
	OLD_NEW(ATTEMPT("a", "leaked", "not held"), ATTEMPT("a", "leaked", "held"),
		"0 regressions, 1 other change\n  held now: a, ifpin run: held, was not held\n",
		0);
	OLD_NEW(ATTEMPT("a", "leaked", "held"), ATTEMPT("a", "unavailable", "unavailable"),
		"0 regressions, 2 other changes\n"
		"  other outcome: a, none: unavailable, was leaked\n"
		"  other outcome: a, ifpin run: unavailable, was held\n",
		0);
	OLD_NEW(OTHER, OTHER "," ATTEMPT("a", "leaked", "held"),
		"0 regressions, 1 other change\n  new attempt: a\n", 0);
	compared(REPORT("1", "", OTHER), REPORT("1", MECHANISM("m", "true"), OTHER), NULL,
		"0 regressions, 1 other change\n  new mechanism: m\n", 0);
	/* Regressions come first, whatever stood first in the report. */
	OLD_NEW(ATTEMPT("a", "leaked", "not held") "," ATTEMPT("b", "leaked", "held"),
		ATTEMPT("a", "leaked", "held") "," ATTEMPT("b", "leaked", "leaked"),
		"1 regression, 1 other change\n"
		"  REGRESSION: new leak: b, ifpin run: leaked, was held\n"
		"  held now: a, ifpin run: held, was not held\n",
		1);
}

/* What was not asked for this time is not gone. */
static void a_part(void **state)
{
	(void)state;
	compared(REPORT("1", "", OTHER "," ATTEMPT("a", "leaked", "held")), REPORT("1", "", OTHER),
		"z", "nothing has changed\n", 0);
	compared(REPORT("1", "", OTHER "," ATTEMPT("a", "leaked", "held")), REPORT("1", "", OTHER),
		"c", "1 regression, 0 other changes\n  REGRESSION: attempt gone: a\n", 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escapes),
		cmocka_unit_test(not_utf8),
		cmocka_unit_test(formats),
		cmocka_unit_test(frames),
		cmocka_unit_test(short_frames),
		cmocka_unit_test(bad_reports),
		cmocka_unit_test(regressions),
		cmocka_unit_test(other_changes),
		cmocka_unit_test(a_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
