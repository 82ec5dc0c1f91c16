// SPDX-License-Identifier: MIT
/*
 * What leaves a host, seen where the kernel hands it to the driver: a packet socket there hears
 * what rules, queues and programs of traffic control have left of it, as they have left it, and
 * does not itself change anything. PACKET_QDISC_BYPASS and AF_XDP pass it (test_here.Facts).
 */
#include "here.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>

/* Ours are small, also in a tunnel in a tunnel; what others send in bulk is not. */
#define LONGEST 600

#define AT_ONCE 4096 /* frames; who sends them faster than they are read may do so for ever */

int ifp_watch_open(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, LONGEST, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, LONGEST),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog filter = {.len = ARRAY_SIZE(code), .filter = code};
	struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	/* Hears nothing before it is bound, and so nothing that the filter has not seen. */
	_cleanup_close_ int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int size = 16 << 20;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) ||
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
		bind(fd, (struct sockaddr *)&ll, sizeof(ll)))
		return -errno;
	return ifp_take_fd(&fd);
}

/* One that came while we look. */
static struct here_device *add_device(struct here *h, uint32_t ifindex)
{
	struct here_device *v = reallocarray(h->others, h->n_others + 1, sizeof(*h->others)), *d;

	if (!v)
		return NULL;
	h->others = v;
	d = &v[h->n_others];
	*d = (struct here_device){
		.dev.ifindex = ifindex, .counts = calloc(h->known.n, sizeof(*d->counts))};
	if (!d->counts)
		return NULL;
	if (!if_indextoname(ifindex, d->dev.name))
		snprintf(d->dev.name, sizeof(d->dev.name), "index:%u", ifindex);
	h->n_others++;
	return d;
}

static struct here_device *device_at(struct here *h, uint32_t ifindex)
{
	if (ifindex == h->self.dev.ifindex)
		return &h->self;
	for (size_t i = 0; i < h->n_others; i++)
		if (h->others[i].dev.ifindex == ifindex)
			return &h->others[i];
	return add_device(h, ifindex);
}

struct sighting {
	struct here *h;
	const struct here_frame *frame;
	uint32_t ifindex;
	int error;
};

/* As on Ethernet; a device that has no addresses puts none before its packets. */
static void keep_first(const struct here_frame *f, struct evidence *ret)
{
	uint8_t head[ETH_HLEN] = {[12] = (uint8_t)(f->protocol >> 8), (uint8_t)f->protocol};
	size_t n = f->type == ARPHRD_ETHER ? 0 : sizeof(head), room = sizeof(ret->bytes) - n;

	memcpy(ret->bytes, head, n);
	room = f->len < room ? f->len : room;
	memcpy(ret->bytes + n, f->bytes, room);
	ret->len = n + f->len;
	ret->kept = n + room;
}

static void seen(void *ctx, const struct here_hit *hit)
{
	unsigned int number = hit->number;
	struct sighting *s = ctx;
	struct here_device *d = device_at(s->h, s->ifindex);

	if (!d) {
		s->error = -ENOMEM;
		return;
	}
	if (d != &s->h->self && !s->h->first[number].len)
		keep_first(s->frame, &s->h->first[number]);
	d->counts[number].frames++;
	d->counts[number].times += hit->times;
	d->counts[number].wrapped += hit->wrapped ? hit->times : 0;
	if (hit->far)
		s->error = -EMULTIHOP;
}

/* Reading these sets them to 0. */
static int count_lost(struct here *h)
{
	struct tpacket_stats stats;
	socklen_t size = sizeof(stats);

	if (getsockopt(h->capture, SOL_PACKET, PACKET_STATISTICS, &stats, &size))
		return -errno;
	h->unseen += stats.tp_drops;
	return h->unseen ? -ENOBUFS : 0;
}

int ifp_watch_drain(struct here *h)
{
	for (;;) {
		struct sockaddr_ll ll = {};
		socklen_t len = sizeof(ll);
		uint8_t buf[LONGEST];
		ssize_t n = recvfrom(h->capture, buf, sizeof(buf), 0, (struct sockaddr *)&ll, &len);
		struct here_frame f = {.bytes = buf,
			.len = (size_t)n,
			.type = ll.sll_hatype,
			.protocol = ntohs(ll.sll_protocol)};
		struct sighting s = {.h = h, .frame = &f, .ifindex = (uint32_t)ll.sll_ifindex};
		int r;

		/* A device that is switched off says so to who listens; it goes on for the others.
		 */
		if (n < 0 && errno == ENETDOWN)
			continue;
		if (n < 0 && errno == EAGAIN)
			return count_lost(h);
		if (n < 0)
			return -errno;
		if (ll.sll_hatype == ARPHRD_LOOPBACK)
			continue;
		h->seen++;
		ifp_marks_find(&h->known, &f, seen, &s);
		r = s.error;
		if (!r && !(h->seen % AT_ONCE))
			r = count_lost(h);
		if (r)
			return r;
	}
}

/*
 * What the device sends leaves by those that it stands on, too, and by whatever carries its tunnel:
 * as much as was on the device itself is no leak there.
 */
unsigned int ifp_here_leaked(
	const struct here *h, const struct here_device *other, unsigned int number)
{
	const struct here_count *c = &other->counts[number];
	unsigned int may = other->below ? c->times : h->tunnel ? c->wrapped : 0;
	unsigned int own = h->self.counts[number].times;

	may = may < own ? may : own;
	if (other->excused || c->times == may)
		return 0;
	return c->times - may < c->frames ? c->times - may : c->frames;
}
