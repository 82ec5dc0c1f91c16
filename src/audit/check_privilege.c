// SPDX-License-Identifier: MIT
/* What every user may do. */
#include "audit.h"

static void judge_userns(struct judge *j)
{
	if (j->s->userns > 0 && !j->s->userns_denied)
		ifp_found(j, NULL, "sysctl -w user/max_user_namespaces=0",
			"user.max_user_namespaces is %lld and nothing else forbids them",
			(long long)j->s->userns);
}

static void judge_unprivileged_bpf(struct judge *j)
{
	if (!j->s->bpf_unprivileged)
		ifp_found(j, NULL, "sysctl -w kernel/unprivileged_bpf_disabled=1",
			"kernel.unprivileged_bpf_disabled is 0");
}

static const struct check checks[] = {
	{{"user-namespaces", "privilege", IFPIN_NOTICE, "every user can make user namespaces",
		 "In a namespace of their own, users reach nftables, tc and packet sockets of the "
		 "kernel: a bug there is a way to the host's devices."},
		judge_userns, NULL},
	{{"unprivileged-bpf", "privilege", IFPIN_WARNING, "every user can load BPF programs",
		 "A bug of the verifier is a way into the kernel, and so to every device."},
		judge_unprivileged_bpf, NULL},
};

const struct check_class ifp_checks_privilege = {checks, ARRAY_SIZE(checks)};
