// SPDX-License-Identifier: MIT
/* The words of a command to compare with, and its label. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "prove/internal.h"

#include <errno.h>
#include <string.h>

static void assert_parsed(const char *given, const char *column, const char *words)
{
	struct against a = {};

	assert_int_equal(ifp_against_parse(given, &a, NULL), 0);
	assert_string_equal(a.column, column);
	assert_string_equal(a.words, words);
}

static void labels(void **state)
{
	(void)state;
	assert_parsed("ip vrf exec red", "against", "ip vrf exec red");
	assert_parsed("vrf=ip vrf exec red", "against vrf", "ip vrf exec red");
	assert_parsed("a-b.9=env A=b", "against a-b.9", "env A=b");
	assert_parsed("env --unset=x", "against", "env --unset=x");
	assert_parsed("LANG=C env", "against", "LANG=C env"); /* the shell's, not a label */
	assert_parsed("=x", "against", "=x");
	assert_parsed("fifteen-letters=x", "against fifteen-letters", "x");
	assert_parsed("sixteen-letters-=x", "against", "sixteen-letters-=x");
}

static void no_command(void **state)
{
	static const char *const given[] = {"", " ", "\t\n", "x=", "x=  "};
	struct against a = {};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(given); i++)
		assert_int_equal(ifp_against_parse(given[i], &a, NULL), -EINVAL);
	assert_null(a.words);
}

static void assert_words(const char *given, const char *words)
{
	static const struct against_values v = {
		.device = "in0", .vrf = "red", .ifindex = 42, .netns = "/proc/1/ns/net"};
	char *got = ifp_against_words(given, &v);

	assert_string_equal(got, words);
	free(got);
}

static void values(void **state)
{
	(void)state;
	assert_words("", "");
	assert_words("env", "env");
	assert_words("{device}", "in0");
	assert_words("a {device}{ifindex} -p x={netns},{vrf}", "a in042 -p x=/proc/1/ns/net,red");
	assert_words("{devic} {a,b} ${x} {", "{devic} {a,b} ${x} {"); /* the shell's */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(labels),
		cmocka_unit_test(no_command),
		cmocka_unit_test(values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
