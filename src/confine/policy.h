/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the BPF programs and user space must agree on. Plain C, included by both. */
#pragma once

#include <linux/types.h>

#define IFPIN_LOOPBACK_IFINDEX 1
#define IFPIN_MAJORS 512 /* of character devices; the kernel has no more */
#define IFPIN_MAX_LOCAL_ADDRS 4096
#define IFPIN_MAX_NETWORKS 8192
#define IFPIN_NAME_LEN 16
#define IFPIN_FILTER_BITS 512
#define IFPIN_WATCHERS 8
#define IFPIN_EVENTS_PER_SECOND 1000 /* of one confinement; what is above is counted */
#define IFPIN_OPTVAL_LEN 32

/*
 * setsockopt() with this level and the id of a confinement as option succeeds on the sockets that
 * its programs judge, and fails (ENOPROTOOPT) on all others.
 */
#define IFPIN_PROBE_LEVEL 0x6966

#define IFPIN_MAJOR_MEM 1
#define IFPIN_MAJOR_MISC 10

/*
 * Character devices that are no wires, nor a way to the machine past its programs. majors: those
 * that are neither, see ifp_pin_prepare(). Of the miscellaneous ones most have minors that are
 * given out as drivers are loaded (nvme-fabrics, rdma_cm, vsock): what is not named here could be
 * anything.
 */
static inline int ifpin_device_is_harmless(
	const __u64 *majors, __u32 major, __u32 minor, int writes)
{
	switch (major) {
	case IFPIN_MAJOR_MEM:
		/* mem, kmem, port. The kernel's log, which netconsole sends on, may be read. */
		return minor != 1 && minor != 2 && minor != 4 && !(minor == 11 && writes);
	case IFPIN_MAJOR_MISC:
		switch (minor) {
		case 130: /* watchdog */
		case 135: /* rtc */
		case 144: /* nvram */
		case 183: /* hw_random */
		case 228: /* hpet */
		case 229: /* fuse */
		case 232: /* kvm */
		case 234: /* btrfs-control */
		case 235: /* autofs */
		case 236: /* mapper/control */
		case 237: /* loop-control */
			return 1;
		}
		return 0;
	}
	return major < IFPIN_MAJORS && (majors[major / 64] >> major % 64 & 1);
}

/* The same for all confinements that a loaded set of programs serves; frozen before they load. */
struct ifpin_set {
	__u64 netns_cookie;
	__u32 tells;	  /* 1: denials are told to those who watch */
	__u32 knows_task; /* 1: packet programs may ask who sends (6.18; not 6.12) */
	__u32 shared;	  /* 1: of services, their links pinned; 0: of one command that runs */
	__u32 pad;
};

/* One confinement. User space replaces it as a whole, and the programs only read it. */
struct ifpin_pin {
	__u32 armed;	       /* 0: being made, or ended; holds nothing */
	__u32 id;	       /* by which a socket's programs are told from those of others */
	__u32 loopback;	       /* 0: refuse, 1: allow */
	__u32 guard_resolvers; /* 1: refuse port 53 of the host itself */
	__u32 ifindex;	       /* of the device; stays while that is gone */
	__u32 held; /* key of the device in the maps of devices; a new one whenever one is put in */
	__u32 routes_agree[2]; /* [0] IPv4, [1] IPv6: the host's own routing leads to the device */
	__be32 device_ip4;     /* primary IPv4 address of the device, or 0 */
	__u32 name_len;	       /* of the device's present name; 0: it has none */
	__u64 allowed_majors[IFPIN_MAJORS / 64]; /* character devices that are no wires */
	__u64 name[IFPIN_NAME_LEN / 8];		 /* the name, zero padded */
	__u64 mask[IFPIN_NAME_LEN / 8];		 /* ones where the name has bytes */
	__u64 mask_nul[IFPIN_NAME_LEN / 8];	 /* and where its end has a zero */
};

#define IFPIN_REASON_SLOTS 32 /* a power of two, and as many as there is room for in a summary */

/* What the programs count of one confinement. */
struct ifpin_denials {
	__u64 denied[IFPIN_REASON_SLOTS];
	__u64 untold[IFPIN_REASON_SLOTS]; /* of these, what was not told to those who watch */
	__u64 lost[IFPIN_WATCHERS];	  /* what did not fit into the buffer of one who watches */
	/* The window in which events are counted against IFPIN_EVENTS_PER_SECOND. */
	__u64 window_start, window_events;
};

