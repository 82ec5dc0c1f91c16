// SPDX-License-Identifier: MIT
/* Waiting for the command, with the manners of a program that is not there. */
#include "internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

static const int forwarded[] = {
	SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGTSTP, SIGCONT, SIGALRM};

static sigset_t old_mask;

static sigset_t our_mask(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++)
		sigaddset(&set, forwarded[i]);
	return set;
}

int ifp_signals_block(void)
{
	sigset_t set = our_mask();

	return sigprocmask(SIG_BLOCK, &set, &old_mask) ? -errno : 0;
}

void ifp_signals_unblock(void)
{
	sigprocmask(SIG_SETMASK, &old_mask, NULL);
}

void ifp_signals_restore_child(void)
{
	sigprocmask(SIG_SETMASK, &old_mask, NULL);
}

/* The terminal signals the whole process group: what it sent has reached the command already. */
static void forward(pid_t pid, const struct signalfd_siginfo *si)
{
	bool from_terminal = si->ssi_code == SI_KERNEL && si->ssi_signo != SIGCONT;

	if (si->ssi_signo != SIGCHLD && !from_terminal && (pid_t)si->ssi_pid != pid)
		kill(pid, (int)si->ssi_signo);
}

/* Return: true when the command has ended. */
static bool reap(pid_t pid, int *ret_status)
{
	siginfo_t si = {};

	while (!waitid(P_PID, (id_t)pid, &si, WEXITED | WSTOPPED | WNOHANG) && si.si_pid) {
		if (si.si_code == CLD_STOPPED) {
			/* The shell waits for us: stop as the command has. */
			kill(getpid(), SIGSTOP);
			kill(pid, SIGCONT);
			si.si_pid = 0;
			continue;
		}
		*ret_status = si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status;
		return true;
	}
	return false;
}

int ifp_supervise(pid_t pid, struct ifp_programs *p, int *ret_status)
{
	sigset_t set = our_mask();
	_cleanup_close_ int sfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	struct pollfd pfd[2] = {
		{.fd = sfd, .events = POLLIN},
		{.fd = ifp_programs_event_fd(p), .events = POLLIN},
	};

	if (sfd < 0)
		return -errno;
	while (!reap(pid, ret_status)) {
		struct signalfd_siginfo si;

		if (poll(pfd, ARRAY_SIZE(pfd), -1) < 0 && errno != EINTR)
			return -errno;
		while (read(sfd, &si, sizeof(si)) == sizeof(si))
			forward(pid, &si);
		if (pfd[1].revents)
			ifp_programs_follow(p);
	}
	return 0;
}
