/* SPDX-License-Identifier: MIT */
/* The laboratory, the battery, and what came of it. */
#pragma once

#include <ifpin/prove.h>
#include <ifpin/socket.h>

#include "base/base.h"

#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

/*
 * The chassis: host "h" with in0 (the device) and out0 (the other one, with the default route);
 * behind each a peer. Whatever arrives at the peer behind out0 has leaked.
 */
#define LAB_IN "in0"
#define LAB_OUT "out0"
#define LAB_IN4 "10.0.1.1"
#define LAB_IN6 "fd00:1::1"
#define LAB_OUT4 "10.0.2.1"
#define LAB_PEER_IN4 "10.0.1.2"
#define LAB_PEER_IN6 "fd00:1::2"
#define LAB_PEER4 "10.0.2.2"
#define LAB_PEER6 "fd00:2::2"
#define LAB_PEER_LL "fe80::2:2"
#define LAB_FAR4 "198.51.100.9"
#define LAB_FAR6 "2001:db8:9::9"
/* Behind gateways that nobody has met yet; each attempt has its own, see ifp_lab_probed(). */
#define LAB_PROBES 5
#define LAB_PROBED6 "2001:db8:a::1"
#define LAB_GATEWAY6 "fd00:2::77"
#define LAB_SENTINEL6 "2001:db8:b::1"
#define LAB_SENTINEL_GATEWAY6 "fd00:2::78"
#define LAB_MARK 0x1f
#define LAB_MARKED4 "203.0.113.9"
#define LAB_PEER_MAC "\x02\x00\x00\x00\x02\x02"
#define LAB_OUT_MAC "\x02\x00\x00\x00\x02\x01"

#define LAB_FENCE4 "10.0.1.0/24"
#define LAB_FENCE6 "fd00:1::/64"

/* The fence stands on the host; what is tried in it has sockets with in0's address. */
enum protection {
	PROT_NONE,
	PROT_BIND,
	PROT_BINDTODEVICE,
	PROT_LIBIFPIN,
	PROT_IFPIN,
	PROT_FENCE,
	PROT_AGAINST, /* the first command of --against */
	PROT_COUNT = PROT_AGAINST + IFPIN_PROVE_MAX_AGAINST
};
#ifdef HAVE_FENCE
#define PROT_OURS_END PROT_AGAINST
#else
#define PROT_OURS_END PROT_FENCE
#endif

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

#define MAGIC_LEN 16

/*
 * Where an attempt is made: in the laboratory, or on a host as it is. Addresses are text; "" where
 * there is none. What is "peer" or "far" is behind the other device, and only asked for.
 */
struct place {
	char in[IF_NAMESIZE], out[IF_NAMESIZE]; /* the device, and the other one */
	char in4[INET_ADDRSTRLEN], out4[INET_ADDRSTRLEN];
	char peer_in4[INET_ADDRSTRLEN], peer4[INET_ADDRSTRLEN], far4[INET_ADDRSTRLEN];
	char marked4[INET_ADDRSTRLEN];				  /* where a mark leads elsewhere */
	char broadcast4[INET_ADDRSTRLEN], many4[INET_ADDRSTRLEN]; /* of its network; a group */
	char in6[INET6_ADDRSTRLEN], peer_in6[INET6_ADDRSTRLEN];
	char peer6[INET6_ADDRSTRLEN], far6[INET6_ADDRSTRLEN];
	char peer_ll[INET6_ADDRSTRLEN], many_ll[INET6_ADDRSTRLEN]; /* of the link; a group of it */
	uint8_t out_mac[6], peer_mac[6];
	uint32_t mark;
	uint8_t hops; /* of what is sent; 0: as the host has it */
};

/* What an attempt knows. Travels to the confined process in an environment variable. */
struct env {
	enum protection prot;
	struct place at;
	uint32_t in_index, out_index;
	uint16_t port;		    /* destination port of connections: marks a SYN */
	uint8_t magic[MAGIC_LEN];   /* payload: marks everything else */
	uint8_t group4[4];	    /* group to join: marks IGMP */
	uint8_t group6[16];	    /* group to join: marks MLD */
	pid_t poor;		    /* a process outside without any capability */
	int report_fd;		    /* where the attempt says that it was made */
	pid_t giver;		    /* a process outside that hands out sockets */
	int giver_fd;		    /* the number of its UDP socket */
	int inherited_fd;	    /* a UDP socket made outside, or -1 */
	int ns_host, ns_in, ns_out; /* descriptors, for what the host itself does */
};

