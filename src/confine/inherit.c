// SPDX-License-Identifier: MIT
/* Descriptors that would carry something from outside into the confinement. */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

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

static const char *judge(int fd, const char *link, uint64_t families)
{
	static const struct {
		const char *prefix, *what;
	} known[] = {
		{"anon_inode:[io_uring]", "io_uring"},
		{"anon_inode:bpf", "BPF object"},
		{"anon_inode:[perf_event]", "perf event"},
		{"net:[", "network namespace"},
		{"mnt:[", "mount namespace"},
		{"user:[", "user namespace"},
		{"cgroup:[", "cgroup namespace"},
		{"/dev/net/tun", "tun device"},
		{"/dev/tap", "macvtap device"},
		{"/dev/vhost-net", "vhost device"},
	};
	struct stat st;

	if (fstat(fd, &st))
		return NULL;
	if (S_ISSOCK(st.st_mode))
		return judge_socket(fd, families);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strncmp(link, known[i].prefix, strlen(known[i].prefix)))
			return known[i].what;
	/* A directory is a way past the mount namespace, for instance to a writable cgroupfs. */
	if (S_ISDIR(st.st_mode))
		return "directory";
	if (strstr(link, "cgroup.procs") || strstr(link, "cgroup.threads"))
		return "cgroup file";
	return NULL;
}

static bool pin(int fd, uint32_t ifindex)
{
	int v = (int)ifindex;

	/* A datagram names its device by itself, and no program of ours sees that socket. */
	return sock_int(fd, SO_PROTOCOL) == IPPROTO_TCP &&
	       !setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &v, sizeof(v));
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

int ifp_inherit_check(const struct ifpin_confine_opts *opts, struct ifpin_error *err)
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
		what = judge((int)fd, link, opts->allow_families);
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
