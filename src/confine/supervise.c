// SPDX-License-Identifier: MIT
/* Waiting for the command, with the manners of a program that is not there. */
#include "follow.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

/*
 * All signals are taken and handed on, but for those that say that we are at fault ourselves, and
 * those of a terminal that we neither read nor write.
 */
static sigset_t our_mask(void)
{
	static const int kept[] = {
		SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGTTIN, SIGTTOU};
	sigset_t set;

	sigfillset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		sigdelset(&set, kept[i]);
	return set;
}

int ifp_signals_block(struct ifp_signals *s)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t set = our_mask();

	/* A caller that ignores SIGCHLD would have the kernel bury the command unseen. */
	if (sigprocmask(SIG_BLOCK, &set, &s->mask) || sigaction(SIGCHLD, &dfl, &s->chld))
		return -errno;
	s->blocked = true;
	return 0;
}

void ifp_signals_unblock(const struct ifp_signals *s)
{
	if (!s->blocked)
		return;
	sigaction(SIGCHLD, &s->chld, NULL);
	sigprocmask(SIG_SETMASK, &s->mask, NULL);
}

/*
 * What the terminal sends reaches its whole foreground process group, the command included. Two
 * things do not: the hangup, of which only the session leader is told, and SIGCONT.
 */
static void forward(pid_t pid, const struct signalfd_siginfo *si)
{
	int sig = (int)si->ssi_signo;
	bool reached = si->ssi_code == SI_KERNEL && sig != SIGCONT &&
		       !(sig == SIGHUP && getsid(0) == getpid());

	if (sig != SIGCHLD && sig != SIGPIPE && !reached && (pid_t)si->ssi_pid != pid)
		kill(pid, sig);
}

/* Return: 1 when the command has ended; 0; -errno. */
static int reap(pid_t pid, int *ret_status)
{
	siginfo_t si = {};

	for (;;) {
		si.si_pid = 0;
		if (waitid(P_PID, (id_t)pid, &si, WEXITED | WSTOPPED | WNOHANG))
			return -errno;
		if (!si.si_pid)
			return 0;
		if (si.si_code == CLD_STOPPED) {
			/* The shell waits for us: stop as the command has. */
			kill(getpid(), SIGSTOP);
			kill(pid, SIGCONT);
			continue;
		}
		*ret_status = si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status;
		return 1;
	}
}

int ifp_supervise(pid_t pid, struct ifp_follow *f, int *ret_status)
{
	sigset_t set = our_mask();
	_cleanup_close_ int sfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	struct pollfd pfd[2] = {
		{.fd = sfd, .events = POLLIN},
		{.fd = ifp_follow_fd(f), .events = POLLIN},
	};
	int r;

	if (sfd < 0)
		return -errno;
	while (!(r = reap(pid, ret_status))) {
		struct signalfd_siginfo si;

		if (poll(pfd, ARRAY_SIZE(pfd), ifp_follow_timeout(f)) < 0 && errno != EINTR)
			return -errno;
		while (read(sfd, &si, sizeof(si)) == sizeof(si))
			forward(pid, &si);
		ifp_follow_apply(f);
	}
	/* Those that came too late are for nobody; left pending they would be for us. */
	while (r > 0 &&
		read(sfd, &(struct signalfd_siginfo){}, sizeof(struct signalfd_siginfo)) > 0)
		;
	return r < 0 ? r : 0;
}
