// SPDX-License-Identifier: MIT
/* Findings that somebody has looked at and accepted, each with a reason. */
#include "audit.h"

#include <errno.h>
#include <string.h>

struct entry {
	char *id, *device, *reason; /* device: or NULL for whichever */
};

struct ifpin_accepted {
	VEC(struct entry) entries;
};

int ifpin_accepted_new(struct ifpin_accepted **ret_accepted)
{
	struct ifpin_accepted *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	*ret_accepted = a;
	return 0;
}

int ifpin_accepted_add(struct ifpin_accepted *accepted, const char *spec, const char *reason,
	struct ifpin_error *ret_error)
{
	_cleanup_free_ char *id = strdup(spec), *device = NULL, *why = strdup(reason);
	struct entry *e;
	char *at;

	if (!id || !why)
		return ifp_fail_errno(ret_error, -ENOMEM, "cannot accept a finding");
	/* An ID has no @; the name of a device may. */
	at = strchr(id, '@');
	if (at) {
		*at++ = 0;
		if (!*at || strlen(at) >= IF_NAMESIZE)
			return ifp_fail(ret_error, -EINVAL,
				"\"%.200s\": no device can be called what stands behind the @",
				spec);
		device = strdup(at);
	}
	if (!*why)
		return ifp_fail(ret_error, -EINVAL, "\"%.200s\": no reason is given", spec);
	if (!ifp_check_known(id))
		return ifp_fail(ret_error, -ENOENT,
			"no check is called \"%.200s\"; `ifpin audit --list` has them", id);
	e = at && !device ? NULL : vec_add(&accepted->entries);
	if (!e)
		return ifp_fail_errno(ret_error, -ENOMEM, "cannot accept a finding");
	*e = (struct entry){.id = id, .device = device, .reason = why};
	id = device = why = NULL;
	return 0;
}

static int read_line(struct ifpin_accepted *a, char *line, struct ifpin_error *err)
{
	char *spec, *reason;
	size_t len = strlen(line);

	while (len && strchr(" \t\r", line[len - 1]))
		line[--len] = 0;
	spec = line + strspn(line, " \t");
	if (!*spec || *spec == '#')
		return 0;
	reason = spec + strcspn(spec, " \t");
	if (*reason)
		*reason++ = 0;
	reason += strspn(reason, " \t");
	return ifpin_accepted_add(a, spec, reason, err);
}

int ifp_accepted_parse(struct ifpin_accepted *accepted, char *text, const char *path,
	struct ifpin_error *ret_error)
{
	unsigned int number = 0;
	struct ifpin_error err;
	char *line;

	while ((line = strsep(&text, "\n"))) {
		int r = read_line(accepted, line, &err);

		number++;
		if (r)
			return ifp_fail(
				ret_error, r, "%.400s: line %u: %.500s", path, number, err.text);
	}
	return 0;
}

int ifpin_accepted_read(
	struct ifpin_accepted *accepted, const char *path, struct ifpin_error *ret_error)
{
	_cleanup_free_ char *text = NULL;
	int r = ifp_read_file(path, &text);

	return r ? ifp_fail_errno(ret_error, r, "%s", path)
		 : ifp_accepted_parse(accepted, text, path, ret_error);
}

const char *ifp_accepted_reason(const struct ifpin_accepted *a, const char *id, const char *device)
{
	for (size_t i = 0; a && i < a->entries.n; i++) {
		const struct entry *e = &a->entries.v[i];

		if (!strcmp(e->id, id) && (!e->device || !strcmp(e->device, device)))
			return e->reason;
	}
	return NULL;
}

void ifpin_accepted_free(struct ifpin_accepted *accepted)
{
	if (!accepted)
		return;
	for (size_t i = 0; i < accepted->entries.n; i++) {
		free(accepted->entries.v[i].id);
		free(accepted->entries.v[i].device);
		free(accepted->entries.v[i].reason);
	}
	free(accepted->entries.v);
	free(accepted);
}
