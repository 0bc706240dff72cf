/*
 * squeeze.h - a journal that has grown long in an outage, made short again.
 *
 * The journal keeps a record for every TXID that some replica lacks. After hours without one they
 * name the same pages over and over. All that is needed is which pages changed between where
 * somebody stands and now: a replica, or the end of a level (compact.c).
 */
#ifndef WR_ENGINE_SQUEEZE_H
#define WR_ENGINE_SQUEEZE_H

#include "base/base.h"
#include "base/status.h"
#include "engine/journal.h"

#define WR_STANDS_MAX 64u

/* TXIDs from which somebody will go on, in any order; n is 0: not known. */
struct wr_stands {
    uint64_t txid[WR_STANDS_MAX];
    size_t n;
};

/* Replace the closes between one stand and the next by one each, and those behind the last stand by
 * one up to `now` (its txid, rolling, commit and pos are used); where no stand is known, all by one
 * from where the oldest begins. Those before the first stand go. All notes since become one. *notes
 * is their number as the writer counted; if one of them is missing, none is kept and the number
 * stays, which voids later ones, too. A replica that stands in between, or before closes that a
 * power cut took back, will need all pages. If the process dies half-way, or the pages are too many
 * to list, the journal is empty or without the notes: less is known then, never anything wrong. */
enum wr_status wr_journal_squeeze(struct wr_journal *j, const struct wr_journal_rec *now,
    const struct wr_stands *stands, uint32_t *notes, struct wr_err *e) WR_MUST_CHECK;

#endif
