// SPDX-License-Identifier: MIT
/* Processes that nothing confines, with in0's traffic, or in its name. */
#include "host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

/* An address of in0 as the source, and the default route for the rest. */
static int route(const struct env *e, int six)
{
	return six ? ifp_host_say(e, LAB_IN6, LAB_FAR6) : ifp_host_say(e, LAB_IN4, LAB_FAR4);
}

/* In fragments; the marker is in the last one, too. */
static int fragments(const struct env *e, int six)
{
	struct target from = ifp_target(six ? LAB_IN6 : LAB_IN4, 0, 0);
	struct target to = ifp_target(six ? LAB_PEER6 : LAB_PEER4, e->port, 0);
	_cleanup_close_ int fd = socket(six ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint8_t buf[4000];

	for (size_t i = 0; i + MAGIC_LEN <= sizeof(buf); i += MAGIC_LEN)
		memcpy(buf + i, e->magic, MAGIC_LEN);
	if (fd < 0 || bind(fd, (struct sockaddr *)&from.ss, from.len))
		return -errno;
	return sendto(fd, buf, sizeof(buf), 0, (struct sockaddr *)&to.ss, to.len) < 0 ? -errno : 0;
}

/* In the name of an address that is nobody's here. */
static int forged(const struct env *e, int arg)
{
	struct target t = ifp_target(LAB_PEER4, 0, 0);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	uint8_t buf[128];
	size_t len = ifp_udp4_packet(e, buf, "10.0.1.99", LAB_PEER4);

	(void)arg;
	if (fd < 0)
		return -errno;
	return sendto(fd, buf, len, 0, (struct sockaddr *)&t.ss, t.len) < 0 ? -errno : 0;
}

enum { BYPASS = 1, LIE = 2, SIX = 4, TO_FENCE = 8 };

static int frame_of(const struct env *e, int how)
{
	struct frame f;
	const char *src = how & SIX ? LAB_IN6 : how & TO_FENCE ? LAB_OUT4 : LAB_IN4;
	const char *dst = how & SIX ? LAB_PEER6 : how & TO_FENCE ? LAB_PEER_IN4 : LAB_PEER4;
	uint16_t type = how & SIX ? ETH_P_IPV6 : ETH_P_IP;

	ifp_frame_begin(&f, LAB_PEER_MAC, LAB_OUT_MAC, type);
	ifp_frame_packet(&f, e, src, dst, false);
	return ifp_packet_send(e, &f, how & LIE ? 0x88b6 : type, how & BYPASS);
}

/* IP behind tags, 802.1Q and 802.1ad, as many as are asked for. */
static int tagged(const struct env *e, int arg)
{
	static const uint8_t q[] = {0, 7, 0x81, 0}, ip[] = {0, 7, 8, 0};
	int tags = arg & 15;
	struct frame f;

	ifp_frame_begin(&f, LAB_PEER_MAC, LAB_OUT_MAC, tags > 1 ? ETH_P_8021AD : ETH_P_8021Q);
	for (int i = 1; i < tags; i++)
		ifp_frame_put(&f, q, sizeof(q));
	ifp_frame_put(&f, ip, sizeof(ip));
	ifp_frame_packet(&f, e, LAB_IN4, LAB_PEER4, false);
	return ifp_packet_send(e, &f, arg & 32 ? ETH_P_IP : ETH_P_8021Q, arg & 16);
}

/* A session of PPP over Ethernet, RFC 2516. */
static int pppoe(const struct env *e, int bypass)
{
	static const uint8_t head[] = {0x11, 0, 0, 7, 0, 46, 0, 0x21};
	struct frame f;

	ifp_frame_begin(&f, LAB_PEER_MAC, LAB_OUT_MAC, ETH_P_PPP_SES);
	ifp_frame_put(&f, head, sizeof(head));
	ifp_frame_packet(&f, e, LAB_IN4, LAB_PEER4, false);
	return ifp_packet_send(e, &f, ETH_P_PPP_SES, bypass);
}

static int arp(const struct env *e, int tag)
{
	static const uint8_t vlan[] = {0, 7, 8, 6};
	struct frame f;

	ifp_frame_begin(&f, BROADCAST, LAB_OUT_MAC, tag ? ETH_P_8021Q : ETH_P_ARP);
	if (tag)
		ifp_frame_put(&f, vlan, sizeof(vlan));
	ifp_frame_arp(&f, false, LAB_IN4, LAB_PEER4);
	ifp_frame_put(&f, e->magic, MAGIC_LEN);
	return ifp_packet_send(e, &f, tag ? ETH_P_8021Q : ETH_P_ARP, true);
}

static int solicit(const struct env *e, int arg)
{
	struct frame f;

	(void)arg;
	ifp_frame_begin(&f, "\x33\x33\xff\x00\x00\x02", LAB_OUT_MAC, ETH_P_IPV6);
	ifp_frame_solicit(&f, "fe80::2:1", "fd00:1::99");
	return ifp_packet_send(e, &f, ETH_P_IPV6, true);
}

/* A tunnel in user space: what is routed to it leaves again, as bytes of somebody else's. */
static int tunnel(const struct env *e, int arg)
{
	struct ifreq ifr = {.ifr_name = NEW_LINK, .ifr_flags = IFF_TUN | IFF_NO_PI};
	_cleanup_close_ int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct target t = ifp_target(LAB_PEER4, 9, 0);
	struct target dst = ifp_target(LAB_PEER_IN4, e->port, 0);
	uint8_t buf[2048];
	ssize_t n;
	int r = 0;

	(void)arg;
	if (tun < 0 || ioctl(tun, TUNSETIFF, &ifr))
		return errno == ENOENT ? -EPROTONOSUPPORT : -errno;
	ifr.ifr_flags = IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) ||
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, NEW_LINK, sizeof(NEW_LINK)) ||
		sendto(fd, e->magic, MAGIC_LEN, 0, (struct sockaddr *)&dst.ss, dst.len) < 0)
		r = -errno;
	setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0);
	while (!r && (n = read(tun, buf, sizeof(buf))) > 0)
		if (sendto(fd, buf, (size_t)n, 0, (struct sockaddr *)&t.ss, t.len) < 0)
			r = -errno;
	return r;
}

