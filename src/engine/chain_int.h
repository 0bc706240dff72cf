/*
 * chain_int.h - what is known of the chains of one restore, shared by those who try one
 * (chain_try.c), look for another (chain_turn.c) and say what came of it all (chain.c).
 */
#ifndef WR_ENGINE_CHAIN_INT_H
#define WR_ENGINE_CHAIN_INT_H

#include "engine/chain.h"
#include "engine/detour.h"
#include "ltx/ltx.h"

#define WR_CHAIN_LABEL_MAX (WR_LTX_NAME_MAX + 16)
#define WR_CHAIN_WHY_MAX   (2 * WR_CHAIN_LABEL_MAX + 100)

/* Chains that are read and come to nothing though no file is known to be damaged; headers are not
 * enough to tell these apart. Those that show one to be end by themselves. */
#define WR_CHAIN_BLIND_MAX 20

struct wr_chain {
    struct wr_storage *storage;
    const struct wr_restore_opts *opts;
    const struct wr_ltx_files *all;
    struct wr_ltx_files *plan;
    struct wr_file *file, *map;
    struct wr_chain_report *r;
    struct wr_detour detour; /* empty before something is wrong */
    unsigned attempts, blind;
    bool lenient;                 /* names may lie, if that is forgivable */
    struct wr_ltx_files misnamed; /* the first chain in which one did so */
    bool looked;                  /* whether the plan by names fits */
    bool limited;                 /* there might be another chain */
    bool whole;                   /* prove every file */
    bool opened;                  /* the last attempt got to its pages */
    bool unproven;                /* the last attempt got to its pages, not all of whose files
                                     it proved */
    uint64_t tried[WR_CHAIN_BLIND_MAX];
    size_t n_tried;      /* chains that came to nothing, by a checksum of their files */
    enum wr_status last; /* what came of the last attempt */
    size_t n_bad;        /* files that the last attempt showed to be damaged */
    size_t n_doubts;     /* and what may be well in the next one */
    bool reopened;       /* headers that agreed to nothing were read twice */
    const struct wr_ltx_file *suspect; /* of the last attempt, in `plan` */
    char misfit[WR_CHAIN_WHY_MAX];     /* of the plan by names, if it is gone on with */
};

/* chain_turn.c */
/* Know what files there are, from the first time that something is wrong on. As wr_detour_init. */
enum wr_status wr_chain_survey(struct wr_chain *k, struct wr_err *e) WR_MUST_CHECK;
/* Take the best chain that is known now, unless it was tried. NOTFOUND: there is none. With
 * `suspecting` one that was is a reason to look for a chain that has less in common with it. */
enum wr_status wr_chain_turn(struct wr_chain *k, struct wr_call *c, const char *what,
    const char *why, bool suspecting, struct wr_err *e) WR_MUST_CHECK;
/* After an attempt that failed with `why`: set out for another. NOTFOUND: there is none. */
enum wr_status wr_chain_next(
    struct wr_chain *k, struct wr_call *c, const char *why, struct wr_err *e) WR_MUST_CHECK;

/* chain_try.c */
/* Fetch what k->plan makes. After CORRUPT k says what is known of the cause. */
enum wr_status wr_chain_try(struct wr_chain *k, struct wr_call *c, struct wr_err *e) WR_MUST_CHECK;

#endif
