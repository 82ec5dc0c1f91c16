/* SPDX-License-Identifier: MIT */
/* Which network interface is meant, whether it still is the same, and what becomes of it. */
#pragma once

#include <net/if.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IFPIN_API __attribute__((visibility("default")))

/**
 * struct ifpin_error - why a call failed, in words for a person
 * @code: negative errno
 * @text: one line: what failed, on what, and what to do; no newline
 */
struct ifpin_error {
	int code;
	char text[1024];
};

/**
 * ifpin_strerror - what an error of this library means
 * @code: a negative errno that one of its functions returned
 *
 * Return: a sentence, static; for an errno that has no meaning of its own here, that of
 * strerrordesc_np(3), in English whatever the locale.
 */
IFPIN_API const char *ifpin_strerror(int code);

/** ifpin_version - version of the library that runs, as "0.1.0"; static */
IFPIN_API const char *ifpin_version(void);

#define IFPIN_MAC_SIZE 32 /* MAX_ADDR_LEN; InfiniBand's has 20 bytes */
#define IFPIN_KIND_SIZE 32
#define IFPIN_ALTNAMES_SIZE 512

#define IFPIN_DEVICE_UP 1      /* an administrator switched it on (IFF_UP) */
#define IFPIN_DEVICE_CARRIER 2 /* it has a link (IFF_LOWER_UP) */

/**
 * struct ifpin_device - a network interface as it was when it was looked up
 * @ifindex: index in its network namespace; what a socket is tied to
 * @flags: IFPIN_DEVICE_*
 * @master: index of the bridge, bond or VRF that it is a member of, or 0
 * @type: ARPHRD_* of <linux/if_arp.h>
 * @mac_len: bytes of @mac; 0 where the device has none (tun, WireGuard)
 * @perm_mac_len: bytes of @perm_mac; 0 where it has none or before Linux 5.6
 * @netns: cookie of its network namespace (SO_NETNS_COOKIE), or 0 before Linux 5.14
 * @name: its name
 * @kind: kind of a virtual device ("veth", "vlan", "vrf"), or empty
 * @mac: its address on the link
 * @perm_mac: the address that it was made with
 * @altnames: alternative names, one space between; those that do not fit are left out; Linux 5.5
 * @reserved: zero
 *
 * Plain data: may be copied, kept, and compared with ifpin_device_check().
 */
struct ifpin_device {
	uint32_t ifindex;
	uint32_t flags;
	uint32_t master;
	uint16_t type;
	uint8_t mac_len;
	uint8_t perm_mac_len;
	uint64_t netns;
	char name[IF_NAMESIZE];
	char kind[IFPIN_KIND_SIZE];
	uint8_t mac[IFPIN_MAC_SIZE];
	uint8_t perm_mac[IFPIN_MAC_SIZE];
	char altnames[IFPIN_ALTNAMES_SIZE];
	uint64_t reserved[8];
};

/**
 * ifpin_device_resolve - find the interface that a person means
 * @spec: a name, an alternative name, "index:N" or "mac:AA:BB:CC:DD:EE:FF"
 * @ret_device: written on success only
 * @ret_error: may be NULL; on failure says what went wrong and which interfaces there are
 *
 * By one RTM_GETLINK (rtnetlink(7)), for a MAC address by a list of all. Alternative names need
 * Linux 5.5, else they are unknown.
 *
 * Return: 0; -EINVAL: @spec is empty, malformed or longer than a name can be;
 * -ENODEV: no such interface; -ENOTUNIQ: several have this MAC address; -EAGAIN: the list kept
 * changing; -EBADMSG: the kernel sent nonsense; -ENOMEM, or what socket(2), sendto(2) and
 * recvmsg(2) gave.
 */
IFPIN_API int ifpin_device_resolve(
	const char *spec, struct ifpin_device *ret_device, struct ifpin_error *ret_error);

/**
 * ifpin_device_list - all interfaces of the network namespace
 * @ret_devices: in order of their index; to be released with free(3)
 * @ret_n: how many
 * @ret_error: may be NULL
 *
 * Complete however many there are, and while others rename, make and delete some: each interface
 * that was there all the time is in the list, none that was gone before the call is.
 *
 * Return: 0; -EAGAIN: changes came faster than they could be read; -ENOMEM, or what socket(2),
 * sendto(2) and recvmsg(2) gave.
 */
IFPIN_API int ifpin_device_list(
	struct ifpin_device **ret_devices, size_t *ret_n, struct ifpin_error *ret_error);

/** enum ifpin_identity - what became of a device that was looked up earlier */
enum ifpin_identity {
	IFPIN_SAME,	   /* it is there, under the same name */
	IFPIN_RENAMED,	   /* it is there, under another name; sockets tied to it go on */
	IFPIN_BACK,	   /* it was deleted and is there again, with another index */
	IFPIN_REPLACED,	   /* another device has its name or its index; it is gone itself */
	IFPIN_GONE,	   /* there is no trace of it */
	IFPIN_OTHER_NETNS, /* the caller is in another network namespace; Linux 5.14 */
};

