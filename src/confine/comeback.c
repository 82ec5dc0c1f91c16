// SPDX-License-Identifier: MIT
#include "comeback.h"
#include "policy.h"
#include "target.h"

#include "device/device.h"
#include "host/cgroup.h"
#include "host/processes.h"
#include "host/sockets.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

static bool is_connection(const struct ifp_sock *s)
{
	return s->type == SOCK_STREAM && s->state != TCP_CLOSE && s->state != TCP_LISTEN;
}

/*
 * Tied to what the device was before. In a confinement nothing else can be tied to; so it is not
 * asked which of its former indices it was, for one may have been passed over when it went again.
 */
static bool is_tied_to_former(const struct ifp_comeback *c, const struct ifp_sock *s)
{
	return s->bound_ifindex && s->bound_ifindex != c->new_index &&
	       s->bound_ifindex != IFPIN_LOOPBACK_IFINDEX;
}

static bool is_concerned(const struct ifp_comeback *c, const struct ifp_sock *s)
{
	if (s->family != AF_INET && s->family != AF_INET6)
		return false;
	if (s->bound_ifindex)
		return is_tied_to_former(c, s);
	/* Where routing led to the device, sockets need no binding; now it may lead elsewhere. */
	return s->type != SOCK_STREAM && s->state == TCP_ESTABLISHED &&
	       !ifp_addr_is_loopback(s->peer);
}

static void abort_it(struct ifp_comeback *c, const struct ifp_sock *s, int fd)
{
	struct sockaddr unspec = {.sa_family = AF_UNSPEC};

	if (!c->abort)
		return;
	if (!ifp_socket_destroy(s) || (fd >= 0 && !connect(fd, &unspec, sizeof(unspec))))
		c->aborted++;
	else
		c->failed++;
}

static int on_descriptor(const struct ifp_descriptor *d, void *data)
{
	struct ifp_comeback *c = data;
	_cleanup_close_ int fd = -1;
	struct ifp_sock s;

	if (d->kind != IFP_DESCRIPTOR_SOCKET)
		return 0;
	fd = ifp_descriptor_take(d);
	if (fd < 0 || ifp_socket_ask(fd, &s) || !is_concerned(c, &s) ||
		ifp_netns_of(fd) != c->netns)
		return 0;
	if (is_connection(&s)) {
		abort_it(c, &s, fd);
	} else if (c->rebind) {
		if (ifp_socket_tie(fd, c->new_index))
			c->failed++;
		else
			c->rebound++;
	}
	return 0;
}

static int on_process(pid_t pid, void *data)
{
	int r = ifp_descriptors_each(pid, on_descriptor, data);

	return r == -ESRCH || r == -EACCES ? 0 : r;
}

/* ---- connections that no descriptor leads to ---- */

struct queue {
	struct ifp_comeback *const *v;
	size_t n;
	int root;
};

/* The one whose cgroup is this one, or above it. */
static struct ifp_comeback *find_owner(
	const struct queue *q, const struct ifp_sock *s, const char *path)
{
	char above[IFPIN_CGROUP_PATH_SIZE];

	for (size_t i = 0; i < q->n; i++) {
		struct ifp_comeback *c = q->v[i];

		if (c->abort && is_tied_to_former(c, s) &&
			!ifp_cgroup_path_by_id(q->root, c->cgroup_id, above, sizeof(above)) &&
			ifp_path_is_within(path, above))
			return c;
	}
	return NULL;
}

static int on_socket(const struct ifp_sock *s, void *data)
{
	char path[IFPIN_CGROUP_PATH_SIZE];
	struct ifp_comeback *owner = NULL;
	struct queue *q = data;

	if (!s->inode && s->cgroup_id && s->bound_ifindex && is_connection(s) &&
		!ifp_cgroup_path_by_id(q->root, s->cgroup_id, path, sizeof(path)))
		owner = find_owner(q, s, path);
	if (owner)
		abort_it(owner, s, -1);
	return 0;
}

int ifp_comeback_queued(struct ifp_comeback *const *v, size_t n)
{
	_cleanup_close_ int root = ifp_cgroup_root();
	struct queue q = {.v = v, .n = n, .root = root};
	unsigned int unseen;
	bool any = false;

	for (size_t i = 0; i < n; i++)
		any = any || v[i]->abort;
	if (!any)
		return 0;
	return root < 0 ? root : ifp_sockets_dump(IFP_SOCKS_TCP, on_socket, &q, &unseen);
}

int ifp_comeback(struct ifp_comeback *c)
{
	return c->rebind || c->abort ? ifp_processes_each(c->cgroup_fd, on_process, c) : 0;
}
