// SPDX-License-Identifier: MIT
/*
 * Requests of users. Nothing that a client says is believed but who it is, and that the kernel
 * says: SO_PEERCRED and SO_PEERGROUPS for what it may, a pidfd and SCM_CREDENTIALS for which
 * process it is. Between the two messages the pidfd is opened: who has sent the second one with
 * that pid, and is alive, is the process that it leads to.
 */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#define SILENT_MS 5000
#define MAX_CLIENTS_OF_USER 8
#define MAX_GROUPS 1024

struct client {
	struct source source;
	uint64_t deadline;
	struct ucred peer;
	int pidfd; /* since the first message */
	struct ifpin_control_request request;
};

static void drop(struct daemon *d, struct client *c)
{
	for (size_t i = 0; i < MAX_CLIENTS; i++)
		if (d->clients[i] == c)
			d->clients[i] = NULL;
	source_drop(d, &c->source);
	if (c->pidfd >= 0)
		close(c->pidfd);
	free(c);
}

static void answer(struct client *c, int code, const struct ifpin_device *device, const char *text)
{
	struct ifpin_control_reply reply = {.magic = IFPIN_CONTROL_MAGIC,
		.version = IFPIN_CONTROL_VERSION,
		.code = code,
		.ifindex = device ? device->ifindex : 0};

	snprintf(reply.device, sizeof(reply.device), "%s", device ? device->name : "");
	snprintf(reply.text, sizeof(reply.text), "%s", text);
	/* It has room for one message; a client that does not read has only itself to blame. */
	send(c->source.fd, &reply, sizeof(reply), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int refuse(struct client *c, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int refuse(struct client *c, int code, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	answer(c, code, NULL, text);
	say(SAY_NOTICE, "refused process %d of user %u: %s", (int)c->peer.pid,
		(unsigned int)c->peer.uid, text);
	return code;
}

/* ---- who may ------------------------------------------------------------------------------ */

static bool contains(const uint32_t *ids, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

static bool may(const struct client *c, const struct ifpin_config *f)
{
	gid_t groups[MAX_GROUPS];
	socklen_t len = sizeof(groups);

	if (!c->peer.uid || contains(f->users, f->n_users, c->peer.uid) ||
		contains(f->groups, f->n_groups, c->peer.gid))
		return true;
	/* More groups than that: ERANGE, and none of them counts. */
	if (getsockopt(c->source.fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len))
		return false;
	for (size_t i = 0; i < len / sizeof(*groups); i++)
		if (contains(f->groups, f->n_groups, groups[i]))
			return true;
	return false;
}

/* The pin that is asked for, if this client may use it; told to the client otherwise. */
static struct pin *allowed_pin(struct daemon *d, struct client *c)
{
	const char *name = c->request.name;
	struct pin *p = pins_find(d, name);

	/* One answer for both: which pins there are is nobody's business who may not use them. */
	if (!p || !p->config->run || !may(c, p->config)) {
		refuse(c, -EACCES, "no pin \"%s\" that this user may use", name);
		return NULL;
	}
	if (p->state != PIN_HELD) {
		refuse(c, -EAGAIN, "pin \"%s\" is not in force: %s", name, p->problem ?: "not yet");
		return NULL;
	}
	if (runs_of_user(d, name, c->peer.uid) >= p->config->run_per_user) {
		refuse(c, -EUSERS, "user %u has %u commands in pin \"%s\" already (MaxPerUser=)",
			(unsigned int)c->peer.uid, p->config->run_per_user, name);
		return NULL;
	}
	return p;
}

/* ---- the two messages --------------------------------------------------------------------- */

/* Return: 0: go on; else it was told. */
static int on_ask(struct daemon *d, struct client *c, const struct ifpin_control_request *q)
{
	if (q->step != IFPIN_CONTROL_ASK)
		return refuse(c, -EPROTO, "a question was expected");
	c->request = *q;
	if (!allowed_pin(d, c))
		return -EACCES;
	/* A process of a PID namespace that is not seen from here has no pid to be moved by. */
	if (c->peer.pid <= 0)
		return refuse(c, -ESRCH, "this process is not to be seen from here");
	c->pidfd = (int)syscall(SYS_pidfd_open, c->peer.pid, 0);
	if (c->pidfd < 0)
		return refuse(
			c, -errno, "cannot open process %d: %s", (int)c->peer.pid, strerror(errno));
	answer(c, 0, NULL, "");
	return 0;
}

static bool has_ended(int pidfd)
{
	struct pollfd pfd = {.fd = pidfd, .events = POLLIN};

	return poll(&pfd, 1, 0) != 0;
}

static int find_device(struct pin *p, struct ifpin_device *ret, struct ifpin_error *err)
{
	struct ifpin_pin_info *infos = NULL;
	size_t n = 0;
	int r = ifpin_pins(&infos, &n, err);

	if (r)
		return r;
	r = -ENOENT;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(infos[i].name, p->config->name) != 0)
			continue;
		*ret = infos[i].device;
		r = infos[i].state == IFPIN_PIN_HELD ? 0 : -ENODEV;
	}
	free(infos);
	if (r) {
		err->code = r;
		snprintf(err->text, sizeof(err->text), "pin \"%s\" is closed: its device is gone",
			p->config->name);
	}
	return r;
}

static int admit(
	struct daemon *d, struct client *c, struct pin *p, const struct ifpin_device *device)
{
	char cgroup[IFPIN_CGROUP_PATH_SIZE], inside[IFPIN_CGROUP_PATH_SIZE];
	const struct ifpin_config *f = p->config;
	struct ifpin_attach_opts narrow = {
		.size = sizeof(narrow),
		.device = *device,
		.existing = IFPIN_EXISTING_REFUSE,
		.guard_resolvers = f->guard_resolvers,
		.rebind = f->rebind,
		.abort = f->abort,
		.configured = true,
	};
	bool deny =
		f->loopback && (!f->run_loopback || c->request.flags & IFPIN_CONTROL_NO_LOOPBACK);
	struct ifpin_admit_opts o = {
		.size = sizeof(o),
		.cgroup = cgroup,
		.pid = c->peer.pid,
		.pidfd = c->pidfd,
		.uid = c->peer.uid,
		.narrow = deny ? &narrow : NULL,
	};
	struct ifpin_error err;
	int r;

	pins_run_cgroup(d, f->name, cgroup);
	r = ifpin_admit(&o, inside, &err);
	if (r)
		return refuse(c, r, "%s", err.text);
	r = runs_add(d, f->name, c->peer.pid, c->pidfd, c->peer.uid);
	c->pidfd = -1;
	if (r) {
		/* Nobody would notice its end: it has to go out again, and that ends it. */
		ifpin_dismiss(cgroup, c->peer.pid, NULL);
		return refuse(c, r, "cannot follow the process: %s", strerror(-r));
	}
	say(SAY_INFO, "pin \"%s\": process %d of user %u was let in", f->name, (int)c->peer.pid,
		(unsigned int)c->peer.uid);
	answer(c, 0, device, "");
	return 0;
}

static void on_enter(struct daemon *d, struct client *c, const struct ifpin_control_request *q,
	const struct ucred *sender)
{
	struct ifpin_device device;
	struct ifpin_error err;
	struct pin *p;

	if (q->step != IFPIN_CONTROL_ENTER || q->flags != c->request.flags ||
		strcmp(q->name, c->request.name) != 0)
		refuse(c, -EPROTO, "something else was asked before");
	else if (sender->pid != c->peer.pid || sender->uid != c->peer.uid || has_ended(c->pidfd))
		refuse(c, -EPERM, "another process has asked before");
	/* All of it again: rules and numbers may have changed since. */
	else if (!(p = allowed_pin(d, c)))
		return;
	else if (find_device(p, &device, &err))
		refuse(c, err.code, "%s", err.text);
	else
		admit(d, c, p, &device);
}

/* Descriptors that somebody sends are closed; the message is not looked at then. */
static ssize_t receive(int fd, void *buf, size_t size, struct ucred *ret)
{
	char control[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))]
		__attribute__((aligned(__alignof__(struct cmsghdr))));
	struct iovec iov = {buf, size};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	bool known = false, foreign = false;

	for (struct cmsghdr *h = n < 0 ? NULL : CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_CREDENTIALS &&
			h->cmsg_len == CMSG_LEN(sizeof(*ret))) {
			memcpy(ret, CMSG_DATA(h), sizeof(*ret));
			known = true;
		} else if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS) {
			for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= h->cmsg_len; i++) {
				int passed;

				memcpy(&passed, CMSG_DATA(h) + i * sizeof(int), sizeof(passed));
				close(passed);
			}
			foreign = true;
		}
	}
	if (n > 0 && (!known || foreign))
		errno = EBADMSG;
	return n > 0 && (!known || foreign) ? -1 : n;
}

