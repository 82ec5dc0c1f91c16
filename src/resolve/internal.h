/* SPDX-License-Identifier: MIT */
/* A connection in the making: questions, addresses, attempts. */
#pragma once

#include <ifpin/resolve.h>

#include "base/base.h"

#include <ares.h>

#define MAX_ADDRESSES 16 /* of a family; what is beyond is not tried */

/* Two lists, for the families take turns. */
enum { V6, V4, FAMILIES };

struct addresses {
	struct sockaddr_storage v[MAX_ADDRESSES];
	size_t n, next; /* next: the first that was not tried */
	bool asked;	/* the answer is still to come */
	int status;	/* of c-ares */
};

struct attempt {
	int fd;
	struct sockaddr_storage to;
};

struct ifpin_connect {
	struct ifpin_device device;
	struct ifpin_connect_opts opts;
	uint16_t port;
	char *host;
	int epoll, timer;
	ares_channel channel;
	struct addresses found[FAMILIES];
	struct attempt attempts[2 * MAX_ADDRESSES];
	size_t n_attempts;
	int turn;		   /* family that is to be tried next */
	uint64_t end;		   /* nanoseconds of CLOCK_MONOTONIC */
	uint64_t next_attempt;	   /* 0: none waits for its turn */
	uint64_t resolution_until; /* 0: nobody waits for AAAA */
	bool is_racing;
	struct ifpin_error pin_error; /* code 0: every socket was pinned */
	struct ifpin_error last;      /* why the last address failed */
};

uint64_t ifp_now(void);

/* names.c: asks for the addresses, or reads them where the host is one in numbers.
 * Return: 0; -EXDEV; -ENODATA; -ENOMEM; -EINVAL. */
int ifp_names_ask(struct ifpin_connect *c, struct ifpin_error *err);
/* What a descriptor of c-ares has. */
void ifp_names_process(struct ifpin_connect *c, int fd, uint32_t events);
/* Milliseconds until c-ares wants to be called; -1: never. */
int ifp_names_timeout(struct ifpin_connect *c);
void ifp_names_end(struct ifpin_connect *c);
/* Why there is no address. Return: -errno. */
int ifp_names_failure(const struct ifpin_connect *c, struct ifpin_error *err);
