/*
 * s3_upload.c - multi-part uploads, several parts in flight.
 *
 *   begin    POST ?uploads -> id
 *   part     a free job takes it, buffer and all, and sends it from a thread of its own; when all
 *            jobs are busy the caller's thread sends
 *   commit   wait for all jobs; POST ?uploadId with the list of tags
 *   abort    stop all jobs; DELETE ?uploadId
 *
 * Memory: concurrency - 1 parts, kept until the upload ends, beside the caller's own.
 *
 * How it fails: a part in a thread retries by itself, as its data is nobody else's to repeat; when
 * it gives up, the next call reports it and the upload is lost. A part in the caller's thread does
 * not retry: it counts only when it succeeds, so the caller may repeat the call. When the answer to
 * a commit is lost, its repetition finds no upload (or, on condition, the object): whether that was
 * our success the caller must see from the object, so the status is BUSY.
 */
#include "storage/s3_int.h"

#include "base/cancel.h"
#include "base/mem.h"
#include "net/retry.h"

#define TAG_MAX         128    /* bytes; an MD5 in quotes has 34 */
#define ABORT_MS        3000   /* an abandoned upload costs money, but shutdown must not hang */
#define COMMIT_STALL_MS 300000 /* joining thousands of parts may take minutes without a byte */
#define COMMIT_BODY_MAX ((size_t)4 << 20) /* 10,000 parts with tags */

struct tag {
    char text[TAG_MAX];
};

struct job {
    struct wr_upload *u;
    struct wr_thread thread;
    bool started;       /* owner only */
    _Atomic bool ended; /* set last by the thread: joining will not wait */
    struct wr_call call;
    struct wr_buf part;
    unsigned number;
    struct tag tag;
    enum wr_status st;
    struct wr_err err;
};

struct wr_upload {
    struct wr_s3 *s;
    struct wr_arena arena; /* holds key and id */
    struct wr_str key, id;
    struct wr_put_opts opts; /* its strings are the arena's */
    uint64_t size;
    struct tag *tags; /* of parts 1 .. n */
    unsigned n, tags_cap;
    struct job *jobs;
    unsigned n_jobs;
    enum wr_status failed; /* latched */
    struct wr_err err;
    struct wr_cancel stop;   /* of all jobs */
    struct wr_cancel *outer; /* the token of the call that began the upload; NULL: none */
    struct wr_waker on_outer;
};

static void upload_free(struct wr_upload *u)
{
    if (u->outer != NULL)
        wr_cancel_remove(u->outer, &u->on_outer);
    for (unsigned i = 0; i < u->n_jobs; i++) {
        assert(!u->jobs[i].started);
        wr_buf_release(&u->jobs[i].part);
    }
    wr_cancel_release(&u->stop);
    wr_free(u->jobs);
    wr_free(u->tags);
    wr_arena_release(&u->arena);
    wr_free(u);
}

/* The outer token's lock is held; ours is another one and is only ever taken after it. */
static void stop_jobs(struct wr_waker *w)
{
    struct wr_upload *u = wr_container_of(w, struct wr_upload, on_outer);
    wr_cancel_now(&u->stop);
}

/* ---- begin ---- */

static enum wr_status upload_new(struct wr_s3 *s, const struct wr_call *c, struct wr_str key,
    const struct wr_put_opts *o, struct wr_upload **ret, struct wr_err *e)
{
    struct wr_upload *u = wr_alloc(sizeof(*u));
    if (u == NULL)
        return wr_fail(e, WR_NOMEM, "out of memory for an upload");
    u->s = s;
    u->opts = *o;
    wr_cancel_init(&u->stop);
    wr_arena_init(&u->arena, (size_t)64 << 10);
    u->n_jobs = s->cfg.concurrency - 1;
    u->jobs = wr_array(u->n_jobs, sizeof(*u->jobs));
    if (u->jobs == NULL)
        u->n_jobs = 0;
    u->key = wr_arena_str(&u->arena, key);
    u->opts.if_match = wr_arena_str(&u->arena, o->if_match);
    if (u->jobs == NULL || u->key.p == NULL || u->opts.if_match.p == NULL) {
        upload_free(u);
        return wr_fail(e, WR_NOMEM, "out of memory for an upload");
    }
    if (c->cancel != NULL) {
        u->outer = c->cancel;
        u->on_outer.wake = stop_jobs;
        wr_cancel_add(u->outer, &u->on_outer);
    }
    *ret = u;
    return WR_OK;
}

