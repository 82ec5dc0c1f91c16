// SPDX-License-Identifier: MIT
/* Reads the host into a snapshot, lets the checks judge it, and keeps what they found. */
#include "audit.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

static const struct check_class *const classes[] = {&ifp_checks_forward, &ifp_checks_relation,
	&ifp_checks_conf, &ifp_checks_address, &ifp_checks_route, &ifp_checks_nft,
	&ifp_checks_steer, &ifp_checks_socket, &ifp_checks_privilege};

static const struct check *check_at(size_t i)
{
	for (size_t c = 0; c < ARRAY_SIZE(classes); c++) {
		if (i < classes[c]->n)
			return &classes[c]->v[i];
		i -= classes[c]->n;
	}
	return NULL;
}

const struct ifpin_audit_check *ifpin_audit_check_at(size_t i)
{
	const struct check *c = check_at(i);

	return c ? &c->about : NULL;
}

const char *ifpin_severity_name(enum ifpin_severity severity)
{
	static const char *const names[] = {"notice", "warning", "critical"};

	return (size_t)severity < ARRAY_SIZE(names) ? names[severity] : "unknown";
}

bool ifp_check_known(const char *id)
{
	const struct check *c;

	for (size_t i = 0; (c = check_at(i)); i++)
		if (!strcmp(c->about.id, id))
			return true;
	return false;
}

/* ---- what checks ask ---- */

bool ifp_is_loopback(const struct alink *l)
{
	return l->flags & IFF_LOOPBACK;
}

bool ifp_is_subject(const struct judge *j, const struct alink *l)
{
	return j->dev ? l == j->dev : !ifp_is_loopback(l);
}

/* Of a host with one device there is no other; loopback, and what is down, does not count. */
static bool has_several(const struct snapshot *s)
{
	size_t n = 0;

	for_each_link (l, s)
		if (!ifp_is_loopback(l) && l->flags & IFF_UP && ++n > 1)
			return true;
	return false;
}

bool ifp_is_other(const struct judge *j, const struct alink *l)
{
	return l != j->dev && !ifp_is_loopback(l) && l->flags & IFF_UP &&
	       (j->dev || has_several(j->s));
}

bool ifp_prefix_has(const uint8_t net[16], unsigned int len, const uint8_t addr[16])
{
	unsigned int bytes = len / 8, bits = len % 8;

	if (memcmp(net, addr, bytes) != 0)
		return false;
	return !bits || !((net[bytes] ^ addr[bytes]) >> (8 - bits));
}

struct prefix_text ifp_address_text(const uint8_t addr[16])
{
	struct prefix_text t;

	ifp_addr_text(addr, t.s);
	return t;
}

struct prefix_text ifp_prefix_text(const uint8_t addr[16], unsigned int len)
{
	struct prefix_text t;
	size_t used;

	ifp_addr_text(addr, t.s);
	used = strlen(t.s);
	if (len < 128)
		snprintf(t.s + used, sizeof(t.s) - used, "/%u",
			ifp_addr_is_v4(addr) && len >= 96 ? len - 96 : len);
	return t;
}

struct quoted ifp_quote(const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "._:@-+";
	struct quoted q;
	char *p = q.s;

	/* A name that begins with a dash would pass for an option; nobody names a device so. */
	if (*word && strspn(word, plain) == strlen(word) && strlen(word) < sizeof(q.s)) {
		strcpy(q.s, word);
		return q;
	}
	*p++ = '\'';
	for (; *word && p < q.s + sizeof(q.s) - 6; word++) {
		if (*word == '\'') {
			memcpy(p, "'\\''", 4);
			p += 4;
		} else {
			*p++ = *word;
		}
	}
	*p++ = '\'';
	*p = 0;
	return q;
}

struct mend ifp_set(int family, const char *device, const char *name, int value)
{
	const char *ip = family == AF_INET ? "ipv4" : "ipv6";
	struct quoted dev = ifp_quote(device);
	struct mend m;

	if (dev.s[0] == '\'')
		snprintf(m.s, sizeof(m.s), "echo %d >/proc/sys/net/%s/conf/%s/%s", value, ip, dev.s,
			name);
	else
		snprintf(
			m.s, sizeof(m.s), "sysctl -w net/%s/conf/%s/%s=%d", ip, dev.s, name, value);
	return m;
}

