// SPDX-License-Identifier: MIT
/* Whether a fence stands as it was put up. */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <string.h>

struct finding {
	enum ifpin_finding kind;
	char text[512];
};

/* What is found is told when the lock is given back: whoever listens may take his time. */
struct check {
	struct finding *found;
	size_t n;
	bool no_memory;
	unsigned int broken;
	const struct ifpin_fence *fence;
	const struct ports *all;
};

void ifp_check_say(struct check *c, enum ifpin_finding finding, const char *fmt, ...)
{
	struct finding *f;
	va_list ap;

	c->broken += finding == IFPIN_FINDING_BROKEN;
	if (ifp_grow(&c->found, c->n, sizeof(*c->found))) {
		c->no_memory = true;
		return;
	}
	f = &c->found[c->n++];
	f->kind = finding;
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
}

/* ---- the rules, against those that the fence would have if it were put up now ---- */

/* One chain: how many rules it should have, and has; where it should hang, and hangs. */
struct chain {
	char family[8], name[32], hook[16], device[IF_NAMESIZE];
	long priority;
	unsigned int wanted, there;
	bool found;
};

struct chains {
	struct chain *list;
	size_t n;
};

static struct chain *chain_of(struct chains *c, const char *family, const char *name)
{
	for (size_t i = 0; i < c->n; i++)
		if (!strcmp(c->list[i].family, family) && !strcmp(c->list[i].name, name))
			return &c->list[i];
	return NULL;
}

static int add_chain(struct chains *c, const char *family, const char *name)
{
	struct chain *new;

	if (ifp_grow(&c->list, c->n, sizeof(*c->list)))
		return -ENOMEM;
	new = &c->list[c->n++];
	*new = (struct chain){};
	snprintf(new->family, sizeof(new->family), "%s", family);
	snprintf(new->name, sizeof(new->name), "%s", name);
	return 0;
}

/* The text of a plan has one thing a line. */
static int read_plan(const char *text, struct chains *ret)
{
	char family[8] = "", name[32] = "", line[256];
	bool in_chain = false;

	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		struct chain *c = in_chain ? &ret->list[ret->n - 1] : NULL;

		snprintf(line, sizeof(line), "%.*s", (int)strcspn(p, "\n"), p);
		if (sscanf(line, "table %7s", family) == 1)
			continue;
		if (sscanf(line, "\tchain %31s", name) == 1) {
			if (add_chain(ret, family, name))
				return -ENOMEM;
			in_chain = true;
		} else if (!strcmp(line, "\t}")) {
			in_chain = false;
		} else if (c && !strncmp(line, "\t\ttype ", 7)) {
			const char *device = strchr(line, '"');

			sscanf(line, "\t\ttype filter hook %15s", c->hook);
			sscanf(strstr(line, "priority "), "priority %ld", &c->priority);
			if (device)
				snprintf(c->device, sizeof(c->device), "%.*s",
					(int)strcspn(device + 1, "\""), device + 1);
		} else if (c) {
			c->wanted++;
		}
	}
	return 0;
}

static void compare(struct check *c, struct chains *chains, const char *family, json_object *items)
{
	for (size_t i = 0; i < json_object_array_length(items); i++) {
		json_object *item = json_object_array_get_idx(items, i), *o;
		struct chain *known;

		if ((o = ifp_nft_of(item, "rule"))) {
			known = chain_of(chains, family, ifp_nft_string(o, "chain"));
			if (known)
				known->there++;
		} else if ((o = ifp_nft_of(item, "chain"))) {
			known = chain_of(chains, family, ifp_nft_string(o, "name"));
			if (!known && family[0] != 'n')
				ifp_check_say(c, IFPIN_FINDING_BROKEN,
					"chain %s of table %s is not the fence's",
					ifp_nft_string(o, "name"), family);
			if (known)
				known->found =
					!strcmp(known->hook, ifp_nft_string(o, "hook")) &&
					known->priority == ifp_nft_int(o, "prio") &&
					(!*known->hook ||
						!strcmp(ifp_nft_string(o, "policy"), "accept"));
		}
	}
}

