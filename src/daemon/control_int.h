/*
 * control_int.h - what the files of the control socket share: a request, and its answers.
 */
#ifndef WR_DAEMON_CONTROL_INT_H
#define WR_DAEMON_CONTROL_INT_H

#include "base/arena.h"
#include "daemon/control.h"
#include "daemon/httpd.h"

#include <jansson.h>
#include <stdatomic.h>

/* One request, on its thread's stack. */
struct wr_ask {
    struct wr_fleet *fleet;
    struct wr_registry *registry;   /* NULL: the configuration has none */
    struct wr_reloading *reloading; /* NULL: nothing can be reloaded */
    int64_t started_ms;             /* Unix: the daemon */
    atomic_int *waiting;            /* requests that wait for something */
    const struct wr_httpd_request *http;
    struct wr_httpd_reply *reply;
    struct wr_arena *arena;
    json_t *body; /* an object; NULL with GET */
};

/* 200 with this object, which is released; NULL (out of memory, or a text that is not UTF-8): 500.
 */
void wr_ask_answer(struct wr_ask *q, json_t *object);
void wr_ask_fail(struct wr_ask *q, unsigned status, const char *fmt, ...) WR_PRINTF(3, 4);
/* The same with `details`, which may be NULL. */
void wr_ask_fail_details(struct wr_ask *q, unsigned status, const char *text, const char *details);

/* The absolute path that the request names, in its body or else in its query; NULL when it was
 * answered with a 400. */
const char *wr_ask_path(struct wr_ask *q);
/* The field `timeout`, in milliseconds; `none_ms` when it is missing or 0. False: answered. */
bool wr_ask_timeout(struct wr_ask *q, int64_t none_ms, int64_t *ret_ms);
/* A field that is true or false; false when it is missing. False: answered. */
bool wr_ask_flag(struct wr_ask *q, const char *name, bool *ret);

/* The endpoints. */
void wr_control_info(struct wr_ask *q);
void wr_control_list(struct wr_ask *q);
void wr_control_sync_status(struct wr_ask *q);
void wr_control_txid(struct wr_ask *q);
void wr_control_sync(struct wr_ask *q);
void wr_control_wait(struct wr_ask *q);
void wr_control_start(struct wr_ask *q);
void wr_control_stop(struct wr_ask *q);
void wr_control_register(struct wr_ask *q);
void wr_control_unregister(struct wr_ask *q);
void wr_control_reload(struct wr_ask *q);

/* One more that waits. False: answered, there are too many. Who waits has a connection all the
 * time, and the others must be able to stop what is waited for. */
bool wr_ask_wait(struct wr_ask *q) WR_MUST_CHECK;
void wr_ask_waited(struct wr_ask *q); /* after it */

#endif
