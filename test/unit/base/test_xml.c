/*
 * test_xml.c - service replies flattened, bounded, refused.
 */
#include "base/xml.h"

#include "base/buf.h"
#include "base/rand.h"
#include "harness/t.h"

#define LOG_MAX ((size_t)1 << 20)

struct sink {
    struct wr_buf log; /* "path=text\n" an element */
    int left;          /* elements until the callback fails with `with`; negative: never */
    enum wr_status with;
};

static enum wr_status collect(void *arg, struct wr_str path, struct wr_str text, struct wr_err *e)
{
    struct sink *s = arg;

    if (s->left >= 0 && s->left-- == 0)
        return wr_fail(e, s->with, "enough");
    wr_buf_str(&s->log, path);
    wr_buf_byte(&s->log, '=');
    wr_buf_str(&s->log, text);
    wr_buf_byte(&s->log, '\n');
    return WR_OK;
}

static struct wr_bytes doc_of(const char *z)
{
    return (struct wr_bytes){(const uint8_t *)z, strlen(z)};
}

static void check_log(const char *doc, const char *want)
{
    struct sink s = {.left = -1};
    struct wr_err e = {0};

    wr_buf_init(&s.log, LOG_MAX);
    T_OK(wr_xml_parse(t_call()->scratch, doc_of(doc), collect, &s, &e));
    T(wr_str_eq(wr_buf_view(&s.log), wr_str(want)));
    wr_buf_release(&s.log);
}

static void check_status(enum wr_status want, struct wr_bytes doc, const char *text)
{
    struct sink s = {.left = -1};
    struct wr_err e = {0};

    wr_buf_init(&s.log, LOG_MAX);
    T_IS(want, wr_xml_parse(t_call()->scratch, doc, collect, &s, &e));
    T(strstr(e.text, text) != NULL);
    wr_buf_release(&s.log);
}

static void test_listing(void **state)
{
    (void)state;
    check_log("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
              "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
              "<IsTruncated>false</IsTruncated>"
              "<Contents><Key>a/b&amp;c &#x41;</Key><Size>12</Size></Contents>"
              "<Contents><Key><![CDATA[<d>]]></Key><Size/></Contents>"
              "</ListBucketResult>",
        "ListBucketResult/IsTruncated=false\n"
        "ListBucketResult/Contents/Key=a/b&c A\n"
        "ListBucketResult/Contents/Size=12\n"
        "ListBucketResult/Contents=\n"
        "ListBucketResult/Contents/Key=<d>\n"
        "ListBucketResult/Contents/Size=\n"
        "ListBucketResult/Contents=\n"
        "ListBucketResult=\n");
}

/* Declared or not, whatever the prefix is called. */
static void test_prefixes_are_dropped(void **state)
{
    (void)state;
    check_log("<D:multistatus xmlns:D=\"DAV:\"><D:response><x:href a:b=\"c\">/p</x:href>"
              "</D:response></D:multistatus>",
        "multistatus/response/href=/p\nmultistatus/response=\nmultistatus=\n");
}

/* Own text only, around and between the children, comments left out. */
static void test_mixed_content(void **state)
{
    (void)state;
    check_log("<a>1<b>2<c>3</c>4</b><!-- no -->5<b/>6</a>", "a/b/c=3\na/b=24\na/b=\na=156\n");
}

static void test_encodings(void **state)
{
    static const uint8_t utf16[] = {
        0xff, 0xfe, '<', 0, 'a', 0, '>', 0, 0xe9, 0, '<', 0, '/', 0, 'a', 0, '>', 0};
    struct sink s = {.left = -1};
    struct wr_err e = {0};

    (void)state;
    check_log("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xe9</a>", "a=\xc3\xa9\n");
    wr_buf_init(&s.log, LOG_MAX);
    T_OK(wr_xml_parse(t_call()->scratch, (struct wr_bytes){utf16, sizeof(utf16)}, collect, &s, &e));
    T(wr_str_eq(wr_buf_view(&s.log), WR_STR("a=\xc3\xa9\n")));
    wr_buf_release(&s.log);
}

