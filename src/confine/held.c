// SPDX-License-Identifier: MIT
/* Which sockets processes of a cgroup hold: each is looked at once, by whichever descriptor. */
#include "existing.h"
#include "transit.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* ---- which there are ---- */

struct reading {
	struct ifp_existing *e;
	struct ifpin_error *err;
	uint64_t netns_inode;
	const struct ifp_descriptor *in_message_of;
};

static int netns_inode(const char *path, uint64_t *ret)
{
	struct stat st;

	if (stat(path, &st))
		return errno == ENOENT ? -ESRCH : -errno;
	*ret = st.st_ino;
	return 0;
}

static int add(const struct ifp_descriptor *d, void *data)
{
	struct ifp_existing *e = ((struct reading *)data)->e;

	if (d->kind == IFP_DESCRIPTOR_IO_URING) {
		e->io_urings++;
		return 0;
	}
	if (ifp_grow(&e->v, e->n, sizeof(*e->v)))
		return -ENOMEM;
	e->v[e->n++] = (struct ifp_held){.at = *d, .fd = -1};
	return 0;
}

static int look_at(pid_t pid, void *data)
{
	struct reading *r = data;
	uint64_t inode = 0;
	char path[64];
	int ret;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	ret = netns_inode(path, &inode);
	if (!ret && inode != r->netns_inode)
		return ifp_fail(r->err, -EXDEV,
			"process %d is in another network namespace than %s; run ifpin there",
			(int)pid, r->e->device.name);
	/* Where its first thread has ended, the others and what they hold live on. */
	if (!ret || ret == -ESRCH)
		ret = ifp_descriptors_each(pid, add, r);
	return ret == -ESRCH ? 0 : ret;
}

static int by_inode(const void *a, const void *b)
{
	const struct ifp_held *x = a, *y = b;

	if (x->at.kind != y->at.kind)
		return (int)x->at.kind - (int)y->at.kind;
	return x->at.inode < y->at.inode ? -1 : x->at.inode > y->at.inode;
}

static void forget(struct ifp_existing *e)
{
	ifp_groups_free(&e->groups);
	for (size_t i = 0; i < e->n; i++)
		ifp_closep(&e->v[i].fd);
	e->n = 0;
	e->io_urings = 0;
}

void ifp_existing_free(struct ifp_existing *e)
{
	forget(e);
	ifp_taker_close(&e->taker);
	free(e->v);
	e->v = NULL;
}

/* ---- looking at each ---- */

int ifp_held_take(struct ifp_existing *e, struct ifp_held *h)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (h->fd >= 0)
		return 0;
	fd = ifp_descriptor_take_by(&e->taker, &h->at);
	if (fd < 0)
		return fd == -EBADF ? -ESRCH : fd;
	if (fstat(fd, &st) || st.st_ino != h->at.inode)
		return -ESRCH;
	h->fd = ifp_take_fd(&fd);
	return 0;
}

static bool is_listed(const struct ifp_existing *e, uint64_t inode)
{
	for (size_t i = 0; i < e->n; i++)
		if (e->v[i].at.kind == IFP_DESCRIPTOR_SOCKET && e->v[i].at.inode == inode)
			return true;
	return false;
}

/* Takes fd over. */
static int on_transit(int fd, void *data)
{
	_cleanup_close_ int own = fd;
	struct reading *r = data;
	struct ifp_descriptor d = *r->in_message_of;
	struct stat st;
	int ret;

	if (fstat(own, &st))
		return -errno;
	if (!S_ISSOCK(st.st_mode) || is_listed(r->e, st.st_ino))
		return 0;
	d.inode = st.st_ino;
	ret = add(&d, r);
	/* From nobody can it be had again. */
	if (!ret)
		r->e->v[r->e->n - 1].fd = ifp_take_fd(&own);
	return ret;
}

/* Judges v[i]; what waits in messages to it is added behind. A copy is kept of what waits only. */
static int look_into(struct reading *r, size_t i)
{
	struct ifp_existing *e = r->e;
	struct ifp_descriptor at = e->v[i].at;
	bool waits = e->v[i].fd >= 0;
	int ret = 0;

	if (at.kind == IFP_DESCRIPTOR_SOCKET)
		ret = ifp_held_take(e, &e->v[i]);
	if (ret)
		return ret;
	ifp_held_judge(e, &e->v[i]);
	if (e->still && e->v[i].sock.family == AF_UNIX) {
		r->in_message_of = &at;
		ret = ifp_transit_each(e->v[i].fd, on_transit, r);
	}
	if (!waits && e->v[i].fd >= 0)
		close(ifp_take_fd(&e->v[i].fd));
	return ret;
}

/* By the first of its holders, v[from] to v[to - 1], who has it still. */
static int look_at_one(struct reading *r, size_t from, size_t to, size_t *ret_kept)
{
	int ret = 0;

	for (size_t i = from; i < to; i++) {
		int one = look_into(r, i);

		if (!one) {
			struct ifp_held h = r->e->v[i];

			r->e->v[i].fd = -1;
			r->e->v[(*ret_kept)++] = h;
			return 0;
		}
		if (one != -ESRCH)
			ret = one;
	}
	if (ret == -EAGAIN)
		return ifp_fail(r->err, ret,
			"sockets wait in connections to a unix socket of process %d, fd %d, that it has "
			"not accepted; try again",
			(int)r->e->v[from].at.pid, r->e->v[from].at.fd);
	return ret ? ifp_fail_errno(r->err, ret, "cannot look at a socket of process %d, fd %d",
			     (int)r->e->v[from].at.pid, r->e->v[from].at.fd)
		   : 0;
}

/* Once each, by whatever number of descriptors it is held. */
static int look_at_all(struct reading *r)
{
	struct ifp_existing *e = r->e;
	size_t listed = e->n, kept = 0, to;
	int ret = 0;

	if (e->n)
		qsort(e->v, e->n, sizeof(*e->v), by_inode);
	for (size_t i = 0; i < e->n && !ret; i = to) {
		to = i + 1;
		while (to < listed && e->v[i].at.kind == IFP_DESCRIPTOR_SOCKET &&
			!by_inode(&e->v[i], &e->v[to]))
			to++;
		ret = look_at_one(r, i, to, &kept);
	}
	if (!ret)
		e->n = kept;
	return ret;
}

int ifp_existing_read(struct ifp_existing *e, struct ifpin_error *err)
{
	struct reading r = {.e = e, .err = err};
	int ret = netns_inode("/proc/self/ns/net", &r.netns_inode);

	forget(e);
	if (ret)
		return ifp_fail_errno(
			err, ret, "cannot tell the network namespace of this process");
	ret = ifp_groups_read(e->device.ifindex, &e->groups);
	if (ret)
		return ifp_fail_errno(err, ret, "cannot read the multicast groups of the host");
	err->code = 0;
	ret = ifp_processes_each(e->cgroup_fd, look_at, &r);
	if (ret)
		return err->code
			       ?: ifp_fail_errno(err, ret,
					  "cannot look at the sockets of the processes in the cgroup (ptrace(2))");
	return look_at_all(&r);
}
