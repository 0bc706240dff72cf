/*
 * mutant.h - old bugs that can be put back in, to prove that the simulator finds them.
 *
 * Each stands where one line keeps a promise, and breaks it. WR_MUTANTS is defined for the
 * simulator, and with the build option `mutants`, where the environment variable WEIR_MUTANT names
 * one: everywhere else WR_MUTANT(x) is false, and nothing is left of it.
 */
#ifndef WR_BASE_MUTANT_H
#define WR_BASE_MUTANT_H

#include "base/base.h"

#define WR_MUTANT_LIST(X)                                                                        \
    X(NO_PIN, "the checkpoint lock is let go as soon as it was taken")                           \
    X(UNPIN_ON_CKPT, "the checkpoint lock is let go for each checkpoint of ours")                \
    X(NO_CAP, "no read mark while a checkpoint runs beside writers")                             \
    X(NO_SEAL, "the last checkpoint before a reset takes what was not captured")                 \
    X(NO_BARRIER, "the last checkpoint before a reset runs without the writer lock")             \
    X(PATIENT_BARRIER, "a checkpoint waits for readers while writers wait for it")               \
    X(TORN_HEADER_TRUSTED, "a wal-index header is used while it is written")                     \
    X(NO_SALT, "a WAL that was reset is taken for the old one")                                  \
    X(LEDGER_AHEAD, "the ledger is believed without a look at the database")                     \
    X(NOTED_IN_HEADER, "the ledger names as captured what only lost notes have the pages of")    \
    X(GAP_UNSEEN, "a WAL that was reset while nobody looked is read on from where we were")      \
    X(FILE_UNSEEN, "another file in its place is taken for the database as we left it")          \
    X(FORK_IGNORED, "a replica's newest TXID is ours, whatever it holds")                        \
    X(LOST_STATE_AT_ONE, "without local state TXIDs begin at 1 again")                           \
    X(NO_LEAP, "a new history begins right behind the newest TXID")                              \
    X(NO_LEDGER_SYNC, "a power cut forgets TXIDs that are under way, and nothing tells of them") \
    X(STALE_LIST, "where a replica stands was listed before the checkpoint lock was had")        \
    X(TRUST_LIST, "a listing counts, though it lacks what has arrived before it")                \
    X(ACK_ON_SEND, "a file counts as stored when it was sent, whatever the answer")              \
    X(NO_CREATE_ONLY, "an object that is there is overwritten")                                  \
    X(TAKE_TURNS, "whoever else writes to a replica is answered, each time anew")                \
    X(UNSIGNED, "two that write under names of their own are not told of each other")            \
    X(SAME_NAME_SAME_FILE, "an object that is there is taken for ours by its name")              \
    X(NO_COMMIT_FILTER, "pages beyond the end of the database are sent")                         \
    X(LOCK_PAGE_CONST, "the lock page is where a gigabyte ends, and nowhere else")               \
    X(KEEP_NOTHING, "a checkpoint overwrites what is being sent, and nothing proves it")         \
    X(OUTBOX_TRUSTED, "what the outbox gives back is sent, whatever was put there")              \
    X(ROOM_KEPT, "a file that was sent leaves no room for others")                               \
    X(KEEP_NO_WAY, "what is old is deleted, whatever a restore needs of it")                     \
    X(UNSAID, "what is deleted is not said before")                                              \
    X(CLOSE_DB, "the database is opened and closed by its path")                                 \
    X(DEAF, "what is told while a step runs is forgotten")                                       \
    X(PROMOTE_NO_FENCE, "a promotion takes the lease, and leaves the next name free")            \
    X(FENCE_TAKES_USED_NAME, "the fence may have a name that was merged and deleted")            \
    X(NUMBER_OF_IMAGE, "a promotion keeps the number that machines of its image have, too")      \
    X(LEASE_UNREAD, "one that sends without a pause never asks who holds the lease")             \
    X(LEASE_TAKEN_BLINDLY, "the lease is taken from whoever has it by then")                     \
    X(CUT_GIVES_AGAIN, "TXIDs that a power cut made the ledger forget are given away again, "    \
                       "untold")

#ifdef WR_MUTANTS
enum wr_mutant {
    WR_MUTANT_NONE,
#define WR_MUTANT_ENUM(name, text) WR_MUTANT_##name,
    WR_MUTANT_LIST(WR_MUTANT_ENUM)
#undef WR_MUTANT_ENUM
    WR_MUTANT_COUNT
};
extern enum wr_mutant wr_mutant_now; /* set before anything runs */
/* By its name. False: there is none of that name. */
bool wr_mutant_choose(const char *name);
#define WR_MUTANT(name) (wr_mutant_now == WR_MUTANT_##name)
#else
#define WR_MUTANT(name) false
#endif

#endif
