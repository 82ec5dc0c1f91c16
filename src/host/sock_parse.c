// SPDX-License-Identifier: MIT
/* One socket out of a message of sock_diag, a line of /proc/net, or its descriptor. */
#include "sockets.h"

#include "base/base.h"
#include "device/device.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <linux/inet_diag.h>
#include <linux/packet_diag.h>
#include <linux/xdp_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif

static void map_v4(const void *v4, uint8_t ret[16])
{
	memset(ret, 0, 10);
	ret[10] = ret[11] = 0xff;
	memcpy(ret + 12, v4, 4);
}

static void read_address(uint8_t family, const __be32 from[4], uint8_t ret[16])
{
	if (family == AF_INET)
		map_v4(from, ret);
	else
		memcpy(ret, from, 16);
}

static uint64_t read_cookie(const __u32 half[2])
{
	return half[0] | (uint64_t)half[1] << 32;
}

static int parse_inet(const struct nlmsghdr *nlh, struct ifp_sock *s)
{
	const struct inet_diag_msg *m = mnl_nlmsg_get_payload(nlh);
	struct nlattr *attr;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*m))
		return -EBADMSG;
	s->family = m->idiag_family;
	s->state = m->idiag_state;
	s->lport = ntohs(m->id.idiag_sport);
	s->pport = ntohs(m->id.idiag_dport);
	read_address(s->family, m->id.idiag_src, s->local);
	read_address(s->family, m->id.idiag_dst, s->peer);
	s->bound_ifindex = m->id.idiag_if;
	s->cookie = read_cookie(m->id.idiag_cookie);
	s->uid = m->idiag_uid;
	s->inode = m->idiag_inode;
	mnl_attr_for_each (attr, nlh, sizeof(*m)) {
		switch (mnl_attr_get_type(attr)) {
		case INET_DIAG_SKV6ONLY:
			if (mnl_attr_validate(attr, MNL_TYPE_U8) < 0)
				return -EBADMSG;
			s->v6only = mnl_attr_get_u8(attr);
			break;
		case INET_DIAG_CGROUP_ID:
			if (mnl_attr_validate(attr, MNL_TYPE_U64) < 0)
				return -EBADMSG;
			s->cgroup_id = mnl_attr_get_u64(attr);
			break;
		}
	}
	return 0;
}

static int parse_packet(const struct nlmsghdr *nlh, struct ifp_sock *s)
{
	const struct packet_diag_msg *m = mnl_nlmsg_get_payload(nlh);
	struct packet_diag_info info;
	struct nlattr *attr;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*m))
		return -EBADMSG;
	s->family = AF_PACKET;
	s->type = m->pdiag_type;
	s->protocol = m->pdiag_num;
	s->inode = m->pdiag_ino;
	s->cookie = read_cookie(m->pdiag_cookie);
	mnl_attr_for_each (attr, nlh, sizeof(*m)) {
		switch (mnl_attr_get_type(attr)) {
		case PACKET_DIAG_INFO:
			if (mnl_attr_get_payload_len(attr) < sizeof(info))
				return -EBADMSG;
			memcpy(&info, mnl_attr_get_payload(attr), sizeof(info));
			s->bound_ifindex = info.pdi_index;
			break;
		case PACKET_DIAG_UID:
			if (mnl_attr_validate(attr, MNL_TYPE_U32) < 0)
				return -EBADMSG;
			s->uid = mnl_attr_get_u32(attr);
			break;
		}
	}
	return 0;
}