/**
 * ifpin_device_check - is this still the same device?
 * @device: what an earlier call gave
 * @ret_identity: the answer
 * @ret_now: may be NULL; the device as it is now; if replaced, the other one; if gone or in another
 *	namespace, all zero, which no function takes for a device
 * @ret_error: may be NULL
 *
 * Two sightings at one index are of one device if kind and type agree and the first of these that
 * applies does: both have a permanent MAC address, and it is the same; neither has a MAC address,
 * and the name is the same; the MAC addresses are the same; both are locally administered (somebody
 * made them up) and the devices share an alternative name. At another index the name, or an
 * alternative name, has to be the same as well, for VLANs and switch ports share MAC addresses.
 * Everything else is another device, also where it has the same name and index: whoever changes
 * the MAC address of a device without a permanent one makes it another. (A monitor that was open
 * sees that it is not.)
 *
 * Return: 0; -EINVAL: @device is all zero; as ifpin_device_list().
 */
IFPIN_API int ifpin_device_check(const struct ifpin_device *device,
	enum ifpin_identity *ret_identity, struct ifpin_device *ret_now,
	struct ifpin_error *ret_error);

/**
 * ifpin_device_nameservers - name servers that the host knows for a device
 * @ret_servers: struct sockaddr_in and sockaddr_in6 with port 53; to be released with free(3)
 * @ret_n: how many, at least one
 * @ret_error: may be NULL
 *
 * Those that systemd-resolved was told for the link, else those that systemd-networkd has for it,
 * else those of /etc/resolv.conf. Never one that is an address of this host: a resolver here asks
 * on by whichever device it likes.
 *
 * Return: 0; -ENODATA: none is known; -ENOMEM.
 */
IFPIN_API int ifpin_device_nameservers(const struct ifpin_device *device,
	struct sockaddr_storage **ret_servers, size_t *ret_n, struct ifpin_error *ret_error);

/** enum ifpin_event_type - what happened to a device */
enum ifpin_event_type {
	IFPIN_EVENT_GONE, /* deleted or moved to another namespace, its addresses with it */
	/* there again, mostly with a new index: re-pin sockets; its addresses may be yet to come */
	IFPIN_EVENT_BACK,
	IFPIN_EVENT_RENAMED,	     /* sockets go on */
	IFPIN_EVENT_REPLACED,	     /* another device has its name, see ifpin_device_check() */
	IFPIN_EVENT_UP,		     /* switched on */
	IFPIN_EVENT_DOWN,	     /* switched off */
	IFPIN_EVENT_CARRIER,	     /* the link is there */
	IFPIN_EVENT_NO_CARRIER,	     /* the link is lost */
	IFPIN_EVENT_MAC,	     /* its MAC address was changed while it was watched */
	IFPIN_EVENT_ADDRESS_ADDED,   /* it has an address more */
	IFPIN_EVENT_ADDRESS_REMOVED, /* it has an address less */
	IFPIN_EVENT_RESYNCED, /* messages were lost (ENOBUFS); the state was read anew, and what
				 differs from what was told follows as events of its own */
};

/**
 * struct ifpin_event - one change
 * @type: what happened
 * @prefixlen: of @address
 * @device: the device after it; if gone, as it was last; if replaced, the other one
 * @address: for ADDRESS_*: struct sockaddr_in or sockaddr_in6, port 0
 * @text: the same in a sentence
 */
struct ifpin_event {
	enum ifpin_event_type type;
	unsigned int prefixlen;
	struct ifpin_device device;
	struct sockaddr_storage address;
	char text[256];
};

/** struct ifpin_monitor - follows one device; opaque, for one thread at a time */
struct ifpin_monitor;

/**
 * ifpin_monitor_open - follow a device
 * @device: from ifpin_device_resolve(); what became of it since is reported first, and then the
 *	addresses that it has
 * @ret_monitor: to be released with ifpin_monitor_close()
 * @ret_error: may be NULL
 *
 * The monitor stays in the network namespace in which it was opened, whichever the caller enters.
 * Needs no privilege; with CAP_NET_ADMIN its socket has room for more messages.
 *
 * Return: 0; -EXDEV: @device is of another network namespace; -EAGAIN, -ENOMEM, or what socket(2),
 * bind(2), sendto(2) and recvmsg(2) gave.
 */
IFPIN_API int ifpin_monitor_open(const struct ifpin_device *device,
	struct ifpin_monitor **ret_monitor, struct ifpin_error *ret_error);

/**
 * ifpin_monitor_fd - what to poll for reading
 *
 * Readable when ifpin_monitor_next() may have an event. Fit for level-triggered and edge-triggered
 * epoll(7). Owned by the monitor.
 */
IFPIN_API int ifpin_monitor_fd(const struct ifpin_monitor *monitor);

/**
 * ifpin_monitor_next - the next change
 * @ret_event: written if there is one
 *
 * Never blocks. Call it until it returns 0, whenever the descriptor is readable and right after
 * opening.
 *
 * Return: 1: there is an event; 0: none until the descriptor is readable again; -EAGAIN, -EBADMSG,
 * -ENOMEM or what recvmsg(2) gave: the state is not known, and the next call reads it anew. The
 * descriptor need not become readable for that: call again after a while.
 */
IFPIN_API int ifpin_monitor_next(struct ifpin_monitor *monitor, struct ifpin_event *ret_event);

/**
 * ifpin_monitor_device - the device as of the last event that ifpin_monitor_next() gave
 *
 * Return: owned by the monitor, changed by the next call of ifpin_monitor_next(); NULL while the
 * device is gone.
 */
IFPIN_API const struct ifpin_device *ifpin_monitor_device(const struct ifpin_monitor *monitor);

/** ifpin_monitor_close - end it; NULL is fine */
IFPIN_API void ifpin_monitor_close(struct ifpin_monitor *monitor);

#ifdef __cplusplus
}
#endif
