// SPDX-License-Identifier: MIT
/*
 * The system call filter. It refuses what no cgroup program sees: address families that are not
 * IP, io_uring (which opens sockets past any filter), ways into other cgroups, and the entry
 * points of another ABI where the kernel does not run setsockopt programs.
 */
#include "internal.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <sched.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif
#define FAMILIES 64
#define SOCK_TYPE_BITS 0xf
#define OLD_SOCK_PACKET 10

struct ifp_filter {
	scmp_filter_ctx ctx;
};

static const uint64_t allowed_families =
	1ULL << AF_UNIX | 1ULL << AF_INET | 1ULL << AF_INET6 | 1ULL << AF_NETLINK | 1ULL << AF_ALG;

static const struct {
	const char *name;
	int number;
} family_names[] = {
	{"unix", AF_UNIX},
	{"inet", AF_INET},
	{"inet6", AF_INET6},
	{"netlink", AF_NETLINK},
	{"alg", AF_ALG},
	{"vsock", AF_VSOCK},
	{"can", AF_CAN},
	{"bluetooth", AF_BLUETOOTH},
	{"tipc", AF_TIPC},
	{"rds", AF_RDS},
	{"qipcrtr", AF_QIPCRTR},
	{"kcm", AF_KCM},
};

/* Of which no socket is let in, so nobody has to name them. */
static const char *name_of_refused(int family)
{
	switch (family) {
	case AF_PACKET:
		return "packet";
	case AF_XDP:
		return "xdp";
	default:
		return NULL;
	}
}

const char *ifp_family_name(int family)
{
	for (size_t i = 0; i < ARRAY_SIZE(family_names); i++)
		if (family_names[i].number == family)
			return family_names[i].name;
	return name_of_refused(family);
}

int ifpin_family_number(const char *name)
{
	if (!strncasecmp(name, "af_", 3))
		name += 3;
	for (size_t i = 0; i < ARRAY_SIZE(family_names); i++)
		if (!strcasecmp(family_names[i].name, name))
			return family_names[i].number;
	return -EINVAL;
}

uint64_t ifp_families(uint64_t further)
{
	return allowed_families | further;
}

/* Refuses a block of families with as few comparisons as an aligned block takes. */
static int refuse_block(
	scmp_filter_ctx ctx, int call, uint64_t allowed, unsigned int first, unsigned int size)
{
	uint64_t all = size == 64 ? ~0ULL : ((1ULL << size) - 1) << first;
	int r;

	if (!(allowed & all))
		return seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), call, 1,
			SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffffULL & ~(uint64_t)(size - 1), first));
	if (size == 1)
		return 0;
	r = refuse_block(ctx, call, allowed, first, size / 2);
	return r ?: refuse_block(ctx, call, allowed, first + size / 2, size / 2);
}

static int refuse_families(scmp_filter_ctx ctx, int call, uint64_t allowed)
{
	int r = refuse_block(ctx, call, allowed, 0, FAMILIES);

	/* The kernel looks at 32 bits; a number with more is no family at all. */
	if (!r)
		r = seccomp_rule_add(
			ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), call, 1, SCMP_A0(SCMP_CMP_GE, FAMILIES));
	/* socket(AF_INET, SOCK_PACKET) is AF_PACKET by its oldest name. */
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), call, 1,
			SCMP_A1(SCMP_CMP_MASKED_EQ, SOCK_TYPE_BITS, OLD_SOCK_PACKET));
	return r;
}

static int refuse_ioctls(scmp_filter_ctx ctx)
{
	/* A tun device without owner is anybody's; TIOCSTI types into the shell that started us. */
	static const uint32_t requests[] = {TUNSETIFF, TIOCSTI, TIOCLINUX};
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(requests); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
			SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffULL, requests[i]));
	return r;
}

static const uint64_t entered[] = {CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWCGROUP};

static int refuse_calls(scmp_filter_ctx ctx)
{
	static const struct {
		int call, err;
	} calls[] = {
		/* IORING_OP_SOCKET opens any family, and no filter sees it. */
		{SCMP_SYS(io_uring_setup), EPERM},
		{SCMP_SYS(io_uring_enter), EPERM},
		{SCMP_SYS(io_uring_register), EPERM},
		/* CLONE_INTO_CGROUP is in memory that a filter cannot read; libcs fall back. */
		{SCMP_SYS(clone3), ENOSYS},
		{SCMP_SYS(bpf), EPERM},
		/* Takes sockets out of other processes. */
		{SCMP_SYS(pidfd_getfd), EPERM},
		{SCMP_SYS(open_by_handle_at), EPERM},
	};
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(calls); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(calls[i].err), calls[i].call, 0);
	/*
	 * Who has made a user namespace has all capabilities in it, also from inside, and with them
	 * in the network namespaces that belong to it. A namespace of one's own is made, not
	 * entered.
	 */
	for (size_t i = 0; !r && i < ARRAY_SIZE(entered); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(setns), 1,
			SCMP_A1(SCMP_CMP_MASKED_EQ, entered[i], entered[i]));
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(setns), 1,
			SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffULL, 0));
	/*
	 * In a cgroup namespace of its own, cgroupfs can be mounted anew and written, and processes
	 * of the host be moved there and killed; what dies says goodbye to its peers.
	 */
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(unshare), 1,
			SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NEWCGROUP, CLONE_NEWCGROUP));
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
			SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NEWCGROUP, CLONE_NEWCGROUP));
	/* A limit of processor time kills as well as a signal does. One's own has the number 0. */
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prlimit64), 2,
			SCMP_A0(SCMP_CMP_NE, 0), SCMP_A2(SCMP_CMP_NE, 0));
	/* With call-out data the kernel starts a helper of the host, which may ask the DNS. */
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(request_key), 1,
			SCMP_A2(SCMP_CMP_NE, 0));
	return r;
}

