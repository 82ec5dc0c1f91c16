/* SPDX-License-Identifier: MIT */
/*
 * libifpin: devices, and sockets that can use one of them only.
 *
 * Functions return 0 (or what they are asked for) or a negative errno, and write their outputs on
 * success only. Those with a `ret_error` say there why they failed, in words; it may be NULL. The
 * library never prints, exits, starts threads, installs signal handlers or keeps global state.
 *
 * Threads: every function may be called from any thread at any time, with one exception: an object
 * of its own (struct ifpin_monitor, struct ifpin_connect) is for one thread at a time. Devices are
 * looked up in the network namespace of the calling thread.
 *
 * Privileges: none since Linux 5.7, but for what a function names. Before 5.7 tying a socket to a
 * device needs CAP_NET_RAW.
 */
#pragma once

#include <ifpin/device.h>
#include <ifpin/socket.h>
