// SPDX-License-Identifier: MIT
/* A chassis out of network namespaces that have no name and end with the process. */
#include "internal.h"

#include "base/nl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/genetlink.h>
#include <linux/keyctl.h>
#include <linux/if_packet.h>
#include <linux/mptcp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/un.h>

#define MARK_TABLE 77
#define VRF_TABLE 78
#define VRF_LAST_METRIC 4278198272U /* the one of the kernel's own documentation */

const struct place ifp_lab_place = {
	.in = LAB_IN,
	.out = LAB_OUT,
	.in4 = LAB_IN4,
	.out4 = LAB_OUT4,
	.peer_in4 = LAB_PEER_IN4,
	.peer4 = LAB_PEER4,
	.far4 = LAB_FAR4,
	.marked4 = LAB_MARKED4,
	.broadcast4 = "10.0.2.255",
	.many4 = "239.9.9.9",
	.in6 = LAB_IN6,
	.peer_in6 = LAB_PEER_IN6,
	.peer6 = LAB_PEER6,
	.far6 = LAB_FAR6,
	.peer_ll = LAB_PEER_LL,
	.many_ll = "ff02::1",
	.out_mac = {2, 0, 0, 0, 2, 1},
	.peer_mac = {2, 0, 0, 0, 2, 2},
	.mark = LAB_MARK,
};

static struct nlmsghdr *request(char *buf, uint16_t type, uint16_t flags, void *body, size_t len)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	memcpy(mnl_nlmsg_put_extra_header(nlh, len), body, len);
	return nlh;
}

static size_t parse(const char *addr, uint8_t *ret, uint8_t *ret_family)
{
	bool four = inet_pton(AF_INET, addr, ret) == 1;

	if (!four)
		inet_pton(AF_INET6, addr, ret);
	*ret_family = four ? AF_INET : AF_INET6;
	return four ? 4 : 16;
}

static int make_veth(const char *name, const uint8_t *mac, int peer_ns, const uint8_t *peer_mac)
{
	char buf[1024];
	struct ifinfomsg ifi = {}; /* not up: a veth refuses that before it has its peer */
	struct nlmsghdr *nlh =
		request(buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &ifi, sizeof(ifi));
	struct nlattr *info, *data, *peer;

	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	mnl_attr_put(nlh, IFLA_ADDRESS, 6, mac);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(nlh, VETH_INFO_PEER);
	memcpy(mnl_nlmsg_put_extra_header(nlh, sizeof(ifi)), &ifi, sizeof(ifi));
	mnl_attr_put_strz(nlh, IFLA_IFNAME, "eth0");
	mnl_attr_put(nlh, IFLA_ADDRESS, 6, peer_mac);
	mnl_attr_put_u32(nlh, IFLA_NET_NS_FD, (uint32_t)peer_ns);
	mnl_attr_nest_end(nlh, peer);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	return ifp_nl_talk(nlh, NULL, NULL);
}

static int link_up(uint32_t index)
{
	char buf[256];
	struct ifinfomsg ifi = {.ifi_index = (int)index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};

	return ifp_nl_talk(request(buf, RTM_NEWLINK, 0, &ifi, sizeof(ifi)), NULL, NULL);
}

static int add_addr(uint32_t index, const char *addr, uint8_t prefix)
{
	uint8_t a[16], family;
	size_t len = parse(addr, a, &family);
	struct ifaddrmsg ifa = {.ifa_family = family,
		.ifa_prefixlen = prefix,
		.ifa_flags = IFA_F_NODAD,
		.ifa_index = index};
	char buf[256];
	struct nlmsghdr *nlh = request(buf, RTM_NEWADDR, NLM_F_CREATE, &ifa, sizeof(ifa));

	mnl_attr_put(nlh, IFA_LOCAL, len, a);
	mnl_attr_put(nlh, IFA_ADDRESS, len, a);
	return ifp_nl_talk(nlh, NULL, NULL);
}