enum wr_status wr_s3_upload_begin(void *self, struct wr_call *c, struct wr_str key,
    const struct wr_put_opts *o, struct wr_upload **out, struct wr_err *e)
{
    struct wr_s3 *s = self;
    struct wr_upload *u = NULL;
    struct wr_s3_talk t;
    struct wr_s3_request r = {.method = "POST", .key = key, .has_body = true};

    enum wr_status st = upload_new(s, c, key, o, &u, e);
    if (st != WR_OK)
        return st;
    wr_s3_talk_init(&t, c, WR_S3_TEXT_MAX);
    wr_s3_param(&r, WR_STR("uploads"), WR_STR(""));
    st = wr_s3_put_headers(s, &t, &r, o, e);
    if (st == WR_OK)
        st = wr_s3_do(s, &t, &r, e);
    if (st == WR_OK)
        st = wr_s3_parse_upload_id(&u->arena, wr_buf_bytes(&t.text), &u->id, e);
    wr_s3_talk_release(&t);
    if (st != WR_OK) {
        upload_free(u);
        return st;
    }
    *out = u;
    return WR_OK;
}

/* ---- parts ---- */

/* Send one part, once. Reads nothing of the upload that changes. */
static enum wr_status send_part(const struct wr_upload *u, const struct wr_call *c, unsigned number,
    struct wr_bytes part, struct tag *ret, struct wr_err *e)
{
    struct wr_s3_talk t;
    struct wr_s3_request r = {.method = "PUT", .key = u->key, .body = part, .has_body = true};

    wr_s3_talk_init(&t, c, WR_S3_TEXT_MAX);
    struct wr_str text = wr_arena_fmt(&t.arena, "%u", number);
    wr_s3_param(&r, WR_STR("partNumber"), text);
    wr_s3_param(&r, WR_STR("uploadId"), u->id);
    wr_s3_header_ssec(u->s, &r);
    enum wr_status st =
        text.p != NULL ? wr_s3_do(u->s, &t, &r, e) : wr_fail(e, WR_NOMEM, "out of memory");
    if (st == WR_OK) {
        struct wr_str tag = wr_http_header(&t.resp, "etag");
        if (tag.n == 0 || tag.n >= TAG_MAX) {
            st = wr_fail(e, WR_IO, "s3 PUT: the answer to a part has no usable ETag");
        } else {
            memcpy(ret->text, tag.p, tag.n);
            ret->text[tag.n] = '\0';
        }
    }
    wr_s3_talk_release(&t);
    return st == WR_OK ? st : wr_wrap(e, st, "part %u", number);
}

static void run_job(void *arg)
{
    struct job *j = arg;
    struct wr_retry retry;
    wr_retry_init(&retry, (uint64_t)wr_mono_ns(j->call.clock) +
                              atomic_fetch_add_explicit(&j->u->s->calls, 1, memory_order_relaxed));
    do {
        j->st = send_part(j->u, &j->call, j->number, wr_buf_bytes(&j->part), &j->tag, &j->err);
    } while (wr_retry_again(&retry, &j->call, j->st));
    atomic_store(&j->ended, true);
}

static void latch(struct wr_upload *u, enum wr_status st, const struct wr_err *err)
{
    if (u->failed != WR_OK)
        return;
    u->failed = st;
    u->err = *err;
}

/* Take in the results of jobs that ended, or of all jobs. */
static void collect(struct wr_upload *u, bool wait)
{
    for (unsigned i = 0; i < u->n_jobs; i++) {
        struct job *j = &u->jobs[i];
        if (!j->started || (!wait && !atomic_load(&j->ended)))
            continue;
        wr_thread_join(&j->thread);
        j->started = false;
        if (j->st == WR_OK)
            u->tags[j->number - 1] = j->tag;
        else
            latch(u, j->st, &j->err);
    }
}

static enum wr_status reserve_tag(struct wr_upload *u, struct wr_err *e)
{
    if (u->n < u->tags_cap)
        return WR_OK;
    if (u->n == WR_S3_PARTS_MAX)
        return wr_fail(e, WR_LIMIT, "more than %d parts: raise part-size", WR_S3_PARTS_MAX);
    unsigned cap = wr_min(u->tags_cap + 64 + u->tags_cap / 2, (unsigned)WR_S3_PARTS_MAX);
    struct tag *more = wr_resize(u->tags, cap, sizeof(*more));
    if (more == NULL)
        return wr_fail(e, WR_NOMEM, "out of memory for an upload");
    u->tags = more;
    u->tags_cap = cap;
    return WR_OK;
}

