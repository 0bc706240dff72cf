/*
 * store_net.c - requests on their way to a store and their answers on the way back, and all that
 * happens to them there.
 *
 *     client fiber     sends, with the time of arrival drawn; waits
 *     store's fiber    applies each request at its time, and says when the answer will be there
 *     client fiber     has it then; or its deadline came first, or its cancel
 *
 * A request belongs to its client until it is sent, to the network while it is under way, and to
 * the client again once it was applied, unless nobody waits any more: then it is freed where it
 * stands. A doubled request is a copy that nobody ever waits for.
 */
#include "sim/store_int.h"
#include "sim/tape.h"

#include "base/mem.h"

#define US            INT64_C(1000)
#define MS            INT64_C(1000000)
#define PATIENCE_MS   30000 /* without a byte, a driver takes the connection for dead */
#define BYTES_PER_US  100   /* what a client's line takes */
#define SLOW_MS       30000 /* that something gets stuck on its way, at most */
#define LATE_MS       60000 /* between a request and its double, at most */
#define DENIED_MS     60000
#define BURST         200
#define REQUEST_BYTES ((size_t)1 << 32) /* no limit: what a client may send is its own business */

struct store_counts store_counts;

void (*store_on_ask)(void);

static struct store *stores;

/* ---- requests ---- */

static struct store_request *request_new(struct store *s, enum store_verb verb)
{
    struct store_request *r = wr_alloc(sizeof(*r));

    if (!r)
        abort();
    r->s = s;
    r->verb = verb;
    r->answer_ns = SIM_NEVER;
    wr_arena_init(&r->mem, REQUEST_BYTES);
    return r;
}

struct store_request *store_request_new(struct store *s, enum store_verb verb)
{
    struct store_request *r = request_new(s, verb);

    r->client = sim_proc_current();
    return r;
}

void store_request_free(struct store_request *r)
{
    if (!r)
        return;
    assert(!r->linked);
    wr_arena_release(&r->mem);
    wr_free(r);
}

struct wr_str store_keep_str(struct store_request *r, struct wr_str s)
{
    struct wr_str copy = wr_arena_str(&r->mem, s);

    if (!copy.p)
        abort();
    return copy;
}

struct wr_bytes store_keep_bytes(struct store_request *r, const uint8_t *p, size_t n)
{
    uint8_t *copy = wr_arena_alloc(&r->mem, n);

    if (!copy)
        abort();
    if (n)
        memcpy(copy, p, n);
    return (struct wr_bytes){copy, n};
}

/* ---- under way ---- */

static void link_in(struct store *s, struct store_request *r)
{
    struct store_request **at = &s->under_way;

    while (*at && (*at)->arrives_ns <= r->arrives_ns)
        at = &(*at)->next;
    r->next = *at;
    *at = r;
    r->linked = true;
    sim_rouse(&s->idle, false);
}

static void link_out(struct store_request *r)
{
    struct store_request **at = &r->s->under_way;

    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    r->linked = false;
}

bool store_strikes(const struct store *s, enum store_fault f)
{
    return tape_chance(s->permille[f]);
}

static int64_t draw_ms(uint64_t lo, uint64_t hi)
{
    return (int64_t)tape_between(lo, hi) * MS;
}

/* One way. */
static int64_t draw_latency(const struct store *s)
{
    int64_t ns = (int64_t)tape_between(100, s->latency_us) * US;

    return store_strikes(s, STORE_SLOW) ? ns + draw_ms(1, SLOW_MS) : ns;
}

/* Nobody waits any more for a request that is not answered. It goes on if all of it has left. */
static void leave_alone(struct store_request *r)
{
    if (r->linked && sim_now_ns() >= r->sent_ns) {
        r->nobody_waits = true;
        return;
    }
    if (r->linked) {
        store_counts.unsent++;
        link_out(r);
    }
    store_request_free(r);
}

/* What happens to the requests of a process that has died. What was answered leaks with it, and so
 * does the cancel token that a request's waker is still in. */
