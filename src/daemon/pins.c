// SPDX-License-Identifier: MIT
/* What shall be, what is, and the way from one to the other. Nothing opens on that way. */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define SWAP_NAME "run.swap" /* no file can have this name */
#define FIRST_RETRY_MS 1000
#define LAST_RETRY_MS (5 * 60 * 1000)

struct pin *pins_find(struct daemon *d, const char *name)
{
	for (size_t i = 0; i < d->n_pins; i++)
		if (!strcmp(d->pins[i].config->name, name))
			return &d->pins[i];
	return NULL;
}

void pins_run_cgroup(const struct daemon *d, const char *name, char ret[IFPIN_CGROUP_PATH_SIZE])
{
	snprintf(ret, IFPIN_CGROUP_PATH_SIZE, "/%s/%s", d->cgroup, name);
}

bool pins_is_bad(const struct daemon *d, const char *name)
{
	for (size_t i = 0; i < d->set->n_bad; i++)
		if (!strcmp(d->set->bad[i], name))
			return true;
	return false;
}

/* What keeps failing for the same reason is said once. */
static void enter_state(struct pin *p, enum pin_state state, enum level level, const char *text)
{
	p->state = state;
	if (p->problem && !strcmp(p->problem, text))
		return;
	free(p->problem);
	p->problem = strdup(text);
	say(level, "pin \"%s\": %s", p->config->name, text);
}

static void try_again(struct daemon *d)
{
	if (d->retry_at != NEVER)
		return;
	d->retry_at = now_ms() + d->retry_delay;
	d->retry_delay = d->retry_delay * 2 < LAST_RETRY_MS ? d->retry_delay * 2 : LAST_RETRY_MS;
}

static void fail(struct daemon *d, struct pin *p, const char *text)
{
	enter_state(p, PIN_FAILED, SAY_ERROR, text);
	try_again(d);
}

static void held(struct pin *p, const char *device, const char *cgroup)
{
	char text[IFPIN_CGROUP_PATH_SIZE + 128];

	snprintf(text, sizeof(text), "in force: the cgroup %s uses %s only", cgroup, device);
	enter_state(p, PIN_HELD, SAY_INFO, text);
}

/* ---- putting in force --------------------------------------------------------------------- */

static struct ifpin_attach_opts options_of(
	const struct pin *p, const struct ifpin_device *device, const char *cgroup)
{
	const struct ifpin_config *c = p->config;

	return (struct ifpin_attach_opts){
		.size = sizeof(struct ifpin_attach_opts),
		.device = *device,
		.name = c->name,
		.cgroup = cgroup,
		.existing = c->existing,
		.loopback = c->loopback,
		.guard_resolvers = c->guard_resolvers,
		.rebind = c->rebind,
		.abort = c->abort,
		.configured = true,
		.log = say_step,
		.log_ctx = p->config->name,
	};
}

/*
 * Another device, or another cgroup: the new one is put in force under a name of its own beside the
 * old one, so that meanwhile nothing passes that both would not let pass.
 */
static int swap(struct ifpin_attach_opts *o, struct ifpin_error *err)
{
	const char *name = o->name;
	int r;

	o->name = SWAP_NAME;
	r = ifpin_attach(o, NULL, err);
	o->name = name;
	if (r)
		return r;
	r = ifpin_detach(name, err);
	if (!r || r == -ENOENT)
		r = ifpin_attach(o, NULL, err);
	/* If that failed, the other name goes on holding, until the next attempt. */
	return r ?: ifpin_detach(SWAP_NAME, err);
}

/* @broken: what is there is not whole, and would be taken for what is asked for. */
static int attach(struct daemon *d, struct pin *p, const struct ifpin_device *device,
	const char *cgroup, bool broken, struct ifpin_error *err)
{
	struct ifpin_attach_opts o = options_of(p, device, cgroup);
	int r = broken ? -EEXIST : ifpin_attach(&o, NULL, err);

	if (r == -EEXIST)
		r = swap(&o, err);
	if (!r)
		d->pins_changed = true;
	return r;
}

