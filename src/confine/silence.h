/* SPDX-License-Identifier: MIT */
/* The end of a datagram socket of others, of which its holder cannot take anything back. */
#pragma once

#include <stdbool.h>

/*
 * Whether it sends nothing any more, whatever it is connected to. But for what it has corked, and
 * never of a raw socket, which asks for memory in another way (__ip_append_data).
 */
bool ifp_is_shut(int fd);

/* Shut, and deaf: a filter drops all that comes, and cannot be taken off. */
bool ifp_is_silent(int fd);

/*
 * Throws away what is corked: that has its route, and leaves when the cork is drawn, whatever was
 * done to the socket meanwhile. Return: 0; -EBUSY.
 */
int ifp_uncork(int fd);

/*
 * Makes it silent. What it has received is left to it.
 * Return: 0; -EPERM: it has another filter that is locked; -EBUSY: it is a raw one; errno of
 * setsockopt.
 */
int ifp_silence(int fd);
