// SPDX-License-Identifier: MIT
/*
 * The battery behind somebody else's means. Each command has a laboratory of its own, and a process
 * behind it that makes the attempts; what arrives at the far end is counted as ever.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#define STATUS_REFUSED 125

struct trial {
	const char *self;
	struct lab lab;
	char *words;
	struct agent agent;
	int ns_before;
	void (*pipe_before)(int);
};

/* ---- what the user gave ---- */

static bool is_label(const char *s, size_t len)
{
	return len && len < AGAINST_LABEL &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789.-") == len;
}

int ifp_against_parse(const char *given, struct against *ret, struct ifpin_error *err)
{
	struct against a = {.column = "against", .words = given};
	size_t len = strcspn(given, "=");

	if (given[len] && is_label(given, len)) {
		snprintf(a.column, sizeof(a.column), "against %.*s", (int)len, given);
		a.words = given + len + 1;
	}
	if (!a.words[strspn(a.words, " \t\n")])
		return ifp_fail(err, -EINVAL, "no command in \"%s\" (--against)", given);
	*ret = a;
	return 0;
}

int ifp_against_read(const struct ifpin_prove_opts *opts, struct proof *p, struct ifpin_error *err)
{
	if (opts->n_against > IFPIN_PROVE_MAX_AGAINST)
		return ifp_fail(err, -EINVAL, "more than %d commands to compare with",
			IFPIN_PROVE_MAX_AGAINST);
	for (size_t j = 0; j < opts->n_against; j++) {
		int r = ifp_against_parse(opts->against[j], &p->against[j], err);

		if (r)
			return r;
		for (size_t k = 0; k < j; k++)
			if (!strcmp(p->against[j].column, p->against[k].column))
				return ifp_fail(err, -EINVAL,
					"two commands are called \"%s\": give them labels "
					"(--against=LABEL=COMMAND)",
					p->against[j].column);
	}
	return 0;
}

char *ifp_against_words(const char *words, const struct against_values *v)
{
	char index[16], *text = NULL;
	const char *const values[][2] = {{"{device}", v->device}, {"{ifindex}", index},
		{"{netns}", v->netns}, {"{vrf}", v->vrf}};
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	snprintf(index, sizeof(index), "%u", v->ifindex);
	while (*words) {
		size_t i;

		for (i = 0; i < ARRAY_SIZE(values); i++)
			if (!strncmp(words, values[i][0], strlen(values[i][0])))
				break;
		if (i < ARRAY_SIZE(values)) {
			fputs(values[i][1], f);
			words += strlen(values[i][0]);
		} else {
			fputc(*words++, f);
		}
	}
	if (!fclose(f))
		return text;
	free(text);
	return NULL;
}

/* ---- one command ---- */

struct start {
	const struct trial *t;
	int loose_fd; /* a socket that it inherits, or -1 */
	bool quiet;
};

static void become(const void *ctx)
{
	const struct start *s = ctx;

	if (s->quiet) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		dup2(null, STDERR_FILENO);
	}
	if (s->loose_fd >= 0)
		fcntl(s->loose_fd, F_SETFD, 0);
	ifp_agent_behind(s->t->self, s->t->words);
}

static int start(const struct trial *t, int loose_fd, bool quiet, struct agent *ret)
{
	return ifp_agent_start(
		become, &(struct start){.t = t, .loose_fd = loose_fd, .quiet = quiet}, ret);
}

/* Back to the laboratory of the others, where what follows is made. r: what came of it. Return: r;
 * -errno. */
static int finish(struct trial *t, int r, struct ifpin_error *err)
{
	int back;

	if (t->agent.pid > 0)
		ifp_agent_end(&t->agent);
	if (t->lab.column)
		ifp_lab_end(&t->lab);
	free(t->words);
	signal(SIGPIPE, t->pipe_before);
	back = setns(t->ns_before, CLONE_NEWNET) ? -errno : 0;
	if (t->ns_before >= 0)
		close(t->ns_before);
	if (!r && back)
		r = ifp_fail_errno(err, back, "cannot go back to the laboratory");
	return r;
}

static int fill_words(struct trial *t, const struct against *a, struct ifpin_error *err)
{
	struct against_values v = {.device = LAB_IN, .vrf = LAB_VRF, .ifindex = t->lab.in_index};

	snprintf(v.netns, sizeof(v.netns), "/proc/%d/fd/%d", (int)getpid(), t->lab.ns_host);
	t->words = ifp_against_words(a->words, &v);
	return t->words ? 0 : ifp_fail(err, -ENOMEM, "out of memory");
}

/*
 * Who lets nothing out at all has held nothing. So a datagram by the device, which is what all this
 * is for, has to arrive.
 */
static int see_it_work(struct trial *t, struct against *a, struct ifpin_error *err)
{
	const struct attempt *way = &ifp_attempt_by_device;
	struct result seen = {};
	struct env e;
	bool made;
	int r = ifp_fresh_env(&t->lab, PROT_AGAINST, 0, &e);

	r = r ?: ifp_agent_order(&t->agent, way, &e, NULL, &made, &seen.err);
	r = r ?: ifp_capture_count(&t->lab, &e, way, &seen);
	if (r)
		return ifp_fail_errno(err, r, "cannot see whether \"%s\" works", t->words);
	if (!seen.frames)
		ifp_fail(&a->none, -ENETUNREACH,
			"behind it nothing leaves by the device either%s%s, so it would show nothing",
			seen.err ? ": " : "", seen.err ? strerror(seen.err) : "");
	return 0;
}

