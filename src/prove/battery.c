// SPDX-License-Identifier: MIT
#include "internal.h"

#include <errno.h>
#include <string.h>

#define VARIABLE "IFPIN_ATTEMPT"

const struct attempt *const ifp_batteries[] = {ifp_battery_route, ifp_battery_pktinfo,
	ifp_battery_option, ifp_battery_join, ifp_battery_packet, ifp_battery_reflect,
	ifp_battery_escape,
#ifdef HAVE_FENCE
	ifp_battery_host, ifp_battery_host_net, ifp_battery_host_form, ifp_battery_host_place,
#endif
	NULL};

static int by_device(const struct env *e, int arg)
{
	struct target t = ifp_target(e->at.peer_in4, e->port, 0);
	_cleanup_close_ int fd = ifp_open(e, AF_INET, SOCK_DGRAM, 0);

	(void)arg;
	return fd < 0 ? fd : ifp_send(e, fd, &t);
}

const struct attempt ifp_attempt_by_device = {.name = "by-device", .fn = by_device, .flags = AT_IN};

const struct attempt *ifp_attempt_find(const char *name)
{
	if (!strcmp(name, ifp_attempt_by_device.name))
		return &ifp_attempt_by_device;
	for (size_t b = 0; ifp_batteries[b]; b++)
		for (const struct attempt *a = ifp_batteries[b]; a->name; a++)
			if (!strcmp(a->name, name))
				return a;
	return NULL;
}

int ifp_env_export(const struct env *e)
{
	char text[2 * sizeof(*e) + 1];
	const uint8_t *p = (const uint8_t *)e;

	for (size_t i = 0; i < sizeof(*e); i++)
		snprintf(text + 2 * i, 3, "%02x", p[i]);
	return setenv(VARIABLE, text, 1) ? -errno : 0;
}

int ifp_env_import(struct env *ret)
{
	const char *text = getenv(VARIABLE);
	uint8_t *p = (uint8_t *)ret;

	if (!text || strlen(text) != 2 * sizeof(*ret))
		return -EINVAL;
	for (size_t i = 0; i < sizeof(*ret); i++) {
		unsigned int byte;

		if (sscanf(text + 2 * i, "%2x", &byte) != 1)
			return -EINVAL;
		p[i] = (uint8_t)byte;
	}
	return 0;
}

int ifp_attempt_make(const struct attempt *a, const struct env *e)
{
	int r = a->fn(e, a->arg);

	/* Without this the attempt counts as not made, whatever else happens. */
	if (write(e->report_fd, &r, sizeof(r)) != sizeof(r))
		return -EIO;
	return r;
}

int ifpin_prove_attempt(const char *name)
{
	const struct attempt *a = ifp_attempt_find(name);
	struct env e;
	int r;

	if (!a)
		return -ENOENT;
	r = ifp_env_import(&e);
	return r ?: ifp_attempt_make(a, &e);
}

void ifpin_prove_list(FILE *out)
{
	for (size_t b = 0; ifp_batteries[b]; b++)
		for (const struct attempt *a = ifp_batteries[b]; a->name; a++)
			fprintf(out, "%-10s %-26s %s (%s)\n", a->class, a->name, a->sentence,
				a->rests_on);
}
