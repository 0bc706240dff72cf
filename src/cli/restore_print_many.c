/*
 * restore_print_many.c - what became of each of many restores, and the exit code for all.
 */
#include "cli/progress.h"
#include "cli/restore_int.h"

static const char *word_of(const struct wr_restore_flags *flags, enum wr_many_word word)
{
    static const char *const words[] = {
        [WR_MANY_CANCELED] = "canceled",
        [WR_MANY_RESTORED] = "restored",
        [WR_MANY_PRESENT] = "present",
        [WR_MANY_NO_BACKUP] = "no backup",
        [WR_MANY_FAILED] = "failed",
    };

    return flags->dry_run && word == WR_MANY_RESTORED ? "to restore" : words[word];
}

static const char *text(struct wr_cli *cli, const char *s)
{
    const char *shown = wr_cli_shown(cli->arena, s);

    return shown ? shown : "out of memory";
}

struct texts {
    char txid[24], time[WR_TIME_TEXT_MAX], size[WR_SIZE_TEXT_MAX];
};

static void format(const struct wr_many_item *x, struct texts *t)
{
    *t = (struct texts){.txid = "-", .size = "-"};
    if (x->word != WR_MANY_RESTORED)
        return;
    if (x->txid)
        (void)snprintf(t->txid, sizeof(t->txid), "%016llx", (unsigned long long)x->txid);
    if (x->time_ms)
        wr_format_time_seconds(t->time, x->time_ms);
    wr_size_text(t->size, x->bytes);
}

static const char *note_of(struct wr_cli *cli, const struct wr_many_item *x)
{
    if (x->word == WR_MANY_RESTORED)
        return text(cli, x->url);
    return x->word == WR_MANY_PRESENT ? "left alone" : text(cli, x->why);
}

static int print_table(struct wr_cli *cli, const struct wr_restore_flags *flags,
    const struct wr_many_item *items, size_t n)
{
    static const char *const header[] = {"database", "result", "txid", "size", "replica, or why"};
    struct wr_table t;

    wr_table_init(&t, cli->arena, wr_countof(header));
    wr_table_add(&t, header);
    for (size_t i = 0; i < n; i++) {
        struct texts x;
        const char *const cells[] = {text(cli, items[i].path), word_of(flags, items[i].word),
            x.txid, x.size, note_of(cli, &items[i])};

        format(&items[i], &x);
        wr_table_add(&t, cells);
    }
    return wr_table_print(&t) ? WR_EXIT_OK : wr_cli_fail("out of memory", NULL);
}

/* NULL: out of memory. */
static json_t *object(
    struct wr_cli *cli, const struct wr_restore_flags *flags, const struct wr_many_item *x)
{
    struct texts t;
    json_t *o =
        json_pack("{s:s, s:s}", "db_path", text(cli, x->path), "result", word_of(flags, x->word));

    format(x, &t);
    if (o && x->word == WR_MANY_RESTORED)
        (void)json_object_update_new(
            o, json_pack("{s:s, s:s, s:I, s:s, s:I}", "replica", text(cli, x->url), "txid", t.txid,
                   "size", (json_int_t)x->bytes, "timestamp", t.time, "duration_ms",
                   (json_int_t)x->took_ms));
    else if (o && x->word != WR_MANY_PRESENT)
        (void)json_object_set_new(o, "error", json_string(text(cli, x->why)));
    return o;
}

static int print_json(struct wr_cli *cli, const struct wr_restore_flags *flags,
    const struct wr_many_item *items, size_t n, const size_t counts[WR_MANY_WORDS])
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(list, object(cli, flags, &items[i])) != 0) {
            json_decref(list);
            list = NULL;
            break;
        }
    return wr_json_print(json_pack("{s:o, s:I, s:I, s:I, s:I}", "databases", list, "restored",
               (json_int_t)counts[WR_MANY_RESTORED], "present", (json_int_t)counts[WR_MANY_PRESENT],
               "no_backup", (json_int_t)counts[WR_MANY_NO_BACKUP], "failed",
               (json_int_t)(counts[WR_MANY_FAILED] + counts[WR_MANY_CANCELED])))
               ? WR_EXIT_OK
               : wr_cli_fail("out of memory", NULL);
}

/* Scripts see the one reason if there is one only. */
static int exit_code(
    const struct wr_restore_flags *flags, const struct wr_many_item *items, size_t n)
{
    int code = WR_EXIT_OK;

    for (size_t i = 0; i < n; i++) {
        bool none = items[i].word == WR_MANY_NO_BACKUP;
        int its = none ? WR_EXIT_NO_BACKUP : wr_cli_exit_code(items[i].code);

        if (items[i].word == WR_MANY_CANCELED)
            its = WR_EXIT_FAILED;
        if (items[i].word == WR_MANY_RESTORED || items[i].word == WR_MANY_PRESENT ||
            (none && flags->if_replica_exists))
            continue;
        code = code == WR_EXIT_OK || code == its ? its : WR_EXIT_FAILED;
    }
    return code;
}

static void print_errors(struct wr_cli *cli, const struct wr_many_item *items, size_t n)
{
    char line[1400];

    for (size_t i = 0; i < n; i++) {
        if (items[i].word != WR_MANY_FAILED)
            continue;
        (void)snprintf(line, sizeof(line), "%.700s: %.600s", text(cli, items[i].path),
            text(cli, items[i].why));
        (void)wr_cli_fail(line, NULL);
    }
}

int wr_restore_print_many(struct wr_cli *cli, const struct wr_restore_flags *flags,
    const struct wr_many_item *items, size_t n)
{
    size_t counts[WR_MANY_WORDS] = {0};
    int code = WR_EXIT_OK, its;

    for (size_t i = 0; i < n; i++)
        counts[items[i].word]++;
    print_errors(cli, items, n);
    if (flags->json)
        code = print_json(cli, flags, items, n, counts);
    else if (!flags->quiet && n > 0)
        code = print_table(cli, flags, items, n);
    its = exit_code(flags, items, n);
    if (flags->json || (flags->quiet && its == WR_EXIT_OK))
        return its == WR_EXIT_OK ? code : its;
    (void)fprintf(stderr,
        "%zu %s, %zu present, %zu without a backup, %zu failed, of %zu database%s\n",
        counts[WR_MANY_RESTORED], word_of(flags, WR_MANY_RESTORED), counts[WR_MANY_PRESENT],
        counts[WR_MANY_NO_BACKUP], counts[WR_MANY_FAILED] + counts[WR_MANY_CANCELED], n,
        n == 1 ? "" : "s");
    return its == WR_EXIT_OK ? code : its;
}