static int parse_xdp(const struct nlmsghdr *nlh, struct ifp_sock *s)
{
	const struct xdp_diag_msg *m = mnl_nlmsg_get_payload(nlh);
	struct xdp_diag_info info;
	struct nlattr *attr;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*m))
		return -EBADMSG;
	s->family = AF_XDP;
	s->type = m->xdiag_type;
	s->inode = m->xdiag_ino;
	s->cookie = read_cookie(m->xdiag_cookie);
	mnl_attr_for_each (attr, nlh, sizeof(*m)) {
		switch (mnl_attr_get_type(attr)) {
		case XDP_DIAG_INFO:
			if (mnl_attr_get_payload_len(attr) < sizeof(info))
				return -EBADMSG;
			memcpy(&info, mnl_attr_get_payload(attr), sizeof(info));
			s->bound_ifindex = info.ifindex;
			break;
		case XDP_DIAG_UID:
			if (mnl_attr_validate(attr, MNL_TYPE_U32) < 0)
				return -EBADMSG;
			s->uid = mnl_attr_get_u32(attr);
			break;
		}
	}
	return 0;
}

int ifp_sock_parse(const struct nlmsghdr *nlh, struct ifp_sock *ret)
{
	struct ifp_sock s = {};
	int r = -EBADMSG;

	if (!mnl_nlmsg_get_payload_len(nlh))
		return r;
	switch (*(const uint8_t *)mnl_nlmsg_get_payload(nlh)) {
	case AF_INET:
	case AF_INET6:
		r = parse_inet(nlh, &s);
		break;
	case AF_PACKET:
		r = parse_packet(nlh, &s);
		break;
	case AF_XDP:
		r = parse_xdp(nlh, &s);
		break;
	}
	if (!r)
		*ret = s;
	return r;
}

/* ---- /proc/net ---- */

/* "0100007F:1F90": each four bytes of the address are one number of this machine's byte order.
 * Return: what follows; NULL. */
static const char *parse_proc_address(
	const char *p, struct ifp_sock *s, uint8_t addr[16], uint16_t *port)
{
	size_t digits = strspn(p, "0123456789ABCDEF");
	uint32_t words[4];
	unsigned int v;
	int n = 0;

	if (digits != 8 && digits != 32)
		return NULL;
	for (size_t i = 0; i < digits / 8; i++)
		if (sscanf(p + 8 * i, "%8X", &words[i]) != 1)
			return NULL;
	if (digits == 8)
		map_v4(words, addr);
	else
		memcpy(addr, words, 16);
	if (s->family && s->family != (digits == 8 ? AF_INET : AF_INET6))
		return NULL;
	s->family = digits == 8 ? AF_INET : AF_INET6;
	p += digits;
	if (*p != ':' || strspn(p + 1, "0123456789ABCDEF") != 4 ||
		sscanf(p + 1, "%4X%n", &v, &n) != 1)
		return NULL;
	*port = (uint16_t)v;
	return p + 1 + n;
}

int ifp_sock_parse_proc(const char *line, struct ifp_sock *ret)
{
	struct ifp_sock s = {.brief = true};
	unsigned long long inode;
	unsigned int state, uid;
	int n = 0;

	if (sscanf(line, " %*9u: %n", &n) < 0 || !n)
		return -EBADMSG;
	line = parse_proc_address(line + n, &s, s.local, &s.lport);
	if (!line || *line != ' ')
		return -EBADMSG;
	line = parse_proc_address(line + 1, &s, s.peer, &s.pport);
	if (!line)
		return -EBADMSG;
	if (sscanf(line, " %2X %*8X:%*8X %*2X:%*8X %*8X %10u %*10d %20llu", &state, &uid, &inode) !=
		3)
		return -EBADMSG;
	s.state = (uint8_t)state;
	s.uid = uid;
	s.inode = inode;
	*ret = s;
	return 0;
}

int ifp_sock_parse_proc_packet(const char *line, struct ifp_sock *ret)
{
	struct ifp_sock s = {.family = AF_PACKET, .brief = true};
	unsigned int type, protocol, uid;
	unsigned long long inode;
	int ifindex;

	if (sscanf(line, "%*32[0-9a-fA-F] %*10d %3u %4x %10d %*10u %*10u %10u %20llu", &type,
		    &protocol, &ifindex, &uid, &inode) != 5)
		return -EBADMSG;
	s.type = (uint8_t)type;
	s.protocol = (uint16_t)protocol;
	s.bound_ifindex = ifindex > 0 ? (uint32_t)ifindex : 0;
	s.uid = uid;
	s.inode = inode;
	*ret = s;
	return 0;
}

