/*
 * weir.pml - the lock protocol between weir and the applications that use a database.
 *
 * Two writers, an application's checkpointer, weir (attaching, capture, both phases of a
 * checkpoint), recovery of a torn index, and the death of each at any step. README.md says how to
 * run it, what is asked of it, and what it leaves out.
 *
 * "wal.c" is SQLite's src/wal.c before the fix of the WAL-reset bug (3.51.2 and older); other names
 * with .c are weir's own. A d_step is one step: nobody sees a half of it. As a rule it touches
 * shared memory once; where it stands for more, the comment says why nothing is lost by that.
 *
 * The data: transactions are numbered from 1 as they are written. An odd one writes both pages, an
 * even one only page 0; a page's content is the number of the transaction that wrote it. So page 0
 * after transaction t is t, and page 1 is p1[t]. Number 0 is the empty database. No number is used
 * twice, so a frame's number is as good as a checksum of all frames up to it.
 *
 * Bounds:
 *   TXS     transactions that are written      DEATHS  processes killed, and reboots
 *   IDLES   checkpoints by the application that begin when all is in the database already
 * Mutants, which must fail: see `run`.
 */
#ifndef TXS
#define TXS 3
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef IDLES
#define IDLES 1
#endif

#define FRAMES   (TXS + (TXS + 1) / 2) /* if the WAL is never reset */
#define UNUSED   255                   /* READMARK_NOT_USED */
#define NO_FRAME 255

/* Who: the bit in a lock. Weir has two connections. */
#define W0   1
#define W1   2
#define APP  4
#define WEIR 8
#define MARK 16 /* weir's second connection: holds nothing but a read mark */

/* ---- shared memory: the wal-index (wal.c: WalIndexHdr, WalCkptInfo) -------------------------- */

typedef hdr {
    byte mx;   /* mxFrame */
    byte salt; /* aSalt; 0: none yet */
    byte tx;   /* aFrameCksum: the transaction that ends at mx. With mx == 0 SQLite has no such
                * field; here it goes on to say what the database holds, for the assertions */
}
hdr h[7]; /* [0] and [1] are the two copies. A writer writes [1] first, a reader reads [0] first.
           * The others are private, Wal.hdr of a connection: */
#define HDR0 2
#define HDR1 3
#define CKPT 4
#define PIN  5
#define SEEN 6 /* db->seen */
byte nb;      /* nBackfill */
byte mark[3]; /* aReadMark; [0] is not used. SQLite has 5: with three processes 2 can run out */

/* ---- locks (os_unix.c; RECOVER is left out: who takes it has WRITE) -------------------------- */

byte wr, ck;  /* WRITE, CKPT: who */
byte x0, x1;  /* READ0 and READ1.. exclusively. The exclusive lock of one slot is held only to
               * change its mark: one step here, since to others it is as if a reader were there */
byte rd[3];   /* READ0..2 shared: set of who */

/* ---- files ----------------------------------------------------------------------------------- */

byte wsalt;         /* the WAL's header; 0: the file is empty */
byte fs[FRAMES];    /* frame i+1: its salt */
byte ft[FRAMES];    /* its transaction */
bit second[FRAMES]; /* whether it is the second of an odd transaction: page 1, and the commit. Else
                     * page 0, and a commit if the transaction is even */
byte db[2];         /* the database file */

/* ---- weir's directory: the ledger and its journal (ledger.c) --------------------------------- */

byte led[2];         /* per page: what the replica has */
byte lsalt, lf, ltx; /* position of the newest note: salts, frame, checksum */
byte lpend;          /* pages noted since the last closed TXID */

/* ---- weir's memory (primary_int.h) ----------------------------------------------------------- */

byte ps, pf, cap;    /* db->pos: salts, frame; the transaction that ends there */
byte vb, fr[2];      /* db->view: how many frames are in the database, a page's newest one */
byte dirty, unnoted; /* pages captured since the last TXID; of them, not yet in the journal */
byte ss, sf, st;     /* db->skipped */
bit skipped;

/* ---- what only the assertions see ------------------------------------------------------------ */

byte newest;          /* the last committed transaction */
byte parent[TXS + 1]; /* the one before */
byte p1[TXS + 1];     /* page 1 after it */

