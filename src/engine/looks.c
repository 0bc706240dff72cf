/*
 * looks.c - when a database is looked at next.
 *
 * While it is being written that is every millisecond or so; or, while no file is due, as often as
 * it takes to keep the WAL short. When nothing new was seen for a few milliseconds, or a commit
 * comes alone, inotify is asked to tell the next write to its files, and an idle database sleeps
 * until then. That event comes before the writer publishes its commit in the index, and publishing
 * raises no event. So a look that finds frames which the index does not announce yet is repeated,
 * at growing intervals, until it does. Where nothing tells of writes, or not in time, news show it,
 * and the watch is not relied on while they come.
 */
#include "engine/primary_int.h"
#include "run/watch.h"

/* The n-th fruitless look in a row is followed by the next one after 100 us << n. */
#define LOOK_MIN_NS        ((int64_t)100 * 1000)
#define LOOK_MAX_DOUBLINGS 17u /* 13 s apart at the most */
#define LOOKS_BUSY         3u  /* where to begin behind one that was not fruitless: 0.8 ms */
#define LOOKS_QUIET        6u  /* 6 ms without news: leave it to the watch */
#define LOOKS_MAX          20u /* about half a minute in all; then it was a rollback's left-over */
#define ALONE_NS           ((int64_t)6 * 1000000)  /* about what these looks would have taken */
#define NAP_NS             ((int64_t)50 * 1000000) /* between looks while no file is due */
#define SCAN_MOMENTS       60                      /* of scan_ns, in which one may be due */
#define RATE_NS            ((int64_t)1000000000)   /* more silence says no more of how busy it is */

void wr_db_arm(struct wr_db *db)
{
    for (size_t i = 0; i < DB_WATCHED; i++) {
        if (!(db->armed & 1u << i) && db->watching[i] &&
            wr_watch_arm(db->watch, db->watch_ids[i], NULL) != WR_OK) {
            db->scan_ns = wr_min(db->scan_ns, DB_SCAN_UNWATCHED_NS);
            db->scan_due_ns = wr_min(db->scan_due_ns, wr_db_now_ns(db) + db->scan_ns);
        }
    }
    db->armed = DB_ARMED;
}

int64_t wr_db_next_scan_ns(int64_t now_ns, int64_t scan_ns)
{
    const int64_t at_ns = now_ns + scan_ns, grid_ns = wr_max(scan_ns / SCAN_MOMENTS, INT64_C(1));

    return at_ns - at_ns % grid_ns;
}

bool wr_db_armed(const struct wr_db *db)
{
    return db->armed == DB_ARMED;
}

struct db_sight wr_db_sight(struct wr_db *db, const struct wr_walidx *before, bool again)
{
    int64_t now = wr_db_now_ns(db);
    bool reset = db->seen.mx_frame < before->mx_frame;
    struct db_sight x = {.again = again,
        .news = db->seen.mx_frame != before->mx_frame || db->seen.change != before->change,
        .commits = db->seen.change - before->change,
        .frames = db->seen.mx_frame - (reset ? 0 : before->mx_frame),
        .since_ns = now - db->look_ns};

    db->look_ns = now;
    return x;
}

/* For how long nothing has to be known of the database but how long its WAL is: until what is left
 * of that is half used up, if frames come as they came. 0: a commit might be due at once. */
static int64_t nap_ns(const struct wr_db *db, const struct db_sight *x, bool followed)
{
    uint32_t most = db->checkpoint_frames, room = most;
    int64_t now = wr_db_now_ns(db), due = wr_db_ship_ns(db), nap = NAP_NS;

    if (followed || due <= now)
        return 0;
    if (db->seen.mx_frame < most && db->seen.mx_frame > db->view.backfilled)
        room = most - db->seen.mx_frame;
    if (x->frames > 0)
        nap = wr_min(nap, wr_min(x->since_ns, RATE_NS) * (int64_t)room / (2 * (int64_t)x->frames));
    return wr_min(nap, due - now);
}

/* Whether the index is going to announce what is in the WAL already, which raises no event. While
 * there are commits to be captured, which is waited for, that is asked again when they are. */
static bool is_coming(struct wr_db *db)
{
    bool behind = wr_db_behind(db);

    db->coming = behind || (db->looks < LOOKS_MAX && wr_db_more_coming(db));
    return !behind && db->coming;
}

static void look_soon(struct wr_db *db, int64_t now)
{
    wr_db_want(db, now + (LOOK_MIN_NS << wr_min(db->looks, LOOK_MAX_DOUBLINGS)));
    db->looks++;
}

/* A commit that comes alone is the only one that there is; the next is told, and costs its writer
 * no more than if we had gone on to look for the milliseconds in which none came. */
void wr_db_plan_looks(struct wr_db *db, const struct db_sight *x, bool followed)
{
    int64_t now = wr_db_now_ns(db), nap;
    bool alone;

    db->look_ns = now; /* capture and checkpoints look, too */
    if (x->news) {
        db->looks = LOOKS_BUSY;
        if (!x->again) /* nobody told of it: the watch is late, or does not work here */
            db->armed &= ~(unsigned)DB_ARMED_WAL;
    }
    if (wr_db_armed(db)) {
        /* All that is written from now on is told; what was written before was seen, or is coming.
         */
        bool unseen = x->again || db->coming || !db->watching[DB_WATCHED_WAL];

        if (unseen && is_coming(db))
            look_soon(db, now);
        return;
    }
    if (!x->news && now < db->nap_ns) { /* a step for something else: it says nothing */
        wr_db_want(db, db->nap_ns);
        return;
    }
    nap = nap_ns(db, x, followed);
    alone = x->news && x->commits <= 1 && db->gap_ns >= wr_max(ALONE_NS, nap);
    if (alone || db->looks >= LOOKS_QUIET) {
        db->check_files = !(db->armed & DB_ARMED_FILE);
        wr_db_arm(db);
        db->recheck = true; /* what was written before that raised no event */
        wr_db_want(db, now);
    } else if (nap > LOOK_MIN_NS << LOOKS_BUSY && db->looks < LOOKS_QUIET) {
        db->nap_ns = now + nap;
        wr_db_want(db, db->nap_ns);
        if (nap >= ALONE_NS) /* if that is fruitless, too, it is quiet */
            db->looks = LOOKS_QUIET;
    } else {
        look_soon(db, now);
    }
}