static bool is_mac(const char *spec, const uint8_t *mac, size_t len)
{
	char text[4 + 3 * IFPIN_MAC_SIZE] = "mac:";

	for (size_t i = 0; i < len; i++)
		snprintf(text + 3 + 3 * i, sizeof(text) - 3 - 3 * i, ":%02x", mac[i]);
	return len && !strcasecmp(spec, text);
}

bool pins_device_means(const char *spec, const struct ifpin_device *device)
{
	char list[IFPIN_ALTNAMES_SIZE + 2], word[136];

	snprintf(list, sizeof(list), " %s ", device->altnames);
	snprintf(word, sizeof(word), " %s ", spec);
	return !strcmp(spec, device->name) || strstr(list, word) ||
	       is_mac(spec, device->mac, device->mac_len) ||
	       is_mac(spec, device->perm_mac, device->perm_mac_len);
}

static void missing_device(struct pin *p, const struct ifpin_error *err)
{
	char text[IFPIN_CGROUP_PATH_SIZE];

	snprintf(text, sizeof(text), "NOT in force, waits for its device: %s", err->text);
	enter_state(p, PIN_WAITS_DEVICE, SAY_WARNING, text);
}

/* @info: what is in force under this name, or NULL: nothing, or not known. */
static void settle(struct daemon *d, struct pin *p, const struct ifpin_pin_info *info)
{
	char cgroup[IFPIN_CGROUP_PATH_SIZE], text[IFPIN_CGROUP_PATH_SIZE + 64];
	struct ifpin_device device;
	struct ifpin_error err;
	int r;

	p->dirty = false;
	r = wait_locate(d, p, cgroup);
	if (r == -ENOENT) {
		snprintf(text, sizeof(text), "waits for the cgroup of %s",
			p->config->cgroup ?: p->config->unit);
		enter_state(p, PIN_WAITS_CGROUP, SAY_INFO, text);
		return;
	}
	if (r) {
		snprintf(text, sizeof(text), "cannot %s its cgroup: %s",
			p->config->run ? "make" : "look for", strerror(-r));
		fail(d, p, text);
		return;
	}
	r = ifpin_device_resolve(p->config->device, &device, &err);
	if (r == -ENODEV) {
		missing_device(p, &err);
		return;
	}
	if (!r)
		r = attach(d, p, &device, cgroup, info && info->state == IFPIN_PIN_BROKEN, &err);
	if (r) {
		snprintf(text, sizeof(text), "%s: %s", info ? "left as it was" : "NOT in force",
			err.text);
		fail(d, p, text);
		return;
	}
	held(p, device.name, cgroup);
	if (p->config->run)
		runs_adopt(d, p->config->name);
}

/* ---- comparing ---------------------------------------------------------------------------- */

static bool same_options(const struct ifpin_config *c, const struct ifpin_pin_info *i)
{
	return i->configured && c->loopback == i->loopback && c->rebind == i->rebind &&
	       c->guard_resolvers == i->guard_resolvers && c->abort == i->abort;
}

/* Whether all is as the file has it, or can only become so by what the follower waits for. */
static bool as_it_should_be(struct daemon *d, struct pin *p, const struct ifpin_pin_info *i)
{
	char cgroup[IFPIN_CGROUP_PATH_SIZE];
	struct ifpin_device device;

	if (i->state != IFPIN_PIN_HELD && i->state != IFPIN_PIN_DEVICE_GONE &&
		i->state != IFPIN_PIN_REPLACED)
		return false;
	if (!same_options(p->config, i) || wait_locate(d, p, cgroup) ||
		strcmp(cgroup, i->cgroup) != 0)
		return false;
	/* A device that is gone, or another that took its name: closed, until it comes back. */
	if (i->state != IFPIN_PIN_HELD)
		return pins_device_means(p->config->device, &i->device);
	return !ifpin_device_resolve(p->config->device, &device, NULL) &&
	       device.ifindex == i->device.ifindex;
}

