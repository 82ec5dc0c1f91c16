// SPDX-License-Identifier: MIT
/* Loads the BPF programs, ties them to a cgroup, and keeps their maps true. */
#include "follow.h"

#include "ifpin.skel.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

struct ifp_programs {
	struct ifpin_bpf *skel;
	struct ifp_follow *follow;
	uint32_t ifindex;
};

static int netns_cookie(uint64_t *ret)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*ret);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, ret, &len))
		return -errno;
	return 0;
}

static bool is_wire(const char *name)
{
	static const char *const wires[] = {"macvtap", "ipvtap", "vfio", "vhost", "uio", "ppp",
		"infiniband", "isdn", "capi", "bsg", "usb_device", "usbmisc"};

	for (size_t i = 0; i < ARRAY_SIZE(wires); i++)
		if (!strncmp(name, wires[i], strlen(wires[i])))
			return true;
	return false;
}

/* Numbers that the kernel gives out as drivers are loaded: Documentation/admin-guide/devices.txt.
 */
static bool is_dynamic(unsigned int major)
{
	return (major >= 234 && major <= 254) || major >= 384;
}

/*
 * Character devices that put frames on a wire go by name where their number is given out. What is
 * not loaded yet could be anything, so of those numbers only the ones in harmless use are allowed.
 */
static int find_majors(struct ifpin_policy *policy)
{
	static const unsigned int wires[] = {108 /* ppp */, 189 /* usb */, 231 /* infiniband */};
	_cleanup_fclose_ FILE *f = fopen("/proc/devices", "re");
	char line[128], name[64];
	unsigned int major;

	if (!f)
		return -errno;
	for (major = 0; major < IFPIN_MAJORS; major++)
		if (!is_dynamic(major))
			policy->allowed_majors[major / 64] |= 1ULL << major % 64;
	while (fgets(line, sizeof(line), f) && strncmp(line, "Block", 5) != 0) {
		if (sscanf(line, "%u %63s", &major, name) != 2 || major >= IFPIN_MAJORS)
			continue;
		if (is_wire(name))
			policy->allowed_majors[major / 64] &= ~(1ULL << major % 64);
		else
			policy->allowed_majors[major / 64] |= 1ULL << major % 64;
	}
	for (size_t i = 0; i < ARRAY_SIZE(wires); i++)
		policy->allowed_majors[wires[i] / 64] &= ~(1ULL << wires[i] % 64);
	return 0;
}

static int make_policy(
	const struct ifpin_confine_opts *opts, struct ifpin_policy *ret, struct ifpin_error *err)
{
	struct ifpin_policy p = {
		.ifindex = opts->device.ifindex,
		.loopback = opts->loopback,
		.guard_resolvers = opts->dns != IFPIN_DNS_SYSTEM,
	};
	uint64_t cookie = 0;
	int r = netns_cookie(&cookie);

	if (r)
		return ifp_fail_errno(err, r,
			"the kernel does not tell network namespaces apart (SO_NETNS_COOKIE; "
			"ifpin needs Linux 6.0)");
	p.netns_cookie = cookie;
	r = find_majors(&p);
	if (r)
		return ifp_fail_errno(err, r, "cannot read /proc/devices");
	*ret = p;
	return 0;
}

int ifp_programs_event_fd(const struct ifp_programs *p)
{
	return ifp_follow_fd(p->follow);
}

int ifp_programs_timeout(const struct ifp_programs *p)
{
	return ifp_follow_timeout(p->follow);
}

int ifp_programs_follow(struct ifp_programs *p)
{
	return ifp_follow_apply(p->follow);
}

void ifp_programs_free(struct ifp_programs *p)
{
	if (!p)
		return;
	ifpin_bpf__destroy(p->skel);
	ifp_follow_free(p->follow);
	free(p);
}

static void freep(struct ifp_programs **p)
{
	ifp_programs_free(*p);
}

static int no_print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

