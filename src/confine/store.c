// SPDX-License-Identifier: MIT
#include "store.h"
#include "pins.h"

#include "host/cgroup.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define BPFFS "/sys/fs/bpf"
#define FOLDER BPFFS "/ifpin"
#define META "meta"
#define WATCHERS "watchers"
/* For all of a network namespace; a command of its own has fewer. */
#define MAX_SHARED_ADDRS 65536
#define MAX_SHARED_NETWORKS 131072

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && (unsigned int)fs.f_type == BPF_FS_MAGIC;
}

/* In bpffs everybody may make folders: one that somebody else has made is not ours. */
static int open_folder(int *ret)
{
	_cleanup_close_ int fd = open(FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (st.st_uid || st.st_mode & 022)
		return -EPERM;
	*ret = ifp_take_fd(&fd);
	return 0;
}

int ifp_store_open(struct ifp_store *ret, struct ifpin_error *err)
{
	struct ifp_store s = {.fd = -1, .path = FOLDER};
	int r = is_bpffs(BPFFS) ? open_folder(&s.fd) : -ENOENT;

	if (r == -ENOENT)
		return ifp_fail(err, r, "no confinements: there is no folder " FOLDER);
	if (r == -EPERM)
		return ifp_fail(err, r,
			"the folder " FOLDER " is not root's alone; look at who has made it, "
			"then remove it");
	if (r)
		return ifp_fail_errno(err, r, "cannot open " FOLDER);
	*ret = s;
	return 0;
}

/* In a bpffs that was mounted by hand, anybody's would be made, and root's commands refuse it. */
static int make_own_folder(void)
{
	if (geteuid())
		return access(FOLDER, F_OK) ? -EPERM : 0;
	return mkdir(FOLDER, 0700) && errno != EEXIST ? -errno : 0;
}

int ifp_store_try(struct ifp_store *ret)
{
	struct ifp_store s = {.fd = -1, .path = FOLDER};
	int r;

	if (!is_bpffs(BPFFS))
		return -ENOENT;
	r = make_own_folder();
	if (!r)
		r = open_folder(&s.fd);
	if (!r)
		*ret = s;
	return r;
}

/* What is mounted in a mount namespace of a command's own (ip netns exec) goes with that. */
static bool mounts_last(void)
{
	struct stat own, first;

	return !stat("/proc/self/ns/mnt", &own) && !stat("/proc/1/ns/mnt", &first) &&
	       own.st_dev == first.st_dev && own.st_ino == first.st_ino;
}

static int make_folder(struct ifpin_error *err)
{
	int r;

	if (!is_bpffs(BPFFS) && !mounts_last())
		return ifp_fail(err, -EPERM,
			"no bpffs at " BPFFS
			" in this mount namespace, and one that is mounted here "
			"would end with it, and the confinement too (ip netns exec hides it; use "
			"nsenter --net=/run/netns/NAME, or mount bpffs first)");
	if (!is_bpffs(BPFFS) &&
		mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		return ifp_fail_errno(err, -errno,
			"cannot mount bpffs (kernel option CONFIG_BPF_SYSCALL; try: mount -t bpf bpf " BPFFS
			")");
	r = make_own_folder();
	return r ? ifp_fail_errno(err, r, "cannot make the folder " FOLDER) : 0;
}

/* ---- folders ---- */

const char *ifp_store_path(const struct ifp_store *s, const char *kind, const char *name,
	const char *file, char ret[256])
{
	int n = snprintf(
		ret, 256, "%s/%s_%s%s%s", s->path, kind, name, file ? "/" : "", file ? file : "");

	/* The folder's own path has no dot. */
	for (char *p = ret; n > 0 && *p; p++)
		if (*p == '.')
			*p = '+';
	return ret;
}

/* As the kernel has it since Linux 6.5; older headers end before path_fd. */
struct obj_get {
	uint64_t pathname;
	uint32_t bpf_fd, file_flags;
	int32_t path_fd;
	uint32_t pad;
};

#define OBJ_GET_BY_PATH_FD (1U << 14) /* BPF_F_PATH_FD */

int ifp_store_get_at(const struct ifp_store *s, const char *path)
{
	struct obj_get attr = {
		.pathname = (uint64_t)(uintptr_t)path,
		.file_flags = OBJ_GET_BY_PATH_FD,
		.path_fd = s->fd,
	};
	int fd = (int)syscall(SYS_bpf, BPF_OBJ_GET, &attr, sizeof(attr));
	char whole[320];

	if (fd < 0 && (errno == EINVAL || errno == E2BIG)) {
		snprintf(whole, sizeof(whole), "%s/%s", s->path, path);
		fd = bpf_obj_get(whole);
	}
	return fd < 0 ? -errno : fd;
}

int ifp_store_get(const struct ifp_store *s, const char *kind, const char *name, const char *file)
{
	char path[256];

	return ifp_store_get_at(s, ifp_store_path(s, kind, name, file, path) + strlen(s->path) + 1);
}

int ifp_store_name(const char *folder, const char *kind, char ret[IFPIN_PIN_NAME_SIZE])
{
	size_t len = strlen(kind);

	if (strncmp(folder, kind, len) != 0 || folder[len] != '_' ||
		strlen(folder + len + 1) >= IFPIN_PIN_NAME_SIZE)
		return -ENOENT;
	strcpy(ret, folder + len + 1);
	for (char *p = ret; *p; p++)
		if (*p == '+')
			*p = '.';
	return 0;
}

bool ifp_store_has(const struct ifp_store *s, const char *kind, const char *name)
{
	char path[256];
	struct stat st;

	return !lstat(ifp_store_path(s, kind, name, NULL, path), &st);
}

int ifp_store_each(const struct ifp_store *s, const char *kind,
	int (*cb)(const char *name, void *data), void *data)
{
	_cleanup_closedir_ DIR *dir = opendir(s->path);
	char name[IFPIN_PIN_NAME_SIZE];
	struct dirent *de;
	int r = 0;

	if (!dir)
		return -errno;
	while (!r && (de = readdir(dir)))
		if (!ifp_store_name(de->d_name, kind, name))
			r = cb(name, data);
	return r;
}

/*
 * The kernel frees programs after a grace period, each under one lock (bpf_prog_pack_free). If more
 * than 1,024 wait for that on a processor, they fill the work queue that the holder of the lock may
 * have to wait for in turn (_vm_unmap_aliases), and no program is loaded any more until the machine
 * starts anew: seen with Linux 6.18. So whoever ends confinements waits for the grace period, and
 * then behind those that wait: loading a program takes the same lock.
 */
void ifp_store_wait_for_frees(void)
{
	const struct bpf_insn nothing[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd;

	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	fd = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "ifpin_wait", "GPL", nothing,
		ARRAY_SIZE(nothing), NULL);
	if (fd >= 0)
		close(fd);
}

int ifp_store_remove_folder(const char *path)
{
	_cleanup_closedir_ DIR *dir = opendir(path);
	struct dirent *de;
	int r = 0;

	if (!dir)
		return -errno;
	while ((de = readdir(dir)))
		if (de->d_name[0] != '.' && unlinkat(dirfd(dir), de->d_name, 0) && !r)
			r = -errno;
	return r ?: rmdir(path) ? -errno : 0;
}

int ifp_store_remove(const struct ifp_store *s, const char *kind, const char *name)
{
	char path[256];

	return ifp_store_remove_folder(ifp_store_path(s, kind, name, NULL, path));
}

static int move(const struct ifp_store *s, const char *from, const char *to, const char *name)
{
	char a[256], b[256];

	return rename(ifp_store_path(s, from, name, NULL, a), ifp_store_path(s, to, name, NULL, b))
		       ? -errno
		       : 0;
}

int ifp_store_commit(const struct ifp_store *s, const char *name)
{
	bool replaces = ifp_store_has(s, "pin", name);
	int r = replaces ? move(s, "pin", "old", name) : 0;

	if (r)
		return r;
	r = move(s, "new", "pin", name);
	if (!replaces)
		return r;
	if (r) {
		move(s, "old", "pin", name);
		return r;
	}
	/*
	 * All of it is in force twice until this is gone, and once afterwards. If it cannot be
	 * removed now, that is no reason to undo the new one: the next writer tries again, and says
	 * so.
	 */
	if (ifp_pin_drop(s, "old", name) > 0)
		ifp_sets_tidy(s);
	return 0;
}

/* ---- what a killed writer has left ---- */

struct leftovers {
	const struct ifp_store *store;
	char name[IFPIN_PIN_NAME_SIZE];
};

static int take_first(const char *name, void *data)
{
	struct leftovers *l = data;

	strcpy(l->name, name);
	return 1;
}

/* Between the two renames of a commit: it had been decided, so it is finished. */
static int finish_old(const struct ifp_store *s, const char *name)
{
	if (!ifp_store_has(s, "pin", name))
		return ifp_store_has(s, "new", name) ? move(s, "new", "pin", name)
						     : move(s, "old", "pin", name);
	return ifp_pin_drop(s, "old", name);
}

/* Where nobody is in it; else the next one does. */
static void remove_probe(const struct ifp_store *s, const char *name)
{
	_cleanup_close_ int root = ifp_cgroup_root();
	char path[IFPIN_CGROUP_PATH_SIZE + sizeof(IFP_PROBE_CGROUP) + 2];
	struct ifp_meta m;

	if (root < 0 || ifp_meta_of(s, "new", name, &m))
		return;
	snprintf(path, sizeof(path), ".%s/" IFP_PROBE_CGROUP, m.cgroup);
	unlinkat(root, path, AT_REMOVEDIR);
}

static int tidy(const struct ifp_store *s)
{
	struct leftovers l = {.store = s};
	bool any = false;
	int r = 0;

	while (r >= 0 && ifp_store_each(s, "old", take_first, &l) == 1) {
		r = finish_old(s, l.name);
		any = true;
	}
	while (r >= 0 && ifp_store_each(s, "new", take_first, &l) == 1) {
		remove_probe(s, l.name);
		r = ifp_pin_drop(s, "new", l.name);
		any = true;
	}
	return r >= 0 && any ? ifp_sets_tidy(s) : r;
}

int ifp_store_lock(struct ifp_store *ret, struct ifpin_error *err)
{
	_cleanup_(ifp_store_closep) struct ifp_store s = {.fd = -1};
	int r = make_folder(err);

	if (r)
		return r;
	r = ifp_store_open(&s, err);
	if (r)
		return r;
	while (flock(s.fd, LOCK_EX))
		if (errno != EINTR)
			return ifp_fail_errno(err, -errno, "cannot lock " FOLDER);
	r = tidy(&s);
	if (r)
		return ifp_fail_errno(
			err, r, "cannot clean up what a killed ifpin has left in " FOLDER);
	*ret = s;
	s.fd = -1;
	return 0;
}

int ifp_store_mark(const struct ifp_store *s, const char *folder)
{
	int fd;

	if (mkdirat(s->fd, folder, 0700) && errno != EEXIST)
		return -errno;
	fd = openat(s->fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* ---- what a confinement is ---- */

int ifp_meta_write(const char *path, const struct ifp_meta *m)
{
	_cleanup_close_ int map = bpf_map_create(
		BPF_MAP_TYPE_ARRAY, "ifpin_meta", sizeof(uint32_t), sizeof(*m), 1, NULL);
	uint32_t zero = 0;

	if (map < 0 || bpf_map_update_elem(map, &zero, m, BPF_ANY) || bpf_obj_pin(map, path))
		return -errno;
	return 0;
}

/* Return: 0; -EPROTO: of another version; -errno. */
static int check_meta(int map)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(map, &info, &len))
		return -errno;
	return info.value_size == sizeof(struct ifp_meta) ? 0 : -EPROTO;
}

static int read_meta(int map, struct ifp_meta *ret)
{
	struct ifp_meta m;
	uint32_t zero = 0;
	int r = check_meta(map);

	if (r)
		return r;
	if (bpf_map_lookup_elem(map, &zero, &m))
		return -errno;
	if (m.version != IFP_META_VERSION)
		return -EPROTO;
	*ret = m;
	return 0;
}

int ifp_meta_read(const char *path, struct ifp_meta *ret)
{
	_cleanup_close_ int map = bpf_obj_get(path);

	return map < 0 ? -errno : read_meta(map, ret);
}

int ifp_meta_of(const struct ifp_store *s, const char *kind, const char *name, struct ifp_meta *ret)
{
	_cleanup_close_ int map = ifp_store_get(s, kind, name, META);

	return map < 0 ? map : read_meta(map, ret);
}

int ifp_meta_update(const char *path, const struct ifp_meta *m)
{
	_cleanup_close_ int map = bpf_obj_get(path);
	uint32_t zero = 0;
	int r = map < 0 ? -errno : check_meta(map);

	return r ?: bpf_map_update_elem(map, &zero, m, BPF_ANY) ? -errno : 0;
}

int ifp_meta_set_device(const char *path, uint32_t id, const struct ifpin_device *device)
{
	_cleanup_close_ int map = bpf_obj_get(path);
	uint32_t zero = 0;
	struct ifp_meta m;
	int r = map < 0 ? -errno : read_meta(map, &m);

	if (r)
		return r;
	if (m.id != id)
		return -ENOENT;
	m.device = *device;
	return bpf_map_update_elem(map, &zero, &m, BPF_ANY) ? -errno : 0;
}

/* ---- what all share ---- */

int ifp_own_netns(uint64_t *ret)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t cookie = fd < 0 ? 0 : ifp_netns_of(fd);

	if (!cookie)
		return fd < 0 ? -errno : -ENOSYS;
	*ret = cookie;
	return 0;
}

int ifp_host_map(int map, struct ifpin_host **ret)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);
	void *p;

	if (bpf_obj_get_info_by_fd(map, &info, &len))
		return -errno;
	if (info.value_size != sizeof(**ret))
		return -EPROTO;
	p = mmap(NULL, sizeof(**ret), PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	return 0;
}

