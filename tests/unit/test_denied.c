// SPDX-License-Identifier: MIT
/* What an event of the programs comes to in words, and what is no event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base.h"
#include "confine/denied.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define OUT 7 /* index of a device that has a name */

static void name_of(uint32_t ifindex, char ret[IF_NAMESIZE])
{
	strcpy(ret, ifindex == OUT ? "out0" : "");
}

static struct ifpin_denied fill(const struct ifpin_denial_event *ev)
{
	struct ifpin_denied d;

	memset(&d, 0xaa, sizeof(d));
	ifp_denied_fill(ev, name_of, 1000, &d);
	return d;
}

static void assert_what(const struct ifpin_denial_event *ev, const char *what)
{
	struct ifpin_denied d = fill(ev);

	assert_string_equal(d.what, what);
}

static void v4(struct ifpin_addr *a, const char *text)
{
	assert_int_equal(ifp_parse_addr(text, a->b), 0);
}

static void lengths(void **state)
{
	uint8_t room[sizeof(struct ifpin_denial_event) + 1] = {};
	struct ifpin_denial_event ev, *in = (void *)room;

	(void)state;
	assert_int_equal(ifp_denied_parse(room, sizeof(ev), &ev), 0);
	assert_int_equal(ifp_denied_parse(room, sizeof(ev) - 1, &ev), -EBADMSG);
	assert_int_equal(ifp_denied_parse(room, sizeof(ev) + 1, &ev), -EBADMSG);
	assert_int_equal(ifp_denied_parse(room, 0, &ev), -EBADMSG);
	in->reason = IFPIN_REASON_COUNT;
	assert_int_equal(ifp_denied_parse(room, sizeof(ev), &ev), -EBADMSG);
	in->reason = IFPIN_REASON_COUNT - 1;
	assert_int_equal(ifp_denied_parse(room, sizeof(ev), &ev), 0);
	assert_int_equal(ev.reason, IFPIN_REASON_COUNT - 1);
}

static void reasons(void **state)
{
	(void)state;
	assert_string_equal(ifp_reason_name(IFPIN_DENY_JOIN), "join");
	assert_non_null(ifp_reason_text(IFPIN_REASON_COUNT - 1));
	assert_null(ifp_reason_name(IFPIN_REASON_COUNT));
	assert_null(ifp_reason_text(UINT32_MAX));
}

static void packets(void **state)
{
	struct ifpin_denial_event ev = {
		.reason = IFPIN_DENY_OTHER_DEVICE,
		.time = 5,
		.ifindex = OUT,
		.uid = 12,
		.family = AF_INET,
		.protocol = IPPROTO_UDP,
		.sport = 1,
		.dport = 53,
	};
	struct ifpin_denied d;

	(void)state;
	v4(&ev.src, "10.0.1.1");
	v4(&ev.dst, "10.0.2.2");
	assert_what(&ev, "routed to out0, or IP_PKTINFO named it");
	d = fill(&ev);
	assert_string_equal(d.reason, "other-device");
	assert_string_equal(d.device, "out0");
	assert_int_equal(d.time, 1005);
	assert_int_equal(d.uid, 12);
	assert_int_equal(d.dport, 53);
	assert_false(d.by_kernel);
	ev.knows_task = 1;
	assert_true(fill(&ev).by_kernel);
	ev.bound = 3;
	assert_what(&ev, "IP_PKTINFO named out0");
	ev.family = AF_INET6;
	assert_what(&ev, "a scope or IPV6_PKTINFO named out0");
	ev.protocol = IPPROTO_TCP;
	assert_what(&ev, "sent, though its socket is tied elsewhere, to out0");
	ev.bound = 0;
	assert_what(&ev, "routed to out0");
	ev.bound = ev.ifindex = 9;
	assert_what(&ev, "sent by a socket tied to index:9");
	ev.reason = IFPIN_DENY_INGRESS;
	assert_what(&ev, "came in from index:9");
	ev.reason = IFPIN_DENY_LOCAL_ON_WIRE;
	assert_what(&ev, "10.0.2.2 is the host's own, and was about to be sent out");
	ev.reason = IFPIN_DENY_RESOLVER;
	assert_what(&ev, "asked the resolver at 10.0.2.2:53");
	ev.reason = IFPIN_DENY_SYSCTL;
	assert_what(&ev, "a setting of the kernel was about to be changed");
}

static void of_lsm(void **state)
{
	struct ifpin_denial_event ev = {.reason = IFPIN_DENY_FAMILY, .family = AF_PACKET};

	(void)state;
	assert_what(&ev, "asked for a socket of the family packet");
	ev.family = 4711;
	assert_what(&ev, "asked for a socket of the family number 4711");
	ev.reason = IFPIN_DENY_FOREIGN;
	ev.family = AF_INET;
	assert_what(&ev, "was handed a socket of the family inet that was made outside");
	ev.reason = IFPIN_DENY_LOOKUP;
	assert_what(&ev, "an IPv6 route was asked for, whose gateway would be looked for");
	v4(&ev.dst, "2001:db8::1");
	assert_what(&ev, "asked for the route to 2001:db8::1, whose gateway would be looked for");
}

static struct ifpin_denial_event option(
	uint32_t level, uint32_t number, const void *value, uint32_t len)
{
	struct ifpin_denial_event ev = {.reason = IFPIN_DENY_REBIND,
		.level = level,
		.option = number,
		.optlen = len,
		.pid = 42,
		.comm = "0123456789abcdef"};

	memcpy(ev.optval, value, len < sizeof(ev.optval) ? len : sizeof(ev.optval));
	return ev;
}

