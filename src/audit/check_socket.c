// SPDX-License-Identifier: MIT
/* Sockets that are tied to nothing, or to what is gone. */
#include "audit.h"

#include "host/processes.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static int compare_owner(const void *key, const void *element)
{
	uint64_t inode = *(const uint64_t *)key;
	const struct aowner *o = element;

	return (inode > o->inode) - (inode < o->inode);
}

/* Of several processes, that with the least number. */
const struct aowner *ifp_owner(const struct snapshot *s, const struct ifp_sock *sock)
{
	const struct aowner *o = NULL;

	if (sock->inode && s->owners.n)
		o = bsearch(&sock->inode, s->owners.v, s->owners.n, sizeof(*o), compare_owner);
	while (o && o > s->owners.v && o[-1].inode == o->inode)
		o--;
	return o;
}

struct who {
	char text[48], mend[160];
};

static struct who who(const struct judge *j, const struct ifp_sock *sock)
{
	const struct aowner *o = ifp_owner(j->s, sock);
	struct who w;
	char comm[16];

	if (!o) {
		strcpy(w.text, "a process out of sight, or the kernel");
		strcpy(w.mend,
			"# find out whose it is by `ss -anpe`, as root; tunnels and NFS have such");
		return w;
	}
	if (ifp_process_comm(o->pid, comm))
		strcpy(comm, "?");
	snprintf(w.text, sizeof(w.text), "%s (process %d)", comm, o->pid);
	snprintf(w.mend, sizeof(w.mend),
		"kill %d  # and start it again by: ifpin run %s -- COMMAND", o->pid,
		j->dev ? ifp_quote(j->dev->dev.name).s : "DEVICE");
	return w;
}

static bool is_any(const uint8_t a[16])
{
	static const uint8_t zero[16];

	return !memcmp(a + 12, zero, 4) && (ifp_addr_is_v4(a) || !memcmp(a, zero, 16));
}

static bool is_ip(const struct ifp_sock *s)
{
	return s->family == AF_INET || s->family == AF_INET6;
}

static const char *protocol_name(const struct ifp_sock *s)
{
	return s->protocol == IPPROTO_UDP ? "UDP" : s->protocol == IPPROTO_MPTCP ? "MPTCP" : "TCP";
}

static bool hears_all(const struct ifp_sock *s)
{
	if (!is_ip(s) || s->bound_ifindex || s->brief || !s->lport || !is_any(s->local))
		return false;
	return s->type == SOCK_STREAM  ? s->state == TCP_LISTEN
	       : s->type == SOCK_DGRAM ? s->state == TCP_CLOSE
				       : false;
}

/* Names on the link: mDNS, LLMNR, SSDP, WS-Discovery, NetBIOS. */
static const char *discovery(const struct ifp_sock *s)
{
	static const struct {
		uint16_t port;
		const char *name;
	} ports[] = {{5353, "mDNS"}, {5355, "LLMNR"}, {1900, "SSDP"}, {3702, "WS-Discovery"},
		{137, "NetBIOS"}};

	if (s->protocol != IPPROTO_UDP)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++)
		if (s->lport == ports[i].port)
			return ports[i].name;
	return NULL;
}

static bool are_several(const struct judge *j)
{
	size_t n = 0;

	for_each_link (l, j->s)
		n += ifp_is_other(j, l);
	return n > !j->dev;
}

/* Of sockets that share a port, the first one is told. */
struct seen {
	uint8_t ports[4][65536 / 8];
};

static bool is_first(struct seen *seen, const struct ifp_sock *s)
{
	uint8_t *p = &seen->ports[(s->protocol == IPPROTO_UDP) + 2 * (s->family == AF_INET6)]
				 [s->lport / 8];
	uint8_t bit = (uint8_t)(1 << s->lport % 8);
	bool first = !(*p & bit);

	*p |= bit;
	return first;
}

static void judge_wildcard(struct judge *j)
{
	_cleanup_free_ struct seen *seen = calloc(1, sizeof(*seen));

	if (!seen) {
		j->no_memory = true;
		return;
	}
	for (size_t i = 0; are_several(j) && i < j->s->socks.n; i++) {
		const struct ifp_sock *s = &j->s->socks.v[i];
		struct who w;

		if (!hears_all(s) || discovery(s) || !is_first(seen, s))
			continue;
		w = who(j, s);
		ifp_found(j, NULL, w.mend, "%s port %u is open on every device (%s), by %s",
			protocol_name(s), s->lport,
			s->family == AF_INET ? "0.0.0.0" : "::", w.text);
	}
}

static void judge_discovery(struct judge *j)
{
	for (size_t i = 0; i < j->s->socks.n; i++) {
		const struct ifp_sock *s = &j->s->socks.v[i];
		const char *name = is_ip(s) && !s->bound_ifindex ? discovery(s) : NULL;
		struct who w;

		if (!name || s->pport)
			continue;
		w = who(j, s);
		ifp_found(j, NULL, w.mend, "%s (UDP port %u, %s) is answered by %s", name, s->lport,
			s->family == AF_INET ? "IPv4" : "IPv6", w.text);
	}
}

