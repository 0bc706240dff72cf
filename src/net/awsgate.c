/*
 * awsgate.c - see awsgate.h.
 */
#include "net/awsgate.h"

#include "base/mem.h"

#include <pthread.h>

#define FRESH_MS ((int64_t)10 * 1000)
#define LOOK_NS  100000000L /* how often who waits looks up */

/* What a service said last. */
struct said {
    bool asking;
    enum wr_status st;
    int64_t at_ms; /* monotonic; 0: nothing yet */
    struct wr_aws_role role;
    struct wr_err why;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t answered = PTHREAD_COND_INITIALIZER;
static struct said last[WR_AWS_WAYS]; /* guarded by mutex */

static enum wr_status ask_service(
    enum wr_aws_way way, struct wr_call *c, struct wr_aws_role *ret, struct wr_err *e)
{
    switch (way) {
    case WR_AWS_WEB:
        return wr_aws_role_web(c, ret, e);
    case WR_AWS_CONTAINER:
        return wr_aws_role_container(c, ret, e);
    case WR_AWS_INSTANCE:
    case WR_AWS_WAYS:
        break;
    }
    return wr_aws_role_instance(c, ret, e);
}

/* Tokens and keys pass through its scratch, so that is nobody else's. */
static enum wr_status ask(
    enum wr_aws_way way, struct wr_call *c, struct wr_aws_role *ret, struct wr_err *e)
{
    struct wr_arena scratch;
    struct wr_call own = *c;
    enum wr_status st;

    wr_arena_init(&scratch, WR_ARENA_MAX);
    own.scratch = &scratch;
    st = ask_service(way, &own, ret, e);
    wr_arena_wipe(&scratch);
    return st;
}

static struct wr_str moved(struct wr_str s, const char *from, const char *to)
{
    return s.n > 0 ? (struct wr_str){to + (s.p - from), s.n} : s;
}

static void copy(struct wr_aws_role *to, const struct wr_aws_role *from)
{
    *to = *from;
    to->creds.access_key = moved(from->creds.access_key, from->text, to->text);
    to->creds.secret_key = moved(from->creds.secret_key, from->text, to->text);
    to->creds.token = moved(from->creds.token, from->text, to->text);
}

/* mutex held. */
static void wait_a_little(void)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK_NS;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    (void)pthread_cond_timedwait(&answered, &mutex, &until);
}

static bool is_fresh(const struct said *s, const struct wr_call *c)
{
    int64_t age_ms = wr_mono_ms(c->clock) - s->at_ms;

    return s->at_ms > 0 && age_ms >= 0 && age_ms < FRESH_MS;
}

/* mutex held, and given up meanwhile. What our own caller has ended is no answer for others. */
static void ask_for_all(struct said *s, enum wr_aws_way way, struct wr_call *c,
    struct wr_aws_role *ret, enum wr_status *ret_st, struct wr_err *e)
{
    struct wr_err why = {0};

    s->asking = true;
    (void)pthread_mutex_unlock(&mutex);
    *ret_st = ask(way, c, ret, &why);
    (void)pthread_mutex_lock(&mutex);
    s->asking = false;
    (void)pthread_cond_broadcast(&answered);
    if (*ret_st == WR_NOTFOUND && way != WR_AWS_INSTANCE)
        s->at_ms = 0; /* nothing was asked */
    else if (*ret_st == WR_OK || wr_call_check(c, "credentials", NULL) == WR_OK) {
        s->st = *ret_st;
        s->why = why;
        s->at_ms = wr_max(wr_mono_ms(c->clock), (int64_t)1);
        wr_wipe(s->role.text, sizeof(s->role.text));
        if (*ret_st == WR_OK)
            copy(&s->role, ret);
    }
    if (*ret_st != WR_OK)
        (void)wr_fail(e, *ret_st, "%s", why.text);
}

enum wr_status wr_aws_role(
    enum wr_aws_way way, struct wr_call *c, struct wr_aws_role *ret, struct wr_err *e)
{
    struct said *s = &last[way];
    enum wr_status st = WR_OK;

    (void)pthread_mutex_lock(&mutex);
    while (st == WR_OK && s->asking && !is_fresh(s, c)) {
        wait_a_little();
        st = wr_call_check(c, "credentials", e);
    }
    if (st == WR_OK && !is_fresh(s, c)) {
        ask_for_all(s, way, c, ret, &st, e);
    } else if (st == WR_OK && s->st == WR_OK) {
        copy(ret, &s->role);
    } else if (st == WR_OK) {
        st = wr_fail(e, s->st, "%s", s->why.text);
    }
    (void)pthread_mutex_unlock(&mutex);
    return st;
}