/* A neighbour that is known for good: nothing waits for an answer, so nothing comes late. */
static int add_neigh(uint32_t index, const char *addr, const uint8_t *mac)
{
	uint8_t a[16], family;
	size_t len = parse(addr, a, &family);
	struct ndmsg nd = {
		.ndm_family = family, .ndm_ifindex = (int)index, .ndm_state = NUD_PERMANENT};
	char buf[256];
	struct nlmsghdr *nlh =
		request(buf, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &nd, sizeof(nd));

	mnl_attr_put(nlh, NDA_DST, len, a);
	mnl_attr_put(nlh, NDA_LLADDR, 6, mac);
	return ifp_nl_talk(nlh, NULL, NULL);
}

static int add_route(
	const char *dst, uint8_t prefix, const char *via, uint32_t index, uint32_t table)
{
	uint8_t a[16], family;
	size_t len = parse(via, a, &family);
	struct rtmsg rtm = {.rtm_family = family,
		.rtm_dst_len = prefix,
		.rtm_table = (uint8_t)table,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_type = RTN_UNICAST};
	char buf[256];
	struct nlmsghdr *nlh = request(buf, RTM_NEWROUTE, NLM_F_CREATE, &rtm, sizeof(rtm));

	mnl_attr_put(nlh, RTA_GATEWAY, len, a);
	mnl_attr_put_u32(nlh, RTA_OIF, index);
	if (prefix) {
		parse(dst, a, &family);
		mnl_attr_put(nlh, RTA_DST, len, a);
	}
	return ifp_nl_talk(nlh, NULL, NULL);
}

static int add_default(const char *via, uint32_t index, uint32_t table)
{
	return add_route("", 0, via, index, table);
}

static int add_mark_rule(void)
{
	struct fib_rule_hdr frh = {.family = AF_INET, .action = FR_ACT_TO_TBL, .table = MARK_TABLE};
	char buf[256];
	struct nlmsghdr *nlh =
		request(buf, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, &frh, sizeof(frh));

	mnl_attr_put_u32(nlh, FRA_FWMARK, LAB_MARK);
	return ifp_nl_talk(nlh, NULL, NULL);
}

static int on_family(const struct nlmsghdr *nlh, void *data)
{
	const struct nlattr *a;

	mnl_attr_for_each (a, nlh, sizeof(struct genlmsghdr))
		if (mnl_attr_get_type(a) == CTRL_ATTR_FAMILY_ID)
			*(uint16_t *)data = mnl_attr_get_u16(a);
	return 0;
}

/* Every multipath connection of the host gets a second path from out0's address. */
static int add_mptcp_endpoint(uint32_t index)
{
	struct genlmsghdr get = {.cmd = CTRL_CMD_GETFAMILY, .version = 1};
	struct genlmsghdr add = {.cmd = MPTCP_PM_CMD_ADD_ADDR, .version = MPTCP_PM_VER};
	struct nlmsghdr *nlh;
	struct nlattr *addr;
	uint16_t family = 0;
	uint8_t a[16], af;
	char buf[256];
	int r;

	nlh = request(buf, GENL_ID_CTRL, 0, &get, sizeof(get));
	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, MPTCP_PM_NAME);
	r = ifp_nl_talk_on(NETLINK_GENERIC, nlh, on_family, &family);
	if (r)
		return r;
	nlh = request(buf, family, 0, &add, sizeof(add));
	addr = mnl_attr_nest_start(nlh, MPTCP_PM_ATTR_ADDR);
	parse(LAB_OUT4, a, &af);
	mnl_attr_put_u16(nlh, MPTCP_PM_ADDR_ATTR_FAMILY, af);
	mnl_attr_put(nlh, MPTCP_PM_ADDR_ATTR_ADDR4, 4, a);
	mnl_attr_put_u32(nlh, MPTCP_PM_ADDR_ATTR_FLAGS, MPTCP_PM_ADDR_FLAG_SUBFLOW);
	mnl_attr_put_u32(nlh, MPTCP_PM_ADDR_ATTR_IF_IDX, index);
	mnl_attr_nest_end(nlh, addr);
	return ifp_nl_talk_on(NETLINK_GENERIC, nlh, NULL, NULL);
}