static void on_client(struct daemon *d, struct source *s, uint32_t events)
{
	struct client *c = (struct client *)s;
	char buf[sizeof(struct ifpin_control_request) + 1];
	struct ifpin_control_request q;
	struct ucred sender = {};
	ssize_t n;
	int r;

	(void)events;
	n = receive(s->fd, buf, sizeof(buf), &sender);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		drop(d, c);
		return;
	}
	r = ifpin_control_parse(buf, (size_t)n, &q);
	if (r)
		refuse(c, r, "the message is malformed: %s", strerror(-r));
	else if (c->pidfd < 0 && !on_ask(d, c, &q))
		return;
	else if (c->pidfd >= 0)
		on_enter(d, c, &q, &sender);
	drop(d, c);
}

/* ---- the listener ------------------------------------------------------------------------- */

int accept_or_drop(struct daemon *d, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0 || (errno != EMFILE && errno != ENFILE) || d->spare_fd < 0)
		return fd < 0 ? -errno : fd;
	/* Left in the queue, it would wake us again and again. */
	close(d->spare_fd);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	d->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	say(SAY_ERROR, "no descriptors are left; a client was sent away");
	return -EMFILE;
}

static struct client **free_place(struct daemon *d, uid_t uid)
{
	struct client **place = NULL;
	unsigned int n = 0;