static void test_refused(void **state)
{
    static const char *const broken[] = {"", " ", "text", "<a>", "<a></b>", "<a/><b/>",
        "<a>&x;</a>", "<a b=1/>", "<a>\xff</a>", "<a>\x01</a>",
        "<?xml version=\"1.0\" encoding=\"x-y\"?><a/>", "<a>]]></a>", "<a/>trailing"};

    (void)state;
    for (size_t i = 0; i < wr_countof(broken); i++)
        check_status(WR_CORRUPT, doc_of(broken[i]), "xml: line ");
    check_status(WR_CORRUPT, (struct wr_bytes){0}, "xml: line ");
    check_status(WR_CORRUPT, doc_of("<!DOCTYPE a><a/>"), "DOCTYPE");
    check_status(WR_CORRUPT, doc_of("<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>"), "DOCTYPE");
    check_status(WR_CORRUPT, doc_of("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>"), "DOCTYPE");
    check_status(WR_LIMIT, (struct wr_bytes){(const uint8_t *)"", (size_t)INT32_MAX + 1}, "large");
}

static void test_depth(void **state)
{
    (void)state;
    for (int depth = WR_XML_DEPTH_MAX - 1; depth <= WR_XML_DEPTH_MAX + 1; depth++) {
        struct wr_buf doc;

        wr_buf_init(&doc, LOG_MAX);
        for (int i = 0; i < depth; i++)
            wr_buf_z(&doc, "<a>");
        for (int i = 0; i < depth; i++)
            wr_buf_z(&doc, "</a>");
        if (depth <= WR_XML_DEPTH_MAX)
            check_status(WR_OK, wr_buf_bytes(&doc), "");
        else
            check_status(WR_CORRUPT, wr_buf_bytes(&doc), "nested deeper than 32");
        wr_buf_release(&doc);
    }
}

/* The callback's status comes back, and it is not called again. */
static void test_callback_stops(void **state)
{
    struct wr_err e = {0};

    (void)state;
    for (int at = 0; at < 4; at++) {
        struct sink s = {.left = at, .with = WR_CANCELED};

        wr_buf_init(&s.log, LOG_MAX);
        T_IS(WR_CANCELED,
            wr_xml_parse(t_call()->scratch, doc_of("<a><b/><c>x</c><d/></a>"), collect, &s, &e));
        assert_string_equal(e.text, "enough");
        T(s.left == -1);
        int lines = 0;
        for (size_t i = 0; i < s.log.n; i++)
            lines += s.log.p[i] == '\n';
        T(lines == at);
        wr_buf_release(&s.log);
    }
}

/* Text larger than any one of expat's pieces, and an arena that cannot hold it. */
static void test_large_text(void **state)
{
    size_t n = 300000;
    struct wr_buf doc;
    struct wr_buf want;

    (void)state;
    wr_buf_init(&doc, LOG_MAX);
    wr_buf_init(&want, LOG_MAX);
    wr_buf_z(&doc, "<a>");
    wr_buf_z(&want, "a=");
    for (size_t i = 0; i < n; i++) {
        wr_buf_byte(&doc, (uint8_t)('a' + i % 26));
        wr_buf_byte(&want, (uint8_t)('a' + i % 26));
    }
    wr_buf_z(&doc, "</a>");
    wr_buf_z(&want, "\n");
    T(wr_buf_status(&doc) == WR_OK);
    check_log((const char *)doc.p, (const char *)want.p);

    struct sink s = {.left = -1};
    struct wr_arena small;
    struct wr_err e = {0};
    wr_buf_init(&s.log, LOG_MAX);
    wr_arena_init(&small, 100000);
    T_IS(WR_LIMIT, wr_xml_parse(&small, wr_buf_bytes(&doc), collect, &s, &e));
    T(s.log.n == 0);
    wr_arena_release(&small);
    wr_buf_release(&s.log);
    wr_buf_release(&doc);
    wr_buf_release(&want);
}