int ifp_lab_serve(const struct lab *lab, uint16_t port)
{
	struct target t = ifp_target(LAB_PEER_IN4, port, 0);
	_cleanup_close_ int fd = -1;

	if (!lab->mptcp)
		return -EPROTONOSUPPORT;
	if (setns(lab->ns_in, CLONE_NEWNET))
		return -errno;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);
	if (setns(lab->ns_host, CLONE_NEWNET) || fd < 0 ||
		bind(fd, (struct sockaddr *)&t.ss, t.len) || listen(fd, 8))
		return -errno;
	return ifp_take_fd(&fd);
}

/* Networks behind gateways that are not there, so that the kernel looks for them. */
struct in6_addr ifp_lab_probed(const char *first, int which)
{
	struct in6_addr a;

	inet_pton(AF_INET6, first, &a);
	a.s6_addr[13] = (uint8_t)which;
	return a;
}

static int add_probed(uint32_t index)
{
	static const char *const ways[][2] = {
		{LAB_PROBED6, LAB_GATEWAY6}, {LAB_SENTINEL6, LAB_SENTINEL_GATEWAY6}};
	int r = 0;

	for (int i = 0; i < LAB_PROBES * 2 && !r; i++) {
		struct in6_addr to = ifp_lab_probed(ways[i % 2][0], i / 2);
		struct in6_addr via = ifp_lab_probed(ways[i % 2][1], i / 2);
		char dst[INET6_ADDRSTRLEN], gateway[INET6_ADDRSTRLEN];

		inet_ntop(AF_INET6, &to, dst, sizeof(dst));
		inet_ntop(AF_INET6, &via, gateway, sizeof(gateway));
		r = add_route(dst, 128, gateway, index, RT_TABLE_MAIN);
	}
	return r;
}

