/*
 * feeds_int.h - what the listener for followers shares with what it answers.
 */
#ifndef WR_DAEMON_FEEDS_INT_H
#define WR_DAEMON_FEEDS_INT_H

#include "base/list.h"
#include "base/sync.h"
#include "daemon/certificate.h"
#include "daemon/feeds.h"
#include "daemon/httpd.h"

#include <weir.h>

#define WR_FOLLOWER_NAME     512
#define WR_FOLLOWER_PATH     1024
#define WR_FOLLOWER_LEASE_MS 30000 /* one that was not seen for so long has gone */

struct wr_follower {
    uint64_t id;     /* 0: nobody */
    int64_t seen_ms; /* monotonic */
    bool served;
    char name[WR_FOLLOWER_NAME], path[WR_FOLLOWER_PATH]; /* that it asked for, and what that is */
};

/* What listens on an address. Frozen while it does, but for what the mutex of `feeds` guards. */
struct wr_listening {
    struct wr_feeds *feeds;
    struct wr_httpd *httpd;
    char *addr, *token;        /* token NULL: none */
    struct wr_certificate tls; /* all zero: no TLS */
    uint32_t max;
    struct wr_follower *followers; /* guarded, and so are all below: `max` of them */
    struct wr_list waiting;        /* requests */
    bool ending;                   /* no more of them */
};

/* A request that waits for something to be captured. Its thread's, but for the link. */
struct wr_feed_wait {
    struct wr_link link; /* guarded */
    struct wr_listening *listening;
    weir_cancel *cancel;
    struct wr_httpd_flow flow;
    uint64_t id;                 /* of the follower */
    struct wr_follower *place;   /* where it was found; NULL: not yet */
    weir_feed_position at;       /* what that has, with all that it was given */
    int64_t end_ms;              /* monotonic: no longer */
    size_t bytes;                /* that it was given */
    bool over;                   /* nobody is to be given more */
    char name[WR_FOLLOWER_NAME]; /* that it asked for, if that is not too long, and what that is */
    char path[WR_FOLLOWER_PATH];
};

struct wr_feeds {
    struct wr_fleet *fleet;
    struct wr_logger *log;
    struct wr_mutex mutex;   /* guards all below, and what is said above */
    struct wr_listening *at; /* NULL: nowhere; changed by the one thread that serves */
    struct wr_feeds_totals totals;
};

/* A request to the struct wr_listening `arg`. */
wr_httpd_fn wr_feeds_answer;

#endif
