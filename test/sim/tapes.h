/*
 * tapes.h - the tapes that are kept of mutants which take long to find: DIR/NAME.tape.
 *
 * A tape finds its mutant until a change of the product or the simulator makes other questions of
 * its decisions. Then it is recorded anew.
 */
#ifndef SIM_TAPES_H
#define SIM_TAPES_H

#include "base/base.h"

/* Each mutant, or the chosen one: its tape finds it, and nothing without it; a mutant without a
 * tape is hunted for, not for long. Says what is to be done about those that are not found. 0: all
 * were. */
int tapes_check(const char *dir, unsigned jobs);

/* Keeps the tapes that are good, and records the others: hunts within `max_seeds`, and shrinks for
 * at most `seconds` each. A mutant that is found soon has no tape. 0: each has been found. */
int tapes_record(const char *dir, uint64_t max_seeds, unsigned seconds, unsigned jobs);

#endif
