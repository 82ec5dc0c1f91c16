// SPDX-License-Identifier: MIT
/* Whose a frame is: what attempts send is known again, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "prove/here.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <string.h>

#define NUMBER 5
#define NONE 1000

static struct here_marks marks;
static struct env env;

struct found {
	unsigned int n, number[4], times;
	bool wrapped, far;
};

static void hit(void *ctx, const struct here_hit *h)
{
	struct found *f = ctx;

	assert_true(f->n < ARRAY_SIZE(f->number));
	f->number[f->n++] = h->number;
	f->times = h->times;
	f->wrapped = h->wrapped;
	f->far = h->far;
}

/* At the end of its memory, so that the sanitizers see who reads behind it. */
static struct found find(const uint8_t *bytes, size_t len, uint16_t type, uint16_t protocol)
{
	uint8_t *copy = malloc(len ?: 1);
	struct here_frame f = {.bytes = copy, .len = len, .type = type, .protocol = protocol};
	struct found got = {};

	memcpy(copy, bytes, len);
	ifp_marks_find(&marks, &f, hit, &got);
	free(copy);
	return got;
}

static void assert_number(struct found f, unsigned int number)
{
	assert_int_equal(f.n, number != NONE);
	if (number != NONE)
		assert_int_equal(f.number[0], number);
}

/* Every shorter frame as well: nothing is read behind it. */
static struct found cut(const uint8_t *bytes, size_t len, uint16_t type, uint16_t protocol)
{
	for (size_t i = 0; i < len; i++)
		find(bytes, i, type, protocol);
	return find(bytes, len, type, protocol);
}

struct buf {
	uint8_t bytes[256];
	size_t len;
};

static void put(struct buf *b, const void *p, size_t n)
{
	memcpy(b->bytes + b->len, p, n);
	b->len += n;
}

static void ether(struct buf *b, uint16_t type)
{
	uint16_t t = htons(type);

	put(b, "\2\0\0\0\0\1\2\0\0\0\0\2", 12);
	put(b, &t, 2);
}

static void ip4(struct buf *b, uint8_t protocol, const char *dst)
{
	uint8_t h[20] = {0x45, [8] = 1, protocol, [12] = 10, 0, 0, 1};

	inet_pton(AF_INET, dst, h + 16);
	put(b, h, sizeof(h));
}

static void ip6(struct buf *b, uint8_t protocol, const char *dst)
{
	uint8_t h[40] = {0x60, [6] = protocol, 1};

	inet_pton(AF_INET6, dst, h + 24);
	put(b, h, sizeof(h));
}

static void udp(struct buf *b)
{
	put(b, "\0\1\0\2\0\0\0\0", 8);
	put(b, env.magic, MAGIC_LEN);
}

static void payload(void **state)
{
	struct buf b = {};
	struct found f;

	(void)state;
	ether(&b, ETH_P_IP);
	ip4(&b, IPPROTO_UDP, env.at.peer4);
	udp(&b);
	f = cut(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IP);
	assert_number(f, NUMBER);
	assert_int_equal(f.times, 1);
	assert_false(f.wrapped);
	/* Without a header of a link, behind a tag, and four at once. */
	assert_number(cut(b.bytes + 14, b.len - 14, ARPHRD_NONE, ETH_P_IP), NUMBER);
	for (int i = 0; i < 3; i++)
		put(&b, env.magic, MAGIC_LEN);
	assert_int_equal(cut(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IP).times, 4);
	b.len = 0;
	ether(&b, ETH_P_8021Q);
	put(&b, "\0\7\x86\xdd", 4);
	ip6(&b, IPPROTO_UDP, env.at.peer6);
	udp(&b);
	f = cut(b.bytes, b.len, ARPHRD_ETHER, ETH_P_8021Q);
	assert_number(f, NUMBER);
	assert_false(f.wrapped);
}

static void payload_of_others(void **state)
{
	struct buf b = {};
	struct found f;

	(void)state;
	/* Wherever it goes: translated, or in a tunnel. */
	ether(&b, ETH_P_IP);
	ip4(&b, IPPROTO_UDP, "10.0.0.9");
	udp(&b);
	f = find(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IP);
	assert_number(f, NUMBER);
	assert_true(f.wrapped);
	/* A number that no attempt has, and another run. */
	b.bytes[b.len - 1] = (uint8_t)marks.n;
	assert_number(find(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IP), NONE);
	b.bytes[b.len - 1] = NUMBER;
	b.bytes[b.len - 4] ^= 1;
	assert_number(find(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IP), NONE);
}