byte ntx, ndeaths, nidle;
bit gap;    /* somebody is between two stores of walRestartHdr, see RESET_GAP */
bit half;   /* ... and has died there; see MEND */
byte down;  /* who has to start again after a reboot, before anybody goes on */
#ifdef NO_WEIR
#define ALL 7
#else
#define ALL 15
#endif
#define RESTARTS(n) ((down >> n) & 1)
chan die[4] = [0] of {bit};
hidden byte i, v0, v1; /* of one step */

/* What `spin -t` says of a step; costs nothing in a verification. */
#define SAY(text, n) printf(text, n)

#define ODD(t)     ((t) & 1)
#define UP         (down == 0 && !half)
#define STABLE     (UP && h[0].mx == h[1].mx && h[0].salt == h[1].salt && h[0].tx == h[1].tx && \
                    h[0].mx != NO_FRAME)
#define TORN       (UP && !STABLE)
#define IS_HDR(c)  (h[0].mx == h[c].mx && h[0].salt == h[c].salt && h[0].tx == h[c].tx)
/* Whether frame i (from 0) is of page p, and ends a transaction. */
#define PAGE(i)    (second[i])
#define COMMIT(i)  (second[i] || !ODD(ft[i]))
/* Whether frame i follows the one before it: walDecodeFrame, take_frame() of capture.c. */
#define CHAIN(i, s) (fs[i] == (s) && ((second[i] && ft[i - 1] == ft[i] && !second[i - 1]) || \
                    (!second[i] && (i == 0 || (ft[i - 1] == parent[ft[i]] && COMMIT(i - 1))))))

/* A read transaction of header c, with `from` frames in the database when it began (minFrame - 1),
 * sees exactly its transaction: walFindFrame. */
inline check_view(c, from)
{
    v0 = db[0];
    v1 = db[1];
    i = from + 1;
    do
    :: i <= h[c].mx ->
        assert(fs[i - 1] == h[c].salt);
        if
        :: second[i - 1] -> v1 = ft[i - 1]
        :: else -> v0 = ft[i - 1]
        fi;
        i++
    :: else -> break
    od;
    assert(v0 == h[c].tx);
    assert(v1 == p1[h[c].tx]);
    i = 0;
    v0 = 0;
    v1 = 0
}

/* Whatever the moment: who begins to read now gets the newest transaction, whole. */
inline check_now()
{
    if
    :: STABLE && !gap ->
        assert(h[0].tx == newest);
        check_view(0, nb)
    :: else
    fi
}

/* The header announces a commit. It must be the next one, or the one that is known already. */
inline commits(c)
{
    assert(h[c].tx == newest || parent[h[c].tx] == newest);
    newest = h[c].tx;
    SAY("transaction %d is committed\n", newest)
}

/* walTryBeginRead is one step. It reads both copies of the header, takes a lock, and then looks
 * whether header and mark are still what they were. If they are, all of it was true at that moment,
 * for a header does not come back; if not, it lets go and starts over. */
#define MARK_OK(i, c)  (mark[i] <= h[c].mx)
#define CAN_MARK(c)    (x1 == 0 && \
    (rd[1] == 0 || rd[2] == 0 || MARK_OK(1, c) || MARK_OK(2, c)))
#define CAN_READ(c)    ((nb == h[c].mx && x0 == 0) || CAN_MARK(c))
inline take_mark(who, c, slot)
{
    slot = 0;
    if
    :: MARK_OK(1, c) -> slot = 1
    :: else
    fi;
    if
    :: MARK_OK(2, c) && (slot == 0 || mark[2] >= mark[1]) -> slot = 2
    :: else
    fi;
    if
    :: (slot == 0 || mark[slot] < h[c].mx) && rd[1] == 0 -> slot = 1; mark[1] = h[c].mx
    :: (slot == 0 || mark[slot] < h[c].mx) && rd[1] != 0 && rd[2] == 0 ->
        slot = 2;
        mark[2] = h[c].mx
    :: else
    fi;
    rd[slot] = rd[slot] | who;
    SAY("has a read mark in slot %d\n", slot)
}
inline read_hdr(c)
{
    h[c].mx = h[0].mx;
    h[c].salt = h[0].salt;
    h[c].tx = h[0].tx
}
inline copy_hdr(c, n)
{
    h[c].mx = h[n].mx;
    h[c].salt = h[n].salt;
    h[c].tx = h[n].tx
}
inline forget(c)
{
    h[c].mx = 0;
    h[c].salt = 0;
    h[c].tx = 0
}
inline begin_read(who, c, slot)
{
    read_hdr(c);
    if
    :: nb == h[c].mx && x0 == 0 -> slot = 0; rd[0] = rd[0] | who; SAY("reads in slot %d\n", slot)
    :: else -> take_mark(who, c, slot)
    fi
}
/* One half of walIndexWriteHdr. */
inline write_copy(n, c)
{
    h[n].mx = h[c].mx;
    h[n].salt = h[c].salt;
    h[n].tx = h[c].tx
}

