/*
 * watch.c - inotify events to callbacks. Knows directories and names, nothing of databases.
 *
 *   poll() sleeps without end  ->  read() one batch  ->  mark what is named in it  ->  call each
 *   once  ->  rest a millisecond, if it is not the first for a while
 *
 * Marking makes one call of a batch, however many events named the file; the rest lets a batch
 * gather. The first event after a pause is never late, the next ones at most by the rest.
 *
 * A place in the table is a kernel's descriptor and a name. For a directory, the name is that of a
 * file in it. inotify gives the same descriptor for each path to the same directory, so several
 * subscriptions share it without comparing paths, and never gives it out again (before 2^31
 * others), so events that arrive late for a directory no longer watched match nothing. Hence
 * nothing is to be done when a directory vanishes: its places match nothing more.
 *
 * For an armed file it is the descriptor of the file itself, and no name. The kernel drops it with
 * the first event and says so (IN_IGNORED); then the place goes, too.
 *
 * When the kernel's queue overflows, events are lost: every callback is made, and nothing counts as
 * armed any more.
 */
#include "run/watch.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/sync.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#define REST_MS  1
#define ALONE_NS ((int64_t)2 * 1000000) /* after the last event: nothing gathers */

#define SUBS_MAX   ((size_t)1 << 20)
#define BATCH_SIZE ((size_t)16 << 10) /* bytes; a few hundred events */
#define EVENTS     ((uint32_t)(IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_ONLYDIR))

struct sub {
    char *path;            /* frozen; the directory as given, and name */
    const char *name;      /* frozen; the end of path */
    uint64_t id;           /* frozen; never 0 */
    wr_watch_fn *fn;       /* frozen */
    void *arg;             /* frozen */
    struct wr_link marked; /* in the watch's list while its call is due ... */
    bool only_written;     /* ... which will say so */
};

struct place {
    int wd;           /* the kernel's descriptor, of a directory or of an armed file */
    const char *name; /* of the file in that directory; "" if it is the file */
    struct sub *sub;
};

struct wr_watch {
    int inotify_fd; /* frozen; non-blocking */
    int stop_fd;    /* frozen; -1 in manual mode */
    struct wr_thread thread;

    struct wr_mutex mutex; /* guards what follows */
    struct place *places;  /* sorted by descriptor, then name */
    size_t count, cap;
    uint64_t id_last;
    struct wr_list marked;
    uint64_t calling_id;   /* whose fn runs now; 0: nobody's */
    pthread_t caller;      /* valid while calling_id is not 0 */
    struct wr_cond called; /* broadcast when it has returned */
    void (*tell)(void *arg);
    void *tell_arg;
};

#define TELL_ID UINT64_MAX /* calling_id of `tell` */

static struct sub *sub_of(struct wr_link *link)
{
    return wr_container_of(link, struct sub, marked);
}

static void sub_free(struct sub *sub)
{
    wr_free(sub->path);
    wr_free(sub);
}