static void on_death(struct sim_proc *p)
{
    for (struct store *s = stores; s; s = s->next) {
        for (struct store_request *r = s->under_way, *next; r; r = next) {
            next = r->next;
            if (r->client == p && !r->nobody_waits)
                leave_alone(r);
        }
    }
}

static bool is_cut_off(const struct store *s, const struct store_request *r)
{
    return r->client && r->client == s->cut_off;
}

static void send_off(struct store *s, struct store_request *r)
{
    const int64_t latency = draw_latency(s), common = (int64_t)s->latency_us * US;
    const int64_t written = sim_now_ns() + (int64_t)(r->body.n / BYTES_PER_US) * US;

    r->seq = ++s->sent;
    r->sent_ns = written + wr_min(latency, common) / 2;
    r->arrives_ns = written + latency;
    if (r->verb == STORE_PUT || r->verb == STORE_UPLOAD_COMMIT)
        r->arrives_ns += (int64_t)tape_below(s->ponder_us + 1) * US;
    if (!is_cut_off(s, r) && !store_strikes(s, STORE_LOST_REQUEST)) {
        link_in(s, r);
        return;
    }
    store_counts.lost_requests++;
    if (tape_below(2)) {
        r->answer_ns = r->arrives_ns;
        r->st = WR_BUSY;
        r->text = "the connection was reset";
    }
}

/* ---- at the store ---- */

static bool turn_away(struct store_request *r, enum wr_status st, const char *text, uint64_t *count)
{
    r->st = st;
    r->text = text;
    ++*count;
    return true;
}

/* The request comes to nothing, and is answered with that. */
static bool is_turned_away(struct store *s, struct store_request *r)
{
    int64_t now = sim_now_ns();

    if (now < s->outage_until)
        return turn_away(r, WR_BUSY, "connection refused", &store_counts.busy);
    if (s->burst == 0 && store_strikes(s, STORE_BUSY))
        s->burst = (uint32_t)tape_between(1, BURST);
    if (s->burst > 0) {
        s->burst--;
        return turn_away(r, WR_BUSY, "slow down", &store_counts.busy);
    }
    if (now >= s->denied_until && store_strikes(s, STORE_DENIED))
        s->denied_until = now + draw_ms(1, DENIED_MS);
    if (now < s->denied_until)
        return turn_away(r, WR_AUTH, "the credentials have expired", &store_counts.denied);
    if (store_strikes(s, STORE_BROKEN))
        return tape_below(4) == 3
                   ? turn_away(r, WR_IO, "an answer that nobody knows", &store_counts.errors)
                   : turn_away(r, WR_BUSY, "internal error", &store_counts.errors);
    return false;
}

/* The same put once more, some time later. */
static void double_it(struct store *s, const struct store_request *r)
{
    struct store_request *copy = request_new(s, r->verb);

    copy->nobody_waits = true;
    copy->key = store_keep_str(copy, r->key);
    copy->body = store_keep_bytes(copy, r->body.p, r->body.n);
    copy->opts = r->opts;
    copy->opts.if_match = store_keep_str(copy, r->opts.if_match);
    copy->seq = r->seq;
    copy->arrives_ns = sim_now_ns() + draw_ms(1, LATE_MS);
    link_in(s, copy);
}

/* The answer does not reach the client as it was sent. */
static void damage_answer(struct store *s, struct store_request *r)
{
    if (r->verb == STORE_GET && r->data.n > 0 && store_strikes(s, STORE_SHORT_GET)) {
        store_counts.short_gets++;
        r->data.n = tape_below((uint32_t)r->data.n);
        if (!s->weak) { /* s3.c compares the length with what was promised */
            r->st = WR_BUSY;
            r->text = "the answer is not the range asked for";
        }
    }
    if (r->verb == STORE_LIST && r->n_objects > 0 && store_strikes(s, STORE_CUT_LIST)) {
        store_counts.cut_lists++;
        r->n_objects = tape_below((uint32_t)r->n_objects);
        r->cut = true;
    }
}

