/*
 * check_version.h - which SQLite a piece of machine code is, and what that means. Pure.
 */
#ifndef WR_CLI_CHECK_VERSION_H
#define WR_CLI_CHECK_VERSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As sqlite3_libversion_number() has it: 3051003. */
#define WR_SQLITE_VERSION(x, y, z) ((x)*1000000 + (y)*1000 + (z))

/* SQLite holds its version as a string between two NULs, and the time and hash of its source. */
struct wr_version_scan {
    bool has_source; /* SQLite is in here */
    bool several;    /* there are strings like a version that differ */
    int version;     /* one of them; 0: none */
};
/* Look at a piece of a file; = {0} before the first one. Pieces overlap by as much as can be cut.
 */
#define WR_VERSION_OVERLAP 96 /* bytes */
void wr_version_scan(struct wr_version_scan *s, const uint8_t *p, size_t n);
/* 0: no SQLite, or one that cannot be told from other things that have versions. */
int wr_version_found(const struct wr_version_scan *s);

/* Whether a checkpoint by another process may damage a database that is written to by this version:
 * the WAL reset bug of 3.7.0 to 3.51.2, but for 3.44.6 and 3.50.7 and what follows these. */
bool wr_version_has_reset_bug(int version);

#endif