/* The limit stays with the caller's, which has the other's memory from here on. */
static void swap(struct wr_buf *callers, struct wr_buf *jobs)
{
    struct wr_buf was = *jobs;

    *jobs = *callers;
    *callers = was;
    callers->max = jobs->max;
}

static struct job *free_job(const struct wr_upload *u)
{
    for (unsigned i = 0; i < u->n_jobs; i++)
        if (!u->jobs[i].started)
            return &u->jobs[i];
    return NULL;
}

/* Hand the part to a free job. False when there is none, or no thread for it: the caller's thread
 * sends, then. */
static bool start_job(struct wr_upload *u, const struct wr_call *c, struct wr_buf *part)
{
    struct job *j = free_job(u);
    if (j == NULL)
        return false;
    swap(part, &j->part);
    j->u = u;
    j->number = u->n + 1;
    j->err = (struct wr_err){.code = WR_OK};
    j->call = *c;
    j->call.scratch = NULL; /* not this thread's; every request brings its own */
    j->call.cancel = &u->stop;
    atomic_store(&j->ended, false);
    j->started = wr_thread_start(&j->thread, "weir-part", 0, run_job, j, NULL) == WR_OK;
    if (!j->started)
        swap(part, &j->part);
    return j->started;
}

static enum wr_status report(const struct wr_upload *u, struct wr_err *e)
{
    if (u->failed != WR_OK && e != NULL)
        *e = u->err;
    return u->failed;
}

/* `part`, or what is in `give`, if that is not NULL. */
static enum wr_status upload_part(struct wr_upload *u, struct wr_call *c, struct wr_bytes part,
    struct wr_buf *give, struct wr_err *e)
{
    enum wr_status st = reserve_tag(u, e);
    if (st != WR_OK)
        return st;
    if (give == NULL || !start_job(u, c, give))
        st = send_part(u, c, u->n + 1, part, &u->tags[u->n], e);
    if (st != WR_OK)
        return st;
    u->n++;
    u->size += part.n;
    return WR_OK;
}

enum wr_status wr_s3_upload_give(
    struct wr_upload *u, struct wr_call *c, struct wr_buf *part, struct wr_err *e)
{
    collect(u, false);
    if (u->failed != WR_OK)
        return report(u, e);
    return upload_part(u, c, wr_buf_bytes(part), part, e);
}

enum wr_status wr_s3_upload_part(
    struct wr_upload *u, struct wr_call *c, struct wr_bytes part, struct wr_err *e)
{
    struct wr_buf copy;

    collect(u, false);
    if (u->failed != WR_OK)
        return report(u, e);
    wr_buf_init(&copy, part.n);
    if (free_job(u) != NULL)
        wr_buf_put(&copy, part.p, part.n); /* where that fails the caller's thread sends */
    bool copied = copy.n == part.n && part.n > 0;
    enum wr_status st = upload_part(u, c, part, copied ? &copy : NULL, e);
    wr_buf_release(&copy);
    return st;
}

/* ---- commit and abort ---- */

static bool has_conditions(const struct wr_s3 *s)
{
    return !atomic_load(&s->no_condition) && !atomic_load(&s->no_commit);
}

static enum wr_status commit_once(struct wr_upload *u, struct wr_s3_talk *t, struct wr_bytes body,
    struct wr_str *ret_tag, struct wr_err *e)
{
    struct wr_s3_error failed;
    struct wr_s3_request r = {.method = "POST",
        .key = u->key,
        .body = body,
        .has_body = true,
        .stall_ms = COMMIT_STALL_MS};
    wr_s3_param(&r, WR_STR("uploadId"), u->id);
    wr_s3_header(&r, WR_STR("content-type"), WR_STR("application/xml"));
    if (has_conditions(u->s) && u->opts.if_absent)
        wr_s3_header(&r, WR_STR("if-none-match"), WR_STR("*"));
    else if (has_conditions(u->s) && u->opts.if_match.n > 0)
        wr_s3_header(&r, WR_STR("if-match"), u->opts.if_match);
    wr_s3_header_ssec(u->s, &r);
    enum wr_status st = wr_s3_do(u->s, t, &r, e);
    if (st == WR_OK)
        st = wr_s3_parse_complete(&t->arena, wr_buf_bytes(&t->text), ret_tag, &failed, e);
    if (st == WR_OK && failed.code.n > 0)
        st = wr_s3_fail(u->s, "POST", &t->resp, &failed, e);
    return st;
}