/* Index of the first place that is not before (wd, name). */
static size_t place_find(const struct wr_watch *w, int wd, const char *name)
{
    size_t low = 0;
    size_t high = w->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct place *p = &w->places[mid];

        if (p->wd < wd || (p->wd == wd && strcmp(p->name, name) < 0))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool is_watched(const struct wr_watch *w, int wd)
{
    size_t i = place_find(w, wd, ""); /* the first of its places */

    return i < w->count && w->places[i].wd == wd;
}

static void place_take_out(struct wr_watch *w, size_t at)
{
    w->count--;
    memmove(&w->places[at], &w->places[at + 1], (w->count - at) * sizeof(w->places[0]));
}

static void mark(struct wr_watch *w, struct sub *sub, bool written)
{
    if (!sub->marked.next) {
        wr_list_push(&w->marked, &sub->marked);
        sub->only_written = true;
    }
    sub->only_written = sub->only_written && written;
}

static void mark_named(struct wr_watch *w, int wd, const char *name)
{
    for (size_t i = place_find(w, wd, name); i < w->count; i++) {
        const struct place *p = &w->places[i];

        if (p->wd != wd || strcmp(p->name, name) != 0)
            return;
        mark(w, p->sub, !name[0]);
    }
}

/* The kernel has dropped the descriptor, with what may have been armed just before. Places of a
 * directory stay: they are their subscriptions. */
static void disarmed(struct wr_watch *w, int wd)
{
    size_t i = place_find(w, wd, "");

    while (i < w->count && w->places[i].wd == wd && !w->places[i].name[0]) {
        struct sub *sub = w->places[i].sub;

        /* Behind the write that it was armed for it means nothing more; else it is gone. */
        mark(w, sub, sub->marked.next && sub->only_written);
        place_take_out(w, i);
    }
}

static void overflowed(struct wr_watch *w)
{
    for (size_t i = w->count; i-- > 0;) {
        mark(w, w->places[i].sub, false);
        if (!w->places[i].name[0]) {
            (void)inotify_rm_watch(w->inotify_fd, w->places[i].wd); /* if the kernel has not yet */
            place_take_out(w, i);
        }
    }
}

/* Mark what the events of one read name. The kernel writes whole events only, with the name padded
 * by NULs to `len`; an event about a watched file, or a directory itself, has none. */
static void mark_batch(struct wr_watch *w, const char *batch, size_t size)
{
    size_t off = 0;

    while (off + sizeof(struct inotify_event) <= size) {
        struct inotify_event event;

        memcpy(&event, batch + off, sizeof(event));
        off += sizeof(event);
        assert(event.len <= size - off);
        if (event.mask & IN_Q_OVERFLOW)
            overflowed(w);
        else if (event.mask & IN_IGNORED)
            disarmed(w, event.wd);
        else
            mark_named(w, event.wd, event.len ? batch + off : "");
        off += event.len;
    }
}

static void call_tell(struct wr_watch *w)
{
    void (*fn)(void *arg) = w->tell;
    void *arg = w->tell_arg;

    if (!fn)
        return;
    w->calling_id = TELL_ID;
    w->caller = pthread_self();
    wr_mutex_unlock(&w->mutex);
    fn(arg);
    wr_mutex_lock(&w->mutex);
    w->calling_id = 0;
    wr_cond_broadcast(&w->called);
}

/* Call what is marked, without the lock: a callback wakes actors. */
static void call_marked(struct wr_watch *w)
{
    struct wr_link *link;

    while ((link = wr_list_first(&w->marked)) != NULL) {
        struct sub *sub = sub_of(link);
        wr_watch_fn *fn = sub->fn;
        void *arg = sub->arg;
        bool only_written = sub->only_written;

        wr_list_remove(link);
        w->calling_id = sub->id;
        w->caller = pthread_self();
        wr_mutex_unlock(&w->mutex);
        fn(arg, only_written);
        wr_mutex_lock(&w->mutex);
        w->calling_id = 0;
        wr_cond_broadcast(&w->called);
    }
}

/* Read and mark one batch. False: nothing is there. */
static bool read_batch(struct wr_watch *w)
{
    char batch[BATCH_SIZE];
    ssize_t n = read(w->inotify_fd, batch, sizeof(batch));

    if (n <= 0)
        return false;
    wr_mutex_lock(&w->mutex);
    mark_batch(w, batch, (size_t)n);
    call_tell(w);
    wr_mutex_unlock(&w->mutex);
    return true;
}

static void watch_main(void *arg)
{
    struct wr_watch *w = arg;
    struct pollfd fds[] = {
        {.fd = w->inotify_fd, .events = POLLIN},
        {.fd = w->stop_fd, .events = POLLIN},
    };

    int64_t last_ns = INT64_MIN;

    for (;;) {
        int n = poll(fds, wr_countof(fds), -1);
        int64_t now_ns = wr_mono_ns(wr_clock_system());
        bool alone = last_ns == INT64_MIN || now_ns - last_ns >= ALONE_NS;

        if (n < 0 && errno != EINTR)
            return; /* ENOMEM: hints end, the slow scan goes on */
        if (n <= 0)
            continue;
        if (fds[1].revents)
            return;
        last_ns = now_ns;
        if (read_batch(w)) {
            wr_mutex_lock(&w->mutex);
            call_marked(w);
            wr_mutex_unlock(&w->mutex);
        }
        if (!alone && poll(&fds[1], 1, REST_MS) > 0)
            return;
    }
}

/* What errno means where a limit of the kernel's is no fault of the path's. */
static enum wr_status fail_inotify(struct wr_err *e, int errnum, const char *what)
{
    if (errnum == ENOSYS)
        return wr_fail(e, WR_UNSUPPORTED, "%s: no inotify on this system", what);
    if (errnum == EMFILE || errnum == ENFILE)
        return wr_fail(e, WR_LIMIT, "%s: too many inotify instances or open files", what);
    if (errnum == ENOSPC)
        return wr_fail(e, WR_LIMIT, "%s: fs.inotify.max_user_watches reached", what);
    return wr_fail_errno(e, errnum, "%s", what);
}

static void watch_release(struct wr_watch *w)
{
    if (w->stop_fd >= 0)
        (void)close(w->stop_fd); /* nothing was written that could be lost */
    if (w->inotify_fd >= 0)
        (void)close(w->inotify_fd);
    for (size_t i = 0; i < w->count; i++) {
        if (w->places[i].name[0]) /* each has one such place */
            sub_free(w->places[i].sub);
    }
    wr_free(w->places);
    wr_cond_release(&w->called);
    wr_mutex_release(&w->mutex);
    wr_free(w);
}

enum wr_status wr_watch_new(bool manual, struct wr_watch **ret, struct wr_err *e)
{
    struct wr_watch *w = wr_alloc(sizeof(*w));
    enum wr_status st = WR_OK;

    if (!w)
        return wr_fail(e, WR_NOMEM, "file watch");
    wr_mutex_init(&w->mutex);
    wr_cond_init(&w->called);
    wr_list_init(&w->marked);
    w->stop_fd = -1;
    w->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (w->inotify_fd < 0) {
        st = fail_inotify(e, errno, "file watch");
        goto out;
    }
    if (!manual) {
        w->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (w->stop_fd < 0) {
            st = fail_inotify(e, errno, "file watch");
            goto out;
        }
        st = wr_thread_start(&w->thread, "weir-watch", 0, watch_main, w, e);
    }
out:
    if (st != WR_OK) {
        watch_release(w);
        return st;
    }
    *ret = w;
    return WR_OK;
}

void wr_watch_free(struct wr_watch *w)
{
    if (!w)
        return;
    if (w->stop_fd >= 0) {
        const uint64_t one = 1;
        ssize_t n = write(w->stop_fd, &one, sizeof(one));

        assert(n == (ssize_t)sizeof(one)); /* the counter is 0: it cannot be full */
        (void)n;
        wr_thread_join(&w->thread);
    }
    watch_release(w);
}

/* Room for one more place. */
static enum wr_status places_grow(struct wr_watch *w, struct wr_err *e)
{
    size_t cap = w->cap ? w->cap * 2 : 8;
    struct place *places;

    if (w->count < w->cap)
        return WR_OK;
    if (w->count >= SUBS_MAX)
        return wr_fail(e, WR_LIMIT, "more than %zu files watched", SUBS_MAX);
    places = wr_resize(w->places, cap, sizeof(*places));
    if (!places)
        return wr_fail(e, WR_NOMEM, "%zu watched files", cap);
    w->places = places;
    w->cap = cap;
    return WR_OK;
}

static void place_put(struct wr_watch *w, const struct place *p)
{
    size_t at = place_find(w, p->wd, p->name);

    assert(w->count < w->cap);
    memmove(&w->places[at + 1], &w->places[at], (w->count - at) * sizeof(w->places[0]));
    w->places[at] = *p;
    w->count++;
}

/* Have the next write to the file told. */
static enum wr_status arm(struct wr_watch *w, struct sub *sub, struct wr_err *e)
{
    enum wr_status st = places_grow(w, e);
    int wd;

    if (st != WR_OK)
        return st;
    wd = inotify_add_watch(w->inotify_fd, sub->path, IN_MODIFY | IN_ONESHOT);
    if (wd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return WR_OK;
    if (wd < 0)
        return fail_inotify(e, errno, sub->path);
    for (size_t i = place_find(w, wd, ""); i < w->count && w->places[i].wd == wd; i++) {
        if (w->places[i].sub == sub)
            return WR_OK; /* it was armed and is, once */
    }
    place_put(w, &(struct place){.wd = wd, .name = "", .sub = sub});
    return WR_OK;
}

/* Subscribe `sub`, whose path, name, fn and arg are set. */
static enum wr_status subscribe(
    struct wr_watch *w, const char *dir, struct sub *sub, struct wr_err *e)
{
    enum wr_status st = places_grow(w, e);
    int wd;

    if (st != WR_OK)
        return st;
    /* Under the lock: an event that comes at once finds the subscription. */
    wd = inotify_add_watch(w->inotify_fd, dir, EVENTS);
    if (wd < 0)
        return fail_inotify(e, errno, dir);
    sub->id = ++w->id_last;
    place_put(w, &(struct place){.wd = wd, .name = sub->name, .sub = sub});
    return WR_OK;
}

/* One by one: ids are in no order here, and 10,000 of them take some ten microseconds. */
static struct sub *sub_find(const struct wr_watch *w, uint64_t id)
{
    for (size_t i = 0; i < w->count; i++) {
        if (w->places[i].sub->id == id)
            return w->places[i].sub;
    }
    assert(false);
    return NULL;
}

/* Without its callback: nobody else may hold on to it. */
static void unsubscribe(struct wr_watch *w, const struct sub *sub)
{
    for (size_t i = w->count; i-- > 0;) {
        int wd = w->places[i].wd;

        if (w->places[i].sub != sub)
            continue;
        place_take_out(w, i);
        /* Fails where the file or directory is gone, and the kernel's watch with it. */
        if (!is_watched(w, wd))
            (void)inotify_rm_watch(w->inotify_fd, wd);
    }
}

enum wr_status wr_watch_add(struct wr_watch *w, const char *dir, const char *name, wr_watch_fn *fn,
    void *arg, uint64_t *ret_id, struct wr_err *e)
{
    size_t n = strlen(name), n_dir = strlen(dir);
    struct sub *sub;
    enum wr_status st;

    if (n == 0 || n > NAME_MAX || strchr(name, '/'))
        return wr_fail(e, WR_MISUSE, "watch \"%s\": not the name of a file", name);
    sub = wr_alloc(sizeof(*sub));
    if (!sub || !(sub->path = wr_alloc(n_dir + n + 2))) {
        wr_free(sub);
        return wr_fail(e, WR_NOMEM, "watch %s", name);
    }
    sub->fn = fn;
    sub->arg = arg;
    (void)snprintf(sub->path, n_dir + n + 2, "%s/%s", dir, name);
    sub->name = sub->path + n_dir + 1;
    wr_mutex_lock(&w->mutex);
    st = subscribe(w, dir, sub, e);
    if (st == WR_OK) {
        st = arm(w, sub, e);
        if (st != WR_OK)
            unsubscribe(w, sub);
    }
    if (st == WR_OK)
        *ret_id = sub->id;
    wr_mutex_unlock(&w->mutex);
    if (st != WR_OK)
        sub_free(sub);
    return st;
}

enum wr_status wr_watch_arm(struct wr_watch *w, uint64_t id, struct wr_err *e)
{
    enum wr_status st;

    wr_mutex_lock(&w->mutex);
    st = arm(w, sub_find(w, id), e);
    wr_mutex_unlock(&w->mutex);
    return st;
}

void wr_watch_remove(struct wr_watch *w, uint64_t id)
{
    struct sub *sub;

    wr_mutex_lock(&w->mutex);
    assert(w->calling_id != id || !pthread_equal(w->caller, pthread_self()));
    sub = sub_find(w, id);
    unsubscribe(w, sub);
    if (sub->marked.next)
        wr_list_remove(&sub->marked);
    while (w->calling_id == id)
        wr_cond_wait(&w->called, &w->mutex);
    wr_mutex_unlock(&w->mutex);
    sub_free(sub);
}

void wr_watch_tell(struct wr_watch *w, void (*fn)(void *arg), void *arg)
{
    wr_mutex_lock(&w->mutex);
    assert(w->calling_id != TELL_ID || !pthread_equal(w->caller, pthread_self()));
    w->tell = fn;
    w->tell_arg = arg;
    while (w->calling_id == TELL_ID)
        wr_cond_wait(&w->called, &w->mutex);
    wr_mutex_unlock(&w->mutex);
}

void wr_watch_poll(struct wr_watch *w)
{
    assert(w->stop_fd < 0);
    while (read_batch(w))
        ;
    wr_mutex_lock(&w->mutex);
    call_marked(w);
    wr_mutex_unlock(&w->mutex);
}