/* A namespace of its own for the calling process. Return: descriptor; -errno. */
static int new_netns(void)
{
	int fd;

	if (unshare(CLONE_NEWNET))
		return -errno;
	/* Duplicate address detection would keep addresses from use for a second. */
	ifp_write_file(AT_FDCWD, "/proc/sys/net/ipv6/conf/all/accept_dad", "0");
	ifp_write_file(AT_FDCWD, "/proc/sys/net/ipv6/conf/default/accept_dad", "0");
	ifp_write_file(AT_FDCWD, "/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
	fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int set_up_peer(int ns, const char *a4, const char *a6, const char *ll)
{
	uint32_t index;
	int r;

	if (setns(ns, CLONE_NEWNET))
		return -errno;
	index = if_nametoindex("eth0");
	r = link_up(1);
	if (!r)
		r = link_up(index);
	if (!r)
		r = add_addr(index, a4, 24);
	if (!r)
		r = add_addr(index, a6, 64);
	if (!r && ll)
		r = add_addr(index, ll, 64);
	return r;
}

static int set_up_host(struct lab *lab)
{
	static const uint8_t in_mac[] = {2, 0, 0, 0, 1, 1}, in_peer[] = {2, 0, 0, 0, 1, 2};
	const uint8_t *out_mac = (const uint8_t *)LAB_OUT_MAC;
	const uint8_t *out_peer = (const uint8_t *)LAB_PEER_MAC;
	int r = link_up(1);

	if (!r)
		r = make_veth(LAB_IN, in_mac, lab->ns_in, in_peer);
	if (!r)
		r = make_veth(LAB_OUT, out_mac, lab->ns_out, out_peer);
	if (r)
		return r;
	lab->in_index = if_nametoindex(LAB_IN);
	lab->out_index = if_nametoindex(LAB_OUT);
	r = set_up_peer(lab->ns_in, LAB_PEER_IN4, LAB_PEER_IN6, NULL);
	if (!r)
		r = set_up_peer(lab->ns_out, LAB_PEER4, LAB_PEER6, LAB_PEER_LL);
	if (setns(lab->ns_host, CLONE_NEWNET))
		return -errno;
	if (!r)
		r = link_up(lab->in_index) ?: link_up(lab->out_index);
	if (!r)
		r = add_addr(lab->in_index, LAB_IN4, 24) ?: add_addr(lab->in_index, LAB_IN6, 64);
	if (!r)
		r = add_addr(lab->out_index, LAB_OUT4, 24) ?:
		    add_addr(lab->out_index, "fd00:2::1", 64) ?:
		    add_addr(lab->out_index, "fe80::2:1", 64);
	if (!r)
		r = add_neigh(lab->in_index, LAB_PEER_IN4, in_peer) ?:
		    add_neigh(lab->in_index, LAB_PEER_IN6, in_peer) ?:
		    add_neigh(lab->out_index, LAB_PEER4, out_peer) ?:
		    add_neigh(lab->out_index, LAB_PEER6, out_peer) ?:
		    add_neigh(lab->out_index, LAB_PEER_LL, out_peer);
	if (!r)
		r = add_default(LAB_PEER4, lab->out_index, RT_TABLE_MAIN) ?:
		    add_default(LAB_PEER6, lab->out_index, RT_TABLE_MAIN) ?:
		    add_default(LAB_PEER4, lab->out_index, MARK_TABLE) ?: add_mark_rule();
	return r;
}

/* A device that is put into a VRF is switched off and on for it, and forgets this. */
static int set_up_in_again(uint32_t index)
{
	static const uint8_t in_peer[] = {2, 0, 0, 0, 1, 2};

	return add_addr(index, LAB_IN6, 64) ?: add_neigh(index, LAB_PEER_IN4, in_peer) ?:
	       add_neigh(index, LAB_PEER_IN6, in_peer);
}

static int make_vrf(void)
{
	char buf[512];
	struct ifinfomsg ifi = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct nlmsghdr *nlh =
		request(buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &ifi, sizeof(ifi));
	struct nlattr *info, *data;

	mnl_attr_put_strz(nlh, IFLA_IFNAME, LAB_VRF);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "vrf");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	mnl_attr_put_u32(nlh, IFLA_VRF_TABLE, VRF_TABLE);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	return ifp_nl_talk(nlh, NULL, NULL);
}

/* What the VRF has no route for is not looked for in the other tables. */
static int add_unreachable(uint8_t family)
{
	struct rtmsg rtm = {.rtm_family = family,
		.rtm_table = VRF_TABLE,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_type = RTN_UNREACHABLE};
	char buf[256];
	struct nlmsghdr *nlh = request(buf, RTM_NEWROUTE, NLM_F_CREATE, &rtm, sizeof(rtm));

	mnl_attr_put_u32(nlh, RTA_PRIORITY, VRF_LAST_METRIC);
	return ifp_nl_talk(nlh, NULL, NULL);
}

int ifp_set_master(uint32_t index, uint32_t master)
{
	char buf[256];
	struct ifinfomsg ifi = {.ifi_index = (int)index};
	struct nlmsghdr *nlh = request(buf, RTM_NEWLINK, 0, &ifi, sizeof(ifi));

	mnl_attr_put_u32(nlh, IFLA_MASTER, master);
	return ifp_nl_talk(nlh, NULL, NULL);
}

int ifp_lab_in_again(uint32_t index)
{
	uint32_t vrf = if_nametoindex(LAB_VRF);

	return link_up(index) ?: add_addr(index, LAB_IN4, 24) ?: (vrf ? ifp_set_master(index, vrf) : 0)
	       ?: set_up_in_again(index);
}

int ifp_lab_vrf(const struct lab *lab)
{
	return make_vrf() ?: add_unreachable(AF_INET) ?: add_unreachable(AF_INET6) ?:
	       ifp_set_master(lab->in_index, if_nametoindex(LAB_VRF)) ?:
	       set_up_in_again(lab->in_index);
}

/* On all devices: an attempt may make one more. */
static int open_capture(const struct lab *lab, int ns)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	struct timeval tv = {.tv_sec = 5};
	_cleanup_close_ int fd = -1;
	int size = 8 << 20, on = 1;

	if (setns(ns, CLONE_NEWNET))
		return -errno;
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) ||
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
		setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) ||
		setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) ||
		bind(fd, (struct sockaddr *)&ll, sizeof(ll)) || setns(lab->ns_host, CLONE_NEWNET))
		return -errno;
	return ifp_take_fd(&fd);
}

/* With the laboratory, which may have ended before it could be asked for that. */
static void die_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
}

