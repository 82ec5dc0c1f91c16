/* SPDX-License-Identifier: MIT */
/* The parts of the page. */
#pragma once

#include "prove/report.h"

/* A narrow screen shows tables as something else; with roles they stay tables for who listens. */
#define THEAD "<thead role=\"rowgroup\">"
#define TBODY "<tbody role=\"rowgroup\">"
#define TR "<tr role=\"row\">"
#define COL "<th scope=\"col\" role=\"columnheader\">"
#define ROW "<th scope=\"row\" role=\"rowheader\">"
#define CELL "<td role=\"cell\">"

/* How an outcome looks: a class of page.css. */
const char *ifp_page_look(enum outcome o);
/* How it is called in a cell: "leaked". */
const char *ifp_page_word(enum outcome o);
/* What a class of attempts has in common, or "". */
const char *ifp_page_class(const char *class);
/* Whether a protection is ours, and so has something to hold. */
bool ifp_page_is_ours(enum protection k);
/* Whether it is a command behind which nothing could be tried; the reason is one for all. */
bool ifp_page_untried(const struct proof *p, enum protection k);

/* ---- page_summary.c ---- */
void ifp_page_answer(FILE *f, const struct proof *p);
void ifp_page_sums(FILE *f, const struct proof *p);
void ifp_page_held(FILE *f, const struct proof *p);
/* ---- page_attempts.c ---- */
void ifp_page_filters(FILE *f, const struct proof *p);
void ifp_page_matrix(FILE *f, const struct proof *p);
void ifp_page_attempts(FILE *f, const struct proof *p);
