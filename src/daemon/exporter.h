/* SPDX-License-Identifier: MIT */
/* What the exporter of metrics consists of. */
#pragma once

#include <stdio.h>

/*
 * All metrics as OpenMetrics text 1.0.
 * Return: 0; -errno: told on standard error.
 */
int metrics_write(FILE *f, const char *config_dir);
