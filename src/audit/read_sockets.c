// SPDX-License-Identifier: MIT
/* Sockets of the namespace, and whose they are. */
#include "snapshot.h"

#include "base/base.h"
#include "host/processes.h"

#include <errno.h>
#include <string.h>

static int on_socket(const struct ifp_sock *sock, void *data)
{
	struct snapshot *s = data;
	struct ifp_sock *new = vec_add(&s->socks);

	if (!new)
		return -ENOMEM;
	*new = *sock;
	return 0;
}

static int on_descriptor(const struct ifp_descriptor *d, void *data)
{
	struct snapshot *s = data;
	struct aowner *o;

	if (d->kind != IFP_DESCRIPTOR_SOCKET)
		return 0;
	o = vec_add(&s->owners);
	if (!o)
		return -ENOMEM;
	o->inode = d->inode;
	o->pid = d->pid;
	return 0;
}

static int on_process(pid_t pid, void *data)
{
	struct snapshot *s = data;
	int r = ifp_descriptors_each(pid, on_descriptor, s);

	/* One that has ended has no sockets. */
	if (r && r != -ESRCH && r != -ENOMEM)
		s->owners_unseen = r;
	return r == -ENOMEM ? r : 0;
}

static int by_inode(const void *x, const void *y)
{
	const struct aowner *a = x, *b = y;

	return a->inode == b->inode ? a->pid - b->pid : a->inode < b->inode ? -1 : 1;
}

static void tell_unseen(struct snapshot *s, unsigned int unseen)
{
	static const struct {
		unsigned int bit;
		const char *what;
	} kinds[] = {{IFP_SOCKS_TCP, "TCP sockets"}, {IFP_SOCKS_UDP, "UDP sockets"},
		{IFP_SOCKS_RAW, "raw sockets"}, {IFP_SOCKS_PACKET, "packet sockets"}};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (unseen & kinds[i].bit)
			ifp_gap(s, kinds[i].what, -EOPNOTSUPP);
}

void ifp_read_sockets(struct snapshot *s)
{
	unsigned int unseen = 0;
	int r = ifp_sockets_dump(IFP_SOCKS_TCP | IFP_SOCKS_UDP | IFP_SOCKS_RAW | IFP_SOCKS_PACKET,
		on_socket, s, &unseen);

	if (r)
		ifp_gap(s, "sockets", r);
	tell_unseen(s, unseen);
	if (!s->socks.n)
		return;
	r = ifp_processes_each(-1, on_process, s);
	if (r || s->owners_unseen)
		ifp_gap(s, "owners of sockets", r ?: s->owners_unseen);
	if (s->owners.n)
		qsort(s->owners.v, s->owners.n, sizeof(*s->owners.v), by_inode);
}
