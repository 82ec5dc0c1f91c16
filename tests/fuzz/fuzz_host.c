// SPDX-License-Identifier: MIT
/*
 * libFuzzer target: what the host says of its sockets and processes, as messages of sock_diag and
 * as lines of /proc. Any program can choose what stands in some of them.
 */
#include "base/base.h"
#include "host/cgroup.h"
#include "host/processes.h"
#include "host/sockets.h"

#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void messages(const uint8_t *data, size_t size)
{
	/* Netlink pads every message to four bytes. */
	struct nlmsghdr *nlh = calloc(1, MNL_ALIGN(size) ?: 1), *first = nlh;
	int left = (int)size;
	struct ifp_sock s;

	if (!nlh)
		return;
	memcpy(nlh, data, size);
	/* libmnl takes the length for an int; no kernel sends one that is negative then. */
	for (; mnl_nlmsg_ok(nlh, left) && nlh->nlmsg_len <= (uint32_t)left;
		nlh = mnl_nlmsg_next(nlh, &left))
		if (!ifp_sock_parse(nlh, &s) && (s.brief || s.subflow || !s.family))
			abort();
	free(first);
}

static void lines(const char *text)
{
	struct ifp_descriptor d = {.inode = 7};
	struct ifp_sock s;
	char path[16];

	if (!ifp_sock_parse_proc(text, &s) &&
		(!s.brief || (s.family != AF_INET && s.family != AF_INET6) ||
			(s.family == AF_INET && !ifp_addr_is_v4(s.local))))
		abort();
	if (!ifp_sock_parse_proc_packet(text, &s) && (s.family != AF_PACKET || s.cookie))
		abort();
	if (ifp_descriptor_parse(text, &d) && d.inode != 7)
		abort();
	if (!ifp_cgroup_line_parse(text, path, sizeof(path)) &&
		(path[0] != '/' || strlen(path) >= sizeof(path) || strchr(path, '\n')))
		abort();
	if (!ifp_mountinfo_parse(text, path, sizeof(path)) && strlen(path) >= sizeof(path))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);

	if (!text)
		return 0;
	messages(data, size);
	lines(text);
	free(text);
	return 0;
}
