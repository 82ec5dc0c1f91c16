// SPDX-License-Identifier: MIT
#include "nl.h"

#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

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

/* libmnl ends a dump at the first message that says "interrupted"; the rest would stay unread. */
static bool take_interrupted(void *buf, size_t len)
{
	struct nlmsghdr *nlh = buf;
	bool found = false;
	int left = (int)len;

	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		found = found || nlh->nlmsg_flags & NLM_F_DUMP_INTR;
		nlh->nlmsg_flags &= (uint16_t)~NLM_F_DUMP_INTR;
	}
	return found;
}

/* A dump that cannot be made ends with its error, which libmnl passes over. */
static int dump_error(const void *buf, size_t len, uint32_t sequence)
{
	const struct nlmsghdr *nlh = buf;
	int left = (int)len, err = 0;

	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
		if (nlh->nlmsg_type == NLMSG_DONE && nlh->nlmsg_seq == sequence &&
			mnl_nlmsg_get_payload_len(nlh) >= sizeof(err))
			memcpy(&err, mnl_nlmsg_get_payload(nlh), sizeof(err));
	return err < 0 ? err : 0;
}

int ifp_nl_open(int family, struct mnl_socket **ret)
{
	_cleanup_(ifp_nl_closep) struct mnl_socket *nl = mnl_socket_open2(family, SOCK_CLOEXEC);

	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	*ret = nl;
	nl = NULL;
	return 0;
}

/* An answer that a failed request left behind must not pass for that of the next. */
static uint32_t fresh_sequence(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	/* 0 would mean: any. */
	return (uint32_t)((uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec) ?: 1;
}

void ifp_nl_flush(struct mnl_socket *nl)
{
	char byte;

	while (recv(mnl_socket_get_fd(nl), &byte, sizeof(byte), MSG_DONTWAIT) >= 0 ||
		errno == EINTR || errno == ENOBUFS)
		;
}

int ifp_nl_ask(struct mnl_socket *nl, struct nlmsghdr *req, ifp_nl_cb cb, void *data)
{
	struct answer a = {.cb = cb, .data = data};
	bool interrupted = false;
	char buf[32768];
	ssize_t n;
	int r;

	req->nlmsg_seq = fresh_sequence();
	if (mnl_socket_sendto(nl, req, req->nlmsg_len) < 0)
		return -errno;
	do {
		/* -EINTR is for dumps; a signal is none of the caller's business. */
		do
			n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		while (n < 0 && errno == EINTR);
		if (n < 0)
			return -errno;
		if (req->nlmsg_flags & NLM_F_DUMP && take_interrupted(buf, (size_t)n))
			interrupted = true;
		r = mnl_cb_run(
			buf, (size_t)n, req->nlmsg_seq, mnl_socket_get_portid(nl), on_message, &a);
		if (r < 0)
			return a.err ?: -errno;
		if (r == MNL_CB_STOP && req->nlmsg_flags & NLM_F_DUMP)
			a.err = dump_error(buf, (size_t)n, req->nlmsg_seq);
		if (a.err)
			return a.err;
	} while (r > MNL_CB_STOP && (req->nlmsg_flags & (NLM_F_DUMP | NLM_F_ACK)));
	return interrupted ? -EINTR : 0;
}

int ifp_nl_talk(struct nlmsghdr *req, ifp_nl_cb cb, void *data)
{
	return ifp_nl_talk_on(NETLINK_ROUTE, req, cb, data);
}

int ifp_nl_talk_on(int family, struct nlmsghdr *req, ifp_nl_cb cb, void *data)
{
	_cleanup_(ifp_nl_closep) struct mnl_socket *nl = NULL;
	int r = ifp_nl_open(family, &nl);

	if (r)
		return r;
	for (int i = 0; i < 5; i++) {
		r = ifp_nl_ask(nl, req, cb, data);
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

int ifp_nl_membership(struct mnl_socket *nl, unsigned int group, bool on)
{
	return mnl_socket_setsockopt(nl, on ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP,
		       &group, sizeof(group))
		       ? -errno
		       : 0;
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
