// SPDX-License-Identifier: MIT
#include "daemon.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int source_add(struct daemon *d, struct source *s, int fd, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = s};
	int r;

	if (fd < 0)
		return fd;
	if (epoll_ctl(d->epoll, EPOLL_CTL_ADD, fd, &ev)) {
		r = -errno;
		close(fd);
		return r;
	}
	s->fd = fd;
	return 0;
}

void source_drop(struct daemon *d, struct source *s)
{
	if (s->fd < 0)
		return;
	epoll_ctl(d->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	close(s->fd);
	s->fd = -1;
}

static void earlier(uint64_t *at, uint64_t other)
{
	if (other < *at)
		*at = other;
}

/* Nothing is waited for that nobody has asked for: -1 as long as nothing happens. */
static int timeout(struct daemon *d)
{
	uint64_t at = NEVER, now = now_ms();
	int follower = d->follower ? ifpin_follower_timeout(d->follower) : -1;

	earlier(&at, d->reconcile_at);
	earlier(&at, d->retry_at);
	earlier(&at, d->follower_retry_at);
	earlier(&at, d->watchdog_at);
	earlier(&at, d->fences_at);
	earlier(&at, control_deadline(d));
	if (follower >= 0)
		earlier(&at, now + (uint64_t)follower);
	for (size_t i = 0; i < d->n_pins; i++)
		if (d->pins[i].dirty)
			return 0;
	if (at == NEVER)
		return -1;
	return at <= now ? 0 : at - now > INT_MAX ? INT_MAX : (int)(at - now);
}

static void tell_status(struct daemon *d)
{
	size_t held = 0, waiting = 0, failed = 0, fences = 0;
	char status[sizeof(d->status)];

	for (size_t i = 0; i < d->n_pins; i++) {
		held += d->pins[i].state == PIN_HELD;
		failed += d->pins[i].state == PIN_FAILED;
		waiting += d->pins[i].state == PIN_WAITS_CGROUP ||
			   d->pins[i].state == PIN_WAITS_DEVICE;
	}
	snprintf(status, sizeof(status),
		"%zu pins in force, %zu waiting for a cgroup or device, %zu failed, %zu files with errors",
		held, waiting, failed, d->set ? d->set->n_bad : 0);
	for (size_t i = 0; i < d->n_fences; i++)
		fences += d->fences[i].state == FENCE_HELD;
	if (d->n_fences)
		snprintf(status + strlen(status), sizeof(status) - strlen(status),
			", %zu of %zu fences in force", fences, d->n_fences);
	if (!strcmp(status, d->status))
		return;
	if (notify("STATUS=%s", status))
		strcpy(d->status, status);
}

static void step_follower(struct daemon *d)
{
	struct ifpin_error err;
	int r = d->follower ? ifpin_follower_step(d->follower, &err) : 0;

	d->follower_retry_at = NEVER;
	if (!r)
		return;
	say(SAY_ERROR, "cannot follow the devices: %s; nothing opens meanwhile", err.text);
	d->follower_retry_at = now_ms() + 1000;
}

static void due(struct daemon *d)
{
	uint64_t now = now_ms();

	if (d->follower_retry_at <= now || (d->follower && !ifpin_follower_timeout(d->follower)))
		step_follower(d);
	if (d->reload) {
		d->reload = false;
		notify("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)now_ms() * 1000);
		pins_reload(d);
		notify("READY=1");
	}
	if (d->reconcile_at <= now)
		pins_reconcile(d);
	if (d->retry_at <= now)
		pins_retry(d);
	if (d->fences_at <= now)
		fences_reconcile(d);
	pins_settle(d);
	links_update(d);
	control_expire(d);
	if (d->watchdog_at <= now) {
		notify("WATCHDOG=1");
		d->watchdog_at = now + d->watchdog_every;
	}
	tell_status(d);
}

int loop_run(struct daemon *d)
{
	while (!d->quit) {
		struct epoll_event ev;
		int n;

		due(d);
		if (d->quit)
			break;
		/* One at a time: what it does may close what the next would be about. */
		n = epoll_wait(d->epoll, &ev, 1, timeout(d));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 1) {
			struct source *s = ev.data.ptr;

			s->ready(d, s, ev.events);
		}
	}
	return 0;
}