/* Salts that nobody has heard of, or has forgotten: real ones have 64 bits. */
#define KNOWN(s) (h[0].salt == s || h[1].salt == s || h[HDR0].salt == s || h[HDR1].salt == s || \
    h[CKPT].salt == s || h[PIN].salt == s || wsalt == s || ps == s || ss == s || lsalt == s)
inline new_salt(c)
{
    v0 = 1;
    do
    :: KNOWN(v0) -> v0++
    :: else -> break
    od;
    h[c].salt = v0;
    v0 = 0
}

inline no_frames()
{
    do
    :: i < FRAMES -> fs[i] = 0; ft[i] = 0; second[i] = 0; i++
    :: else -> break
    od;
    i = 0
}

/* walRestartHdr, first store: other salts, no frames. Its caller has WRITE and READ1.. */
inline restart_hdr(who, c)
{
    x1 = who;
    h[c].mx = 0;
    new_salt(c);
    write_copy(1, c);
    SAY("resets the WAL, first store: salt %d\n", h[c].salt)
}
/* ... and its last ones. */
inline restart_info()
{
    nb = 0;
    mark[1] = 0;
    mark[2] = UNUSED;
    gap = 0;
    x1 = 0;
    SAY("resets the WAL, last store: nBackfill %d\n", nb)
}

/* walIndexRecover: WRITE and CKPT are held, so the WAL stands still. What it finds is the longest
 * chain of frames that ends with a commit. */
inline scan_wal(c)
{
    h[c].mx = 0;
    h[c].salt = wsalt;
    h[c].tx = newest; /* the database holds it, if the WAL has nothing: check_now() */
    i = 0;
    do
    :: i < FRAMES ->
        if
        :: wsalt != 0 && CHAIN(i, wsalt) ->
            if
            :: COMMIT(i) -> h[c].mx = i + 1; h[c].tx = ft[i]
            :: else
            fi;
            i++
        :: else -> break
        fi
    :: else -> break
    od;
    i = 0
}

/* The header comes before nBackfill. The old one is that of the same WAL, so a death in between
 * does no harm. */
inline recover(c)
{
    d_step { scan_wal(c); write_copy(1, c) };
    d_step { write_copy(0, c); commits(c); SAY("recovers the index: transaction %d\n", h[c].tx) };
    d_step {
        nb = 0;
        if
        :: rd[1] == 0 && h[c].mx > 0 -> mark[1] = h[c].mx
        :: rd[1] == 0 && h[c].mx == 0 -> mark[1] = UNUSED
        :: else
        fi;
        if
        :: rd[2] == 0 -> mark[2] = UNUSED
        :: else
        fi;
        check_now()
    }
}


/* walIteratorNext gives the newest frame of the page. If that one may not be copied, no older one
 * is, and nBackfill passes over it all the same: who reads from now on looks for the newer one. */
inline copy_page(p, c, safe)
{
    i = h[c].mx;
    do
    :: i > nb && (PAGE(i - 1) != p || fs[i - 1] == 0) -> i--
    :: i > nb && PAGE(i - 1) == p && fs[i - 1] != 0 ->
        db[p] = (i <= safe -> ft[i - 1] : db[p]);
        break
    :: else -> break
    od;
    i = 0
}

/* walCheckpoint, PASSIVE, by connection `who`, with header c as it was read before. All marks are
 * looked at in one step: who comes to a slot after that gets a mark that is not below h[c].mx. */
