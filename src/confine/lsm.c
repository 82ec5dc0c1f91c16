// SPDX-License-Identifier: MIT
#include "lsm.h"
#include "lsm_terms.h"
#include "store.h"

#include "host/cgroup.h"

#include "lsm.skel.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* The kernel's own, which no header of user space has: no trampolines on this architecture. */
#define KERNEL_ENOTSUPP 524

enum object { RECEIVE, CREATE, LOOKUP, MODULE, TERMS, OBJECTS };
#define PROGRAMS TERMS
static const char *const files[OBJECTS] = {IFP_LSM_TELLS, "create", "lookup", "module", "terms"};
static const char *const link_files[PROGRAMS] = {"link0", "link1", "link2", "link3"};
_Static_assert(PROGRAMS == IFP_LSM_LINKS, "each program has a link");

struct ifp_lsm {
	int fds[OBJECTS];
	int links[PROGRAMS]; /* while it is made */
};

void ifp_lsm_free(struct ifp_lsm *l)
{
	if (!l)
		return;
	for (int i = 0; i < OBJECTS; i++)
		ifp_closep(&l->fds[i]);
	for (int i = 0; i < PROGRAMS; i++)
		ifp_closep(&l->links[i]);
	free(l);
}

/* All descriptors -1. */
static struct ifp_lsm *new_lsm(void)
{
	struct ifp_lsm *l = malloc(sizeof(*l));

	if (l)
		memset(l, -1, sizeof(*l));
	return l;
}

static void freep(struct ifp_lsm **l)
{
	ifp_lsm_free(*l);
}

static void destroyp(struct lsm_bpf **skel)
{
	lsm_bpf__destroy(*skel);
}

