/*
 * difference.c - see difference.h.
 */
#include "daemon/difference.h"

#include "base/str.h"

struct names {
    char *text; /* NULL: nobody wants them */
    size_t n;   /* bytes of it */
    bool any, full;
};

static void note(struct names *names, const char *where, const char *key)
{
    char one[WR_DIFFERENCE_MAX];
    size_t n;

    names->any = true;
    if (!names->text || names->full)
        return;
    (void)snprintf(one, sizeof(one), "%s%s%s", names->n ? ", " : "", where, key);
    n = strlen(one);
    names->full = names->n + n + sizeof(", ...") > WR_DIFFERENCE_MAX;
    if (names->full)
        (void)snprintf(one, sizeof(one), "%s...", names->n ? ", " : "");
    memcpy(names->text + names->n, one, strlen(one) + 1);
    names->n += strlen(one);
}

static void compare(
    struct names *names, const char *where, const char *const *a, const char *const *b)
{
    for (const char *const *p = a; p && *p; p += 2) {
        const char *other = wr_config_setting(b, p[0]);

        if (!other || strcmp(other, p[1]) != 0)
            note(names, where, p[0]);
    }
    for (const char *const *p = b; p && *p; p += 2)
        if (!wr_config_setting(a, p[0]))
            note(names, where, p[0]);
}

bool wr_difference(
    const struct wr_config_db *a, const struct wr_config_db *b, char ret[WR_DIFFERENCE_MAX])
{
    struct names names = {.text = ret};
    char where[32] = "replica.";

    if (ret)
        ret[0] = '\0';
    compare(&names, "", a->settings, b->settings);
    if (a->nreplicas != b->nreplicas)
        note(&names, "", "replicas");
    for (size_t i = 0; a->nreplicas == b->nreplicas && i < a->nreplicas; i++) {
        if (a->nreplicas > 1)
            (void)snprintf(where, sizeof(where), "replicas[%zu].", i);
        if (!wr_str_eq(wr_str(a->replicas[i].url), wr_str(b->replicas[i].url)))
            note(&names, where, "url");
        compare(&names, where, a->replicas[i].settings, b->replicas[i].settings);
    }
    return names.any;
}
