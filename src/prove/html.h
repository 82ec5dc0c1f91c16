/* SPDX-License-Identifier: MIT */
/* The one place where text becomes HTML. */
#pragma once

#include "base/base.h"

#include <stddef.h>

/* Length of the UTF-8 character at s; 0: it begins none. */
size_t ifp_utf8_length(const char *s);
/* Text as HTML and UTF-8: what is special or not valid is replaced. */
void ifp_html_text(FILE *out, const char *text);
/*
 * HTML with text in it. The format is markup, as it stands; each %s is text and escaped; %u is an
 * unsigned int, %% a per cent sign, and nothing else is known.
 */
void ifp_html(FILE *out, const char *fmt, ...) _printf_(2, 3);