/* Of the list of active modules, also where nobody has mounted securityfs. */
static int open_list(void)
{
	_cleanup_close_ int fs = -1, root = -1;
	int fd = open("/sys/kernel/security/lsm", O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	fs = fsopen("securityfs", FSOPEN_CLOEXEC);
	if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -errno;
	root = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	fd = root < 0 ? -1 : openat(root, "lsm", O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/*
 * Some kernels take no such program from anybody, whatever the list says. Asked with one that is
 * none: what may be loaded is looked at before what it is.
 */
static bool takes_programs(void)
{
	const struct bpf_insn nothing = {.code = BPF_JMP | BPF_EXIT};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_LSM_CGROUP);
	int fd = bpf_prog_load(BPF_PROG_TYPE_LSM, "ifpin_ask", "GPL", &nothing, 1, &opts);
	int e = errno;

	if (fd >= 0)
		close(fd);
	return fd >= 0 || e != EPERM;
}

static bool has_name(char *list, const char *wanted)
{
	char *name, *save = NULL;

	for (name = strtok_r(list, ",\n", &save); name; name = strtok_r(NULL, ",\n", &save))
		if (!strcmp(name, wanted))
			return true;
	return false;
}

/*
 * Programs can be loaded and attached where "bpf" is not among the active modules, and never run.
 * Return: 1: it is; 0: it is not, or takes no programs; -errno: that cannot be told.
 */
static int is_active(void)
{
	_cleanup_close_ int fd = open_list();
	char list[512] = "";
	ssize_t n;

	if (fd < 0)
		return fd == -ENODEV || fd == -ENOENT ? 0
						      : fd; /* a kernel without security modules */
	n = read(fd, list, sizeof(list) - 1);
	if (n <= 0)
		return n ? -errno : -ENODATA; /* "capability" is always there */
	if (!has_name(list, "bpf"))
		return 0;
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return errno == ENOENT ? 0 : -errno;
	return takes_programs();
}

/* ---- those that stand in bpffs ---- */

/* By what they are, so that another version of ifpin has its own. */
static const char *tag(char ret[17])
{
	size_t size = 0;
	const void *elf = lsm_bpf__elf_bytes(&size);

	snprintf(ret, 17, "%016llx", (unsigned long long)ifp_hash(elf, size));
	return ret;
}

/* Return: whether all of it is there; else *l has none of it. */
static bool open_kept(const struct ifp_store *s, struct ifp_lsm *l)
{
	char name[17];

	tag(name);
	for (int i = 0; i < OBJECTS; i++) {
		l->fds[i] = ifp_store_get(s, "lsm", name, files[i]);
		if (l->fds[i] < 0)
			break;
	}
	if (l->fds[OBJECTS - 1] >= 0)
		return true;
	for (int i = 0; i < OBJECTS; i++) {
		ifp_closep(&l->fds[i]);
		l->fds[i] = -1;
	}
	return false;
}

static int pin_all(const struct ifp_store *s, const struct ifp_lsm *l, const char *name)
{
	char path[256], to[256];

	if (mkdir(ifp_store_path(s, "new", name, NULL, path), 0700))
		return -errno;
	for (int i = 0; i < OBJECTS; i++)
		if (bpf_obj_pin(l->fds[i], ifp_store_path(s, "new", name, files[i], path)))
			return -errno;
	for (int i = 0; i < PROGRAMS; i++)
		if (bpf_obj_pin(l->links[i], ifp_store_path(s, "new", name, link_files[i], path)))
			return -errno;
	return rename(ifp_store_path(s, "new", name, NULL, path),
		       ifp_store_path(s, "lsm", name, NULL, to))
		       ? -errno
		       : 0;
}

/*
 * Those who come later are faster for it, and that is all: so nobody waits for a writer, and what
 * goes wrong leaves nothing.
 */
static void keep(const struct ifp_store *s, const struct ifp_lsm *l, bool is_locked)
{
	_cleanup_(freep) struct ifp_lsm *there = new_lsm();
	char name[17];

	if (!there)
		return;
	if (!is_locked && flock(s->fd, LOCK_EX | LOCK_NB))
		return;
	tag(name);
	/* Somebody may have been here meanwhile; and what is not whole is of no use to anybody. */
	if (!open_kept(s, there)) {
		ifp_store_remove(s, "lsm", name);
		if (pin_all(s, l, name))
			ifp_store_remove(s, "new", name);
	}
	if (!is_locked)
		flock(s->fd, LOCK_UN);
}

static int remove_other(const char *name, void *data)
{
	char own[17];

	return strcmp(name, tag(own)) ? ifp_store_remove(data, "lsm", name) : 0;
}

int ifp_lsm_tidy(const struct ifp_store *locked)
{
	return ifp_store_each(locked, "lsm", remove_other, (void *)locked);
}

/* ---- loading ---- */

static int take(const struct lsm_bpf *skel, struct ifp_lsm *l)
{
	const int fds[OBJECTS] = {
		[RECEIVE] = bpf_program__fd(skel->progs.receive),
		[CREATE] = bpf_program__fd(skel->progs.create),
		[LOOKUP] = bpf_program__fd(skel->progs.lookup),
		[MODULE] = bpf_program__fd(skel->progs.module),
		[TERMS] = bpf_map__fd(skel->maps.terms),
	};

	for (int i = 0; i < OBJECTS; i++) {
		l->fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
		if (l->fds[i] < 0)
			return -errno;
	}
	return 0;
}

static int load(struct ifp_lsm *l)
{
	libbpf_print_fn_t old = libbpf_set_print(NULL);
	_cleanup_(destroyp) struct lsm_bpf *skel = lsm_bpf__open_and_load();
	int e = errno;

	libbpf_set_print(old);
	return skel ? take(skel, l) : -e;
}

/*
 * At the root of all cgroups, where nobody arms them, so nothing is refused. It shows whether they
 * can be attached; and as long as they are somewhere, the kernel need not make its entries to the
 * hooks anew for each confinement, which takes as long as all the rest of a start. Return: 0;
 * -ENOTSUP: not on this architecture; -errno.
 */
static int attach_at_root(struct ifp_lsm *l)
{
	_cleanup_close_ int root = ifp_cgroup_root();

	if (root < 0)
		return root;
	for (int i = 0; i < PROGRAMS; i++) {
		l->links[i] = bpf_link_create(l->fds[i], root, BPF_LSM_CGROUP, NULL);
		if (l->links[i] < 0)
			return errno == KERNEL_ENOTSUPP ? -ENOTSUP : -errno;
	}
	return 0;
}

int ifp_lsm_open(const struct ifp_store *locked, struct ifp_lsm **ret, struct ifpin_error *err)
{
	_cleanup_(freep) struct ifp_lsm *l = NULL;
	_cleanup_(ifp_store_closep) struct ifp_store own = {.fd = -1};
	const struct ifp_store *s = locked ? locked : &own;
	int r;

	*ret = NULL;
	r = is_active();
	if (r <= 0)
		return r ? ifp_fail_errno(err, r, "cannot tell whether BPF LSM is active") : 0;
	l = new_lsm();
	if (!l)
		return ifp_fail(err, -ENOMEM, "out of memory");
	if ((!locked && ifp_store_try(&own)) || !open_kept(s, l)) {
		r = load(l);
		if (r)
			return ifp_fail_errno(err, r,
				"the kernel has BPF LSM and does not load the programs for it "
				"(lockdown=confidentiality does not let them read; integrity does)");
		r = attach_at_root(l);
		if (r == -ENOTSUP)
			return 0;
		if (r)
			return ifp_fail_errno(err, r,
				"the kernel has BPF LSM and attaches no program to a cgroup");
		if (s->fd >= 0)
			keep(s, l, locked);
	}
	*ret = l;
	l = NULL;
	return 0;
}

bool ifp_lsm_available(void)
{
	_cleanup_(freep) struct ifp_lsm *l = NULL;
	struct ifpin_error err;

	return !ifp_lsm_open(NULL, &l, &err) && l;
}

/* ---- one cgroup ---- */

int ifp_lsm_attach(const struct ifp_lsm *l, int cgroup_fd, struct ifpin_error *err)
{
	for (int i = 0; i < PROGRAMS; i++)
		if (bpf_prog_attach(l->fds[i], cgroup_fd, BPF_LSM_CGROUP, BPF_F_ALLOW_MULTI))
			return ifp_fail_errno(err, -errno,
				"cannot attach the BPF LSM program %s to the cgroup", files[i]);
	return 0;
}

int ifp_lsm_pin(const struct ifp_lsm *l, int cgroup_fd, const char *folder, struct ifpin_error *err)
{
	char path[256];

	for (int i = 0; i < PROGRAMS; i++) {
		_cleanup_close_ int link =
			bpf_link_create(l->fds[i], cgroup_fd, BPF_LSM_CGROUP, NULL);

		if (link < 0)
			return ifp_fail_errno(err, -errno,
				"cannot attach the BPF LSM program %s to the cgroup", files[i]);
		snprintf(path, sizeof(path), "%s/" IFP_LSM_LINK "%d", folder, i);
		if (bpf_obj_pin(link, path))
			return ifp_fail_errno(err, -errno, "cannot pin %s", path);
	}
	return 0;
}

int ifp_lsm_claim(const struct ifp_lsm *l, int cgroup_fd, struct ifpin_error *err)
{
	const struct ifpin_lsm_terms none = {};
	uint64_t id = 0;
	int r = ifp_cgroup_id(cgroup_fd, &id);

	if (!r && bpf_map_update_elem(l->fds[TERMS], &id, &none, BPF_EXIST) && errno != ENOENT)
		r = -errno;
	return r ? ifp_fail_errno(err, r, "cannot take over the BPF LSM storage of the cgroup") : 0;
}

int ifp_lsm_arm(const struct ifp_lsm *l, int cgroup_fd, uint64_t families, uint32_t confinement,
	struct ifpin_error *err)
{
	/* What an internet socket or a netlink socket made outside does, nobody here would see. */
	const uint64_t judged = 1ULL << AF_INET | 1ULL << AF_INET6 | 1ULL << AF_NETLINK;
	uint64_t id = 0;
	int r = ifp_cgroup_id(cgroup_fd, &id);
	struct ifpin_lsm_terms t = {
		.cgroup = id,
		.families = families,
		.carried = families & ~judged,
		.id = confinement,
		.armed = 1,
	};

	if (!r && bpf_map_update_elem(l->fds[TERMS], &id, &t, BPF_EXIST))
		r = -errno;
	return r ? ifp_fail_errno(err, r, "cannot put the BPF LSM programs in force") : 0;
}

int ifp_lsm_try(uint32_t confinement)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, (int)confinement);

	return fd < 0 && errno == IFPIN_LSM_PROBE_ERROR ? 0 : -ENODATA;
}

