// SPDX-License-Identifier: MIT
/* The words of the reports: docs/proof.schema.json has them as well. */
#include "internal.h"

const char *const ifp_protection_names[PROT_AGAINST] = {
	"none", "bind", "SO_BINDTODEVICE", "libifpin", "ifpin run", "fence"};
const char *const ifp_outcome_names[OUT_COUNT] = {
	"held", "leaked", "not held", "broken", "unavailable", "out of reach", "n/a", "not tried"};
