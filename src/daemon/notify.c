// SPDX-License-Identifier: MIT
/*
 * The protocol of sd_notify(3), as that page describes it: one datagram. libsystemd would say the
 * same, and bring five more libraries and 1.2 MiB into memory for it.
 */
#include "daemon.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

/*
 * Kept open: one who has no descriptor left must still be able to say so, and that it lives. Not
 * connected, for a manager that is executed anew makes its socket anew as well.
 */
static int notify_socket(void)
{
	/* What is said is short, and a manager that does not listen must not stop us. */
	static const struct timeval patience = {.tv_usec = 200000};
	static int fd = -1;

	if (fd < 0)
		fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

bool notify(const char *fmt, ...)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	char text[512];
	size_t len;
	bool told = false;
	va_list ap;
	int fd;

	if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(to.sun_path))
		return true;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	len = strlen(path);
	memcpy(to.sun_path, path, len);
	if (path[0] == '@')
		to.sun_path[0] = 0;
	fd = notify_socket();
	if (fd >= 0)
		told = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to,
			       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) >= 0;
	if (!told)
		say(SAY_DEBUG, "cannot tell the service manager: %s", strerror(errno));
	return told;
}

uint64_t notify_watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	char *end = NULL;
	unsigned long long v;

	if (!usec || (pid && strtoll(pid, NULL, 10) != getpid()))
		return NEVER;
	v = strtoull(usec, &end, 10);
	return *end || v < 2000 ? NEVER : v / 2000;
}