inline backfill(who, c, safe)
{
    d_step {
        if
#ifndef UNFIXED
        /* The fix of 3.51.3: nothing is done if the WAL was reset since the header was read. Not in
         * weir's own checkpoints: they are to do without. */
        :: who == APP && h[c].salt != h[0].salt -> safe = 0
#endif
        :: nb < h[c].mx ->
            safe = h[c].mx;
            if
            :: safe > mark[1] && rd[1] == 0 && x1 == 0 -> mark[1] = safe
            :: safe > mark[1] && (rd[1] != 0 || x1 != 0) -> safe = mark[1]
            :: else
            fi;
            if
            :: safe > mark[2] && rd[2] == 0 && x1 == 0 -> mark[2] = UNUSED
            :: safe > mark[2] && (rd[2] != 0 || x1 != 0) -> safe = mark[2]
            :: else
            fi
        :: else -> safe = 0
        fi;
        if
        :: nb < safe && rd[0] == 0 && x0 == 0 -> x0 = who
        :: else -> safe = 0
        fi;
        SAY("checkpoints up to frame %d\n", safe)
    };
    if
    :: safe == 0
    :: d_step { safe != 0 -> copy_page(0, c, safe); check_now() };
        d_step {
            copy_page(1, c, safe);
            nb = safe;
            x0 = 0;
            safe = 0;
            SAY("nBackfill is %d\n", nb);
            check_now()
        }
    fi
}

/* walCheckpoint, the end of a TRUNCATE, by one who has WRITE, too: the WAL is reset, and cut. */
#define MAY_CUT(c) (h[c].mx > 0 && nb == h[c].mx && rd[1] == 0 && rd[2] == 0)
inline cut_wal(who, c)
{
    d_step { wr == who && MAY_CUT(c) -> restart_hdr(who, c) };
    d_step { write_copy(0, c); gap = 1 };
    d_step { restart_info(); check_now() };
    d_step { wsalt = 0; no_frames(); SAY("truncates the WAL, %d\n", wsalt) }
}

/* Whether a checkpoint would get anywhere now. Others are not tried: they change nothing. */
#define CAN_FILL (nb < h[0].mx && rd[0] == 0 && \
                  !(rd[1] && mark[1] <= nb) && !(rd[2] && mark[2] <= nb))

/* Who dies between the stores of a reset leaves nBackfill too large: see README.md, reset-gap. With
 * MEND nobody else takes a step before weir has seen that. What they would do meanwhile is SQLite's
 * own weakness; the question is whether all is well afterwards. */
#if defined(RESET_GAP) && !defined(NO_WEIR) && !defined(NO_MEND)
#define MEND
#endif

/* The kernel drops the locks of a process that dies. */
inline drop_locks(who)
{
#ifdef MEND
    half = (gap && x1 == (who) -> 1 : half);
#endif
    wr = (wr == (who) -> 0 : wr);
    ck = (ck == (who) -> 0 : ck);
    x0 = (x0 == (who) -> 0 : x0);
    gap = (x1 == (who) -> 0 : gap);
    x1 = (x1 == (who) -> 0 : x1);
    rd[0] = rd[0] & ~(who);
    rd[1] = rd[1] & ~(who);
    rd[2] = rd[2] & ~(who)
}
#ifdef RESET_GAP
#define MAY_DIE(who) true
#else
#define MAY_DIE(who) (!gap || wr != (who))
#endif
#define HOLDS(who) (wr == (who) || ck == (who) || ((rd[0] | rd[1] | rd[2]) & (who)))

/* ---- an application's writer ----------------------------------------------------------------- */

inline put_frame(c, t, last)
{
    fs[h[c].mx] = h[c].salt;
    ft[h[c].mx] = t;
    second[h[c].mx] = last;
    h[c].mx++
}

/* walFrames: the WAL's header and the frames, one step. If this process lives nobody looks at them
 * before they are published; if it dies, it is worst when all of them were left. What another WAL
 * had left behind is not of this one, nor in its index (walCleanupHash). */
inline write_frames(c)
{
    if
    :: h[c].mx == 0 ->
        if
        :: !own -> new_salt(c)
        :: else
        fi;
        wsalt = h[c].salt;
        no_frames()
    :: else
    fi;
    own = 0;
    ntx++;
    parent[ntx] = h[c].tx;
    p1[ntx] = (ODD(ntx) -> ntx : p1[h[c].tx]);
    h[c].tx = ntx;
    put_frame(c, ntx, 0);
    if
    :: ODD(ntx) -> put_frame(c, ntx, 1)
    :: else
    fi;
    SAY("writes the frames of transaction %d\n", ntx)
}

