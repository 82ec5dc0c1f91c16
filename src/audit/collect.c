// SPDX-License-Identifier: MIT
/* All sockets that there are, by the kernel's lists and by the descriptors of processes. */
#include "sockets.h"

#include "base/base.h"
#include "device/device.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/* Descriptors that are no concern of ours, so that nobody's unix sockets are looked into. */
struct inodes {
	uint64_t *v;
	size_t n;
};

struct collecting {
	struct ifp_collection c;
	struct ifp_places *places;
	struct inodes others;
	uint64_t netns;	     /* cookie of the caller's, or 0 before Linux 5.14 */
	uint64_t netns_file; /* inode of the same */
};

static int add_socket(struct ifp_collection *c, const struct ifp_found *f)
{
	if (ifp_grow(&c->sockets, c->n, sizeof(*c->sockets)))
		return -ENOMEM;
	c->sockets[c->n++] = *f;
	return 0;
}

static int compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int by_inode(const void *x, const void *y)
{
	const struct ifp_found *a = x, *b = y;

	return compare(a->s.inode, b->s.inode) ?: compare(a->s.cookie, b->s.cookie);
}

static int by_number(const void *x, const void *y)
{
	return compare(*(const uint64_t *)x, *(const uint64_t *)y);
}

static int by_holder(const void *x, const void *y)
{
	const struct ifp_holder *a = x, *b = y;

	return compare(a->inode, b->inode) ?: a->d.pid - b->d.pid ?: a->d.fd - b->d.fd;
}

/* ---- the kernel's lists ---- */

static bool is_unused(const struct ifp_sock *s)
{
	if (s->family == AF_XDP)
		return !s->bound_ifindex;
	return s->type != SOCK_RAW && !s->lport && !s->pport && s->state == TCP_CLOSE;
}

static int on_socket(const struct ifp_sock *s, void *data)
{
	struct collecting *w = data;
	struct ifp_found f = {.s = *s, .unused = is_unused(s), .place = IFP_PLACE_UNKNOWN};

	if (s->cgroup_id)
		f.place = ifp_place_of_cgroup(w->places, s->cgroup_id);
	else if (!ifp_places_any(w->places, w->netns))
		f.place = IFP_PLACE_NONE;
	return add_socket(&w->c, &f);
}

static int on_other(uint64_t inode, void *data)
{
	struct inodes *o = data;

	if (ifp_grow(&o->v, o->n, sizeof(*o->v)))
		return -ENOMEM;
	o->v[o->n++] = inode;
	return 0;
}

/* ---- who holds them ---- */

static int on_descriptor(const struct ifp_descriptor *d, void *data)
{
	struct collecting *w = data;
	struct ifp_collection *c = &w->c;

	if (d->kind != IFP_DESCRIPTOR_SOCKET ||
		(w->others.n && bsearch(&d->inode, w->others.v, w->others.n, sizeof(*w->others.v),
					by_number)))
		return 0;
	if (ifp_grow(&c->holders, c->n_holders, sizeof(*c->holders)))
		return -ENOMEM;
	c->holders[c->n_holders++] = (struct ifp_holder){.inode = d->inode, .d = *d};
	return 0;
}

static int on_process(pid_t pid, void *data)
{
	struct collecting *w = data;
	int r = ifp_descriptors_each(pid, on_descriptor, w);

	if (r == -EACCES || r == -EPERM)
		w->c.unread++;
	else if (r == -ENOMEM)
		return r;
	/* What else fails has ended. */
	return 0;
}

static void sort_holders(struct ifp_collection *c)
{
	size_t n = 0;

	if (c->n_holders)
		qsort(c->holders, c->n_holders, sizeof(*c->holders), by_holder);
	for (size_t i = 0; i < c->n_holders; i++)
		if (!n || by_holder(&c->holders[n - 1], &c->holders[i]))
			c->holders[n++] = c->holders[i];
	c->n_holders = n;
}

/* ---- what no list tells, the socket itself tells ---- */

/* Return: a copy of the descriptor; -ENOENT: nobody has it any more, or lets us. */
static int take(const struct collecting *w, size_t first, size_t n)
{
	const struct ifp_holder *h = w->c.holders + first;
	struct stat st;

	for (size_t i = 0; i < n; i++) {
		_cleanup_close_ int fd = ifp_descriptor_take(&h[i].d);

		if (fd >= 0 && !fstat(fd, &st) && st.st_ino == h[i].inode)
			return ifp_take_fd(&fd);
	}
	return -ENOENT;
}

