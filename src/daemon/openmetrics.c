// SPDX-License-Identifier: MIT
/* The text. Families one after the other, each with all its pins, as the format wants it. */
#include "exporter.h"

#include <ifpin/config.h>
#include <ifpin/confine.h>
#include <ifpin/fence.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct all {
	FILE *f;
	struct ifpin_pin_info *pins;
	struct ifpin_pin_counts *counts;
	size_t n;
};

static const char *const states[] = {
	[IFPIN_PIN_HELD] = "held",
	[IFPIN_PIN_DEVICE_GONE] = "device_gone",
	[IFPIN_PIN_REPLACED] = "replaced",
	[IFPIN_PIN_CGROUP_GONE] = "cgroup_gone",
	[IFPIN_PIN_OTHER_NETNS] = "other_netns",
	[IFPIN_PIN_BROKEN] = "broken",
};

/* Names of cgroups may be any bytes. */
static void label(FILE *f, const char *name, const char *value)
{
	fprintf(f, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			putc('\\', f);
		putc((unsigned char)*value < 0x20 || (unsigned char)*value > 0x7e ? '?' : *value,
			f);
	}
	putc('"', f);
}

static void head(FILE *f, const char *name, const char *type, const char *help)
{
	fprintf(f, "# TYPE %s %s\n# HELP %s %s\n", name, type, name, help);
}

static void sample(FILE *f, const char *name, const char *pin)
{
	fprintf(f, "%s{", name);
	label(f, "pin", pin);
}

static void write_pins(const struct all *a)
{
	FILE *f = a->f;

	head(f, "ifpin_pin", "info", "Confinements that the kernel holds.");
	for (size_t i = 0; i < a->n; i++) {
		const struct ifpin_pin_info *p = &a->pins[i];

		sample(f, "ifpin_pin_info", p->name);
		putc(',', f);
		label(f, "cgroup", p->cgroup);
		putc(',', f);
		label(f, "device", p->device.name);
		fprintf(f, ",ifindex=\"%u\",configured=\"%s\"} 1\n", p->device.ifindex,
			p->configured ? "yes" : "no");
	}
	head(f, "ifpin_pin_state", "stateset", "In which state each is.");
	for (size_t i = 0; i < a->n; i++)
		for (size_t s = 0; s < sizeof(states) / sizeof(states[0]); s++) {
			sample(f, "ifpin_pin_state", a->pins[i].name);
			fprintf(f, ",ifpin_pin_state=\"%s\"} %d\n", states[s],
				(size_t)a->pins[i].state == s);
		}
}

static void write_counts(const struct all *a)
{
	FILE *f = a->f;

	head(f, "ifpin_packets", "counter", "Packets that passed, on the device and on loopback.");
	for (size_t i = 0; i < a->n; i++) {
		sample(f, "ifpin_packets_total", a->pins[i].name);
		fprintf(f, ",direction=\"out\"} %" PRIu64 "\n", a->counts[i].packets_out);
		sample(f, "ifpin_packets_total", a->pins[i].name);
		fprintf(f, ",direction=\"in\"} %" PRIu64 "\n", a->counts[i].packets_in);
	}
	head(f, "ifpin_denials", "counter",
		"What was denied, by reason; only reasons that occurred.");
	for (size_t i = 0; i < a->n; i++)
		for (size_t j = 0; j < a->counts[i].n_denials; j++) {
			const struct ifpin_denial *d = &a->counts[i].denials[j];

			if (!d->count)
				continue;
			sample(f, "ifpin_denials_total", a->pins[i].name);
			putc(',', f);
			label(f, "reason", d->reason);
			fprintf(f, "} %" PRIu64 "\n", d->count);
		}
	head(f, "ifpin_processes", "gauge", "Processes that live in the cgroup.");
	for (size_t i = 0; i < a->n; i++) {
		sample(f, "ifpin_processes", a->pins[i].name);
		fprintf(f, "} %u\n", a->pins[i].processes);
	}
}