/* Return: 0: the attempts can be made, or a->none says why they cannot; -errno. */
static int begin(const struct proof *p, struct against *a, struct pcapng *file, bool quiet,
	struct trial *ret, struct ifpin_error *err)
{
	struct trial *t = ret;
	int r;

	*t = (struct trial){.self = p->opts->self,
		.ns_before = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC),
		/* A command that ends is told by an error, not by our death. */
		.pipe_before = signal(SIGPIPE, SIG_IGN)};
	a->none = (struct ifpin_error){};
	r = ifp_lab_make(&t->lab, err);
	if (r)
		return r;
	t->lab.column = a->column;
	t->lab.file = file;
	r = strstr(a->words, "{vrf}") ? ifp_lab_vrf(&t->lab) : 0;
	if (r == -EOPNOTSUPP)
		return ifp_fail(&a->none, r, "the kernel makes no VRF (CONFIG_NET_VRF)"), 0;
	if (r)
		return ifp_fail_errno(err, r, "cannot make a VRF in the laboratory");
	r = fill_words(t, a, err);
	if (r)
		return r;
	r = start(t, -1, quiet, &t->agent);
	if (r == -ECONNREFUSED)
		return ifp_fail(err, r, "\"%s\" did not start the attempts", t->words);
	return r ? ifp_fail_errno(err, r, "cannot start the attempts under \"%s\"", t->words)
		 : see_it_work(t, a, err);
}

int ifp_against_try(struct proof *p, struct ifpin_error *err)
{
	int r = 0;

	for (size_t j = 0; j < p->opts->n_against && !r; j++) {
		struct trial t;

		r = begin(p, &p->against[j], NULL, false, &t, err);
		r = finish(&t, r, err);
	}
	return r;
}

/* ---- all attempts ---- */

/* One that is given a socket has a process of its own, which may refuse to start with it. */
static int order_inheriting(
	const struct trial *t, const struct attempt *a, struct env *e, bool *ret_made, int *ret_err)
{
	struct agent g;
	int r = start(t, t->lab.loose_fd, true, &g), ended;

	if (r == -ECONNREFUSED) {
		*ret_made = true;
		*ret_err = STATUS_REFUSED;
		return 0;
	}
	if (r)
		return r;
	e->inherited_fd = t->lab.loose_fd;
	r = ifp_agent_order(&g, a, e, NULL, ret_made, ret_err);
	ended = ifp_agent_end(&g);
	return r ?: ended;
}

/* An attempt may have ended who makes them; the next one is made by another. */
static int order(
	struct trial *t, const struct attempt *a, const struct env *e, bool *ret_made, int *ret_err)
{
	int r = ifp_agent_order(&t->agent, a, e, NULL, ret_made, ret_err);

	if (r != -ECHILD)
		return r;
	r = ifp_agent_end(&t->agent);
	t->agent = (struct agent){};
	return r ?: start(t, -1, true, &t->agent);
}

static int one(struct trial *t, const struct attempt *a, enum protection k, unsigned int serial,
	struct result *ret)
{
	_cleanup_close_ int server = -1;
	struct env e;
	bool made = false;
	int r = ifp_fresh_env(&t->lab, k, serial, &e) ?: ifp_serve(&t->lab, a, &e, &server);

	if (r == -EPROTONOSUPPORT) {
		*ret = (struct result){.err = -r, .outcome = OUT_UNAVAILABLE};
		return 0;
	}
	if (!r)
		r = a->flags & INHERITS ? order_inheriting(t, a, &e, &made, &ret->err)
					: order(t, a, &e, &made, &ret->err);
	return r ?: ifp_count_and_judge(&t->lab, &e, a, made, ret);
}

static int all(struct trial *t, struct proof *p, enum protection k, struct ifpin_error *err)
{
	const struct against *a = &p->against[k - PROT_AGAINST];

	for (size_t i = 0; i < p->n; i++) {
		struct result *res = &p->results[i][k];
		int r = 0;

		if (ifp_is_known(p, i, k, res))
			continue;
		if (a->none.code)
			res->outcome = OUT_UNAVAILABLE;
		else
			r = one(t, p->attempts[i], k, (unsigned int)(i * PROT_COUNT) + k, res);
		if (r)
			return ifp_fail_errno(
				err, r, "attempt %s %s", p->attempts[i]->name, a->column);
	}
	return 0;
}

static int check_loss(const struct lab *lab, struct ifpin_error *err)
{
	unsigned int lost[SIDE_COUNT] = {};
	int r = ifp_capture_lost(lab, lost);

	if (r)
		return ifp_fail_errno(err, r, "cannot ask what the capture lost");
	if (lost[SIDE_OUT] + lost[SIDE_IN])
		return ifp_fail(err, -ENOBUFS,
			"the capture lost frames %s, so nothing is proved (try again with less load)",
			lab->column);
	return 0;
}

int ifp_against_prove(struct proof *p, struct pcapng *file, struct ifpin_error *err)
{
	int r = 0;

	for (size_t j = 0; j < p->opts->n_against && !r; j++) {
		struct trial t;

		r = begin(p, &p->against[j], file, true, &t, err) ?:
		    all(&t, p, PROT_AGAINST + (unsigned int)j, err) ?:
		    check_loss(&t.lab, err);
		r = finish(&t, r, err);
	}
	return r;
}