enum attempt_flags {
	WAITS_FOR_REPORT = 1,  /* makes a kernel timer send: the sentinel is a join as well */
	FROM_PEER = 2,	       /* leaves from the peer itself, so count what that sends */
	INHERITS = 4,	       /* is given a socket made outside */
	NEEDS_LSM = 8,	       /* cannot be held without BPF LSM */
	PROBES = 32,	       /* makes the kernel look for its own LAB_GATEWAY6; arg: which */
	PAST_OPTIONS = 262144, /* in ancillary data, of which no program is told */
	NEEDS_SCOPE = 64,      /* cannot be held without Landlock scopes */
	NEEDS_SERVER = 16,     /* talks to a server behind in0 that listens on env.port */
	HOST = 256,   /* by the host itself, or whoever is not confined: only a fence is for that */
	AT_IN = 512,  /* the leak is what arrives behind in0 */
	TELLS = 1024, /* ARP or neighbour discovery that tells of a fenced address */
	NEEDS_TC = 2048,     /* passes no rule of nftables */
	PAST_RULES = 4096,   /* passes nftables and traffic control */
	EACH_DEVICE = 8192,  /* names the other device: on a host, one for each of them */
	BY_OUT4 = 16384,     /* names it by its IPv4 address */
	WHOLE_FRAME = 32768, /* writes an Ethernet header */
	BY_MARK = 65536,     /* one for each mark that the host's rules know */
	NEEDS_RUN = 131072,  /* by who has privileges; a pin of `ifpin attach` takes none away */
	PAST_LIBRARY = 128,  /* no program that opens its sockets by libifpin does it by accident */
};

struct attempt {
	const char *name, *class, *sentence, *rests_on;
	int (*fn)(const struct env *e, int arg);
	int arg;
	unsigned int flags;
	const char *not_here; /* why not on a host as it is, or NULL */
};

enum outcome {
	OUT_HELD,
	OUT_LEAKED,
	OUT_NOT_HELD,
	OUT_BROKEN,
	OUT_UNAVAILABLE,
	OUT_OF_REACH,
	OUT_NOT_APPLICABLE,
	OUT_NOT_TRIED,
	OUT_COUNT
};

/* The first counted frame, as it was on the wire; a long one without its end. */
struct evidence {
	size_t len, kept;
	uint8_t bytes[192];
};

struct result {
	unsigned int frames;
	unsigned int fenced; /* those of them that have a fenced address */
	int err;
	enum outcome outcome;
	const char *lacking; /* what would hold it, where it is not held; static */
	struct evidence first;
};

/* ---- battery.c ---- */
extern const struct attempt *const ifp_batteries[];
const struct attempt *ifp_attempt_find(const char *name);
/* What a confined program is there for: a datagram by the device. Not in a battery. */
extern const struct attempt ifp_attempt_by_device;
/* Makes an attempt and reports that it was made. Return: what the attempt returned. */
int ifp_attempt_make(const struct attempt *a, const struct env *e);
int ifp_env_export(const struct env *e);
int ifp_env_import(struct env *ret);

/* ---- tools.c: what attempts are made of ---- */
struct target {
	struct sockaddr_storage ss;
	socklen_t len;
};

/* A socket that nothing protects, whose packets go as far as the place has it. Return: descriptor;
 * -errno. */
int ifp_open(const struct env *e, int family, int type, int proto);
/* Lets a socket's packets go as far as the place has it. Return: 0; -errno. */
int ifp_limit_hops(const struct env *e, int fd, int family);
/* A socket under the protection that is to be tried. Return: descriptor; -errno. */
int ifp_sock(const struct env *e, int family, int type, int proto);
/* Ties a socket by the protection, or closes it. mapped: an IPv6 socket that will talk IPv4. */
int ifp_protect(const struct env *e, int *fd, int family, bool mapped);
/* Connects and sends as a program does that has the protection. Return: 0; -errno. */
int ifp_connect(const struct env *e, int fd, const struct sockaddr *to, socklen_t len);
int ifp_sendmsg(const struct env *e, int fd, const struct msghdr *msg, int flags);
int ifp_sendmmsg(const struct env *e, int fd, struct mmsghdr *msgs, unsigned int n);
int ifp_sendto(const struct env *e, int fd, const void *buf, size_t len, int flags,
	const struct target *t);
/* The device as libifpin has it. */
struct ifpin_device ifp_device(const char *name);
struct target ifp_target(const char *addr, uint16_t port, uint32_t scope);
/* An IPv4 address as an IPv6 socket has it. */
struct target ifp_target_mapped(const char *addr4, uint16_t port);
/* Sends the marked payload. Return: 0; -errno. */
int ifp_send(const struct env *e, int fd, const struct target *t);
/* Sends the marked payload with one control message. Return: 0; -errno. */
int ifp_send_cmsg(const struct env *e, int fd, const struct target *t, int level, int type,
	const void *data, size_t len);
/* The same with a payload of the caller's. */
int ifp_send_cmsg_iov(const struct env *e, int fd, const struct target *t, struct iovec iov,
	int level, int type, const void *data, size_t len);