/* Hands its UDP socket to whoever asks. Its own namespace is the peer's. */
static void give(int listener, int fd, int ns)
{
	char byte = 0;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};

	if (ns >= 0 && setns(ns, CLONE_NEWNET))
		_exit(1);
	for (;;) {
		uint8_t control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {};
		struct msghdr m = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control)};
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		int conn = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (conn < 0)
			_exit(1);
		*c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
		sendmsg(conn, &m, MSG_NOSIGNAL);
		close(conn);
	}
}

static int start_giver(struct lab *lab)
{
	_cleanup_close_ int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_close_ int go_rd = -1, go_wr = -1;
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	pid_t parent = getpid();
	int n, go[2];
	char byte = 0;

	if (listener < 0 || pipe2(go, O_CLOEXEC))
		return -errno;
	go_rd = go[0];
	go_wr = go[1];
	lab->giver_fd = lab->loose_fd;
	lab->giver = fork();
	if (lab->giver < 0)
		return -errno;
	if (!lab->giver) {
		die_with(parent);
		/* The name of the listener has our pid in it: wait until it listens. */
		if (read(go_rd, &byte, 1) != 1)
			_exit(1);
		give(listener, lab->giver_fd, lab->ns_out);
	}
	n = snprintf(sun.sun_path + 1, sizeof(sun.sun_path) - 1, "ifpin-giver-%d", (int)lab->giver);
	if (bind(listener, (struct sockaddr *)&sun,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) ||
		listen(listener, 8) || write(go_wr, &byte, 1) != 1)
		return -errno;
	return 0;
}

#define TOLD (STDERR_FILENO + 1) /* ends with the exec */

/* What another user is to have nothing of: our files and our terminal. */
static bool let_go(void)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || setsid() < 0)
		return false;
	for (int i = 0; i <= STDERR_FILENO; i++)
		if (dup2(null, i) != i)
			return false;
	return !fcntl(TOLD, F_SETFD, FD_CLOEXEC) && !syscall(SYS_close_range, TOLD + 1, ~0U, 0);
}

/* A keyring of its own; whom a filter allows none, it allows not to look into ours either. */
static bool join_keyring(void)
{
	return syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) >= 0 || errno == ENOSYS ||
	       errno == EPERM;
}

/* Everybody of that user may trace it. So it is another program, without our memory and
 * environment. */
static void become_poor(pid_t parent, int ready)
{
	char *const none[] = {NULL};

	if (dup2(ready, TOLD) == TOLD && let_go() && !setgroups(0, NULL) &&
		!setresgid(65534, 65534, 65534) && !setresuid(65534, 65534, 65534) &&
		join_keyring()) {
		/* A change of the user takes this away, an exec does not. */
		die_with(parent);
		execle("/bin/sleep", "sleep", "infinity", (char *)NULL, none);
	}
	if (write(TOLD, "", 1) != 1)
		abort();
	_exit(1);
}

/* Somebody like an ordinary user's shell, or a container's init. */
static int start_poor(struct lab *lab)
{
	pid_t parent = getpid();
	char byte;
	int ready[2];

	if (pipe2(ready, O_CLOEXEC))
		return -errno;
	lab->poor = fork();
	if (!lab->poor)
		become_poor(parent, ready[1]);
	close(ready[1]);
	if (lab->poor > 0 && read(ready[0], &byte, 1) != 0)
		lab->poor = -1;
	close(ready[0]);
	return lab->poor < 0 ? -EAGAIN : 0;
}

int ifp_lab_helpers(struct lab *lab, struct ifpin_error *err)
{
	int r;

	lab->loose_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	r = lab->loose_fd < 0 ? -errno : start_giver(lab);
	if (r)
		return ifp_fail_errno(err, r, "cannot start the process that hands out sockets");
	r = start_poor(lab);
	return r ? ifp_fail_errno(err, r, "cannot start a process without capabilities") : 0;
}

