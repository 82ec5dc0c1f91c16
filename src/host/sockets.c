// SPDX-License-Identifier: MIT
/* All sockets of the namespace: by sock_diag, else by /proc/net. */
#include "sockets.h"

#include "base/base.h"
#include "base/nl.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink_diag.h>
#include <linux/packet_diag.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <linux/xdp_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* Of a protocol that no kernel lists: one that does not know INET_DIAG_REQ_PROTOCOL (before Linux
 * 5.9) says so, instead of listing TCP for MPTCP. */
#define NO_PROTOCOL 254

struct kind {
	unsigned int bit;
	uint16_t protocol;
	uint8_t type;
	bool diag;
	const char *proc; /* file below /proc/net, with a twin "6" */
};

/* MPTCP comes first: its subflows are among the TCP sockets, and are known by its inodes. */
static const struct kind kinds[] = {
	{IFP_SOCKS_MPTCP, IPPROTO_MPTCP, SOCK_STREAM, true, NULL},
	{IFP_SOCKS_TCP, IPPROTO_TCP, SOCK_STREAM, true, "tcp"},
	{IFP_SOCKS_UDP, IPPROTO_UDP, SOCK_DGRAM, true, "udp"},
	{IFP_SOCKS_UDPLITE, IPPROTO_UDPLITE, SOCK_DGRAM, true, "udplite"},
	{IFP_SOCKS_RAW, IPPROTO_RAW, SOCK_RAW, true, "raw"},
	{IFP_SOCKS_ICMP, IPPROTO_ICMP, SOCK_DGRAM, false, "icmp"},
};

struct list {
	const struct kind *kind;
	struct ifp_sock *s;
	size_t n;
};

static int append(struct list *l, const struct ifp_sock *s)
{
	if (ifp_grow(&l->s, l->n, sizeof(*l->s)))
		return -ENOMEM;
	l->s[l->n++] = *s;
	return 0;
}

/* What only the asker knows. A raw socket has its protocol where others have the local port. */
static void set_kind(struct ifp_sock *s, const struct kind *k)
{
	s->protocol = k->protocol;
	s->type = k->type;
	if (k->bit == IFP_SOCKS_RAW) {
		s->protocol = s->lport;
		s->lport = 0;
	}
	if (k->bit == IFP_SOCKS_ICMP && s->family == AF_INET6)
		s->protocol = IPPROTO_ICMPV6;
}

static int on_socket(const struct nlmsghdr *nlh, void *data)
{
	struct list *l = data;
	struct ifp_sock s;
	int r = ifp_sock_parse(nlh, &s);

	if (r)
		return r;
	if (l->kind)
		set_kind(&s, l->kind);
	return append(l, &s);
}

/* ---- sock_diag ---- */

static struct nlmsghdr *put_request(void *buf, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	return nlh;
}

/* Return: 0; -ENOENT: the kernel has no such list; as ifp_nl_talk_on(). */
static int ask(struct nlmsghdr *req, struct list *l)
{
	int r = ifp_nl_talk_on(NETLINK_SOCK_DIAG, req, on_socket, l);

	return r == -EPROTONOSUPPORT ? -ENOENT : r;
}

static int diag_inet(uint8_t family, struct list *l)
{
	char buf[128];
	struct nlmsghdr *nlh = put_request(buf, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
	struct inet_diag_req_v2 *req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));
	bool wide = l->kind->protocol > UINT8_MAX;

	req->sdiag_family = family;
	req->sdiag_protocol = wide ? NO_PROTOCOL : (uint8_t)l->kind->protocol;
	req->idiag_states = UINT32_MAX;
	if (wide)
		mnl_attr_put_u32(nlh, INET_DIAG_REQ_PROTOCOL, l->kind->protocol);
	return ask(nlh, l);
}

static int diag_packet(struct list *l)
{
	char buf[64];
	struct nlmsghdr *nlh = put_request(buf, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
	struct packet_diag_req *req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));

	req->sdiag_family = AF_PACKET;
	req->pdiag_show = PACKET_SHOW_INFO;
	return ask(nlh, l);
}

static int diag_xdp(struct list *l)
{
	char buf[64];
	struct nlmsghdr *nlh = put_request(buf, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
	struct xdp_diag_req *req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));

	req->sdiag_family = AF_XDP;
	req->xdiag_show = XDP_SHOW_INFO;
	return ask(nlh, l);
}

/* ---- /proc/net ---- */

typedef int (*line_parser)(const char *line, struct ifp_sock *ret);

