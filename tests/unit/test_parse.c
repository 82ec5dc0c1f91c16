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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(addresses),
		cmocka_unit_test(names),
		cmocka_unit_test(bad_devices),
		cmocka_unit_test(bad_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