	for (size_t i = 0; i < MAX_CLIENTS; i++) {
		if (!d->clients[i])
			place = &d->clients[i];
		else
			n += d->clients[i]->peer.uid == uid;
	}
	return n < MAX_CLIENTS_OF_USER || !uid ? place : NULL;
}

static void on_control(struct daemon *d, struct source *s, uint32_t events)
{
	int fd = accept_or_drop(d, s->fd);
	struct ucred peer;
	socklen_t len = sizeof(peer);
	struct client **place = NULL, *c;

	(void)events;
	if (fd < 0)
		return;
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		place = free_place(d, peer.uid);
	c = place ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		close(fd);
		return;
	}
	c->peer = peer;
	c->pidfd = -1;
	c->deadline = now_ms() + SILENT_MS;
	c->source.fd = -1;
	c->source.ready = on_client;
	if (source_add(d, &c->source, fd, EPOLLIN)) {
		free(c);
		return;
	}
	*place = c;
}

uint64_t control_deadline(const struct daemon *d)
{
	uint64_t at = NEVER;

	for (size_t i = 0; i < MAX_CLIENTS; i++)
		if (d->clients[i] && d->clients[i]->deadline < at)
			at = d->clients[i]->deadline;
	return at;
}

void control_expire(struct daemon *d)
{
	uint64_t now = now_ms();

	for (size_t i = 0; i < MAX_CLIENTS; i++)
		if (d->clients[i] && d->clients[i]->deadline <= now)
			drop(d, d->clients[i]);
}

int listen_at(struct daemon *d, const char *file, int type)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct group *group = getgrnam(d->group);
	int r;

	if (snprintf(at.sun_path, sizeof(at.sun_path), "%s/%s", d->runtime_dir, file) >=
		(int)sizeof(at.sun_path)) {
		say(SAY_ERROR, "%s: too long a path", d->runtime_dir);
		return -ENAMETOOLONG;
	}
	unlink(at.sun_path);
	/* Nobody can connect before its group is set. */
	if (fd < 0 || fchmod(fd, 0600) || bind(fd, (struct sockaddr *)&at, sizeof(at)) ||
		chown(at.sun_path, 0, group ? group->gr_gid : 0) || chmod(at.sun_path, 0660) ||
		listen(fd, 32)) {
		r = -errno;
		say(SAY_ERROR, "%s: cannot listen there: %s", at.sun_path, strerror(-r));
		if (fd >= 0)
			close(fd);
		return r;
	}
	if (!group)
		say(SAY_WARNING, "no group \"%s\": only root can use %s", d->group, at.sun_path);
	return fd;
}

int control_open(struct daemon *d)
{
	int fd = listen_at(d, "control.sock", SOCK_SEQPACKET), one = 1;

	/* Accepted ones inherit it, so that no message comes before it is set. */
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one))) {
		int r = -errno;

		close(fd);
		fd = r;
	}
	d->control.ready = on_control;
	return source_add(d, &d->control, fd, EPOLLIN);
}