static void compare(struct daemon *d, struct pin *p, const struct ifpin_pin_info *info)
{
	if (info && !info->attached) {
		fail(d, p, "NOT in force: a confinement of ifpin run has this name");
		return;
	}
	if (info && as_it_should_be(d, p, info)) {
		p->dirty = false;
		if (info->state == IFPIN_PIN_HELD)
			held(p, info->device.name, info->cgroup);
		else
			enter_state(p, PIN_HELD, SAY_WARNING,
				info->state == IFPIN_PIN_REPLACED
					? "closed: another device has the name of its device (to take "
					  "that one: ifpin detach, and reload)"
					: "closed until its device comes back");
		if (p->config->run)
			runs_adopt(d, p->config->name);
		return;
	}
	/* News, though the text may be the same as before. */
	if (p->state == PIN_HELD) {
		free(p->problem);
		p->problem = NULL;
	}
	if (info && info->state == IFPIN_PIN_BROKEN)
		say(SAY_WARNING,
			"pin \"%s\": parts of it were taken away; putting it in force anew",
			p->config->name);
	else if (!info && p->state == PIN_HELD)
		say(SAY_WARNING, "pin \"%s\": somebody ended it; putting it in force anew",
			p->config->name);
	settle(d, p, info);
}

/* Ended is only what a file once asked for, and no file does any more. */
static bool is_left_over(struct daemon *d, const struct ifpin_pin_info *i)
{
	char own[IFPIN_CGROUP_PATH_SIZE];

	if (!i->attached || !i->configured || !strncmp(i->name, "run.", 4) ||
		pins_find(d, i->name) || pins_is_bad(d, i->name))
		return false;
	pins_run_cgroup(d, i->name, own);
	if (strcmp(own, i->cgroup) != 0)
		return true;
	/* Commands that users have in it are not set free: it ends with the last of them. */
	runs_adopt(d, i->name);
	return !runs_any(d, i->name);
}

static void end(struct daemon *d, const struct ifpin_pin_info *i)
{
	struct ifpin_error err;
	int r = ifpin_detach(i->name, &err);

	if (r && r != -ENOENT) {
		say(SAY_ERROR, "pin \"%s\": cannot end it: %s", i->name, err.text);
		try_again(d);
		return;
	}
	d->pins_changed = true;
	if (!strncmp(i->cgroup + 1, d->cgroup, strlen(d->cgroup)))
		unlinkat(d->cgroup_root, i->cgroup + 1, AT_REMOVEDIR);
	say(SAY_NOTICE, "pin \"%s\": ended, for it has no file any more", i->name);
}

static const struct ifpin_pin_info *find_info(
	const struct ifpin_pin_info *infos, size_t n, const char *name)
{
	size_t low = 0;

	while (low < n) {
		size_t mid = low + (n - low) / 2;
		int c = strcmp(infos[mid].name, name);

		if (!c)
			return &infos[mid];
		if (c < 0)
			low = mid + 1;
		else
			n = mid;
	}
	return NULL;
}

static void tell_follower(struct daemon *d)
{
	struct ifpin_error err;

	if (!d->pins_changed || !d->follower)
		return;
	d->pins_changed = false;
	if (ifpin_follower_reload(d->follower, &err)) {
		say(SAY_ERROR, "cannot follow all devices: %s", err.text);
		d->pins_changed = true;
		try_again(d);
	}
}

/* Whether the pin for which it was made is in force, or no file asks for that any more. */
static bool swap_is_over(struct daemon *d, const struct ifpin_pin_info *swapped)
{
	char cgroup[IFPIN_CGROUP_PATH_SIZE];

	for (size_t i = 0; i < d->n_pins; i++) {
		int r = d->pins[i].state == PIN_HELD ? -ENOENT
						     : wait_locate(d, &d->pins[i], cgroup);

		if (r ? r != -ENOENT : !strcmp(cgroup, swapped->cgroup))
			return false;
	}
	/* A file that has errors is of somebody who wants it to stay as it is. */
	return !d->set->n_bad;
}

/* A daemon was killed on the way from one device to another, or did not get to its end. */
static void end_swap(struct daemon *d, const struct ifpin_pin_info *swapped)
{
	struct ifpin_error err;
	int r;

	if (!swapped || (swapped->state != IFPIN_PIN_CGROUP_GONE && !swap_is_over(d, swapped)))
		return;
	d->pins_changed = true;
	r = ifpin_detach(SWAP_NAME, &err);
	if (r && r != -ENOENT)
		say(SAY_ERROR, "%s", err.text);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(
		((const struct ifpin_pin_info *)a)->name, ((const struct ifpin_pin_info *)b)->name);
}

