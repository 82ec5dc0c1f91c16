/* SPDX-License-Identifier: MIT */
/* A confinement: a process tree, or a cgroup, that can use one network interface only. */
#pragma once

#include <ifpin/device.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IFPIN_EXIT_SETUP 125  /* nothing was run */
#define IFPIN_EXIT_NOEXEC 126 /* the command was found and cannot be executed */
#define IFPIN_EXIT_NOENT 127  /* the command was not found */

/** enum ifpin_inherit - what to do about sockets and the like that are already open */
enum ifpin_inherit {
	IFPIN_INHERIT_REFUSE, /* list them and run nothing */
	IFPIN_INHERIT_CLOSE,
	IFPIN_INHERIT_PIN, /* tie TCP sockets to the device; refuse all that cannot be tied */
};

enum ifpin_dns {
	IFPIN_DNS_AUTO,	  /* what the host knows for the device, never a resolver on the host */
	IFPIN_DNS_SYSTEM, /* leave all as it is */
	IFPIN_DNS_LIST,	  /* the addresses given */
};

/**
 * struct ifpin_confine_opts - how to confine a command
 * @size: sizeof(struct ifpin_confine_opts), by which versions of the struct are told apart
 * @device: the only interface, from ifpin_device_resolve()
 * @argv: command and arguments, NULL at the end; searched for in PATH
 * @name: name of the confinement, or NULL to have one made
 * @loopback: whether 127.0.0.0/8, ::1 and the host's own addresses may be talked to
 * @isolate: own PID and IPC namespaces, no sockets of buses, agents and engines
 * @inherit: what to do about open sockets
 * @dns: where the command's name servers come from
 * @dns_servers: for IFPIN_DNS_LIST: addresses, comma separated
 * @user: NAME[:GROUP] to become, or NULL
 * @keep_caps: bit N set: do not drop capability N
 * @allow_families: bit N set: also allow address family N
 * @log: called with one line for each step, or NULL; without newline
 * @log_ctx: handed to @log
 */
struct ifpin_confine_opts {
	size_t size;
	struct ifpin_device device;
	char *const *argv;
	const char *name;
	bool loopback;
	bool isolate;
	enum ifpin_inherit inherit;
	enum ifpin_dns dns;
	const char *dns_servers;
	const char *user;
	uint64_t keep_caps;
	uint64_t allow_families;
	void (*log)(void *log_ctx, const char *line);
	void *log_ctx;
};

#define IFPIN_MAX_REASONS 32

/** struct ifpin_denial - how often something was denied, and why */
struct ifpin_denial {
	const char *reason; /* stable word, static */
	const char *text;   /* one clause for a person, static */
	uint64_t count;
};

/**
 * struct ifpin_summary - what a confinement came to
 * @exit_status: as the shell has it: the command's status, or 128 + signal
 * @started: whether the command's first instruction was reached
 * @left_behind: 0, or why the cgroup could not be removed (negative errno); -EBUSY: a process does
 *	not end
 * @n_denials: entries of @denials in use, one for each reason there is
 */
struct ifpin_summary {
	int exit_status;
	bool started;
	int left_behind;
	size_t n_denials;
	struct ifpin_denial denials[IFPIN_MAX_REASONS];
};

/**
 * ifpin_confine_run - run a command confined to one interface, and wait for its end
 * @opts: see above
 * @ret_summary: written always; exit_status is 125, 126 or 127 on failure
 * @ret_error: written on failure
 *
 * The caller becomes the supervisor: job control signals are forwarded, and what the command
 * left running is killed at its end. The kernel holds the confinement, not the caller: killed
 * at any moment, it opens nothing.
 *
 * Needs Linux 6.0 (bpf_setsockopt in setsockopt programs; before it CLONE_INTO_CGROUP,
 * mount_setattr, SO_NETNS_COOKIE), cgroup v2, CONFIG_CGROUP_BPF, CONFIG_SECCOMP_FILTER, and
 * CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_SETPCAP.
 * Single-threaded callers only: it changes the signal mask while it runs, and forks.
 *
 * Return: 0 when the command ran; -EPERM: privileges are missing; -ENOSYS: the kernel lacks a
 * feature; -ENOENT, -EACCES, -ENOEXEC: the command could not be executed; -EBUSY: sockets are
 * open and @inherit refuses; -ENODATA: no name servers; else the errno of the step that failed.
 */
IFPIN_API int ifpin_confine_run(const struct ifpin_confine_opts *opts,
	struct ifpin_summary *ret_summary, struct ifpin_error *ret_error);