static void bindings(void **state)
{
	uint32_t out = OUT, big = htonl(OUT), none = 0, unknown = 99;
	struct ifpin_denial_event ev = option(SOL_SOCKET, SO_BINDTODEVICE, "out0", 5);
	struct in6_pktinfo info = {.ipi6_ifindex = OUT};
	struct ip_mreqn mreqn = {.imr_ifindex = OUT};

	(void)state;
	assert_what(&ev, "SO_BINDTODEVICE named out0");
	assert_string_equal(fill(&ev).device, "out0");
	assert_int_equal(fill(&ev).ifindex, 0);
	assert_string_equal(fill(&ev).comm, "0123456789abcde");
	ev = option(SOL_SOCKET, SO_BINDTODEVICE, "\n\033[2J", 5);
	assert_what(&ev, "SO_BINDTODEVICE named ??[2J");
	ev = option(SOL_SOCKET, SO_BINDTODEVICE, "0123456789abcdefghijklmnopqrstuv", 4096);
	assert_what(&ev, "SO_BINDTODEVICE named 0123456789abcde");
	ev = option(SOL_SOCKET, SO_BINDTODEVICE, "", 0);
	assert_what(&ev, "SO_BINDTODEVICE would untie");
	ev = option(SOL_SOCKET, 62, &out, 4);
	assert_what(&ev, "SO_BINDTOIFINDEX named out0");
	assert_int_equal(fill(&ev).ifindex, OUT);
	assert_string_equal(fill(&ev).device, "out0");
	ev = option(SOL_SOCKET, 62, &unknown, 4);
	assert_what(&ev, "SO_BINDTOIFINDEX named index:99");
	assert_string_equal(fill(&ev).device, "");
	ev = option(SOL_SOCKET, 62, &none, 4);
	assert_what(&ev, "SO_BINDTOIFINDEX would untie");
	ev = option(SOL_SOCKET, 62, &out, 3);
	assert_what(&ev, "SO_BINDTOIFINDEX without a device");
	ev = option(IPPROTO_IP, IP_UNICAST_IF, &big, 4);
	assert_what(&ev, "IP_UNICAST_IF named out0");
	ev = option(IPPROTO_IPV6, IPV6_MULTICAST_IF, &out, 4);
	assert_what(&ev, "IPV6_MULTICAST_IF named out0");
	ev = option(IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	assert_what(&ev, "IPV6_PKTINFO named out0");
	ev = option(IPPROTO_IP, IP_MULTICAST_IF, &mreqn, sizeof(mreqn));
	assert_what(&ev, "IP_MULTICAST_IF on out0");
	mreqn.imr_multiaddr.s_addr = inet_addr("10.0.2.1");
	ev = option(IPPROTO_IP, IP_MULTICAST_IF, &mreqn, 4);
	assert_what(&ev, "IP_MULTICAST_IF on the device of 10.0.2.1");
	ev = option(IPPROTO_TCP, TCP_ULP, "espintcp", 8);
	assert_what(&ev, "TCP_ULP named espintcp");
	/* A length that is negative, as the caller's int. */
	ev = option(SOL_SOCKET, 62, &out, 4);
	ev.optlen = UINT32_MAX;
	assert_what(&ev, "SO_BINDTOIFINDEX without a device");
	ev = option(IPPROTO_IP, 200, &out, 4);
	assert_what(&ev, "a socket option named another device (level 0, option 200)");
}

static void joins(void **state)
{
	struct ip_mreqn four = {.imr_multiaddr.s_addr = inet_addr("224.1.1.1"), .imr_ifindex = OUT};
	struct ip_mreq by_address = {.imr_multiaddr.s_addr = inet_addr("224.1.1.1"),
		.imr_interface.s_addr = inet_addr("10.0.2.1")};
	struct ipv6_mreq six = {.ipv6mr_interface = OUT};
	struct group_req group = {.gr_interface = OUT};
	struct sockaddr_in6 *in6 = (void *)&group.gr_group;
	struct sockaddr_in *in = (void *)&group.gr_group;
	struct ifpin_denial_event ev = option(IPPROTO_IP, IP_ADD_MEMBERSHIP, &four, sizeof(four));

	(void)state;
	assert_what(&ev, "joined 224.1.1.1 on out0");
	ev = option(IPPROTO_IP, IP_ADD_MEMBERSHIP, &by_address, sizeof(by_address));
	assert_what(&ev, "joined 224.1.1.1 on the device of 10.0.2.1");
	by_address.imr_interface.s_addr = 0;
	ev = option(IPPROTO_IP, IP_ADD_MEMBERSHIP, &by_address, sizeof(by_address));
	assert_what(&ev, "joined 224.1.1.1 on whichever device a route leads to");
	ev = option(IPPROTO_IP, IP_ADD_MEMBERSHIP, &four, 3);
	assert_what(&ev, "joined a group on whichever device a route leads to");
	inet_pton(AF_INET6, "ff05::5", &six.ipv6mr_multiaddr);
	ev = option(IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &six, sizeof(six));
	assert_what(&ev, "joined ff05::5 on out0");
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = inet_addr("232.1.1.1");
	ev = option(IPPROTO_IP, MCAST_JOIN_GROUP, &group, sizeof(group));
	assert_what(&ev, "joined 232.1.1.1 on out0");
	in6->sin6_family = AF_INET6;
	in6->sin6_addr = six.ipv6mr_multiaddr;
	ev = option(IPPROTO_IPV6, MCAST_JOIN_GROUP, &group, sizeof(group));
	assert_what(&ev, "joined ff05::5 on out0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lengths),
		cmocka_unit_test(reasons),
		cmocka_unit_test(packets),
		cmocka_unit_test(of_lsm),
		cmocka_unit_test(bindings),
		cmocka_unit_test(joins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
