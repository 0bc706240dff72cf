/*
 * suspect.c - see suspect.h.
 */
#include "daemon/suspect.h"

/* Whether everything that is committed is in a transaction that the engine has closed. */
static bool is_captured(const weir_db_sight *s)
{
    bool all = s->seen == WEIR_SEEN_AT_REST ||
               (s->seen == WEIR_SEEN_INDEX && s->commits == s->txid_commits);

    return all && s->proven && s->txid > 0;
}

/* Of counts that wrap. */
static bool reaches(uint32_t count, uint32_t want)
{
    return (int32_t)(count - want) >= 0;
}

/* Whether what is wanted is captured. What the engine counts cannot be ahead of the index, unless
 * that counts anew. */
static bool has_wanted(const struct wr_suspect *s, const weir_db_sight *seen)
{
    bool anew = seen->seen == WEIR_SEEN_INDEX && !reaches(seen->commits, seen->txid_commits);

    return s->counted && seen->proven && !anew && reaches(seen->txid_commits, s->want);
}

/* What is committed by now. */
static void note_wanted(struct wr_suspect *s, const weir_db_sight *seen)
{
    if (seen->seen != WEIR_SEEN_INDEX)
        return;
    s->counted = true;
    s->want = seen->commits;
    s->before = seen->txid;
    s->txid = has_wanted(s, seen) ? seen->txid : 0; /* the last commit is in the last of them */
}

void wr_suspect_look(
    struct wr_suspect *s, const weir_db_sight *seen, weir_txid safe, int64_t now_ns)
{
    assert(now_ns > 0);
    if (seen->seen == WEIR_SEEN_NOTHING || (is_captured(seen) && safe >= seen->txid)) {
        *s = (struct wr_suspect){0};
        return;
    }
    if (s->since_ns == 0)
        s->since_ns = now_ns;
    /* An application has recovered the index, which counts anew: up to here, then. */
    if (s->counted && seen->seen == WEIR_SEEN_INDEX && !reaches(seen->commits, s->want))
        note_wanted(s, seen);
    if (seen->txid < s->txid || seen->txid < s->before) { /* transactions are numbered anew */
        s->txid = 0;
        s->before = 0;
    }
    if (s->txid == 0 && has_wanted(s, seen))
        s->txid = wr_min(s->before + 1, seen->txid);
    else if (s->txid == 0)
        s->before = seen->txid;
    if (s->txid > 0 && safe >= s->txid)
        *s = (struct wr_suspect){.since_ns = now_ns}; /* what is missing now came later */
    if (!s->counted)
        note_wanted(s, seen);
}
