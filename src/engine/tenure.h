/*
 * tenure.h - whether what a primary sends still counts: nobody else was promoted meanwhile.
 *
 * The name of a file decides where it is the next one (learn.h, wr_learn_name_tells); of any other
 * file the lease does, which is read when it is there. docs/adr/0023.
 */
#ifndef WR_ENGINE_TENURE_H
#define WR_ENGINE_TENURE_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "base/sync.h"
#include "engine/lease.h"

struct wr_clock;
struct wr_log;
struct wr_ltx_file;
struct wr_storage;

/* By two clocks: one of them stands still where a machine sleeps. = {0}: never. */
struct wr_tenure_moment {
    int64_t mono_ms, wall_ms;
};
struct wr_tenure_moment wr_tenure_moment(const struct wr_clock *clock);

/* Of one replica, for those who send to it. locked. */
struct wr_tenure {
    struct wr_storage *storage;
    const struct wr_log *log;
    const char *label; /* of the database, for logs, and for people who find its lease */
    int64_t lasts_ms;  /* for so long what was shown is good enough */
    unsigned unasked;  /* files sent since it was last looked at; only the sender */
    bool took;         /* confirm took the lease, or tried to; only the sender, who resets it */

    struct wr_mutex mutex;         /* guards the rest */
    struct wr_tenure_moment shown; /* nobody else was promoted by then */
};
/* `label` and `s` outlive it. */
void wr_tenure_init(struct wr_tenure *t, struct wr_storage *s, const struct wr_log *log,
    const char *label, int64_t lasts_ms);
void wr_tenure_release(struct wr_tenure *t);

/* A file of `node` is there; a size of UINT64_MAX is not known. `first`: there was nothing before.
 * ret->epoch is 0: it counts. Else *ret is who was promoted, and it does not. BUSY: it is not
 * listed yet; else as wr_lease_read, wr_lease_take and wr_layout_list_all. */
enum wr_status wr_tenure_confirm(struct wr_tenure *t, struct wr_call *c,
    const struct wr_ltx_file *f, uint64_t node, bool first, struct wr_lease *ret,
    struct wr_err *e) WR_MUST_CHECK;

/* A file has been sent, and counts. False: *ret is who was promoted. Nobody has to ask, as the name
 * decides; but a promotion cannot win a name of one that sends without a pause, so such a one asks
 * now and then. That it gets no answer is no trouble. */
bool wr_tenure_lasts(
    struct wr_tenure *t, struct wr_call *c, uint64_t node, struct wr_lease *ret) WR_MUST_CHECK;

/* What began at that moment has shown that nobody else had been promoted: a file that was made and
 * counts, the lease, or a listing by which there is no need to read that. */
void wr_tenure_shown(struct wr_tenure *t, struct wr_tenure_moment began);
/* Before what no name keeps out: a file of a level above 0, a deletion. ret->epoch is 0: go on.
 * Else *ret is who was promoted. Asks only where nothing has shown for lasts_ms that nobody was;
 * the files of level 0 do, so who is written to asks for none. No proof, and nothing that counts
 * rests on it: a file takes its time, and then what leads to it is still there. `now`: asks in any
 * case, and that is one: what was listed before is of nobody who was promoted. Where the lease may
 * not be read, or is damaged, it is gone on, and asked again the next time. Else as wr_lease_read.
 */
enum wr_status wr_tenure_holds(struct wr_tenure *t, struct wr_call *c, uint64_t node, bool now,
    struct wr_lease *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
