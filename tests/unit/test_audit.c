// SPDX-License-Identifier: MIT
/*
 * What `ifpin audit` judges of devices, actions and rules that the kernels of the tests have not
 * got (bond, team, VRF, VLAN, act_nat, flowtables): by messages made by hand, in the kernel's
 * words. What can be made in a namespace is in tests/netns/test_audit.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "audit/audit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <string.h>
#include <unistd.h>

static char buf[4096];

/* ---- messages ---- */

static struct nlmsghdr *begin(uint16_t type, const void *body, size_t len)
{
	memset(buf, 0, sizeof(buf));
	return ifp_request(buf, type, 0, body, len);
}

struct device {
	uint32_t index;
	const char *name, *kind;
	uint32_t master, lower;
};

static void add_device(struct ifpin_audit *a, struct device d)
{
	struct ifinfomsg ifi = {.ifi_index = (int)d.index,
		.ifi_type = d.index == 1 ? ARPHRD_LOOPBACK : ARPHRD_ETHER,
		.ifi_flags = IFF_UP | (d.index == 1 ? IFF_LOOPBACK : 0)};
	struct nlmsghdr *nlh = begin(RTM_NEWLINK, &ifi, sizeof(ifi));
	struct nlattr *info;

	mnl_attr_put_strz(nlh, IFLA_IFNAME, d.name);
	if (d.master)
		mnl_attr_put_u32(nlh, IFLA_MASTER, d.master);
	if (d.lower)
		mnl_attr_put_u32(nlh, IFLA_LINK, d.lower);
	if (d.kind) {
		info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
		mnl_attr_put_strz(nlh, IFLA_INFO_KIND, d.kind);
		mnl_attr_nest_end(nlh, info);
	}
	assert_int_equal(ifp_on_link(nlh, &a->s), 0);
	ifp_links_sort(&a->s);
}

static struct ifpin_audit *host(void)
{
	struct ifpin_audit *a = calloc(1, sizeof(*a));

	assert_non_null(a);
	a->s.bpf_unprivileged = a->s.nonlocal4 = a->s.nonlocal6 = -1;
	a->s.l3mdev_tcp = a->s.l3mdev_udp = -1;
	add_device(a, (struct device){1, "lo", NULL, 0, 0});
	add_device(a, (struct device){2, "in0", NULL, 0, 0});
	add_device(a, (struct device){3, "out0", NULL, 0, 0});
	return a;
}

static size_t judged(struct ifpin_audit *a, uint32_t index, const char *only)
{
	size_t before = a->findings.n;

	assert_int_equal(ifp_judge(a, index ? ifp_link_at(&a->s, index) : NULL, only, NULL), 0);
	return a->findings.n - before;
}

/* ---- ports and what stands on a device ---- */

