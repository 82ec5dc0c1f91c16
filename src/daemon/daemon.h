/* SPDX-License-Identifier: MIT */
/*
 * ifpind: what there shall be (files) against what there is (the kernel). It holds nothing that the
 * kernel does not hold as well; killed at any moment it changes nothing, and a new one reads both.
 */
#pragma once

#include <ifpin/config.h>
#include <ifpin/confine.h>
#include <ifpin/control.h>
#include <ifpin/fence.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define NEVER UINT64_MAX
#define MAX_CLIENTS 64

struct daemon;

/* A descriptor in epoll. Part of what it belongs to; one event is handled at a time. */
struct source {
	int fd;
	void (*ready)(struct daemon *d, struct source *s, uint32_t events);
};

enum pin_state {
	PIN_NEW,
	PIN_WAITS_CGROUP,
	PIN_WAITS_DEVICE,
	PIN_HELD,
	PIN_FAILED, /* tried again after a while */
};

/* A pin that shall be. */
struct pin {
	struct ifpin_config *config; /* the set's */
	enum pin_state state;
	bool dirty;    /* look at it again */
	int wd;	       /* the folder of cgroupfs where its cgroup, or one above, comes and goes */
	char *awaited; /* under this name */
	char *problem; /* what was said last, so that it is said once */
};

enum fence_state {
	FENCE_NEW,
	FENCE_WAITS_DEVICE,
	FENCE_HELD,
	FENCE_FAILED, /* tried again after a while */
};

/* A fence that shall be. */
struct fence {
	const struct ifpin_config *config; /* the set's */
	char name[IFPIN_FENCE_NAME_SIZE];
	enum fence_state state;
	uint32_t ifindex; /* what the device's name stood for; 0: nothing */
	uint64_t retry_at, retry_delay;
	char *problem; /* what was said last */
};

/* A command that was let in. */
struct run {
	struct source process; /* pidfd */
	struct source events;  /* cgroup.events, while what it left behind ends */
	struct run *next;
	pid_t pid;
	uid_t uid;
	char name[IFPIN_PIN_NAME_SIZE];
};

struct client;

struct slice {
	int wd;
	char *path;
};

struct daemon {
	/* options */
	const char *config_dir, *runtime_dir, *group, *cgroup, *metrics, *exporter_path, *bpffs;
	bool verbose;

	int epoll;
	struct source signals, follower_source, cgroups, bpf, links, control;
	struct source metrics_listener[2], exporter;
	pid_t exporter_pid;
	struct ifpin_follower *follower;
	struct ifpin_config_set *set;
	struct pin *pins;
	size_t n_pins;
	struct ifpin_fence_watch *fence_watch;
	struct source fence_source;
	struct fence *fences;
	size_t n_fences;
	char (*kept)[IFPIN_FENCE_NAME_SIZE]; /* fences whose files have errors now */
	size_t n_kept;
	struct slice *slices;
	size_t n_slices;
	struct run *runs;
	struct client *clients[MAX_CLIENTS];
	int cgroup_root, spare_fd, lock_fd;

	bool quit, reload, pins_changed, fences_known;
	uint64_t reconcile_at, retry_at, retry_delay, follower_retry_at, watchdog_at,
		watchdog_every, fences_at;
	char status[256];
};

/* ---- log.c ---- */

enum level { SAY_ERROR = 3, SAY_WARNING = 4, SAY_NOTICE = 5, SAY_INFO = 6, SAY_DEBUG = 7 };

void say_open(bool verbose);
void say(enum level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* For the library: a line of what it does. */
void say_step(void *ctx, const char *line);

/* ---- notify.c: the service manager ---- */

/* Whether it was told, or there is nobody to tell. */
bool notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Milliseconds after which it wants to hear something, halved; NEVER. */
uint64_t notify_watchdog(void);

/* ---- loop.c ---- */

uint64_t now_ms(void);
/* Takes the descriptor in any case. Return: 0; -errno: it is closed. */
int source_add(struct daemon *d, struct source *s, int fd, uint32_t events);
void source_drop(struct daemon *d, struct source *s);
int loop_run(struct daemon *d);

/* ---- pins.c ---- */

/* Reads the files and applies them. Return: 0; -errno: nothing is known, nothing was changed. */
int pins_reload(struct daemon *d);
/* Compares what shall be with what is, and makes it so. */
void pins_reconcile(struct daemon *d);
/* Looks at those again that are dirty. */
void pins_settle(struct daemon *d);
/* At the end of a delay: those that failed are tried again. */
void pins_retry(struct daemon *d);
struct pin *pins_find(struct daemon *d, const char *name);
/* The cgroup of a pin for `ifpin run`, from the root of cgroup v2. */
void pins_run_cgroup(const struct daemon *d, const char *name, char ret[IFPIN_CGROUP_PATH_SIZE]);

/* Whether the file of this name has errors, so that what is in force for it stays. */
bool pins_is_bad(const struct daemon *d, const char *name);
/* How a device is named in a file, compared with one that is known: is that one meant? */
bool pins_device_means(const char *spec, const struct ifpin_device *device);

/* ---- fences.c ---- */

#ifdef HAVE_FENCE
/* Takes over what the files say, and makes it so. */
void fences_reload(struct daemon *d);
/* Compares the fences that shall be with those that are. */
void fences_reconcile(struct daemon *d);
void fences_close(struct daemon *d);
#else /* a file that asks for one has errors then */
static inline void fences_reload(struct daemon *d)
{
	(void)d;
}
static inline void fences_reconcile(struct daemon *d)
{
	d->fences_at = NEVER;
}
static inline void fences_close(struct daemon *d)
{
	(void)d;
}
#endif

/* ---- wait.c: cgroups come and go ---- */

int wait_open(struct daemon *d);
/*
 * The path of a pin's cgroup. It is heard of when that goes away, or comes.
 * Return: 0; -ENOENT: not there yet; -errno.
 */
int wait_locate(struct daemon *d, struct pin *pin, char ret[IFPIN_CGROUP_PATH_SIZE]);
/* Hears when others take away what is in force. */
void wait_drift(struct daemon *d);
void wait_close(struct daemon *d);

/* ---- links.c ---- */

/* Hears of new devices for as long as a pin waits for one. */
void links_update(struct daemon *d);

/* ---- control.c: requests of users ---- */

int control_open(struct daemon *d);
/* When the next silent client is to be dropped. */
uint64_t control_deadline(const struct daemon *d);
void control_expire(struct daemon *d);
/* A unix socket in the runtime folder, for root and the group. Return: descriptor; -errno. */
int listen_at(struct daemon *d, const char *file, int type);
/* Accepts also when there is no descriptor left: whoever came then is sent away. */
int accept_or_drop(struct daemon *d, int listener);

/* ---- runs.c: commands that were let in ---- */

/* Takes over those that an earlier daemon let in. */
void runs_adopt(struct daemon *d, const char *pin);
bool runs_any(const struct daemon *d, const char *pin);
unsigned int runs_of_user(const struct daemon *d, const char *pin, uid_t uid);
/* Takes the pidfd. Return: 0; -errno. */
int runs_add(struct daemon *d, const char *pin, pid_t pid, int pidfd, uid_t uid);

/* ---- metrics.c: starts the exporter when somebody asks ---- */

int metrics_open(struct daemon *d);
