// SPDX-License-Identifier: MIT
#include "follow.h"
#include "lsm.h"
#include "programs.h"
#include "run_tell.h"

#include "host/cgroup.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Everything that one run holds, so that one place lets go of it. */
struct run {
	const struct ifpin_confine_opts *opts;
	struct ifp_cgroup cgroup;
	struct ifp_programs *programs;
	struct ifp_set set; /* maps of the programs */
	struct ifp_pin pin;
	struct ifpin_pin value;
	struct ifp_lsm *lsm; /* NULL: the kernel has none */
	struct ifp_follow *follow;
	struct ifp_filter *filter;
	struct ifp_user user;
	struct ifp_dns dns;
	struct ifp_signals signals;
	pid_t init; /* of the command's PID namespace; 0: it has none of its own */
};

void ifp_say(const struct ifpin_confine_opts *o, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (!o->log)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	o->log(o->log_ctx, line);
}

static void say_mechanisms(const struct run *r)
{
	const struct ifpin_confine_opts *o = r->opts;

	ifp_say(o, "cgroup: %s; the command starts inside it", r->cgroup.name);
	ifp_say(o, "egress and ingress programs: packets pass on %s (ifindex %u)%s only",
		o->device.name, o->device.ifindex, o->loopback ? " and loopback" : "");
	ifp_say(o, "sock_create, connect, sendmsg, bind programs: sockets are tied to the device");
	ifp_say(o,
		"setsockopt program: rebinding, joins elsewhere and multicast routing are refused");
	ifp_say(o, "device program: tun, macvtap, vfio, /dev/mem and the like are refused");
	ifp_say(o,
		"seccomp: other address families, io_uring, other ABIs' ways around are refused");
	ifp_say(o, "capabilities: what changes the network or other processes is dropped for good");
	ifp_say(o, "sysctl program: settings of the kernel cannot be changed");
	ifp_say(o, "mounts: cgroupfs and /sys are read-only%s",
		r->dns.replace ? "; resolv.conf is the command's own" : "");
	if (ifp_scope_wanted(o))
		ifp_say(o, "Landlock: processes outside cannot be traced or signalled");
	else if (!o->isolate)
		ifp_say(o,
			"not held: tracing processes outside of the same user (Landlock scopes, Linux 6.12)");
	if (r->lsm) {
		ifp_say(o,
			"BPF LSM: sockets made outside cannot be received; other address families, and "
			"look-ups of IPv6 routes, are refused");
		return;
	}
	ifp_say(o,
		"not held: sockets handed over by processes outside (SCM_RIGHTS; BPF LSM, which is not active)");
	ifp_say(o,
		"not held: a look-up of an IPv6 route may make the kernel look for a gateway (BPF LSM)");
}

