// SPDX-License-Identifier: MIT
/*
 * Fences that shall be, those that are, and the way from one to the other. They are known again by
 * the name of the file, which stands in them; the kernel has the only copy.
 */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#define DRIFT_MS 200
#define FIRST_RETRY_MS 1000
#define LAST_RETRY_MS (5 * 60 * 1000)

static void at_latest(struct daemon *d, uint64_t when)
{
	if (when < d->fences_at)
		d->fences_at = when;
}

/* What keeps failing for the same reason is said once. */
static void enter_state(struct fence *f, enum fence_state state, enum level level, const char *text)
{
	f->state = state;
	if (f->problem && !strcmp(f->problem, text))
		return;
	free(f->problem);
	f->problem = strdup(text);
	say(level, "fence \"%s\": %s", f->name, text);
}

static void fail(struct daemon *d, struct fence *f, const char *text)
{
	enter_state(f, FENCE_FAILED, SAY_ERROR, text);
	f->retry_delay = !f->retry_delay		      ? FIRST_RETRY_MS
			 : f->retry_delay * 2 < LAST_RETRY_MS ? f->retry_delay * 2
							      : LAST_RETRY_MS;
	f->retry_at = now_ms() + f->retry_delay;
	at_latest(d, f->retry_at);
}

/* One that is gone since it was listed is not there at the next look, which puts it up anew. */
static void fail_look(struct daemon *d, struct fence *f, int r, const char *text)
{
	if (r != -ENOENT || f->retry_delay) {
		fail(d, f, text);
		return;
	}
	f->retry_delay = DRIFT_MS;
	at_latest(d, now_ms() + DRIFT_MS);
}

static void held(struct fence *f, const char *device)
{
	char text[128];

	snprintf(text, sizeof(text), "in force: what is fenced uses %s only", device);
	enter_state(f, FENCE_HELD, SAY_INFO, text);
	f->retry_delay = 0;
}

static struct ifpin_fence_opts options_of(const struct fence *f)
{
	const struct ifpin_config_fence *c = f->config->fence;

	return (struct ifpin_fence_opts){
		.size = sizeof(struct ifpin_fence_opts),
		.name = c->name,
		.prefixes = c->prefixes,
		.n_prefixes = c->n_prefixes,
		.ethertypes = c->ethertypes,
		.n_ethertypes = c->n_ethertypes,
		.nat = c->nat,
		.configured = f->config->name,
	};
}

/* ---- one fence ---------------------------------------------------------------------------- */

/* The first finding that says that a fence does not hold. */
struct finding {
	char text[256];
};

static void on_finding(void *ctx, enum ifpin_finding finding, const char *text)
{
	struct finding *first = ctx;

	if (finding == IFPIN_FINDING_BROKEN && !*first->text)
		snprintf(first->text, sizeof(first->text), "%s", text);
}

/*
 * Whether all is there but the device, which the fence is closed without.
 * Return: 1; 0: not, with the reason; -errno.
 */
static int is_whole(
	const char *name, bool without_device, struct finding *ret, struct ifpin_error *err)
{
	unsigned int broken = 0;
	int r;

	*ret = (struct finding){};
	r = ifpin_fence_check(name, on_finding, ret, &broken, err);
	return r ? r : broken <= without_device;
}

/* Return: whether it holds now; if not, that is told. */
static bool put_up(struct daemon *d, struct fence *f, const struct ifpin_device *device,
	bool without_device, bool was_there)
{
	struct ifpin_fence_opts o = options_of(f);
	struct finding finding;
	struct ifpin_error err;
	char text[384];
	int r;

	o.device = *device;
	r = ifpin_fence_apply(&o, &err);
	if (r) {
		snprintf(text, sizeof(text), "%s: %s",
			was_there ? "left as it was" : "NOT in force", err.text);
		fail(d, f, text);
		return false;
	}
	/* What cannot be mended so is not tried at each news of it. */
	r = is_whole(o.name, without_device, &finding, &err);
	if (r <= 0) {
		snprintf(text, sizeof(text), "does not hold: %s", r ? err.text : finding.text);
		fail(d, f, text);
		return false;
	}
	held(f, device->name);
	return true;
}

static void closed(struct fence *f, enum ifpin_identity id)
{
	enter_state(f, FENCE_HELD, SAY_WARNING,
		id == IFPIN_GONE ? "closed until its device comes back"
				 : "closed: another device has the name or index of its device (to "
				   "take that one: ifpin fence remove, and reload)");
}

/*
 * Another device may have the place of the fence's, or that has another address.
 * Return: whether anything was done, or failed: then it is looked at again.
 */
static bool follow_place(struct daemon *d, struct fence *f)
{
	unsigned int changed = 0;
	struct ifpin_error err;
	int r = ifpin_fence_sync(f->config->fence->name, &changed, &err);

	if (r) {
		fail_look(d, f, r, err.text);
		return true;
	}
	if (changed)
		at_latest(d, now_ms() + DRIFT_MS);
	return changed;
}

