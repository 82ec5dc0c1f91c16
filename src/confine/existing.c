// SPDX-License-Identifier: MIT
#include "existing.h"
#include "silence.h"

#include "host/cgroup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

unsigned int ifp_existing_foreign(const struct ifp_existing *e)
{
	unsigned int n = 0;

	for (size_t i = 0; i < e->n; i++)
		n += !e->v[i].native &&
		     (e->v[i].sock.family == AF_INET || e->v[i].sock.family == AF_INET6);
	return n;
}

/* ---- what is so of one ---- */

static bool is_native(const struct ifp_existing *e, int fd)
{
	int one = 1;

	return !setsockopt(fd, IFPIN_PROBE_LEVEL, (int)e->id, &one, sizeof(one));
}

/* The device that has an address; 0: none, or more than one. */
static uint32_t owner_of(const struct ifp_addrs *a, const uint8_t addr[16])
{
	uint32_t owner = 0;

	for (size_t i = 0; i < a->n; i++)
		if (!memcmp(a->v[i].addr, addr, 16)) {
			if (owner && owner != a->v[i].ifindex)
				return 0;
			owner = a->v[i].ifindex;
		}
	return owner;
}

static bool is_local(const struct ifp_addrs *a, const uint8_t addr[16])
{
	if (ifp_addr_is_loopback(addr))
		return true;
	for (size_t i = 0; i < a->n; i++)
		if (!memcmp(a->v[i].addr, addr, 16))
			return true;
	return false;
}

static bool is_connected(const struct ifp_sock *s)
{
	return s->state != TCP_CLOSE && s->state != TCP_LISTEN;
}

static void set(struct ifp_held *h, enum ifp_remedy remedy, uint32_t tie_to, const char *why)
{
	h->remedy = remedy;
	h->tie_to = tie_to;
	h->why = why;
}

static bool makes_headers(const struct ifp_held *h)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return h->sock.protocol == IPPROTO_RAW ||
	       (h->sock.family == AF_INET &&
		       !getsockopt(h->fd, IPPROTO_IP, IP_HDRINCL, &on, &len) && on);
}

static void judge_connection(const struct ifp_existing *e, struct ifp_held *h)
{
	uint32_t dev = e->device.ifindex;

	if (is_local(e->addrs, h->sock.peer)) {
		if (!e->loopback)
			set(h, IFP_ABORT, 0,
				"talks to the host itself, which --loopback=deny refuses");
		else if (!h->native && h->sock.bound_ifindex != IFPIN_LOOPBACK_IFINDEX)
			set(h, IFP_TIE, IFPIN_LOOPBACK_IFINDEX, "was made outside of the cgroup");
		else if (h->sock.bound_ifindex && h->sock.bound_ifindex != dev &&
			 h->sock.bound_ifindex != IFPIN_LOOPBACK_IFINDEX)
			set(h, IFP_ABORT, 0, "is tied to another device");
		return;
	}
	if (h->sock.bound_ifindex == dev)
		return;
	if (owner_of(e->addrs, h->sock.local) == dev)
		set(h, IFP_TIE, dev, "is not tied to the device");
	else
		set(h, IFP_ABORT, 0, "has an address that is not the device's");
}

static bool has_joined(const struct ifp_existing *e, int fd)
{
	for (size_t i = 0; i < e->groups.n; i++)
		if (ifp_group_joined(fd, &e->groups.v[i]))
			return true;
	return false;
}

static void judge_groups(const struct ifp_existing *e, struct ifp_held *h)
{
	h->joined = has_joined(e, h->fd);
	if (h->joined)
		set(h, IFP_TIE, 0, "has joined a group on another device");
}

static void judge_tcp(const struct ifp_existing *e, struct ifp_held *h)
{
	uint32_t dev = e->device.ifindex, bound = h->sock.bound_ifindex;

	judge_groups(e, h); /* by MCAST_JOIN_GROUP a TCP socket can, too */
	if (is_connected(&h->sock)) {
		judge_connection(e, h);
		/* The kernel ties these before they are connected only. */
		if (h->remedy == IFP_TIE && h->tie_to && h->sock.protocol == IPPROTO_MPTCP)
			set(h, IFP_ABORT, 0, "is a multipath connection that is not tied");
	} else if (bound != dev && (bound ? bound != IFPIN_LOOPBACK_IFINDEX : !h->native)) {
		set(h, IFP_TIE, dev,
			bound ? "is tied to another device" : "was made outside of the cgroup");
	}
}

