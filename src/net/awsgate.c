/*
 * awsgate.c - see awsgate.h. What is asked for, by whom, is a line of text; what was said to it is
 * kept beside it, for a few of them: a process has a handful of profiles. Who finds no room asks
 * for himself.
 */
#include "net/awsgate.h"

#include "base/mem.h"

#include <pthread.h>

#define FRESH_MS ((int64_t)10 * 1000)
#define LOOK_NS  100000000L /* how often who waits looks up */
#define ASKED    16         /* kept at once */
#define WHAT_MAX 512u       /* bytes of such a line */

/* What was said last to who asks so. */
struct said {
    char what[WHAT_MAX]; /* empty: free */
    bool asking;
    enum wr_status st;
    int64_t at_ms; /* monotonic; 0: nothing yet */
    struct wr_aws_role role;
    struct wr_err why;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t answered = PTHREAD_COND_INITIALIZER;
static struct said last[ASKED]; /* guarded by mutex */

static void lock(void)
{
    (void)pthread_mutex_lock(&mutex);
}

static void unlock(void)
{
    (void)pthread_mutex_unlock(&mutex);
}

/* Whoever asks is a thread of the parent, and answers nobody here. */
static void in_child(void)
{
    for (size_t i = 0; i < wr_countof(last); i++)
        last[i].asking = false;
    unlock();
}

/* Without memory for that, a child may wait for what does not come. */
static void begin(void)
{
    (void)pthread_atfork(lock, unlock, in_child);
}

static enum wr_status ask_service(enum wr_aws_way way, const struct wr_aws_asker *who,
    struct wr_call *c, struct wr_aws_role *ret, struct wr_err *e)
{
    switch (way) {
    case WR_AWS_WEB:
        return wr_aws_role_web(c, who, ret, e);
    case WR_AWS_PROFILE:
        return wr_aws_role_profile(c, who, ret, e);
    case WR_AWS_CONTAINER:
        return wr_aws_role_container(c, ret, e);
    case WR_AWS_INSTANCE:
        break;
    }
    return wr_aws_role_instance(c, ret, e);
}

/* Tokens and keys pass through its scratch, so that is nobody else's. */
static enum wr_status ask(enum wr_aws_way way, const struct wr_aws_asker *who, struct wr_call *c,
    struct wr_aws_role *ret, struct wr_err *e)
{
    struct wr_arena scratch;
    struct wr_call own = *c;
    enum wr_status st;

    wr_arena_init(&scratch, WR_ARENA_MAX);
    own.scratch = &scratch;
    st = ask_service(way, who, &own, ret, e);
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
static void ask_for_all(struct said *s, enum wr_aws_way way, const struct wr_aws_asker *who,
    struct wr_call *c, struct wr_aws_role *ret, enum wr_status *ret_st, struct wr_err *e)
{
    struct wr_err why = {0};

    s->asking = true;
    unlock();
    *ret_st = ask(way, who, c, ret, &why);
    lock();
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

/* False: it is too long to be kept. The services nearby hand out one role, whoever asks. */
static bool put_what(enum wr_aws_way way, const struct wr_aws_asker *who, char out[WHAT_MAX])
{
    bool all = way == WR_AWS_WEB || way == WR_AWS_PROFILE;
    const char *profile = all && way == WR_AWS_PROFILE ? who->profile : NULL,
               *region = all ? who->region : NULL, *ca_file = all ? who->ca_file : NULL;
    int n = snprintf(out, WHAT_MAX, "%d %s\n%s\n%s", (int)way, profile ? profile : "",
        region ? region : "", ca_file ? ca_file : "");

    return n > 0 && (unsigned)n < WHAT_MAX;
}

/* mutex held. Where it is kept, or the longest unused that nobody asks for just now; NULL: none. */
static struct said *find(const char *what)
{
    struct said *oldest = NULL;

    for (size_t i = 0; i < wr_countof(last); i++) {
        struct said *s = &last[i];

        if (strcmp(s->what, what) == 0)
            return s;
        if (!s->asking && (!oldest || s->at_ms < oldest->at_ms))
            oldest = s;
    }
    if (!oldest)
        return NULL;
    wr_wipe(oldest->role.text, sizeof(oldest->role.text));
    *oldest = (struct said){.st = WR_OK};
    memcpy(oldest->what, what, strlen(what));
    return oldest;
}

/* mutex held, and given up meanwhile: what is kept there may be another's afterwards. */
static enum wr_status wait_for_answer(
    const char *what, struct wr_call *c, struct said **ret, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    *ret = find(what);
    while (st == WR_OK && *ret && (*ret)->asking && !is_fresh(*ret, c)) {
        wait_a_little();
        st = wr_call_check(c, "credentials", e);
        *ret = find(what);
    }
    return st;
}

enum wr_status wr_aws_role(enum wr_aws_way way, const struct wr_aws_asker *who, struct wr_call *c,
    struct wr_aws_role *ret, struct wr_err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char what[WHAT_MAX];
    struct said *s = NULL;
    enum wr_status st;

    (void)pthread_once(&once, begin);
    if (!put_what(way, who, what))
        return ask(way, who, c, ret, e);
    lock();
    st = wait_for_answer(what, c, &s, e);
    if (st == WR_OK && s && !is_fresh(s, c)) {
        ask_for_all(s, way, who, c, ret, &st, e);
    } else if (st == WR_OK && s && s->st == WR_OK) {
        copy(ret, &s->role);
    } else if (st == WR_OK && s) {
        st = wr_fail(e, s->st, "%s", s->why.text);
    }
    unlock();
    return s || st != WR_OK ? st : ask(way, who, c, ret, e);
}