/**
 * ifpin_confine_gc - remove what killed supervisors left behind
 * @ret_removed: number of confinements removed
 * @ret_error: written on failure
 *
 * Removes cgroups of ifpin in which no process lives and which no supervisor holds.
 *
 * Return: 0; -EPERM: the caller is not root; -ENOSYS: no cgroup v2; or the errno of the directory
 * walk.
 */
IFPIN_API int ifpin_confine_gc(unsigned int *ret_removed, struct ifpin_error *ret_error);

/* ---- confining what runs already ---------------------------------------------------------- */

#define IFPIN_PIN_NAME_SIZE 49 /* 1 to 48 letters, digits, '.', '_' or '-', and a NUL */
#define IFPIN_CGROUP_PATH_SIZE 1024

/** enum ifpin_existing - what to do about sockets that do not conform to the confinement */
enum ifpin_existing {
	IFPIN_EXISTING_REFUSE, /* list them and change nothing */
	IFPIN_EXISTING_PIN,    /* tie them to the device; refuse if one cannot be tied */
	IFPIN_EXISTING_KILL,   /* abort those that cannot be tied as well */
};

/**
 * struct ifpin_attach_opts - how to confine processes that run already
 * @size: sizeof(struct ifpin_attach_opts)
 * @device: the only interface, from ifpin_device_resolve()
 * @name: of the confinement, or NULL: that of the cgroup, without ".service"
 * @cgroup: path of the cgroup, from the root of cgroup v2 or of the file system; NULL: by @unit or
 *	@pid
 * @unit: name of a system service of systemd, or NULL
 * @pid: a process, or 0. Where its cgroup has others than its descendants, it is moved with these
 *	into one of its own, and what sockets it has are foreign there
 * @existing: what to do about sockets that are there already
 * @loopback: whether 127.0.0.0/8, ::1 and the host's own addresses may be talked to
 * @guard_resolvers: refuse ports 53 and 853 of the host itself, whose resolver asks by other
 *devices
 * @rebind: when the device has come back, tie what was tied to it to the new index
 * @abort: when the device has come back, abort TCP connections that were tied to it
 * @configured: it stands in a configuration, and whoever finds it there no longer may end it
 * @log, @log_ctx: as in struct ifpin_confine_opts
 */
struct ifpin_attach_opts {
	size_t size;
	struct ifpin_device device;
	const char *name;
	const char *cgroup;
	const char *unit;
	pid_t pid;
	enum ifpin_existing existing;
	bool loopback;
	bool guard_resolvers;
	bool rebind;
	bool abort;
	bool configured;
	void (*log)(void *log_ctx, const char *line);
	void *log_ctx;
};

/**
 * ifpin_attach - confine the processes of a cgroup, those of today and those to come
 * @opts: see above
 * @ret_name: name of the confinement, at least IFPIN_PIN_NAME_SIZE bytes; may be NULL
 * @ret_error: written on failure; lists the sockets that do not conform, with peer and owner
 *
 * The links and maps are pinned in bpffs, which is mounted if need be; they outlive the caller. A
 * confinement of the same name, device and cgroup is taken over as it is: options are updated. One
 * whose cgroup is gone is replaced. All or nothing: killed at any moment, either nothing has
 * changed, or everything is in place; at worst the cgroup is held and not listed until the next
 * caller undoes that, and sockets are tied or aborted already. Two callers at once are serialised.
 *
 * Once it returns 0, no internet socket that a process of the cgroup holds can use another device;
 * each was looked at. Those made outside are tied to the device's index or shut down, which leaves
 * them joins of multicast groups; @log is told how many there are. What holds sockets of other
 * families, or can leave the cgroup, is told to
 * @log (see ifpin(8)): seccomp filters and capabilities are the business of whoever starts the
 * service.
 *
 * Needs Linux 6.1, CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_BPF, CAP_SYS_PTRACE, CAP_NET_RAW.
 *
 * Return: 0; -EINVAL: bad options; -EPERM: privileges are missing; -ENOENT: no such cgroup, unit or
 * process; -EBUSY: sockets do not conform, or cannot be tied; -EEXIST: there is a confinement of
 * this name for another cgroup or device; -EXDEV: processes are in another network namespace;
 * -ENOSYS: the kernel lacks a feature; -ENOSPC, -ENOMEM, or the errno of the step that failed.
 */