/* ---- a descriptor ---- */

static int get_int(int fd, int level, int option, int *ret)
{
	socklen_t len = sizeof(*ret);

	return getsockopt(fd, level, option, ret, &len) ? -errno : 0;
}

static void split_sockaddr(
	const struct sockaddr_storage *ss, socklen_t len, uint8_t addr[16], uint16_t *port)
{
	if (ifp_addr_from_sockaddr((const struct sockaddr *)ss, len, addr))
		return;
	*port = ntohs(ss->ss_family == AF_INET ? ((const struct sockaddr_in *)ss)->sin_port
					       : ((const struct sockaddr_in6 *)ss)->sin6_port);
}

static int ask_inet(int fd, struct ifp_sock *s)
{
	struct sockaddr_storage ss = {};
	socklen_t len = sizeof(ss);
	struct tcp_info info = {};
	int v = 0, r;

	r = get_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &v);
	if (r)
		return r;
	s->bound_ifindex = (uint32_t)v;
	if (!getsockname(fd, (struct sockaddr *)&ss, &len))
		split_sockaddr(&ss, len, s->local, &s->lport);
	len = sizeof(ss);
	s->state = TCP_CLOSE;
	if (!getpeername(fd, (struct sockaddr *)&ss, &len)) {
		split_sockaddr(&ss, len, s->peer, &s->pport);
		s->state = TCP_ESTABLISHED;
	}
	len = sizeof(info);
	if (s->type == SOCK_STREAM && !getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len))
		s->state = info.tcpi_state;
	if (!get_int(fd, SOL_SOCKET, SO_ACCEPTCONN, &v) && v)
		s->state = TCP_LISTEN; /* which one of MPTCP does not tell by TCP_INFO */
	if (s->family == AF_INET6 && !get_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v))
		s->v6only = v;
	if (s->type == SOCK_RAW)
		s->lport = 0; /* the protocol, as in the lists */
	return 0;
}

static int ask_bound(int fd, struct ifp_sock *s)
{
	union {
		struct sockaddr_storage ss;
		struct sockaddr_ll ll;
		struct sockaddr_xdp xdp;
	} a = {};
	socklen_t len = sizeof(a);

	/* An XDP socket that is bound to nothing has no name. */
	if (getsockname(fd, (struct sockaddr *)&a, &len))
		return s->family == AF_XDP ? 0 : -errno;
	if (s->family == AF_XDP) {
		s->bound_ifindex = a.xdp.sxdp_ifindex;
		return 0;
	}
	s->protocol = ntohs(a.ll.sll_protocol);
	s->bound_ifindex = a.ll.sll_ifindex > 0 ? (uint32_t)a.ll.sll_ifindex : 0;
	return 0;
}

int ifp_socket_ask(int fd, struct ifp_sock *ret)
{
	struct ifp_sock s = {};
	socklen_t len = sizeof(s.cookie);
	int family, type, protocol, r;
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	r = get_int(fd, SOL_SOCKET, SO_DOMAIN, &family)
		    ?: get_int(fd, SOL_SOCKET, SO_TYPE, &type)
			    ?: get_int(fd, SOL_SOCKET, SO_PROTOCOL, &protocol);
	if (r)
		return r;
	if (family != AF_INET && family != AF_INET6 && family != AF_PACKET && family != AF_XDP)
		return -EAFNOSUPPORT;
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &s.cookie, &len))
		return -errno;
	s.inode = st.st_ino;
	s.uid = st.st_uid;
	s.family = (uint8_t)family;
	s.type = (uint8_t)type;
	s.protocol = (uint16_t)protocol;
	r = family == AF_INET || family == AF_INET6 ? ask_inet(fd, &s) : ask_bound(fd, &s);
	if (!r)
		*ret = s;
	return r;
}