/* A marked IPv4 UDP packet with header. Return: length. */
size_t ifp_udp4_packet(const struct env *e, uint8_t *buf, const char *src, const char *dst);
uint16_t ifp_checksum(const void *data, size_t len);
/* Every hierarchy of the kind, seen from a root directory ("" is one's own). */
int ifp_move_to_root_cgroup(bool v1, const char *root);

extern const struct attempt ifp_battery_route[], ifp_battery_pktinfo[], ifp_battery_option[],
	ifp_battery_join[], ifp_battery_packet[], ifp_battery_reflect[], ifp_battery_escape[],
	ifp_battery_host[], ifp_battery_host_net[], ifp_battery_host_form[],
	ifp_battery_host_place[];

/* ---- pcapng.c: everything that was captured, as a file for Wireshark ---- */
enum side { SIDE_OUT, SIDE_IN, SIDE_COUNT };

/* What a capture socket received. The kernel keeps a VLAN tag apart from the bytes. */
struct captured {
	const uint8_t *bytes;
	size_t len;
	uint32_t ifindex;
	bool own; /* sent by the namespace itself */
	bool tagged;
	uint16_t tpid, tci;
	struct timespec at;
};

struct pcapng;

/* The frame with its tag. Return: bytes written, at most room; the length of all in ret_len. */
size_t ifp_captured_wire(const struct captured *c, uint8_t *buf, size_t room, size_t *ret_len);
/* Return: 0; errno of open, write. */
int ifp_pcapng_open(const char *path, struct pcapng **ret, struct ifpin_error *err);
/* socket: of the namespace that c was captured in. Return: 0; -ENFILE: too many devices; errno of
 * write, ioctl. */
int ifp_pcapng_frame(struct pcapng *f, enum side side, int socket, const struct captured *c,
	const char *comment);
/* With what the capture lost on each side. path: for the error. Return: 0; errno of write. */
int ifp_pcapng_close(struct pcapng **f, const unsigned int lost[SIDE_COUNT], const char *path,
	struct ifpin_error *err);

/* ---- lab.c ---- */
struct lab {
	int ns_host, ns_in, ns_out;
	uint32_t in_index, out_index;
	int capture;	/* packet socket at the peer behind out0 */
	int capture_in; /* and at the one behind in0 */
	/* Packet socket of the host. One for all sentinels: to close one the kernel waits until no
	 * processor uses it any more, 10 ms or more (packet_release()). */
	int sentinels;
	pid_t giver, poor;
	int giver_fd;
	int loose_fd;	     /* a UDP socket of the host that nothing protects */
	bool mptcp;	     /* an endpoint on out0 for further subflows is set */
	struct pcapng *file; /* where all captured frames go, or NULL */
	const char *column;  /* what all that is tried in it is tried behind, or NULL */
};

/* Makes the chassis; the caller is in the host's namespace then. Return: 0; -errno. */
int ifp_lab_make(struct lab *ret, struct ifpin_error *err);
void ifp_lab_end(struct lab *lab);
/* Makes a VRF with in0 in it, as the kernel's Documentation/networking/vrf.rst tells. Return: 0;
 * -EOPNOTSUPP: the kernel has none; -errno. */
#define LAB_VRF "ifpin-vrf"
int ifp_lab_vrf(const struct lab *lab);
/* Puts a device into a bridge or VRF; 0: takes it out. Return: 0; -errno. */
int ifp_set_master(uint32_t index, uint32_t master);
/* Sets up in0, which was away. Return: 0; -errno. */
int ifp_lab_in_again(uint32_t index);
/* The laboratory, as attempts see it. */
extern const struct place ifp_lab_place;
/* A multipath TCP server behind in0. Return: descriptor of the listener; -errno. */
int ifp_lab_serve(const struct lab *lab, uint16_t port);
/* A look-up by the laboratory itself, whose probe follows that of an attempt. */
int ifp_lab_probe(int which);
/* Of the attempt with this number: an address (LAB_PROBED6...). The kernel looks for a gateway once
 * a minute. */
struct in6_addr ifp_lab_probed(const char *first, int which);
/* A join by the laboratory itself, whose report follows those of an attempt. */
int ifp_lab_join(const struct lab *lab, const uint8_t g4[4], const uint8_t g6[16], bool six);

/* The processes that attempts look for outside, and the socket that nothing protects; all are in
 * lab. Return: 0; -errno. */
int ifp_lab_helpers(struct lab *lab, struct ifpin_error *err);

/* ---- prove.c ---- */
struct proof;

struct ifp_run_args {
	const char *argv[IFPIN_PROVE_MAX_WITH + 10];
	char self[32];
};
/*
 * `ifpin run` with the options that are asked for, and a command behind it. The command is
 * ourselves by an open descriptor: the path may be in a folder that --isolate hides.
 */
