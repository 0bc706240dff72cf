/*
 * remote.h - where a replica stands: the newest TXID in it, over all levels, and which database
 * state that is.
 */
#ifndef WR_ENGINE_REMOTE_H
#define WR_ENGINE_REMOTE_H

#include "base/base.h"
#include "base/call.h"
#include "base/mutant.h"
#include "base/status.h"
#include "engine/layout.h"
#include "engine/tally.h"

struct wr_heads;
struct wr_storage;

/* No database gets there: a TXID from here on is damage, and none is given away. */
#define WR_TXID_SANE (UINT64_MAX / 2)

/* TXIDs that a new history leaves out behind those that were taken. Requests of a process that was
 * killed may take effect minutes later: none of them may come to stand above, or beside, what is
 * sent now. A file for each second of twelve days. */
#define WR_TXID_LEAP (WR_MUTANT(NO_LEAP) ? 1 : (uint64_t)1 << 20)

struct wr_remote_pos {
    uint64_t txid;    /* newest; 0: the replica is empty */
    bool whole;       /* one chain of files leads to it, and no others compete with them */
    bool mixed;       /* not whole, and not because something is gone: there are others */
    bool alone;       /* all was listed, and there is no other file */
    bool has_rolling; /* the newest file records the checksum of the database after it */
    uint64_t rolling;
    uint64_t from, rolling_pre; /* first TXID of the newest file, and the checksum before it */
    uint64_t node_id;   /* of the newest file's writer; 0: unknown (Litestream's own, or merged) */
    uint32_t page_size; /* bytes; 0 when empty */
    uint32_t commit;    /* database size in pages */
    int64_t time_ms;    /* of the newest file */
    unsigned level;     /* its level */
    uint64_t size;      /* of it, bytes, as it was listed; 0 where it was not */
    uint64_t damaged; /* not whole, as the header of a file that ends here, above txid, is damaged;
                         0: of none */
};

/* What is known of a replica's files from one listing to the next. = {0}: nothing. */
struct wr_remote_seen {
    uint64_t since;          /* a TXID that it had, in one whole chain; 0: list all */
    struct wr_ltx_file base; /* what a restore of the newest state begins with; max is 0: unknown */
    struct wr_ltx_file next; /* and what follows that; max is 0: nothing, or unknown */
    uint64_t snapshots;      /* a sum over the names of level 9 */
    uint64_t
        ends[WR_LEVEL_MAX + 1]; /* of each level, when it had `since`; 0: nothing, or unknown */
    uint64_t newest[WR_LEVEL_MAX + 1]; /* TXID with which each level ends; 0: it had none */
    struct wr_heads *heads; /* the caller's, of a listing just before; NULL: headers are read */
    bool past_damaged; /* the caller's: a newest file whose header is damaged is as if it were not
                          there, if there is another one */
};

/* Find the position, and judge the replica by what begins at `seen->since` or behind it. All is
 * listed when there is nothing, when level 9 has other files than were seen, and when the files
 * that were its beginning are not there as they were, which is asked for each of the two. `seen` is
 * brought up to date, but for `since` and `ends`; *tally (may be NULL) is of all files if
 * `seen->since` is 0, and else left as it is. CORRUPT when the newest file's header is damaged,
 * but for seen->past_damaged.
 *
 * Not whole: the beginning or something between was deleted, or level 0 has two files that hold the
 * same TXID, and no snapshot makes that the past. Then there are two writers, or were: which of the
 * files a restore takes is luck, and what it makes of them may be a mixture. So it is when, of a
 * replica that was listed whole, what follows the first file of the plan does not begin with the
 * database that this one ends with; a file of a higher level may begin within it, and is judged by
 * a third file that does, if there is one. A file within another one does no harm if the plan,
 * which takes the greater one, is seen to go on from it. Each of these joints costs two requests,
 * and only rolling checksums tell. */
enum wr_status wr_remote_find(struct wr_storage *s, struct wr_call *c, struct wr_remote_seen *seen,
    struct wr_tally *tally, struct wr_remote_pos *ret, struct wr_err *e) WR_MUST_CHECK;

/* A file that was sent since is there now. */
void wr_remote_sent(struct wr_remote_seen *seen, const struct wr_ltx_file *f);

/* Whether a file is where it was, and as long; a size of 0 is not known. What may not be asked for
 * is not: some stores say so of what is not there. Fails only where a second try may help, and with
 * CANCELED and NOMEM. */
enum wr_status wr_remote_there(struct wr_storage *s, struct wr_call *c, const struct wr_ltx_file *f,
    bool *ret, struct wr_err *e) WR_MUST_CHECK;

/* Whether the object `level`/`min`-`max` in the replica is the file with this size and checksum
 * (compared by its last 16 bytes); a checksum of 0 is not known, and may be any. NOTFOUND when it
 * is gone. */
enum wr_status wr_remote_same(struct wr_storage *s, struct wr_call *c, unsigned level, uint64_t min,
    uint64_t max, uint64_t size, uint64_t checksum, bool *ret_same, struct wr_err *e) WR_MUST_CHECK;

#endif