#ifdef HAVE_FENCE
static void write_fence_counts(FILE *f, const struct ifpin_fence *fence)
{
	for (size_t i = 0; i < fence->n_counters; i++) {
		if (!fence->counters[i].packets)
			continue;
		fputs("ifpin_fence_dropped_packets_total{", f);
		label(f, "fence", fence->name);
		putc(',', f);
		label(f, "reason", fence->counters[i].reason);
		fprintf(f, "} %" PRIu64 "\n", fence->counters[i].packets);
	}
}

/* A kernel without nftables has none. */
static int write_fences(FILE *f, struct ifpin_error *err)
{
	struct ifpin_fence *fences = NULL;
	size_t n = 0;
	int r = ifpin_fence_list(&fences, &n, err);

	if (r && r != -EOPNOTSUPP)
		return r;
	head(f, "ifpin_fence", "info", "Fences of the network namespace.");
	for (size_t i = 0; i < n; i++) {
		fputs("ifpin_fence_info{", f);
		label(f, "fence", fences[i].name);
		putc(',', f);
		label(f, "device", fences[i].device.name);
		fprintf(f, ",configured=\"%s\"} 1\n", *fences[i].configured ? "yes" : "no");
	}
	head(f, "ifpin_fence_dropped_packets", "counter",
		"What fences dropped, by reason; only reasons that occurred.");
	for (size_t i = 0; i < n; i++)
		write_fence_counts(f, &fences[i]);
	ifpin_fence_free(fences, n);
	return 0;
}
#else
static int write_fences(FILE *f, struct ifpin_error *err)
{
	(void)f;
	(void)err;
	return 0;
}
#endif

static void on_error(void *ctx, const char *path, unsigned int line, const char *text)
{
	(void)path;
	(void)line;
	(void)text;
	++*(unsigned long *)ctx;
}

/* What shall be in force, so that an alert can tell what is not. */
static void write_configured(FILE *f, const char *config_dir)
{
	struct ifpin_config_set *set = NULL;
	unsigned long errors = 0;

	ifpin_config_read_dir(config_dir, on_error, &errors, &set);
	head(f, "ifpin_configured", "gauge", "Pins that a file asks for.");
	for (size_t i = 0; set && i < set->n_files; i++) {
		if (!set->files[i]->pin)
			continue;
		sample(f, "ifpin_configured", set->files[i]->name);
		fputs("} 1\n", f);
	}
	head(f, "ifpin_fence_configured", "gauge", "Fences that a file asks for.");
	for (size_t i = 0; set && i < set->n_files; i++) {
		if (!set->files[i]->fence)
			continue;
		fputs("ifpin_fence_configured{", f);
		label(f, "fence", set->files[i]->fence->name);
		fputs("} 1\n", f);
	}
	head(f, "ifpin_config_errors", "gauge", "Errors in these files.");
	fprintf(f, "ifpin_config_errors %lu\n", errors);
	ifpin_config_set_free(set);
}

int metrics_write(FILE *f, const char *config_dir)
{
	struct all a = {.f = f};
	struct ifpin_error err;
	size_t kept = 0;
	int r = ifpin_pins(&a.pins, &a.n, &err);

	if (!r && a.n && !(a.counts = calloc(a.n, sizeof(*a.counts))))
		r = -ENOMEM;
	/* One that was ended meanwhile is left out. */
	for (size_t i = 0; !r && i < a.n; i++) {
		if (ifpin_pin_count(&a.pins[i], &a.counts[kept], &err))
			continue;
		a.pins[kept++] = a.pins[i];
	}
	if (r) {
		fprintf(stderr, "ifpin-exporter: %s\n", r == -ENOMEM ? "out of memory" : err.text);
	} else {
		a.n = kept;
		write_pins(&a);
		write_counts(&a);
		write_configured(f, config_dir);
		r = write_fences(f, &err);
		if (r)
			fprintf(stderr, "ifpin-exporter: %s\n", err.text);
		fputs("# EOF\n", f);
		if (ferror(f))
			r = -EIO;
	}
	free(a.counts);
	free(a.pins);
	return r;
}
