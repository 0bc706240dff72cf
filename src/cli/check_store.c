/*
 * check_store.c - a probe of the store of a replica, each step with its time, and what a failure
 * means to who has to mend it.
 */
#include "base/clock.h"
#include "base/file.h"
#include "cli/check_int.h"

#include <sys/stat.h>
#include <unistd.h>

#define SKEW_MS ((int64_t)60000) /* that clocks may be apart */

struct probing {
    struct wr_check *k;
    const char *url; /* for people */
    bool is_s3, kms, retains;
    json_t *steps;
    char line[256];
    size_t n;
    int put_code;
};

static const char *const names[] = {
    [WEIR_PROBE_PUT] = "put",
    [WEIR_PROBE_GET] = "range",
    [WEIR_PROBE_LIST] = "list",
    [WEIR_PROBE_CREATE] = "create once",
    [WEIR_PROBE_UPLOAD] = "parts",
    [WEIR_PROBE_DELETE] = "delete",
};

static void judge(struct probing *p, const weir_probe_step *s)
{
    enum wr_check_weight weight = wr_check_step_weight(s->step, s->code, p->retains);
    const char *more = "";

    /* It may be there, but who cannot be reached says nothing new. */
    if (s->step == WEIR_PROBE_DELETE && p->put_code != WEIR_OK)
        return;
    if (s->step == WEIR_PROBE_CREATE && s->code == WEIR_UNSUPPORTED)
        more = ": of two that replicate to the same place at the same moment both may go on";
    if (s->code == WEIR_AUTH && p->is_s3)
        wr_check_find(p->k, weight, "%s: %s: %s; it needs %s", p->url, names[s->step], s->text,
            wr_check_action(s->step, p->kms));
    else
        wr_check_find(p->k, weight, "%s: %s: %s%s", p->url, names[s->step], s->text, more);
}

static void hear(void *arg, const weir_probe_step *s)
{
    struct probing *p = arg;
    json_t *o = json_pack("{s:s, s:b, s:f}", "step", names[s->step], "ok", s->code == WEIR_OK, "ms",
        (double)s->ns / 1e6);

    if (s->code != WEIR_OK && o &&
        (json_object_set_new(o, "error", json_string(wr_cli_shown(p->k->cli->arena, s->text))) !=
                0 ||
            json_object_set_new(o, "code", json_string(weir_strerror(s->code))) != 0))
        p->k->lost = true;
    if (s->code == WEIR_AUTH && p->is_s3 && o &&
        json_object_set_new(o, "needs", json_string(wr_check_action(s->step, p->kms))) != 0)
        p->k->lost = true;
    if (json_array_append_new(p->steps, o) != 0)
        p->k->lost = true;
    p->n += (size_t)snprintf(p->line + p->n, sizeof(p->line) - p->n, "%s%s %s", p->n ? ", " : "",
        names[s->step], s->code != WEIR_OK ? "FAILED after " : "");
    p->n += (size_t)snprintf(
        p->line + p->n, sizeof(p->line) - p->n, "%.*f ms", s->ns < 10000000, (double)s->ns / 1e6);
    if (s->step == WEIR_PROBE_PUT)
        p->put_code = s->code;
    if (s->code != WEIR_OK)
        judge(p, s);
}

static void tell_skew(struct probing *p, const weir_probe_result *r)
{
    if (!r->dated)
        return;
    wr_check_number(p->k, "clock_skew_ms", (double)r->skew_ms);
    if (r->skew_ms > SKEW_MS || r->skew_ms < -SKEW_MS)
        wr_check_find(p->k, WR_CHECK_WARNING,
            "%s: its clock is %lld s %s this machine's: times of restore points are by this one, "
            "set it",
            p->url, (long long)(r->skew_ms < 0 ? -r->skew_ms : r->skew_ms) / 1000,
            r->skew_ms < 0 ? "behind" : "ahead of");
}

/* The directories that a probe of a file store makes, of which the first is missing now: *ret_n is
 * the length of its path. The path; NULL: none is. */
static char *missing_dirs(struct wr_check *k, const struct wr_config_replica *r, size_t *ret_n)
{
    struct wr_str rest = wr_str(r->url), path, query;
    struct stat s;
    char *dir;

    if (!wr_str_eq(wr_str(r->type), WR_STR("file")) || !wr_str_starts(rest, WR_STR("file://")))
        return NULL;
    (void)wr_str_cut(wr_str_skip(rest, strlen("file://")), '?', &path, &query);
    dir = wr_arena_alloc(k->cli->arena, path.n + 2);
    if (!dir || path.n == 0)
        return NULL;
    (void)snprintf(
        dir, path.n + 2, "%s" WR_FMT, path.p[0] == '/' ? "" : "/", WR_ARG(path)); /* it fits */
    *ret_n = 0;
    for (size_t i = 1; *ret_n == 0 && i <= strlen(dir); i++) {
        char was = dir[i];

        if (was != '/' && was != '\0')
            continue;
        dir[i] = '\0';
        if (lstat(dir, &s) != 0)
            *ret_n = i;
        dir[i] = was;
    }
    return *ret_n ? dir : NULL;
}

/* Take them away again, unless somebody uses them by now. */
static void remove_dirs(char *dir, size_t first_n)
{
    for (size_t n = strlen(dir); n >= first_n; n--) {
        if (dir[n] != '\0' && dir[n] != '/')
            continue;
        dir[n] = '\0';
        if (dir[n - 1] != '/' && rmdir(dir) != 0)
            return;
    }
}

void wr_check_probe(struct wr_check *k, weir *w, weir_cancel *cancel,
    const struct wr_config_replica *r, const struct wr_check_store *store, bool retains,
    int64_t step_ms)
{
    const weir_probe_options opt = {
        .struct_size = sizeof(opt), .step_ms = step_ms, .settings = r->settings, .cancel = cancel};
    struct probing p = {.k = k,
        .url = wr_cli_url(k->cli, r->url),
        .is_s3 = store->is_s3,
        .kms = store->kms_key != NULL,
        .retains = retains,
        .steps = json_array()};
    weir_probe_result result = {.struct_size = sizeof(result)};
    size_t first_n = 0;
    char *dirs = missing_dirs(k, r, &first_n);
    weir_error err = {0};
    int code;

    wr_check_set(k, "probe", p.steps);
    code = weir_store_probe(w, r->url, &opt, hear, &p, &result, &err);
    if (dirs)
        remove_dirs(dirs, first_n);
    if (p.n > 0)
        wr_check_line(k, "probe", "%s", p.line);
    else if (code != WEIR_OK)
        wr_check_find(k, WR_CHECK_ERROR, "%s: %s", p.url, err.message);
    if (result.left > 0 && p.put_code == WEIR_OK)
        wr_check_find(k, WR_CHECK_NOTE,
            "%s: %u objects that are called weir-probe-... stay there, and do no harm: delete them",
            p.url, result.left);
    tell_skew(&p, &result);
}
