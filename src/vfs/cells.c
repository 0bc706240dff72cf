/*
 * cells.c - see cells.h.
 *
 * A cell is, as far as its page has it: of an interior page, the page below; of a table, the rowid,
 * after the size of the payload on a leaf; the payload, which is a record. A record is the size of
 * its header, a serial type for each column, and then the columns.
 */
#include "vfs/cells.h"

#include "base/bytes.h"

#define DB_HEADER   100 /* on page 1, before that of the b-tree */
#define AT_COUNT    3
#define AT_RIGHT    8
#define LEAF_HEADER 8
#define NODE_HEADER 12
#define USABLE_MIN  480

/* Bytes that are yet to be read. */
struct span {
    const uint8_t *p, *end;
};

bool wr_cells_init(
    struct wr_cells *c, uint32_t pgno, const uint8_t *page, uint32_t page_size, uint32_t reserved)
{
    uint32_t header = pgno == 1 ? DB_HEADER : 0;
    uint8_t kind = page[header];
    bool interior = kind == WR_CELLS_INDEX || kind == WR_CELLS_TABLE;

    if (!interior && kind != WR_CELLS_INDEX_LEAF && kind != WR_CELLS_TABLE_LEAF)
        return false;
    *c = (struct wr_cells){.page = page,
        .page_size = page_size,
        .usable = reserved > page_size - USABLE_MIN ? page_size : page_size - reserved,
        .pointers = header + (interior ? NODE_HEADER : LEAF_HEADER),
        .n = wr_be16(page + header + AT_COUNT),
        .kind = kind,
        .rightmost = interior ? wr_be32(page + header + AT_RIGHT) : 0};
    return c->n <= (page_size - c->pointers) / 2;
}

/* A varint of SQLite's: up to nine bytes, the first ones first. */
static bool varint(struct span *s, uint64_t *ret)
{
    uint64_t v = 0;

    for (int i = 0; i < 9 && s->p < s->end; i++) {
        uint8_t b = *s->p++;

        if (i == 8) {
            *ret = v << 8 | b;
            return true;
        }
        v = v << 7 | (b & 0x7f);
        if (!(b & 0x80)) {
            *ret = v;
            return true;
        }
    }
    return false;
}

/* A signed integer of `n` bytes, 0 to 8. */
static int64_t integer(const uint8_t *p, size_t n)
{
    uint64_t v = n > 0 && p[0] & 0x80 ? UINT64_MAX : 0;

    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return (int64_t)v;
}

/* The bytes of a column of this serial type; false: there is none such. */
static bool width(uint64_t type, uint64_t *ret)
{
    static const uint8_t fixed[] = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0};

    if (type == 10 || type == 11)
        return false;
    *ret = type < wr_countof(fixed) ? fixed[type] : (type - 12) / 2;
    return true;
}

static bool is_integer(uint64_t type)
{
    return (type >= 1 && type <= 6) || type == 8 || type == 9;
}

static int64_t integer_of(uint64_t type, const uint8_t *p, uint64_t n)
{
    return type == 8 ? 0 : type == 9 ? 1 : integer(p, (size_t)n);
}

/* Where a cell begins, and what of the page is behind it. */
static bool cell(const struct wr_cells *c, uint32_t i, struct span *ret)
{
    uint32_t at = wr_be16(c->page + c->pointers + 2 * (size_t)i);

    if (at < c->pointers || at >= c->usable)
        return false;
    *ret = (struct span){c->page + at, c->page + c->usable};
    return true;
}

/* What of a payload is on the page; *ret_all: all of it. */
static bool payload(const struct wr_cells *c, uint64_t size, struct span *s, bool *ret_all)
{
    bool leaf = c->kind == WR_CELLS_TABLE_LEAF;
    uint64_t u = c->usable, most = leaf ? u - 35 : (u - 12) * 64 / 255 - 23;
    uint64_t least = (u - 12) * 32 / 255 - 23, local = size;

    if (size > most) {
        local = least + (size - least) % (u - 4);
        if (local > most)
            local = least;
    }
    if (local > (uint64_t)(s->end - s->p))
        return false;
    s->end = s->p + local;
    *ret_all = local == size;
    return true;
}

