// SPDX-License-Identifier: MIT
/*
 * The battery on a host as it is: all attempts, from inside the confinement, while every other
 * device is listened to. Nothing of the host is changed, and no frame passes the next router.
 */
#include "here.h"

#include <ifpin/confine.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/un.h>

/* A report of groups waits for a timer, a frame for its queue. Nobody tells when there are none. */
#define LINGER_MS 1000

static const char *not_here(const struct attempt *a)
{
	if (a->flags & HOST)
		return "alters the host, or is made by who is not confined";
	return a->not_here;
}

/* Which of them can be made at all, on whichever host. */
static int choose_tried(struct here *h, struct proof *p, struct ifpin_error *err)
{
	unsigned int phases = h->opts->control ? HERE_PHASES : 1;
	int r;

	h->tried = calloc(p->n, sizeof(*h->tried));
	if (!h->tried)
		return ifp_fail(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < p->n; i++) {
		const char *why = not_here(p->attempts[i]);

		for (int k = 0; k < PROT_COUNT; k++) {
			p->results[i][k].outcome = why ? OUT_NOT_TRIED : OUT_NOT_APPLICABLE;
			p->results[i][k].lacking = why;
		}
		if (!why)
			h->tried[h->n_tried++] = i;
	}
	if (!h->n_tried)
		return ifp_fail(err, -ENOENT,
			"none of these attempts can be made on a host as it is (see ifpin-prove(8))");
	r = ifp_marks_draw((unsigned int)h->n_tried * phases, &h->known);
	return r ? ifp_fail_errno(err, r, "cannot mark %zu attempts", h->n_tried) : 0;
}

/* Whether an attempt can name that device. */
static bool fits(const struct attempt *a, const struct here_device *d)
{
	/* SOCK_PACKET has room for 13 characters. */
	if ((a->flags & WHOLE_FRAME) && (d->dev.mac_len != 6 || strlen(d->dev.name) > 13))
		return false;
	return !(a->flags & BY_OUT4) || d->addr4[0];
}

struct told {
	unsigned int ordered, made;
	int err;
};

static int order(struct here *h, struct agent *g, const struct attempt *a, unsigned int number,
	size_t other, uint32_t mark, struct told *t)
{
	struct env e = {.prot = PROT_IFPIN};
	bool made = false;
	int r, e_no = 0;

	ifp_here_place(h, &h->others[other], mark, &e);
	ifp_marks_fill(&h->known, number, &e);
	if (a->flags & INHERITS)
		e.inherited_fd = h->helpers.loose_fd;
	r = ifp_here_order(h, g, a, &e, &made, &e_no);
	t->ordered++;
	t->made += made;
	t->err = t->err ?: e_no;
	h->made++;
	return r;
}

static int order_each(struct here *h, struct agent *g, const struct attempt *a, unsigned int number,
	struct told *t)
{
	int r = 0;

	if (a->flags & BY_MARK) {
		for (size_t i = 0; i < h->n_marks && !r; i++)
			r = order(h, g, a, number, h->main, h->marks[i], t);
		return r;
	}
	if (!(a->flags & EACH_DEVICE))
		return order(h, g, a, number, h->main, 0, t);
	for (size_t i = 0; i < h->n_named && !r; i++)
		if (fits(a, &h->others[i]))
			r = order(h, g, a, number, i, 0, t);
	return r;
}

/* One that is given a socket has a process of its own, which `ifpin run` refuses to start. */
static int order_inheriting(
	struct here *h, int phase, const struct attempt *a, unsigned int number, struct told *t)
{
	struct agent g;
	int r = ifp_here_start(h, phase, h->helpers.loose_fd, &g), end;

	if (r == -ECONNREFUSED && phase == HERE_CONFINED && !h->opts->pin) {
		*t = (struct told){.ordered = 1, .made = 1, .err = EBUSY};
		return 0;
	}
	if (r)
		return r;
	r = order_each(h, &g, a, number, t);
	end = ifp_agent_end(&g);
	return r ?: end;
}

/*
 * What the kernel has no sockets for was not tried. A system call filter answers the same, but
 * neither that of ifpin run to IP, nor any program of a pin; of other commands nobody knows.
 */
static bool has_no_socket(const struct here *h, const struct attempt *a, const struct told *t)
{
	return !h->against && !(a->flags & WHOLE_FRAME) &&
	       (t->err == EAFNOSUPPORT || t->err == EPROTONOSUPPORT);
}

