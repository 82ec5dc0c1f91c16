// SPDX-License-Identifier: MIT
#include "internal.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>

#define BIT(c) (1ULL << (c))

/* Newer than libcap-dev of Debian 12 would define them everywhere. */
#ifndef CAP_CHECKPOINT_RESTORE
#define CAP_CHECKPOINT_RESTORE 40
#endif

/*
 * What would undo the confinement: changing the network, entering namespaces, reaching processes
 * that have more, loading code into the kernel, making device nodes. CAP_NET_RAW stays: ping is
 * installed with it as a file capability and could not even be executed without; the families
 * that it opens are refused by the filter, and raw IP passes the egress program.
 */
static const struct {
	int cap;
	const char *risk;
} harmful[] = {
	{CAP_NET_ADMIN,
		"change links, routes and rules of the host, and so lead other programs' traffic"},
	{CAP_SYS_ADMIN, "enter other namespaces, remount cgroupfs and leave its cgroup"},
	{CAP_SYS_MODULE, "load code into the kernel"},
	{CAP_SYS_RAWIO, "reach hardware past the kernel"},
	{CAP_SYS_PTRACE, "act through any process of the host"},
	{CAP_SYS_BOOT, "start another kernel"},
	{CAP_SYS_TTY_CONFIG, "hang up the terminal of a process outside"},
	{CAP_BPF, "use BPF objects that it finds; the filter still refuses bpf(2)"},
	{CAP_PERFMON, "read data of other processes"},
	{CAP_MKNOD, "make device nodes; those that reach a wire are still refused"},
	{CAP_DAC_READ_SEARCH, "read any file; the filter still refuses open_by_handle_at(2)"},
	{CAP_MAC_ADMIN, "change the host's security policy"},
	{CAP_MAC_OVERRIDE, "ignore the host's security policy"},
	{CAP_CHECKPOINT_RESTORE, "read maps and descriptors of other processes"},
};

uint64_t ifp_dropped_caps(uint64_t keep)
{
	uint64_t all = 0;

	for (size_t i = 0; i < ARRAY_SIZE(harmful); i++)
		all |= BIT(harmful[i].cap);
	return all & ~keep;
}

const char *ifpin_cap_risk(int cap)
{
	for (size_t i = 0; i < ARRAY_SIZE(harmful); i++)
		if (harmful[i].cap == cap)
			return harmful[i].risk;
	return NULL;
}

int ifpin_cap_bit(const char *name)
{
	char full[64];
	cap_value_t v;

	snprintf(full, sizeof(full), "%s%s", strncasecmp(name, "cap_", 4) ? "cap_" : "", name);
	return cap_from_name(full, &v) ? -EINVAL : (int)v;
}

int ifp_privileges_check(const cap_value_t *needed, size_t n, struct ifpin_error *err)
{
	cap_t caps = cap_get_proc();
	char missing[128] = "";

	for (size_t i = 0; i < n; i++) {
		cap_flag_value_t v = CAP_CLEAR;
		char *name;

		if (caps && !cap_get_flag(caps, needed[i], CAP_EFFECTIVE, &v) && v == CAP_SET)
			continue;
		name = cap_to_name(needed[i]);
		if (missing[0])
			strcat(missing, ", ");
		strncat(missing, name ?: "?", 24);
		cap_free(name);
	}
	cap_free(caps);
	if (missing[0])
		return ifp_fail(
			err, -EPERM, "not privileged: missing %s (run it with sudo)", missing);
	return 0;
}

static int find_group(const char *name, gid_t *ret)
{
	struct group *gr = getgrnam(name);
	uint32_t n;

	if (gr)
		*ret = gr->gr_gid;
	else if (!ifp_parse_u32(name, 0, UINT32_MAX - 1, &n))
		*ret = n;
	else
		return -ENOENT;
	return 0;
}

int ifp_user_find(const char *spec, struct ifp_user *ret, struct ifpin_error *err)
{
	const char *colon = strchr(spec, ':');
	struct ifp_user u = {.set = true};
	struct passwd *pw;
	uint32_t n;

	snprintf(u.name, sizeof(u.name), "%.*s", (int)strcspn(spec, ":"), spec);
	pw = getpwnam(u.name);
	if (!pw && !ifp_parse_u32(u.name, 0, UINT32_MAX - 1, &n))
		pw = getpwuid(n);
	if (!pw)
		return ifp_fail(err, -ENOENT, "no user \"%s\"", u.name);
	snprintf(u.name, sizeof(u.name), "%s", pw->pw_name);
	u.uid = pw->pw_uid;
	u.gid = pw->pw_gid;
	u.home = strdup(pw->pw_dir);
	if (colon && find_group(colon + 1, &u.gid)) {
		free(u.home);
		return ifp_fail(err, -ENOENT, "no group \"%s\"", colon + 1);
	}
	u.n_groups = 64;
	u.groups = calloc((size_t)u.n_groups, sizeof(*u.groups));
	if (u.groups && getgrouplist(u.name, u.gid, u.groups, &u.n_groups) < 0) {
		free(u.groups);
		u.groups = calloc((size_t)u.n_groups, sizeof(*u.groups));
		if (u.groups && getgrouplist(u.name, u.gid, u.groups, &u.n_groups) < 0)
			u.n_groups = 0;
	}
	if (!u.groups || !u.home) {
		ifp_user_free(&u);
		return ifp_fail(err, -ENOMEM, "out of memory");
	}
	*ret = u;
	return 0;
}

void ifp_user_free(struct ifp_user *u)
{
	free(u->groups);
	free(u->home);
}

/* The bounding set bounds what any setuid program or file capability can ever give back. */
int ifp_drop_bounding(uint64_t dropped)
{
	for (int c = 0; c < 64; c++)
		if ((dropped & BIT(c)) && prctl(PR_CAPBSET_READ, c) == 1 &&
			prctl(PR_CAPBSET_DROP, c))
			return -errno;
	return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) ? -errno : 0;
}

static int drop_sets(uint64_t dropped)
{
	cap_t caps = cap_get_proc();
	int r = caps ? 0 : -errno;

	for (int c = 0; !r && c < 64; c++) {
		cap_value_t v = c;

		if (!(dropped & BIT(c)) || !CAP_IS_SUPPORTED(v))
			continue;
		if (cap_set_flag(caps, CAP_EFFECTIVE, 1, &v, CAP_CLEAR) ||
			cap_set_flag(caps, CAP_PERMITTED, 1, &v, CAP_CLEAR) ||
			cap_set_flag(caps, CAP_INHERITABLE, 1, &v, CAP_CLEAR))
			r = -errno;
	}
	if (!r && cap_set_proc(caps))
		r = -errno;
	cap_free(caps);
	return r;
}

int ifp_become(const struct ifp_user *u, uint64_t dropped)
{
	if (u->set) {
		if (setgroups((size_t)u->n_groups, u->groups) ||
			setresgid(u->gid, u->gid, u->gid) || setresuid(u->uid, u->uid, u->uid))
			return -errno;
		setenv("HOME", u->home, 1);
		setenv("USER", u->name, 1);
		setenv("LOGNAME", u->name, 1);
	}
	return drop_sets(dropped);
}