static void judge_chain(struct check *c, const struct chain *k)
{
	if (*k->device && !k->found)
		ifp_check_say(c, IFPIN_FINDING_BROKEN,
			"%s is not covered %s: apply the fence again, or use --follow", k->device,
			!strcmp(k->hook, "egress") ? "on its way out" : "on its way in");
	else if (!k->found)
		ifp_check_say(c, IFPIN_FINDING_BROKEN,
			"chain %s of table %s is missing or was changed", k->name, k->family);
	else if (k->there != k->wanted)
		ifp_check_say(c, IFPIN_FINDING_BROKEN,
			"chain %s of table %s has %u rules instead of %u", k->name, k->family,
			k->there, k->wanted);
}

/* JSON does not tell where a chain hangs. */
static void check_hooks(
	struct check *c, struct chains *chains, const char *family, const char *text)
{
	for (size_t i = 0; i < chains->n; i++) {
		struct chain *k = &chains->list[i];

		if (*k->device && !strcmp(k->family, family))
			k->found &= ifp_nft_hooked(text, c->fence->name, k->name, k->device);
	}
}

static size_t elements(json_object *items, const char *name)
{
	for (size_t i = 0; i < json_object_array_length(items); i++) {
		json_object *o = ifp_nft_of(json_object_array_get_idx(items, i), "set");
		json_object *elem = o && !strcmp(ifp_nft_string(o, "name"), name)
					    ? ifp_nft_of(o, "elem")
					    : NULL;

		if (elem)
			return json_object_array_length(elem);
	}
	return 0;
}

static void check_sets(
	struct check *c, const struct plan *plan, const char *family, json_object *items)
{
	size_t four = 0, six = 0;

	for (size_t i = 0; i < c->fence->n_prefixes; i++)
		(*(ifp_prefix_is_v4(&c->fence->prefixes[i]) ? &four : &six))++;
	if ((strcmp(family, "ip6") != 0 && elements(items, "p4") != four) ||
		(strcmp(family, "arp") != 0 && strcmp(family, "ip") != 0 &&
			elements(items, "p6") != six) ||
		(!strcmp(family, "ip6") && elements(items, "n6") != six) ||
		(!strncmp(family, "ip", 2) && elements(items, "covered") != plan->n_covered) ||
		(!strcmp(family, "bridge") && elements(items, "types") != c->fence->n_ethertypes))
		ifp_check_say(c, IFPIN_FINDING_BROKEN,
			"the sets of table %s do not hold what those of the others do", family);
}

/* One table is looked at as a whole, or what is wrong with it said once. */
static int check_table(struct check *c, const struct plan *plan, struct chains *chains,
	const char *family, struct ifpin_error *err)
{
	_cleanup_(ifp_nft_putp) json_object *items = NULL;
	_cleanup_free_ char *text = NULL;
	bool wanted = false, gone, off;
	char command[80];
	int r;

	for (size_t i = 0; i < chains->n; i++)
		wanted |= !strcmp(chains->list[i].family, family);
	if (!wanted)
		return 0;
	snprintf(command, sizeof(command), "list table %s " TABLE_PREFIX "%s", family, plan->name);
	r = ifp_nft_text(command, &text, err);
	gone = r == -ENOENT;
	off = !r && ifp_nft_dormant(text);
	if (gone || off) {
		ifp_check_say(c, IFPIN_FINDING_BROKEN, "table %s " TABLE_PREFIX "%s is %s", family,
			plan->name, gone ? "gone" : "switched off (dormant)");
		for (size_t i = 0; i < chains->n; i++)
			if (!strcmp(chains->list[i].family, family))
				chains->list[i].family[0] = 0;
		return 0;
	}
	if (!r)
		r = ifp_nft_list(command, &items, err);
	if (r)
		return r;
	compare(c, chains, family, items);
	check_sets(c, plan, family, items);
	check_hooks(c, chains, family, text);
	return 0;
}

static int check_rules(struct check *c, const struct plan *plan, struct ifpin_error *err)
{
	static const char *const families[] = {"ip", "ip6", "netdev", "bridge", "arp"};
	_cleanup_free_ char *text = ifp_plan_text(plan);
	struct chains chains = {};
	int r = text ? read_plan(text, &chains) : -ENOMEM;

	for (size_t k = 0; k < ARRAY_SIZE(families) && !r; k++)
		r = check_table(c, plan, &chains, families[k], err);
	for (size_t i = 0; i < chains.n && !r; i++)
		if (*chains.list[i].family)
			judge_chain(c, &chains.list[i]);
	free(chains.list);
	return r;
}

/* ---- the device ---- */

