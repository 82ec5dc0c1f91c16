// SPDX-License-Identifier: MIT
/* Loads the BPF programs and ties them to a cgroup. */
#include "programs.h"
#include "store.h"

#include "ifpin.skel.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>

struct ifp_programs {
	struct ifpin_bpf *skel;
};

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

/* Whether packet programs may ask for the current task: helpers that load are there. */
static bool knows_task(void)
{
	static int known = -1;

	if (known < 0)
		known = libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SKB,
				BPF_FUNC_get_current_pid_tgid, NULL) == 1 &&
			libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SKB,
				BPF_FUNC_get_current_cgroup_id, NULL) == 1;
	return known;
}

static int make_policy(
	const struct ifp_programs_opts *opts, struct ifpin_policy *ret, struct ifpin_error *err)
{
	struct ifpin_policy p = {
		.loopback = opts->loopback,
		.guard_resolvers = opts->guard_resolvers,
		.tells = opts->tells,
		.knows_task = opts->tells && knows_task(),
		.shared = opts->shared != NULL,
	};
	uint64_t cookie = 0;
	int r = ifp_own_netns(&cookie);

	if (r)
		return ifp_fail_errno(err, r,
			"the kernel does not tell network namespaces apart (SO_NETNS_COOKIE; "
			"ifpin needs Linux 6.0)");
	p.netns_cookie = cookie;
	if (getrandom(&p.id, sizeof(p.id), 0) != sizeof(p.id))
		return ifp_fail_errno(err, -errno, "cannot get a random number");
	p.id &= INT32_MAX; /* it is asked for as the number of an option */
	r = find_majors(&p);
	if (r)
		return ifp_fail_errno(err, r, "cannot read /proc/devices");
	*ret = p;
	return 0;
}

void ifp_programs_free(struct ifp_programs *p)
{
	if (!p)
		return;
	ifpin_bpf__destroy(p->skel);
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

/* What is held is one device until it is deleted; then it is looked at whether it is the one. */
static int hold(struct ifp_programs *p, const struct ifpin_device *d)
{
	const int maps[] = {bpf_map__fd(p->skel->maps.device_of_packets),
		bpf_map__fd(p->skel->maps.device_of_options)};
	uint32_t zero = 0, ifindex = d->ifindex;
	struct ifpin_device now;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(maps) && !r; i++)
		r = bpf_map_update_elem(maps[i], &zero, &ifindex, BPF_ANY) ? -errno : 0;
	if (!r)
		r = ifp_device_by_index(ifindex, &now);
	if (!r && !ifp_device_same(d, &now))
		r = -ESTALE;
	if (!r)
		p->skel->bss->state.accepted = ifindex;
	return r;
}

/* The maps of the host are ours alone, or those that all share. */
static int share(struct ifpin_bpf *skel, const struct ifp_programs_opts *opts)
{
	int r = bpf_map__reuse_fd(skel->maps.local_addrs, opts->shared->addrs);

	if (!r)
		r = bpf_map__reuse_fd(skel->maps.ways, opts->shared->ways);
	if (!r)
		r = bpf_map__reuse_fd(skel->maps.data_host, opts->shared->host_fd);
	if (!r)
		r = bpf_map__reuse_fd(skel->maps.watchers, opts->watchers);
	return r;
}

static int open_and_load(struct ifp_programs *p, const struct ifp_programs_opts *opts,
	const struct ifpin_policy *policy)
{
	libbpf_print_fn_t old = libbpf_set_print(no_print);
	int r = 0;

	p->skel = ifpin_bpf__open();
	if (!p->skel)
		r = -errno;
	if (!r && opts->shared)
		r = share(p->skel, opts);
	if (!r) {
		memcpy((void *)&p->skel->rodata->policy, policy, sizeof(*policy));
		p->skel->bss->state.armed = opts->armed;
		p->skel->bss->state.ifindex = opts->device->ifindex;
		r = ifpin_bpf__load(p->skel);
	}
	libbpf_set_print(old);
	return r;
}

