// SPDX-License-Identifier: MIT
/* libFuzzer target: whatever stands in the file of a pin. */
#include "config/config.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void hear(void *ctx, const char *path, unsigned int line, const char *text)
{
	(void)path;
	++*(unsigned int *)ctx;
	if (!text[0] || strchr(text, '\n') || line > 1u << 20)
		__builtin_trap();
}

static void check(const struct ifpin_config *c)
{
	const struct ifpin_config_fence *f = c->fence;

	if (f && (!f->device || !strncmp(f->device, "index:", 6) || !*f->name ||
			 strlen(f->name) > 16 || !(f->n_prefixes + f->n_ethertypes)))
		__builtin_trap();
	if (!c->pin && !f)
		__builtin_trap();
	if (!c->pin)
		return;
	if (!c->device || !strncmp(c->device, "index:", 6) || (c->cgroup && c->unit))
		__builtin_trap();
	if (!c->cgroup && !c->unit && !c->run)
		__builtin_trap();
	if (c->cgroup && (c->cgroup[0] != '/' || strstr(c->cgroup, "/../")))
		__builtin_trap();
	/* A request may only narrow, and somebody has to be named. */
	if (c->run && ((c->run_loopback && !c->loopback) || !(c->n_groups + c->n_users)))
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ifpin_config *c = calloc(1, sizeof(*c));
	unsigned int errors = 0;
	int r;

	if (!c)
		return 0;
	c->path = strdup("fuzz.conf");
	r = ifp_config_parse((const char *)data, size, hear, &errors, c);
	if (!r != !errors)
		__builtin_trap();
	if (!r)
		check(c);
	ifpin_config_free(c);
	return 0;
}
