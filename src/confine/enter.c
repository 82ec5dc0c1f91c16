// SPDX-License-Identifier: MIT
/* A process without privileges gives up, by itself and for good, what a cgroup does not hold. */
#include "internal.h"

#include "pin.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

static int as_confine(
	const struct ifpin_enter_opts *o, struct ifpin_confine_opts *ret, struct ifpin_error *err)
{
	if (o->size != sizeof(*o))
		return ifp_fail(err, -EINVAL, "options of another version of the library");
	/* To tie a socket for good takes a filter that others in the cgroup would not have. */
	if (o->inherit != IFPIN_INHERIT_REFUSE && o->inherit != IFPIN_INHERIT_CLOSE)
		return ifp_fail(err, -EINVAL,
			"open sockets can be closed or refused here, not tied to the device");
	*ret = (struct ifpin_confine_opts){
		.size = sizeof(*ret),
		.device.ifindex = o->ifindex,
		.loopback = true,
		.inherit = o->inherit,
		.log = o->log,
		.log_ctx = o->log_ctx,
	};
	return 0;
}

int ifpin_confine_privileged(struct ifpin_error *ret_error)
{
	static const cap_value_t needed[] = {CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_SETPCAP};

	return ifp_privileges_check(needed, ARRAY_SIZE(needed), ret_error);
}

int ifpin_enter_check(const struct ifpin_enter_opts *opts, struct ifpin_error *ret_error)
{
	struct ifpin_confine_opts c;
	struct ifpin_pin devices;

	return as_confine(opts, &c, ret_error) ?: ifp_pin_prepare(false, false, &devices, ret_error)
	       ?: ifp_inherit_check(&c, &devices, ret_error);
}

static void filter_freep(struct ifp_filter **f)
{
	ifp_filter_free(*f);
}

int ifpin_enter(const struct ifpin_enter_opts *opts, struct ifpin_error *ret_error)
{
	_cleanup_(filter_freep) struct ifp_filter *filter = NULL;
	struct ifpin_confine_opts c;
	int r = as_confine(opts, &c, ret_error);

	if (r)
		return r;
	r = ifp_try_pin(opts->ifindex);
	if (r)
		return ifp_fail_errno(ret_error, r,
			"this process is not confined to the device, or the device is gone");
	r = ifp_filter_make(&c, &filter, ret_error);
	if (r)
		return r;
	/* Without privileges the kernel takes a filter and a scope only from who cannot get any. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return ifp_fail_errno(ret_error, -errno, "cannot set no_new_privs");
	r = ifp_scope_enter(&c);
	if (r)
		return ifp_fail_errno(
			ret_error, r, "cannot keep processes outside from being traced (Landlock)");
	r = ifp_filter_load(filter);
	if (r)
		return ifp_fail_errno(ret_error, r,
			"cannot load the system call filter (kernel option CONFIG_SECCOMP_FILTER)");
	if (!ifp_scope_available())
		ifp_say(&c,
			"not held: tracing processes outside of the same user (Landlock scopes, Linux 6.12)");
	return 0;
}