/* Return: 0; -ENOENT: there is no such list; -EBADMSG; -ENOMEM; errno of open and read. */
static int read_list(const char *name, line_parser parse, struct list *l)
{
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *line = NULL;
	bool heading = true;
	size_t room = 0;
	char path[64];
	struct ifp_sock s;
	int r;

	/* /proc/net is of the process, whose first thread may be in another namespace. */
	snprintf(path, sizeof(path), "/proc/thread-self/net/%s", name);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	for (; getline(&line, &room, f) >= 0; heading = false) {
		if (heading)
			continue;
		r = parse(line, &s);
		if (r)
			return r;
		if (l->kind)
			set_kind(&s, l->kind);
		r = append(l, &s);
		if (r)
			return r;
	}
	return ferror(f) ? -EIO : 0;
}

/* A kernel that has /proc/net, and not this file in it, has not got the protocol either. */
static int absent_or_unseen(void)
{
	return access("/proc/thread-self/net/protocols", F_OK) ? -ENOENT : 0;
}

static int proc_inet(struct list *l)
{
	char six[16];
	int r = read_list(l->kind->proc, ifp_sock_parse_proc, l);

	if (r == -ENOENT)
		return absent_or_unseen();
	if (r)
		return r;
	snprintf(six, sizeof(six), "%s6", l->kind->proc);
	r = read_list(six, ifp_sock_parse_proc, l);
	return r == -ENOENT ? 0 : r;
}

/* Whether the kernel can make such a socket; where it cannot, none is unseen. */
static bool can_be_made(int family, int type, int protocol)
{
	_cleanup_close_ int fd = socket(family, type | SOCK_CLOEXEC, protocol);

	return fd >= 0 || (errno != EAFNOSUPPORT && errno != EPROTONOSUPPORT);
}

/* ---- all of them ---- */

/* Return: 0; -ENOENT: there may be some that are not shown; -errno. */
static int list_inet(const struct kind *k, struct list *l)
{
	size_t before = l->n;
	int r = -ENOENT;

	l->kind = k;
	if (k->diag)
		r = diag_inet(AF_INET, l) ?: diag_inet(AF_INET6, l);
	if (r != -ENOENT)
		return r;
	l->n = before;
	if (k->proc)
		return proc_inet(l);
	return can_be_made(AF_INET, k->type, k->protocol) ? -ENOENT : 0;
}

static int list_packet(struct list *l)
{
	int r;

	l->kind = NULL;
	r = diag_packet(l);
	if (r == -ENOENT)
		r = read_list("packet", ifp_sock_parse_proc_packet, l);
	return r == -ENOENT ? absent_or_unseen() : r;
}

static int list_xdp(struct list *l)
{
	int r;

	l->kind = NULL;
	r = diag_xdp(l);
	return r == -ENOENT && !can_be_made(AF_XDP, SOCK_RAW, 0) ? 0 : r;
}

static int list_all(unsigned int what, struct list *l, unsigned int *unseen)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		/* Who is told of TCP is told which of them are subflows. */
		if (!(what & kinds[i].bit) &&
			!(kinds[i].bit == IFP_SOCKS_MPTCP && what & IFP_SOCKS_TCP))
			continue;
		r = list_inet(&kinds[i], l);
		if (r == -ENOENT)
			*unseen |= kinds[i].bit;
		else if (r)
			return r;
	}
	r = what & IFP_SOCKS_PACKET ? list_packet(l) : 0;
	if (r == -ENOENT)
		*unseen |= IFP_SOCKS_PACKET;
	else if (r)
		return r;
	r = what & IFP_SOCKS_XDP ? list_xdp(l) : 0;
	if (r == -ENOENT)
		*unseen |= IFP_SOCKS_XDP;
	else if (r)
		return r;
	*unseen &= what;
	return 0;
}

static int compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* An MPTCP socket stands before its subflows, and what is one socket stands together. */
static int by_identity(const void *x, const void *y)
{
	const struct ifp_sock *a = x, *b = y;

	return compare(a->inode, b->inode)
		       ?: -compare(a->protocol == IPPROTO_MPTCP, b->protocol == IPPROTO_MPTCP)
		       ?: compare(a->cookie, b->cookie)
		       ?: memcmp(a, b, sizeof(*a));
}

/* Without a cookie the inode has to do; what has neither is told as often as it is listed. */
static bool same_socket(const struct ifp_sock *a, const struct ifp_sock *b)
{
	if (a->cookie || b->cookie)
		return a->cookie == b->cookie && a->protocol == b->protocol;
	return a->inode && a->inode == b->inode;
}