int ifp_programs_load(
	const struct ifp_programs_opts *opts, struct ifp_programs **ret, struct ifpin_error *err)
{
	_cleanup_(freep) struct ifp_programs *p = calloc(1, sizeof(*p));
	struct ifpin_policy policy;
	int r;

	if (!p)
		return ifp_fail(err, -ENOMEM, "out of memory");
	r = make_policy(opts, &policy, err);
	if (r)
		return r;
	r = open_and_load(p, opts, &policy);
	if (r && !p->skel)
		return ifp_fail_errno(err, r, "cannot open the BPF programs");
	if (r)
		return ifp_fail_errno(err, r,
			"the kernel does not load the BPF programs (kernel options CONFIG_BPF_SYSCALL, "
			"CONFIG_CGROUP_BPF; ifpin needs Linux 6.0, and does not work in a user "
			"namespace or a container without CAP_BPF)");
	r = hold(p, opts->device);
	if (r == -ENODEV || r == -ESTALE)
		return ifp_fail(err, r, "%s is gone", opts->device->name);
	if (r)
		return ifp_fail_errno(err, r, "cannot hold the interface (BPF_MAP_TYPE_DEVMAP)");
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

static int pin_links(
	struct ifp_programs *p, int cgroup_fd, const char *folder, struct ifpin_error *err)
{
	struct bpf_program *prog;
	char path[256];
	int n = 0;

	bpf_object__for_each_program (prog, p->skel->obj) {
		_cleanup_close_ int link = bpf_link_create(bpf_program__fd(prog), cgroup_fd,
			bpf_program__expected_attach_type(prog), NULL);

		if (link < 0)
			return ifp_fail_errno(err, -errno,
				"cannot attach %s to the cgroup (kernel option CONFIG_CGROUP_BPF)",
				bpf_program__name(prog));
		snprintf(path, sizeof(path), "%s/" IFP_PIN_LINK "%d", folder, n++);
		if (bpf_obj_pin(link, path))
			return ifp_fail_errno(err, -errno, "cannot pin %s", path);
	}
	return 0;
}

int ifp_programs_pin(
	struct ifp_programs *p, int cgroup_fd, const char *folder, struct ifpin_error *err)
{
	const struct {
		const struct bpf_map *map;
		const char *name;
	} maps[] = {
		{p->skel->maps.bss, IFP_PIN_STATE},
		{p->skel->maps.device_of_packets, IFP_PIN_PACKETS},
		{p->skel->maps.device_of_options, IFP_PIN_OPTIONS},
		{p->skel->maps.passed, IFP_PIN_PASSED},
	};
	char path[256];

	/* Whoever opens it again has the struct only. */
	if (bpf_map__value_size(p->skel->maps.bss) != sizeof(*p->skel->bss))
		return ifp_fail(
			err, -EPROTO, "ifpin was built with a struct that is not its state");
	if (mkdir(folder, 0700))
		return ifp_fail_errno(err, -errno, "cannot make %s", folder);
	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, maps[i].name);
		if (bpf_obj_pin(bpf_map__fd(maps[i].map), path))
			return ifp_fail_errno(err, -errno, "cannot pin %s", path);
	}
	return pin_links(p, cgroup_fd, folder, err);
}

void ifp_programs_arm(struct ifp_programs *p)
{
	__atomic_store_n(&p->skel->bss->state.armed, 1, __ATOMIC_SEQ_CST);
}

uint32_t ifp_programs_id(const struct ifp_programs *p)
{
	return p->skel->rodata->policy.id;
}

struct ifpin_state *ifp_programs_state(struct ifp_programs *p)
{
	return &p->skel->bss->state;
}

struct ifp_host_maps ifp_programs_host(struct ifp_programs *p)
{
	return (struct ifp_host_maps){
		.host = &p->skel->data_host->host,
		.host_fd = bpf_map__fd(p->skel->maps.data_host),
		.addrs = bpf_map__fd(p->skel->maps.local_addrs),
		.ways = bpf_map__fd(p->skel->maps.ways),
	};
}

const uint64_t *ifp_programs_denials(const struct ifp_programs *p)
{
	return (const uint64_t *)p->skel->bss->denials;
}

void ifp_denials_from(const uint64_t *counts, struct ifpin_denial *ret, size_t *ret_n)
{
	static const struct ifpin_denial reasons[] = {
#define X(id, name, text) {name, text, 0},
		IFPIN_REASONS(X)
#undef X
	};
	_Static_assert(IFPIN_REASON_COUNT <= IFPIN_MAX_REASONS, "room in the summary");

	for (size_t i = 0; i < IFPIN_REASON_COUNT; i++) {
		ret[i] = reasons[i];
		ret[i].count = counts[i];
	}
	*ret_n = IFPIN_REASON_COUNT;
}
