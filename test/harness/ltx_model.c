#include "harness/ltx_model.h"

#include "base/bytes.h"
#include "base/mem.h"

#define TOP ((uint64_t)1 << 63)

/* Eight bytes at a time: of what the model does, fuzzed, most was this. */
static uint64_t crc(uint64_t c, const uint8_t *p, size_t n)
{
    static uint64_t after[8][256]; /* what is left of a byte, and of so many zeros behind it */

    for (unsigned byte = 1; after[7][255] == 0 && byte < 256; byte++) {
        uint64_t x = byte;

        for (int k = 0; k < 64; k++) {
            x = (x & 1) ? x >> 1 ^ 0xD800000000000000u : x >> 1;
            if (k % 8 == 7)
                after[k / 8][byte] = x;
        }
    }
    c = ~c;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t x = c ^ wr_le64(p);

        c = 0;
        for (int k = 0; k < 8; k++, x >>= 8)
            c ^= after[7 - k][x & 255];
    }
    for (; n > 0; p++, n--)
        c = after[0][(c ^ *p) & 255] ^ c >> 8;
    return ~c;
}

/* ---- bytes out ---- */

struct out {
    uint8_t *p;
    size_t n, cap;
};

static void put(struct out *o, const void *p, size_t n)
{
    if (o->n + n >= o->cap) {
        o->cap = 2 * (o->n + n) + 64;
        o->p = wr_resize(o->p, o->cap, 1);
    }
    assert(o->p);
    memcpy(o->p + o->n, p, n);
    o->n += n;
}

static void put_int(struct out *o, uint64_t v, int size)
{
    for (int i = size - 1; i >= 0; i--)
        put(o, &(uint8_t){(uint8_t)(v >> (8 * i))}, 1);
}

static void put_leb(struct out *o, uint64_t v)
{
    for (; v > 127; v /= 128)
        put(o, &(uint8_t){(uint8_t)(v % 128 + 128)}, 1);
    put(o, &(uint8_t){(uint8_t)v}, 1);
}

/* An LZ4 block of one sequence: token, more length, literals. */
static void put_literals(struct out *o, const uint8_t *p, size_t n)
{
    size_t more = n - 15;

    assert(n >= 15);
    put(o, &(uint8_t){0xf0}, 1);
    for (; more >= 255; more -= 255)
        put(o, &(uint8_t){255}, 1);
    put(o, &(uint8_t){(uint8_t)more}, 1);
    put(o, p, n);
}

struct wr_bytes t_ltx_encode(const struct t_ltx *m)
{
    struct out o = {0}, index = {0};
    uint64_t c;

    put(&o, "LTX1\0\0\0\2", 8);
    put_int(&o, m->page_size, 4);
    put_int(&o, m->commit, 4);
    put_int(&o, m->min, 8);
    put_int(&o, m->max, 8);
    put_int(&o, (uint64_t)m->time_ms, 8);
    put_int(&o, 0, 8);
    put_int(&o, m->wal_off, 8);
    put_int(&o, m->wal_size, 8);
    put(&o, m->salt, 8);
    put_int(&o, m->node, 8);
    put(&o, m->rolling ? "WRC2" : "\0\0\0\0", 4);
    put_int(&o, m->rolling ? m->pre : 0, 8);
    put_int(&o, m->rolling ? m->post : 0, 8);
    c = crc(0, o.p, 100);
    for (uint32_t i = 1; i < m->end; i++) {
        struct out block = {0};
        size_t at = o.n;

        if (!m->pages[i])
            continue;
        put_literals(&block, m->pages[i], m->page_size);
        put_int(&o, i, 4);
        put_int(&o, 1, 2);
        put_int(&o, block.n, 4);
        c = crc(c, o.p + at, 10);
        c = crc(c, m->pages[i], m->page_size);
        put(&o, block.p, block.n);
        wr_free(block.p);
        put_leb(&index, i);
        put_leb(&index, at);
        put_leb(&index, o.n - at);
    }
    put_leb(&index, 0);
    put_int(&index, index.n, 8);
    put_int(&o, 0, 6);
    put(&o, index.p, index.n);
    put_int(&o, 0, 8);
    c = crc(c, o.p + o.n - 8 - index.n - 6, 6 + index.n + 8);
    put_int(&o, TOP | c, 8);
    wr_free(index.p);
    return (struct wr_bytes){o.p, o.n};
}

