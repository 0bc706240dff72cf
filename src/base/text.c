/*
 * text.c - see text.h.
 */
#include "base/text.h"

#include "base/mem.h"
#include "base/status.h"

const char *wr_text(const struct wr_text *t)
{
    if (t->lost)
        return wr_status_text(WR_NOMEM);
    return t->z ? t->z : "";
}

void wr_text_set(struct wr_text *t, const char *z)
{
    if (strcmp(wr_text(t), z) == 0)
        return;
    wr_text_release(t);
    if (z[0] == '\0')
        return;
    t->z = wr_strndup(z, strlen(z));
    t->lost = !t->z;
}

void wr_text_release(struct wr_text *t)
{
    wr_free(t->z);
    *t = (struct wr_text){0};
}
