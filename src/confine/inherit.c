// SPDX-License-Identifier: MIT
/* Descriptors that would carry something from outside into the confinement. */
#include "internal.h"

#include "pin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#ifndef CONFIGFS_MAGIC
#define CONFIGFS_MAGIC 0x62656570
#endif
#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif

static int sock_int(int fd, int opt)
{
	int v = -1;
	socklen_t len = sizeof(v);

	return getsockopt(fd, SOL_SOCKET, opt, &v, &len) ? -1 : v;
}

/* What is wrong with a descriptor, or NULL. */
static const char *judge_socket(int fd, uint64_t families)
{
	int domain = sock_int(fd, SO_DOMAIN);

	switch (domain) {
	case AF_UNIX:
	case AF_NETLINK:
	case AF_ALG:
		return NULL;
	case AF_INET:
	case AF_INET6:
		switch (sock_int(fd, SO_PROTOCOL)) {
		case IPPROTO_TCP:
			return "TCP socket";
		case IPPROTO_UDP:
			return "UDP socket";
		}
		return "IP socket";
	case AF_PACKET:
		return "packet socket";
	}
	return domain >= 0 && domain < 64 && (families >> domain & 1) ? NULL
								      : "socket of another family";
}

/* Opened for writing before, a file of these is past the read-only mounts. */
static bool is_kernel_file(int fd)
{
	static const unsigned int magics[] = {PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP_SUPER_MAGIC,
		CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC, TRACEFS_MAGIC, SECURITYFS_MAGIC, BPF_FS_MAGIC,
		BINFMTFS_MAGIC, CONFIGFS_MAGIC};
	struct statfs fs;

	if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY || fstatfs(fd, &fs))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
		if ((unsigned int)fs.f_type == magics[i])
			return true;
	return false;
}

/* Opened outside, a device is past the program that judges this inside. */
static bool is_harmless(int fd, dev_t device, const struct ifpin_pin *pin)
{
	bool writes = (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;

	return ifpin_device_is_harmless(pin->allowed_majors, major(device), minor(device), writes);
}

static const char *judge(int fd, const char *link, uint64_t families, const struct ifpin_pin *pin)
{
	static const struct {
		const char *prefix, *what;
	} known[] = {
		{"anon_inode:[io_uring]", "io_uring"},
		{"anon_inode:bpf", "BPF object"},
		{"anon_inode:[perf_event]", "perf event"},
		{"anon_inode:[fscontext]", "file system context"},
		{"anon_inode:[pidfd]", "process"},
		{"pidfd:[", "process"},
	};
	struct stat st;
	struct statfs fs;

	if (fstat(fd, &st))
		return NULL;
	if (S_ISSOCK(st.st_mode))
		return judge_socket(fd, families);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strncmp(link, known[i].prefix, strlen(known[i].prefix)))
			return known[i].what;
	if (S_ISCHR(st.st_mode) && !is_harmless(fd, st.st_rdev, pin))
		return "device that commands may not use";
	if (!fstatfs(fd, &fs) && (unsigned int)fs.f_type == NSFS_MAGIC)
		return "namespace";
	/* A directory is a way past the mount namespace, for instance to a writable cgroupfs. */
	if (S_ISDIR(st.st_mode))
		return "directory";
	if (is_kernel_file(fd))
		return "writable file of the kernel";
	return NULL;
}

/* What is in the queue of a listener was accepted before it was tied, by any device. */
static bool has_waiting(int fd)
{
	struct tcp_info info = {};
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) ||
	       (info.tcpi_state == TCP_LISTEN && info.tcpi_unacked);
}

/*
 * The programs that judge a socket are those of the cgroup where it was made, so ours never see
 * this one. A TCP socket stays on the device that it is bound to, as long as nobody binds it anew
 * or makes it join a group: that the filter refuses then, to all sockets (ifp_filter_make). A
 * datagram or a raw packet names its device by itself.
 */
static bool pin(int fd, uint32_t ifindex)
{
	int v = (int)ifindex;

	return sock_int(fd, SO_PROTOCOL) == IPPROTO_TCP &&
	       !setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &v, sizeof(v)) && !has_waiting(fd);
}

static bool settle(const struct ifpin_confine_opts *opts, int fd, const char *what)
{
	if (opts->inherit == IFPIN_INHERIT_CLOSE) {
		ifp_say(opts, "inherit: descriptor %d (%s) is closed", fd, what);
		return !fcntl(fd, F_SETFD, FD_CLOEXEC);
	}
	if (opts->inherit == IFPIN_INHERIT_PIN && pin(fd, opts->device.ifindex)) {
		ifp_say(opts, "inherit: descriptor %d (%s) is tied to the device", fd, what);
		return true;
	}
	return false;
}

int ifp_inherit_check(
	const struct ifpin_confine_opts *opts, const struct ifpin_pin *pin, struct ifpin_error *err)
{
	DIR *dir = opendir("/proc/self/fd");
	char list[512] = "";
	struct dirent *de;

	if (!dir)
		return ifp_fail_errno(err, -errno, "cannot list open descriptors");
	while ((de = readdir(dir))) {
		char link[256];
		const char *what;
		uint32_t fd;
		ssize_t n;

		if (ifp_parse_u32(de->d_name, 0, INT32_MAX, &fd) || (int)fd == dirfd(dir) ||
			(fcntl((int)fd, F_GETFD) & FD_CLOEXEC))
			continue;
		n = readlinkat(dirfd(dir), de->d_name, link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = 0;
		what = judge((int)fd, link, opts->allow_families, pin);
		if (!what || settle(opts, (int)fd, what))
			continue;
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%u: %s (%s)",
			list[0] ? ", " : "", fd, what, link);
	}
	closedir(dir);
	if (!list[0])
		return 0;
	return ifp_fail(err, -EBUSY,
		opts->inherit == IFPIN_INHERIT_PIN
			? "open descriptors that cannot be tied to the device: %s; close them with "
			  "--inherit=close"
			: "open descriptors would bypass the confinement: %s; close them with "
			  "--inherit=close, or tie TCP sockets with --inherit=pin",
		list);
}
