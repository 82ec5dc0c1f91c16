// SPDX-License-Identifier: MIT
/* A Landlock domain that keeps the command from tracing and signalling processes outside of it. */
#include "internal.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/syscall.h>

/* Debian 12's <linux/landlock.h> is older than scopes. */
#define CREATE_RULESET_VERSION (1U << 0)
#define SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0)
#define SCOPE_SIGNAL (1ULL << 1)
#define ABI_WITH_SCOPES 6

struct ruleset_attr {
	uint64_t handled_access_fs, handled_access_net, scoped;
};

bool ifp_scope_available(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION) >=
	       ABI_WITH_SCOPES;
}

bool ifp_scope_wanted(const struct ifpin_confine_opts *opts)
{
	return !(opts->keep_caps >> CAP_SYS_PTRACE & 1) && ifp_scope_available();
}

/*
 * Nothing is handled but a scope: a domain that restricts file access would also forbid mounts in
 * namespaces that a program makes inside. That one may trace only within one's own domain comes
 * with every domain.
 */
int ifp_scope_enter(const struct ifpin_confine_opts *opts)
{
	struct ruleset_attr attr = {
		.scoped = SCOPE_SIGNAL | (opts->isolate ? SCOPE_ABSTRACT_UNIX_SOCKET : 0)};
	_cleanup_close_ int fd = -1;

	if (!ifp_scope_wanted(opts))
		return 0;
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0))
		return -errno;
	return 0;
}
