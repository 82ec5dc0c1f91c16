// SPDX-License-Identifier: MIT
/* Loads the BPF programs, ties them to a cgroup, and keeps their maps true. */
#include "internal.h"

#include "device/device.h"
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
	struct mnl_socket *events;
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

/* Character devices that put frames on a wire and whose major numbers the kernel gives out. */
static void find_majors(struct ifpin_policy *policy)
{
	static const char *const wires[] = {"macvtap", "ipvtap", "vfio", "uio", "ppp", "infiniband",
		"infiniband_verbs", "infiniband_mad", "isdn", "bsg"};
	_cleanup_fclose_ FILE *f = fopen("/proc/devices", "re");
	char line[128], name[64];
	unsigned int major;
	size_t n = 0;

	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "Block", 5))
			break;
		if (sscanf(line, "%u %63s", &major, name) != 2)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(wires) && n < IFPIN_MAX_DENIED_MAJORS; i++)
			if (!strcmp(name, wires[i]))
				policy->denied_majors[n++] = major;
	}
}

static int make_policy(
	const struct ifpin_confine_opts *opts, struct ifpin_policy *ret, struct ifpin_error *err)
{
	struct ifpin_policy p = {
		.ifindex = opts->device.ifindex,
		.loopback = opts->loopback,
	};
	uint64_t cookie = 0;
	bool agree = false;
	int r = netns_cookie(&cookie);

	if (r)
		return ifp_fail_errno(err, r,
			"the kernel does not tell network namespaces apart (SO_NETNS_COOKIE, "
			"Linux 5.14)");
	p.netns_cookie = cookie;
	for (int i = 0; i < 2; i++) {
		r = ifp_routes_agree(i ? AF_INET6 : AF_INET, p.ifindex, &agree);
		if (r && !(i && r == -EOPNOTSUPP))
			return ifp_fail_errno(
				err, r, "cannot read the routes of %s", opts->device.name);
		p.routes_agree[i] = r ? true : agree;
		ifp_say(opts, "routing: the host's IPv%d routes %s", i ? 6 : 4,
			agree ? "lead to the device; listeners answer by it"
			      : "prefer another device; sockets are bound to this one");
	}
	find_majors(&p);
	*ret = p;
	return 0;
}

/* The BPF programs see what is written here at once. */
static struct ifpin_state *state_of(struct ifp_programs *p)
{
	return &p->skel->bss->state;
}

static void set_name(struct ifp_programs *p, const char *name)
{
	struct ifpin_state *s = state_of(p);
	size_t len = strlen(name);

	memset(s->name, 0, sizeof(s->name));
	memset(s->mask, 0, sizeof(s->mask));
	memset(s->mask_nul, 0, sizeof(s->mask_nul));
	memcpy(s->name, name, len);
	memset(s->mask, 0xff, len);
	memset(s->mask_nul, 0xff, len + 1);
	s->name_len = (uint32_t)len;
}

/* An address that two devices have belongs to neither, and one that is gone to nobody. */
static int on_address(const struct nlmsghdr *nlh, void *data)
{
	struct ifp_programs *p = data;
	struct bpf_map *map = p->skel->maps.local_addrs;
	struct ifpin_state *s = state_of(p);
	struct ifp_local_addr a;
	uint32_t owner, bit;
	int r;

	if (ifp_addr_parse(nlh, &a))
		return 0;
	if (a.deleted) {
		/* Held by another device as well: the next dump would say so; stay on the safe
		 * side. */
		if (!bpf_map__lookup_elem(map, a.addr, 16, &owner, sizeof(owner), 0) && owner)
			bpf_map__delete_elem(map, a.addr, 16, 0);
		if (a.ifindex == p->ifindex && !memcmp(a.addr + 12, &s->device_ip4, 4))
			s->device_ip4 = 0;
		return 0;
	}
	if (!bpf_map__lookup_elem(map, a.addr, 16, &owner, sizeof(owner), 0) && owner != a.ifindex)
		a.ifindex = 0;
	bit = ifpin_filter_bit(a.addr);
	r = bpf_map__update_elem(map, a.addr, 16, &a.ifindex, sizeof(a.ifindex), BPF_ANY);
	s->local_filter[bit / 64] |= 1ULL << bit % 64;
	if (a.ifindex == p->ifindex && a.addr[10] == 0xff && !a.addr[0] && !a.secondary &&
		!s->device_ip4)
		memcpy(&s->device_ip4, a.addr + 12, 4);
	return r;
}

static int on_event(const struct nlmsghdr *nlh, void *data)
{
	struct ifp_programs *p = data;
	struct ifp_link l;

	if (ifp_link_parse(nlh, &l))
		return on_address(nlh, data);
	if (l.ifindex != p->ifindex)
		return 0;
	set_name(p, l.deleted ? "" : l.name);
	return 0;
}

int ifp_programs_event_fd(const struct ifp_programs *p)
{
	return p->events ? mnl_socket_get_fd(p->events) : -1;
}

int ifp_programs_follow(struct ifp_programs *p)
{
	int r = ifp_nl_drain(p->events, on_event, p);

	/* Messages were lost: what we know may be old, so read all of it again. */
	if (r == -ENOBUFS)
		r = ifp_addr_dump(on_address, p);
	return r;
}

void ifp_programs_free(struct ifp_programs *p)
{
	if (!p)
		return;
	ifpin_bpf__destroy(p->skel);
	if (p->events)
		mnl_socket_close(p->events);
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

/* Events first, then the dump: what changes in between is heard twice, never missed. */
static int fill_maps(
	struct ifp_programs *p, const struct ifpin_device *dev, struct ifpin_error *err)
{
	struct ifpin_device now;
	char spec[32];
	int r = ifp_nl_listen(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR, &p->events);

	if (r)
		return ifp_fail_errno(err, r, "cannot listen to changes of interfaces");
	snprintf(spec, sizeof(spec), "index:%u", dev->ifindex);
	r = ifpin_device_resolve(spec, &now, err);
	if (r)
		return r;
	set_name(p, now.name);
	r = hold(p->skel->maps.device_of_packets, dev->ifindex);
	if (!r)
		r = hold(p->skel->maps.device_of_options, dev->ifindex);
	if (r)
		return ifp_fail_errno(err, r, "cannot hold the interface (BPF_MAP_TYPE_DEVMAP)");
	r = ifp_addr_dump(on_address, p);
	return r ? ifp_fail_errno(err, r, "cannot learn the host's own addresses") : 0;
}

int ifp_programs_load(
	const struct ifpin_confine_opts *opts, struct ifp_programs **ret, struct ifpin_error *err)
{
	_cleanup_(freep) struct ifp_programs *p = calloc(1, sizeof(*p));
	libbpf_print_fn_t old;
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
			"CONFIG_CGROUP_BPF; Linux 6.0 for socket options)");
	if (!p->skel)
		return ifp_fail_errno(err, r, "cannot open the BPF programs");
	r = fill_maps(p, &opts->device, err);
	if (r)
		return r;
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