int ifp_lab_make(struct lab *ret, struct ifpin_error *err)
{
	struct lab lab = {.ns_host = -1,
		.ns_in = -1,
		.ns_out = -1,
		.capture = -1,
		.capture_in = -1,
		.sentinels = -1,
		.loose_fd = -1};
	int r;

	lab.ns_in = new_netns();
	lab.ns_out = new_netns();
	lab.ns_host = new_netns();
	if (lab.ns_in < 0 || lab.ns_out < 0 || lab.ns_host < 0)
		return ifp_fail_errno(err, lab.ns_host < 0 ? lab.ns_host : -EPERM,
			"cannot make network namespaces (%sneeds CAP_SYS_ADMIN, kernel option "
			"CONFIG_NET_NS)",
			geteuid() ? "run it with sudo; " : "");
	r = set_up_host(&lab);
	if (r)
		return ifp_fail_errno(
			err, r, "cannot build the laboratory (veth, addresses, routes)");
	lab.capture = open_capture(&lab, lab.ns_out);
	lab.capture_in = open_capture(&lab, lab.ns_in);
	if (lab.capture < 0 || lab.capture_in < 0)
		return ifp_fail_errno(err, lab.capture < 0 ? lab.capture : lab.capture_in,
			"cannot capture at the far end");
	lab.sentinels = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (lab.sentinels < 0)
		return ifp_fail_errno(err, -errno, "cannot mark the ends of attempts");
	r = ifp_lab_helpers(&lab, err);
	if (r)
		return r;
	r = add_probed(lab.out_index);
	if (r)
		return ifp_fail_errno(err, r, "cannot add routes to the laboratory");
	/* Once a minute would be too rare for attempts that follow each other. */
	ifp_write_file(AT_FDCWD, "/proc/sys/net/ipv6/conf/" LAB_OUT "/router_probe_interval", "0");
	/* Once for each packet: what is asked again a second later would be taken for another
	 * attempt's. */
	ifp_write_file(AT_FDCWD, "/proc/sys/net/ipv6/neigh/" LAB_OUT "/mcast_solicit", "1");
	ifp_write_file(AT_FDCWD, "/proc/sys/net/ipv6/icmp/ratelimit", "0");
	ifp_write_file(AT_FDCWD, "/proc/sys/net/ipv4/icmp_ratelimit", "0");
	ifp_write_file(AT_FDCWD, "/proc/sys/net/ipv4/conf/all/rp_filter", "0");
	ifp_write_file(AT_FDCWD, "/proc/sys/net/ipv4/conf/" LAB_IN "/rp_filter", "0");
	ifp_write_file(AT_FDCWD, "/proc/sys/net/ipv4/conf/" LAB_OUT "/rp_filter", "0");
	lab.mptcp = !add_mptcp_endpoint(lab.out_index);
	*ret = lab;
	return 0;
}

void ifp_lab_end(struct lab *lab)
{
	if (lab->giver > 0)
		kill(lab->giver, SIGKILL);
	if (lab->poor > 0)
		kill(lab->poor, SIGKILL);
	close(lab->capture);
	close(lab->capture_in);
	close(lab->sentinels);
	close(lab->loose_fd);
	close(lab->ns_host);
	close(lab->ns_in);
	close(lab->ns_out);
}

int ifp_lab_join(const struct lab *lab, const uint8_t g4[4], const uint8_t g6[16], bool six)
{
	_cleanup_close_ int fd = socket(six ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ip_mreqn m4 = {.imr_ifindex = (int)lab->out_index};
	struct ipv6_mreq m6 = {.ipv6mr_interface = lab->out_index};
	int r;

	memcpy(&m4.imr_multiaddr, g4, 4);
	memcpy(&m6.ipv6mr_multiaddr, g6, 16);
	r = six ? setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &m6, sizeof(m6))
		: setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m4, sizeof(m4));
	/* Kept open: a leave in the same report would take the join out of it. */
	if (!r)
		(void)ifp_take_fd(&fd);
	return r ? -errno : 0;
}

int ifp_lab_probe(int which)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6,
		.sin6_port = htons(9),
		.sin6_addr = ifp_lab_probed(LAB_SENTINEL6, which)};
	_cleanup_close_ int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	/* The kernel makes one probe a gateway and tick; the last one may be this tick's. */
	poll(NULL, 0, 20);
	return fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) ? -errno : 0;
}
