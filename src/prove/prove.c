// SPDX-License-Identifier: MIT
#include "here.h"
#include "report.h"

#include "confine/lsm.h"
#include "confine/scope.h"

#include <ifpin/fence.h>

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>

#define NOTHING_RAN 125

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int ifp_fresh_env(const struct lab *lab, enum protection prot, unsigned int serial, struct env *ret)
{
	struct env e = {
		.prot = prot,
		.at = ifp_lab_place,
		.in_index = lab->in_index,
		.out_index = lab->out_index,
		.port = (uint16_t)(20000 + serial % 40000),
		.group4 = {239, (uint8_t)(1 + serial % 100), (uint8_t)(serial / 100), 7},
		.group6 = {0xff,
			0x15, [13] = (uint8_t)(serial >> 8), [14] = (uint8_t)serial, [15] = 7},
		.poor = lab->poor,
		.giver = lab->giver,
		.giver_fd = lab->giver_fd,
		.inherited_fd = -1,
		.ns_host = lab->ns_host,
		.ns_in = lab->ns_in,
		.ns_out = lab->ns_out,
	};

	if (getrandom(e.magic, sizeof(e.magic), 0) != sizeof(e.magic) ||
		getrandom(e.group6 + 4, 8, 0) != 8)
		return -errno;
	*ret = e;
	return 0;
}

static void be_quiet(void)
{
	_cleanup_close_ int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	dup2(null, STDERR_FILENO);
	dup2(null, STDOUT_FILENO);
}

void ifp_run_args(const struct ifpin_prove_opts *opts, const char *device,
	const char *const *command, struct ifp_run_args *ret)
{
	size_t n = 0;

	ret->argv[n++] = opts->self;
	ret->argv[n++] = "run";
	ret->argv[n++] = "--dns=system";
	for (size_t i = 0; i < opts->n_with; i++)
		ret->argv[n++] = opts->with[i];
	ret->argv[n++] = device;
	ret->argv[n++] = "--";
	snprintf(ret->self, sizeof(ret->self), "/proc/self/fd/%d", open(opts->self, O_RDONLY));
	ret->argv[n++] = ret->self;
	while (*command)
		ret->argv[n++] = *command++;
	ret->argv[n] = NULL;
}

