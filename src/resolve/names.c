// SPDX-License-Identifier: MIT
/*
 * Names asked for through one device. c-ares gets its sockets from us, so that there is none that
 * is not pinned; its own way (ares_set_local_dev) goes on where that fails.
 */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>

/* ---- sockets ---- */

static ares_socket_t open_pinned(int domain, int type, int protocol, void *data)
{
	struct ifpin_connect *c = data;
	struct ifpin_error err = {};
	int fd = ifpin_socket(&c->device, domain, type | SOCK_NONBLOCK, protocol, NULL, &err);

	if (fd >= 0)
		return fd;
	/* A host may have no IPv6 and a server with such an address. All else ends it. */
	if (fd != -EAFNOSUPPORT && !c->pin_error.code)
		c->pin_error = err;
	errno = -fd;
	return ARES_SOCKET_BAD;
}

static int close_pinned(ares_socket_t fd, void *data)
{
	(void)data;
	return close(fd);
}

/* c-ares knows no scopes: a link-local server is on the device. */
static int connect_pinned(
	ares_socket_t fd, const struct sockaddr *addr, ares_socklen_t len, void *data)
{
	struct ifpin_connect *c = data;
	struct sockaddr_in6 in6;
	int r;

	if (addr->sa_family == AF_INET6 && len == sizeof(in6)) {
		memcpy(&in6, addr, sizeof(in6));
		if (IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr))
			in6.sin6_scope_id = c->device.ifindex;
		addr = (const struct sockaddr *)&in6;
	}
	r = ifpin_connect(fd, &c->device, addr, len);
	if (r)
		errno = -r;
	return r ? -1 : 0;
}

static ares_ssize_t receive(ares_socket_t fd, void *buf, size_t len, int flags,
	struct sockaddr *from, ares_socklen_t *from_len, void *data)
{
	(void)data;
	return recvfrom(fd, buf, len, flags, from, from_len);
}

static ares_ssize_t send_all(ares_socket_t fd, const struct iovec *iov, int n, void *data)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
	struct ifpin_connect *c = data;
	ssize_t sent = ifpin_sendmsg(fd, &c->device, &msg, MSG_NOSIGNAL);

	if (sent < 0)
		errno = (int)-sent;
	return sent < 0 ? -1 : sent;
}

static const struct ares_socket_functions functions = {.asocket = open_pinned,
	.aclose = close_pinned,
	.aconnect = connect_pinned,
	.arecvfrom = receive,
	.asendv = send_all};

static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
	struct ifpin_connect *c = data;
	struct epoll_event ev = {
		.events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u), .data.fd = fd};

	if (!ev.events)
		epoll_ctl(c->epoll, EPOLL_CTL_DEL, fd, NULL);
	else if (epoll_ctl(c->epoll, EPOLL_CTL_MOD, fd, &ev) && errno == ENOENT)
		epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &ev);
}

/* ---- answers ---- */

static void add(struct addresses *to, const struct sockaddr *sa, socklen_t len, uint16_t port)
{
	struct sockaddr_storage *ss = to->v + to->n;

	if (to->n == MAX_ADDRESSES || len > sizeof(*ss))
		return;
	memset(ss, 0, sizeof(*ss));
	memcpy(ss, sa, len);
	/* sin_port and sin6_port are at one place. */
	((struct sockaddr_in *)ss)->sin_port = htons(port);
	to->n++;
}

static void on_answer(struct ifpin_connect *c, int which, int status, struct ares_addrinfo *info)
{
	struct addresses *to = c->found + which;
	int family = which == V6 ? AF_INET6 : AF_INET;

	to->asked = false;
	to->status = status;
	for (struct ares_addrinfo_node *n = info ? info->nodes : NULL; n; n = n->ai_next)
		if (n->ai_family == family)
			add(to, n->ai_addr, n->ai_addrlen, c->port);
	if (info)
		ares_freeaddrinfo(info);
	if (!to->n || c->is_racing)
		return;
	if (which == V6 || !c->found[V6].asked)
		c->is_racing = true;
	else
		c->resolution_until = ifp_now() + c->opts.resolution_delay_ms * 1000000ULL;
}

static void on_v6(void *data, int status, int timeouts, struct ares_addrinfo *info)
{
	(void)timeouts;
	on_answer(data, V6, status, info);
}

static void on_v4(void *data, int status, int timeouts, struct ares_addrinfo *info)
{
	(void)timeouts;
	on_answer(data, V4, status, info);
}

/* ---- questions ---- */

static int set_servers(struct ifpin_connect *c, struct ifpin_error *err)
{
	_cleanup_free_ struct sockaddr_storage *known = NULL;
	const struct sockaddr_storage *v = c->opts.servers;
	_cleanup_free_ struct ares_addr_port_node *list = NULL;
	size_t n = c->opts.n_servers;
	int r = v ? 0 : ifpin_device_nameservers(&c->device, &known, &n, err);

	if (r)
		return r;
	v = v ?: known;
	if (!n)
		return ifp_fail(err, -ENODATA, "no name server is given");
	list = calloc(n, sizeof(*list));
	if (!list)
		return ifp_fail(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(v + i);
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(v + i);

		if (in->sin_family != AF_INET && in->sin_family != AF_INET6)
			return ifp_fail(err, -EINVAL, "name server %zu is no address", i);
		list[i].family = in->sin_family;
		list[i].udp_port = list[i].tcp_port = ntohs(in->sin_port) ?: 53;
		list[i].next = i + 1 < n ? list + i + 1 : NULL;
		if (in->sin_family == AF_INET)
			list[i].addr.addr4 = in->sin_addr;
		else
			memcpy(&list[i].addr.addr6, &in6->sin6_addr, sizeof(in6->sin6_addr));
	}
	r = ares_set_servers_ports(c->channel, list);
	return r ? ifp_fail(err, -ENOMEM, "cannot set the name servers: %s", ares_strerror(r)) : 0;
}

