/* SPDX-License-Identifier: MIT */
/* The parser inside, for the reader of files and the fuzzer. */
#pragma once

#include <ifpin/config.h>

#include "base/base.h"

/* The text of a file. @config has its name. Return: 0; -EINVAL: errors were told; -ENOMEM. */
int ifp_config_parse(const char *text, size_t len, ifpin_config_error_fn *on_error, void *ctx,
	struct ifpin_config *config);

/* Whether a name may be that of a pin. */
bool ifp_config_name_ok(const char *name, size_t len);