void ifp_host_unmap(struct ifpin_host **host)
{
	if (*host)
		munmap(*host, sizeof(**host));
	*host = NULL;
}

void ifp_host_maps_close(struct ifp_host_maps *m)
{
	ifp_host_unmap(&m->host);
	ifp_closep(&m->host_fd);
	ifp_closep(&m->addrs);
	ifp_closep(&m->ways);
	*m = (struct ifp_host_maps){.host_fd = -1, .addrs = -1, .ways = -1};
}

/* As struct watcher_buffer and watchers in pin.bpf.h. */
static int make_watchers(void)
{
	_cleanup_close_ int buffer = bpf_map_create(
		BPF_MAP_TYPE_RINGBUF, "ifpin_like", 0, 0, (uint32_t)sysconf(_SC_PAGESIZE), NULL);
	LIBBPF_OPTS(bpf_map_create_opts, opts, .inner_map_fd = (uint32_t)buffer);

	return buffer < 0 ? buffer
			  : bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "ifpin_watchers",
				    sizeof(uint32_t), sizeof(uint32_t), IFPIN_WATCHERS, &opts);
}

static int make_host(const struct ifp_store *s, const char *name)
{
	LIBBPF_OPTS(bpf_map_create_opts, mapped, .map_flags = BPF_F_MMAPABLE);
	LIBBPF_OPTS(bpf_map_create_opts, sparse, .map_flags = BPF_F_NO_PREALLOC);
	_cleanup_close_ int host = bpf_map_create(BPF_MAP_TYPE_ARRAY, "ifpin_host",
				    sizeof(uint32_t), sizeof(struct ifpin_host), 1, &mapped),
			    addrs = bpf_map_create(BPF_MAP_TYPE_HASH, "ifpin_addrs",
				    sizeof(struct ifpin_addr), sizeof(uint32_t), MAX_SHARED_ADDRS,
				    &sparse),
			    ways = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "ifpin_ways",
				    sizeof(struct ifpin_network), sizeof(uint32_t),
				    MAX_SHARED_NETWORKS, &sparse),
			    watchers = make_watchers();
	const int fds[] = {host, addrs, ways, watchers};
	static const char *const files[] = {"host", "addrs", "ways", WATCHERS};
	char path[256];

	if (host < 0 || addrs < 0 || ways < 0 || watchers < 0 ||
		(mkdir(ifp_store_path(s, "new", name, NULL, path), 0700) && errno != EEXIST))
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (bpf_obj_pin(fds[i], ifp_store_path(s, "new", name, files[i], path)))
			return -errno;
	return move(s, "new", "host", name);
}