void t_ltx_free(struct wr_bytes *file)
{
    void *p;

    memcpy(&p, &file->p, sizeof(p)); /* the view is const, the memory is not */
    wr_free(p);
    *file = (struct wr_bytes){0};
}

/* ---- bytes in: running over the end is a flag, looked at when it matters ---- */

struct in {
    const uint8_t *p;
    size_t n, at;
    bool over;
};

static const uint8_t *get(struct in *s, size_t n)
{
    static const uint8_t NONE[1 << 17];

    if (n > s->n - s->at) {
        s->over = true;
        return NONE;
    }
    s->at += n;
    return s->p + s->at - n;
}

static uint64_t get_int(struct in *s, size_t size)
{
    const uint8_t *p = get(s, size);
    uint64_t v = 0;

    for (size_t i = 0; i < size; i++)
        v = v << 8 | p[i];
    return v;
}

static size_t get_len(struct in *s, size_t nibble)
{
    size_t n = nibble;

    for (uint8_t b = 255; nibble == 15 && b == 255; n += b)
        b = *get(s, 1);
    return n;
}

/* Expand LZ4 sequences behind the *at bytes already in `page`. */
static bool expand(struct in s, uint8_t *page, size_t *at, size_t cap)
{
    while (s.at < s.n && !s.over) {
        uint8_t token = *get(&s, 1);
        size_t n = get_len(&s, token >> 4), back;

        if (s.over || n > cap - *at || n > s.n - s.at)
            return false;
        memcpy(page + *at, get(&s, n), n);
        *at += n;
        if (s.at == s.n)
            return true;
        back = *get(&s, 1);
        back |= (size_t)*get(&s, 1) << 8;
        n = get_len(&s, token & 15) + 4;
        if (s.over || back == 0 || back > *at || n > cap - *at)
            return false;
        for (; n > 0; n--, ++*at)
            page[*at] = page[*at - back];
    }
    return false;
}

static size_t get_le32(struct in *s)
{
    const uint8_t *p = get(s, 4);

    return p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
}

/* An LZ4 frame as old writers made them; its checksums are not looked at. */
static bool expand_frame(struct in *s, uint8_t *page, size_t cap)
{
    const uint8_t *head = get(s, 7);
    size_t at = 0, n;

    if (memcmp(head, "\x04\x22\x4d\x18", 4) != 0 || (head[4] & ~0x20) != 0x44)
        return false;
    while ((n = get_le32(s)) != 0 && !s->over) {
        const uint8_t *p = get(s, n & 0x7fffffff);

        n &= 0x7fffffff;
        if (s->over)
            return false;
        if ((p[-1] & 0x80) != 0) {
            if (n > cap - at)
                return false;
            memcpy(page + at, p, n);
            at += n;
        } else if (!expand((struct in){.p = p, .n = n}, page, &at, cap)) {
            return false;
        }
    }
    get(s, 4);
    return at == cap;
}

static const char *decode_page(struct in *s, struct t_ltx *m, uint64_t *c, struct out *index)
{
    size_t at = s->at, n = 0;
    uint32_t pgno = (uint32_t)get_int(s, 4), flags = (uint32_t)get_int(s, 2);

    if (pgno >= T_LTX_PAGES || m->pages[pgno])
        return "page number";
    if (flags > 1 || m->page_size > 65536)
        return "flags";
    m->pages[pgno] = wr_alloc(m->page_size);
    m->end = wr_max(m->end, pgno + 1);
    if (flags == 1) {
        struct in block = {.n = (size_t)get_int(s, 4)};

        *c = crc(*c, s->p + at, 10);
        block.p = get(s, block.n);
        if (s->over || !expand(block, m->pages[pgno], &n, m->page_size) || n != m->page_size)
            return "block";
    } else {
        *c = crc(*c, s->p + at, 6);
        if (!expand_frame(s, m->pages[pgno], m->page_size))
            return "frame";
    }
    *c = crc(*c, m->pages[pgno], m->page_size);
    put_leb(index, pgno);
    put_leb(index, at);
    put_leb(index, s->at - at);
    return NULL;
}

static void decode_header(struct in *s, struct t_ltx *m)
{
    m->page_size = (uint32_t)get_int(s, 4);
    m->commit = (uint32_t)get_int(s, 4);
    m->min = get_int(s, 8);
    m->max = get_int(s, 8);
    m->time_ms = (int64_t)get_int(s, 8);
    get(s, 8);
    m->wal_off = get_int(s, 8);
    m->wal_size = get_int(s, 8);
    memcpy(m->salt, get(s, 8), 8);
    m->node = get_int(s, 8);
    m->rolling = memcmp(get(s, 4), "WRC2", 4) == 0;
    m->pre = m->rolling ? get_int(s, 8) : 0;
    m->post = m->rolling ? get_int(s, 8) : 0;
    s->at = 100;
}

