// SPDX-License-Identifier: MIT
/* Messages of the control socket: their form, and the client's side of the talk. */
#include <ifpin/control.h>

#include "base/base.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#define ANSWER_SECONDS 10

static bool name_ok(const char name[64])
{
	size_t len = strnlen(name, IFPIN_PIN_NAME_SIZE);

	if (!len || len == IFPIN_PIN_NAME_SIZE ||
		strspn(name, "abcdefghijklmnopqrstuvwxyz"
			     "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != len)
		return false;
	for (; len < 64; len++)
		if (name[len])
			return false;
	return true;
}

int ifpin_control_parse(const void *data, size_t len, struct ifpin_control_request *ret_request)
{
	struct ifpin_control_request r;

	if (len != sizeof(r))
		return -EMSGSIZE;
	memcpy(&r, data, sizeof(r));
	if (r.magic != IFPIN_CONTROL_MAGIC)
		return -EPROTO;
	if (r.version != IFPIN_CONTROL_VERSION)
		return -EPROTONOSUPPORT;
	if (r.step != IFPIN_CONTROL_ASK && r.step != IFPIN_CONTROL_ENTER)
		return -EPROTO;
	if ((r.flags & ~(uint32_t)IFPIN_CONTROL_NO_LOOPBACK) || !name_ok(r.name))
		return -EINVAL;
	*ret_request = r;
	return 0;
}

/* Who listens there decides what this process is confined to. */
static int check_server(int fd, const char *path, struct ifpin_error *err)
{
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return ifp_fail_errno(err, -errno, "cannot tell who listens on %s", path);
	if (peer.uid && peer.uid != geteuid())
		return ifp_fail(err, -EPERM, "%s is served by user %u, not by root", path,
			(unsigned int)peer.uid);
	return 0;
}

static int connect_daemon(const char *path, struct ifpin_error *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct timeval wait = {.tv_sec = ANSWER_SECONDS};
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int r;

	if (strlen(path) >= sizeof(to.sun_path))
		return ifp_fail(err, -ENAMETOOLONG, "the path of the socket is too long: %s", path);
	strcpy(to.sun_path, path);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) ||
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)))
		return ifp_fail_errno(err, -errno, "cannot make a socket");
	if (connect(fd, (struct sockaddr *)&to, sizeof(to))) {
		r = -errno;
		if (r == -EACCES)
			return ifp_fail(err, r,
				"%s is not for this user (members of its group may: see ls -l)",
				path);
		return ifp_fail_errno(err, r, "cannot reach ifpind at %s", path);
	}
	r = check_server(fd, path, err);
	return r ?: ifp_take_fd(&fd);
}

static int talk(int fd, const struct ifpin_control_request *q, struct ifpin_control_reply *ret,
	struct ifpin_error *err)
{
	ssize_t n;

	if (send(fd, q, sizeof(*q), MSG_NOSIGNAL) != sizeof(*q))
		return ifp_fail_errno(err, -errno, "cannot ask ifpind");
	do
		n = recv(fd, ret, sizeof(*ret), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? ifp_fail(err, -ETIMEDOUT, "ifpind does not answer")
				       : ifp_fail_errno(err, -errno, "cannot hear ifpind");
	if (n != sizeof(*ret) || ret->magic != IFPIN_CONTROL_MAGIC ||
		ret->version != IFPIN_CONTROL_VERSION || ret->code > 0 ||
		strnlen(ret->text, sizeof(ret->text)) == sizeof(ret->text) ||
		strnlen(ret->device, sizeof(ret->device)) == sizeof(ret->device))
		return ifp_fail(
			err, -EPROTO, n ? "ifpind speaks another version" : "ifpind has hung up");
	return ret->code ? ifp_fail(err, ret->code, "ifpind: %s", ret->text) : 0;
}

int ifpin_control_enter(const char *path, const char *name, uint32_t flags,
	struct ifpin_control_reply *ret_reply, struct ifpin_error *ret_error)
{
	struct ifpin_control_request q = {.magic = IFPIN_CONTROL_MAGIC,
		.version = IFPIN_CONTROL_VERSION,
		.step = IFPIN_CONTROL_ASK,
		.flags = flags};
	struct ifpin_control_reply reply = {};
	_cleanup_close_ int fd = -1;
	int r;

	if (strlen(name) >= sizeof(q.name))
		return ifp_fail(ret_error, -ENOENT, "no pin has so long a name");
	strcpy(q.name, name);
	fd = connect_daemon(path, ret_error);
	if (fd < 0)
		return fd;
	r = talk(fd, &q, &reply, ret_error);
	if (r)
		return r;
	/* Nobody is let in who could get privileges of others inside. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return ifp_fail_errno(ret_error, -errno, "cannot set no_new_privs");
	q.step = IFPIN_CONTROL_ENTER;
	r = talk(fd, &q, &reply, ret_error);
	if (r)
		return r;
	*ret_reply = reply;
	return 0;
}