static void ports(void **state)
{
	static const struct {
		const char *check, *kind;
	} rows[] = {{"bond-port", "bond"}, {"team-port", "team"}, {"vrf-port", "vrf"},
		{"bridge-port", "bridge"}, {"other-port", "openvswitch"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
			struct ifpin_audit *a = host();

			add_device(a, (struct device){4, "master0", rows[i].kind, 0, 0});
			add_device(a, (struct device){5, "port0", NULL, 4, 0});
			assert_int_equal(judged(a, 5, rows[k].check), i == k);
			assert_int_equal(judged(a, 2, rows[k].check), 0);
			if (i == k) {
				assert_string_equal(a->findings.v[0].device, "port0");
				assert_string_equal(
					a->findings.v[0].mend, "ip link set dev port0 nomaster");
				assert_non_null(strstr(a->findings.v[0].evidence, "master0"));
			}
			ifpin_audit_free(a);
		}
}

static void uppers(void **state)
{
	struct ifpin_audit *a = host();

	(void)state;
	add_device(a, (struct device){4, "in0.7", "vlan", 0, 2});
	assert_int_equal(judged(a, 2, "vlan-on"), 1);
	assert_string_equal(a->findings.v[0].device, "in0");
	assert_string_equal(a->findings.v[0].mend, "ip link del dev in0.7");
	assert_int_equal(judged(a, 3, "vlan-on"), 0);
	assert_int_equal(judged(a, 0, "vlan-on"), 1);
	add_device(a, (struct device){5, "wg0", "wireguard", 0, 0});
	assert_int_equal(judged(a, 5, "tunnel"), 1);
	assert_int_equal(judged(a, 2, "tunnel"), 0);
	ifpin_audit_free(a);
}

static void vrfs(void **state)
{
	struct ifpin_audit *a = host();

	(void)state;
	a->s.l3mdev_tcp = 1;
	assert_int_equal(judged(a, 2, "l3mdev-accept"), 0);
	add_device(a, (struct device){4, "vrf0", "vrf", 0, 0});
	assert_int_equal(judged(a, 2, "l3mdev-accept"), 1);
	assert_string_equal(a->findings.v[0].mend, "sysctl -w net/ipv4/tcp_l3mdev_accept=0");
	ifpin_audit_free(a);
}

/* ---- actions of tc, rules of nftables ---- */

static void rewriting_actions(void **state)
{
	struct ifpin_audit *a = host();
	struct tcmsg tcm = {.tcm_ifindex = 2,
		.tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS),
		.tcm_info = TC_H_MAKE(7 << 16, htons(0x0800))};
	struct nlmsghdr *nlh = begin(RTM_NEWTFILTER, &tcm, sizeof(tcm));
	struct nlattr *options, *actions, *first;

	(void)state;
	mnl_attr_put_strz(nlh, TCA_KIND, "flower");
	options = mnl_attr_nest_start(nlh, TCA_OPTIONS);
	actions = mnl_attr_nest_start(nlh, TCA_FLOWER_ACT);
	first = mnl_attr_nest_start(nlh, 1);
	mnl_attr_put_strz(nlh, TCA_ACT_KIND, "nat");
	mnl_attr_nest_end(nlh, first);
	mnl_attr_nest_end(nlh, actions);
	mnl_attr_nest_end(nlh, options);
	assert_int_equal(ifp_on_filter(nlh, &a->s), 0);
	assert_int_equal(judged(a, 2, "tc-rewrite"), 1);
	assert_string_equal(a->findings.v[0].mend, "tc filter del dev in0 egress chain 0 pref 7");
	assert_int_equal(judged(a, 2, "mirred"), 0);
	ifpin_audit_free(a);
}

static void flowtables(void **state)
{
	struct ifpin_audit *a = host();
	struct nfgenmsg nfg = {.nfgen_family = 1};
	struct nlmsghdr *nlh =
		begin((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWRULE, &nfg, sizeof(nfg));
	struct nlattr *list, *element;

	(void)state;
	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, "t");
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, "c");
	mnl_attr_put_u64(nlh, NFTA_RULE_HANDLE, htobe64(9));
	list = mnl_attr_nest_start(nlh, NFTA_RULE_EXPRESSIONS);
	element = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
	mnl_attr_put_strz(nlh, NFTA_EXPR_NAME, "flow_offload");
	mnl_attr_nest_end(nlh, element);
	mnl_attr_nest_end(nlh, list);
	assert_int_equal(ifp_on_nft_rule(nlh, &a->s), 0);
	assert_int_equal(judged(a, 2, "offload"), 1);
	assert_string_equal(a->findings.v[0].mend, "nft delete rule inet t c handle 9");
	ifpin_audit_free(a);
}

/* ---- texts ---- */

/* A device may be called almost anything; its name must stay one word of a shell, and of a line. */
static void names(void **state)
{
	struct ifpin_audit *a = host();

	(void)state;
	assert_string_equal(ifp_quote("eth0.5").s, "eth0.5");
	assert_string_equal(ifp_quote("$(reboot)").s, "'$(reboot)'");
	assert_string_equal(ifp_quote("a'b;c").s, "'a'\\''b;c'");
	assert_string_equal(ifp_quote("'''''''''''''''").s + 57, "'\\'''");
	assert_string_equal(ifp_quote("").s, "''");
	add_device(a, (struct device){4, "br\033[2J", "bridge", 0, 0});
	add_device(a, (struct device){5, "a;b", NULL, 4, 0});
	assert_int_equal(judged(a, 5, "bridge-port"), 1);
	assert_null(strchr(a->findings.v[0].evidence, '\033'));
	assert_string_equal(a->findings.v[0].mend, "ip link set dev 'a;b' nomaster");
	ifpin_audit_free(a);
}

