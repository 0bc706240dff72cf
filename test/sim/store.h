/*
 * store.h - the simulated object store: a bucket on other machines, reached over a bad network.
 *
 * A storage driver (storage.h) for the product. Each request travels to the store, is applied there
 * at one moment, and its answer travels back; the client waits for it in virtual time, up to its
 * deadline. Giving up, or dying, changes nothing for a request that has left: it is applied all the
 * same. (One whose last byte has not left is not.) So lost answers, late requests and reordering
 * happen by themselves.
 *
 * The driver's contract holds whatever fails, with one exception: a weak store. That one may answer
 * a get with fewer bytes than there are, and its lists may be some seconds old. The product has to
 * notice by checksums and continuity.
 */
#ifndef SIM_STORE_H
#define SIM_STORE_H

#include "sim/fiber.h"
#include "storage/storage.h"

struct store; /* one bucket; lives as long as the run */

/* Habits (latencies, page size of lists, caps, whether it is weak, which faults are armed and how
 * often they strike) come from the tape: each kind of fault is armed in a quarter of all runs. A
 * store without WR_STORAGE_COND_PUT ignores conditions. */
struct store *store_new(const char *name);
/* A handle for one client; ops->close frees it, the bucket stays. For wr_storage_wrap. */
const struct wr_storage_ops *store_ops(const struct store *s);
void *store_client(struct store *s);
int64_t store_latency_ns(const struct store *s); /* of a request or an answer, at most */
bool store_lists_little(const struct store *s);  /* so many pages that one who is far gets no end */
bool store_is_weak(const struct store *s); /* was made so; healing does not change the answer */

/* What it has received whole takes up to some seconds to take effect, and may outlive who sent it.
 * A store without conditions lets it overwrite what came meanwhile. */
void store_ponder(struct store *s);
/* No fault from now on, and no weakness; what is under way arrives, within two minutes. */
void store_heal(struct store *s);
void store_outage(struct store *s, int64_t until_ns); /* every request fails until then */
/* Nothing of this process arrives, and no answer to it; NULL: all are connected. */
void store_cut_off(struct store *s, const struct sim_proc *p);
/* One bit of one stored object flips. False: there is none. *ret_key dies at the next change. */
bool store_rot(struct store *s, const char **ret_key);

/* Without letting others run: what is there. Return false to stop. */
typedef bool store_each_fn(void *arg, const char *key, const uint8_t *p, size_t n);
void store_each(struct store *s, store_each_fn *fn, void *arg);

/* Called when an object appears or changes, without letting others run. `old` is NULL for a new
 * one. For laws such as "a name never changes its bytes". */
extern void (*store_on_put)(
    struct store *s, const char *key, const uint8_t *p, size_t n, const uint8_t *old, size_t old_n);
extern void (*store_on_remove)(struct store *s, const char *key);
/* While they are called: whoever has sent the request is dead; nobody has, as the network doubled
 * it. */
extern bool store_after_death, store_doubled;
/* And the name of the process that has sent it; NULL: nobody has. */
extern const char *store_sender;
/* Called by whoever is about to send a request, in its fiber, which may sleep there, or die. NULL:
 * nobody is told. */
extern void (*store_on_ask)(void);

/* Uploads that were begun, and neither committed nor aborted. Those whose client never got the
 * number are nobody's to abort. */
size_t store_open_uploads(const struct store *s);

/* How often something happened, to show that a run reached it. Over all stores. */
struct store_counts {
    uint64_t requests, list, stat, get, put, remove, upload; /* that arrived, by kind */
    uint64_t lost_requests;                                  /* never arrived */
    uint64_t lost_acks;   /* applied, but the answer was lost, or was a failure */
    uint64_t doubled;     /* puts that arrived once more, later ... */
    uint64_t returned;    /* ... when the object had been deleted */
    uint64_t reordered;   /* applied after one that was sent later */
    uint64_t busy;        /* turned away for too many requests, or an outage */
    uint64_t errors;      /* internal errors; nothing done */
    uint64_t denied;      /* credentials refused */
    uint64_t short_gets;  /* cut answers; of a weak store, unnoticed */
    uint64_t cut_lists;   /* broken off */
    uint64_t key_errors;  /* keys that a remove left */
    uint64_t stale_lists; /* that were wrong */
    uint64_t conflicts;   /* conditional puts that lost */
    uint64_t unsent;      /* gone with their client, or given up, before they had left */
    uint64_t after_death; /* applied though the client had died */
    uint64_t rotten;      /* bits flipped */
};
extern struct store_counts store_counts;

#endif
