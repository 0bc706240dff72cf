/*
 * check_values.c - which values count for a database and its replicas, and who said so: the entry,
 * the top of the file, the URL, the environment, nobody.
 */
#include "base/buf.h"
#include "cli/check_int.h"

#define VALUES_MAX 64
#define LINE_MAX   96 /* characters of the line about what is built in */

struct value {
    const char *key, *text;
    bool given;
    bool of_env; /* maybe for other programs */
};

/* The values of one database or replica on their way to the printer. */
struct values {
    struct wr_check *k;
    const char *const *settings; /* of the configuration */
    const struct wr_config_from *from;
    struct value list[VALUES_MAX];
    size_t n;
    struct wr_buf built_in;
    json_t *json;
    const char *label; /* of the next line */
};

static const char *keep(struct wr_check *k, const char *text)
{
    struct wr_str copy = wr_arena_str(k->cli->arena, wr_str(text));

    k->lost = k->lost || !copy.p;
    return copy.p ? copy.p : "";
}

/* Where `key` stands in the file; NULL: nowhere there. */
static const struct wr_config_from *find_from(const struct values *v, const char *key)
{
    for (size_t i = 0; v->from && v->settings[2 * i]; i++)
        if (wr_str_eq(wr_str(v->settings[2 * i]), wr_str(key)) && v->from[i].line > 0)
            return &v->from[i];
    return NULL;
}

static bool is_key_of_account(const char *key)
{
    return wr_str_eq(wr_str(key), WR_STR("access-key-id"));
}

static void print_built_in(struct values *v)
{
    if (v->built_in.n > 0) {
        wr_check_line(v->k, v->label, "built in: " WR_FMT, WR_ARG(wr_buf_view(&v->built_in)));
        v->label = "";
    }
    wr_buf_clear(&v->built_in);
}

static void add_built_in(struct values *v, const char *key, const char *text)
{
    if (v->built_in.n + strlen(key) + strlen(text) + 3 > LINE_MAX)
        print_built_in(v);
    wr_buf_fmt(&v->built_in, "%s%s %s", v->built_in.n ? ", " : "", key, text[0] ? text : "none");
}

static void add_json(struct values *v, const weir_setting *s, const char *text, const char *from,
    const struct wr_config_from *place)
{
    json_t *o = json_pack("{s:s, s:s?, s:s}", "key", s->key, "value",
        wr_cli_shown(v->k->cli->arena, text), "from", from);

    if (o && s->env && json_object_set_new(o, "variable", json_string(s->env)) != 0)
        v->k->lost = true;
    if (o && place && json_object_set_new(o, "line", json_integer(place->line)) != 0)
        v->k->lost = true;
    if (json_array_append_new(v->json, o) != 0)
        v->k->lost = true;
}

/* One value that counts. */
static void take(void *arg, const weir_setting *s)
{
    static const char *const words[] = {[WEIR_FROM_URL] = "url",
        [WEIR_FROM_SETTINGS] = "built in", /* by whoever read the file or the arguments */
        [WEIR_FROM_ENV] = "environment",
        [WEIR_FROM_FILE] = "credentials file",
        [WEIR_FROM_DEFAULT] = "built in"};
    struct values *v = arg;
    const struct wr_config_from *place =
        s->from == WEIR_FROM_SETTINGS ? find_from(v, s->key) : NULL;
    const char *from = words[s->from];
    bool secret = !s->value || is_key_of_account(s->key);
    const char *text = secret ? "(set, not shown)" : s->value;
    const char *file = v->k->config->file;

    if (v->n == VALUES_MAX)
        return;
    if (place)
        from = place->at_top ? "all" : "own";
    v->list[v->n++] = (struct value){.key = keep(v->k, s->key),
        .text = keep(v->k, secret ? "?" : s->value),
        .given = !wr_str_eq(wr_str(from), WR_STR("built in")),
        .of_env = s->from == WEIR_FROM_ENV};
    add_json(v, s, secret ? NULL : text, from, place);
    if (!v->list[v->n - 1].given) {
        if (!wr_str_eq(wr_str(text), WR_STR("0"))) /* nothing of a kind is kept: no news */
            add_built_in(v, s->key, text);
        return;
    }
    if (place)
        wr_check_line(v->k, v->label, "%s %s (%s%s:%lu)", s->key, text,
            place->at_top ? "of all, " : "", file, (unsigned long)place->line);
    else
        wr_check_line(v->k, v->label, "%s %s (%s%s%s)", s->key, text, from, s->env ? " " : "",
            s->env ? s->env : "");
    v->label = "";
}

static void begin(struct values *v, struct wr_check *k, const char *const *settings,
    const struct wr_config_from *from)
{
    *v = (struct values){
        .k = k, .settings = settings, .from = from, .json = json_array(), .label = "settings"};
    wr_buf_init(&v->built_in, 4096);
}

static void end(struct values *v)
{
    print_built_in(v);
    wr_buf_release(&v->built_in);
    wr_check_set(v->k, "settings", v->json);
}

static const struct value *find(const struct values *v, const char *key)
{
    for (size_t i = 0; i < v->n; i++)
        if (wr_str_eq(wr_str(v->list[i].key), wr_str(key)))
            return &v->list[i];
    return NULL;
}

static const char *text_of(const struct values *v, const char *key)
{
    const struct value *x = find(v, key);

    return x ? x->text : NULL;
}

