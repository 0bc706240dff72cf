/*
 * say.c - see say.h.
 */
#include "vfs/host.h"

#include "vfs/say.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#define LINE_MAX_BYTES ((size_t)4096)

static int fd = STDERR_FILENO;
static enum wr_log_level fd_level = WR_WARN;

static int code_of(enum wr_log_level level)
{
    return level == WR_ERROR ? SQLITE_IOERR : level == WR_WARN ? SQLITE_WARNING : SQLITE_NOTICE;
}

static const char *name_of(enum wr_log_level level)
{
    return level == WR_ERROR  ? "ERROR"
           : level == WR_WARN ? "WARN"
           : level == WR_INFO ? "INFO"
                              : "DEBUG";
}

static void say(void *arg, enum wr_log_level level, const char *msg,
    const struct wr_log_field *fields, size_t n)
{
    char time[WR_TIME_TEXT_MAX];
    struct wr_buf b;

    (void)arg;
    wr_buf_init(&b, LINE_MAX_BYTES);
    wr_format_time(time, wr_wall_ms(wr_clock_system()));
    wr_buf_fmt(&b, "time=%s level=%s msg=\"%s\" vfs=true ", time, name_of(level), msg);
    wr_log_text(&b, fields, n);
    if (wr_buf_status(&b) == WR_OK) {
        sqlite3_log(code_of(level), "weir: %.*s", (int)b.n, (const char *)b.p);
        wr_buf_byte(&b, '\n');
        if (level >= fd_level && wr_buf_status(&b) == WR_OK)
            (void)!write(fd, b.p, b.n);
    }
    wr_buf_release(&b);
}

static struct wr_log the_log = {.sink = say, .min_level = WR_INFO};

static void begin(void)
{
    const char *path = getenv("LITESTREAM_LOG_FILE");
    const char *level = getenv("LITESTREAM_LOG_LEVEL");

    if (level && wr_str_eq_nocase(wr_str(level), WR_STR("debug")))
        the_log.min_level = fd_level = WR_DEBUG;
    if (!path || !*path)
        return;
    fd = strcmp(path, "-") == 0
             ? STDOUT_FILENO
             : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0)
        fd = STDERR_FILENO;
    fd_level = wr_min(fd_level, WR_INFO);
}

const struct wr_log *wr_say_log(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, begin);
    return &the_log;
}
