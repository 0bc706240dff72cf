/*
 * place_owner.c - whose a restored database is, and who may read it.
 */
#include "base/log.h"
#include "engine/place_int.h"

#include <inttypes.h>
#include <unistd.h>

enum wr_status wr_place_mkdirs(const struct wr_fs *fs, const char *dir, struct wr_err *e)
{
    return wr_mkdirs(fs == wr_fs_posix() ? wr_fs_giving() : fs, dir, 0700, e);
}

#define OWNER_TEXT_MAX 24
static void owner_text(char out[OWNER_TEXT_MAX], const struct wr_file_info *info)
{
    (void)snprintf(out, OWNER_TEXT_MAX, "%" PRIu32 ":%" PRIu32, info->uid, info->gid); /* it fits */
}

static void warn_of_owner(
    const struct wr_place *p, const struct wr_file_info *is, const struct wr_log *log)
{
    char was_text[OWNER_TEXT_MAX], is_text[OWNER_TEXT_MAX];

    owner_text(was_text, &p->info);
    owner_text(is_text, is);
    wr_log(log, WR_WARN,
        "the restored database has another owner than the one it replaces, whose users may not be "
        "able to open it",
        WR_F_Z("path", p->path), WR_F_Z("was", was_text), WR_F_Z("is", is_text));
}

/* What root restores for an application, that must be able to open. The directory's owner can do
 * with the name what he likes anyway. Where it cannot be given away it is root's, as any new file.
 */
static void settle(struct wr_place *p)
{
    struct wr_file_info dir = {0};

    if (geteuid() == 0 && p->fs->stat(p->fs, p->dir, &dir, NULL) == WR_OK && dir.is_dir)
        (void)p->fs->set_owner(p->file, dir.uid, dir.gid, NULL);
}

/* Give it the owner and the mode of what it replaces, at the last moment: until then, a later run
 * goes on with our own files only. Of an empty file that another user has made, the database takes
 * neither: it could be open to all. Where that is not in our power it stays ours, as any new file
 * would. */
void wr_place_hand_over(struct wr_place *p, const struct wr_log *log)
{
    struct wr_file_info is = {0};
    bool has_mode =
        p->replaces && (p->flags & WR_PLACE_OVERWRITE || p->info.uid == (uint32_t)geteuid());

    (void)p->fs->set_mode(p->file, has_mode ? p->info.mode & 0777 : 0600, NULL);
    if (!p->replaces || !(p->flags & WR_PLACE_OVERWRITE)) {
        settle(p);
        return;
    }
    (void)p->fs->set_owner(p->file, p->info.uid, p->info.gid, NULL); /* what came of it, is seen */
    if (wr_file_info(p->file, &is, NULL) == WR_OK &&
        (is.uid != p->info.uid || is.gid != p->info.gid))
        warn_of_owner(p, &is, log);
}
