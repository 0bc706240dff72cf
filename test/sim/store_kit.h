/*
 * store_kit.h - for tests of the simulated object store: short ways to ask it for something, with
 * the driver's own calls, so that nothing is tried again.
 */
#ifndef SIM_STORE_KIT_H
#define SIM_STORE_KIT_H

#include "sim/child.h"
#include "sim/store.h"

#define KIT_BODY 64 /* bytes; every key and every object is shorter */

/* A client's end: a handle and what a call needs. */
struct kit_client {
    const struct wr_storage_ops *ops;
    void *self;
    struct wr_arena scratch;
    struct wr_call call; /* without deadline and cancel */
};

struct kit_client *kit_client(struct store *s);

enum wr_status kit_put(struct kit_client *c, const char *key, const char *text);
enum wr_status kit_create(struct kit_client *c, const char *key, const char *text); /* if absent */
/* The object as text; "" when it is not read. */
enum wr_status kit_get(struct kit_client *c, const char *key, char ret[KIT_BODY]);
enum wr_status kit_remove(struct kit_client *c, const char *key);
/* Whether a list of everything, which must ascend, has the key. */
enum wr_status kit_is_listed(struct kit_client *c, const char *key, bool *ret);
/* An object of one part; OK where there are no uploads. */
enum wr_status kit_upload(struct kit_client *c, const char *key, const char *text);

/* What the first object is, without asking the network; "" when there is none. */
const char *kit_peek(struct store *s);
/* A store_each_fn: the object as text to `arg`, of KIT_BODY bytes; and no other. */
bool kit_note(void *arg, const char *key, const uint8_t *p, size_t n);

#endif