/* 0: there is none. */
static int64_t span_ms(const struct values *v, const char *key)
{
    const struct value *x = find(v, key);
    int64_t ns = 0;

    if (x)
        (void)wr_parse_duration(wr_str(x->text), &ns); /* it is one: whoever told it had checked */
    return ns / 1000000;
}

static bool is_true(const struct values *v, const char *key)
{
    const struct value *x = find(v, key);
    bool yes = false;

    return x && wr_parse_bool(wr_str(x->text), &yes) && yes;
}

/* By the settings as they were given, of which not all count. */
static const char *has(const void *arg, const char *key)
{
    const struct values *v = arg;
    const struct value *x = find(v, key);
    const char *setting = wr_config_setting(v->settings, key);

    if (setting)
        return setting;
    return x && x->given ? x->text : NULL;
}

static void say_idle(void *arg, const char *key, const char *why)
{
    const struct values *v = arg;
    const struct wr_config_from *place = find_from(v, key);
    const struct value *x = find(v, key);

    if (x && x->of_env)
        return;
    if (place)
        wr_check_find(v->k, WR_CHECK_WARNING, "%s:%lu: \"%s\" has no effect: %s",
            v->k->config->file, (unsigned long)place->line, key, why);
    else
        wr_check_find(v->k, WR_CHECK_WARNING, "\"%s\" has no effect: %s", key, why);
}

static void take_levels(const char *text, struct wr_check_history *ret)
{
    struct wr_str rest = wr_str(text), one;
    int64_t ns;

    while (rest.n > 0 && ret->levels < wr_countof(ret->level_ms)) {
        (void)wr_str_cut(rest, ',', &one, &rest);
        if (wr_parse_duration(one, &ns))
            ret->level_ms[ret->levels++] = ns / 1000000;
    }
}

static void take_history(const struct values *v, struct wr_check_history *ret)
{
    static const char *const counts[] = {"snapshot.keep", "snapshot.keep-hourly",
        "snapshot.keep-daily", "snapshot.keep-weekly", "snapshot.keep-monthly",
        "snapshot.keep-yearly"};
    const struct value *levels = find(v, "levels");

    *ret = (struct wr_check_history){.snapshot_ms = span_ms(v, "snapshot.interval"),
        .keep_ms = span_ms(v, "snapshot.retention"),
        .l0_ms = span_ms(v, "l0-retention"),
        .verify_ms = span_ms(v, "validation.interval"),
        .retains = is_true(v, "retention.enabled")};
    if (levels)
        take_levels(levels->text, ret);
    for (size_t i = 0; i < wr_countof(counts); i++) {
        const struct value *x = find(v, counts[i]);
        uint64_t n = 0;

        if (x && wr_parse_u64(wr_str(x->text), &n))
            ret->kept += n;
    }
}

bool wr_check_db_values(
    struct wr_check *k, const struct wr_config_db *db, struct wr_check_history *ret)
{
    struct values v;
    weir_error err = {0};
    bool ok;

    begin(&v, k, db->settings, db->from);
    ok = weir_db_settings(db->settings, take, &v, &err) == WEIR_OK;
    end(&v);
    if (!ok) {
        wr_check_find(k, WR_CHECK_ERROR, "settings: %s", err.message);
        return false;
    }
    wr_check_idle_db(has, &v, say_idle, &v);
    take_history(&v, ret);
    return true;
}

static void judge_transport(struct wr_check *k, const struct values *v)
{
    const struct value *endpoint = find(v, "endpoint");
    struct wr_str e = wr_str(endpoint ? endpoint->text : "");

    if (is_true(v, "skip-verify"))
        wr_check_find(k, WR_CHECK_WARNING,
            "skip-verify accepts any certificate: whoever is on the way can read and change the "
            "backup; give ca-file instead");
    if (wr_str_starts(e, WR_STR("http://")) && !wr_str_starts(e, WR_STR("http://127.")) &&
        !wr_str_starts(e, WR_STR("http://localhost")))
        wr_check_find(k, WR_CHECK_WARNING,
            "the endpoint is http://: the whole database goes over the network unencrypted");
}

bool wr_check_replica_values(
    struct wr_check *k, const struct wr_config_replica *r, struct wr_check_store *ret)
{
    struct values v;
    weir_error err = {0};
    const weir_setting sync = {
        .key = "sync-interval", .value = r->sync_interval, .from = WEIR_FROM_SETTINGS};
    const struct value *endpoint;
    int64_t ns = 0;
    bool ok;

    begin(&v, k, r->settings, r->from);
    take(&v, &sync);
    ok = weir_store_settings(r->url, r->settings, take, &v, &err) == WEIR_OK;
    end(&v);
    if (!ok) {
        wr_check_find(k, WR_CHECK_ERROR, "%s", err.message);
        return false;
    }
    wr_check_idle_replica(r->type, has, &v, say_idle, &v);
    judge_transport(k, &v);
    (void)wr_parse_duration(wr_str(r->sync_interval), &ns); /* checked when it was read */
    endpoint = find(&v, "endpoint");
    *ret = (struct wr_check_store){.sync_ms = ns / 1000000,
        .is_s3 = wr_str_eq(wr_str(r->type), WR_STR("s3")),
        .kms_key = text_of(&v, "sse-kms-key-id"),
        .bucket = text_of(&v, "bucket"),
        .prefix = text_of(&v, "prefix"),
        .region = text_of(&v, "region"),
        .elsewhere = endpoint && !strstr(endpoint->text, "amazonaws.com")};
    if (find(&v, "part-size"))
        (void)wr_parse_size(wr_str(find(&v, "part-size")->text), &ret->part_size);
    return true;
}