/* sqlite3WalBeginWriteTransaction, together with what walRestartLog decides: if that comes later,
 * so might the lock have. A busy lock is waited for with the read mark held, as a busy handler
 * does. */
#define MAY_WRITE   (wr == 0 && IS_HDR(mine) && ntx < TXS)
#define MAY_RESTART (nb > 0 && rd[1] == 0 && rd[2] == 0)

proctype writer(byte n; byte me; byte mine)
{
    byte slot, from;
    bit own; /* it has reset the WAL itself, so that it knows the next salts: nCkpt != 0 */

    do
    :: {
        if
        :: ntx >= TXS && STABLE ->
end_done:   false
        :: d_step {
                ntx < TXS && STABLE && CAN_READ(0) ->
                begin_read(me, mine, slot);
                from = (slot == 0 -> h[mine].mx : nb); /* in slot 0 it does not look at the WAL */
                check_view(mine, from)
            };
            if
            :: d_step { /* SQLITE_BUSY_SNAPSHOT, or nothing was to be written */
                    wr == 0 && (!IS_HDR(mine) || ntx >= TXS) ->
                    check_view(mine, from);
                    rd[slot] = rd[slot] & ~me;
                    slot = 0;
                    from = 0;
                    forget(mine)
                };
                goto again
            :: d_step {
                    slot != 0 && MAY_WRITE ->
                    check_view(mine, from);
                    from = 0;
                    wr = me;
                    write_frames(mine)
                }
            /* To read what it writes it needs another slot. */
            :: d_step {
                    slot == 0 && MAY_WRITE && !MAY_RESTART && CAN_MARK(mine) ->
                    check_view(mine, from);
                    from = 0;
                    wr = me;
                    rd[0] = rd[0] & ~me;
                    take_mark(me, mine, slot);
                    write_frames(mine)
                }
            :: d_step {
                    slot == 0 && MAY_WRITE && MAY_RESTART ->
                    check_view(mine, from);
                    from = 0;
                    wr = me;
                    own = 1;
                    restart_hdr(me, mine)
                };
                d_step { write_copy(0, mine); gap = 1 };
                d_step {
                    restart_info();
                    rd[0] = rd[0] & ~me;
                    take_mark(me, mine, slot);
                    check_now()
                };
                d_step { write_frames(mine) }
            fi;
            /* walIndexWriteHdr. That the locks are let go of in the same step takes nothing away:
             * others would only have to wait longer. */
            d_step { write_copy(1, mine) };
            d_step {
                write_copy(0, mine);
                commits(mine);
                check_now();
                wr = 0;
                rd[slot] = rd[slot] & ~me;
                slot = 0;
                forget(mine)
            }
        /* walIndexReadHdr: torn, and nobody is writing it */
        :: d_step { TORN && wr == 0 && ck == 0 -> wr = me; ck = me };
            recover(mine);
            d_step { wr = 0; ck = 0; forget(mine) }
        fi;
again:  skip
    } unless {
        atomic {
            if
            :: die[n]?_
            :: RESTARTS(n) -> down = down & ~(1 << n)
            fi;
            d_step {
                drop_locks(me);
                forget(mine);
                slot = 0;
                from = 0;
                own = 0;
                SAY("process %d was killed\n", n)
            }
        }
    }
    od
}

/* ---- the application's checkpointer: PASSIVE, as a commit may start one, or TRUNCATE --------- */