const char *t_ltx_decode(struct wr_bytes file, struct t_ltx *ret)
{
    struct in s = {.p = file.p, .n = file.n};
    struct out index = {0};
    const char *wrong = NULL;
    size_t at;
    uint64_t c;

    memset(ret, 0, sizeof(*ret));
    if (file.n < 131 || memcmp(get(&s, 8), "LTX1\0\0\0\2", 8) != 0)
        return "magic or flags";
    decode_header(&s, ret);
    c = crc(0, file.p, 100);
    while (!wrong && file.n - s.at >= 6 && memcmp(file.p + s.at, "\0\0\0\0\0\0", 6) != 0)
        wrong = decode_page(&s, ret, &c, &index);
    if (!wrong) {
        put_leb(&index, 0);
        put_int(&index, index.n, 8);
        put_int(&index, 0, 8);
        at = s.at;
        if (file.n - at != 6 + index.n + 8 || memcmp(file.p + at + 6, index.p, index.n) != 0)
            wrong = "index";
        else if (file.p[file.n - 8] < 128 ||
                 (TOP | crc(c, file.p + at, file.n - 8 - at)) !=
                     get_int(&(struct in){.p = file.p + file.n - 8, .n = 8}, 8))
            wrong = "checksum";
    }
    wr_free(index.p);
    return wrong;
}

/* ---- the array of pages ---- */

void t_ltx_set(struct t_ltx *m, uint32_t pgno, const uint8_t *data)
{
    assert(pgno > 0 && pgno < T_LTX_PAGES);
    if (!m->pages[pgno])
        m->pages[pgno] = wr_alloc(m->page_size);
    m->end = wr_max(m->end, pgno + 1);
    assert(m->pages[pgno]);
    memcpy(m->pages[pgno], data, m->page_size);
}

void t_ltx_release(struct t_ltx *m)
{
    for (uint32_t i = 0; i < m->end; i++)
        wr_free(m->pages[i]);
    memset(m, 0, offsetof(struct t_ltx, pages) + m->end * sizeof(m->pages[0]));
}

void t_ltx_merge(const struct t_ltx *in, size_t n, struct t_ltx *ret)
{
    const struct t_ltx *last = &in[n - 1];

    *ret = (struct t_ltx){.page_size = last->page_size,
        .commit = last->commit,
        .min = in[0].min,
        .max = last->max,
        .time_ms = last->time_ms,
        .rolling = true};
    for (size_t i = 0; i < n; i++) {
        ret->rolling = ret->rolling && in[i].rolling;
        for (uint32_t p = 1; p < in[i].end && p <= ret->commit; p++) {
            if (in[i].pages[p])
                t_ltx_set(ret, p, in[i].pages[p]);
        }
    }
    ret->pre = ret->rolling ? in[0].pre : 0;
    ret->post = ret->rolling ? last->post : 0;
}

uint8_t *t_ltx_image(const struct t_ltx *m)
{
    uint8_t *image = wr_array(m->commit, m->page_size);

    assert(image && m->commit < T_LTX_PAGES);
    for (uint32_t p = 1; p <= m->commit; p++) {
        if (m->pages[p])
            memcpy(image + (size_t)(p - 1) * m->page_size, m->pages[p], m->page_size);
    }
    return image;
}

uint64_t t_ltx_page_sum(uint32_t pgno, const uint8_t *data, uint32_t page_size)
{
    struct out o = {0};
    uint64_t c;

    put_int(&o, pgno, 4);
    c = crc(crc(0, o.p, 4), data, page_size);
    wr_free(o.p);
    c = (c ^ (c >> 30)) * 0xBF58476D1CE4E5B9u;
    c = (c ^ (c >> 27)) * 0x94D049BB133111EBu;
    return TOP | (c ^ (c >> 31));
}

uint64_t t_ltx_sum(const struct t_ltx *m)
{
    uint64_t sum = 0;

    for (uint32_t p = 1; p < m->end; p++) {
        if (m->pages[p])
            sum ^= t_ltx_page_sum(p, m->pages[p], m->page_size);
    }
    return sum | TOP;
}
