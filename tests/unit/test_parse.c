// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ifpin/confine.h>
#include <ifpin/device.h>

#include "base/base.h"
#include "device/device.h"
#include "fence/internal.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

static void numbers(void **state)
{
	static const char *const bad[] = {
		"", " 1", "1 ", "-1", "+1", "0x1", "1a", "4294967296", "99999999999", "0"};
	uint32_t v = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(ifp_parse_u32(bad[i], 1, UINT32_MAX, &v), -EINVAL);
	assert_int_equal(v, 7); /* untouched on failure */
	assert_int_equal(ifp_parse_u32("4294967295", 1, UINT32_MAX, &v), 0);
	assert_true(v == UINT32_MAX);
}

static void addresses(void **state)
{
	uint8_t a[16];

	(void)state;
	assert_int_equal(ifp_parse_addr("127.0.0.53", a), 0);
	assert_true(ifp_addr_is_loopback(a));
	assert_int_equal(ifp_parse_addr("::1", a), 0);
	assert_true(ifp_addr_is_loopback(a));
	assert_int_equal(ifp_parse_addr("0.0.0.0", a), 0);
	assert_true(ifp_addr_is_loopback(a));
	assert_int_equal(ifp_parse_addr("::ffff:127.0.0.1", a), 0);
	assert_true(ifp_addr_is_loopback(a));
	assert_int_equal(ifp_parse_addr("10.0.0.1", a), 0);
	assert_false(ifp_addr_is_loopback(a));
	assert_int_equal(ifp_parse_addr("fe80::1", a), 0);
	assert_false(ifp_addr_is_loopback(a));
	assert_int_equal(ifp_parse_addr("10.0.0", a), -EINVAL);
	assert_int_equal(ifp_parse_addr("10.0.0.1.", a), -EINVAL);
	assert_int_equal(ifp_parse_addr("", a), -EINVAL);
}

static void names(void **state)
{
	(void)state;
	assert_int_equal(ifpin_cap_bit("net_admin"), CAP_NET_ADMIN);
	assert_int_equal(ifpin_cap_bit("CAP_NET_ADMIN"), CAP_NET_ADMIN);
	assert_int_equal(ifpin_cap_bit("net_administrator"), -EINVAL);
	assert_int_equal(ifpin_family_number("vsock"), AF_VSOCK);
	assert_int_equal(ifpin_family_number("AF_VSOCK"), AF_VSOCK);
	assert_int_equal(ifpin_family_number("packet"), -EINVAL);
}

static void bad_devices(void **state)
{
	static const char *const bad[] = {"", "index:", "index:0", "index:-1", "index:2147483648",
		"index:1x", "mac:", "mac:00:11:22:33:44", "mac:00:11:22:33:44:55:66",
		"mac:zz:11:22:33:44:55"};
	struct ifpin_device dev = {.ifindex = 42};
	struct ifpin_error err;
	char name[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(ifpin_device_resolve(bad[i], &dev, &err), -EINVAL);
		assert_int_equal(err.code, -EINVAL);
		assert_true(strlen(err.text) > 0);
	}
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	assert_int_equal(ifpin_device_resolve(name, &dev, &err), -EINVAL);
	assert_int_equal(ifpin_device_resolve("no-such-device", &dev, NULL), -ENODEV);
	assert_int_equal(dev.ifindex, 42);
	assert_int_equal(ifpin_device_resolve("lo", &dev, &err), 0);
	assert_int_equal(dev.ifindex, 1);
	assert_string_equal(dev.name, "lo");
}

/* Messages cut short or with lengths that lie must be refused, never read past. */
static void bad_messages(void **state)
{
	struct {
		struct nlmsghdr h;
		struct ifaddrmsg ifa;
		struct nlattr attr;
		uint8_t addr[4];
	} m = {.h = {.nlmsg_len = sizeof(m), .nlmsg_type = RTM_NEWADDR},
		.ifa = {.ifa_family = AF_INET, .ifa_index = 3},
		.attr = {.nla_len = sizeof(m.attr) + 4, .nla_type = IFA_LOCAL},
		.addr = {10, 0, 0, 1}};
	struct ifp_local_addr a = {.ifindex = 42};
	struct ifp_link l = {.ifindex = 42};

	(void)state;
	assert_int_equal(ifp_addr_parse(&m.h, &a), 0);
	assert_int_equal(a.ifindex, 3);
	assert_int_equal(a.addr[15], 1);
	m.attr.nla_len = 6;
	assert_int_equal(ifp_addr_parse(&m.h, &a), -EBADMSG);
	m.attr.nla_len = 200;
	assert_int_equal(ifp_addr_parse(&m.h, &a), -EBADMSG);
	m.h.nlmsg_len = sizeof(m.h) + 2;
	assert_int_equal(ifp_addr_parse(&m.h, &a), -EBADMSG);
	assert_int_equal(ifp_link_parse(&m.h, &l), -EBADMSG);
	m.h.nlmsg_type = RTM_NEWLINK;
	assert_int_equal(ifp_link_parse(&m.h, &l), -EBADMSG);
	assert_int_equal(l.ifindex, 42);
}