/* One that is there as the file wants it, perhaps but for what others have done to it. */
static void keep_up(struct daemon *d, struct fence *f, const struct ifpin_fence *is,
	const struct ifpin_device *found)
{
	bool meant = pins_device_means(f->config->fence->device, &is->device), gone;
	enum ifpin_identity id;
	struct finding finding;
	struct ifpin_error err;
	int r = ifpin_device_check(&is->device, &id, NULL, &err);

	/* What follows goes by the devices as they were when the fence was last put up. */
	if (!r && id == IFPIN_REPLACED && follow_place(d, f))
		return;
	if (!r && found && found->ifindex != is->device.ifindex && !meant) {
		put_up(d, f, found, false, true);
		return;
	}
	gone = !r && (id == IFPIN_GONE || id == IFPIN_REPLACED);
	if (!r)
		r = is_whole(is->name, gone, &finding, &err);
	if (r < 0) {
		fail_look(d, f, r, err.text);
		return;
	}
	if (!r) {
		say(SAY_WARNING, "fence \"%s\": %s; putting it up anew", is->name, finding.text);
		if (!put_up(d, f, gone || !found ? &is->device : found, gone, true))
			return;
	}
	if (gone)
		closed(f, id);
	else
		held(f, is->device.name);
}

static void settle(struct daemon *d, struct fence *f, const struct ifpin_fence *is)
{
	const char *spec = f->config->fence->device;
	struct ifpin_fence_opts o = options_of(f);
	struct ifpin_device device;
	struct ifpin_error err;
	char text[384];
	int r;

	if (is && !*is->configured && is->device.ifindex) {
		fail(d, f,
			"somebody has put up a fence of this name by hand, and that stays: remove it, or "
			"give another Name=");
		return;
	}
	r = ifpin_device_resolve(spec, &device, &err);
	f->ifindex = r ? 0 : device.ifindex;
	if (f->state == FENCE_HELD && !(is && ifpin_fence_matches(is, &o)))
		say(SAY_WARNING, "fence \"%s\": somebody has %s; putting it up anew", f->name,
			is ? "changed it" : "taken it down");
	if (r && r != -ENODEV) {
		fail(d, f, err.text);
	} else if (is && ifpin_fence_matches(is, &o)) {
		keep_up(d, f, is, r ? NULL : &device);
	} else if (!r) {
		put_up(d, f, &device, false, is != NULL);
	} else if (is && pins_device_means(spec, &is->device)) {
		put_up(d, f, &is->device, true, true);
	} else {
		snprintf(text, sizeof(text), "%s, waits for its device: %s",
			is ? "left as it was" : "NOT in force", err.text);
		enter_state(f, FENCE_WAITS_DEVICE, SAY_WARNING, text);
	}
}

/* ---- all ---------------------------------------------------------------------------------- */

static const struct ifpin_fence *find(const struct ifpin_fence *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i].name, name))
			return &list[i];
	return NULL;
}

/*
 * Ended is only what a file once asked for, and no file does any more. One whose file asks for
 * another name stays until that one is in force.
 */
static bool is_left_over(const struct daemon *d, const struct ifpin_fence *is)
{
	if (!*is->configured || pins_is_bad(d, is->configured))
		return false;
	for (size_t i = 0; i < d->n_fences; i++) {
		const struct fence *f = &d->fences[i];

		if (!strcmp(f->name, is->name) ||
			(!strcmp(f->config->name, is->configured) && f->state != FENCE_HELD))
			return false;
	}
	return true;
}

static void end(struct daemon *d, const struct ifpin_fence *is)
{
	struct ifpin_error err;
	int r = ifpin_fence_remove(is->name, &err);

	if (r && r != -ENOENT) {
		say(SAY_ERROR, "fence \"%s\": cannot take it down: %s", is->name, err.text);
		at_latest(d, now_ms() + FIRST_RETRY_MS);
		return;
	}
	say(SAY_NOTICE, "fence \"%s\": taken down, for no file asks for it any more", is->name);
}

/* A file with errors does not end that its fence follows the devices. */
static void note_kept(struct daemon *d, const struct ifpin_fence *list, size_t n)
{
	free(d->kept);
	d->n_kept = 0;
	d->kept = calloc(n + 1, sizeof(*d->kept));
	for (size_t i = 0; d->kept && i < n; i++)
		if (*list[i].configured && pins_is_bad(d, list[i].configured))
			strcpy(d->kept[d->n_kept++], list[i].name);
}

static void compare(struct daemon *d, const struct ifpin_fence *list, size_t n)
{
	uint64_t now = now_ms();

	for (size_t i = 0; i < d->n_fences; i++) {
		struct fence *f = &d->fences[i];

		if (f->state != FENCE_FAILED || f->retry_at <= now)
			settle(d, f, find(list, n, f->name));
		if (f->state == FENCE_FAILED)
			at_latest(d, f->retry_at);
	}
	for (size_t i = 0; i < n; i++)
		if (is_left_over(d, &list[i]))
			end(d, &list[i]);
	note_kept(d, list, n);
}