/* Names of devices and processes may hold what would write over a terminal's line. */
static void make_printable(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
}

void ifp_found(struct judge *j, const struct alink *about, const char *mend, const char *fmt, ...)
{
	struct ifpin_finding *f = vec_add(&j->audit->findings);
	const char *reason;
	va_list ap;

	if (!f) {
		j->no_memory = true;
		return;
	}
	f->check = &j->check->about;
	if (about)
		memcpy(f->device, about->dev.name, sizeof(f->device));
	va_start(ap, fmt);
	if (vasprintf(&f->evidence, fmt, ap) < 0)
		f->evidence = NULL;
	va_end(ap);
	f->mend = strdup(mend);
	reason = ifp_accepted_reason(j->accepted, f->check->id, f->device);
	f->accepted = reason ? strdup(reason) : NULL;
	if (!f->evidence || !f->mend || (reason && !f->accepted))
		j->no_memory = true;
	else
		make_printable(f->evidence);
}

/* ---- the whole ---- */

static bool is_asked_for(const struct check *c, const char *only)
{
	return !only || !strcmp(only, c->about.id) || !strcmp(only, c->about.class_name);
}

int ifp_judge(struct ifpin_audit *a, const struct alink *dev, const char *only,
	const struct ifpin_accepted *accepted)
{
	struct judge j = {.s = &a->s, .dev = dev, .audit = a, .accepted = accepted};
	bool any = false;

	for (size_t i = 0; (j.check = check_at(i)); i++) {
		if (!is_asked_for(j.check, only))
			continue;
		any = true;
		j.check->fn(&j);
	}
	return j.no_memory ? -ENOMEM : any ? 0 : -ENOENT;
}

static void freep(struct ifpin_audit **a)
{
	ifpin_audit_free(*a);
}

static int find_device(
	const struct ifpin_audit *a, const struct ifpin_device *device, const struct alink **ret)
{
	const struct alink *l = device ? ifp_link_at(&a->s, device->ifindex) : NULL;

	if (device && (!l || !ifp_device_same(device, &l->dev)))
		return -ENODEV;
	*ret = l;
	return 0;
}

int ifpin_audit_run(const struct ifpin_audit_opts *opts, struct ifpin_audit **ret_audit,
	struct ifpin_error *ret_error)
{
	_cleanup_(freep) struct ifpin_audit *a = NULL;
	const struct alink *dev = NULL;
	int r = ifp_opts_check(opts, sizeof(*opts), ret_error);

	if (r)
		return r;
	a = calloc(1, sizeof(*a));
	if (!a)
		return ifp_fail_errno(ret_error, -ENOMEM, "cannot inspect the host");
	r = ifp_snapshot_read(&a->s);
	if (r)
		return ifp_fail_errno(ret_error, r, "cannot read the host's devices");
	r = find_device(a, opts->device, &dev);
	if (r)
		return ifp_fail_errno(ret_error, r, "%s", opts->device->name);
	r = ifp_judge(a, dev, opts->only, opts->accepted);
	if (r == -ENOENT)
		return ifp_fail(ret_error, r,
			"no check and no class of checks is called \"%s\"; `ifpin audit "
			"--list` has them",
			opts->only);
	if (r)
		return ifp_fail_errno(ret_error, r, "cannot judge the host");
	*ret_audit = a;
	a = NULL;
	return 0;
}

const struct ifpin_finding *ifpin_audit_findings(const struct ifpin_audit *audit, size_t *ret_n)
{
	*ret_n = audit->findings.n;
	return audit->findings.v;
}

const struct ifpin_audit_gap *ifpin_audit_gaps(const struct ifpin_audit *audit, size_t *ret_n)
{
	*ret_n = audit->s.gaps.n;
	return audit->s.gaps.v;
}

void ifpin_audit_free(struct ifpin_audit *audit)
{
	if (!audit)
		return;
	for (size_t i = 0; i < audit->findings.n; i++) {
		free(audit->findings.v[i].evidence);
		free(audit->findings.v[i].mend);
		free(audit->findings.v[i].accepted);
	}
	free(audit->findings.v);
	ifp_snapshot_free(&audit->s);
	free(audit);
}