/* A rule has changed the hop limit. Neighbour discovery has its own. */
static void far_ones(void **state)
{
	uint8_t tcp[20] = {0x12, 0x34, (uint8_t)(env.port >> 8), (uint8_t)env.port};
	uint8_t solicit[24] = {135};
	struct buf b = {};

	(void)state;
	ether(&b, ETH_P_IP);
	ip4(&b, IPPROTO_UDP, env.at.peer4);
	udp(&b);
	assert_false(find(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IP).far);
	b.bytes[14 + 8] = 2;
	assert_true(find(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IP).far);
	b.bytes[14 + 16] = 10; /* the outer packet of a tunnel */
	assert_false(find(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IP).far);
	b.len = 0;
	ether(&b, ETH_P_IPV6);
	ip6(&b, IPPROTO_TCP, env.at.peer6);
	put(&b, tcp, sizeof(tcp));
	assert_false(find(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IPV6).far);
	b.bytes[14 + 7] = 64;
	assert_true(find(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IPV6).far);
	b.len = 0;
	ether(&b, ETH_P_IPV6);
	ip6(&b, IPPROTO_ICMPV6, "ff02::1:ff00:5");
	b.bytes[14 + 7] = 255;
	inet_pton(AF_INET6, env.at.peer6, solicit + 8);
	put(&b, solicit, sizeof(solicit));
	assert_number(find(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IPV6), NUMBER);
	assert_false(find(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IPV6).far);
}

/* A router's answer quotes what it has not let pass. */
static void errors(void **state)
{
	static const uint8_t types4[] = {3, 4, 5, 11, 12}, types6[] = {1, 2, 3, 4};

	(void)state;
	for (size_t i = 0; i < sizeof(types4); i++) {
		struct buf b = {};

		ether(&b, ETH_P_IP);
		ip4(&b, IPPROTO_ICMP, "10.0.0.9");
		put(&b, (uint8_t[8]){types4[i]}, 8);
		ip4(&b, IPPROTO_UDP, env.at.peer4);
		udp(&b);
		assert_number(cut(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IP), NONE);
		b.bytes[34] = 8; /* an echo request is the attempt's own */
		assert_number(cut(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IP), NUMBER);
	}
	for (size_t i = 0; i < sizeof(types6); i++) {
		struct buf b = {};

		ether(&b, ETH_P_IPV6);
		ip6(&b, IPPROTO_ICMPV6, "fd00::9");
		put(&b, (uint8_t[8]){types6[i]}, 8);
		ip6(&b, IPPROTO_UDP, env.at.peer6);
		udp(&b);
		assert_number(cut(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IPV6), NONE);
	}
}

static void connections(void **state)
{
	uint8_t tcp[20] = {0x12, 0x34, (uint8_t)(env.port >> 8), (uint8_t)env.port};
	struct buf b = {};

	(void)state;
	ether(&b, ETH_P_IP);
	ip4(&b, IPPROTO_TCP, env.at.peer4);
	put(&b, tcp, sizeof(tcp));
	assert_number(cut(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IP), NUMBER);
	b.bytes[37]++;
	assert_number(find(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IP), NONE);
	b.bytes[37]--;
	b.bytes[30] = 10;
	assert_number(find(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IP), NONE);
	b.len = 0;
	ether(&b, ETH_P_IPV6);
	ip6(&b, IPPROTO_TCP, env.at.far6);
	put(&b, tcp, sizeof(tcp));
	assert_number(cut(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IPV6), NUMBER);
	b.bytes[14 + 24 + 6] ^= 1;
	assert_number(find(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IPV6), NONE);
}

