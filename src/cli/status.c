// SPDX-License-Identifier: MIT
#include "cli.h"
#include "show.h"

#include <ifpin/sockets.h>

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_NOT_HELD 3 /* as systemctl(1) has it */

static const char help_text[] =
	"Usage: ifpin status [--json] [NAME...]\n"
	"\n"
	"Tell whether confinements are held, what passed them and what did not: those named, or all.\n"
	"\n"
	"Options:\n"
	"  --json      write JSON\n"
	"  -h, --help  this text\n"
	"\n"
	"Exit status: 0 if all is held; 3 if one is closed, has ended or is broken; 125 on failure.\n";

/* Sockets of one confinement, by verdict. */
struct sockets {
	unsigned int n[IFPIN_SOCKET_VERDICTS];
};

struct status {
	struct ifpin_pin_info *pins; /* those to show */
	struct ifpin_pin_counts *counts;
	struct sockets *sockets;
	size_t n;
	bool followed;
	unsigned int unread; /* processes that may not be looked into */
};

static void status_free(struct status *s)
{
	free(s->pins);
	free(s->counts);
	free(s->sockets);
}

/* What was taken away cannot be read: then there are no counts. */
static bool has_counts(const struct ifpin_pin_counts *c)
{
	return c->n_denials;
}

/* ---- text ---- */

static bool in_colour(void)
{
	const char *no = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && (!no || !*no);
}

static void print_state(const struct ifpin_pin_info *p)
{
	const char *colour = p->state == IFPIN_PIN_HELD		 ? "\033[1;32m"
			     : p->state == IFPIN_PIN_OTHER_NETNS ? "\033[1;33m"
								 : "\033[1;31m";

	if (in_colour())
		printf("      State: %s%s\033[0m\n", colour, ifpin_pin_state_text(p->state));
	else
		printf("      State: %s\n", ifpin_pin_state_text(p->state));
}

static void print_device(const struct ifpin_device *d)
{
	char name[64], mac[3 * IFPIN_MAC_SIZE + 1];

	if (!d->ifindex)
		return;
	printf("     Device: %s (ifindex %u", show_name(d->name, name), d->ifindex);
	if (*show_mac(d, mac))
		printf(", %s", mac);
	if (*d->kind)
		printf(", %s", show_name(d->kind, name));
	puts(")");
}

static void print_options(const struct ifpin_pin_info *p)
{
	printf("    Options: loopback=%s", p->loopback ? "allow" : "deny");
	if (p->attached)
		printf(" dns=%s rebind=%s abort=%s", p->guard_resolvers ? "guard" : "system",
			p->rebind ? "yes" : "no", p->abort ? "yes" : "no");
	putchar('\n');
}

static void print_counts(const struct ifpin_pin_counts *c)
{
	bool any = false;

	if (!has_counts(c))
		return;
	printf("     Passed: %llu packets out, %llu in\n", (unsigned long long)c->packets_out,
		(unsigned long long)c->packets_in);
	for (size_t i = 0; i < c->n_denials; i++) {
		const struct ifpin_denial *d = &c->denials[i];

		if (!d->count)
			continue;
		printf("%s %llu: %s (%s)\n",
			any ? "            " : "     Denied:", (unsigned long long)d->count,
			d->text, d->reason);
		any = true;
	}
	if (!any)
		puts("     Denied: nothing");
}

static void print_sockets(const struct sockets *sockets)
{
	bool any = false;

	fputs("    Sockets:", stdout);
	for (int v = 0; v < IFPIN_SOCKET_VERDICTS; v++) {
		if (!sockets->n[v])
			continue;
		printf("%s %u %s", any ? "," : "", sockets->n[v],
			ifpin_socket_verdict_name((enum ifpin_socket_verdict)v));
		any = true;
	}
	puts(any ? "" : " none");
}

static void print_pin(const struct status *s, size_t i)
{
	const struct ifpin_pin_info *p = &s->pins[i];
	char since[32], cgroup[IFPIN_CGROUP_PATH_SIZE];

	printf("%s%s\n", i ? "\n" : "", p->name);
	print_state(p);
	print_device(&p->device);
	if (*p->cgroup)
		printf("     Cgroup: %s\n  Processes: %u\n",
			show_clean(p->cgroup, cgroup, sizeof(cgroup)), p->processes);
	if (*p->cgroup)
		print_options(p);
	if (p->since)
		printf("      Since: %s\n", show_time(p->since, "%F %T %z", since));
	print_counts(&s->counts[i]);
	if (p->state != IFPIN_PIN_OTHER_NETNS)
		print_sockets(&s->sockets[i]);
	if (p->attached && p->state != IFPIN_PIN_OTHER_NETNS)
		printf("   Followed: %s\n",
			s->followed ? "yes"
				    : "no: if the device goes, it stays closed until ifpind runs");
}

/* ---- JSON ---- */

static void add_counts(struct json_object *o, const struct ifpin_pin_counts *c)
{
	struct json_object *passed, *denied;

	if (!has_counts(c)) {
		json_object_object_add(o, "passed", NULL);
		json_object_object_add(o, "denied", NULL);
		return;
	}
	passed = json_object_new_object();
	show_number(passed, "out", c->packets_out);
	show_number(passed, "in", c->packets_in);
	json_object_object_add(o, "passed", passed);
	denied = json_object_new_object();
	for (size_t i = 0; i < c->n_denials; i++)
		show_number(denied, c->denials[i].reason, c->denials[i].count);
	json_object_object_add(o, "denied", denied);
}