void pins_reconcile(struct daemon *d)
{
	struct ifpin_pin_info *infos = NULL;
	struct ifpin_error err;
	size_t n = 0;
	int r;

	d->reconcile_at = NEVER;
	if (!d->set)
		return;
	r = ifpin_pins(&infos, &n, &err);
	if (r) {
		say(SAY_ERROR, "cannot read which pins are in force: %s; nothing was changed",
			err.text);
		d->reconcile_at = now_ms() + d->retry_delay;
		return;
	}
	if (n)
		qsort(infos, n, sizeof(*infos), by_name);
	for (size_t i = 0; i < n; i++)
		if (is_left_over(d, &infos[i]))
			end(d, &infos[i]);
	for (size_t i = 0; i < d->n_pins; i++)
		compare(d, &d->pins[i], find_info(infos, n, d->pins[i].config->name));
	end_swap(d, find_info(infos, n, SWAP_NAME));
	free(infos);
	d->pins_changed = true;
	tell_follower(d);
	wait_drift(d);
}

void pins_settle(struct daemon *d)
{
	bool any = false;

	for (size_t i = 0; i < d->n_pins; i++)
		if (d->pins[i].dirty) {
			settle(d, &d->pins[i], NULL);
			any = true;
		}
	if (any)
		tell_follower(d);
	if (!d->n_pins || d->retry_at != NEVER)
		return;
	for (size_t i = 0; i < d->n_pins; i++)
		if (d->pins[i].state == PIN_FAILED)
			return;
	d->retry_delay = FIRST_RETRY_MS;
}

void pins_retry(struct daemon *d)
{
	d->retry_at = NEVER;
	pins_reconcile(d);
}

/* ---- reading the files -------------------------------------------------------------------- */

static void on_config_error(void *ctx, const char *path, unsigned int line, const char *text)
{
	(void)ctx;
	if (line)
		say(SAY_ERROR, "%s:%u: %s", path, line, text);
	else
		say(SAY_ERROR, "%s: %s", path, text);
}

static void free_pins(struct pin *pins, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(pins[i].awaited);
		free(pins[i].problem);
	}
	free(pins);
}

/* What is known of a pin stays known, so that a reload says only what is new. */
static void take_known(struct daemon *d, struct pin *p)
{
	struct pin *old = pins_find(d, p->config->name);

	if (!old)
		return;
	p->state = old->state == PIN_HELD ? PIN_HELD : PIN_NEW;
	p->problem = old->problem;
	old->problem = NULL;
}

int pins_reload(struct daemon *d)
{
	struct ifpin_config_set *set = NULL;
	struct pin *pins;
	size_t n = 0;
	int r = ifpin_config_read_dir(d->config_dir, on_config_error, NULL, &set);

	if (r) {
		say(SAY_ERROR, "%s: cannot be read; all pins stay as they are, and all fences",
			d->config_dir);
		return r;
	}
	pins = calloc(set->n_files + 1, sizeof(*pins));
	if (!pins) {
		ifpin_config_set_free(set);
		say(SAY_ERROR, "out of memory; all pins stay as they are, and all fences");
		return -ENOMEM;
	}
	for (size_t i = 0; i < set->n_files; i++) {
		if (!set->files[i]->pin)
			continue;
		pins[n].config = set->files[i];
		pins[n].wd = -1;
		take_known(d, &pins[n++]);
	}
	for (size_t i = 0; i < set->n_bad; i++)
		say(SAY_ERROR, "%s.conf has errors; what is in force for it stays as it is",
			set->bad[i]);
	free_pins(d->pins, d->n_pins);
	ifpin_config_set_free(d->set);
	d->set = set;
	d->pins = pins;
	d->n_pins = n;
	d->retry_at = NEVER;
	d->retry_delay = FIRST_RETRY_MS;
	pins_reconcile(d);
	fences_reload(d);
	return 0;
}
