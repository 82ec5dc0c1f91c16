/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

/* Whether the kernel has Landlock scopes (Linux 6.12), which keep processes outside from being
 * traced. */
bool ifp_scope_available(void);