/* Before Linux 5.14 the namespace itself is opened, for which there has to be CAP_NET_ADMIN. */
static bool is_of_namespace(const struct collecting *w, int fd)
{
	_cleanup_close_ int ns = -1;
	struct stat st;

	if (w->netns)
		return ifp_netns_of(fd) == w->netns;
	ns = ioctl(fd, SIOCGSKNS);
	return ns >= 0 && !fstat(ns, &st) && st.st_ino == w->netns_file;
}

/* A socket of our kinds that is in no list. */
static int ask_unlisted(struct collecting *w, size_t first, size_t n)
{
	_cleanup_close_ int fd = take(w, first, n);
	struct ifp_found f = {.first = first, .n = n};

	if (fd < 0 || !is_of_namespace(w, fd) || ifp_socket_ask(fd, &f.s))
		return 0;
	f.unused = is_unused(&f.s);
	f.place = ifp_place_by_probe(w->places, fd, w->netns);
	return add_socket(&w->c, &f);
}

static void ask_listed(struct collecting *w, struct ifp_found *f)
{
	_cleanup_close_ int fd = -1;
	struct ifp_sock asked;

	if (!f->s.brief && f->place != IFP_PLACE_UNKNOWN)
		return;
	fd = take(w, f->first, f->n);
	if (fd < 0)
		return;
	if (f->place == IFP_PLACE_UNKNOWN)
		f->place = ifp_place_by_probe(w->places, fd, w->netns);
	if (f->s.brief && !ifp_socket_ask(fd, &asked)) {
		f->s.bound_ifindex = asked.bound_ifindex;
		f->s.cookie = asked.cookie;
		f->s.v6only = asked.v6only;
		f->s.brief = false;
	}
}

/* Brings sockets and holders together; both are sorted by inode. */
static int join(struct collecting *w)
{
	struct ifp_collection *c = &w->c;
	size_t listed = c->n, s = 0, n;
	int r = 0;

	for (size_t h = 0; !r && h < c->n_holders; h += n) {
		uint64_t inode = c->holders[h].inode;
		bool found = false;

		for (n = 1; h + n < c->n_holders && c->holders[h + n].inode == inode; n++)
			;
		while (s < listed && c->sockets[s].s.inode < inode)
			s++;
		/* An MPTCP socket and its subflows have one inode. */
		for (; s < listed && c->sockets[s].s.inode == inode; s++) {
			c->sockets[s].first = h;
			c->sockets[s].n = n;
			ask_listed(w, &c->sockets[s]);
			found = true;
		}
		if (!found)
			r = ask_unlisted(w, h, n);
	}
	return r;
}

static int find_namespace(struct collecting *w)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
	struct stat st;

	if (fd < 0 || stat("/proc/thread-self/ns/net", &st))
		return -errno;
	w->netns = ifp_netns_of(fd);
	w->netns_file = st.st_ino;
	return 0;
}

int ifp_collect(struct ifp_places *places, struct ifp_collection *ret)
{
	struct collecting w = {.places = places};
	unsigned int unseen;
	int r = find_namespace(&w);

	r = r ?: ifp_sockets_dump(IFP_SOCKS_ALL, on_socket, &w, &unseen);
	/* Of what is unseen, there are the descriptors. */
	if (!r && w.c.n)
		qsort(w.c.sockets, w.c.n, sizeof(*w.c.sockets), by_inode);
	r = r ?: ifp_sockets_others(on_other, &w.others);
	if (!r && w.others.n)
		qsort(w.others.v, w.others.n, sizeof(*w.others.v), by_number);
	r = r ?: ifp_processes_each(-1, on_process, &w);
	if (!r) {
		sort_holders(&w.c);
		r = join(&w);
	}
	free(w.others.v);
	if (r)
		ifp_collection_free(&w.c);
	else
		*ret = w.c;
	return r;
}

void ifp_collection_free(struct ifp_collection *c)
{
	free(c->sockets);
	free(c->holders);
	*c = (struct ifp_collection){};
}