static bool read_denials(int map, uint64_t id, uint64_t ret[IFPIN_REASON_SLOTS])
{
	struct ifpin_lsm_terms t;

	memset(ret, 0, IFPIN_REASON_SLOTS * sizeof(*ret));
	if (bpf_map_lookup_elem(map, &id, &t))
		return false;
	for (int i = 0; i < IFPIN_REASON_SLOTS; i++)
		ret[i] = t.denials.denied[i];
	return true;
}

void ifp_lsm_denials(const struct ifp_lsm *l, int cgroup_fd, uint64_t ret[IFPIN_REASON_SLOTS])
{
	uint64_t id = 0;

	ifp_cgroup_id(cgroup_fd, &id);
	read_denials(l->fds[TERMS], id, ret);
}

void ifp_lsm_add_denials(uint64_t cgroup_id, struct ifpin_denial *denials)
{
	_cleanup_(ifp_store_closep) struct ifp_store s = {.fd = -1};
	_cleanup_close_ int map = -1;
	uint64_t counts[IFPIN_REASON_SLOTS];
	char name[17];

	if (ifp_store_open(&s, NULL))
		return;
	map = ifp_store_get(&s, "lsm", tag(name), files[TERMS]);
	if (map < 0 || !read_denials(map, cgroup_id, counts))
		return;
	for (int i = 0; i < IFPIN_REASON_COUNT; i++)
		denials[i].count += counts[i];
}
