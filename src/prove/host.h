/* SPDX-License-Identifier: MIT */
/* What attempts of the host itself are made of. */
#pragma once

#include "internal.h"

#include <linux/if_ether.h>
#include <netinet/in.h>

#define IN_MAC "\x02\x00\x00\x00\x01\x01"
#define IN_PEER_MAC "\x02\x00\x00\x00\x01\x02"
#define BROADCAST "\xff\xff\xff\xff\xff\xff"
#define NEW_LINK "att0" /* what an attempt makes; taken away after it */

struct frame {
	uint8_t bytes[512];
	size_t len;
};

/* A frame begins; what follows is appended. */
void ifp_frame_begin(struct frame *f, const char *dst, const char *src, uint16_t type);
void ifp_frame_put(struct frame *f, const void *bytes, size_t n);
/* A marked UDP packet, or an echo request, IPv4 or IPv6 by its addresses. */
void ifp_frame_packet(
	struct frame *f, const struct env *e, const char *src, const char *dst, bool echo);
void ifp_frame_arp(struct frame *f, bool reply, const char *sender, const char *target);
/* A neighbour solicitation of the host for somebody's address. */
void ifp_frame_solicit(struct frame *f, const char *src, const char *target);

/* Sends a frame as a device of a namespace would: what the peer there says. Return: 0; -errno. */
int ifp_inject(const struct env *e, int ns, const struct frame *f);
/* Until all that came in before by a device of the host is dealt with. Return: 0; -errno. */
int ifp_settle(const struct env *e, int ns, const char *device);
/* A datagram from an address of the host, by its routes. Return: 0; -errno. */
int ifp_host_say(const struct env *e, const char *src, const char *dst);
/* A packet socket of the host, past the queueing discipline or not; protocol as it claims. */
int ifp_packet_send(const struct env *e, const struct frame *f, uint16_t protocol, bool bypass);

/* Rules in a table "attempt". Return: 0; -errno. */
int ifp_rules(const char *family, const char *rules);
int ifp_lab_sysctl(const char *path, const char *value);
/* A new device of the host, switched on. lower: index of what it stands on, or 0; peer_ns: for the
 * other end, or -1. */
int ifp_new_link(const struct env *e, const char *kind, uint32_t lower, int peer_ns);
/*
 * Puts another device in the place of in0, with its name and index, that leads where out0 does;
 * and brings in0 back. ret_away: where it is meanwhile, the caller's; -1: it has not moved.
 * Return: 0; -errno.
 */
int ifp_replace_in(const struct env *e, int *ret_away);
int ifp_restore_in(const struct env *e, int away);
int ifp_mirror(bool ingress, const char *from, const char *to);
/* Both devices become ports of one bridge, and a frame comes from the peer behind in0; then all is
 * as before. Return: 0; -errno. */
int ifp_bridged(const struct env *e, const struct frame *f);
/* Undoes all of the above. */
void ifp_host_clean(const struct env *e);
