/*
 * awsanswer.c - see awsanswer.h.
 *
 *     {"Code": "Success", "AccessKeyId": "ASIA...", "SecretAccessKey": "...", "Token": "...",
 *      "Expiration": "2026-05-01T16:00:00Z"}                                (Code: instances only)
 *     {"Code": "...", "Message": "..."}
 *
 *     {"Version": 1, "AccessKeyId": "ASIA...", "SecretAccessKey": "...", "SessionToken": "...",
 *      "Expiration": "2026-05-01T16:00:00Z"}      (of a process; the last two may be left out)
 *
 *     <AssumeRoleResponse> <AssumeRoleResult> <Credentials>
 *         <AccessKeyId> <SecretAccessKey> <SessionToken> <Expiration>
 *     <AssumeRoleWithWebIdentityResponse> <AssumeRoleWithWebIdentityResult> <Credentials> ...
 *     <ErrorResponse> <Error> <Code> <Message>
 *
 * Sources: as awsrole.h; "Sourcing credentials with an external process" in the AWS CLI User Guide.
 */
#include "net/awsanswer.h"

#include "base/xml.h"

#include <jansson.h>

#define CODE_MAX     60 /* bytes of what is told of a refusal */
#define MESSAGE_MAX  250
#define TOLD(s, max) (int)wr_min((s).n, (size_t)(max)), (s).n ? (s).p : ""

static struct wr_str append(struct wr_aws_role *r, size_t *at, struct wr_str s)
{
    struct wr_str ret = {r->text + *at, s.n};

    if (s.n > 0)
        memcpy(r->text + *at, s.p, s.n);
    *at += s.n;
    return ret;
}

/* All that they are made of can stand in a header. */
static bool is_plain(struct wr_str s)
{
    bool ret = true;

    for (size_t i = 0; i < s.n; i++)
        ret = ret && s.p[i] > ' ' && s.p[i] < 127;
    return ret;
}

static enum wr_status take(struct wr_aws_role *ret, const struct wr_aws_creds *from,
    struct wr_str expiration, struct wr_err *e)
{
    size_t at = 0;

    if (from->access_key.n == 0 || from->secret_key.n == 0)
        return wr_fail(e, WR_CORRUPT, "the answer has no access key, or no secret key");
    if (from->access_key.n + from->secret_key.n + from->token.n > sizeof(ret->text))
        return wr_fail(e, WR_LIMIT, "the credentials are longer than %zu bytes", sizeof(ret->text));
    if (!is_plain(from->access_key) || !is_plain(from->secret_key) || !is_plain(from->token))
        return wr_fail(e, WR_CORRUPT, "the credentials have blanks or other strange characters");
    ret->creds.access_key = append(ret, &at, from->access_key);
    ret->creds.secret_key = append(ret, &at, from->secret_key);
    ret->creds.token = append(ret, &at, from->token);
    if (!wr_parse_time(expiration, &ret->expires_ms))
        ret->expires_ms = INT64_MAX;
    return WR_OK;
}

static struct wr_str member(const json_t *o, const char *name)
{
    const json_t *value = json_object_get(o, name);

    return json_is_string(value)
               ? (struct wr_str){json_string_value(value), json_string_length(value)}
               : (struct wr_str){NULL, 0};
}

enum wr_status wr_aws_take_keys(
    const struct wr_aws_creds *from, struct wr_aws_role *ret, struct wr_err *e)
{
    return take(ret, from, (struct wr_str){NULL, 0}, e);
}

/* What the library copied of it is freed and not wiped: such keys end within hours, as a rule. */
enum wr_status wr_aws_take_json(
    struct wr_str text, const char *who, struct wr_aws_role *ret, struct wr_err *e)
{
    json_t *o = json_loadb(text.p ? text.p : "", text.n, 0, NULL);
    struct wr_str code = member(o, "Code"), message = member(o, "Message");
    const struct wr_aws_creds creds = {
        member(o, "AccessKeyId"), member(o, "SecretAccessKey"), member(o, "Token")};
    enum wr_status st;