static void prefixes(void **state)
{
	uint8_t net[16], in[16], out[16];

	(void)state;
	ifp_parse_addr("10.0.1.128", net);
	ifp_parse_addr("10.0.1.200", in);
	ifp_parse_addr("10.0.1.100", out);
	assert_true(ifp_prefix_has(net, 96 + 25, in));
	assert_false(ifp_prefix_has(net, 96 + 25, out));
	assert_true(ifp_prefix_has(net, 96 + 24, out));
	assert_true(ifp_prefix_has(net, 0, out));
	assert_true(ifp_prefix_has(net, 128, net));
	assert_string_equal(ifp_prefix_text(net, 121).s, "10.0.1.128/25");
	ifp_parse_addr("fd00::", net);
	assert_string_equal(ifp_prefix_text(net, 8).s, "fd00::/8");
}

/* ---- accepted findings ---- */

static int read_text(struct ifpin_accepted *a, const char *text, struct ifpin_error *err)
{
	char path[] = "/tmp/ifpin-accepted-XXXXXX";
	int fd = mkstemp(path), r;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	r = ifpin_accepted_read(a, path, err);
	unlink(path);
	return r;
}

static void accepted(void **state)
{
	struct ifpin_accepted *a;
	struct ifpin_error err;

	(void)state;
	assert_int_equal(ifpin_accepted_new(&a), 0);
	assert_int_equal(read_text(a,
				 "# what we know\n\n  forward4@br0 \t it is a router \r\n"
				 "bridge-port our switch",
				 &err),
		0);
	assert_string_equal(ifp_accepted_reason(a, "forward4", "br0"), "it is a router");
	assert_null(ifp_accepted_reason(a, "forward4", "in0"));
	assert_null(ifp_accepted_reason(a, "forward6", "br0"));
	assert_string_equal(ifp_accepted_reason(a, "bridge-port", "in0"), "our switch");
	assert_int_equal(read_text(a, "\nforward4\n", &err), -EINVAL);
	assert_non_null(strstr(err.text, "line 2"));
	assert_int_equal(read_text(a, "forward5 why\n", &err), -ENOENT);
	assert_int_equal(read_text(a, "forward4@ why\n", &err), -EINVAL);
	assert_int_equal(read_text(a, "forward4@sixteen-letters! why\n", &err), -EINVAL);
	assert_int_equal(ifpin_accepted_read(a, "/no/such/file", &err), -ENOENT);
	assert_null(ifp_accepted_reason(NULL, "forward4", "br0"));
	ifpin_accepted_free(a);
	ifpin_accepted_free(NULL);
}

/* ---- messages cut short, or with lengths that lie ---- */

static void bad_messages(void **state)
{
	static const ifp_nl_cb readers[] = {ifp_on_link, ifp_on_route, ifp_on_rule, ifp_on_proxy,
		ifp_on_filter, ifp_on_nft_rule, ifp_on_endpoint, ifp_on_policy};
	static const uint16_t types[] = {RTM_NEWLINK, RTM_NEWROUTE, RTM_NEWRULE, RTM_NEWNEIGH,
		RTM_NEWTFILTER, (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWRULE, 0x20, 0x13};
	struct ifpin_audit *a = host();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
		for (uint32_t len = 0; len < 256; len++) {
			struct nlmsghdr *nlh = calloc(1, sizeof(*nlh) + len + 4);

			assert_non_null(nlh);
			memset(nlh + 1, 0xff, len);
			nlh->nlmsg_len = (uint32_t)sizeof(*nlh) + len;
			nlh->nlmsg_type = types[i];
			assert_int_equal(readers[i](nlh, &a->s), 0);
			free(nlh);
		}
	ifpin_audit_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports),
		cmocka_unit_test(uppers),
		cmocka_unit_test(vrfs),
		cmocka_unit_test(rewriting_actions),
		cmocka_unit_test(flowtables),
		cmocka_unit_test(names),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(accepted),
		cmocka_unit_test(bad_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