const char *ifp_store_host_name(uint64_t netns, char ret[IFP_HOST_NAME_SIZE])
{
	snprintf(ret, IFP_HOST_NAME_SIZE, "%llx_%d", (unsigned long long)netns, IFP_META_VERSION);
	return ret;
}

int ifp_store_watchers(const struct ifp_store *s, uint64_t netns)
{
	char name[IFP_HOST_NAME_SIZE];

	return ifp_store_get(s, "host", ifp_store_host_name(netns, name), WATCHERS);
}

static int open_host(const struct ifp_store *s, const char *name, struct ifp_host_maps *ret)
{
	struct ifp_host_maps m = {.host_fd = -1, .addrs = -1, .ways = -1};
	char path[256];
	int r;

	m.host_fd = bpf_obj_get(ifp_store_path(s, "host", name, "host", path));
	if (m.host_fd >= 0)
		m.addrs = bpf_obj_get(ifp_store_path(s, "host", name, "addrs", path));
	if (m.addrs >= 0)
		m.ways = bpf_obj_get(ifp_store_path(s, "host", name, "ways", path));
	r = m.ways < 0 ? -errno : ifp_host_map(m.host_fd, &m.host);
	if (r)
		ifp_host_maps_close(&m);
	else
		*ret = m;
	return r;
}

int ifp_store_host(const struct ifp_store *s, uint64_t netns, bool make, struct ifp_host_maps *ret,
	struct ifpin_error *err)
{
	char name[IFP_HOST_NAME_SIZE];
	int r = open_host(s, ifp_store_host_name(netns, name), ret);

	if (r == -ENOENT && make)
		r = make_host(s, name) ?: open_host(s, name, ret);
	return r ? ifp_fail_errno(err, r, "cannot open the maps that confinements share") : 0;
}