void fences_reconcile(struct daemon *d)
{
	struct ifpin_fence *list = NULL;
	struct ifpin_error err;
	size_t n = 0;

	d->fences_at = NEVER;
	if (!d->fences_known)
		return;
	if (!ifpin_fence_list(&list, &n, &err)) {
		compare(d, list, n);
		ifpin_fence_free(list, n);
		return;
	}
	/* Where no file asks for any, it does not matter that there cannot be one. */
	if (!d->n_fences && err.code == -EOPNOTSUPP)
		return;
	say(SAY_ERROR, "cannot read which fences there are: %s; nothing was changed", err.text);
	d->fences_at = now_ms() + LAST_RETRY_MS;
}

static void cover(struct daemon *d, const char *name)
{
	unsigned int changed = 0;
	struct ifpin_error err;
	int r = ifpin_fence_sync(name, &changed, &err);

	/* That it is gone is said by whoever puts it up anew. */
	if (r && r != -ENOENT)
		say(SAY_WARNING, "fence \"%s\": %s", name, err.text);
	else if (changed)
		say(SAY_DEBUG, "fence \"%s\": %u interfaces more or less are covered", name,
			changed);
	else if (!r)
		return;
	at_latest(d, now_ms() + DRIFT_MS);
}

/* New devices at once, all else when it is quiet again. */
static void follow_devices(struct daemon *d)
{
	for (size_t i = 0; i < d->n_fences; i++) {
		struct fence *f = &d->fences[i];
		struct ifpin_device device;
		int r;

		if (f->state == FENCE_HELD)
			cover(d, f->name);
		r = ifpin_device_resolve(f->config->fence->device, &device, NULL);
		if (f->ifindex != (r ? 0 : device.ifindex))
			at_latest(d, now_ms() + DRIFT_MS);
	}
	for (size_t i = 0; i < d->n_kept; i++)
		cover(d, d->kept[i]);
}

static void on_watch(struct daemon *d, struct source *s, uint32_t events)
{
	int r = ifpin_fence_watch_step(d->fence_watch);

	(void)s;
	(void)events;
	if (r < 0) {
		say(SAY_ERROR, "cannot hear of interfaces and rules: %s", strerror(-r));
		fences_close(d);
		return;
	}
	if (r & IFPIN_FENCE_DEVICES)
		follow_devices(d);
	if (r & IFPIN_FENCE_RULES)
		at_latest(d, now_ms() + DRIFT_MS);
}

static void listen_for_changes(struct daemon *d)
{
	struct ifpin_error err;
	int fd, r;

	bool wanted = d->n_fences || d->set->n_bad;

	if (!wanted)
		fences_close(d);
	if (!wanted || d->fence_watch)
		return;
	d->fence_source.ready = on_watch;
	r = ifpin_fence_watch_open(&d->fence_watch, &err);
	if (!r) {
		/* A copy: what epoll watches is closed by source_drop(). */
		fd = fcntl(ifpin_fence_watch_fd(d->fence_watch), F_DUPFD_CLOEXEC, 3);
		r = source_add(d, &d->fence_source, fd < 0 ? -errno : fd, EPOLLIN);
	}
	if (r) {
		say(SAY_ERROR, "cannot hear of interfaces and rules: %s; new ones are not covered",
			strerror(-r));
		fences_close(d);
	}
}

void fences_close(struct daemon *d)
{
	source_drop(d, &d->fence_source);
	ifpin_fence_watch_close(d->fence_watch);
	d->fence_watch = NULL;
}

void fences_reload(struct daemon *d)
{
	struct fence *fences = calloc(d->set->n_files + 1, sizeof(*fences)), *old = d->fences;
	size_t n = 0, n_old = d->n_fences;

	/* The old ones would point into files that are no longer there. */
	if (!fences)
		say(SAY_ERROR, "out of memory; all fences stay as they are");
	for (size_t i = 0; fences && i < d->set->n_files; i++) {
		if (!d->set->files[i]->fence)
			continue;
		fences[n].config = d->set->files[i];
		strcpy(fences[n].name, fences[n].config->fence->name);
		for (size_t k = 0; k < n_old; k++)
			if (old[k].problem && !strcmp(old[k].name, fences[n].name)) {
				fences[n].problem = old[k].problem;
				old[k].problem = NULL;
			}
		n++;
	}
	for (size_t k = 0; k < n_old; k++)
		free(old[k].problem);
	free(old);
	d->fences = fences;
	d->n_fences = n;
	d->fences_known = fences != NULL;
	if (!fences)
		return;
	/* Listen first, so that nothing comes between. */
	listen_for_changes(d);
	fences_reconcile(d);
}