/* Lost, or what the client sees looks like a failure. */
static void lose_answer(struct store_request *r)
{
    static const char *const texts[] = {NULL, "the connection was reset", "internal error"};

    store_counts.lost_acks++;
    r->text = texts[tape_below(3)];
    r->st = WR_BUSY;
    if (!r->text)
        r->answer_ns = SIM_NEVER;
}

/* False when it came to nothing. */
static bool arrive(struct store *s, struct store_request *r)
{
    const bool copy = !r->client;

    store_counts.requests++;
    if (!copy && is_turned_away(s, r))
        return false;
    store_counts.doubled += copy;
    store_counts.reordered += r->seq < s->newest;
    store_counts.after_death += !copy && !sim_proc_alive(r->client);
    s->newest = wr_max(s->newest, r->seq);
    r->stale = r->verb == STORE_LIST && store_strikes(s, STORE_STALE_LIST);
    store_after_death = !copy && !sim_proc_alive(r->client);
    store_doubled = copy;
    store_sender = copy ? NULL : sim_proc_name(r->client);
    store_apply(s, r);
    store_after_death = store_doubled = false;
    store_sender = NULL;
    if (r->verb == STORE_PUT && !copy && store_strikes(s, STORE_DOUBLED))
        double_it(s, r);
    return true;
}

/* A request's moment. */
static void serve(struct store *s, struct store_request *r)
{
    bool applied;

    link_out(r);
    applied = arrive(s, r);
    if (r->nobody_waits) {
        store_request_free(r);
        return;
    }
    r->answer_ns = sim_now_ns() + draw_latency(s);
    if (is_cut_off(s, r))
        r->answer_ns = SIM_NEVER;
    else if (applied && store_strikes(s, STORE_LOST_ANSWER))
        lose_answer(r);
    else if (applied)
        damage_answer(s, r);
    sim_rouse(&r->done, true);
}

static void serve_all(void *arg)
{
    struct store *s = arg;

    for (;;) {
        struct store_request *r = s->under_way;

        if (r && r->arrives_ns <= sim_now_ns())
            serve(s, r);
        else
            (void)sim_wait(&s->idle, r ? r->arrives_ns : SIM_NEVER);
    }
}

void store_net_start(struct store *s)
{
    if (!stores)
        sim_at_exit(on_death);
    s->next = stores;
    stores = s;
    (void)sim_spawn(sim_proc_new("store"), s->name, serve_all, s);
}

/* ---- at the client ---- */

static void on_cancel(struct wr_waker *w)
{
    struct store_request *r = wr_container_of(w, struct store_request, on_cancel);

    sim_rouse(&r->done, true);
}

static bool is_answered(const struct store_request *r)
{
    return r->answer_ns <= sim_now_ns();
}

static void wait_for_answer(struct wr_call *c, struct store_request *r)
{
    int64_t deadline = sim_now_ns() + wr_call_left_ms(c, PATIENCE_MS) * MS;

    r->on_cancel.wake = on_cancel;
    wr_cancel_add(c->cancel, &r->on_cancel);
    while (!is_answered(r) && sim_now_ns() < deadline && !wr_cancel_is(c->cancel))
        (void)sim_wait(&r->done, wr_min(deadline, r->answer_ns));
    wr_cancel_remove(c->cancel, &r->on_cancel);
}

enum wr_status store_ask(struct wr_call *c, struct store_request **r, struct wr_err *e)
{
    struct store_request *own = *r;
    bool canceled;

    sim_yield(US);
    if (store_on_ask)
        store_on_ask();
    send_off(own->s, own);
    wait_for_answer(c, own);
    if (is_answered(own))
        return own->st == WR_OK ? WR_OK : wr_fail(e, own->st, "%s", own->text);
    canceled = wr_cancel_is(c->cancel);
    *r = NULL;
    leave_alone(own);
    return canceled ? wr_fail(e, WR_CANCELED, "given up") : wr_fail(e, WR_TIMEOUT, "no answer");
}