static enum wr_status commit_retried(struct wr_upload *u, struct wr_s3_talk *t,
    struct wr_bytes body, struct wr_str *ret_tag, struct wr_err *e)
{
    struct wr_retry retry;
    struct wr_err err = {.code = WR_OK};
    enum wr_status st;
    wr_retry_init(&retry, (uint64_t)wr_mono_ns(t->call.clock));
    do {
        st = commit_once(u, t, body, ret_tag, &err);
        if (st == WR_UNSUPPORTED && has_conditions(u->s)) {
            atomic_store(&u->s->no_commit, true); /* and it was checked just before */
            st = commit_once(u, t, body, ret_tag, &err);
        }
    } while (wr_retry_again(&retry, &t->call, st));
    if (retry.n > 0 && (st == WR_NOTFOUND || st == WR_CONFLICT))
        return wr_fail(
            e, WR_BUSY, "commit: the first answer was lost and the second is: %s", err.text);
    if (st != WR_OK && e != NULL)
        *e = err;
    return st;
}

static enum wr_status commit(
    struct wr_upload *u, struct wr_call *c, struct wr_object *out, struct wr_err *e)
{
    struct wr_s3_talk t;
    struct wr_buf body;
    struct wr_str tag = {NULL, 0};

    /* Stores that ignore the condition on a commit would replace what is there. This does not
     * decide a race, but it costs one request an upload and catches all but that. */
    enum wr_status st = wr_s3_check_condition(u->s, c, u->key, &u->opts, e);
    if (st != WR_OK)
        return st;
    wr_s3_talk_init(&t, c, WR_S3_TEXT_MAX);
    wr_buf_init(&body, COMMIT_BODY_MAX);
    wr_buf_z(&body, "<CompleteMultipartUpload>");
    for (unsigned i = 0; i < u->n; i++)
        wr_s3_put_part(&body, i + 1, wr_str(u->tags[i].text));
    wr_buf_z(&body, "</CompleteMultipartUpload>");
    st = wr_buf_status(&body);
    if (st != WR_OK)
        st = wr_fail(e, st, "list of parts: %s", wr_status_text(st));
    else
        st = commit_retried(u, &t, wr_buf_bytes(&body), &tag, e);
    if (st == WR_OK && out != NULL) {
        out->size = u->size;
        out->time_ms = u->opts.time_ms != 0 ? u->opts.time_ms : wr_wall_ms(c->clock);
        st = wr_s3_describe(c, u->key, tag, out, e);
    }
    wr_buf_release(&body);
    wr_s3_talk_release(&t);
    return st;
}

/* An upload without parts cannot be committed: its object is an empty one. */
static enum wr_status commit_empty(
    struct wr_upload *u, struct wr_call *c, struct wr_object *out, struct wr_err *e)
{
    static const uint8_t nothing[1];
    return wr_s3_put(u->s, c, u->key, (struct wr_bytes){nothing, 0}, &u->opts, out, e);
}

enum wr_status wr_s3_upload_commit(
    struct wr_upload *u, struct wr_call *c, struct wr_object *out, struct wr_err *e)
{
    collect(u, true);
    enum wr_status st = report(u, e);
    if (st == WR_OK && u->n > 0) {
        st = commit(u, c, out, e);
        if (st == WR_OK) {
            upload_free(u);
            return WR_OK;
        }
    } else if (st == WR_OK) {
        st = commit_empty(u, c, out, e);
    }
    wr_s3_upload_abort(u, c);
    return st;
}

void wr_s3_upload_abort(struct wr_upload *u, struct wr_call *c)
{
    struct wr_s3_talk t;
    struct wr_s3_request r = {.method = "DELETE", .key = u->key};
    const struct wr_clock *clock = wr_clock_system();

    wr_cancel_now(&u->stop);
    collect(u, true);
    /* The caller may have been canceled or be out of time, and the parts would still cost. */
    struct wr_call own = *c;
    own.cancel = NULL;
    own.clock = clock;
    own.deadline_ms = wr_mono_ms(clock) + ABORT_MS;
    wr_s3_talk_init(&t, &own, WR_S3_TEXT_MAX);
    wr_s3_param(&r, WR_STR("uploadId"), u->id);
    enum wr_status gone = wr_s3_do(u->s, &t, &r, NULL);
    (void)gone; /* a lifecycle rule of the bucket is the last resort */
    wr_s3_talk_release(&t);
    upload_free(u);
}