proctype app(byte n)
{
    byte safe;

end_idle:
    {
        if
        :: d_step {
                STABLE && ck == 0 && (CAN_FILL || (nidle < IDLES && nb > 0 && nb == h[0].mx)) ->
                nidle = nidle + (nb == h[0].mx);
                ck = APP;
                read_hdr(CKPT);
                SAY("begins a PASSIVE checkpoint of %d frames\n", h[CKPT].mx)
            };
            backfill(APP, CKPT, safe)
        :: d_step {
                STABLE && ck == 0 && wr == 0 && (CAN_FILL || MAY_CUT(0)) ->
                ck = APP;
                wr = APP;
                read_hdr(CKPT);
                SAY("begins a TRUNCATE checkpoint of %d frames\n", h[CKPT].mx)
            };
            backfill(APP, CKPT, safe);
            if
            :: !MAY_CUT(CKPT)
            :: cut_wal(APP, CKPT)
            fi
        :: d_step { TORN && wr == 0 && ck == 0 -> wr = APP; ck = APP };
            recover(CKPT)
        fi;
        d_step { wr = (wr == APP -> 0 : wr); ck = 0; forget(CKPT) }
    } unless {
        atomic {
            if
            :: die[n]?_
            :: RESTARTS(n) -> down = down & ~(1 << n)
            fi;
            d_step {
                drop_locks(APP);
                forget(CKPT);
                safe = 0;
                SAY("process %d was killed\n", n)
            }
        }
    };
    goto end_idle
}

/* ---- weir ------------------------------------------------------------------------------------ */

/* wr_db_look() of capture.c, once the header was read. I1: a reset means that all of it was in the
 * database, and captured. */
inline look()
{
#ifdef TRUST_TORN
    copy_hdr(SEEN, 1);
#else
    read_hdr(SEEN);
#endif
    if
    :: h[SEEN].salt != ps ->
        assert(vb == pf);
        ps = h[SEEN].salt;
        pf = 0;
        vb = 0;
        fr[0] = 0;
        fr[1] = 0
    :: else ->
        assert(h[SEEN].mx >= pf)
    fi
}

/* The same name in capture.c. WRITE is held, so nobody is in the middle of a reset. */
inline finish_reset()
{
#ifdef MEND
    nb = (nb > vb -> vb : nb);
    half = 0
#else
    skip
#endif
}

/* The rest of wr_db_capture(): every transaction once, and in order. */
inline take()
{
    i = pf;
    do
    :: i < h[SEEN].mx ->
        assert(CHAIN(i, ps));
        assert(second[i] || parent[ft[i]] == cap);
        cap = ft[i];
        fr[PAGE(i)] = i + 1;
        dirty = dirty | (1 << PAGE(i));
        unnoted = unnoted | (1 << PAGE(i));
        i++
    :: else -> break
    od;
    i = 0;
    assert(h[SEEN].mx == 0 || cap == h[SEEN].tx);
    pf = h[SEEN].mx;
    forget(SEEN);
    SAY("captured up to frame %d\n", pf)
}

/* view.backfilled after a checkpoint of ours. Frames up to it are not looked for any more. */
inline filled()
{
    vb = (nb > vb -> nb : vb);
    fr[0] = (fr[0] > vb -> fr[0] : 0);
    fr[1] = (fr[1] > vb -> fr[1] : 0)
}

/* wr_view_page() of view.c */
#define IMAGE(p) (fr[p] > vb -> ft[fr[p] - 1] : db[p])

/* note_captured() of checkpoint.c */
inline note()
{
    if
    :: unnoted != 0 ->
        lpend = lpend | unnoted;
        lsalt = ps;
        lf = pf;
        ltx = cap
    :: else
    fi;
    unnoted = 0
}

/* wr_db_ship() of ship.c: a TXID is closed. What the replica gets must be the transaction captured
 * last. Never without a capture since the last checkpoint: that left out pages that were written
 * again, and counts their older frames as copied (copy_page). That the ledger survives being killed
 * in here is tested elsewhere. */
inline ship()
{
    if
    :: dirty & 1 -> led[0] = IMAGE(0)
    :: else
    fi;
    if
    :: dirty & 2 -> led[1] = IMAGE(1)
    :: else
    fi;
    assert(led[0] == cap);
    assert(led[1] == p1[cap]);
    dirty = 0;
    unnoted = 0;
    lpend = 0;
    lsalt = ps;
    lf = pf;
    ltx = cap;
    SAY("closes a TXID: transaction %d\n", cap)
}

/* What some mutants change: see `run`. */
#if defined(NO_PIN) || defined(UNPIN)
#define MAY_CKPT (ck == 0 || ck == WEIR)
#define CKPT_END ck = 0
#else
#define MAY_CKPT true
#define CKPT_END skip
#endif
#ifdef NO_PIN
#define ATTACHED ck = 0
#else
#define ATTACHED skip
#endif
#ifdef NO_BARRIER
#define LET_WRITE skip
#else
#define LET_WRITE look(); take(); wr = 0
#endif
#ifdef TRUST_TORN
#define LEGIBLE true
#define NEWS    (h[1].mx != pf || h[1].salt != ps)
#else
#define LEGIBLE STABLE
#define NEWS    (h[0].mx != pf || h[0].salt != ps)
#endif