static int open_channel(struct ifpin_connect *c, struct ifpin_error *err)
{
	struct ares_options o = {.lookups = (char *)"fb", /* /etc/hosts, then the servers */
		.timeout = 1000,
		.tries = 4,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = c};
	int r = ares_init_options(&c->channel, &o,
		ARES_OPT_LOOKUPS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);

	if (r)
		return ifp_fail(err, r == ARES_ENOMEM ? -ENOMEM : -EREMOTEIO,
			"cannot prepare name resolution: %s", ares_strerror(r));
/* Later versions prefer ares_set_socket_functions_ex(), which Debian 12 does not have. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	ares_set_socket_functions(c->channel, &functions, c);
	return set_servers(c, err);
#pragma GCC diagnostic pop
}

static void ask(struct ifpin_connect *c, int which)
{
	struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT,
		.ai_family = which == V6 ? AF_INET6 : AF_INET,
		.ai_socktype = SOCK_STREAM};

	if (c->opts.family && c->opts.family != hints.ai_family)
		return;
	c->found[which].asked = true;
	ares_getaddrinfo(c->channel, c->host, NULL, &hints, which == V6 ? on_v6 : on_v4, c);
}

/* Return: 1: it was one, and is noted; 0: it is a name; -EXDEV, -EINVAL. */
static int in_numbers(struct ifpin_connect *c, struct ifpin_error *err)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	char text[INET6_ADDRSTRLEN + IF_NAMESIZE], *scope;
	uint32_t index;

	if (strlen(c->host) >= sizeof(text))
		return 0;
	strcpy(text, c->host);
	scope = strchr(text, '%');
	if (scope)
		*scope++ = 0;
	if (!scope && inet_pton(AF_INET, text, &in.sin_addr) == 1) {
		add(c->found + V4, (struct sockaddr *)&in, sizeof(in), c->port);
	} else if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1) {
		if (scope && strcmp(scope, c->device.name) != 0 &&
			(ifp_parse_u32(scope, 1, INT32_MAX, &index) || index != c->device.ifindex))
			return ifp_fail(err, -EXDEV, "%s names another device than %s", c->host,
				c->device.name);
		if (IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr))
			in6.sin6_scope_id = c->device.ifindex;
		add(c->found + V6, (struct sockaddr *)&in6, sizeof(in6), c->port);
	} else {
		return 0;
	}
	if (c->opts.family && !c->found[c->opts.family == AF_INET6 ? V6 : V4].n)
		return ifp_fail(err, -EINVAL, "%s is not of the family asked for", c->host);
	c->is_racing = true;
	return 1;
}

int ifp_names_ask(struct ifpin_connect *c, struct ifpin_error *err)
{
	int r = in_numbers(c, err);

	if (r)
		return r < 0 ? r : 0;
	r = open_channel(c, err);
	if (r)
		return r;
	/* Both are noted as asked before the first can be answered, from /etc/hosts, at once. */
	c->found[V4].asked = c->opts.family != AF_INET6;
	ask(c, V6);
	ask(c, V4);
	return 0;
}

void ifp_names_process(struct ifpin_connect *c, int fd, uint32_t events)
{
	if (!c->channel)
		return;
	ares_process_fd(c->channel, events & (EPOLLIN | EPOLLERR | EPOLLHUP) ? fd : ARES_SOCKET_BAD,
		events & (EPOLLOUT | EPOLLERR | EPOLLHUP) ? fd : ARES_SOCKET_BAD);
}

int ifp_names_timeout(struct ifpin_connect *c)
{
	struct timeval tv;

	if (!c->channel || !ares_timeout(c->channel, NULL, &tv))
		return -1;
	return (int)(tv.tv_sec * 1000 + tv.tv_usec / 1000 + 1);
}

void ifp_names_end(struct ifpin_connect *c)
{
	if (c->channel)
		ares_destroy(c->channel);
	c->channel = NULL;
}

int ifp_names_failure(const struct ifpin_connect *c, struct ifpin_error *err)
{
	int status = c->opts.family != AF_INET ? c->found[V6].status : ARES_SUCCESS;

	if (status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_ENOTFOUND)
		status = c->opts.family != AF_INET6 ? c->found[V4].status : status;
	switch (status) {
	case ARES_SUCCESS:
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
		return ifp_fail(err, -ENOENT, "%s has no address", c->host);
	case ARES_ETIMEOUT:
		return ifp_fail(
			err, -ETIMEDOUT, "no name server answers through %s", c->device.name);
	case ARES_ENOMEM:
		return ifp_fail(err, -ENOMEM, "out of memory");
	case ARES_EBADNAME:
		return ifp_fail(err, -EINVAL, "\"%s\" cannot be a host name", c->host);
	case ARES_ECONNREFUSED:
	case ARES_EREFUSED:
	case ARES_ESERVFAIL:
		return ifp_fail(err, -EREMOTEIO,
			"the name servers of %s refuse to answer for %s, or cannot be reached",
			c->device.name, c->host);
	default:
		return ifp_fail(err, -EREMOTEIO, "cannot look up %s through %s: %s", c->host,
			c->device.name, ares_strerror(status));
	}
}