/* Its packets name a device by themselves: who made it decides. */
static void judge_datagrams(const struct ifp_existing *e, struct ifp_held *h)
{
	uint32_t dev = e->device.ifindex, bound = h->sock.bound_ifindex;

	judge_groups(e, h);
	if (h->native ? ifp_is_shut(h->fd) : ifp_is_silent(h->fd))
		return;
	if (h->sock.type == SOCK_RAW && h->sock.family == AF_INET &&
		h->sock.protocol == IPPROTO_IGMP)
		set(h, IFP_HOPELESS, 0, "may route multicast");
	else if (h->sock.type == SOCK_RAW && makes_headers(h))
		set(h, IFP_HOPELESS, 0, "sends headers made by hand");
	else if (!h->native)
		set(h, h->sock.type == SOCK_RAW ? IFP_HOPELESS : IFP_ABORT, 0,
			"was made outside of the cgroup");
	else if (bound && bound != dev && bound != IFPIN_LOOPBACK_IFINDEX)
		set(h, IFP_TIE, dev, "is tied to another device");
	else if (!bound && h->sock.state == TCP_ESTABLISHED && !is_local(e->addrs, h->sock.peer))
		set(h, IFP_TIE, dev, "is connected, and not tied to the device");
}

static void judge_other(struct ifp_held *h)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	h->sock = (struct ifp_sock){};
	if (!getsockopt(h->fd, SOL_SOCKET, SO_DOMAIN, &domain, &len))
		h->sock.family = (uint8_t)domain;
	if (domain != AF_UNIX && domain != AF_NETLINK && domain != AF_ALG)
		set(h, IFP_HOPELESS, 0, "is of a family that cannot be held");
}

void ifp_held_judge(const struct ifp_existing *e, struct ifp_held *h)
{
	int r;

	set(h, IFP_CONFORMS, 0, NULL);
	if (h->at.kind == IFP_DESCRIPTOR_WIRE) {
		set(h, IFP_HOPELESS, 0, "is a device node by which frames are sent");
		return;
	}
	r = ifp_socket_ask(h->fd, &h->sock);
	if (r) {
		judge_other(h);
		return;
	}
	if (h->sock.family != AF_INET && h->sock.family != AF_INET6) {
		set(h, IFP_HOPELESS, 0, "sends frames past every cgroup");
		return;
	}
	if (ifp_netns_of(h->fd) != e->netns) {
		if (!ifp_is_silent(h->fd))
			set(h, h->sock.type == SOCK_RAW ? IFP_HOPELESS : IFP_ABORT, 0,
				"is of another network namespace");
		return;
	}
	h->native = is_native(e, h->fd);
	if (h->sock.type == SOCK_STREAM &&
		(h->sock.protocol == IPPROTO_TCP || h->sock.protocol == IPPROTO_MPTCP))
		judge_tcp(e, h);
	else if (h->sock.type == SOCK_DGRAM || h->sock.type == SOCK_RAW)
		judge_datagrams(e, h);
	else
		set(h, IFP_HOPELESS, 0, "has a protocol that cannot be held");
}

/* ---- what is done about one ---- */

/*
 * A connection is reset, as its peer sees; made outside, it is tied first, for it could be
 * connected again. What knows no connection is shut down, which nobody can take back.
 */
static int end(const struct ifp_existing *e, const struct ifp_held *h)
{
	struct sockaddr unspec = {.sa_family = AF_UNSPEC};
	int r = 0;

	if (h->sock.type != SOCK_STREAM)
		return ifp_silence(h->fd);
	if (h->sock.protocol == IPPROTO_MPTCP && connect(h->fd, &unspec, sizeof(unspec)))
		return -errno;
	if (!h->native)
		r = ifp_socket_tie(h->fd, e->device.ifindex);
	if (!r && h->sock.state != TCP_LISTEN && h->sock.protocol != IPPROTO_MPTCP &&
		ifp_socket_destroy(&h->sock) && connect(h->fd, &unspec, sizeof(unspec)))
		r = -errno;
	return r;
}

/* The report of the leaving is the last that is heard of it on the other device. */
static int leave_groups(const struct ifp_existing *e, int fd)
{
	int r = 0;

	for (size_t i = 0; i < e->groups.n && !r; i++)
		if (ifp_group_joined(fd, &e->groups.v[i]))
			r = ifp_group_leave(fd, &e->groups.v[i]);
	return r;
}