/* Where DEVICE is not, or another one is. */
static void check_absent(struct check *c, const struct place *p)
{
	const char *name = c->fence->device.name;

	if (p->taken && !c->fence->shut && p->marked)
		ifp_check_say(c, IFPIN_FINDING_BROKEN,
			"%s is gone, and another interface that has its name, index and group is taken "
			"for it and NOT shut out: delete that one, or use --follow; if it is meant, "
			"apply the fence again",
			name);
	else if (p->taken && !c->fence->shut)
		ifp_check_say(c, IFPIN_FINDING_BROKEN,
			"%s is gone, and another interface has its name and index; that is shut out but "
			"for frames of packet sockets and traffic control: delete that one, or use "
			"--follow; if it is meant, apply the fence again",
			name);
	else if (p->identity == IFPIN_REPLACED)
		ifp_check_say(c, IFPIN_FINDING_BROKEN,
			"%s is gone, and another interface has its name or index; that is shut out: "
			"apply the fence again when it is as it should be",
			name);
	else
		ifp_check_say(c, IFPIN_FINDING_BROKEN,
			"%s is gone; the fence stays closed: apply the fence again when it is as it "
			"should be",
			name);
}

static void check_device(struct check *c, const struct place *p)
{
	const char *name = c->fence->device.name;

	if (!p->here)
		check_absent(c, p);
	else if (p->identity != IFPIN_SAME || c->fence->shut)
		ifp_check_say(c, IFPIN_FINDING_BROKEN,
			"%s %s: apply the fence again, or use --follow", name,
			p->identity == IFPIN_RENAMED ? "has another name"
			: p->identity == IFPIN_BACK  ? "came back with another index"
						     : "came back, and is shut out still");
	else if (!p->marked)
		ifp_check_say(c, IFPIN_FINDING_BROKEN,
			"%s has not the group any more by which the fence knows it, and is shut out: "
			"apply the fence again, or use --follow",
			name);
}

static bool was_carrier(const struct ifpin_fence *f, uint32_t ifindex)
{
	for (size_t i = 0; i < f->n_carriers; i++)
		if (f->carriers[i] == ifindex)
			return true;
	return false;
}

static void check_carriers(struct check *c, const struct ports *carriers)
{
	bool same = carriers->n == c->fence->n_carriers;

	for (size_t i = 0; i < carriers->n; i++)
		same &= was_carrier(c->fence, carriers->list[i].ifindex);
	if (!same)
		ifp_check_say(c, IFPIN_FINDING_BROKEN,
			"other interfaces carry the frames of %s than when the fence was applied: "
			"apply it again",
			c->fence->device.name);
}

/* ---- programs ---- */

static void check_guard_at(struct check *c, const struct port *port, bool in)
{
	bool overtaken;
	int64_t id = ifp_guard_find(c->fence->name, port->ifindex, in, &overtaken);

	if (id <= 0)
		ifp_check_say(c, IFPIN_FINDING_BROKEN,
			"the fence's program for traffic control is not at %s on the way %s: apply the "
			"fence again, or use --follow",
			port->name, in ? "in" : "out");
	else if (overtaken)
		ifp_check_say(c, IFPIN_FINDING_BROKEN,
			"a program of somebody else comes before the fence's at %s on the way %s: end it, "
			"or remove the fence and apply it again",
			port->name, in ? "in" : "out");
}

/* Before Linux 6.6 there is no place for the program, at any device. */
static void check_guard(struct check *c, const struct ports *covered)
{
	if (!ifp_guard_has_place()) {
		ifp_check_say(c, IFPIN_FINDING_BEYOND,
			"this kernel has no place for the fence's program in traffic control (tcx, "
			"Linux 6.6); what that redirects passes no rule");
		return;
	}
	for (size_t i = 0; i < covered->n; i++) {
		check_guard_at(c, &covered->list[i], false);
		check_guard_at(c, &covered->list[i], true);
	}
}

static bool is_one_of(const struct ports *ports, const char *name)
{
	for (size_t i = 0; i < ports->n; i++)
		if (!strcmp(ports->list[i].name, name))
			return true;
	return false;
}

