/*
 * lease.c - see lease.h. Knows one object; refuses to decide who should have it.
 */
#include "engine/lease.h"

#include "base/buf.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/mutant.h"
#include "engine/placard.h"
#include "storage/storage.h"

#include <jansson.h>

#define SIZE_MAX_LEASE ((size_t)4096) /* bytes of the object */

static enum wr_status no_memory(struct wr_err *e)
{
    return wr_fail(e, WR_NOMEM, WR_LEASE_NAME ": out of memory");
}

/* ---- what is in it ---- */

/* Whether the character at `p` is one that a terminal may obey: C0, DEL, or C1 (U+0080 to U+009F).
 */
static bool is_control(const unsigned char *p)
{
    return *p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0);
}

/* Text that may be shown: it comes from a bucket. C1 was written once, and is shown as ours is. */
static bool is_plain(const char *z)
{
    for (; *z; z++) {
        if ((unsigned char)*z < 0x20 || *z == 0x7f)
            return false;
    }
    return true;
}

static bool get_members(const json_t *o, struct wr_lease *ret)
{
    const json_t *epoch = json_object_get(o, "epoch");
    const char *owner = json_string_value(json_object_get(o, "owner"));
    const char *since = json_string_value(json_object_get(o, "since"));

    if (!json_is_integer(epoch) || json_integer_value(epoch) <= 0 || !owner ||
        strlen(owner) >= WR_LEASE_OWNER || !is_plain(owner) || !since ||
        !wr_parse_time(wr_str(since), &ret->since_ms) || !wr_placard_hex(o, "node", &ret->node) ||
        ret->node == 0 || !wr_placard_hex(o, "token", &ret->token))
        return false;
    ret->epoch = (uint64_t)json_integer_value(epoch);
    wr_lease_owner(ret->owner, owner);
    return true;
}

static enum wr_status parse(struct wr_bytes text, struct wr_lease *ret, struct wr_err *e)
{
    struct wr_lease l = {0};
    json_t *o = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    bool good = get_members(o, &l);

    json_decref(o);
    if (!good)
        return wr_fail(e, WR_CORRUPT,
            "the object " WR_LEASE_NAME " is damaged, so that it does not tell who was promoted; "
            "promote the database that is to be the primary with -force, which writes it anew");
    *ret = l;
    return WR_OK;
}

static void format(struct wr_buf *out, const struct wr_lease *l)
{
    char since[WR_TIME_TEXT_MAX], node[17], token[17];

    wr_format_time(since, l->since_ms);
    (void)snprintf(node, sizeof(node), "%016llx", (unsigned long long)l->node);
    (void)snprintf(token, sizeof(token), "%016llx", (unsigned long long)l->token);
    const struct wr_log_field fields[] = {WR_F_U64("epoch", l->epoch), WR_F_Z("owner", l->owner),
        WR_F_Z("node", node), WR_F_Z("since", since), WR_F_Z("token", token)};

    wr_log_json(out, fields, wr_countof(fields));
    wr_buf_z(out, "\n");
}

/* ---- the object ---- */

enum wr_status wr_lease_read(
    struct wr_storage *s, struct wr_call *c, struct wr_lease *ret, struct wr_err *e)
{
    struct wr_bytes text;
    enum wr_status st = wr_placard_read(s, c, WR_LEASE_NAME, SIZE_MAX_LEASE, &text, e);

    return st == WR_OK ? parse(text, ret, e) : st;
}

enum wr_status wr_lease_look(
    struct wr_storage *s, struct wr_call *c, struct wr_lease_seen *ret, struct wr_err *e)
{
    struct wr_placard is;
    enum wr_status st = wr_placard_look(s, c, WR_LEASE_NAME, SIZE_MAX_LEASE, &is, e);

    *ret = (struct wr_lease_seen){.version = is.version};
    return st == WR_OK && is.text.p ? parse(is.text, &ret->lease, e) : st;
}

/* Behind the last one that a reader takes comes the first, as over a lease that is damaged. */
static uint64_t next_epoch(uint64_t epoch)
{
    return epoch < INT64_MAX ? epoch + 1 : 1;
}

/* Somebody else was faster. */
static enum wr_status say_who(struct wr_storage *s, struct wr_call *c, struct wr_err *e)
{
    struct wr_lease now;
    struct wr_err why = {0};

    if (wr_lease_read(s, c, &now, &why) != WR_OK)
        return wr_fail(e, WR_CONFLICT, "the lease was taken by another promotion meanwhile");
    return wr_fail(e, WR_CONFLICT, "the lease was taken meanwhile by %s, as epoch %llu", now.owner,
        (unsigned long long)now.epoch);
}

enum wr_status wr_lease_take(struct wr_storage *s, struct wr_call *c,
    const struct wr_lease_seen *seen, uint64_t node, const char *owner, struct wr_lease *ret,
    struct wr_err *e)
{
    bool can_tell = (wr_storage_caps(s) & WR_STORAGE_COND_PUT) && !WR_MUTANT(LEASE_TAKEN_BLINDLY);
    struct wr_put_opts o = {.if_absent = can_tell && seen->version.n == 0,
        .if_match = can_tell ? seen->version : (struct wr_str){0}};
    struct wr_lease l = {
        .epoch = next_epoch(seen->lease.epoch), .node = node, .since_ms = wr_wall_ms(c->clock)};
    struct wr_str key = wr_placard_key(c, s, WR_LEASE_NAME);
    struct wr_buf text;
    enum wr_status st = wr_random(&l.token, sizeof(l.token), e);

    assert(node != 0);
    if (st != WR_OK)
        return st;
    wr_lease_owner(l.owner, owner);
    wr_buf_init(&text, SIZE_MAX_LEASE);
    format(&text, &l);
    if (!key.p || wr_buf_status(&text) != WR_OK)
        st = no_memory(e);
    else
        st = wr_storage_put(s, c, key, wr_buf_bytes(&text), &o, e);
    wr_buf_release(&text);
    if (st == WR_OK)
        *ret = l;
    return st == WR_CONFLICT ? say_who(s, c, e) : st;
}

/* The end has the file's name; what no text may hold becomes a question mark. */
void wr_lease_owner(char out[WR_LEASE_OWNER], const char *owner)
{
    size_t n = strlen(owner), at = 0;
    const char *from = owner + (n < WR_LEASE_OWNER ? 0 : n - (WR_LEASE_OWNER - 1));

    n = strlen(from);
    for (size_t i = 0; i < n;) {
        size_t len = wr_utf8_length((const unsigned char *)from + i, n - i);
        bool bad = len == 0 || is_control((const unsigned char *)from + i);

        len = wr_max(len, (size_t)1);
        if (bad)
            out[at++] = '?';
        for (size_t k = 0; k < len && !bad; k++)
            out[at++] = from[i + k];
        i += len;
    }
    out[at] = '\0';
}

bool wr_lease_lost(const struct wr_lease *l, uint64_t node)
{
    return l->epoch > 0 && l->node != node;
}

void wr_lease_lost_text(const struct wr_lease *l, char out[WR_ERR_MAX])
{
    char since[WR_TIME_TEXT_MAX];

    wr_format_time_seconds(since, l->since_ms);
    (void)snprintf(out, WR_ERR_MAX,
        "promoted elsewhere: %s writes to this replica since %s (epoch %llu). Nothing was "
        "overwritten, and this database is left as it is: what was committed here and never "
        "acknowledged is here alone. To go on with this machine, follow the replica into a new "
        "file (weir restore -f) and promote that (weir promote)",
        l->owner, since, (unsigned long long)l->epoch);
}
