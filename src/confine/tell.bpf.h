/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How a denial is counted, and told to those who watch: the same in all programs. Inside them a
 * judgement is ALLOW or deny(reason). Who includes this says where a confinement's own counters
 * are.
 */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "policy.h"

#define ALLOW 1
#define PAGE 4096

/* Of the confinement that this is run for. */
static __always_inline struct ifpin_denials *own_denials(void);
static __always_inline __u32 own_id(void);

/* Shared by all confinements for which the programs are. */
struct ifpin_host host SEC(".data.host") = {};

/* A ring buffer for each who watches; it is theirs, and gone with them. */
struct watcher_buffer {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, PAGE);
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, IFPIN_WATCHERS);
	__type(key, __u32);
	__array(values, struct watcher_buffer);
} watchers SEC(".maps");

/* A judgement that is not ALLOW; counted by whoever settles it. */
static __always_inline int deny(enum ifpin_reason reason)
{
	return -1 - (int)reason;
}

#define SECOND 1000000000ULL

/*
 * What is neither inlined nor static the verifier looks at once, not once for each way that leads
 * there, which would double the time that a start takes.
 */

/* What a judgement other than ALLOW counts under; the mask is for the verifier. */
static __always_inline __u32 reason_of(int judgement)
{
	return (__u32)(-1 - judgement) % IFPIN_REASON_SLOTS;
}

/*
 * Whether not too much of what was denied has been told in this second. Asked
 * before anything is gathered: a flood costs its sender little, and those who watch nothing.
 */
__noinline int is_told(int judgement)
{
	struct ifpin_denials *d = own_denials();
	__u64 now = bpf_ktime_get_ns();

	if (!d)
		return 0;
	if (now - d->window_start > SECOND) {
		d->window_start = now;
		d->window_events = 0;
	}
	if (d->window_events < IFPIN_EVENTS_PER_SECOND) {
		d->window_events++;
		return 1;
	}
	__sync_fetch_and_add(&d->untold[reason_of(judgement)], 1);
	return 0;
}

/*
 * To one who watches. What does not fit into his buffer is lost to him only. Neither inlined nor
 * static, as above: else it would be looked at for each of them.
 */
__noinline int publish_to(const struct ifpin_denial_event *ev, __u32 slot)
{
	struct ifpin_denials *d;
	__u32 key = slot;
	void *buffer;

	if (!ev || slot >= IFPIN_WATCHERS)
		return 0;
	/* One who watches others only has a buffer there, too. */
	if (host.only[slot] && host.only[slot] != ev->id)
		return 0;
	buffer = bpf_map_lookup_elem(&watchers, &key);
	if (!buffer || !bpf_ringbuf_output(buffer, (void *)ev, sizeof(*ev), 0))
		return 0;
	d = own_denials();
	if (d)
		__sync_fetch_and_add(&d->lost[slot], 1);
	return 0;
}

static __always_inline void publish(struct ifpin_denial_event *ev, int judgement)
{
	ev->time = bpf_ktime_get_ns();
	ev->id = own_id();
	ev->reason = reason_of(judgement);
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < IFPIN_WATCHERS; i++)
		if (host.watching >> i & 1)
			publish_to(ev, i);
}

static __always_inline void tell_task(struct ifpin_denial_event *ev)
{
	ev->pid = bpf_get_current_pid_tgid() >> 32;
	ev->uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(ev->comm, sizeof(ev->comm));
}

/* Counts a denial. Return: whether it is none. */
__noinline int is_allowed(int judgement)
{
	struct ifpin_denials *d;

	if (judgement == ALLOW)
		return 1;
	d = own_denials();
	if (d)
		__sync_fetch_and_add(&d->denied[reason_of(judgement)], 1);
	return 0;
}