static int refuse_option(scmp_filter_ctx ctx, int level, int option)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(setsockopt), 2,
		SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffULL, (scmp_datum_t)level),
		SCMP_A2(SCMP_CMP_MASKED_EQ, 0xffffffffULL, (scmp_datum_t)option));
}

/* For sockets made outside, whose options no program of ours sees (see inherit.c). */
static int keep_pinned(scmp_filter_ctx ctx)
{
	static const struct {
		int level, option;
	} options[] = {
		{SOL_SOCKET, SO_BINDTODEVICE},
		{SOL_SOCKET, SO_BINDTOIFINDEX},
		{IPPROTO_TCP, TCP_ULP},
		{IPPROTO_IP, IP_ADD_MEMBERSHIP},
		{IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP},
		{IPPROTO_IP, IP_BLOCK_SOURCE},
		{IPPROTO_IP, IP_UNBLOCK_SOURCE},
		{IPPROTO_IP, MCAST_JOIN_GROUP},
		{IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP},
		{IPPROTO_IP, MCAST_BLOCK_SOURCE},
		{IPPROTO_IP, MCAST_UNBLOCK_SOURCE},
		{IPPROTO_IP, IP_TRANSPARENT},
		{IPPROTO_IP, IP_FREEBIND},
		{IPPROTO_IPV6, IPV6_JOIN_GROUP},
		{IPPROTO_IPV6, IPV6_JOIN_ANYCAST},
		{IPPROTO_IPV6, MCAST_JOIN_GROUP},
		{IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP},
		{IPPROTO_IPV6, MCAST_BLOCK_SOURCE},
		{IPPROTO_IPV6, MCAST_UNBLOCK_SOURCE},
		{IPPROTO_IPV6, IPV6_TRANSPARENT},
		{IPPROTO_IPV6, IPV6_FREEBIND},
	};
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(options); i++)
		r = refuse_option(ctx, options[i].level, options[i].option);
	return r;
}

static int add_rules(scmp_filter_ctx ctx, uint64_t allowed)
{
	int r = refuse_families(ctx, SCMP_SYS(socket), allowed);

	if (!r)
		r = refuse_families(ctx, SCMP_SYS(socketpair), allowed);
	if (!r)
		r = refuse_ioctls(ctx);
	if (!r)
		r = refuse_calls(ctx);
	return r;
}

/* do_sock_setsockopt() runs no BPF for a 32-bit caller, and socketcall hides its arguments. */
static int add_compat_rules(scmp_filter_ctx ctx)
{
	int r = 0;

	if (seccomp_arch_exist(ctx, SCMP_ARCH_X86) == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socketcall), 0);
	for (int level = 0; !r && level <= SOL_IPV6; level += SOL_IPV6)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(setsockopt), 1,
			SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)level));
	return r ?: refuse_option(ctx, IPPROTO_TCP, TCP_ULP);
}

static scmp_filter_ctx new_ctx(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

	/* no_new_privs would break sudo inside; the bounding set keeps setuid programs down. */
	if (ctx &&
		(seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0) ||
			seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)))) {
		seccomp_release(ctx);
		ctx = NULL;
	}
	return ctx;
}

static int add_compat(scmp_filter_ctx ctx, const struct ifpin_confine_opts *opts, uint64_t allowed)
{
	uint32_t native = seccomp_arch_native();
	uint32_t compat = native == SCMP_ARCH_X86_64	? SCMP_ARCH_X86
			  : native == SCMP_ARCH_AARCH64 ? SCMP_ARCH_ARM
							: 0;
	scmp_filter_ctx second;
	int r;

	if (!compat)
		return 0;
	second = new_ctx();
	if (!second)
		return -ENOMEM;
	r = seccomp_arch_add(second, compat);
	if (!r)
		r = seccomp_arch_remove(second, native);
	/* Where socketcall exists it is refused as a whole, so no rule may reach into it. */
	if (!r)
		r = add_compat_rules(second);
	if (!r)
		r = add_rules(second, allowed);
	for (int i = 0; !r && opts->inherit == IFPIN_INHERIT_PIN && i < 2; i++)
		r = refuse_option(second, SOL_SOCKET, i ? SO_BINDTODEVICE : SO_BINDTOIFINDEX);
	if (!r)
		r = seccomp_merge(ctx, second);
	if (r)
		seccomp_release(second);
	return r;
}

void ifp_filter_free(struct ifp_filter *f)
{
	if (!f)
		return;
	if (f->ctx)
		seccomp_release(f->ctx);
	free(f);
}

static void freep(struct ifp_filter **f)
{
	ifp_filter_free(*f);
}

int ifp_filter_make(
	const struct ifpin_confine_opts *opts, struct ifp_filter **ret, struct ifpin_error *err)
{
	_cleanup_(freep) struct ifp_filter *f = calloc(1, sizeof(*f));
	uint64_t allowed = ifp_families(opts->allow_families);
	int r;

	if (!f || !(f->ctx = new_ctx()))
		return ifp_fail(err, -ENOSYS,
			"the kernel has no system call filters (kernel options CONFIG_SECCOMP, "
			"CONFIG_SECCOMP_FILTER)");
	r = add_rules(f->ctx, allowed);
	if (!r && opts->inherit == IFPIN_INHERIT_PIN)
		r = keep_pinned(f->ctx);
	if (!r)
		r = add_compat(f->ctx, opts, allowed);
	if (r)
		return ifp_fail_errno(err, r, "cannot build the system call filter");
	*ret = f;
	f = NULL;
	return 0;
}

int ifp_filter_load(const struct ifp_filter *f)
{
	return seccomp_load(f->ctx);
}
