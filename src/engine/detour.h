/*
 * detour.h - other files that lead to the same transaction, when some are damaged or do not fit.
 *
 * It remembers what was learned of the files of a replica, and reads the headers of those that it
 * needs to know, each at most once.
 *
 * owned.
 */
#ifndef WR_ENGINE_DETOUR_H
#define WR_ENGINE_DETOUR_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/layout.h"
#include "engine/route.h"

struct wr_inputs;
struct wr_restore_opts;
struct wr_storage;

#define WR_DETOUR_BANS 16

/* Files that are done without since they cannot be read: with more of them it is the storage. */
#define WR_UNREAD_MAX 3u

struct wr_detour {
    struct wr_storage *storage;
    const struct wr_restore_opts *opts;
    struct wr_ltx_files files; /* that may lead to `end`, in the order of wr_ltx_file_cmp */
    struct wr_fact *facts;     /* one for each */
    uint64_t end;              /* TXID */
    struct wr_join bans[WR_DETOUR_BANS];
    size_t n_bans;
    unsigned rounds;        /* routes that were looked at */
    unsigned unread;        /* files that cannot be read; the caller may count some more */
    struct wr_err unread_e; /* of the first header that could not be */
};

/* `all`, in that order, and opts->time_ms say which files there are. NOMEM. */
enum wr_status wr_detour_init(struct wr_detour *d, struct wr_storage *s,
    const struct wr_restore_opts *opts, const struct wr_ltx_files *all, uint64_t end,
    struct wr_err *e) WR_MUST_CHECK;
void wr_detour_release(struct wr_detour *d); /* NULL-safe; = {0} is empty */

/* The place of one of the files in d->files. */
size_t wr_detour_index(const struct wr_detour *d, const struct wr_ltx_file *f);

/* Know what these say, as far as their headers were read, without a request. */
void wr_detour_learn(struct wr_detour *d, const struct wr_inputs *x);

/* The best chain to `to`, with all headers known, appended to *ret; 0: as far as any leads. A
 * file whose header is damaged is set aside, and so are WR_UNREAD_MAX whose headers cannot be read.
 * NOTFOUND: there is no chain, or it is not found among so many files that do not fit. BUSY: a file
 * has vanished. IO, AUTH: once too often. */
enum wr_status wr_detour_find(struct wr_detour *d, struct wr_call *c, uint64_t to,
    struct wr_ltx_files *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