/* The header of a record, *s is what is behind it. */
static bool record(struct span *s, struct span *ret_types)
{
    struct span h = *s;
    uint64_t size;

    if (!varint(&h, &size) || size > (uint64_t)(s->end - s->p) || size < (uint64_t)(h.p - s->p))
        return false;
    h.end = s->p + size;
    s->p = h.end;
    *ret_types = h;
    return true;
}

bool wr_cells_rowid(const struct wr_cells *c, uint32_t i, int64_t *ret)
{
    struct span s, types;
    uint64_t size, type = 0, n = 0, columns = 0;
    bool all = false;

    if (!cell(c, i, &s))
        return false;
    if (c->kind == WR_CELLS_INDEX) {
        if (s.end - s.p < 4)
            return false;
        s.p += 4;
    }
    if (!varint(&s, &size) || !payload(c, size, &s, &all) || !all || !record(&s, &types))
        return false;
    for (; types.p < types.end; columns++) {
        if (!varint(&types, &type))
            return false;
    }
    if (columns < 2 || !is_integer(type) || !width(type, &n) || n > (uint64_t)(s.end - s.p))
        return false;
    *ret = integer_of(type, s.end - n, n);
    return true;
}

/* Of the cell `i` of an interior page of a table: the page below, and its last rowid. */
static bool node(const struct wr_cells *c, uint32_t i, uint32_t *ret_pgno, int64_t *ret_last)
{
    struct span s;
    uint64_t last;

    if (!cell(c, i, &s) || s.end - s.p < 4)
        return false;
    *ret_pgno = wr_be32(s.p);
    s.p += 4;
    if (!varint(&s, &last))
        return false;
    *ret_last = (int64_t)last;
    return true;
}

bool wr_cells_below(const struct wr_cells *c, int64_t rowid, uint32_t *ret_pgno, int64_t *ret_last)
{
    uint32_t low = 0, high = c->n;

    *ret_pgno = c->rightmost;
    *ret_last = INT64_MAX;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2, pgno;
        int64_t last;

        if (!node(c, mid, &pgno, &last))
            return false;
        if (rowid > last) {
            low = mid + 1;
            continue;
        }
        high = mid;
        *ret_pgno = pgno;
        *ret_last = last;
    }
    return true;
}

bool wr_cells_child(const struct wr_cells *c, uint32_t i, uint32_t *ret_pgno)
{
    struct span s;

    *ret_pgno = c->rightmost;
    if (i >= c->n)
        return true;
    if (!cell(c, i, &s) || s.end - s.p < 4)
        return false;
    *ret_pgno = wr_be32(s.p);
    return true;
}

static uint64_t hash(const uint8_t *p, uint64_t n)
{
    uint64_t h = UINT64_C(14695981039346656037);

    for (uint64_t i = 0; i < n; i++)
        h = (h ^ p[i]) * UINT64_C(1099511628211);
    return h;
}

/* Columns: type, name, tbl_name, rootpage, and the statement, which may be long and is not looked
 * at. */
bool wr_cells_schema(const struct wr_cells *c, uint32_t i, struct wr_cells_schema *ret)
{
    struct span s, types;
    uint64_t size, rowid, type, n;
    bool all;

    *ret = (struct wr_cells_schema){0};
    if (!cell(c, i, &s) || !varint(&s, &size) || !varint(&s, &rowid) ||
        !payload(c, size, &s, &all) || !record(&s, &types))
        return false;
    for (int column = 0; column < 4; column++, s.p += n) {
        if (!varint(&types, &type) || !width(type, &n) || n > (uint64_t)(s.end - s.p))
            return false;
        if (column == 0) {
            ret->is_table = n == 5 && memcmp(s.p, "table", 5) == 0;
            ret->is_index = n == 5 && memcmp(s.p, "index", 5) == 0;
        } else if (column == 2) {
            ret->table = hash(s.p, n);
        } else if (column == 3) {
            int64_t root = is_integer(type) ? integer_of(type, s.p, n) : 0;

            if (root < 1 || root > UINT32_MAX)
                return false;
            ret->root = (uint32_t)root;
        }
    }
    return ret->is_table || ret->is_index;
}