static void keep(struct here *h, struct proof *p, size_t k, int phase, const struct told *t)
{
	size_t i = h->tried[k];
	struct result *r = &p->results[i][phase == HERE_CONTROL ? PROT_NONE : PROT_IFPIN];

	r->err = t->err;
	/* What is seen decides, later; an attempt that was not made must never pass for held. */
	r->outcome = t->made == t->ordered ? OUT_HELD : OUT_BROKEN;
	if (!t->ordered) {
		r->outcome = OUT_NOT_TRIED;
		r->lacking = p->attempts[i]->flags & BY_MARK
				     ? "no rule of this host selects by a mark"
				     : "no other device here can be named so";
	} else if (has_no_socket(h, p->attempts[i], t)) {
		r->outcome = OUT_NOT_TRIED;
		r->lacking = "the kernel has no such sockets";
	}
}

static int not_started(const struct here *h, int r, struct ifpin_error *err)
{
	const char *what = h->against ?: h->opts->pin ? "the pin" : "ifpin run";

	if (r == -ECONNREFUSED)
		return ifp_fail(err, r, "%s did not start the attempts; nothing was sent", what);
	return ifp_fail_errno(err, r, "cannot start the attempts under %s", what);
}

/* What nobody has looked at may have been anything, so what follows need not be sent any more. */
static int too_fast(const struct here *h, struct ifpin_error *err)
{
	return ifp_fail(err, -ENOBUFS,
		"%u frames of this host came too fast to be looked at: nothing is proved; try again "
		"when it sends less",
		h->unseen);
}

static int make_all(struct here *h, struct proof *p, int phase, struct ifpin_error *err)
{
	struct agent g;
	int r = ifp_here_start(h, phase, -1, &g), end;

	if (r)
		return not_started(h, r, err);
	for (size_t k = 0; k < h->n_tried && !r; k++) {
		const struct attempt *a = p->attempts[h->tried[k]];
		unsigned int number = (unsigned int)((size_t)phase * h->n_tried + k);
		struct told t = {};

		r = a->flags & INHERITS ? order_inheriting(h, phase, a, number, &t)
					: order_each(h, &g, a, number, &t);
		if (r == -ECHILD)
			ifp_fail(err, r, "at the attempt %s, what was to make it had ended",
				a->name);
		else if (r == -EMULTIHOP)
			ifp_fail(err, r,
				"stopped at the attempt %s: something on this host gives packets another "
				"hop limit than the 1 that they are sent with",
				a->name);
		else if (r && h->unseen)
			too_fast(h, err);
		else if (r)
			ifp_fail_errno(err, r, "attempt %s", a->name);
		else
			keep(h, p, k, phase, &t);
	}
	end = ifp_agent_end(&g);
	return r ?: end;
}

static int linger(struct here *h)
{
	int64_t until = ifp_now_ms() + LINGER_MS, left;
	int r = 0;

	while (!r && (left = until - ifp_now_ms()) > 0) {
		struct pollfd p = {.fd = h->capture, .events = POLLIN};

		if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
			return -errno;
		r = ifp_watch_drain(h);
	}
	return r;
}

static const char *lacking(const struct here *h, const struct attempt *a)
{
	if (h->against)
		return NULL;
	if (h->opts->pin && (a->flags & NEEDS_RUN))
		return "`ifpin run`, for a pin takes no privileges from what runs in it";
	return ifp_lacking(a, PROT_IFPIN);
}

static void judge(const struct here *h, struct proof *p, int phase)
{
	for (size_t k = 0; k < h->n_tried; k++) {
		size_t i = h->tried[k];
		unsigned int number = (unsigned int)((size_t)phase * h->n_tried + k);
		struct result *r = &p->results[i][phase == HERE_CONTROL ? PROT_NONE : PROT_IFPIN];

		for (size_t d = 0; d < h->n_others; d++)
			r->frames += ifp_here_leaked(h, &h->others[d], number);
		if (!r->frames)
			continue;
		r->lacking = phase == HERE_CONTROL ? NULL : lacking(h, p->attempts[i]);
		r->outcome = r->lacking ? OUT_NOT_HELD : OUT_LEAKED;
		r->first = h->first[number];
	}
}

