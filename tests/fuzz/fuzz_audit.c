// SPDX-License-Identifier: MIT
/*
 * libFuzzer target: what the kernel tells of a host, as messages of each kind, judged by every
 * check; and the file of accepted findings.
 */
#include "audit/audit.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ifp_nl_cb readers[] = {ifp_on_link, ifp_on_route, ifp_on_rule, ifp_on_proxy,
	ifp_on_filter, ifp_on_nft_rule, ifp_on_endpoint, ifp_on_policy};

static void messages(struct ifpin_audit *a, const uint8_t *data, size_t size)
{
	/* Netlink pads every message to four bytes. */
	struct nlmsghdr *nlh = calloc(1, MNL_ALIGN(size) ?: 1), *first = nlh;
	int left = (int)size;

	if (!nlh)
		return;
	memcpy(nlh, data, size);
	/* libmnl takes the length for an int; no kernel sends one that is negative then. */
	for (; mnl_nlmsg_ok(nlh, left) && nlh->nlmsg_len <= (uint32_t)left;
		nlh = mnl_nlmsg_next(nlh, &left))
		for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
			readers[i](nlh, &a->s);
	free(first);
}

static void judge(struct ifpin_audit *a)
{
	size_t n;
	const struct ifpin_finding *f;

	ifp_links_sort(&a->s);
	a->s.mptcp = 1;
	if (ifp_judge(a, a->s.links.n ? a->s.links.v : NULL, NULL, NULL) ||
		ifp_judge(a, NULL, NULL, NULL))
		abort();
	f = ifpin_audit_findings(a, &n);
	for (size_t i = 0; i < n; i++)
		if (strpbrk(f[i].evidence, "\n\033") || !f[i].mend[0])
			abort();
}

static void file(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = strndup((const char *)data, size);
	struct ifpin_accepted *a;
	struct ifpin_error err = {};

	if (!text || ifpin_accepted_new(&a))
		return;
	if (ifp_accepted_parse(a, text, "file", &err) && (!err.code || !err.text[0]))
		abort();
	ifpin_accepted_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ifpin_audit *a = calloc(1, sizeof(*a));

	if (!a)
		return 0;
	messages(a, data, size);
	judge(a);
	ifpin_audit_free(a);
	file(data, size);
	return 0;
}
