// SPDX-License-Identifier: MIT
/* Families below IP, which no cgroup program sees. */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#ifndef PACKET_QDISC_BYPASS
#define PACKET_QDISC_BYPASS 20
#endif

static size_t frame(const struct env *e, uint8_t *buf)
{
	memcpy(buf, e->at.peer_mac, 6);
	memcpy(buf + 6, e->at.out_mac, 6);
	buf[12] = 8;
	buf[13] = 0;
	return 14 + ifp_udp4_packet(e, buf + 14, e->at.in4, e->at.peer4);
}

static int packet(const struct env *e, int arg)
{
	bool raw = arg & 1, bypass = arg & 2;
	struct sockaddr_ll ll = {.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_IP),
		.sll_ifindex = (int)e->out_index,
		.sll_halen = 6};
	_cleanup_close_ int fd =
		socket(AF_PACKET, (raw ? SOCK_RAW : SOCK_DGRAM) | SOCK_CLOEXEC, htons(ETH_P_IP));
	uint8_t buf[256] __attribute__((aligned(4)));
	size_t len = frame(e, buf + 2), skip = raw ? 0 : 14;
	int on = 1;

	if (fd < 0)
		return -errno;
	if (bypass && setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)))
		return -errno;
	/* Binding a packet socket needs no device option; it was never bound by any. */
	memcpy(ll.sll_addr, e->at.peer_mac, 6);
	if (sendto(fd, buf + 2 + skip, len - skip, 0, (struct sockaddr *)&ll, sizeof(ll)) < 0)
		return -errno;
	return 0;
}

static int sock_packet(const struct env *e, int family)
{
	struct sockaddr sa = {.sa_family = AF_INET};
	_cleanup_close_ int fd = socket(family, SOCK_PACKET | SOCK_CLOEXEC, htons(ETH_P_IP));
	uint8_t buf[256] __attribute__((aligned(4)));
	size_t len = frame(e, buf + 2);

	if (fd < 0)
		return -errno;
	memcpy(sa.sa_data, e->at.out, sizeof(sa.sa_data) - 1);
	return sendto(fd, buf + 2, len, 0, &sa, sizeof(sa)) < 0 ? -errno : 0;
}

/* The kernel sends from a ring that the program shares with it. */
static int tx_ring(const struct env *e, int arg)
{
	struct tpacket_req req = {
		.tp_block_size = 4096, .tp_block_nr = 1, .tp_frame_size = 2048, .tp_frame_nr = 2};
	struct sockaddr_ll ll = {.sll_family = AF_PACKET,
		.sll_ifindex = (int)e->out_index,
		.sll_protocol = htons(ETH_P_IP)};
	_cleanup_close_ int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	struct tpacket_hdr *h;
	uint8_t *data;

	(void)arg;
	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &req, sizeof(req)) ||
		bind(fd, (struct sockaddr *)&ll, sizeof(ll)))
		return -errno;
	h = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (h == MAP_FAILED)
		return -errno;
	data = (uint8_t *)h + TPACKET_HDRLEN - sizeof(struct sockaddr_ll);
	h->tp_len = (unsigned int)frame(e, data);
	h->tp_status = TP_STATUS_SEND_REQUEST;
	return send(fd, NULL, 0, 0) < 0 ? -errno : 0;
}

enum { XDP_FRAMES = 16, XDP_FRAME_SIZE = 2048 };

static int xdp_umem(int fd, uint8_t **ret)
{
	size_t len = XDP_FRAMES * XDP_FRAME_SIZE;
	uint8_t *area = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct xdp_umem_reg reg = {
		.addr = (uint64_t)(uintptr_t)area, .len = len, .chunk_size = XDP_FRAME_SIZE};
	int ring = XDP_FRAMES;

	if (area == MAP_FAILED || setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) ||
		setsockopt(fd, SOL_XDP, XDP_UMEM_FILL_RING, &ring, sizeof(ring)) ||
		setsockopt(fd, SOL_XDP, XDP_UMEM_COMPLETION_RING, &ring, sizeof(ring)) ||
		setsockopt(fd, SOL_XDP, XDP_TX_RING, &ring, sizeof(ring)))
		return -errno;
	*ret = area;
	return 0;
}

static int xdp(const struct env *e, int arg)
{
	_cleanup_close_ int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	struct sockaddr_xdp sx = {
		.sxdp_family = AF_XDP, .sxdp_ifindex = e->out_index, .sxdp_flags = XDP_COPY};
	struct xdp_mmap_offsets off;
	socklen_t len = sizeof(off);
	struct xdp_desc *desc;
	uint8_t *area = NULL, *tx;
	time_t deadline = time(NULL) + 3;
	int r;

	(void)arg;
	if (fd < 0)
		return -errno;
	r = xdp_umem(fd, &area);
	if (r)
		return r;
	/* Linux 6.1 does not map the rings of a socket that is bound. */
	if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len))
		return -errno;
	tx = mmap(NULL, off.tx.desc + XDP_FRAMES * sizeof(*desc), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_POPULATE, fd, XDP_PGOFF_TX_RING);
	if (tx == MAP_FAILED)
		return -errno;
	/* The queue of the attempt before this one is given back by a worker of the kernel. */
	while ((r = bind(fd, (struct sockaddr *)&sx, sizeof(sx))) && errno == EBUSY &&
		time(NULL) < deadline)
		sched_yield();
	if (r)
		return -errno;
	desc = (struct xdp_desc *)(tx + off.tx.desc);
	desc->addr = 0;
	desc->len = (uint32_t)frame(e, area);
	__atomic_store_n((uint32_t *)(tx + off.tx.producer), 1, __ATOMIC_RELEASE);
	return sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 ? -errno : 0;
}

#define CLASS "packet"
#define RAW (PAST_LIBRARY | EACH_DEVICE | WHOLE_FRAME | NEEDS_RUN)
#define UNSEEN "passes the place where frames are watched, so a leak would not be seen"
const struct attempt ifp_battery_packet[] = {
	{"packet-raw", CLASS, "AF_PACKET with a whole frame", "packet(7)", packet, 1, RAW},
	{"packet-dgram", CLASS, "AF_PACKET with a cooked frame", "packet(7)", packet, 0, RAW},
	{"packet-raw-bypass", CLASS, "AF_PACKET with a whole frame past the queueing discipline",
		"packet(7)", packet, 3, RAW, UNSEEN},
	{"packet-dgram-bypass", CLASS, "AF_PACKET with a cooked frame past the queueing discipline",
		"packet(7)", packet, 2, RAW, UNSEEN},
	{"packet-tx-ring", CLASS, "AF_PACKET by a shared ring", "packet(7)", tx_ring, 0, RAW},
	{"sock-packet", CLASS, "SOCK_PACKET, the oldest form", "packet(7)", sock_packet, AF_PACKET,
		RAW},
	{"sock-packet-inet", CLASS, "SOCK_PACKET in disguise of AF_INET", "net/socket.c",
		sock_packet, AF_INET, RAW},
	{"xdp", CLASS, "AF_XDP in copy mode", "Documentation/networking/af_xdp.rst", xdp, 0,
		RAW | PAST_RULES, UNSEEN},
	{},
};
