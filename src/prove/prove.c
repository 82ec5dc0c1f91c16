// SPDX-License-Identifier: MIT
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>

#define CHILD_IS_KILLED 125

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* A marker that no other frame of this or a parallel proof has. */
static int fresh_env(
	const struct lab *lab, enum protection prot, unsigned int serial, struct env *ret)
{
	struct env e = {
		.prot = prot,
		.in_index = lab->in_index,
		.out_index = lab->out_index,
		.port = (uint16_t)(20000 + serial % 40000),
		.group4 = {239, (uint8_t)(1 + serial % 100), (uint8_t)(serial / 100), 7},
		.group6 = {0xff,
			0x15, [13] = (uint8_t)(serial >> 8), [14] = (uint8_t)serial, [15] = 7},
		.giver = lab->giver,
		.giver_fd = lab->giver_fd,
		.inherited_fd = -1,
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

/* In the child: the attempt itself, or ifpin with the attempt in it. */
static void make_attempt(
	const struct ifpin_prove_opts *opts, const struct attempt *a, struct env *e, int loose_fd)
{
	const char *argv[] = {opts->self, "run", "--dns=system", LAB_IN, "--", opts->self, "prove",
		"--attempt", a->name, NULL};

	be_quiet();
	if (a->flags & INHERITS) {
		e->inherited_fd = loose_fd;
		fcntl(loose_fd, F_SETFD, 0);
	}
	if (e->prot != PROT_IFPIN)
		_exit(-a->fn(e, a->arg) & 0x7f);
	if (ifp_env_export(e))
		_exit(CHILD_IS_KILLED);
	execv(opts->self, (char *const *)argv);
	_exit(CHILD_IS_KILLED);
}

/*
 * 125 under ifpin means that nothing ran. That is an answer to an attempt that inherits a socket;
 * to any other it means that the attempt was not made, which must never pass for "held".
 */
static enum outcome judge(
	const struct attempt *a, enum protection prot, unsigned int frames, int err)
{
	if (frames)
		return prot == PROT_IFPIN && (a->flags & NEEDS_LSM) ? OUT_NOT_HELD : OUT_LEAKED;
	if (prot == PROT_NONE)
		return err == EPROTONOSUPPORT || err == EAFNOSUPPORT || err == ENOSYS
			       ? OUT_UNAVAILABLE
			       : OUT_BROKEN;
	if (prot == PROT_IFPIN && err == CHILD_IS_KILLED && !(a->flags & INHERITS))
		return OUT_BROKEN;
	return OUT_HELD;
}

static int one(const struct ifpin_prove_opts *opts, const struct lab *lab, const struct attempt *a,
	enum protection prot, unsigned int serial, struct result *ret)
{
	_cleanup_close_ int server = -1;
	struct env e;
	int status, frames, r = fresh_env(lab, prot, serial, &e);
	pid_t pid;

	if (r)
		return r;
	if (a->flags & NEEDS_SERVER) {
		server = ifp_lab_serve(lab, e.port);
		if (server == -EPROTONOSUPPORT) {
			*ret = (struct result){.err = -server, .outcome = OUT_UNAVAILABLE};
			return 0;
		}
		if (server < 0)
			return server;
	}
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		make_attempt(opts, a, &e, lab->loose_fd);
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	frames = ifp_capture_count(lab, &e, a);
	if (frames < 0)
		return frames;
	ret->frames = (unsigned int)frames;
	ret->err = WIFEXITED(status) ? WEXITSTATUS(status) : CHILD_IS_KILLED;
	ret->outcome = judge(a, prot, ret->frames, ret->err);
	return 0;
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

static int prove_all(const struct ifpin_prove_opts *opts, struct proof *p, struct ifpin_error *err)
{
	struct lab lab;
	int r = ifp_lab_make(&lab, err);

	if (r)
		return r;
	for (size_t i = 0; i < p->n && !r; i++)
		for (int k = 0; k < PROT_COUNT && !r; k++) {
			/* What does not exist here need not be tried with protection. */
			if (k && p->results[i][0].outcome == OUT_UNAVAILABLE) {
				p->results[i][k] = p->results[i][0];
				continue;
			}
			r = one(opts, &lab, p->attempts[i], k,
				(unsigned int)(i * PROT_COUNT) + (unsigned)k, &p->results[i][k]);
			if (r)
				ifp_fail_errno(err, r, "attempt %s under %s", p->attempts[i]->name,
					ifp_protection_names[k]);
		}
	ifp_lab_end(&lab);
	return r;
}

int ifpin_prove_run(const struct ifpin_prove_opts *opts, FILE *out, struct ifpin_error *ret_error)
{
	struct proof p = {.n = choose(opts->only, NULL)};
	double start = now();
	int r;

	if (opts->size != sizeof(*opts))
		return ifp_fail(ret_error, -EINVAL, "options of another version");
	if (!p.n)
		return ifp_fail(ret_error, -ENOENT, "no attempt and no class \"%s\" (see --list)",
			opts->only);
	p.attempts = calloc(p.n, sizeof(*p.attempts));
	p.results = calloc(p.n, sizeof(*p.results));
	r = p.attempts && p.results ? 0 : ifp_fail(ret_error, -ENOMEM, "out of memory");
	if (!r) {
		choose(opts->only, p.attempts);
		r = prove_all(opts, &p, ret_error);
	}
	p.seconds = now() - start;
	if (!r)
		ifp_report_table(&p, out, opts->colour);
	if (!r && opts->json)
		r = ifp_report_json(&p, opts->json, ret_error);
	if (!r && opts->junit)
		r = ifp_report_junit(&p, opts->junit, ret_error);
	if (!r)
		r = ifp_report_failures(&p) ? 1 : 0;
	free(p.attempts);
	free(p.results);
	return r;
}