/* Write a random tree, and beside it what reading it must give. */
static void random_tree(struct wr_rand *r, struct wr_buf *doc, struct wr_buf *want, size_t nodes)
{
    struct level {
        struct wr_buf own;
        size_t path_n;
        char name;
    } level[WR_XML_DEPTH_MAX];
    char path[2 * WR_XML_DEPTH_MAX];
    size_t depth = 0;
    size_t path_n = 0;

    do {
        bool deeper = depth == 0 || (nodes > 0 && depth < WR_XML_DEPTH_MAX && wr_rand_below(r, 2));

        if (deeper) {
            char name = (char)('a' + wr_rand_below(r, 3));

            nodes -= nodes > 0;
            level[depth].path_n = path_n;
            level[depth].name = name;
            wr_buf_init(&level[depth++].own, LOG_MAX);
            if (path_n > 0)
                path[path_n++] = '/';
            path[path_n++] = name;
            wr_buf_fmt(doc, "<%s%c>", wr_rand_below(r, 4) ? "" : "ns:", name);
            /* The end tag must repeat the prefix; both are taken from the same draw. */
            level[depth - 1].name = (char)(doc->p[doc->n - 3] == ':' ? name - 'a' + 'A' : name);
        } else {
            struct level *top = &level[--depth];
            bool prefixed = top->name < 'a';

            wr_buf_fmt(doc, "</%s%c>", prefixed ? "ns:" : "",
                prefixed ? top->name - 'A' + 'a' : top->name);
            wr_buf_put(want, path, path_n);
            wr_buf_byte(want, '=');
            wr_buf_str(want, wr_buf_view(&top->own));
            wr_buf_byte(want, '\n');
            wr_buf_release(&top->own);
            path_n = top->path_n;
        }
        if (depth > 0 && wr_rand_below(r, 2)) {
            static const char *const texts[][2] = {{"x", "x"}, {"&lt;", "<"}, {" \n", " \n"},
                {"<![CDATA[&]]>", "&"}, {"<!-- c -->", ""}, {"<?pi x?>", ""},
                {"longer text", "longer text"}};
            size_t i = (size_t)wr_rand_below(r, wr_countof(texts));

            wr_buf_z(doc, texts[i][0]);
            wr_buf_z(&level[depth - 1].own, texts[i][1]);
        }
    } while (depth > 0);
}

static void test_random_trees(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 1000; round++) {
        struct wr_arena arena;
        struct wr_buf doc;
        struct wr_buf want;
        struct sink s = {.left = -1};
        struct wr_err e = {0};

        wr_arena_init(&arena, WR_ARENA_MAX);
        wr_buf_init(&doc, LOG_MAX);
        wr_buf_init(&want, LOG_MAX);
        wr_buf_init(&s.log, LOG_MAX);
        random_tree(&r, &doc, &want, (size_t)wr_rand_below(&r, 60));
        T_OK(wr_xml_parse(&arena, wr_buf_bytes(&doc), collect, &s, &e));
        T(wr_str_eq(wr_buf_view(&s.log), wr_buf_view(&want)));

        /* Damage one byte: any verdict will do, a crash will not. */
        doc.p[wr_rand_below(&r, doc.n)] = (uint8_t)wr_rand_below(&r, 256);
        enum wr_status st = wr_xml_parse(&arena, wr_buf_bytes(&doc), collect, &s, &e);
        T(st == WR_OK || st == WR_CORRUPT);
        wr_buf_release(&s.log);
        wr_buf_release(&doc);
        wr_buf_release(&want);
        wr_arena_release(&arena);
    }
}

static enum wr_status ignore(void *arg, struct wr_str path, struct wr_str text, struct wr_err *e)
{
    (void)arg;
    (void)path;
    (void)text;
    (void)e;
    return WR_OK;
}

static enum wr_status parse_body(void *arg)
{
    struct wr_arena a;
    struct wr_err e = {0};

    wr_arena_init(&a, WR_ARENA_MAX);
    enum wr_status st = wr_xml_parse(&a, doc_of(arg), ignore, NULL, &e);
    wr_arena_release(&a);
    return st;
}

static void test_out_of_memory(void **state)
{
    static char doc[2000];
    size_t n = (size_t)snprintf(doc, sizeof(doc), "<a xmlns=\"u\" b=\"c\"><d>");

    (void)state;
    while (n < 1500)
        doc[n++] = 'x';
    (void)snprintf(doc + n, sizeof(doc) - n, "</d><e/></a>");
    t_sweep_nomem(parse_body, doc);
}

T_MAIN(T_TEST(test_listing), T_TEST(test_prefixes_are_dropped), T_TEST(test_mixed_content),
    T_TEST(test_encodings), T_TEST(test_refused), T_TEST(test_depth), T_TEST(test_callback_stops),
    T_TEST(test_large_text), T_TEST(test_random_trees), T_TEST(test_out_of_memory))