/* ---- who talks ---- */

static const struct alink *device_towards(
	const struct judge *j, const struct nets *nets, const uint8_t addr[16])
{
	for (unsigned int len = 128; len > 0; len--) {
		const struct net *n = nets->lengths[len] ? ifp_nets_find(nets, addr, len) : NULL;

		if (n)
			return ifp_link_at(j->s, n->ifindex);
	}
	return NULL;
}

static void judge_talker(struct judge *j)
{
	struct nets nets;

	if (!are_several(j) || !ifp_nets_collect(j, &nets))
		return;
	for (size_t i = 0; i < j->s->socks.n; i++) {
		const struct ifp_sock *s = &j->s->socks.v[i];
		const struct alink *l;
		struct who w;

		if (!is_ip(s) || s->bound_ifindex || s->brief || s->subflow || !s->pport ||
			(s->state != TCP_ESTABLISHED && s->state != TCP_SYN_SENT))
			continue;
		l = device_towards(j, &nets, s->peer);
		if (!l || !ifp_is_subject(j, l) || ifp_nets_of(&nets, s->peer))
			continue;
		w = who(j, s);
		ifp_found(j, l, w.mend, "%s to %s port %u, by %s, is tied to no device",
			protocol_name(s), ifp_address_text(s->peer).s, s->pport, w.text);
	}
	ifp_nets_free(&nets);
}

static void judge_gone(struct judge *j)
{
	for (size_t i = 0; i < j->s->socks.n; i++) {
		const struct ifp_sock *s = &j->s->socks.v[i];
		struct who w;

		/* One that nobody holds ends by itself. */
		if (!s->bound_ifindex || !s->inode || ifp_link_at(j->s, s->bound_ifindex))
			continue;
		w = who(j, s);
		ifp_found(j, NULL, w.mend,
			"a socket of %s is tied to device number %u, which is gone", w.text,
			s->bound_ifindex);
	}
}

static void judge_packet(struct judge *j)
{
	for (size_t i = 0; i < j->s->socks.n; i++) {
		const struct ifp_sock *s = &j->s->socks.v[i];
		const struct alink *l = ifp_link_at(j->s, s->bound_ifindex);
		struct who w;

		if (s->family != AF_PACKET || (s->bound_ifindex && (!l || !ifp_is_subject(j, l))))
			continue;
		w = who(j, s);
		ifp_found(j, l, w.mend, "%s has a packet socket on %s (protocol 0x%04x)", w.text,
			l ? l->dev.name : "every device", s->protocol);
	}
}

static void judge_raw(struct judge *j)
{
	for (size_t i = 0; i < j->s->socks.n; i++) {
		const struct ifp_sock *s = &j->s->socks.v[i];
		struct who w;

		if (!is_ip(s) || s->type != SOCK_RAW || s->bound_ifindex || !s->inode)
			continue;
		w = who(j, s);
		ifp_found(j, NULL, w.mend, "%s has a raw socket (protocol %u)%s", w.text,
			s->protocol,
			s->brief ? "; this kernel does not tell whether it is tied to a device"
				 : ", tied to no device");
	}
}

static const struct check checks[] = {
	{{"wildcard", "socket", IFPIN_WARNING, "a listener is reached from every device",
		 "Who is behind another device talks to the service that was meant for this "
		 "one, and is answered."},
		judge_wildcard, NULL},
	{{"talker", "socket", IFPIN_WARNING, "an unpinned socket talks to the device's network",
		 "Its packets follow the routes: when the device's own route goes, they leave by "
		 "another device."},
		judge_talker, NULL},
	{{"discovery", "socket", IFPIN_WARNING,
		 "names are told to every device (mDNS, LLMNR, SSDP)",
		 "The responder tells the host's names and addresses, those of the control "
		 "plane among them, to whoever asks on any device."},
		judge_discovery, NULL},
	{{"pinned-gone", "socket", IFPIN_WARNING, "a socket is tied to a device that is gone",
		 "It is silent now; the next device that gets this number gets the socket, "
		 "whichever network it leads to."},
		judge_gone, NULL},
	{{"packet-socket", "socket", IFPIN_WARNING, "a program reads or writes frames (AF_PACKET)",
		 "It sees what comes in and goes out, and sends frames of its own past routes, "
		 "rules and ties of sockets."},
		judge_packet, NULL},
	{{"raw-socket", "socket", IFPIN_NOTICE, "a program has a raw IP socket",
		 "It sends packets with headers of its own, by whichever device the routes say."},
		judge_raw, NULL},
};

const struct check_class ifp_checks_socket = {checks, ARRAY_SIZE(checks)};