static int run_phases(struct here *h, struct proof *p, struct ifpin_error *err)
{
	int phases = h->opts->control ? HERE_PHASES : 1, r = 0;

	h->capture = ifp_watch_open();
	if (h->capture < 0)
		return ifp_fail_errno(err, h->capture, "cannot listen to the devices");
	for (int i = 0; i < phases && !r; i++)
		r = make_all(h, p, i, err);
	if (r)
		return r;
	if (!h->made)
		return ifp_fail(err, -ENOENT, "none of these attempts can be made on this host: %s",
			p->results[h->tried[0]][PROT_IFPIN].lacking);
	r = linger(h) ?: ifp_here_doubt(h);
	if (h->unseen)
		return too_fast(h, err);
	if (r == -ENETDOWN)
		return ifp_fail(err, r,
			"%s is switched off or gone by now: nothing is proved, for what was to leave by it could not",
			h->self.dev.name);
	if (r)
		return ifp_fail_errno(err, r, "cannot listen to the devices");
	for (int i = 0; i < phases; i++)
		judge(h, p, i);
	return 0;
}

/* Two at a time would take each other's questions for neighbours for their own. The name is one of
 * the network namespace, and goes with us. */
static int lock(struct here *h, struct ifpin_error *err)
{
	static const struct sockaddr_un sun = {
		.sun_family = AF_UNIX, .sun_path = "\0ifpin-prove-here"};

	h->lock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (h->lock >= 0 && !bind(h->lock, (const struct sockaddr *)&sun, sizeof(sun)))
		return 0;
	if (h->lock >= 0 && errno == EADDRINUSE)
		return ifp_fail(err, -EBUSY, "another proof is being made on this host");
	return ifp_fail_errno(err, -errno, "cannot make sure that this is the only proof here");
}

static int check_options(const struct ifpin_prove_opts *o, struct ifpin_error *err)
{
	if (o->pin && o->n_against)
		return ifp_fail(err, -EINVAL, "an existing pin, or a command: not both");
	if (o->n_with && (o->pin || o->n_against))
		return ifp_fail(err, -EINVAL,
			"options for ifpin run are of no use where it is not what confines");
	return ifpin_confine_privileged(err);
}

/* The device is the user's own, so no VRF is made for it. */
static int read_command(struct here *h, const struct proof *p, struct ifpin_error *err)
{
	const struct against *a = &p->against[0];
	struct ifpin_device dev = {};
	struct against_values v = {.device = dev.name, .vrf = ""};
	int r;

	if (!h->opts->n_against)
		return 0;
	if (h->opts->n_against > 1)
		return ifp_fail(
			err, -EINVAL, "on a host as it is, one command at a time (--against)");
	if (strstr(a->words, "{vrf}"))
		return ifp_fail(err, -EINVAL,
			"{vrf} is for the laboratory: on this host, name the VRF (--against)");
	r = ifpin_device_resolve(h->opts->here, &dev, err);
	if (r)
		return r;
	v.ifindex = dev.ifindex;
	snprintf(v.netns, sizeof(v.netns), "/proc/%d/ns/net", (int)getpid());
	h->against = ifp_against_words(a->words, &v);
	return h->against ? 0 : ifp_fail(err, -ENOMEM, "out of memory");
}

int ifp_prove_here(
	const struct ifpin_prove_opts *opts, struct proof *p, FILE *out, struct ifpin_error *err)
{
	struct here *h = calloc(1, sizeof(*h));
	struct env e = {.at.hops = 1};
	void (*pipe_was)(int);
	int r;

	if (!h)
		return ifp_fail(err, -ENOMEM, "out of memory");
	p->here = h;
	*h = (struct here){.opts = opts,
		.cgroup = -1,
		.capture = -1,
		.lock = -1,
		.helpers = {.ns_host = -1,
			.ns_in = -1,
			.ns_out = -1,
			.capture = -1,
			.capture_in = -1,
			.sentinels = -1,
			.loose_fd = -1}};
	r = check_options(opts, err) ?: read_command(h, p, err) ?: choose_tried(h, p, err) ?: ifp_here_read(h, err);
	if (r)
		return r;
	if (opts->confirm) {
		ifp_here_plan(p, out);
		if (!opts->confirm(opts->confirm_ctx))
			return ifp_fail(err, -ECANCELED, "not confirmed; nothing was sent");
	}
	/* A command that ends is told by an error, not by our death. */
	pipe_was = signal(SIGPIPE, SIG_IGN);
	r = lock(h, err) ?: ifp_lab_helpers(&h->helpers, err);
	if (!r && (h->helpers.loose_fd < 0 || ifp_limit_hops(&e, h->helpers.loose_fd, AF_INET)))
		r = ifp_fail_errno(err, -errno, "cannot open a socket");
	if (!r)
		r = ifp_try_options(opts, h->self.dev.name, err);
	if (!r)
		r = run_phases(h, p, err);
	signal(SIGPIPE, pipe_was);
	return r;
}