#define CLASS "host"
#define FLAGS HOST
const struct attempt ifp_battery_host[] = {
	{"host-route4", CLASS, "a socket with in0's address, by the default route",
		"ip(7), bind(2)", route, 0, FLAGS},
	{"host-route6", CLASS, "the same, IPv6", "ipv6(7), bind(2)", route, 1, FLAGS},
	{"host-fragments4", CLASS, "a datagram in fragments", "RFC 791 2.3", fragments, 0, FLAGS},
	{"host-fragments6", CLASS, "the same, IPv6", "RFC 8200 4.5", fragments, 1, FLAGS},
	{"host-forged", CLASS, "a raw packet in the name of a neighbour behind in0", "raw(7)",
		forged, 0, FLAGS},
	{"host-frame", CLASS, "a frame with in0's address by AF_PACKET", "packet(7)", frame_of, 0,
		FLAGS},
	{"host-frame-to", CLASS, "a frame that is addressed to the network behind in0", "packet(7)",
		frame_of, TO_FENCE, FLAGS},
	{"host-frame-bypass", CLASS, "a frame past the queueing discipline", "packet(7)", frame_of,
		BYPASS, FLAGS},
	{"host-frame-bypass6", CLASS, "the same, IPv6", "packet(7)", frame_of, BYPASS | SIX, FLAGS},
	{"host-frame-lying", CLASS, "a frame whose socket says that it is something else",
		"packet(7)", frame_of, BYPASS | LIE, FLAGS},
	{"host-vlan", CLASS, "behind a VLAN tag", "IEEE 802.1Q", tagged, 1, FLAGS},
	{"host-vlan-bypass", CLASS, "behind a tag, past the queueing discipline, said to be IP",
		"IEEE 802.1Q, packet(7)", tagged, 1 | 16 | 32, FLAGS},
	{"host-qinq", CLASS, "behind two tags", "IEEE 802.1ad", tagged, 2 | 16, FLAGS},
	{"host-four-tags", CLASS, "behind four tags", "IEEE 802.1Q", tagged, 4 | 16, FLAGS},
	{"host-pppoe", CLASS, "in a PPPoE session", "RFC 2516", pppoe, 1, FLAGS},
	{"host-arp", CLASS, "an ARP request in the name of in0", "RFC 826", arp, 0, FLAGS | TELLS},
	{"host-arp-vlan", CLASS, "the same behind a VLAN tag", "RFC 826, IEEE 802.1Q", arp, 1,
		FLAGS},
	{"host-solicit", CLASS, "a solicitation for a neighbour behind in0", "RFC 4861 4.3",
		solicit, 0, FLAGS | TELLS},
	{"host-tunnel", CLASS, "a tunnel of a program, to which in0's traffic is sent",
		"Documentation/networking/tuntap.rst", tunnel, 0, FLAGS},
	{},
};
