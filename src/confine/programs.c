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

/* The maps of the host are ours alone, or those that all share; then there is room for many. */
static int share(struct ifpin_bpf *skel, const struct ifp_programs_opts *opts)
{
	struct bpf_map *const sized[] = {skel->maps.denied, skel->maps.packets, skel->maps.options};
	int r = bpf_map__reuse_fd(skel->maps.local_addrs, opts->shared->addrs);

	if (!r)
		r = bpf_map__reuse_fd(skel->maps.ways, opts->shared->ways);
	if (!r)
		r = bpf_map__reuse_fd(skel->maps.data_host, opts->shared->host_fd);
	if (!r)
		r = bpf_map__reuse_fd(skel->maps.watchers, opts->watchers);
	for (size_t i = 0; i < ARRAY_SIZE(sized) && !r; i++)
		r = bpf_map__set_max_entries(sized[i], IFP_MAX_PINS);
	return r;
}

/* All of them are those of others. */
static int use(struct ifpin_bpf *skel, const struct ifp_program_maps *m)
{
	const struct {
		struct bpf_map *map;
		int fd;
	} all[] = {
		{skel->maps.pins, m->pins},
		{skel->maps.passed, m->passed},
		{skel->maps.denied, m->denied},
		{skel->maps.packets, m->packets},
		{skel->maps.options, m->options},
		{skel->maps.watchers, m->watchers},
		{skel->maps.data_host, m->host},
		{skel->maps.local_addrs, m->addrs},
		{skel->maps.ways, m->ways},
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(all) && !r; i++)
		r = all[i].fd < 0 ? -EPROTO : bpf_map__reuse_fd(all[i].map, all[i].fd);
	return r;
}

/* shared, maps: one or the other, or neither. */
static int open_and_load(struct ifp_programs *p, const struct ifpin_set *set,
	const struct ifp_programs_opts *shared, const struct ifp_program_maps *maps)
{
	libbpf_print_fn_t old = libbpf_set_print(NULL);
	int r = 0;

	p->skel = ifpin_bpf__open();
	if (!p->skel)
		r = -errno;
	if (!r && shared)
		r = share(p->skel, shared);
	if (!r && maps)
		r = use(p->skel, maps);
	if (!r) {
		memcpy((void *)&p->skel->rodata->set, set, sizeof(*set));
		r = ifpin_bpf__load(p->skel);
	}
	libbpf_set_print(old);
	return r;
}

int ifp_programs_load(
	const struct ifp_programs_opts *opts, struct ifp_programs **ret, struct ifpin_error *err)
{
	_cleanup_(freep) struct ifp_programs *p = calloc(1, sizeof(*p));
	struct ifpin_set set = {
		.tells = opts->shared != NULL,
		.knows_task = opts->shared && knows_task(),
		.shared = opts->shared != NULL,
	};
	uint64_t netns;
	int r;

	if (!p)
		return ifp_fail(err, -ENOMEM, "out of memory");
	r = ifp_own_netns(&netns);
	if (r)
		return ifp_fail_errno(err, r,
			"the kernel does not tell network namespaces apart (SO_NETNS_COOKIE; "
			"ifpin needs Linux 6.0)");
	set.netns_cookie = netns;
	r = open_and_load(p, &set, opts->shared ? opts : NULL, NULL);
	if (r && !p->skel)
		return ifp_fail_errno(err, r, "cannot open the BPF programs");
	if (r)
		return ifp_fail_errno(err, r,
			"the kernel does not load the BPF programs (kernel options CONFIG_BPF_SYSCALL, "
			"CONFIG_CGROUP_BPF; ifpin needs Linux 6.0, and does not work in a user "
			"namespace or a container without CAP_BPF)");
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

/* ---- the same, but such that tell ---- */

int ifp_programs_like(
	const struct ifpin_set *is, const struct ifp_program_maps *maps, struct ifp_programs **ret)
{
	_cleanup_(freep) struct ifp_programs *p = calloc(1, sizeof(*p));
	struct ifpin_set set = *is;
	int r;

	if (!p)
		return -ENOMEM;
	set.tells = 1;
	set.knows_task = knows_task();
	r = open_and_load(p, &set, NULL, maps);
	if (r)
		return r;
	*ret = p;
	p = NULL;
	return 0;
}

static int program_fd(const struct ifp_programs *p, int hook)
{
	struct bpf_program *prog;

	bpf_object__for_each_program (prog, p->skel->obj)
		if ((int)bpf_program__expected_attach_type(prog) == hook)
			return bpf_program__fd(prog);
	return -ENOENT;
}

int ifp_program_tag(const struct ifp_programs *p, int hook, uint8_t ret[BPF_TAG_SIZE])
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);
	int fd = program_fd(p, hook);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
		return fd < 0 ? fd : -errno;
	memcpy(ret, info.tag, sizeof(info.tag));
	return 0;
}