IFPIN_API int ifpin_attach(
	const struct ifpin_attach_opts *opts, char *ret_name, struct ifpin_error *ret_error);

/**
 * ifpin_detach - end a confinement made by ifpin_attach()
 *
 * From then on its processes use any device. Sockets that were tied stay tied.
 *
 * Return: 0; -ENOENT: there is none of this name; -EPERM; or the errno of unlink(2).
 */
IFPIN_API int ifpin_detach(const char *name, struct ifpin_error *ret_error);

/** enum ifpin_pin_state - in which state a confinement is */
enum ifpin_pin_state {
	IFPIN_PIN_HELD,	       /* the device is there */
	IFPIN_PIN_DEVICE_GONE, /* closed until it comes back */
	IFPIN_PIN_REPLACED,    /* closed; another device has its name or index */
	IFPIN_PIN_CGROUP_GONE, /* its processes have ended; gc removes it */
	IFPIN_PIN_OTHER_NETNS, /* of another network namespace than the caller's */
	IFPIN_PIN_BROKEN,      /* somebody has taken parts of it away */
};

/** ifpin_pin_state_name - the state in a word, static: "held", "device-gone", … */
IFPIN_API const char *ifpin_pin_state_name(enum ifpin_pin_state state);

/** ifpin_pin_state_text - what it means in one clause, static */
IFPIN_API const char *ifpin_pin_state_text(enum ifpin_pin_state state);

/**
 * struct ifpin_pin_info - a confinement that is in force
 * @name: its name
 * @cgroup: path from the root of cgroup v2; if gone, as it was
 * @cgroup_id: inode number of the cgroup
 * @device: as it was when it was last followed
 * @state: see above
 * @attached: whether it was made by ifpin_attach(); else it is one of ifpin_confine_run()
 * @loopback, @guard_resolvers, @rebind, @abort, @configured: as in struct ifpin_attach_opts
 * @since: when it was made, seconds since 1970; 0: not known
 * @processes: that live in the cgroup and in those below it
 */
struct ifpin_pin_info {
	char name[IFPIN_PIN_NAME_SIZE];
	char cgroup[IFPIN_CGROUP_PATH_SIZE];
	uint64_t cgroup_id;
	struct ifpin_device device;
	enum ifpin_pin_state state;
	bool attached, loopback, guard_resolvers, rebind, abort, configured;
	int64_t since;
	unsigned int processes;
};

/**
 * ifpin_pins - all confinements of ifpin_attach() that are in force
 * @ret_pins: by name; to be released with free(3)
 * @ret_n: how many
 *
 * Made to be quick: that all links are pinned is seen, but not whether somebody has detached one of
 * these (BPF_LINK_DETACH); ifpin_pin_check() looks.
 *
 * Return: 0; -EPERM; or the errno of the step that failed.
 */
IFPIN_API int ifpin_pins(
	struct ifpin_pin_info **ret_pins, size_t *ret_n, struct ifpin_error *ret_error);

struct ifpin_confined;

/**
 * ifpin_confined_list - which cgroups are confined, for ifpin_sockets() (sockets.h)
 * @ret_confined: to be released with free(3)
 * @ret_n: how many
 * @ret_error: may be NULL
 *
 * Asks every cgroup for its programs (BPF_PROG_QUERY), and these for their maps: what is in force
 * is found, whoever made it, and nothing else. The name is what ifpin_pins() has for the cgroup,
 * else that of the cgroup, without "ifpin." and ".service". Needs CAP_SYS_ADMIN.
 *
 * Return: 0; -EPERM: not privileged; -ENOMEM; errno of mounting cgroup v2, or of the walk.
 */
IFPIN_API int ifpin_confined_list(
	struct ifpin_confined **ret_confined, size_t *ret_n, struct ifpin_error *ret_error);

/**
 * ifpin_runs - all confinements of ifpin_confine_run() that run, on the whole host
 * @ret_runs: to be released with free(3); @attached is false. Names need not be unique.
 * @ret_n: how many
 *
 * They are found by their cgroups, whose names begin with "ifpin.", and the programs there; those
 * of another version of ifpin are not. Needs CAP_SYS_ADMIN, or CAP_BPF and CAP_NET_ADMIN.
 *
 * Return: 0; -EPERM; or the errno of the step that failed.
 */
IFPIN_API int ifpin_runs(
	struct ifpin_pin_info **ret_runs, size_t *ret_n, struct ifpin_error *ret_error);