#ifdef HAVE_FENCE
static struct ifpin_prefix network(const char *text)
{
	struct ifpin_prefix p = {};

	assert_int_equal(ifpin_prefix_parse(text, &p, NULL), 0);
	return p;
}

static void networks(void **state)
{
	static const char *const bad[] = {"", "/", "10.0.1.0", "10.0.1.0/", "10.0.1.0/33",
		"10.0.1.0/0", "10.0.1.0/-1", "10.0.1.1/24", "10.0.1/24", "fd01::/129", "fd01::/0",
		"fd01::1/64", "::ffff:10.0.1.0/120", "10.0.1.0/24/24", "x/1",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc/64"};
	static const char *const good[] = {
		"10.0.1.0/24", "128.0.0.0/1", "10.0.1.7/32", "fd01::/64", "8000::/1", "::1/128"};
	struct ifpin_prefix p = {.prefixlen = 7};
	char text[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(ifpin_prefix_parse(bad[i], &p, NULL), -EINVAL);
	assert_int_equal(p.prefixlen, 7); /* untouched on failure */
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		p = network(good[i]);
		assert_string_equal(ifpin_prefix_text(&p, text, sizeof(text)), good[i]);
	}
}

static void merged_networks(void **state)
{
	struct ifpin_prefix list[] = {network("10.0.1.0/24"), network("fd01::/64"),
		network("10.0.0.0/8"), network("10.0.1.0/24"), network("fd01::7/128"),
		network("11.0.0.0/8"), network("fd01::/64")};

	(void)state;
	assert_int_equal(ifp_prefix_merge(list, ARRAY_SIZE(list)), 3);
	assert_int_equal(list[0].addr[12], 10);
	assert_int_equal(list[0].prefixlen, 104);
	assert_int_equal(list[1].addr[12], 11);
	assert_int_equal(list[2].prefixlen, 64);
	assert_int_equal(ifp_prefix_merge(NULL, 0), 0);
}

static void held_networks(void **state)
{
	static const char *const held[] = {
		"10.0.0.0/8", "10.1.2.0/24", "10.255.255.255/32", "12.0.0.1/32", "fd01::/64",
		"fd01::1/128"};
	static const char *const not_held[] = {"8.0.0.0/6", "9.255.255.255/32", "11.0.0.0/32",
		"12.0.0.0/32",
		"12.0.0.0/31", "12.0.0.2/32", "8.0.0.0/5", "fd01::/63", "fd01:0:0:1::/64", "8000::/1"};
	struct ifpin_prefix list[] = {
		network("10.0.0.0/8"), network("12.0.0.1/32"), network("fd01::/64")};
	struct ifpin_prefix p = network("10.0.0.0/8");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(held); i++) {
		p = network(held[i]);
		assert_true(ifp_prefix_holds(list, ARRAY_SIZE(list), &p));
	}
	for (size_t i = 0; i < ARRAY_SIZE(not_held); i++) {
		p = network(not_held[i]);
		assert_false(ifp_prefix_holds(list, ARRAY_SIZE(list), &p));
	}
	assert_false(ifp_prefix_holds(NULL, 0, &p));
}

static void common_bits(void **state)
{
	struct ifpin_prefix list[] = {network("10.0.1.0/24"), network("10.0.2.0/23"),
		network("fd01:2::/64"), network("fd01::/16"), network("192.0.2.0/24"),
		network("64.0.0.0/2")};
	struct ifp_common c;

	(void)state;
	ifp_prefix_common(list, 3, &c);
	assert_int_equal(c.mask4, 0xfffffc00);
	assert_int_equal(c.bits4, 0x0a000000);
	assert_int_equal(c.mask6, 0xffffffff);
	assert_int_equal(c.bits6, 0xfd010002);
	ifp_prefix_common(list, 4, &c);
	assert_int_equal(c.mask6, 0xffff0000);
	assert_int_equal(c.bits6, 0xfd010000);
	/* Nothing in common: each address may be one; no network of a family: none is. */
	ifp_prefix_common(list, 6, &c);
	assert_int_equal(c.mask4, 0);
	assert_int_equal(c.bits4, 0);
	ifp_prefix_common(list, 2, &c);
	assert_int_equal(c.mask6, 0);
	assert_int_equal(c.bits6, 1);
}

static void ranges(void **state)
{
	static const char *const want[][3] = {
		{"10.0.1.0/24", "167772416", "167772671"},
		{"128.0.0.0/1", "2147483648", "4294967295"},
		{"::1/128", "1", "1"},
		{"8000::/1", "170141183460469231731687303715884105728",
			"340282366920938463463374607431768211455"},
	};
	char first[48], last[48];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		struct ifpin_prefix p = network(want[i][0]);

		ifp_prefix_range(&p, first, last);
		assert_string_equal(first, want[i][1]);
		assert_string_equal(last, want[i][2]);
	}
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(addresses),
		cmocka_unit_test(names),
		cmocka_unit_test(bad_devices),
		cmocka_unit_test(bad_messages),
#ifdef HAVE_FENCE
		cmocka_unit_test(networks),
		cmocka_unit_test(merged_networks),
		cmocka_unit_test(held_networks),
		cmocka_unit_test(common_bits),
		cmocka_unit_test(ranges),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
