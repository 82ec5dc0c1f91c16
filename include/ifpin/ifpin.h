/* SPDX-License-Identifier: MIT */
#pragma once

#include <ifpin/device.h>
#include <ifpin/confine.h>
#include <ifpin/prove.h>
