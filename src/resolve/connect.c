// SPDX-License-Identifier: MIT
/* The race of RFC 8305, and its one descriptor. */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#define MS 1000000ULL

uint64_t ifp_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

/* ---- attempts ---- */

static void remember(struct ifpin_connect *c, const struct sockaddr_storage *to, int code)
{
	char text[INET6_ADDRSTRLEN] = "?";
	const void *addr = to->ss_family == AF_INET
				   ? (const void *)&((const struct sockaddr_in *)to)->sin_addr
				   : (const void *)&((const struct sockaddr_in6 *)to)->sin6_addr;

	inet_ntop(to->ss_family, addr, text, sizeof(text));
	ifp_fail_errno(&c->last, code, "cannot connect to %s (%s) port %d through %s", c->host,
		text, c->port, c->device.name);
}

/* Families take turns, beginning with IPv6. */
static const struct sockaddr_storage *next_address(struct ifpin_connect *c)
{
	for (int i = 0; i < FAMILIES; i++) {
		struct addresses *a = c->found + (c->turn + i) % FAMILIES;

		if (a->next < a->n) {
			c->turn = (c->turn + i + 1) % FAMILIES;
			return a->v + a->next++;
		}
	}
	return NULL;
}

static void drop(struct ifpin_connect *c, size_t i)
{
	close(c->attempts[i].fd); /* which takes it out of the epoll set, too */
	c->attempts[i] = c->attempts[--c->n_attempts];
}

/* Return: 1: connected at once; 0: under way, or failed and remembered. */
static int try_address(struct ifpin_connect *c, const struct sockaddr_storage *to, int *ret_fd)
{
	struct epoll_event ev = {.events = EPOLLOUT};
	struct ifpin_socket_opts o = {.size = sizeof(o)};
	struct ifpin_error err = {};
	const struct ifpin_socket_opts *given = c->opts.socket;
	int r, fd;

	/* With a port of its own, each attempt has the same. */
	if (given && given->size == sizeof(o)) {
		o = *given;
		o.flags |= IFPIN_REUSE_ADDRESS;
		given = &o;
	}
	fd = ifpin_socket(
		&c->device, to->ss_family, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP, given, &err);

	if (fd < 0) {
		/* An address of the family may be lacking; that the device is, ends it all. */
		c->last = err;
		if (fd != -EADDRNOTAVAIL && fd != -EAFNOSUPPORT)
			c->pin_error = err;
		return 0;
	}
	r = ifpin_connect(fd, &c->device, (const struct sockaddr *)to,
		to->ss_family == AF_INET ? sizeof(struct sockaddr_in)
					 : sizeof(struct sockaddr_in6));
	if (!r) {
		*ret_fd = fd;
		return 1;
	}
	ev.data.fd = fd;
	if (r == -EINPROGRESS)
		r = epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
	if (r) {
		remember(c, to, r);
		close(fd);
		return 0;
	}
	c->attempts[c->n_attempts++] = (struct attempt){.fd = fd, .to = *to};
	return 0;
}

/* Starts attempts until one is under way and the delay runs. Return: 1: connected; 0. */
static int race(struct ifpin_connect *c, int *ret_fd)
{
	while (c->is_racing && !c->pin_error.code) {
		const struct sockaddr_storage *to;
		size_t under_way = c->n_attempts;

		if (under_way && c->next_attempt && ifp_now() < c->next_attempt)
			return 0;
		to = next_address(c);
		c->next_attempt = 0;
		if (!to)
			return 0;
		if (try_address(c, to, ret_fd))
			return 1;
		if (c->n_attempts > under_way) {
			c->next_attempt = ifp_now() + c->opts.attempt_delay_ms * MS;
			return 0;
		}
	}
	return 0;
}

