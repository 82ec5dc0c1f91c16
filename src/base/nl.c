// SPDX-License-Identifier: MIT
#include "nl.h"

#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

struct answer {
	ifp_nl_cb cb;
	void *data;
	int err;
};

static int on_message(const struct nlmsghdr *nlh, void *data)
{
	struct answer *a = data;

	a->err = a->cb ? a->cb(nlh, a->data) : 0;
	return a->err ? MNL_CB_ERROR : MNL_CB_OK;
}

static void closep(struct mnl_socket **nl)
{
	if (*nl)
		mnl_socket_close(*nl);
}

static int talk_once(struct mnl_socket *nl, struct nlmsghdr *req, uint32_t seq, struct answer *a)
{
	char buf[32768];
	ssize_t n;
	int r;

	req->nlmsg_seq = seq;
	if (mnl_socket_sendto(nl, req, req->nlmsg_len) < 0)
		return -errno;
	do {
		n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		if (n < 0)
			return -errno;
		r = mnl_cb_run(buf, (size_t)n, seq, mnl_socket_get_portid(nl), on_message, a);
		if (r < 0)
			return a->err ?: -errno;
	} while (r > MNL_CB_STOP && (req->nlmsg_flags & (NLM_F_DUMP | NLM_F_ACK)));
	return 0;
}

int ifp_nl_talk(struct nlmsghdr *req, ifp_nl_cb cb, void *data)
{
	return ifp_nl_talk_on(NETLINK_ROUTE, req, cb, data);
}

int ifp_nl_talk_on(int family, struct nlmsghdr *req, ifp_nl_cb cb, void *data)
{
	struct answer a = {.cb = cb, .data = data};

	for (uint32_t seq = 1; seq <= 5; seq++) {
		_cleanup_(closep) struct mnl_socket *nl = mnl_socket_open2(family, SOCK_CLOEXEC);
		int r;

		if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0)
			return -errno;
		r = talk_once(nl, req, seq, &a);
		if (r != -EINTR)
			return r;
	}
	return -EAGAIN;
}

int ifp_nl_listen(uint32_t groups, struct mnl_socket **ret)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (!nl)
		return -errno;
	if (mnl_socket_bind(nl, groups, MNL_SOCKET_AUTOPID) < 0) {
		int r = -errno;

		mnl_socket_close(nl);
		return r;
	}
	*ret = nl;
	return 0;
}

int ifp_nl_drain(struct mnl_socket *nl, ifp_nl_cb cb, void *data)
{
	struct answer a = {.cb = cb, .data = data};
	char buf[32768];
	ssize_t n;

	for (;;) {
		n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (mnl_cb_run(buf, (size_t)n, 0, 0, on_message, &a) < 0)
			return a.err ?: -errno;
	}
}