/* first_look() of attach.c: WRITE is held, so header and nBackfill belong together, or a reset is
 * to be finished. */
inline first_look()
{
    read_hdr(SEEN);
    ps = h[SEEN].salt;
    vb = (nb > h[SEEN].mx -> 0 : nb);
    finish_reset();
    pf = 0;
    skipped = (vb == h[SEEN].mx && vb > 0);
    if
    :: skipped -> pf = h[SEEN].mx; ss = ps; sf = pf; st = h[SEEN].tx
    :: else
    fi;
    cap = (skipped || h[SEEN].mx == 0 -> h[SEEN].tx : parent[ft[0]]);
    wr = 0;
    SAY("is pinned, and sees %d frames\n", h[SEEN].mx)
}

/* prove.c: continues(), dirty_since(), or the comparison of every page with the ledger. It is one
 * step: that it reads the image of one moment is frozen.c's business. */
#define CONTINUES (skipped -> (lsalt == ss && lf == sf && ltx == st) : \
    (lsalt == ps && lf <= pf && (lf == 0 -> pf > 0 : (fs[lf - 1] == lsalt && ft[lf - 1] == ltx))))
#ifdef BLIND_ATTACH /* only the numbers are compared */
#undef CONTINUES
#define CONTINUES (lf <= pf)
#endif
inline prove()
{
    dirty = 0;
    if
    :: CONTINUES ->
        v0 = (skipped -> 0 : lf);
        assert(lf > 0 || parent[ft[0]] == ltx);
        dirty = (fr[0] > v0) | ((fr[1] > v0) << 1) | lpend;
        v0 = 0
    :: else -> dirty = (IMAGE(0) != led[0]) | ((IMAGE(1) != led[1]) << 1)
    fi;
    unnoted = dirty;
    SAY("is attached, pages to send: %d\n", dirty);
    skipped = 0;
    ss = 0;
    sf = 0;
    st = 0
}

inline forget_all()
{
    forget(PIN);
    forget(SEEN);
    ps = 0;
    pf = 0;
    cap = 0;
    vb = 0;
    fr[0] = 0;
    fr[1] = 0;
    dirty = 0;
    unnoted = 0;
    ss = 0;
    sf = 0;
    st = 0;
    skipped = 0
}