    if (!json_is_object(o))
        st = wr_fail(e, WR_CORRUPT, "%s: the answer is no JSON object", who);
    else if (code.n > 0 && !wr_str_eq(code, WR_STR("Success")))
        st = wr_fail(
            e, WR_AUTH, "%s: %.*s %.*s", who, TOLD(code, CODE_MAX), TOLD(message, MESSAGE_MAX));
    else if ((st = take(ret, &creds, member(o, "Expiration"), e)) != WR_OK)
        st = wr_wrap(e, st, "%s", who);
    json_decref(o);
    return st;
}

/* A version that is not known may mean anything by these names. */
enum wr_status wr_aws_take_process(
    struct wr_str text, const char *who, struct wr_aws_role *ret, struct wr_err *e)
{
    json_t *o = json_loadb(text.p ? text.p : "", text.n, 0, NULL);
    const json_t *version = json_object_get(o, "Version");
    const struct wr_aws_creds creds = {
        member(o, "AccessKeyId"), member(o, "SecretAccessKey"), member(o, "SessionToken")};
    enum wr_status st;

    if (!json_is_object(o))
        st = wr_fail(e, WR_CORRUPT, "%s: what it prints is no JSON object", who);
    else if (!json_is_integer(version) || json_integer_value(version) != 1)
        st = wr_fail(e, WR_CORRUPT, "%s: what it prints is not of version 1", who);
    else if ((st = take(ret, &creds, member(o, "Expiration"), e)) != WR_OK)
        st = wr_wrap(e, st, "%s", who);
    json_decref(o);
    return st;
}

struct reply {
    struct wr_arena *room;
    struct wr_str credentials; /* where they are in the document */
    struct wr_aws_creds creds;
    struct wr_str expiration, code, message;
};

static enum wr_status on_element(
    void *arg, struct wr_str path, struct wr_str text, struct wr_err *e)
{
    struct reply *r = arg;
    const struct {
        struct wr_str name;
        struct wr_str *to;
    } known[] = {
        {WR_STR("AccessKeyId"), &r->creds.access_key},
        {WR_STR("SecretAccessKey"), &r->creds.secret_key},
        {WR_STR("SessionToken"), &r->creds.token},
        {WR_STR("Expiration"), &r->expiration},
        {WR_STR("Code"), &r->code},
        {WR_STR("Message"), &r->message},
    };
    const struct wr_str error = WR_STR("ErrorResponse/Error/");
    const size_t n_keys = 4; /* of them */
    bool is_key = wr_str_starts(path, r->credentials);

    if (!is_key && !wr_str_starts(path, error))
        return WR_OK;
    path = wr_str_skip(path, is_key ? r->credentials.n : error.n);
    for (size_t i = is_key ? 0 : n_keys; i < (is_key ? n_keys : wr_countof(known)); i++) {
        if (!wr_str_eq(path, known[i].name))
            continue;
        *known[i].to = wr_arena_str(r->room, wr_str_trim(text));
        return known[i].to->p ? WR_OK : wr_fail(e, WR_NOMEM, "out of memory");
    }
    return WR_OK;
}

static bool is_passing(int status, struct wr_str code)
{
    static const char *const passing[] = {"IDPCommunicationError", "Throttling",
        "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"};
    bool ret = status >= 500 || status == 429; /* it throttles with 400, too */

    for (size_t i = 0; i < wr_countof(passing); i++)
        ret = ret || wr_str_eq(code, wr_str(passing[i]));
    return ret;
}

enum wr_status wr_aws_take_xml(struct wr_call *c, struct wr_str text, const char *action,
    int status, struct wr_aws_role *ret, struct wr_err *e)
{
    const struct wr_bytes doc = {(const uint8_t *)text.p, text.n};
    struct reply r = {.room = c->scratch,
        .credentials =
            wr_arena_fmt(c->scratch, "%sResponse/%sResult/Credentials/", action, action)};
    enum wr_status st = r.credentials.p ? wr_xml_parse(c->scratch, doc, on_element, &r, e)
                                        : wr_fail(e, WR_NOMEM, "out of memory");

    if (st == WR_NOMEM)
        return st;
    if (status != 200)
        return wr_fail(e, is_passing(status, r.code) ? WR_BUSY : WR_AUTH, "status %d %.*s %.*s",
            status, TOLD(r.code, CODE_MAX), TOLD(r.message, MESSAGE_MAX));
    return st == WR_OK ? take(ret, &r.creds, r.expiration, e) : st;
}