/**
 * ifpin_pin_check - look at one confinement anew, and at every part of it
 * @pin: by its name; all of it is written. One of ifpin_runs() stays as it is
 *
 * Return: 0; -ENOENT: it has ended meanwhile; -EPERM; or the errno of the step that failed.
 */
IFPIN_API int ifpin_pin_check(struct ifpin_pin_info *pin, struct ifpin_error *ret_error);

/**
 * struct ifpin_pin_counts - what has passed a confinement, and what has not
 * @packets_out, @packets_in: on the device and on loopback, since it was made; 0 once its cgroup
 *	is gone, with which the kernel forgets them
 * @n_denials, @denials: as in struct ifpin_summary
 */
struct ifpin_pin_counts {
	uint64_t packets_out, packets_in;
	size_t n_denials;
	struct ifpin_denial denials[IFPIN_MAX_REASONS];
};

/** ifpin_pin_count - read the counters of a confinement. Return: 0; -ENOENT; -errno. */
IFPIN_API int ifpin_pin_count(const struct ifpin_pin_info *pin, struct ifpin_pin_counts *ret_counts,
	struct ifpin_error *ret_error);

/* ---- following devices ---------------------------------------------------------------------- */

/** enum ifpin_change_type - what the follower did */
enum ifpin_change_type {
	IFPIN_CHANGE_GONE,     /* the device of a pin is gone; the pin is closed */
	IFPIN_CHANGE_BACK,     /* it is back: open again */
	IFPIN_CHANGE_REPLACED, /* another device has its name; refused */
	IFPIN_CHANGE_RENAMED,
	IFPIN_CHANGE_CGROUP,   /* the cgroup of a pin is gone */
	IFPIN_CHANGE_RESYNCED, /* messages of the kernel were lost; all was read anew */
	IFPIN_CHANGE_FAILED,   /* something could not be done; the pin stays closed */
};

/**
 * struct ifpin_change - one change
 * @type: what
 * @pin: name of the pin, or empty
 * @rebound, @aborted: sockets, for IFPIN_CHANGE_BACK
 * @text: the same in a sentence
 */
struct ifpin_change {
	enum ifpin_change_type type;
	char pin[IFPIN_PIN_NAME_SIZE];
	unsigned int rebound, aborted;
	char text[512];
};

/** struct ifpin_follower - keeps all pins of this network namespace true; opaque */
struct ifpin_follower;

/**
 * ifpin_follower_open - begin to follow
 * @on_change: called from ifpin_follower_step() for each change, in the order in which they came
 * @ctx: handed to @on_change
 *
 * Brings every pin to the state of the host at once. One follower at a time is enough; a second one
 * does no harm.
 *
 * Return: 0; -EPERM; or the errno of the step that failed.
 */
IFPIN_API int ifpin_follower_open(void (*on_change)(void *ctx, const struct ifpin_change *change),
	void *ctx, struct ifpin_follower **ret_follower, struct ifpin_error *ret_error);

/** ifpin_follower_fd - what to poll for reading; owned by the follower */
IFPIN_API int ifpin_follower_fd(const struct ifpin_follower *follower);

/** ifpin_follower_timeout - milliseconds until ifpin_follower_step() has work; -1: none */
IFPIN_API int ifpin_follower_timeout(const struct ifpin_follower *follower);

/**
 * ifpin_follower_step - apply what has happened; never blocks for long
 *
 * Return: 0; -errno: try again after a while; nothing has opened meanwhile.
 */
IFPIN_API int ifpin_follower_step(struct ifpin_follower *follower, struct ifpin_error *ret_error);

/** ifpin_follower_reload - look which pins there are, after attach and detach by others */
IFPIN_API int ifpin_follower_reload(struct ifpin_follower *follower, struct ifpin_error *ret_error);

/**
 * ifpin_followed - whether a follower lives, for this network namespace, in whichever process
 *
 * Return: 0; -EPERM; or the errno of the step that failed.
 */
IFPIN_API int ifpin_followed(bool *ret_followed, struct ifpin_error *ret_error);

/** ifpin_follower_close - end it; NULL is fine. What is in force stays in force. */
IFPIN_API void ifpin_follower_close(struct ifpin_follower *follower);

/* ---- watching ------------------------------------------------------------------------------- */

