/*
 * What we write, judged by tools/ltxcheck.py, which shares nothing with us or with the model.
 */
#include "base/mem.h"
#include "harness/ltx_util.h"
#include "harness/t.h"
#include "ltx/merge.h"

#include <sys/wait.h>

enum {
    CHAIN = 6
};

/* Exit status of ltxcheck.py on these files; complaints go to the test's log. */
static int check(uint32_t lock_offset, const char *const *paths, size_t n)
{
    char line[400];
    struct wr_buf cmd;
    FILE *f;
    int status;

    wr_buf_init(&cmd, 1 << 16);
    wr_buf_fmt(&cmd, "python3 '%s' --chain --lock-offset %u", t_data("../../tools/ltxcheck.py"),
        (unsigned)lock_offset);
    for (size_t i = 0; i < n; i++)
        wr_buf_fmt(&cmd, " '%s'", paths[i]);
    wr_buf_z(&cmd, " 2>&1");
    T(wr_buf_status(&cmd) == WR_OK);
    f = popen((const char *)cmd.p, "r"); /* NOLINT(cert-env33-c): the point is to run python */
    T(f != NULL);
    while (fgets(line, sizeof(line), f)) {
        if (!strstr(line, ": ok, "))
            print_message("# %s", line);
    }
    status = pclose(f);
    wr_buf_release(&cmd);
    T(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static bool python_missing(void)
{
    FILE *f = popen("python3 -c pass 2>&1", "r"); /* NOLINT(cert-env33-c) */

    return !f || pclose(f) != 0;
}

/* Write the files of a history below `dir`, and merged into merged.ltx. */
static void write_history(
    struct t_ltx_world *w, uint32_t lock_offset, const char *dir, const char *paths[CHAIN + 1])
{
    struct t_ltx_in in[CHAIN] = {0};
    struct wr_ltx_dec *dec[CHAIN] = {0};
    struct wr_ltx_merge *m = NULL;
    struct wr_ltx_trailer trailer;
    struct t_ltx_out o[CHAIN + 1];
    struct wr_err e = {0};
    uint64_t size;

    for (size_t i = 0; i < CHAIN; i++) {
        char name[WR_LTX_NAME_MAX];
        struct t_ltx file = t_ltx_world_next(w);

        T_OK(t_ltx_write(&file, lock_offset, &o[i], &e));
        wr_ltx_name_format(name, file.min, file.max);
        paths[i] = t_path(dir, name);
        t_spew(paths[i], o[i].buf.p, o[i].buf.n);
        in[i].file = wr_buf_bytes(&o[i].buf);
        T_OK(wr_ltx_dec_new(t_ltx_source, &in[i], in[i].file.n, lock_offset, &dec[i], &e));
        t_ltx_release(&file);
    }
    t_ltx_out_init(&o[CHAIN]);
    T_OK(wr_ltx_merge_new(dec, CHAIN, lock_offset, &m, &e));
    T(wr_ltx_merge_header(m)->has_rolling == w->rolling);
    T_OK(wr_ltx_merge_write(m, t_ltx_sink, &o[CHAIN], &trailer, &size, &e));
    paths[CHAIN] = t_path(dir, "merged.ltx");
    t_spew(paths[CHAIN], o[CHAIN].buf.p, o[CHAIN].buf.n);
    wr_ltx_merge_free(m);
    for (size_t i = 0; i <= CHAIN; i++) {
        wr_buf_release(&o[i].buf);
        if (i < CHAIN)
            wr_ltx_dec_free(dec[i]);
    }
}

static void test_histories(void **state)
{
    struct wr_rand r;

    (void)state;
    if (python_missing())
        skip();
    wr_rand_init(&r, t_seed());
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t page_size = 512u << i, lock_offset = page_size * (1 + 3 * i);
        struct t_ltx_world w = {
            .r = &r, .page_size = page_size, .lock = 2 + 3 * i, .rolling = i != 2};
        const char *paths[CHAIN + 1];

        w.db.page_size = page_size;
        write_history(&w, lock_offset, t_tmpdir(), paths);
        assert_int_equal(check(lock_offset, paths, CHAIN), 0);
        assert_int_equal(check(lock_offset, paths + CHAIN, 1), 0);
        if (i == 0) { /* and it can say no */
            struct wr_bytes file = t_slurp(paths[CHAIN]);
            uint8_t *bad = wr_alloc(file.n);

            memcpy(bad, file.p, file.n);
            bad[95] ^= 1; /* in the rolling checksum */
            t_spew(paths[CHAIN], bad, file.n);
            wr_free(bad);
            assert_int_equal(check(lock_offset, paths + CHAIN, 1), 1);
        }
        t_ltx_release(&w.db);
    }
}

T_MAIN(T_TEST(test_histories))