static int remedy(struct ifp_existing *e, struct ifp_held *h)
{
	int r = h->remedy == IFP_CONFORMS ? 0 : ifp_held_take(e, h);

	/* Closed meanwhile by this holder; if another has it, the next look finds it. */
	if (r == -ESRCH && !e->still) {
		h->remedy = IFP_CONFORMS;
		return 0;
	}
	if (!r && h->joined)
		r = leave_groups(e, h->fd);
	if (!r && h->sock.type == SOCK_DGRAM && !h->native && h->remedy != IFP_CONFORMS)
		r = ifp_uncork(h->fd);
	if (r)
		return r;
	if (h->remedy == IFP_TIE) {
		r = h->tie_to ? ifp_socket_tie(h->fd, h->tie_to) : 0;
		e->tied += !r;
	} else if (h->remedy == IFP_ABORT) {
		r = end(e, h);
		e->aborted += !r;
	}
	return r;
}

/* ---- what is said ---- */

static const char *kind_of(const struct ifp_held *h)
{
	if (h->at.kind == IFP_DESCRIPTOR_WIRE)
		return "device";
	switch (h->sock.family) {
	case AF_INET:
	case AF_INET6:
		break;
	case AF_PACKET:
		return "packet";
	case AF_XDP:
		return "xdp";
	default:
		return "socket";
	}
	if (h->sock.type == SOCK_RAW)
		return "raw";
	switch (h->sock.protocol) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_MPTCP:
		return "mptcp";
	case IPPROTO_UDP:
		return "udp";
	}
	return "ip";
}

static void say_end(const uint8_t addr[16], uint16_t port, char ret[INET6_ADDRSTRLEN + 16])
{
	char text[INET6_ADDRSTRLEN];

	snprintf(ret, INET6_ADDRSTRLEN + 16, ifp_addr_is_v4(addr) ? "%s:%u" : "[%s]:%u",
		ifp_addr_text(addr, text), port);
}

static void describe(const struct ifp_held *h, char *ret, size_t size)
{
	char local[INET6_ADDRSTRLEN + 16] = "", peer[INET6_ADDRSTRLEN + 16] = "", comm[16] = "?";
	bool inet = h->sock.family == AF_INET || h->sock.family == AF_INET6;

	ifp_process_comm(h->at.pid, comm);
	if (inet)
		say_end(h->sock.local, h->sock.lport, local);
	if (inet && (is_connected(&h->sock) || h->sock.pport))
		say_end(h->sock.peer, h->sock.pport, peer);
	snprintf(ret, size, "%s%s%s%s%s of %s (pid %d, fd %d) %s", kind_of(h), *local ? " " : "",
		local, *peer ? " to " : "", peer, comm, (int)h->at.pid, h->at.fd, h->why);
}

static void say(const struct ifp_existing *e, const char *what, const struct ifp_held *h)
{
	char line[512], text[400];

	if (!e->log)
		return;
	describe(h, text, sizeof(text));
	snprintf(line, sizeof(line), "%s: %s", what, text);
	e->log(e->log_ctx, line);
}

static bool may(const struct ifp_existing *e, enum ifp_remedy remedy)
{
	return remedy == IFP_CONFORMS || (remedy == IFP_TIE && e->mode != IFPIN_EXISTING_REFUSE) ||
	       (remedy == IFP_ABORT && e->mode == IFPIN_EXISTING_KILL);
}

static const char *advice(const struct ifp_existing *e, enum ifp_remedy worst)
{
	if (worst == IFP_HOPELESS)
		return "end what holds it, or keep the service from opening it";
	if (worst == IFP_ABORT)
		return "abort what cannot be tied with --existing=kill";
	return e->mode == IFPIN_EXISTING_REFUSE ? "tie them with --existing=pin" : "try again";
}

/* As many as there is room for; the log has them all. */
static int refuse(const struct ifp_existing *e, struct ifpin_error *err)
{
	char list[700] = "", text[400];
	enum ifp_remedy worst = IFP_CONFORMS;
	unsigned int n = 0, left_out = 0;

	for (size_t i = 0; i < e->n; i++) {
		const struct ifp_held *h = &e->v[i];
		size_t used = strlen(list);

		if (may(e, h->remedy))
			continue;
		n++;
		worst = h->remedy > worst ? h->remedy : worst;
		say(e, "does not conform", h);
		describe(h, text, sizeof(text));
		if (used + strlen(text) + 2 < sizeof(list))
			sprintf(list + used, "%s%s", used ? "; " : "", text);
		else
			left_out++;
	}
	snprintf(text, sizeof(text), "%u open socket%s not conform", n, n > 1 ? "s do" : " does");
	if (left_out)
		return ifp_fail(err, -EBUSY, "%s: %s; and %u more (see --verbose); %s", text, list,
			left_out, advice(e, worst));
	return ifp_fail(err, -EBUSY, "%s: %s; %s", text, list, advice(e, worst));
}

