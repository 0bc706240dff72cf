/*
 * fuzz_placard.c - any bytes as one of the small objects beside the files of a replica: the extent,
 * the lease and the sign.
 *
 * The first byte chooses the object, eight more are the token that is asked for; the rest is the
 * object. Flag MADE: of the sign, behind what it begins with.
 *
 * Beyond not crashing: twice the same says the same; what is damaged says so, and nothing else;
 * what an extent says is written and read as the same; who takes a lease that was read, or cannot
 * be read, has one that can, of the next epoch; the text of a lease has nothing that a terminal
 * obeys, and fits; a sign is of one token.
 */
#include "base/buf.h"
#include "engine/extent.h"
#include "engine/lease.h"
#include "engine/writer.h"
#include "fuzz/fuzz.h"
#include "storage/drivers.h"
#include "storage/storage.h"

enum {
    WHICH = 3, /* one of: */
    EXTENT = 0,
    LEASE = 1,
    SIGN = 2,
    MADE = 4
};

static struct wr_storage *bucket(const char *key, struct wr_bytes text)
{
    struct wr_storage *s = NULL;
    struct wr_err e = {0};
    void *inner = NULL;

    HOLDS(wr_storage_mem.open(NULL, &inner, &e) == WR_OK);
    HOLDS(wr_storage_wrap(&wr_storage_mem, inner, WR_STR(""), &s, &e) == WR_OK);
    HOLDS(wr_storage_put(s, fuzz_call(), wr_str(key), text, NULL, &e) == WR_OK);
    return s;
}

/* ---- the extent ---- */

static bool is_same(const struct wr_extent *a, const struct wr_extent *b)
{
    return a->newest == b->newest && memcmp(a->from, b->from, sizeof(a->from)) == 0 &&
           a->last.level == b->last.level && a->last.min == b->last.min &&
           a->last.max == b->last.max &&
           memcmp(a->roll.run, b->roll.run, sizeof(a->roll.run)) == 0 &&
           a->roll.counted == b->roll.counted && a->roll.snapshots == b->roll.snapshots &&
           a->roll.sum == b->roll.sum && a->roll.newest == b->roll.newest && a->token == b->token &&
           a->node == b->node;
}

static void extent(struct wr_storage *s)
{
    struct wr_extent x = {0}, y = {0}, again = {0};
    struct wr_extent_version version;
    struct wr_err e = {0};
    enum wr_status st = wr_extent_read(s, fuzz_call(), &x, &e);

    HOLDS(st == WR_OK || (st == WR_CORRUPT && e.text[0]));
    HOLDS(wr_extent_look(s, fuzz_call(), &y, &version, &e) == WR_OK && version.there);
    if (st != WR_OK) {
        HOLDS(y.newest == 0);
        return;
    }
    HOLDS(x.newest > 0 && is_same(&x, &y) && x.at_ms == y.at_ms);
    for (unsigned level = 0; level <= WR_LEVEL_MAX; level++) {
        const struct wr_ltx_file f = {.level = level, .min = 1, .max = x.newest};

        HOLDS(wr_extent_covers(&x, &f) == (x.from[level] < x.newest));
    }
    HOLDS(wr_extent_write(s, fuzz_call(), &x, &version, &e) == WR_OK);
    HOLDS(wr_extent_read(s, fuzz_call(), &again, &e) == WR_OK);
    HOLDS(is_same(&x, &again) && again.at_ms <= x.at_ms && x.at_ms - again.at_ms < 1000);
}

/* ---- the lease ---- */

/* Nothing that a terminal obeys: C0, DEL, or C1, which is U+0080 to U+009F. */
static void plain(const char *z)
{
    for (const unsigned char *p = (const unsigned char *)z; *p; p++)
        HOLDS(*p >= 0x20 && *p != 0x7f && !(*p == 0xc2 && p[1] < 0xa0));
}

static void lease(struct wr_storage *s)
{
    struct wr_call *c = fuzz_call();
    struct wr_lease l = {0}, taken = {0}, again = {0};
    struct wr_lease_seen seen = {0};
    char text[WR_ERR_MAX], owner[WR_LEASE_OWNER];
    struct wr_err e = {0};
    enum wr_status st = wr_lease_read(s, c, &l, &e);

    HOLDS(st == WR_OK || (st == WR_CORRUPT && e.text[0]));
    HOLDS(wr_lease_look(s, c, &seen, &e) == st && seen.version.n > 0);
    HOLDS(st == WR_OK ? seen.lease.epoch == l.epoch && l.epoch > 0 : seen.lease.epoch == 0);
    if (st == WR_OK) {
        HOLDS(l.node != 0 && wr_lease_lost(&l, l.node + 1) && !wr_lease_lost(&l, l.node));
        plain(l.owner);
        wr_lease_lost_text(&l, text);
        HOLDS(strlen(text) < WR_ERR_MAX);
        wr_lease_owner(owner, l.owner);
        HOLDS(strcmp(owner, l.owner) == 0);
    }
    HOLDS(wr_lease_take(s, c, &seen, 7, l.owner, &taken, &e) == WR_OK);
    HOLDS(taken.epoch == (l.epoch < INT64_MAX ? l.epoch + 1 : 1) && taken.node == 7);
    HOLDS(wr_lease_read(s, c, &again, &e) == WR_OK);
    HOLDS(again.epoch == taken.epoch && again.token == taken.token && again.node == 7);
    HOLDS(again.since_ms == taken.since_ms && strcmp(again.owner, taken.owner) == 0);
}

/* ---- the sign ---- */

static void sign(struct wr_storage *s, uint64_t token, bool made)
{
    struct wr_call *c = fuzz_call();
    struct wr_err e = {0};
    bool is, other;

    HOLDS(wr_writer_is(s, c, token, &is, &e) == WR_OK && (is || !made));
    HOLDS(wr_writer_is(s, c, token ^ 1, &other, &e) == WR_OK && !(is && other));
    HOLDS(wr_writer_sign(s, c, token, 1, 9, &e) == WR_OK);
    HOLDS(wr_writer_is(s, c, token, &is, &e) == WR_OK && is);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {WR_EXTENT_NAME, WR_LEASE_NAME, WR_WRITER_NAME};
    struct fuzz_in in = {data, size};
    const unsigned flags = fuzz_u8(&in), which = (flags & WHICH) % 3;
    const uint64_t token = fuzz_u64(&in);
    const bool made = which == SIGN && (flags & MADE);
    char head[32];
    struct wr_buf text;
    struct wr_storage *s;

    wr_buf_init(&text, (size_t)1 << 20);
    (void)snprintf(head, sizeof(head), "{\"token\":\"%016llx\"", (unsigned long long)token);
    if (made)
        wr_buf_z(&text, head);
    wr_buf_put(&text, in.p, in.n);
    HOLDS(wr_buf_status(&text) == WR_OK);
    s = bucket(names[which], wr_buf_bytes(&text));
    wr_buf_release(&text);
    if (which == EXTENT)
        extent(s);
    else if (which == LEASE)
        lease(s);
    else
        sign(s, token, made);
    wr_storage_close(s);
    return 0;
}