proctype weir(byte n)
{
    byte slot, safe;

    do
    :: {
        /* attach.c: take_pin() */
        d_step { down == 0 && ck == 0 -> ck = WEIR };
        if
        :: d_step { wr == 0 && STABLE -> first_look() }
#ifdef MEND
        :: d_step { wr == 0 && half -> first_look(); check_now() }
#endif
        :: d_step { wr == 0 && TORN -> wr = WEIR };
            recover(PIN);
            d_step { first_look() }
        fi;
        if
        :: d_step { STABLE -> look() }
#ifdef MEND
        :: d_step { wr == 0 && half -> look(); finish_reset(); check_now() }
#endif
        :: d_step { wr == 0 && TORN -> wr = WEIR };
            recover(PIN);
            d_step { wr = 0; look() }
        fi;
        d_step { take(); prove(); ATTACHED };

end_sync:
        do
        /* sync_step() without and with a TXID due */
        :: d_step { LEGIBLE && NEWS -> look() };
            d_step { take() }
        :: d_step { LEGIBLE && (NEWS || dirty != 0) -> look() };
#ifndef STALE_SHIP
            d_step { take() };
#endif
            if
            :: d_step { dirty != 0 -> ship() }
            :: dirty == 0
            fi
        /* settle_torn(): a writer died in its update */
#ifndef NO_RECOVER
        :: d_step { wr == 0 && TORN -> wr = WEIR };
            recover(PIN);
            d_step { wr = 0; look() };
            d_step { take() }
#endif

#ifdef MEND
        /* wr_db_look() under WRITE: a writer died in the middle of a reset */
        :: d_step { wr == 0 && half -> look(); finish_reset(); take(); check_now() }
#endif

        /* bulk(). A header that is torn by one who lives: another time. */
        :: d_step {
                pf > vb && STABLE && CAN_FILL && CAN_READ(0) && MAY_CKPT ->
                ck = WEIR;
#ifndef NO_MARK
                begin_read(MARK, PIN, slot);
                check_view(PIN, nb);
                assert(slot > 0)
#endif
            };
            if
            :: !LEGIBLE
            :: d_step { LEGIBLE -> look() };
#ifndef CKPT_FIRST
                d_step { take() };
#endif
                if
                :: d_step { STABLE -> read_hdr(PIN) }
                :: d_step { TORN && wr == 0 -> wr = WEIR };
                    recover(PIN);
                    wr = 0
                :: d_step { !STABLE && wr != 0 -> forget(PIN) }
                fi;
                backfill(WEIR, PIN, safe)
            fi;
            d_step {
                filled();
                note();
                rd[slot] = rd[slot] & ~MARK;
                slot = 0;
                forget(PIN);
                CKPT_END
            }

        /* barrier() */
#ifdef NO_BARRIER
        :: d_step { STABLE && CAN_FILL && MAY_CKPT -> ck = WEIR; look() };
#else
        :: d_step {
                wr == 0 && CAN_FILL && MAY_CKPT ->
                ck = WEIR;
                wr = WEIR;
                SAY("begins a barrier, with %d frames in the database\n", vb)
            };
            if
            :: !STABLE -> recover(PIN); d_step { look() }
            :: d_step { STABLE -> look() }
            fi;
#endif
            d_step { take(); note(); STABLE -> read_hdr(PIN) };
            backfill(WEIR, PIN, safe);
            if
            :: d_step { filled(); LET_WRITE; forget(PIN); CKPT_END }
            :: cut_wal(WEIR, PIN);
                d_step { vb = pf; LET_WRITE; forget(PIN); CKPT_END }
            fi
        od
    } unless {
        atomic {
            if
            :: die[n]?_
            :: RESTARTS(n) -> down = down & ~(1 << n)
            fi;
            d_step {
                drop_locks(WEIR);
                drop_locks(MARK);
                forget_all();
                slot = 0;
                safe = 0;
                SAY("process %d was killed\n", n)
            }
        }
    }
    od
}

/* ---- death ----------------------------------------------------------------------------------- */

/* Who holds no lock has nothing to lose. */
proctype death()
{
end:do
    :: atomic { ndeaths < DEATHS && HOLDS(W0) && MAY_DIE(W0) -> ndeaths++; die[0]!0 }
    :: atomic { ndeaths < DEATHS && HOLDS(W1) && MAY_DIE(W1) -> ndeaths++; die[1]!0 }
    :: atomic { ndeaths < DEATHS && HOLDS(APP) && MAY_DIE(APP) -> ndeaths++; die[2]!0 }
#ifndef FIRST
    :: atomic { ndeaths < DEATHS && HOLDS(WEIR) && MAY_DIE(WEIR) -> ndeaths++; die[3]!0 }
    /* All at once: the wal-index is gone, and is built anew by the first to come. */
    :: d_step { ndeaths < DEATHS && ntx > 0 ->
            ndeaths++;
            down = ALL;
            h[0].mx = NO_FRAME;
            h[0].salt = 0;
            h[0].tx = 0;
            forget(1);
            forget(HDR0);
            forget(HDR1);
            forget(CKPT);
            forget_all();
            nb = 0;
            mark[1] = UNUSED;
            mark[2] = UNUSED;
            gap = 0;
            half = 0;
            wr = 0;
            ck = 0;
            x0 = 0;
            x1 = 0;
            rd[0] = 0;
            rd[1] = 0;
            rd[2] = 0;
            SAY("reboot %d\n", ndeaths)
        }
#endif
    od
}

init
{
    d_step { mark[1] = UNUSED; mark[2] = UNUSED };
#ifdef FIRST /* weir has the lock before anybody comes, and lives: no checkpointer gets to it */
    run weir(3);
    ck == WEIR;
#endif
    atomic {
        run writer(0, W0, HDR0);
        run writer(1, W1, HDR1);
        run app(2);
#if !defined(NO_WEIR) && !defined(FIRST)
        run weir(3);
#endif
        run death()
    }
}