void ifp_run_args(const struct ifpin_prove_opts *opts, const char *device,
	const char *const *command, struct ifp_run_args *ret);
/* An option that ifpin run refuses would make all attempts look alike; it says itself what is
 * wrong. Return: 0; -errno. */
int ifp_try_options(
	const struct ifpin_prove_opts *opts, const char *device, struct ifpin_error *err);
/* What would have to be there for an attempt to be held, and is not here; NULL: nothing. */
const char *ifp_lacking(const struct attempt *a, enum protection prot);

/* A marker that no other frame of this or a parallel proof has. Return: 0; -errno. */
int ifp_fresh_env(
	const struct lab *lab, enum protection prot, unsigned int serial, struct env *ret);
/* Return: the server that an attempt needs, or -1, in ret; -EPROTONOSUPPORT: there can be none;
 * -errno. */
int ifp_serve(const struct lab *lab, const struct attempt *a, const struct env *e, int *ret);
/* Counts what arrived of an attempt, and judges. made: it says that it was. Return: 0; -ETIMEDOUT;
 * -errno. */
int ifp_count_and_judge(const struct lab *lab, const struct env *e, const struct attempt *a,
	bool made, struct result *ret);
/* What need not be tried; the outcome without protection is known by then. */
bool ifp_is_known(const struct proof *p, size_t i, enum protection k, struct result *ret);

/* ---- against.c: somebody else's means, as a column ---- */
#define AGAINST_LABEL 16

struct against {
	char column[sizeof("against ") + AGAINST_LABEL]; /* without a label "against"; or "" */
	const char *words;				 /* of the caller's */
	struct ifpin_error none;			 /* why nothing could be tried, or code 0 */
};

struct against_values {
	const char *device, *vrf;
	uint32_t ifindex;
	char netns[64]; /* a file that stands for the network namespace */
};

/* Label and words of what the user gave. Return: 0; -EINVAL. */
int ifp_against_parse(const char *given, struct against *ret, struct ifpin_error *err);
/* Return: the words with values in them, to be freed; NULL: out of memory. */
char *ifp_against_words(const char *words, const struct against_values *v);
/* Return: 0; -EINVAL: one of them is none, or two are called alike. */
int ifp_against_read(const struct ifpin_prove_opts *opts, struct proof *p, struct ifpin_error *err);
/* Whether they start anything; to be asked before all else, for that takes long. Return: 0;
 * -ECONNREFUSED; -errno. */
int ifp_against_try(struct proof *p, struct ifpin_error *err);
/* All attempts behind each, in laboratories of their own. Return: 0; -ENOBUFS: frames were lost;
 * -errno. */
int ifp_against_prove(struct proof *p, struct pcapng *file, struct ifpin_error *err);

/* ---- here.c: the same battery on a host as it is ---- */
int ifp_prove_here(
	const struct ifpin_prove_opts *opts, struct proof *p, FILE *out, struct ifpin_error *err);

/* ---- capture.c ---- */
/* Counts marked frames until the sentinel has come, and keeps the first. Return: 0; -ETIMEDOUT;
 * -errno. */
int ifp_capture_count(
	const struct lab *lab, const struct env *e, const struct attempt *a, struct result *ret);
/* Frames that found no room in a capture socket since it was opened. To be asked once. Return: 0;
 * errno of getsockopt. */
int ifp_capture_lost(const struct lab *lab, unsigned int ret[SIDE_COUNT]);

/* ---- names.c ---- */
extern const char *const ifp_protection_names[PROT_AGAINST];
extern const char *const ifp_outcome_names[OUT_COUNT];

/* ---- prove.c ---- */
struct proof {
	const struct ifpin_prove_opts *opts;
	size_t n;
	const struct attempt **attempts;
	struct result (*results)[PROT_COUNT];
	time_t began;
	double seconds;
	struct ifpin_error no_fence; /* why none could be put up, or code 0 */
	struct against against[IFPIN_PROVE_MAX_AGAINST];
	struct here *here; /* where it was on a host as it is; else NULL */
};
/* Whether programs can be put into traffic control with links (tcx). */
bool ifp_has_tcx(void);
/* What a column is called; NULL: it is not shown, for nothing was tried so. */
const char *ifp_column(const struct proof *p, enum protection k);
/* The first column from k on, or PROT_COUNT. */
enum protection ifp_next_column(const struct proof *p, enum protection k);
#define for_each_column(p, k)                                                                      \
	for (enum protection k = ifp_next_column((p), PROT_NONE); k < PROT_COUNT;                  \
		k = ifp_next_column((p), k + 1))
/* ---- report.c ---- */
#define CELL_WIDTH 16
void ifp_report_cell(FILE *out, const struct result *r, int width, bool colour);
