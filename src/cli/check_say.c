/*
 * check_say.c - how check tells what it found: lines, findings, members of a JSON object.
 */
#include "cli/check_int.h"

#include <stdarg.h>

#define LABEL_WIDTH 11
#define TEXT_ROOM   2048

static const char *const words[WR_CHECK_WEIGHTS] = {"note", "warning", "error"};
static const char *const shown[WR_CHECK_WEIGHTS] = {"Note", "Warning", "Error"};

void wr_check_init(struct wr_check *k, struct wr_cli *cli, bool json)
{
    *k = (struct wr_check){.cli = cli, .json = json, .at = json_object()};
    k->last = &k->first;
    k->lost = !k->at;
}

void wr_check_line(struct wr_check *k, const char *label, const char *fmt, ...)
{
    va_list ap;

    if (k->json)
        return;
    (void)printf("  %-*s ", LABEL_WIDTH, label);
    va_start(ap, fmt);
    (void)vprintf(fmt, ap);
    va_end(ap);
    (void)putchar('\n');
}

void wr_check_find(struct wr_check *k, enum wr_check_weight weight, const char *fmt, ...)
{
    struct wr_check_finding *f = wr_arena_alloc(k->cli->arena, sizeof(*f));
    char text[TEXT_ROOM];
    struct wr_str copy;
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap); /* a cut sentence is better than none */
    va_end(ap);
    k->counts[weight]++;
    copy = wr_arena_str(k->cli->arena, wr_str(text));
    if (!f || !copy.p) {
        k->lost = true;
        return;
    }
    f->weight = weight;
    f->text = copy.p;
    *k->last = f;
    k->last = &f->next;
}

void wr_check_set(struct wr_check *k, const char *key, json_t *value)
{
    if (json_object_set_new(k->at, key, value) != 0)
        k->lost = true;
}

void wr_check_text(struct wr_check *k, const char *key, const char *value)
{
    wr_check_set(k, key, value ? json_string(wr_cli_shown(k->cli->arena, value)) : json_null());
}

void wr_check_number(struct wr_check *k, const char *key, double value)
{
    bool whole = value >= 0 && value < 9e15 && (double)(int64_t)value == value;

    wr_check_set(k, key, whole ? json_integer((json_int_t)value) : json_real(value));
}

json_t *wr_check_enter(struct wr_check *k, const char *key)
{
    json_t *outer = k->at, *inner = json_object();

    wr_check_set(k, key, inner);
    k->at = json_object_get(outer, key);
    return outer;
}

void wr_check_leave(struct wr_check *k, json_t *outer)
{
    k->at = outer;
}

void wr_check_flush(struct wr_check *k)
{
    json_t *list = json_array();

    for (const struct wr_check_finding *f = k->first; f; f = f->next) {
        if (json_array_append_new(list, json_pack("{s:s, s:s}", "level", words[f->weight], "text",
                                            wr_cli_shown(k->cli->arena, f->text))) != 0)
            k->lost = true;
        if (!k->json)
            (void)printf("  %s: %s\n", shown[f->weight], f->text);
    }
    wr_check_set(k, "findings", list);
    k->first = NULL;
    k->last = &k->first;
}