/* What is true of the host, and who watches, for all confinements of its network namespace. */
struct ifpin_host {
	__u64 watching;		    /* a bit for each slot of watchers that somebody has */
	__u32 only[IFPIN_WATCHERS]; /* id of the one confinement that it is for; 0: all */
	/* A bit for each local address there ever was: where it is clear, no look-up is needed. */
	__u64 local_filter[IFPIN_FILTER_BITS / 64];
};

struct ifpin_addr {
	__u8 b[16]; /* IPv6, or IPv4 mapped into it */
} __attribute__((aligned(8)));

struct ifpin_network {
	__u32 prefixlen; /* of 128 */
	__u8 addr[16];
};

/* A denial, as the programs tell it to those who watch. */
struct ifpin_denial_event {
	__u64 time; /* CLOCK_MONOTONIC, ns */
	__u32 id;   /* of the confinement, for one buffer may serve many */
	__u32 reason;
	__u32 pid, uid;		     /* pid 0: not known; then uid is the socket's */
	__u32 ifindex;		     /* the device that was attempted, or 0 */
	__u32 bound;		     /* the device that the socket is tied to */
	__u32 level, option, optlen; /* of setsockopt() */
	__u16 family, protocol;
	__u16 sport, dport; /* host order */
	__u32 knows_task;   /* 1: pid 0 means that it was no process of the confinement */
	struct ifpin_addr src, dst;
	__u8 optval[IFPIN_OPTVAL_LEN];
	char comm[16];
};

/* Which of the two passes a packet made. */
enum ifpin_passed { IFPIN_PASSED_OUT, IFPIN_PASSED_IN, IFPIN_PASSED_COUNT };

struct ifpin_passes {
	__u64 n[IFPIN_PASSED_COUNT];
};

/* The bit of an address in local_filter. */
static inline __attribute__((always_inline)) __u32 ifpin_filter_bit(const __u8 addr[16])
{
	return (addr[15] ^ (__u32)addr[14] << 1) % IFPIN_FILTER_BITS;
}

/* Why something was denied. The order is the index into the counters. */
#define IFPIN_REASONS(X)                                                                           \
	X(OTHER_DEVICE, "other-device", "a packet was routed to another device")                   \
	X(INGRESS, "ingress", "a packet came in from another device")                              \
	X(LOCAL_ON_WIRE, "local-on-wire", "a packet for a local address was about to be sent out") \
	X(LOOPBACK, "loopback", "loopback is refused by --loopback=deny")                          \
	X(GONE, "device-gone", "the device was deleted")                                           \
	X(NETNS, "foreign-netns", "a socket was asked for in another network namespace")           \
	X(PROTOCOL, "protocol", "a socket was asked for with a protocol that cannot be held")      \
	X(REBIND, "rebind", "a socket option named another device")                                \
	X(JOIN, "join", "a multicast join named another device")                                   \
	X(MROUTE, "multicast-routing", "a socket asked to route multicast")                        \
	X(ULP, "ulp", "a TCP upper-layer protocol that opens sockets of its own")                  \
	X(DEVNODE, "device-node", "a device node that reaches a wire was opened or made")          \
	X(RESOLVER, "resolver", "a resolver on the host was asked, which asks by other devices")   \
	X(SYSCTL, "sysctl", "a setting of the kernel was about to be changed")                     \
	X(SOURCE, "foreign-source",                                                                \
		"a source address that is not the host's, or a header made by hand")               \
	X(ICMP, "icmp", "an ICMP message other than echo was sent to the host, or a group")        \
	X(NO_WAY_BACK, "no-way-back",                                                              \
		"a connection came in that would be answered by another device")                   \
	X(MALFORMED, "malformed", "something no rule of the policy expects")                       \
	X(BIND, "pin-failed", "the kernel refused to tie a socket to the device")                  \
	X(FOREIGN, "foreign-socket", "a socket that was made outside was handed over")             \
	X(FAMILY, "family", "a socket of another address family was asked for")                    \
	X(LOOKUP, "route-lookup",                                                                  \
		"an IPv6 route was asked for, whose gateway would be looked for")                  \
	X(MODULE, "kernel-module", "a module was wanted, which a program outside would load")

enum ifpin_reason {
#define X(id, name, text) IFPIN_DENY_##id,
	IFPIN_REASONS(X)
#undef X
		IFPIN_REASON_COUNT
};
