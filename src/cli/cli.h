/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

int cmd_run(int argc, char **argv);
int cmd_attach(int argc, char **argv);
int cmd_detach(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_watch(int argc, char **argv);
int cmd_gc(int argc, char **argv);
int cmd_prove(int argc, char **argv);
int cmd_audit(int argc, char **argv);
int cmd_sockets(int argc, char **argv);
int cmd_validate(int argc, char **argv);
int cmd_fence(int argc, char **argv);

/* Says on stderr what is wrong and how to get help; returns the exit code for it. */
int usage_error(const char *command, int code);

/*
 * For commands whose only options are --json and --help. Return: -1, and optind is at the first
 * operand; otherwise the exit code that is due.
 */
int parse_json(int argc, char **argv, const char *command, const char *help, bool *ret_json);
