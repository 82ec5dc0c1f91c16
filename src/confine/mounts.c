// SPDX-License-Identifier: MIT
/* The command's view of the file system, in a mount namespace of its own. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* <sys/mount.h> cannot be included beside <linux/mount.h>. */
int mount(const char *, const char *, const char *, unsigned long, const void *);
int umount2(const char *, int);
#define DETACH 2

/*
 * Where the sockets of resolvers on the host are. The folders, not the sockets: a mount over a file
 * goes away when the host puts another file there, as a restarted daemon does.
 */
static const char *const resolver_dirs[] = {
	"/run/systemd/resolve", "/run/nscd", "/var/run/nscd", "/run/avahi-daemon"};

/* Through these the kernel itself can be told to run things, or to move processes. */
static const char *const kernel_fs[] = {"cgroup", "cgroup2", "sysfs", "debugfs", "tracefs",
	"securityfs", "configfs", "bpf", "efivarfs", "binfmt_misc", "pstore", "nsfs", "nfsd",
	"rpc_pipefs", "selinuxfs", "fusectl"};

static int make_readonly(const char *path)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};

	return syscall(SYS_mount_setattr, AT_FDCWD, path, 0, &attr, sizeof(attr)) ? -errno : 0;
}

/* mountinfo writes space, tab, newline and backslash as octal. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = 0;
}

static bool is_kernel_fs(const char *type, const char *point)
{
	if (!strcmp(type, "proc"))
		return strcmp(point, "/proc") != 0;
	for (size_t i = 0; i < ARRAY_SIZE(kernel_fs); i++)
		if (!strcmp(type, kernel_fs[i]))
			return true;
	return false;
}

static int protect_kernel_fs(void)
{
	_cleanup_free_ char *text = NULL;
	char *line, *save = NULL;
	int r = ifp_read_file("/proc/self/mountinfo", &text);

	if (r)
		return r;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char point[4096], type[64];
		char *dash = strstr(line, " - ");

		if (!dash || sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1 ||
			sscanf(dash, " - %63s", type) != 1)
			return -EBADMSG;
		unescape(point);
		if (!is_kernel_fs(type, point))
			continue;
		r = make_readonly(point);
		/* EINVAL, ENOENT: another mount covers it, so no path leads there. */
		if (r && r != -EINVAL && r != -ENOENT)
			return r;
	}
	return 0;
}

static int cover(const char *path, const char *options)
{
	if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options))
		return errno == ENOENT ? 0 : -errno;
	return 0;
}

static int hide_resolvers(void)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(resolver_dirs) && !r; i++)
		r = cover(resolver_dirs[i], "size=64k,mode=755");
	return r;
}

static int write_resolv_conf(const struct ifp_dns *dns, const char *path)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	size_t len = strlen(dns->text);

	if (fd < 0 || fchmod(fd, 0644))
		return -errno;
	return write(fd, dns->text, len) == (ssize_t)len ? 0 : -EIO;
}

/* A small file system of our own over /tmp gives us a file to bind; the bind keeps it alive. */
static int bind_resolv_conf(const struct ifp_dns *dns)
{
	const char *scratch = strncmp(dns->target, "/tmp/", 5) ? "/tmp" : "/var/tmp";
	char path[64];
	int r = cover(scratch, "size=64k,mode=755");

	if (r)
		return r;
	snprintf(path, sizeof(path), "%s/resolv.conf", scratch);
	r = write_resolv_conf(dns, path);
	if (!r && mount(path, dns->target, NULL, MS_BIND, NULL))
		r = -errno;
	if (umount2(scratch, DETACH) && !r)
		r = -errno;
	return r ?: make_readonly(dns->target);
}

static int make_parents(char *path)
{
	char *slash = path;

	while ((slash = strchr(slash + 1, '/'))) {
		int r;

		*slash = 0;
		r = mkdir(path, 0755) && errno != EEXIST ? -errno : 0;
		*slash = '/';
		if (r)
			return r;
	}
	return 0;
}

/*
 * In a folder of a daemon's below /run, the folder is ours: its file cannot be replaced under us.
 * /etc/resolv.conf itself can, and the program that guards port 53 of the host sees to the rest.
 */
static int show_resolv_conf(const struct ifp_dns *dns, bool run_is_ours)
{
	char path[sizeof(dns->target)], *slash;
	int r = 0;

	strcpy(path, dns->target);
	slash = strrchr(path, '/');
	if (strncmp(path, "/run/", 5) != 0 || slash == path + 4)
		return bind_resolv_conf(dns);
	*slash = 0;
	if (!run_is_ours)
		r = cover(path, "size=64k,mode=755");
	*slash = '/';
	if (!r)
		r = make_parents(path);
	return r ?: write_resolv_conf(dns, path);
}

static int bind_readonly(const char *path)
{
	if (mount(path, path, NULL, MS_BIND | MS_REC, NULL))
		return errno == ENOENT ? 0 : -errno;
	return make_readonly(path);
}

/*
 * Files of proc by which a machine is stopped, processes outside are killed, devices are driven, or
 * the kernel is made to say something. Over such mounts, programs inside can mount no proc of their
 * own, so this is for --isolate; /proc/sys has a program (ifpin_sysctl) in any case.
 */
static int protect_proc(void)
{
	static const char *const paths[] = {"/proc/sysrq-trigger", "/proc/bus", "/proc/fs",
		"/proc/irq", "/proc/acpi", "/proc/scsi", "/proc/driver", "/proc/dynamic_debug"};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(paths) && !r; i++)
		r = bind_readonly(paths[i]);
	return r;
}

/* No socket of a bus, an agent or an engine, and no file by which the host would run something. */
static int isolate(void)
{
	static const char *const readonly[] = {
		"/etc", "/usr", "/boot", "/var/spool", "/var/lib/systemd"};
	int r;

	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
		return -errno;
	r = protect_proc();
	if (r)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(readonly); i++) {
		r = bind_readonly(readonly[i]);
		if (r)
			return r;
	}
	return cover("/run", "mode=755") ?: cover("/tmp", "mode=1777") ?: cover("/var/tmp", "mode=1777");
}

int ifp_mounts_setup(
	const struct ifpin_confine_opts *opts, const struct ifp_dns *dns, const char **ret_what)
{
	int r;

	*ret_what = "make the mounts private";
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -errno;
	if (opts->isolate) {
		*ret_what = "isolate the file system";
		r = isolate();
		if (r)
			return r;
	}
	*ret_what = "make cgroupfs and sysfs read-only (ifpin needs Linux 6.0)";
	r = protect_kernel_fs();
	if (r)
		return r;
	if (!dns->replace)
		return r;
	*ret_what = "hide the sockets of resolvers";
	r = hide_resolvers();
	if (r)
		return r;
	*ret_what = "show the command its resolv.conf";
	return show_resolv_conf(dns, opts->isolate);
}