int ifp_try_options(
	const struct ifpin_prove_opts *opts, const char *device, struct ifpin_error *err)
{
	int status;
	pid_t pid = opts->n_with ? fork() : 0;

	if (!opts->n_with)
		return 0;
	if (!pid) {
		struct ifp_run_args args;

		ifp_run_args(opts, device, (const char *const[]){"--version", NULL}, &args);
		if (!freopen("/dev/null", "w", stdout))
			_exit(NOTHING_RAN);
		execv(opts->self, (char *const *)args.argv);
		_exit(NOTHING_RAN);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return ifp_fail_errno(err, -errno, "cannot start ifpin run");
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return ifp_fail(
			err, -EINVAL, "ifpin run does not start with these options (--with)");
	return 0;
}

/* In the child: the attempt itself, or ifpin with the attempt in it. */
static void make_attempt(
	const struct ifpin_prove_opts *opts, const struct attempt *a, struct env *e, int loose_fd)
{
	struct ifp_run_args args;

	ifp_run_args(
		opts, LAB_IN, (const char *const[]){"prove", "--attempt", a->name, NULL}, &args);
	be_quiet();
	fcntl(e->report_fd, F_SETFD, 0);
	if (a->flags & INHERITS) {
		e->inherited_fd = loose_fd;
		fcntl(loose_fd, F_SETFD, 0);
	}
	if (e->prot != PROT_IFPIN)
		_exit(-ifp_attempt_make(a, e) & 0x7f);
	if (ifp_env_export(e))
		_exit(NOTHING_RAN);
	execv(opts->self, (char *const *)args.argv);
	_exit(NOTHING_RAN);
}

bool ifp_has_tcx(void)
{
	uint32_t n = 0;

	return !bpf_prog_query(1, 47 /* BPF_TCX_EGRESS */, 0, NULL, NULL, &n);
}

const char *ifp_lacking(const struct attempt *a, enum protection prot)
{
	if (prot == PROT_FENCE && (a->flags & NEEDS_TC) && !ifp_has_tcx())
		return "a place for programs in traffic control (tcx), Linux 6.6";
	if (prot == PROT_FENCE && (a->flags & PAST_RULES))
		return "a rule that AF_XDP passes, and there is none";
	if (prot != PROT_IFPIN)
		return NULL;
	if ((a->flags & NEEDS_LSM) && !ifp_lsm_available())
		return "BPF LSM, active (lsm= of the kernel's command line)";
	if ((a->flags & NEEDS_SCOPE) && !ifp_scope_available())
		return "Landlock scopes, Linux 6.12";
	if (a->flags & PAST_OPTIONS)
		return "a kernel without CONFIG_IPV6_MIP6, or --loopback=deny";
	return NULL;
}

/*
 * "Held" needs more than silence: an attempt that was not made must never pass for it. One that
 * inherits a socket is answered by not being started.
 */
static enum outcome judge(
	const struct attempt *a, enum protection prot, const struct result *r, bool made)
{
	/* A fence is for addresses; what has others on the wire is not what it was told. */
	if (prot == PROT_FENCE && r->frames && !r->fenced && !(a->flags & HOST))
		return OUT_OF_REACH;
	if (r->frames)
		return ifp_lacking(a, prot) ? OUT_NOT_HELD : OUT_LEAKED;
	if (prot == PROT_NONE)
		return r->err == EPROTONOSUPPORT || r->err == EAFNOSUPPORT || r->err == ENOSYS
			       ? OUT_UNAVAILABLE
			       : OUT_BROKEN;
	if (!made && !(prot == PROT_IFPIN && (a->flags & INHERITS) && r->err == NOTHING_RAN))
		return OUT_BROKEN;
	return OUT_HELD;
}

/* Starts the process of an attempt and waits for its end. Return: 0; -errno. */
static int run_attempt(const struct ifpin_prove_opts *opts, const struct lab *lab,
	const struct attempt *a, struct env *e, struct result *ret, bool *ret_made)
{
	_cleanup_close_ int rd = -1, wr = -1;
	int report[2], status, r;
	pid_t pid;

	if (pipe2(report, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	rd = report[0];
	wr = e->report_fd = report[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		make_attempt(opts, a, e, lab->loose_fd);
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	*ret_made = read(rd, &r, sizeof(r)) == sizeof(r);
	ret->err = WIFEXITED(status) ? WEXITSTATUS(status) : NOTHING_RAN;
	return 0;
}

int ifp_serve(const struct lab *lab, const struct attempt *a, const struct env *e, int *ret)
{
	int fd = a->flags & NEEDS_SERVER ? ifp_lab_serve(lab, e->port) : -1;

	if (fd < 0 && (a->flags & NEEDS_SERVER))
		return fd;
	*ret = fd;
	return 0;
}

int ifp_count_and_judge(const struct lab *lab, const struct env *e, const struct attempt *a,
	bool made, struct result *ret)
{
	int r = ifp_capture_count(lab, e, a, ret);

	if (r)
		return r;
	ret->outcome = judge(a, e->prot, ret, made);
	ret->lacking = ret->outcome == OUT_NOT_HELD ? ifp_lacking(a, e->prot) : NULL;
	return 0;
}

static int one(const struct ifpin_prove_opts *opts, const struct lab *lab, const struct attempt *a,
	enum protection prot, unsigned int serial, struct result *ret)
{
	_cleanup_close_ int server = -1;
	struct env e;
	bool made = false;
	int r = ifp_fresh_env(lab, prot, serial, &e) ?: ifp_serve(lab, a, &e, &server);

	if (r == -EPROTONOSUPPORT) {
		*ret = (struct result){.err = -r, .outcome = OUT_UNAVAILABLE};
		return 0;
	}
	r = r ?: run_attempt(opts, lab, a, &e, ret, &made);
	return r ?: ifp_count_and_judge(lab, &e, a, made, ret);
}

static size_t choose(const char *only, const struct attempt **ret)
{
	size_t n = 0;

	for (size_t b = 0; ifp_batteries[b]; b++)
		for (const struct attempt *a = ifp_batteries[b]; a->name; a++)
			if (!only || !strcmp(only, a->name) || !strcmp(only, a->class)) {
				if (ret)
					ret[n] = a;
				n++;
			}
	return n;
}

bool ifp_is_known(const struct proof *p, size_t i, enum protection k, struct result *ret)
{
	const struct attempt *a = p->attempts[i];

	if (k && p->results[i][PROT_NONE].outcome == OUT_UNAVAILABLE)
		*ret = p->results[i][PROT_NONE]; /* it does not exist here */
	else if (k == PROT_LIBIFPIN && (a->flags & PAST_LIBRARY))
		ret->outcome = OUT_OF_REACH;
	else if (k != PROT_NONE && k != PROT_FENCE && (a->flags & HOST))
		ret->outcome = OUT_NOT_APPLICABLE;
	else
		return false;
	return true;
}

static int prove_under(const struct ifpin_prove_opts *opts, const struct lab *lab,
	const struct proof *p, size_t i, enum protection k, struct ifpin_error *err)
{
	int r;

	if (ifp_is_known(p, i, k, &p->results[i][k]))
		return 0;
	r = one(opts, lab, p->attempts[i], k, (unsigned int)(i * PROT_COUNT) + (unsigned)k,
		&p->results[i][k]);
	return r ? ifp_fail_errno(err, r, "attempt %s under %s", p->attempts[i]->name,
			   ifp_protection_names[k])
		 : 0;
}

/* One fence for all of them, as on a host. */
static int prove_fence(const struct ifpin_prove_opts *opts, const struct lab *lab, struct proof *p,
	struct ifpin_error *err)
{
	int r = 0;
#ifdef HAVE_FENCE
	struct ifpin_prefix prefixes[2];
	struct ifpin_fence_opts o = {.size = sizeof(o),
		.prefixes = prefixes,
		.n_prefixes = 2,
		.nat = IFPIN_FENCE_NAT_ON};
	struct ifpin_error why;

	r = ifpin_prefix_parse(LAB_FENCE4, &prefixes[0], err) ?:
	    ifpin_prefix_parse(LAB_FENCE6, &prefixes[1], err) ?:
	    ifpin_device_resolve(LAB_IN, &o.device, err);
	if (r)
		return r;
	/* Words are left in it also by what went well in the end. */
	if (ifpin_fence_apply(&o, &why)) {
		p->no_fence = why;
		for (size_t i = 0; i < p->n; i++)
			p->results[i][PROT_FENCE].outcome = OUT_UNAVAILABLE;
		return 0;
	}
	for (size_t i = 0; i < p->n && !r; i++)
		r = prove_under(opts, lab, p, i, PROT_FENCE, err);
#else
	(void)opts;
	(void)lab;
	(void)p;
	(void)err;
#endif
	return r;
}

/* What was captured is whole, or it proves nothing. */
static int end_capture(
	const struct ifpin_prove_opts *opts, struct lab *lab, int r, struct ifpin_error *err)
{
	unsigned int lost[SIDE_COUNT] = {};
	int q = ifp_capture_lost(lab, lost);
	int closed = ifp_pcapng_close(&lab->file, lost, opts->pcapng, r ? NULL : err);

	/* An end mark that was lost itself is waited for until the time is over. */
	if (r && r != -ETIMEDOUT)
		return r;
	if (lost[SIDE_OUT] + lost[SIDE_IN])
		return ifp_fail(err, -ENOBUFS,
			"the capture lost %u frames, so nothing is proved (try again with less "
			"load)",
			lost[SIDE_OUT] + lost[SIDE_IN]);
	if (r)
		return r;
	return q ? ifp_fail_errno(err, q, "cannot ask what the capture lost") : closed;
}

static int prove_all(const struct ifpin_prove_opts *opts, struct proof *p, struct ifpin_error *err)
{
	struct lab lab;
	int r = ifp_lab_make(&lab, err);

	if (r)
		return r;
	r = ifp_try_options(opts, LAB_IN, err) ?: ifp_against_try(p, err);
	if (!r && opts->pcapng)
		r = ifp_pcapng_open(opts->pcapng, &lab.file, err);
	for (size_t i = 0; i < p->n && !r; i++)
		for (int k = 0; k < PROT_FENCE && !r; k++)
			r = prove_under(opts, &lab, p, i, (enum protection)k, err);
	if (!r)
		r = prove_fence(opts, &lab, p, err);
	r = r ?: ifp_against_prove(p, lab.file, err);
	r = end_capture(opts, &lab, r, err);
	ifp_lab_end(&lab);
	return r;
}

const char *ifp_column(const struct proof *p, enum protection k)
{
	if (p->here)
		return ifp_here_column(p->here, k);
	if (k < PROT_AGAINST)
		return k < PROT_OURS_END ? ifp_protection_names[k] : NULL;
	return *p->against[k - PROT_AGAINST].column ? p->against[k - PROT_AGAINST].column : NULL;
}

enum protection ifp_next_column(const struct proof *p, enum protection k)
{
	while (k < PROT_COUNT && !ifp_column(p, k))
		k++;
	return k;
}

/* No frame behind a protection says nothing about it if there was none without. */
static void doubt(struct proof *p)
{
	for (size_t i = 0; i < p->n; i++)
		for_each_column (p, k)
			if (p->results[i][PROT_NONE].outcome == OUT_BROKEN &&
				p->results[i][k].outcome == OUT_HELD)
				p->results[i][k].outcome = OUT_BROKEN;
}

static int prove_and_report(const struct ifpin_prove_opts *opts, struct proof *p, FILE *out,
	const struct report *old, struct ifpin_error *err)
{
	double start = now();
	int r;

	choose(opts->only, p->attempts);
	p->began = time(NULL);
	r = opts->here ? ifp_prove_here(opts, p, out, err) : prove_all(opts, p, err);
	if (!opts->here)
		doubt(p);
	p->seconds = now() - start;
	return r ?: ifp_report_write(p, out, old, err);
}

/* What was proved elsewhere is nothing to compare with. */
static int load_old(
	const struct ifpin_prove_opts *opts, struct report *ret, struct ifpin_error *err)
{
	int r = ifp_report_load(opts->compare, ret, err);

	if (r || ret->here == !!opts->here)
		return r;
	return ifp_fail(err, -EINVAL, "%s is a report of %s, which this is not", opts->compare,
		ret->here ? "a host as it is (--here)" : "the laboratory");
}

int ifpin_prove_run(const struct ifpin_prove_opts *opts, FILE *out, struct ifpin_error *ret_error)
{
	_cleanup_(ifp_report_free) struct report old = {};
	struct proof p = {.opts = opts, .n = choose(opts->only, NULL)};
	int r;

	if (opts->size != sizeof(*opts))
		return ifp_fail(ret_error, -EINVAL, "options of another version");
	if (opts->n_with > IFPIN_PROVE_MAX_WITH)
		return ifp_fail(
			ret_error, -EINVAL, "more than %d options for run", IFPIN_PROVE_MAX_WITH);
	if (!p.n)
		return ifp_fail(ret_error, -ENOENT, "no attempt and no class \"%s\" (see --list)",
			opts->only);
	if (opts->here && (opts->html || opts->pcapng))
		return ifp_fail(ret_error, -EINVAL,
			"a page and captured frames are of the laboratory, not of this host");
	r = ifp_against_read(opts, &p, ret_error);
	if (!r && opts->compare)
		r = load_old(opts, &old, ret_error);
	if (!r)
		r = ifp_report_check(opts, ret_error);
	if (r)
		return r;
	p.attempts = calloc(p.n, sizeof(*p.attempts));
	p.results = calloc(p.n, sizeof(*p.results));
	if (p.attempts && p.results)
		r = prove_and_report(opts, &p, out, opts->compare ? &old : NULL, ret_error);
	else
		r = ifp_fail(ret_error, -ENOMEM, "out of memory");
	if (p.here)
		ifp_here_free(p.here);
	free(p.here);
	free(p.attempts);
	free(p.results);
	return r;
}
