/*
 * verify.h - prove from a replica's objects alone that every point in it can be restored.
 *
 * A point is a TXID at which a file ends and to which a chain of files leads (retain.h). One walk
 * (walk.h) over all files has the checksums of the pages as of each point in turn (sums.h). The
 * file that leads on from there, and every other one that begins there, is read in full and must
 * give the database whose checksum it records; all that end at the same TXID must agree on it. So
 * each file is read once, or twice where it is checked at its beginning and needed only later, as
 * others that lead to its end are no good.
 *
 * Where two processes have written, files end at one TXID with different databases: that is told,
 * and the walk goes on by way of the one that what follows continues, which takes making that
 * database once more, from a plan's files (verify_back.c). So does a file that takes pages from
 * before the database shrank: a restore must have them, too. All this at most 100 times.
 *
 * What is not proven: that a restore may begin anywhere within a file that spans transactions,
 * which is checked at the first point where it can be applied. And files without checksums of the
 * database, as Litestream writes them, have those of their bytes, and each other, to be right by.
 */
#ifndef WR_ENGINE_VERIFY_H
#define WR_ENGINE_VERIFY_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/layout.h"

struct wr_storage;

enum wr_finding_kind {
    WR_FINDING_FILE = 1, /* this file is no good */
    WR_FINDING_LOST = 2, /* points that files are named after, and that cannot be restored */
    WR_FINDING_LIVE = 3, /* the database is not what the replica has */
};

/* Something that is wrong. Dies with the call. */
struct wr_finding {
    enum wr_finding_kind kind;
    const char *key;   /* FILE: of the object; else NULL */
    unsigned level;    /* FILE: of it */
    uint64_t min, max; /* FILE: the TXIDs in its name; LOST: the first and the last of the points;
                        * LIVE: the last one compared */
    uint64_t points;   /* LOST: how many there are */
    const char *text;  /* what is wrong, for people */
};
typedef void wr_finding_fn(void *arg, const struct wr_finding *f);

struct wr_verify_progress {
    size_t files, files_total;        /* read; to be read as things stand */
    uint64_t bytes_done, bytes_total; /* of these */
};
typedef void wr_verify_progress_fn(void *arg, const struct wr_verify_progress *p);

struct wr_verify_opts {
    unsigned parallel;      /* threads, the caller's included, 1 to 64; 0: 4 */
    uint32_t lock_offset;   /* byte offset of SQLite's lock page; 0: 0x40000000 */
    const char *db_path;    /* compare with this database, in the end; NULL: none */
    int64_t db_wait_ms;     /* for what it has and the replica has not yet; 0: a minute */
    wr_finding_fn *finding; /* on the calling thread; NULL: only the status counts */
    void *finding_arg;
    wr_verify_progress_fn *progress; /* on the calling thread, after each file; NULL: none */
    void *progress_arg;
};

struct wr_verify_result {
    uint64_t points; /* that can be restored */
    uint64_t proven; /* of them: a file records the checksum of the database, and it is right */
    uint64_t plain;  /* the others: no file that ends there records one */
    uint64_t lost;   /* that cannot be restored, and should */
    uint64_t findings;
    uint64_t files; /* that there are */
    uint64_t files_read;
    uint64_t files_old;  /* to whose ends nothing leads any more, as retention leaves some */
    uint64_t files_gone; /* deleted since they were listed */
    uint64_t bytes_read;
    uint64_t first_txid, last_txid, proven_txid; /* of points, the last proven one; 0: none */
    int64_t first_ms, last_ms, proven_ms;        /* times of the files that lead there */
    uint64_t plain_first, plain_last;            /* the range of those not proven; 0: none */
    uint64_t live_txid;     /* at or right after which the database was read; 0: none */
    uint32_t live_pages;    /* of it, which are the same there */
    uint32_t live_changing; /* and those that were being written */
    /* The newest TXID that there is a file for. Unsound: it cannot be restored, or a restore would
     * begin with a way to it on which a file is no good; when the replica was read to its end. */
    uint64_t newest_txid;
    bool newest_unsound;
    char newest_why[WR_LAYOUT_NAME_MAX + 80]; /* the first such file; or that there is no way */
};

/* Read all that can be restored from. *ret is written in every case, as far as it went.
 *
 * Memory: 8 bytes a page of the largest database (16 while it goes back to a point, as two
 * processes have written), 36 a page of the largest file while that is read, what digest.h takes,
 * and for each listed file 140 bytes, 360 at the end. What a header promises takes none. No disk.
 *
 * With a database, another 8 bytes a page of it. It is read in one transaction, during which its
 * WAL grows; and nothing is written to it.
 *
 * Files that are deleted meanwhile are retention's: the replica is listed again, 20 times at most,
 * and the walk goes on over what is there by then.
 *
 * CORRUPT: there were findings; the text is of the first. UNSUPPORTED: there were none, but the
 * database cannot be read, and the text tells why; after CORRUPT a warning in the log does.
 * NOTFOUND: there is no LTX file. BUSY: too many files vanished. LIMIT: too many databases had to
 * be made once more. All else is no verdict on the replica: it could not be read to the end. */
enum wr_status wr_verify(struct wr_storage *s, struct wr_call *c, const struct wr_verify_opts *opts,
    struct wr_verify_result *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