int ifp_program_replace(const struct ifp_programs *p, int cgroup_fd, int hook, int old)
{
	LIBBPF_OPTS(bpf_prog_attach_opts, opts, .flags = BPF_F_ALLOW_MULTI | BPF_F_REPLACE,
		.replace_prog_fd = old);
	int fd = program_fd(p, hook);

	if (fd < 0)
		return fd;
	return bpf_prog_attach_opts(fd, cgroup_fd, (enum bpf_attach_type)hook, &opts) ? -errno : 0;
}

/* ---- pinned, for many ---- */

const int ifp_program_hooks[IFP_N_PROGRAMS] = {
	BPF_CGROUP_INET_EGRESS,
	BPF_CGROUP_INET_INGRESS,
	BPF_CGROUP_INET_SOCK_CREATE,
	BPF_CGROUP_INET4_CONNECT,
	BPF_CGROUP_INET6_CONNECT,
	BPF_CGROUP_INET4_BIND,
	BPF_CGROUP_INET6_BIND,
	BPF_CGROUP_UDP4_SENDMSG,
	BPF_CGROUP_UDP6_SENDMSG,
	BPF_CGROUP_SETSOCKOPT,
	BPF_CGROUP_SOCK_OPS,
	BPF_CGROUP_DEVICE,
	BPF_CGROUP_SYSCTL,
};

static int pin_one(int fd, const char *folder, const char *file, struct ifpin_error *err)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	return bpf_obj_pin(fd, path) ? ifp_fail_errno(err, -errno, "cannot pin %s", path) : 0;
}

int ifp_programs_pin(struct ifp_programs *p, const char *folder, struct ifpin_error *err)
{
	const struct ifp_set set = ifp_programs_set(p);
	const struct {
		int fd;
		const char *name;
	} maps[] = {
		{set.pins, IFP_SET_PINS},
		{set.passed, IFP_SET_PASSED},
		{set.denied, IFP_SET_DENIED},
		{set.packets, IFP_SET_PACKETS},
		{set.options, IFP_SET_OPTIONS},
	};
	struct bpf_program *prog;
	char file[32];
	int r = 0;

	if (mkdir(folder, 0700))
		return ifp_fail_errno(err, -errno, "cannot make %s", folder);
	for (size_t i = 0; i < ARRAY_SIZE(maps) && !r; i++)
		r = pin_one(maps[i].fd, folder, maps[i].name, err);
	bpf_object__for_each_program (prog, p->skel->obj) {
		snprintf(file, sizeof(file), IFP_SET_PROG "%d",
			(int)bpf_program__expected_attach_type(prog));
		r = r ?: pin_one(bpf_program__fd(prog), folder, file, err);
	}
	return r;
}

uint64_t ifp_programs_hash(void)
{
	size_t size;
	const void *elf = ifpin_bpf__elf_bytes(&size);

	return ifp_hash(elf, size);
}

struct ifp_set ifp_programs_set(const struct ifp_programs *p)
{
	return (struct ifp_set){
		.lock = -1,
		.pins = bpf_map__fd(p->skel->maps.pins),
		.passed = bpf_map__fd(p->skel->maps.passed),
		.denied = bpf_map__fd(p->skel->maps.denied),
		.packets = bpf_map__fd(p->skel->maps.packets),
		.options = bpf_map__fd(p->skel->maps.options),
	};
}

struct ifp_host_maps ifp_programs_host(const struct ifp_programs *p)
{
	return (struct ifp_host_maps){
		.host = &p->skel->data_host->host,
		.host_fd = bpf_map__fd(p->skel->maps.data_host),
		.addrs = bpf_map__fd(p->skel->maps.local_addrs),
		.ways = bpf_map__fd(p->skel->maps.ways),
	};
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