static void neighbours(void **state)
{
	uint8_t arp[28] = {0, 1, 8, 0, 6, 4, 0, 1}, solicit[24] = {135};
	struct buf b = {};

	(void)state;
	inet_pton(AF_INET, env.at.far4, arp + 24);
	ether(&b, ETH_P_ARP);
	put(&b, arp, sizeof(arp));
	assert_number(cut(b.bytes, b.len, ARPHRD_ETHER, ETH_P_ARP), NUMBER);
	b.bytes[14 + 24] = 10;
	assert_number(find(b.bytes, b.len, ARPHRD_ETHER, ETH_P_ARP), NONE);
	b.len = 0;
	ether(&b, ETH_P_IPV6);
	ip6(&b, IPPROTO_ICMPV6, "ff02::1:ff00:5");
	inet_pton(AF_INET6, env.at.peer6, solicit + 8);
	put(&b, solicit, sizeof(solicit));
	assert_number(cut(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IPV6), NUMBER);
	b.bytes[b.len - 10] ^= 1;
	assert_number(find(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IPV6), NONE);
}

static void reports4(void **state)
{
	struct buf b = {};
	struct env other = {};
	struct found f;

	(void)state;
	ifp_marks_fill(&marks, NUMBER + 1, &other);
	ether(&b, ETH_P_IP);
	ip4(&b, IPPROTO_IGMP, "224.0.0.22");
	put(&b, "\x22\0\0\0\0\0\0\3", 8);
	put(&b, "\4\0\0\1", 4);
	put(&b, env.group4, 4);
	put(&b, "\xc0\0\2\1", 4);
	put(&b, "\4\0\0\0\xef\1\2\3", 8);
	put(&b, "\4\0\0\0", 4);
	put(&b, other.group4, 4);
	f = cut(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IP);
	assert_int_equal(f.n, 2);
	assert_int_equal(f.number[0], NUMBER);
	assert_int_equal(f.number[1], NUMBER + 1);
	/* Of the second version: one group. */
	b.len = 34;
	put(&b, "\x16\0\0\0", 4);
	put(&b, env.group4, 4);
	assert_number(cut(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IP), NUMBER);
	b.bytes[38] = 239;
	assert_number(find(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IP), NONE);
}

static void reports6(void **state)
{
	struct buf b = {};

	(void)state;
	ether(&b, ETH_P_IPV6);
	ip6(&b, 0, "ff02::16");
	put(&b, "\x3a\0\5\2\0\0\1\0", 8);
	put(&b, "\x8f\0\0\0\0\0\0\2", 8);
	put(&b, "\4\0\0\0\xff\2\0\0\0\0\0\0\0\0\0\0\0\0\0\x42", 20);
	put(&b, "\4\0\0\0", 4);
	put(&b, env.group6, 16);
	assert_number(cut(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IPV6), NUMBER);
	b.bytes[b.len - 3] ^= 1;
	assert_number(find(b.bytes, b.len, ARPHRD_ETHER, ETH_P_IPV6), NONE);
}

/* Whatever the random numbers were: each attempt has addresses of its own. */
static void numbers(void **state)
{
	struct here_marks m;

	(void)state;
	assert_int_equal(ifp_marks_draw(HERE_MAX_MARKS + 1, &m), -E2BIG);
	for (int i = 0; i < 300; i++) {
		assert_int_equal(ifp_marks_draw(HERE_MAX_MARKS, &m), 0);
		m.first4 = (uint8_t)(i % HERE_MAX_MARKS);
		for (unsigned int k = 0; k < HERE_MAX_MARKS; k += 11) {
			uint8_t arp[28] = {0, 1, 8, 0, 6, 4, 0, 1};
			struct here_frame f = {.bytes = arp,
				.len = sizeof(arp),
				.type = ARPHRD_NONE,
				.protocol = ETH_P_ARP};
			struct found got = {};
			struct env e = {};

			ifp_marks_fill(&m, k, &e);
			inet_pton(AF_INET, e.at.peer4, arp + 24);
			ifp_marks_find(&m, &f, hit, &got);
			assert_number(got, k);
		}
	}
}

static int draw(void **state)
{
	(void)state;
	if (ifp_marks_draw(20, &marks))
		return -1;
	ifp_marks_fill(&marks, NUMBER, &env);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(payload),
		cmocka_unit_test(payload_of_others),
		cmocka_unit_test(far_ones),
		cmocka_unit_test(errors),
		cmocka_unit_test(connections),
		cmocka_unit_test(neighbours),
		cmocka_unit_test(reports4),
		cmocka_unit_test(reports6),
		cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, draw, NULL);
}