int ifp_sockets_dump(unsigned int what, int (*cb)(const struct ifp_sock *s, void *data), void *data,
	unsigned int *ret_unseen)
{
	struct list l = {};
	const struct ifp_sock *mptcp = NULL;
	unsigned int unseen = 0;
	int r = list_all(what, &l, &unseen);

	if (l.n)
		qsort(l.s, l.n, sizeof(*l.s), by_identity);
	for (size_t i = 0; !r && i < l.n; i++) {
		struct ifp_sock *s = &l.s[i];

		if (i && same_socket(s - 1, s))
			continue;
		if (s->protocol == IPPROTO_MPTCP && s->family != AF_PACKET)
			mptcp = s->inode ? s : NULL;
		else
			s->subflow = mptcp && mptcp->inode == s->inode;
		if (s != mptcp || what & IFP_SOCKS_MPTCP)
			r = cb(s, data);
	}
	free(l.s);
	if (!r)
		*ret_unseen = unseen;
	return r;
}

/* ---- other families ---- */

struct others {
	int (*cb)(uint64_t inode, void *data);
	void *data;
};

static int on_unix(const struct nlmsghdr *nlh, void *data)
{
	const struct unix_diag_msg *m = mnl_nlmsg_get_payload(nlh);
	const struct others *o = data;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*m) || m->udiag_family != AF_UNIX)
		return -EBADMSG;
	return o->cb(m->udiag_ino, o->data);
}

static int on_netlink(const struct nlmsghdr *nlh, void *data)
{
	const struct netlink_diag_msg *m = mnl_nlmsg_get_payload(nlh);
	const struct others *o = data;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*m) || m->ndiag_family != AF_NETLINK)
		return -EBADMSG;
	return o->cb(m->ndiag_ino, o->data);
}

static int list_others(struct nlmsghdr *req, ifp_nl_cb cb, struct others *o)
{
	int r = ifp_nl_talk_on(NETLINK_SOCK_DIAG, req, cb, o);

	return r == -ENOENT || r == -EPROTONOSUPPORT ? 0 : r;
}

int ifp_sockets_others(int (*cb)(uint64_t inode, void *data), void *data)
{
	struct others o = {cb, data};
	char buf[64];
	struct nlmsghdr *nlh = put_request(buf, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
	struct unix_diag_req *unix_req = mnl_nlmsg_put_extra_header(nlh, sizeof(*unix_req));
	struct netlink_diag_req *netlink_req;
	int r;

	unix_req->sdiag_family = AF_UNIX;
	unix_req->udiag_states = UINT32_MAX;
	r = list_others(nlh, on_unix, &o);
	if (r)
		return r;
	nlh = put_request(buf, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
	netlink_req = mnl_nlmsg_put_extra_header(nlh, sizeof(*netlink_req));
	netlink_req->sdiag_family = AF_NETLINK;
	netlink_req->sdiag_protocol = NDIAG_PROTO_ALL;
	return list_others(nlh, on_netlink, &o);
}

/* ---- abort ---- */

static void put_address(uint8_t family, const uint8_t addr[16], __be32 ret[4])
{
	if (family == AF_INET)
		memcpy(ret, addr + 12, 4);
	else
		memcpy(ret, addr, 16);
}

int ifp_socket_destroy(const struct ifp_sock *s)
{
	char buf[128];
	struct nlmsghdr *nlh = put_request(buf, SOCK_DESTROY, NLM_F_ACK);
	struct inet_diag_req_v2 *req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));
	bool raw = s->type == SOCK_RAW;
	int r;

	if ((s->family != AF_INET && s->family != AF_INET6) || s->brief || s->protocol > UINT8_MAX)
		return -EOPNOTSUPP;
	req->sdiag_family = s->family;
	req->sdiag_protocol = raw ? IPPROTO_RAW : (uint8_t)s->protocol;
	if (raw)
		req->pad = (uint8_t)s->protocol; /* sdiag_raw_protocol */
	req->id.idiag_sport = htons(s->lport);
	req->id.idiag_dport = htons(s->pport);
	put_address(s->family, s->local, req->id.idiag_src);
	put_address(s->family, s->peer, req->id.idiag_dst);
	req->id.idiag_if = s->bound_ifindex;
	req->id.idiag_cookie[0] = (uint32_t)s->cookie;
	req->id.idiag_cookie[1] = (uint32_t)(s->cookie >> 32);
	r = ifp_nl_talk_on(NETLINK_SOCK_DIAG, nlh, NULL, NULL);
	/* Another socket has the addresses now. */
	return r == -ESTALE ? -ENOENT : r == -EPROTONOSUPPORT ? -EOPNOTSUPP : r;
}

int ifp_socket_tie(int fd, uint32_t ifindex)
{
	int v = (int)ifindex, now = -1;
	socklen_t len = sizeof(now);

	if (setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &v, sizeof(v)) ||
		getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &now, &len))
		return -errno;
	return now == v ? 0 : -EBUSY;
}