/**
 * struct ifpin_denied - something that was denied just now
 * @pin: name of the confinement
 * @reason, @text: as in struct ifpin_denial
 * @what: what was attempted, in one clause: "SO_BINDTODEVICE named eth0"
 * @time: nanoseconds since 1970
 * @pid, @comm: the process, where it is known; else 0 and empty
 * @by_kernel: that no process inside is known because none did it: the kernel sent again, or
 *	answered. Else, with @pid 0, it is the kernel that does not tell (packets; Linux
 *	6.18 does, 6.12 does not)
 * @uid: user of the process, else of the socket
 * @ifindex: the device that was attempted, or 0
 * @device: its name, also of one that was named and is none; empty if it is gone, or of another
 *	network namespace
 * @bound: the device that the socket was tied to, or 0
 * @family, @protocol: of the socket or packet; 0: not known
 * @src, @dst: addresses, IPv4 mapped; zero where not known
 * @sport, @dport: ports, host order
 * @level, @option: of setsockopt(2), or 0
 */
struct ifpin_denied {
	char pin[IFPIN_PIN_NAME_SIZE];
	const char *reason, *text;
	char what[160];
	uint64_t time;
	uint32_t pid, uid, ifindex, bound;
	char comm[16];
	char device[IF_NAMESIZE];
	bool by_kernel;
	uint16_t family, protocol, sport, dport;
	uint8_t src[16], dst[16];
	uint32_t level, option;
};

/**
 * struct ifpin_burst - denials that were counted, not told: they came too fast
 * @pin: as above
 * @reason, @text: as above; NULL if @lost, for nobody knows which they were
 * @count: how many since the last burst of this kind, or since the watcher began
 * @lost: whether the watcher was too slow, else the programs did not send them
 */
struct ifpin_burst {
	char pin[IFPIN_PIN_NAME_SIZE];
	const char *reason, *text;
	uint64_t count;
	bool lost;
};

/** struct ifpin_watcher - hears denials; up to eight at once on a host; opaque */
struct ifpin_watcher;

/**
 * ifpin_watcher_open - begin to hear denials
 * @name: of one confinement, or NULL: all, also those that are attached or run later
 * @on_denied, @on_burst: called from ifpin_watcher_step()
 *
 * The programs of a confinement tell up to 1,000 denials a second, to each watcher; what is above
 * is counted, and handed to @on_burst at most once a second for each reason. A confinement that is
 * attached anew under the same name is heard as well. Commands of ifpin_confine_run() are heard
 * that run in the caller's network namespace, or begin later there and see the same bpffs; by @name
 * any that runs already. Their programs are replaced by the same ones that tell; what is held does
 * not change.
 *
 * What a watcher has in the kernel outlives it if it is killed; the next watcher removes it, and so
 * does ifpin_confine_gc().
 *
 * Needs CAP_SYS_ADMIN, or CAP_BPF and CAP_NET_ADMIN.
 *
 * Return: 0; -ENOENT: none of this name; -EPERM; -EUSERS: eight watchers are there already; -errno.
 */
IFPIN_API int ifpin_watcher_open(const char *name,
	void (*on_denied)(void *ctx, const struct ifpin_denied *denied),
	void (*on_burst)(void *ctx, const struct ifpin_burst *burst), void *ctx,
	struct ifpin_watcher **ret_watcher, struct ifpin_error *ret_error);
/** ifpin_watcher_fd - what to poll for reading; owned by the watcher */
IFPIN_API int ifpin_watcher_fd(const struct ifpin_watcher *watcher);
/** ifpin_watcher_timeout - milliseconds until ifpin_watcher_step() has work; -1: none */
IFPIN_API int ifpin_watcher_timeout(const struct ifpin_watcher *watcher);
/**
 * ifpin_watcher_step - tell what has come
 *
 * Return: 0; -EPROTO: a confinement of another version of ifpin cannot be watched; -errno: the same
 * for another reason. All others are watched; go on.
 */
IFPIN_API int ifpin_watcher_step(struct ifpin_watcher *watcher, struct ifpin_error *ret_error);
/** ifpin_watcher_close - end it; NULL is fine */
IFPIN_API void ifpin_watcher_close(struct ifpin_watcher *watcher);

/* ---- letting others in ---------------------------------------------------------------------- */

/**
 * ifpin_cgroup_open - open a cgroup
 * @path: from the root of cgroup v2; "/" is the root itself
 * @make: make what is missing on the way, so that only root may move processes
 *
 * Return: descriptor; -ENOSYS: no cgroup v2; -EPERM: somebody else may move processes on the way
 * (only with @make); or the errno of open(2), mkdir(2).
 */
IFPIN_API int ifpin_cgroup_open(const char *path, bool make, struct ifpin_error *ret_error);