/* Return: 1: this attempt stands; 0: it is none, or it has failed. */
static int on_ready(struct ifpin_connect *c, int fd, uint32_t events, int *ret_fd)
{
	for (size_t i = 0; i < c->n_attempts; i++) {
		socklen_t len = sizeof(int);
		int error = 0;

		if (c->attempts[i].fd != fd)
			continue;
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len))
			error = errno;
		if (!error && events & EPOLLOUT && !(events & (EPOLLERR | EPOLLHUP))) {
			epoll_ctl(c->epoll, EPOLL_CTL_DEL, fd, NULL);
			*ret_fd = fd;
			c->attempts[i] = c->attempts[--c->n_attempts];
			return 1;
		}
		remember(c, &c->attempts[i].to, -(error ?: ECONNABORTED));
		drop(c, i);
		c->next_attempt = 0; /* the next one's turn is now */
		return 0;
	}
	ifp_names_process(c, fd, events);
	return 0;
}

/* ---- time ---- */

static void set_timer(struct ifpin_connect *c)
{
	uint64_t at = c->end, names;
	int ms = ifp_names_timeout(c);
	struct itimerspec its = {};

	names = ifp_now() + (uint64_t)(ms < 0 ? 0 : ms) * MS;
	if (ms >= 0 && names < at)
		at = names;
	if (c->next_attempt && c->next_attempt < at)
		at = c->next_attempt;
	if (!c->is_racing && c->resolution_until && c->resolution_until < at)
		at = c->resolution_until;
	its.it_value.tv_sec = (time_t)(at / 1000000000ULL);
	its.it_value.tv_nsec = (long)(at % 1000000000ULL);
	timerfd_settime(c->timer, TFD_TIMER_ABSTIME, &its, NULL);
}

static void on_time(struct ifpin_connect *c)
{
	if (!c->is_racing && c->resolution_until && ifp_now() >= c->resolution_until)
		c->is_racing = true;
	ifp_names_process(c, ARES_SOCKET_BAD, 0);
}

/* ---- the whole ---- */

static bool is_asking(const struct ifpin_connect *c)
{
	return c->found[V6].asked || c->found[V4].asked;
}

/* Nothing is under way and nothing is to come. Return: 0: something is; -errno. */
static int failure(struct ifpin_connect *c, struct ifpin_error *err)
{
	if (c->pin_error.code) {
		if (err)
			*err = c->pin_error;
		return c->pin_error.code;
	}
	if (ifp_now() >= c->end)
		return ifp_fail(err, -ETIMEDOUT,
			"no connection to %s port %d through %s in %u ms%s", c->host, c->port,
			c->device.name, c->opts.timeout_ms,
			is_asking(c) ? "; the name servers have not answered" : "");
	if (c->n_attempts || is_asking(c))
		return 0;
	if (!c->last.code)
		return ifp_names_failure(c, err);
	if (err)
		*err = c->last;
	return c->last.code;
}

int ifpin_connect_step(struct ifpin_connect *c, int *ret_fd, struct ifpin_error *ret_error)
{
	struct epoll_event ev[16];
	int n = epoll_wait(c->epoll, ev, ARRAY_SIZE(ev), 0), fd = -1, r = 0;

	if (n < 0 && errno != EINTR)
		return ifp_fail_errno(ret_error, -errno, "cannot wait for the connection");
	for (int i = 0; i < n && !r; i++)
		if (ev[i].data.fd != c->timer)
			r = on_ready(c, ev[i].data.fd, ev[i].events, &fd);
	if (!r) {
		on_time(c);
		/* The second answer may have come before the delay was over, and be empty. */
		if (!is_asking(c))
			c->is_racing = true;
		r = race(c, &fd);
	}
	if (!r)
		r = failure(c, ret_error);
	if (r > 0)
		*ret_fd = fd;
	else if (!r)
		set_timer(c);
	return r;
}

int ifpin_connect_fd(const struct ifpin_connect *c)
{
	return c->epoll;
}

void ifpin_connect_end(struct ifpin_connect *c)
{
	if (!c)
		return;
	ifp_names_end(c);
	while (c->n_attempts)
		drop(c, c->n_attempts - 1);
	ifp_closep(&c->epoll);
	ifp_closep(&c->timer);
	free(c->host);
	free(c);
}

