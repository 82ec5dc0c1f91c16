// SPDX-License-Identifier: MIT
#include "groups.h"

#include "base/base.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

static const uint8_t all_hosts[16] = {[10] = 0xff, 0xff, 224, 0, 0, 1};

/* Heard on every device without anybody's asking: RFC 1112, RFC 4291 2.8 (and ff01::1). */
static bool is_kernels(const uint8_t addr[16])
{
	static const uint8_t nodes[16] = {0xff, 0x02, [15] = 1}, local[16] = {0xff, 0x01, [15] = 1};
	static const uint8_t solicited[13] = {0xff, 0x02, [11] = 1, 0xff};

	return !memcmp(addr, all_hosts, 16) || !memcmp(addr, nodes, 16) ||
	       !memcmp(addr, local, 16) || !memcmp(addr, solicited, sizeof(solicited));
}

int ifp_group_parse6(const char *line, struct ifp_group *ret)
{
	struct ifp_group g = {};
	char hex[33];

	if (sscanf(line, "%u %*s %32s", &g.ifindex, hex) != 2 || strlen(hex) != 32)
		return -ENOENT;
	for (int i = 0; i < 16; i++)
		if (sscanf(hex + 2 * i, "%2hhx", &g.addr[i]) != 1)
			return -ENOENT;
	*ret = g;
	return 0;
}

/* The address is a number as the processor has it, so in network order in memory. */
int ifp_group_parse4(const char *line, uint32_t *ifindex, struct ifp_group *ret)
{
	struct ifp_group g = {.addr = {[10] = 0xff, 0xff}};
	uint32_t addr, index;

	if (line[0] != '\t') {
		if (sscanf(line, "%u", &index) == 1)
			*ifindex = index;
		return -ENOENT;
	}
	if (!*ifindex || sscanf(line, " %8x", &addr) != 1)
		return -ENOENT;
	g.ifindex = *ifindex;
	memcpy(g.addr + 12, &addr, 4);
	*ret = g;
	return 0;
}

static int add(struct ifp_groups *to, const struct ifp_group *g, uint32_t but_ifindex)
{
	if (g->ifindex == but_ifindex || is_kernels(g->addr))
		return 0;
	if (ifp_grow(&to->v, to->n, sizeof(*to->v)))
		return -ENOMEM;
	to->v[to->n++] = *g;
	return 0;
}

static int read_list(struct ifp_groups *to, uint32_t but_ifindex, bool six)
{
	_cleanup_free_ char *text = NULL;
	char *line, *save = NULL;
	struct ifp_group g;
	uint32_t ifindex = 0;
	int r = ifp_read_file(six ? "/proc/self/net/igmp6" : "/proc/self/net/igmp", &text);

	if (r)
		return r == -ENOENT ? 0 : r; /* without IPv6, or without multicast */
	for (line = strtok_r(text, "\n", &save); line && !r; line = strtok_r(NULL, "\n", &save))
		if (!(six ? ifp_group_parse6(line, &g) : ifp_group_parse4(line, &ifindex, &g)))
			r = add(to, &g, but_ifindex);
	return r;
}

int ifp_groups_read(uint32_t but_ifindex, struct ifp_groups *ret)
{
	struct ifp_groups g = {};
	int r = read_list(&g, but_ifindex, false) ?: read_list(&g, but_ifindex, true);

	if (r)
		ifp_groups_free(&g);
	else
		*ret = g;
	return r;
}

void ifp_groups_free(struct ifp_groups *g)
{
	free(g->v);
	*g = (struct ifp_groups){};
}

/* A mapping to what the calls of RFC 3678 want. Return: the level. */
static int address(const struct ifp_group *g, struct sockaddr_storage *ret)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (ifp_addr_is_v4(g->addr)) {
		in->sin_family = AF_INET;
		memcpy(&in->sin_addr, g->addr + 12, 4);
		return IPPROTO_IP;
	}
	in6->sin6_family = AF_INET6;
	memcpy(&in6->sin6_addr, g->addr, 16);
	return IPPROTO_IPV6;
}

bool ifp_group_joined(int fd, const struct ifp_group *g)
{
	struct group_filter f = {.gf_interface = g->ifindex};
	socklen_t len = sizeof(f);
	int level = address(g, &f.gf_group);

	return !getsockopt(fd, level, MCAST_MSFILTER, &f, &len);
}

int ifp_group_leave(int fd, const struct ifp_group *g)
{
	struct group_req req = {.gr_interface = g->ifindex};
	int level = address(g, &req.gr_group);

	return setsockopt(fd, level, MCAST_LEAVE_GROUP, &req, sizeof(req)) ? -errno : 0;
}