int ifp_existing_settle(struct ifp_existing *e, struct ifpin_error *err)
{
	for (size_t i = 0; i < e->n; i++)
		if (!may(e, e->v[i].remedy))
			return refuse(e, err);
	for (size_t i = 0; i < e->n; i++) {
		struct ifp_held *h = &e->v[i];
		int r = remedy(e, h);

		if (r) {
			say(e, "cannot be dealt with", h);
			return ifp_fail_errno(err, r,
				"cannot deal with a socket of process %d, fd %d", (int)h->at.pid,
				h->at.fd);
		}
		if (h->remedy != IFP_CONFORMS)
			say(e, h->remedy == IFP_TIE ? "tied" : "aborted", h);
	}
	return 0;
}

/* ---- connections that no descriptor leads to yet ---- */

struct queued {
	const struct ifp_existing *e;
	unsigned int n, dropped;
};

/* One that was accepted by a listener which the cgroup holds. */
static bool is_from_listener(const struct ifp_existing *e, const struct ifp_sock *s)
{
	for (size_t i = 0; i < e->n; i++)
		if (e->v[i].sock.state == TCP_LISTEN && e->v[i].sock.lport == s->lport &&
			e->v[i].sock.type == SOCK_STREAM)
			return true;
	return false;
}

static int count_queued(const struct ifp_sock *s, void *data)
{
	struct queued *q = data;

	if (s->inode || s->subflow || s->bound_ifindex == q->e->device.ifindex ||
		(s->state != TCP_ESTABLISHED && s->state != TCP_CLOSE_WAIT) ||
		is_local(q->e->addrs, s->peer) || !is_from_listener(q->e, s))
		return 0;
	q->n++;
	return 0;
}

static bool is_foreign_listener(const struct ifp_held *h)
{
	return h->sock.state == TCP_LISTEN && h->sock.type == SOCK_STREAM && !h->native;
}

/*
 * A connection that is half open has its device from when it began, whatever its listener is tied
 * to by now. The programs tie what a listener of the cgroup gets; of one that was made outside
 * they hear nothing.
 */
static int drop_half_open(const struct ifp_sock *s, void *data)
{
	struct queued *q = data;
	const struct ifp_existing *e = q->e;
	bool foreign = false;
	int r;

	if (s->inode || s->state != TCP_SYN_RECV || s->bound_ifindex == e->device.ifindex ||
		is_local(e->addrs, s->peer))
		return 0;
	for (size_t i = 0; i < e->n && !foreign; i++)
		foreign = is_foreign_listener(&e->v[i]) && e->v[i].sock.lport == s->lport;
	if (!foreign)
		return 0;
	r = ifp_socket_destroy(s);
	q->dropped++;
	return r == -ENOENT ? 0 : r;
}

int ifp_existing_drop_half_open(const struct ifp_existing *e)
{
	struct queued q = {.e = e};
	unsigned int unseen;
	int r = 0;

	/* The kernel looks through every connection of the host for the list of them. */
	for (size_t i = 0; i < e->n && !q.dropped; i++)
		q.dropped = is_foreign_listener(&e->v[i]);
	/* Until none is found, for a list may pass one over. */
	for (int i = 0; i < 10 && !r && q.dropped; i++) {
		q.dropped = 0;
		r = ifp_sockets_dump(IFP_SOCKS_TCP, drop_half_open, &q, &unseen);
	}
	return r ?: q.dropped ? -EBUSY : 0;
}

int ifp_existing_queued(const struct ifp_existing *e, unsigned int *ret_n)
{
	struct queued q = {.e = e};
	unsigned int unseen;
	bool any = false;
	int r = 0;

	for (size_t i = 0; i < e->n; i++)
		any = any || e->v[i].sock.state == TCP_LISTEN;
	if (any)
		r = ifp_sockets_dump(IFP_SOCKS_TCP, count_queued, &q, &unseen);
	if (!r)
		*ret_n = q.n;
	return r;
}