static int hold(struct bpf_map *map, uint32_t ifindex)
{
	uint32_t zero = 0;

	return bpf_map__update_elem(map, &zero, sizeof(zero), &ifindex, sizeof(ifindex), BPF_ANY);
}

static void say_routes(const struct ifpin_confine_opts *opts, const struct ifpin_state *s)
{
	for (int i = 0; i < 2; i++)
		ifp_say(opts, "routing: the host's IPv%d routes to the device's networks lead %s",
			i ? 6 : 4,
			s->routes_agree[i] ? "there; sockets need no binding"
					   : "elsewhere; sockets are bound");
}

int ifp_programs_load(
	const struct ifpin_confine_opts *opts, struct ifp_programs **ret, struct ifpin_error *err)
{
	_cleanup_(freep) struct ifp_programs *p = calloc(1, sizeof(*p));
	libbpf_print_fn_t old;
	struct ifp_followed followed;
	struct ifpin_policy policy;
	int r;

	if (!p)
		return ifp_fail(err, -ENOMEM, "out of memory");
	p->ifindex = opts->device.ifindex;
	r = make_policy(opts, &policy, err);
	if (r)
		return r;
	old = libbpf_set_print(no_print);
	p->skel = ifpin_bpf__open();
	r = -errno;
	if (p->skel) {
		memcpy((void *)&p->skel->rodata->policy, &policy, sizeof(policy));
		r = ifpin_bpf__load(p->skel);
	}
	libbpf_set_print(old);
	if (r && p->skel)
		return ifp_fail_errno(err, r,
			"the kernel does not load the BPF programs (kernel options CONFIG_BPF_SYSCALL, "
			"CONFIG_CGROUP_BPF; ifpin needs Linux 6.0, and does not work in a user "
			"namespace or a container without CAP_BPF)");
	if (!p->skel)
		return ifp_fail_errno(err, r, "cannot open the BPF programs");
	r = hold(p->skel->maps.device_of_packets, p->ifindex);
	if (!r)
		r = hold(p->skel->maps.device_of_options, p->ifindex);
	if (r)
		return ifp_fail_errno(err, r, "cannot hold the interface (BPF_MAP_TYPE_DEVMAP)");
	followed = (struct ifp_followed){
		p->ifindex, &p->skel->bss->state, p->skel->maps.local_addrs, p->skel->maps.ways};
	r = ifp_follow_start(&followed, &p->follow, err);
	if (r)
		return r;
	say_routes(opts, followed.state);
	*ret = p;
	p = NULL;
	return 0;
}

int ifp_programs_attach(struct ifp_programs *p, int cgroup_fd, struct ifpin_error *err)
{
	struct bpf_program *prog;

	/*
	 * BPF_PROG_ATTACH, not a link: it lives as long as the cgroup, whoever is killed. Other
	 * programs that the administrator has above or below run as well, and every one must allow.
	 */
	bpf_object__for_each_program (prog, p->skel->obj) {
		int r = bpf_prog_attach(bpf_program__fd(prog), cgroup_fd,
			bpf_program__expected_attach_type(prog), BPF_F_ALLOW_MULTI);

		if (r)
			return ifp_fail_errno(err, -errno,
				"cannot attach %s to the cgroup (kernel option CONFIG_CGROUP_BPF)",
				bpf_program__name(prog));
	}
	return 0;
}

void ifp_programs_count(const struct ifp_programs *p, struct ifpin_summary *ret)
{
	static const struct ifpin_denial reasons[] = {
#define X(id, name, text) {name, text, 0},
		IFPIN_REASONS(X)
#undef X
	};
	_Static_assert(IFPIN_REASON_COUNT <= IFPIN_MAX_REASONS, "room in the summary");

	for (size_t i = 0; i < IFPIN_REASON_COUNT; i++) {
		ret->denials[i] = reasons[i];
		ret->denials[i].count = p->skel->bss->denials[i];
	}
	ret->n_denials = IFPIN_REASON_COUNT;
}
