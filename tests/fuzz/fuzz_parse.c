// SPDX-License-Identifier: MIT
/* libFuzzer target: whatever bytes come in as a number, an address or a netlink message. */
#include "base/base.h"
#include "device/device.h"

#include <ifpin/confine.h>

#include <linux/rtnetlink.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void text(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *s = strndup((const char *)data, size);
	uint8_t addr[16];
	uint32_t v = 7;

	if (!s)
		return;
	if (!ifp_parse_u32(s, 1, 1000, &v) && (v < 1 || v > 1000))
		abort();
	if (!ifp_parse_addr(s, addr))
		ifp_addr_is_loopback(addr);
	if (ifpin_cap_bit(s) > 63 || ifpin_family_number(s) > 63)
		abort();
}

static void messages(const uint8_t *data, size_t size)
{
	/* Netlink pads every message to four bytes, and its attributes are looked for up to there. */
	struct nlmsghdr *nlh = calloc(1, MNL_ALIGN(size) ?: 1);
	struct nlmsghdr *first = nlh;
	struct ifp_local_addr addr;
	struct ifp_link link;
	int left = (int)size;

	if (!nlh)
		return;
	memcpy(nlh, data, size);
	/* libmnl takes the length for an int; no kernel sends one that is negative then. */
	for (; mnl_nlmsg_ok(nlh, left) && nlh->nlmsg_len <= (uint32_t)left;
		nlh = mnl_nlmsg_next(nlh, &left)) {
		if (!ifp_link_parse(nlh, &link) &&
			(!link.ifindex || !memchr(link.name, 0, sizeof(link.name))))
			abort();
		ifp_addr_parse(nlh, &addr);
	}
	free(first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size && data[0] & 1)
		text(data + 1, size - 1);
	else if (size)
		messages(data + 1, size - 1);
	return 0;
}