/* Those of another network namespace are not to be seen from here. */
static void add_sockets(struct json_object *o, const struct status *s, size_t i)
{
	struct json_object *sockets;

	if (s->pins[i].state == IFPIN_PIN_OTHER_NETNS) {
		json_object_object_add(o, "sockets", NULL);
		return;
	}
	sockets = json_object_new_object();
	for (int v = 0; v < IFPIN_SOCKET_VERDICTS; v++)
		show_number(sockets, ifpin_socket_verdict_name((enum ifpin_socket_verdict)v),
			s->sockets[i].n[v]);
	json_object_object_add(o, "sockets", sockets);
}

static void write_json(const struct status *s)
{
	struct json_object *top = json_object_new_object(), *list = json_object_new_array();

	for (size_t i = 0; i < s->n; i++) {
		struct json_object *o = show_pin(&s->pins[i]);

		add_counts(o, &s->counts[i]);
		add_sockets(o, s, i);
		json_object_array_add(list, o);
	}
	show_bool(top, "followed", s->followed);
	show_number(top, "unread_processes", s->unread);
	json_object_object_add(top, "confinements", list);
	show_pretty(top);
}

/* ---- the command ---- */

static bool is_wanted(const struct ifpin_pin_info *p, char **names, int n)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(p->name, names[i]))
			return true;
	return !n;
}

/* Return: 0; -ENOENT: one of the names is of none. */
static int choose(struct status *s, char **names, int n, struct ifpin_error *err)
{
	size_t kept = 0;

	for (int i = 0; i < n; i++) {
		bool found = false;

		for (size_t k = 0; k < s->n && !found; k++)
			found = !strcmp(s->pins[k].name, names[i]);
		if (!found) {
			err->code = -ENOENT;
			snprintf(err->text, sizeof(err->text),
				"no confinement is called \"%s\"; see: ifpin list", names[i]);
			return -ENOENT;
		}
	}
	for (size_t i = 0; i < s->n; i++)
		if (is_wanted(&s->pins[i], names, n))
			s->pins[kept++] = s->pins[i];
	s->n = kept;
	return 0;
}

/* One that ends meanwhile is not shown. */
static int look(struct status *s, struct ifpin_error *err)
{
	size_t kept = 0;

	s->counts = calloc(s->n ?: 1, sizeof(*s->counts));
	if (!s->counts) {
		err->code = -ENOMEM;
		strcpy(err->text, "out of memory");
		return -ENOMEM;
	}
	for (size_t i = 0; i < s->n; i++) {
		struct ifpin_pin_info *p = &s->pins[i];
		int r = ifpin_pin_check(p, err);

		if (r == -ENOENT)
			continue;
		if (r)
			return r;
		if (ifpin_pin_count(p, &s->counts[kept], err) && p->state != IFPIN_PIN_BROKEN)
			return err->code;
		s->pins[kept++] = *p;
	}
	s->n = kept;
	return 0;
}

/* Made in the confinement, or held by a process that is in it. */
static bool belongs(const struct ifpin_socket_info *s, const char *name)
{
	if (!strcmp(s->confinement, name))
		return true;
	for (size_t i = 0; i < s->n_holders; i++)
		if (!strcmp(s->holders[i].confinement, name))
			return true;
	return false;
}

static int count_sockets(struct status *s, struct ifpin_error *err)
{
	struct ifpin_confined *confined = NULL;
	struct ifpin_socket_info *sockets = NULL;
	size_t n_confined, n = 0;
	int r = 0;

	s->sockets = calloc(s->n ?: 1, sizeof(*s->sockets));
	if (!s->sockets) {
		err->code = -ENOMEM;
		strcpy(err->text, "out of memory");
		return -ENOMEM;
	}
	if (s->n)
		r = ifpin_confined_list(&confined, &n_confined, err);
	if (!r && s->n)
		r = ifpin_sockets(confined, n_confined, &sockets, &n, &s->unread, err);
	for (size_t i = 0; !r && i < s->n; i++)
		for (size_t k = 0; k < n; k++)
			if (belongs(&sockets[k], s->pins[i].name))
				s->sockets[i].n[sockets[k].verdict]++;
	free(confined);
	free(sockets);
	return r;
}

static bool all_held(const struct status *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->pins[i].state != IFPIN_PIN_HELD && s->pins[i].state != IFPIN_PIN_OTHER_NETNS)
			return false;
	return true;
}

static int status(char **names, int n, bool json)
{
	struct status s = {};
	struct ifpin_error err;
	int r = show_pins(&s.pins, &s.n, &err);

	if (!r)
		r = choose(&s, names, n, &err);
	if (!r)
		r = look(&s, &err);
	if (!r)
		r = count_sockets(&s, &err);
	if (!r)
		r = ifpin_followed(&s.followed, &err);
	if (r) {
		show_error(&err);
		status_free(&s);
		return 125;
	}
	if (json)
		write_json(&s);
	else if (!s.n)
		puts("no confinements");
	for (size_t i = 0; i < s.n && !json; i++)
		print_pin(&s, i);
	r = all_held(&s) ? 0 : EXIT_NOT_HELD;
	status_free(&s);
	return r;
}

int cmd_status(int argc, char **argv)
{
	bool json;
	int r = parse_json(argc, argv, "status", help_text, &json);

	return r >= 0 ? r : status(argv + optind, argc - optind, json);
}
