// SPDX-License-Identifier: MIT
#include "report.h"

#include "confine/scope.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <json-c/json.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sha256.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

static bool has_cgroup_bpf(void)
{
	return libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_CGROUP_SKB, NULL) == 1 &&
	       libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_CGROUP_SOCKOPT, NULL) == 1;
}

/* The kernel looks at the filter, and there is none, only if it knows filters: seccomp(2). */
static bool has_seccomp(void)
{
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL, 0, 0) < 0 && errno == EFAULT;
}

static void add(struct facts *f, const char *name, const char *purpose, bool there, const char *why)
{
	f->mechanisms[f->n++] = (struct mechanism){name, purpose, there, there ? "" : why};
}

static void checksum(const struct proof *p, char ret[65])
{
	SHA256_CTX c;

	SHA256Init(&c);
	for (size_t i = 0; i < p->n; i++) {
		const char *const lines[] = {p->attempts[i]->name, p->attempts[i]->sentence};

		for (size_t k = 0; k < ARRAY_SIZE(lines); k++) {
			SHA256Update(&c, (const uint8_t *)lines[k], strlen(lines[k]));
			SHA256Update(&c, (const uint8_t *)"\n", 1);
		}
	}
	SHA256End(&c, ret);
}

void ifp_facts(const struct proof *p, struct facts *ret)
{
	struct facts f = {};
	struct tm tm;

	uname(&f.host);
	strftime(f.date, sizeof(f.date), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&p->began, &tm));
	checksum(p, f.sha256);
	add(&f, "cgroup BPF",
		"judges every packet after routing, and socket calls before they count",
		has_cgroup_bpf(), "the kernel does not load such programs");
	add(&f, "seccomp filter",
		"refuses what no cgroup program sees: AF_PACKET, AF_XDP, io_uring", has_seccomp(),
		"CONFIG_SECCOMP_FILTER is not set");
	add(&f, "Landlock scope", "keeps processes outside from being traced and signalled",
		ifp_scope_available(), "Linux 6.12 has it");
#ifdef HAVE_FENCE
	if (!p->here) {
		add(&f, "nftables fence",
			"drops frames with an address of the fence on other devices",
			!p->no_fence.code, p->no_fence.text);
		add(&f, "traffic control (tcx)", "sees what traffic control hides from nftables",
			ifp_has_tcx(), "Linux 6.6 has it");
	}
#endif
	*ret = f;
}

bool ifp_facts_part(size_t i, const char **ret_name, char ret_version[32])
{
	const struct scmp_version *s = seccomp_version();

	switch (i) {
	case 0:
		*ret_name = "ifpin";
		snprintf(ret_version, 32, "%s", IFPIN_VERSION);
		return true;
	case 1:
		*ret_name = "libbpf";
		snprintf(ret_version, 32, "%s", libbpf_version_string() + 1);
		return true;
	case 2:
		*ret_name = "libseccomp";
		snprintf(ret_version, 32, "%u.%u.%u", s->major, s->minor, s->micro);
		return true;
	case 3:
		*ret_name = "json-c";
		snprintf(ret_version, 32, "%s", json_c_version());
		return true;
	case 4:
		*ret_name = "libc";
		snprintf(ret_version, 32, "%s", gnu_get_libc_version());
		return true;
	default:
		return false;
	}
}
