// SPDX-License-Identifier: MIT
#include "slots.h"
#include "lsm_tell.h"
#include "runs.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

/* All that nobody has are locked meanwhile, so that nobody takes one before it is clean. */
struct dead {
	const struct ifp_store *store;
	int fds[IFPIN_WATCHERS];
	uint64_t mask, netns;
};

static void dead_free(struct dead *d)
{
	for (size_t i = 0; i < ARRAY_SIZE(d->fds); i++)
		ifp_closep(&d->fds[i]);
}

static int find_dead(struct dead *d)
{
	for (uint32_t i = 0; i < IFPIN_WATCHERS; i++) {
		char folder[16];

		snprintf(folder, sizeof(folder), "watch_%u", i);
		d->fds[i] = ifp_store_mark(d->store, folder);
		if (d->fds[i] < 0)
			return d->fds[i];
		if (!flock(d->fds[i], LOCK_EX | LOCK_NB))
			d->mask |= 1ULL << i;
		else if (errno != EWOULDBLOCK)
			return -errno;
	}
	return 0;
}

static int forget_in(const struct dead *d, int watchers, struct ifpin_host *host)
{
	int r = 0;

	__atomic_fetch_and(&host->watching, ~d->mask, __ATOMIC_SEQ_CST);
	for (uint32_t i = 0; i < IFPIN_WATCHERS && !r; i++)
		if (d->mask >> i & 1)
			r = ifp_slot_empty(i, watchers);
	return r;
}

/* What is gone, or of another version, has no slots of ours. */
static int forget_in_netns(const char *name, void *data)
{
	struct dead *d = data;
	uint64_t netns = strtoull(name, NULL, 16);
	_cleanup_close_ int map = ifp_store_watchers(d->store, netns);
	struct ifp_host_maps host;
	int r;

	if (map < 0 || ifp_store_host(d->store, netns, false, &host, NULL))
		return 0;
	r = forget_in(d, map, host.host);
	ifp_host_maps_close(&host);
	return r;
}

/* found: whether there is one. */
static int forget_in_lsm(int found, struct ifp_lsm_teller *lsm, const struct dead *d)
{
	int r = found == -ENOENT ? 0 : found;

	if (found)
		return r;
	r = forget_in(d, lsm->watchers, lsm->host);
	ifp_lsm_teller_close(lsm);
	return r;
}

/*
 * A command that runs has slots of its own. In another network namespace somebody may watch it who
 * sees another bpffs, so what is left there goes with the command.
 */
static int forget_in_run(const struct ifp_run *run, void *data)
{
	struct ifp_lsm_teller lsm;
	struct ifpin_host *host;
	struct dead *d = data;
	int r;

	if (run->maps.is.netns_cookie != d->netns)
		return 0;
	r = ifp_host_map(run->maps.host, &host);
	if (r)
		return r;
	r = forget_in(d, run->maps.watchers, host);
	ifp_host_unmap(&host);
	return r ?: forget_in_lsm(ifp_lsm_teller_of(run->cgroup_fd, &lsm), &lsm, d);
}

static int forget_in_kept(const char *name, void *data)
{
	struct dead *d = data;
	struct ifp_lsm_teller lsm;

	return forget_in_lsm(ifp_lsm_teller_kept(d->store, name, &lsm), &lsm, d);
}

static int clean(struct dead *d)
{
	int r = find_dead(d);

	/* A kernel that does not tell them apart confines nothing. */
	if (ifp_own_netns(&d->netns))
		d->netns = 0;
	if (!r)
		r = ifp_runs_each(forget_in_run, d);
	if (!r)
		r = ifp_store_each(d->store, "lsm", forget_in_kept, d);
	return r ?: ifp_store_each(d->store, "host", forget_in_netns, d);
}

int ifp_slot_take(const struct ifp_store *s, struct ifp_slot *ret)
{
	_cleanup_(dead_free) struct dead d = {.store = s, .fds = {[0 ... IFPIN_WATCHERS - 1] = -1}};
	int r = clean(&d);

	if (r)
		return r;
	if (!d.mask)
		return -EUSERS;
	ret->n = (uint32_t)__builtin_ctzll(d.mask);
	ret->fd = ifp_take_fd(&d.fds[ret->n]);
	return 0;
}

int ifp_slots_tidy(struct ifpin_error *err)
{
	_cleanup_(ifp_store_closep) struct ifp_store s = {.fd = -1}, lock = {.fd = -1};
	_cleanup_(dead_free) struct dead d = {
		.store = &s, .fds = {[0 ... IFPIN_WATCHERS - 1] = -1}};
	int r = ifp_store_open(&s, err);

	if (r)
		return r == -ENOENT ? 0 : r;
	r = ifp_store_lock(&lock, err);
	if (r)
		return r;
	r = clean(&d);
	return r ? ifp_fail_errno(err, r, "cannot remove what killed ones who watched left") : 0;
}

int ifp_slot_fill(const struct ifp_slot *slot, int watchers, int buffer)
{
	return bpf_map_update_elem(watchers, &slot->n, &buffer, BPF_ANY) ? -errno : 0;
}

/* Asked first, which is quick. */
int ifp_slot_empty(uint32_t n, int watchers)
{
	uint32_t id;

	if (!bpf_map_lookup_elem(watchers, &n, &id) && bpf_map_delete_elem(watchers, &n))
		return errno == ENOENT ? 0 : -errno;
	return 0;
}