/**
 * struct ifpin_admit_opts - which process to let in, and where
 * @size: sizeof(struct ifpin_admit_opts)
 * @cgroup: path of a confined cgroup in which no process lives directly
 * @pid, @pidfd: the process, both; the caller knows that they belong together
 * @uid: its user, real, effective, saved and for files; with any other it is not let in
 * @narrow: a confinement for this process only, within that of @cgroup, or NULL; its name and its
 *	cgroup are set by ifpin_admit()
 */
struct ifpin_admit_opts {
	size_t size;
	const char *cgroup;
	pid_t pid;
	int pidfd;
	uid_t uid;
	const struct ifpin_attach_opts *narrow;
};

/**
 * ifpin_admit - move a process of somebody into a cgroup of its own below a confined one
 * @ret_cgroup: path of its cgroup, @cgroup/run.PID; IFPIN_CGROUP_PATH_SIZE bytes
 *
 * The sockets that the process has already are foreign there; ifpin_enter() refuses to go on with
 * such. On failure the process is where it was.
 *
 * The process must have one thread, and no_new_privs: else it could put a set-user-ID program
 * there, which is not its user's to have confined and, by ifpin_dismiss(), killed.
 *
 * Return: 0; -ESRCH: the process has ended; -EPERM: it is not, or no longer, of this user, or could
 * get other privileges; -EXDEV: it is in another network namespace; -EACCES: its cgroup is confined
 * by BPF programs already, which it would leave; -EBUSY: a cgroup of this name is in use; as
 * ifpin_attach(); or the errno of mkdir(2), write(2).
 */
IFPIN_API int ifpin_admit(
	const struct ifpin_admit_opts *opts, char *ret_cgroup, struct ifpin_error *ret_error);

/**
 * ifpin_dismiss - after the end of a process: kill what it left in its cgroup, and remove that
 *
 * Return: 0; -EBUSY: they are ending; call again when cgroup.events of the cgroup has changed;
 * -errno.
 */
IFPIN_API int ifpin_dismiss(const char *cgroup, pid_t pid, struct ifpin_error *ret_error);

/**
 * struct ifpin_enter_opts - how a process confines itself for good, once it has been let in
 * @size: sizeof(struct ifpin_enter_opts)
 * @inherit: what to do about open sockets and the like: refuse or close
 * @ifindex: of the device, from whoever has let it in
 * @log, @log_ctx: as in struct ifpin_confine_opts
 */
struct ifpin_enter_opts {
	size_t size;
	enum ifpin_inherit inherit;
	uint32_t ifindex;
	void (*log)(void *log_ctx, const char *line);
	void *log_ctx;
};

/**
 * ifpin_enter_check - before asking to be let in: judge the open descriptors; uses no @ifindex
 *
 * Return: 0; -EBUSY: some would bypass the confinement; -EINVAL; -errno.
 */
IFPIN_API int ifpin_enter_check(const struct ifpin_enter_opts *opts, struct ifpin_error *ret_error);

/**
 * ifpin_enter - after having been let in, right before execve(2)
 *
 * Sets no_new_privs, a Landlock scope where there are such, and the system call filter of
 * ifpin_confine_run(), and sees whether the cgroup ties a socket to the device. Needs no privilege.
 *
 * Return: 0; -ENOTSUP, -EPERM: this process is not confined to the device; -ENOSYS: no system call
 * filters; -errno. On failure the process must not go on.
 */
IFPIN_API int ifpin_enter(const struct ifpin_enter_opts *opts, struct ifpin_error *ret_error);

/**
 * ifpin_confine_privileged - whether the caller may call ifpin_confine_run()
 *
 * Return: 0; -EPERM: @ret_error lists what is missing.
 */
IFPIN_API int ifpin_confine_privileged(struct ifpin_error *ret_error);

/** ifpin_cap_bit - number of a capability by its name, with or without "cap_"; -EINVAL */
IFPIN_API int ifpin_cap_bit(const char *name);

/**
 * ifpin_cap_risk - what a hostile command could do that keeps a capability (@keep_caps)
 * @cap: its number
 *
 * Return: one clause, static; NULL: the capability is not dropped anyway.
 */
IFPIN_API const char *ifpin_cap_risk(int cap);

/** ifpin_family_number - number of an address family by its name, with or without "AF_"; -EINVAL */
IFPIN_API int ifpin_family_number(const char *name);

#ifdef __cplusplus
}
#endif