int ifp_name_check(const char *name, struct ifpin_error *err)
{
	size_t n = name ? strlen(name) : 1;

	if (!n || n >= IFPIN_PIN_NAME_SIZE ||
		(name && strspn(name, "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != n))
		return ifp_fail(err, -EINVAL, "a name has 1 to %d letters, digits, '.', '_' or '-'",
			IFPIN_PIN_NAME_SIZE - 1);
	return 0;
}

/* A packet that is routed in a VRF leaves by a device in it, and that is what the programs see. */
int ifp_device_check(const struct ifpin_device *d, struct ifpin_error *err)
{
	if (strcmp(d->kind, "vrf") != 0)
		return 0;
	return ifp_fail(err, -EOPNOTSUPP,
		"%s is a VRF, and packets leave by the interfaces in it: name one of those",
		d->name);
}

static void say_routes(const struct ifpin_confine_opts *opts, const struct ifpin_pin *v)
{
	for (int i = 0; i < 2; i++)
		ifp_say(opts, "routing: the host's IPv%d routes to the device's networks lead %s",
			i ? 6 : 4,
			v->routes_agree[i] ? "there; sockets need no binding"
					   : "elsewhere; sockets are bound");
}

/* What is held is one device until it is deleted. */
static int make_value(struct run *r, struct ifpin_error *err)
{
	const struct ifpin_confine_opts *o = r->opts;
	int e = ifp_set_add(&r->set, &r->value);

	if (!e)
		e = ifp_set_hold(&r->set, &r->value, &o->device);
	if (e == -ENODEV || e == -ESTALE)
		return ifp_fail(err, e, "%s is gone", o->device.name);
	return e ? ifp_fail_errno(err, e, "cannot hold the interface (BPF_MAP_TYPE_DEVMAP_HASH)")
		 : 0;
}

static int load(struct run *r, struct ifpin_error *err)
{
	const struct ifp_programs_opts o = {};
	struct ifp_followed followed = {
		.ifindex = r->opts->device.ifindex, .value = &r->value, .pin = &r->pin};
	int e = ifp_programs_load(&o, &r->programs, err);

	if (e)
		return e;
	r->set = ifp_programs_set(r->programs);
	e = make_value(r, err);
	if (e)
		return e;
	followed.host = ifp_programs_host(r->programs);
	e = ifp_follow_start(&followed, &r->follow, err);
	if (!e)
		say_routes(r->opts, &r->value);
	return e;
}

/* They hold from here on. Whatever is in the storage of a cgroup is there with the first of them.
 */
static int attach(struct run *r, struct ifpin_error *err)
{
	int e = ifp_programs_attach(r->programs, r->cgroup.fd, err);

	if (e)
		return e;
	r->pin = (struct ifp_pin){.set = &r->set, .id = r->value.id};
	r->value.armed = 1;
	e = ifp_cgroup_id(r->cgroup.fd, &r->pin.cgroup_id);
	if (!e)
		e = ifp_pin_write(&r->pin, &r->value);
	return e ? ifp_fail_errno(err, e, "cannot write to the storage of the cgroup") : 0;
}

/* From here on nobody inside is without it. */
static int arm_lsm(struct run *r, struct ifpin_error *err)
{
	int e = r->lsm ? ifp_lsm_attach(r->lsm, r->cgroup.fd, err) : 0;

	if (r->lsm && !e)
		e = ifp_lsm_arm(r->lsm, r->cgroup.fd, ifp_families(r->opts->allow_families),
			r->value.id, err);
	return e;
}

/* Nobody who watches keeps a command from running. */
static void tell(struct run *r)
{
	int e = ifp_run_tell_if_watched(r->cgroup.fd, r->set.pins,
		ifp_programs_host(r->programs).host, r->value.id, ifp_cgroup_label(&r->cgroup));

	if (e)
		ifp_say(r->opts, "what is denied is not told to those who watch: %s",
			ifpin_strerror(e));
}

/* All that can be refused before anything is made. */
static int prepare(struct run *r, struct ifpin_error *err)
{
	const struct ifpin_confine_opts *o = r->opts;
	static const cap_value_t needed[] = {CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_SETPCAP};
	int e = ifp_name_check(o->name, err);

	if (!e)
		e = ifp_device_check(&o->device, err);
	if (!e)
		e = ifp_privileges_check(needed, ARRAY_SIZE(needed), err);
	if (!e)
		e = ifp_pin_prepare(o->loopback, o->dns != IFPIN_DNS_SYSTEM, &r->value, err);
	if (!e)
		e = ifp_inherit_check(o, &r->value, err);
	if (!e && o->user)
		e = ifp_user_find(o->user, &r->user, err);
	if (!e)
		e = ifp_dns_find(o, &r->dns, err);
	if (!e)
		e = ifp_filter_make(o, &r->filter, err);
	if (!e)
		e = load(r, err);
	if (!e)
		e = ifp_cgroup_make(o->name, &r->cgroup, err);
	if (!e)
		e = ifp_lsm_open(NULL, &r->lsm, err);
	if (!e)
		e = attach(r, err);
	if (!e)
		e = arm_lsm(r, err);
	if (!e)
		tell(r);
	return e;
}

static bool read_one(int fd, struct ifp_child_report *ret)
{
	ssize_t n;

	do
		n = read(fd, ret, sizeof(*ret));
	while (n < 0 && errno == EINTR);
	return n == sizeof(*ret);
}

/* First that all is set up, then nothing: exec has closed the pipe. */
static int read_report(int fd, struct ifpin_summary *sum, struct ifpin_error *err)
{
	struct ifp_child_report rep;

	if (!read_one(fd, &rep))
		return ifp_fail(err, -ECHILD,
			"the process that was to become the command has been killed; nothing was run");
	if (rep.err)
		return ifp_fail_errno(err, rep.err, "cannot %s; nothing was run", rep.what);
	if (!read_one(fd, &rep))
		return 0;
	sum->exit_status = rep.err == -ENOENT ? IFPIN_EXIT_NOENT : IFPIN_EXIT_NOEXEC;
	return ifp_fail_errno(err, rep.err, "cannot run \"%s\"", rep.what);
}

static int start_and_wait(struct run *r, struct ifpin_summary *sum, struct ifpin_error *err)
{
	_cleanup_close_ int rd = -1, wr = -1;
	struct ifp_child c = {
		.opts = r->opts,
		.filter = r->filter,
		.user = &r->user,
		.dns = &r->dns,
		.cgroup_fd = r->cgroup.fd,
		.signals = &r->signals,
		.lsm_probe = r->lsm ? r->value.id : 0,
	};
	_cleanup_close_ int self = -1;
	int pipefd[2], status = IFPIN_EXIT_SETUP, e;
	pid_t pid;

	if (pipe2(pipefd, O_CLOEXEC))
		return ifp_fail_errno(err, -errno, "cannot make a pipe");
	rd = pipefd[0];
	wr = c.report_fd = pipefd[1];
	c.supervisor_fd = self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (self < 0)
		return ifp_fail_errno(
			err, -errno, "cannot open a descriptor of the process itself");
	e = ifp_signals_block(&r->signals);
	if (e)
		return ifp_fail_errno(err, e, "cannot block signals");
	pid = ifp_child_start(&c, &r->init);
	close(ifp_take_fd(&wr));
	if (pid < 0)
		return ifp_fail_errno(err, pid,
			"cannot start a process inside the cgroup (clone3 with CLONE_INTO_CGROUP; "
			"ifpin needs Linux 6.0)");
	e = read_report(rd, sum, err);
	if (e) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return e;
	}
	sum->started = true;
	ifp_cgroup_tidy(&r->cgroup);
	e = ifp_supervise(pid, r->follow, &status);
	sum->exit_status = status;
	return e ? ifp_fail_errno(err, e, "cannot wait for the command") : 0;
}

/* Those of BPF LSM, and those of the programs. */
static void read_denials(const struct run *r, const uint64_t *of_lsm, struct ifpin_summary *sum)
{
	struct ifpin_denials d = {};

	if (bpf_map_lookup_elem(r->set.denied, &r->value.id, &d))
		return;
	for (int i = 0; i < IFPIN_REASON_COUNT; i++)
		d.denied[i] += of_lsm[i];
	ifp_denials_from((const uint64_t *)d.denied, sum->denials, &sum->n_denials);
}

static void finish(struct run *r, struct ifpin_summary *sum)
{
	uint64_t denials[IFPIN_REASON_SLOTS] = {};

	/* These counters go with the cgroup, the others with the programs. */
	if (r->lsm && r->cgroup.fd >= 0)
		ifp_lsm_denials(r->lsm, r->cgroup.fd, denials);
	if (r->cgroup.fd >= 0)
		sum->left_behind = ifp_cgroup_destroy(&r->cgroup);
	if (r->init > 0)
		waitpid(r->init, NULL, sum->left_behind ? WNOHANG : 0);
	if (r->programs)
		read_denials(r, denials, sum);
	ifp_follow_free(r->follow);
	ifp_programs_free(r->programs);
	ifp_lsm_free(r->lsm);
	ifp_filter_free(r->filter);
	ifp_user_free(&r->user);
	ifp_signals_unblock(&r->signals);
}

int ifpin_confine_run(const struct ifpin_confine_opts *opts, struct ifpin_summary *ret_summary,
	struct ifpin_error *ret_error)
{
	struct run r = {.opts = opts, .cgroup = {.fd = -1, .parent_fd = -1}};
	struct ifpin_summary sum = {.exit_status = IFPIN_EXIT_SETUP};
	int e;

	*ret_summary = sum;
	if (opts->size != sizeof(*opts))
		return ifp_fail(ret_error, -EINVAL, "options of another version of the library");
	if (!opts->argv || !opts->argv[0])
		return ifp_fail(ret_error, -EINVAL, "no command given");
	e = prepare(&r, ret_error);
	if (!e) {
		say_mechanisms(&r);
		e = start_and_wait(&r, &sum, ret_error);
	}
	finish(&r, &sum);
	*ret_summary = sum;
	return e;
}