/* A network that was mistyped may be the one by which the host is administered. */
static int check_addresses(struct check *c, const struct ports *covered, struct ifpin_error *err)
{
	struct ifaddrs *all;

	if (getifaddrs(&all))
		return ifp_fail_errno(err, -errno, "cannot list the host's addresses");
	for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
		struct ifpin_prefix p = {.addr = {[10] = 0xff, 0xff}, .prefixlen = 128};
		char name[IF_NAMESIZE], text[INET6_ADDRSTRLEN];

		if (a->ifa_addr && a->ifa_addr->sa_family == AF_INET)
			memcpy(p.addr + 12, &((struct sockaddr_in *)a->ifa_addr)->sin_addr, 4);
		else if (a->ifa_addr && a->ifa_addr->sa_family == AF_INET6)
			memcpy(p.addr, &((struct sockaddr_in6 *)a->ifa_addr)->sin6_addr, 16);
		else
			continue;
		/* An address of IPv4 has a label, which may go on after the name. */
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(a->ifa_name, ":"), a->ifa_name);
		if (!ifp_prefix_holds(c->fence->prefixes, c->fence->n_prefixes, &p) ||
			!is_one_of(covered, name))
			continue;
		inet_ntop(a->ifa_addr->sa_family,
			p.addr + (a->ifa_addr->sa_family == AF_INET ? 12 : 0), text, sizeof(text));
		ifp_check_say(c, IFPIN_FINDING_NOTE,
			"%s has the address %s, which is fenced: nothing with it passes there",
			name, text);
	}
	freeifaddrs(all);
	return 0;
}

static int check_all(
	struct check *c, struct ports *carriers, struct ports *covered, struct ifpin_error *err)
{
	const struct ifpin_fence *f = c->fence;
	struct plan plan = {.name = f->name,
		.device = f->device,
		.carriers = carriers->list,
		.n_carriers = carriers->n,
		.covered = covered->list,
		.n_covered = covered->n,
		.prefixes = f->prefixes,
		.n_prefixes = f->n_prefixes,
		.ethertypes = f->ethertypes,
		.n_ethertypes = f->n_ethertypes,
		.configured = *f->configured ? f->configured : NULL,
		.asked = f->asked,
		.nat = f->nat,
		.bridge = f->bridge,
		.group = f->group,
		.shut = f->shut,
		.guarded = f->guarded};
	bool nat;
	struct place place;
	int r = check_rules(c, &plan, err)
			?: ifp_place_find(&f->device, f->group, c->all, &place, err)
			?: ifp_host_has_nat(&nat, err);

	if (r)
		return r;
	check_device(c, &place);
	check_carriers(c, carriers);
	check_guard(c, covered);
	r = check_addresses(c, covered, err);
	if (r)
		return r;
	if (nat && !f->nat && f->asked == IFPIN_FENCE_NAT_AUTO)
		ifp_check_say(c, IFPIN_FINDING_BROKEN,
			"the host translates addresses now and did not when the fence was applied: "
			"apply it again");
	return ifp_beyond(c, f, c->all, err);
}

/* Nobody changes it meanwhile, so that no half of a change is seen. */
static int look(struct check *c, const char *name, struct ifpin_error *err)
{
	_cleanup_(ifp_ports_free) struct ports all = {}, carriers = {}, covered = {};
	_cleanup_(ifp_state_clear) struct ifpin_fence f = {};
	_cleanup_close_ int lock = -1;
	int r = ifp_fence_lock(&lock, err) ?: ifp_state_read(name, &f, err);

	if (r)
		return r;
	if (!f.device.ifindex || (!f.n_prefixes && !f.n_ethertypes)) {
		ifp_check_say(c, IFPIN_FINDING_BROKEN,
			"somebody took a part of the fence \"%s\" away, and what it was told with it: "
			"apply it again",
			name);
		return 0;
	}
	r = ifp_ports_read(&all)
		    ?: ifp_ports_split(&all, f.shut ? NULL : &f.device, &carriers, &covered);
	if (r)
		return ifp_fail_errno(err, r, "cannot list the interfaces");
	c->fence = &f;
	c->all = &all;
	return check_all(c, &carriers, &covered, err);
}

int ifpin_fence_check(const char *name,
	void (*cb)(void *ctx, enum ifpin_finding finding, const char *text), void *ctx,
	unsigned int *ret_broken, struct ifpin_error *ret_error)
{
	struct check c = {};
	int r = ifp_fence_name_check(name, ret_error) ?: look(&c, name, ret_error);

	if (!r && c.no_memory)
		r = ifp_fail(ret_error, -ENOMEM, "out of memory");
	for (size_t i = 0; cb && i < c.n; i++)
		cb(ctx, c.found[i].kind, c.found[i].text);
	free(c.found);
	if (!r)
		*ret_broken = c.broken;
	return r;
}