static void endp(struct ifpin_connect **c)
{
	ifpin_connect_end(*c);
}

static int read_opts(const struct ifpin_connect_opts *opts, struct ifpin_connect_opts *ret,
	struct ifpin_error *err)
{
	struct ifpin_connect_opts o = {.size = sizeof(o)};

	if (opts) {
		int r = ifp_opts_check(opts, sizeof(o), err);

		if (r)
			return r;
		o = *opts;
	}
	o.timeout_ms = o.timeout_ms ?: 30000;
	o.attempt_delay_ms = o.attempt_delay_ms ?: 250;
	o.resolution_delay_ms = o.resolution_delay_ms ?: 50;
	if (o.family && o.family != AF_INET && o.family != AF_INET6)
		return ifp_fail(err, -EINVAL, "family %d is neither IPv4 nor IPv6", o.family);
	if (o.attempt_delay_ms < 10 || o.attempt_delay_ms > 2000)
		return ifp_fail(err, -EINVAL, "the delay between attempts is 10 to 2000 ms");
	*ret = o;
	return 0;
}

/* A source address is of one family, and so are the connections. */
static int choose_family(struct ifpin_connect_opts *o, struct ifpin_error *err)
{
	const struct ifpin_socket_opts *s = o->socket;
	int family =
		s && s->source == IFPIN_SOURCE_ADDRESS && s->address ? s->address->sa_family : 0;

	if (family && o->family && family != o->family)
		return ifp_fail(err, -EINVAL, "the source address is not of the family asked for");
	if (family)
		o->family = family;
	return 0;
}

int ifpin_connect_start(const struct ifpin_device *device, const char *host, uint16_t port,
	const struct ifpin_connect_opts *opts, struct ifpin_connect **ret_connect,
	struct ifpin_error *ret_error)
{
	_cleanup_(endp) struct ifpin_connect *c = calloc(1, sizeof(*c));
	struct epoll_event ev = {.events = EPOLLIN};
	int r;

	if (!c)
		return ifp_fail(ret_error, -ENOMEM, "out of memory");
	c->epoll = c->timer = -1;
	r = read_opts(opts, &c->opts, ret_error);
	if (r)
		return r;
	if (!*host || strlen(host) > 253)
		return ifp_fail(ret_error, -EINVAL, "a host name has 1 to 253 characters");
	r = choose_family(&c->opts, ret_error);
	if (r)
		return r;
	c->device = *device;
	c->port = port;
	c->end = ifp_now() + c->opts.timeout_ms * MS;
	c->host = strdup(host);
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	c->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	ev.data.fd = c->timer;
	if (!c->host || c->epoll < 0 || c->timer < 0 ||
		epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->timer, &ev))
		return ifp_fail_errno(ret_error, -errno, "cannot prepare the connection");
	r = ifp_names_ask(c, ret_error);
	if (r)
		return r;
	set_timer(c);
	*ret_connect = c;
	c = NULL;
	return 0;
}

int ifpin_connect_host(const struct ifpin_device *device, const char *host, uint16_t port,
	const struct ifpin_connect_opts *opts, int cancel_fd, struct ifpin_error *ret_error)
{
	_cleanup_(endp) struct ifpin_connect *c = NULL;
	int fd, r = ifpin_connect_start(device, host, port, opts, &c, ret_error);

	while (!r) {
		struct pollfd pfd[] = {{.fd = ifpin_connect_fd(c), .events = POLLIN},
			{.fd = cancel_fd, .events = POLLIN}};

		r = ifpin_connect_step(c, &fd, ret_error);
		if (r)
			break;
		if (poll(pfd, 2, -1) < 0 && errno != EINTR)
			r = ifp_fail_errno(ret_error, -errno, "cannot wait for the connection");
		else if (pfd[1].revents)
			r = ifp_fail(
				ret_error, -ECANCELED, "the connection to %s was cancelled", host);
	}
	if (r < 0)
		return r;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	return fd;
}
