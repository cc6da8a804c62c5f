/*
 * The interface between Regard and trusted native plugins, in C.
 *
 * A plugin is a shared library that exports one function, regard_plugin_v1. The host hands it a table of functions
 * (regard_host) and gets one back (regard_plugin). There is no version of this file to choose: the tables tell.
 *
 * Rules that hold everywhere:
 *
 * - Ownership. Memory is lent, never handed over: a pointer that comes in is good until the function returns, and
 *   what you hand out is copied before the host's function returns. Nobody frees what the other side made. The one
 *   exception is the accumulator, which you make in kpi_open and free in kpi_close.
 * - Threads. Functions are called on any thread, several at a time. One accumulator is called by one thread at a time,
 *   but not always the same one. A regard_call is good on the thread that got it, until the function returns.
 * - Text is UTF-8 with a length and without a zero byte at its end. Records are JSON objects whose fields are named as
 *   in sdk/luau/regard.d.luau; bytes are base64 in a field whose name ends in _base64; headers are a list of pairs.
 * - No exception, longjmp or panic may leave a function. Nothing stops your code: a function that does not return in
 *   time fails, and your library is not called again until it has returned.
 * - A library is never unloaded. When it is loaded again, with another configuration say, it is the same one with the
 *   same static variables, and configure is called again.
 *
 * Later versions add functions at the end of the tables and nothing else. Before you call a function of regard_host
 * that this comment does not describe as being there from the beginning, look whether struct_size covers it.
 */
#ifndef REGARD_H
#define REGARD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this interface; another one has another entry function. */
#define REGARD_ABI_MAJOR 1u

/* How a function ended. */
typedef int32_t regard_status;
enum {
    /* It did what it was asked. */
    REGARD_OK = 0,
    /* It failed. Yours: it said why with regard_host.fail. The host's: the answer says why. */
    REGARD_ERROR = 1,
    /* Yours: it broke, as by a panic that you caught. The host counts it as a crash. */
    REGARD_CRASHED = 2,
    /* The host's: the call has run into one of its bounds. Free what you hold and return REGARD_STOPPED. */
    REGARD_STOPPED = 3,
    /* The host's: not during a call, not on its thread, or a pointer or a text that cannot be. */
    REGARD_MISUSED = 4
};

/* How grave a log line is. */
typedef uint32_t regard_level;
enum { REGARD_TRACE = 0, REGARD_DEBUG = 1, REGARD_INFO = 2, REGARD_WARN = 3, REGARD_FAULT = 4 };

/* What a column holds. */
typedef uint32_t regard_type;
enum {
    REGARD_BOOLEAN = 0,      /* uint8_t per row, 0 or 1 */
    REGARD_INT64 = 1,        /* int64_t per row */
    REGARD_FLOAT64 = 2,      /* double per row */
    REGARD_TIMESTAMP_MS = 3, /* int64_t per row, milliseconds since 1970 */
    REGARD_UTF8 = 4,         /* text i is data[offsets[i]] to data[offsets[i + 1]] */
    REGARD_DICTIONARY = 5    /* uint32_t per row: the number of a text */
};

/* A call under way. Only the host looks into it. */
typedef struct regard_call regard_call;

/* An open accumulator. Only you look into it: define the struct, or cast from your own. */
typedef struct regard_accumulator regard_accumulator;

/* UTF-8 text, lent. */
typedef struct regard_text {
    const char *data;
    size_t length;
} regard_text;

/* One column of a batch. */
typedef struct regard_column {
    regard_text name;
    regard_type kind;
    /* Texts in offsets and data: as many as rows for REGARD_UTF8, the entries for REGARD_DICTIONARY, else 0. */
    uint32_t texts;
    /* One bit per row, least significant first, 1 where there is a value; NULL when no row is null. */
    const uint8_t *validity;
    /* One value per row, of the kind's type; NULL for REGARD_UTF8. */
    const void *values;
    /* texts + 1 numbers; NULL when there are no texts. */
    const uint32_t *offsets;
    const char *data;
} regard_column;

/* Columns of equal length. */
typedef struct regard_batch {
    uint32_t rows;
    uint32_t column_count;
    const regard_column *columns;
} regard_batch;

/*
 * What the host offers. The table lives as long as the process: keep the pointer. All functions here are there from
 * the beginning. Each may be called only during one of your functions and with the regard_call that it was given.
 */
typedef struct regard_host {
    /* REGARD_ABI_MAJOR. */
    uint32_t abi_major;
    /* Bytes of this table. */
    uint32_t struct_size;

    /*
     * Calls a host function by name; the table below this struct lists them. arguments is a JSON object, empty for
     * none. Needs the grant that the contract names for the function.
     *
     * Returns REGARD_OK, and in *answer the result as JSON (null where there is none); REGARD_ERROR, and in *answer
     * {"code", "message", "retry_after_ms"?}; REGARD_STOPPED or REGARD_MISUSED, and nothing in *answer. The answer is
     * the host's and good until the next host function. answer may be NULL.
     *
     *     regard_text found;
     *     regard_status status = host->call(call, regard_str("kv.get"), regard_str("{\"key\":\"cursor\"}"), &found);
     *     if (status != REGARD_OK) return status;   // passes an error on as it is, see fail
     */
    regard_status (*call)(regard_call *call, regard_text function, regard_text arguments, regard_text *answer);

    /*
     * Writes a line to the host's log under the plugin's name. Every function may. fields is a JSON object, or empty.
     *
     * Returns REGARD_OK, or REGARD_STOPPED when the call has logged more than it may.
     *
     *     host->log(call, REGARD_INFO, regard_str("fitted"), regard_str("{\"rows\":17}"));
     */
    regard_status (*log)(regard_call *call, regard_level level, regard_text message, regard_text fields);

    /*
     * Adds a piece to what the running function returns: JSON text, or for kpi_state the bytes of the state. Call it
     * as often as you like; the pieces are joined. The host copies them.
     *
     * Returns REGARD_OK, or REGARD_STOPPED when the whole is larger than allowed.
     *
     *     regard_text answer = regard_str("{\"sends\":true,\"address_scheme\":\"email\"}");
     *     return host->write(call, answer.data, answer.length);
     */
    regard_status (*write)(regard_call *call, const void *data, size_t length);

    /*
     * Hands over the batch that kpi_finish returns. The host copies it.
     *
     * Returns REGARD_OK, REGARD_STOPPED when it is larger than allowed, or REGARD_MISUSED when a pointer is missing.
     *
     *     regard_column value = {regard_str("value"), REGARD_FLOAT64, 0, NULL, values, NULL, NULL};
     *     regard_batch result = {rows, 1, &value};
     *     return host->write_batch(call, &result);
     */
    regard_status (*write_batch)(regard_call *call, const regard_batch *batch);

    /*
     * Says why the running function fails. code is one of invalid, denied, not-found, conflict, throttled,
     * unavailable, unsupported, exhausted, failed; message is for people, lower-case without a full stop.
     * retry_after_ms says when another try makes sense, or is negative.
     *
     * Returns REGARD_ERROR, for you to return. A function that returns REGARD_ERROR without having called this fails
     * with the error of the last host function. Before REGARD_CRASHED it gives the words of the crash.
     *
     *     return host->fail(call, regard_str("throttled"), regard_str("slow down"), 1500);
     */
    regard_status (*fail)(regard_call *call, regard_text code, regard_text message, int64_t retry_after_ms);
} regard_host;

/*
 * Host functions by name, for regard_host.call. Who may call them: every function of the plugin, or functions of the
 * capability named in brackets, with the permission in plugin.toml. Results are JSON; `?` marks what may be absent.
 *
 *   config.json            {}                       the configuration, valid against its schema     every function
 *   config.secret          {"name"}                 a text; "not-found" when it is not set          every function, secrets
 *   clock.now_ms           {}                       a number, milliseconds since 1970               [connector, hook]
 *   kv.get                 {"key"}                  {"value_base64"} or null                        [connector, hook], kv
 *   kv.set                 {"key", "value_base64"}  null                                            [connector, hook], kv
 *   kv.delete              {"key"}                  null                                            [connector, hook], kv
 *   kv.keys                {"prefix"?, "after"?, "limit"?}  ["key", ...], ascending                 [connector, hook], kv
 *   http.send              {"method"?, "url", "headers"?, "body_base64"?, "timeout_ms"?}
 *                          {"status", "headers", "body_base64"}                                     [connector, hook], hosts
 *   customers.get          {"id"}                   a customer or null                              [hook], customers
 *   customers.find         {"scheme", "value"}      a customer or null                              [hook], customers
 *   customers.update       {"id", "version", "set"?, "add_tags"?, "remove_tags"?}
 *                          the customer as changed; "conflict" when version is an old one           [hook], customers
 *   interactions.query     {"customer_id"?, "channel"?, "kind"?, "since_ms"?, "until_ms"?, "cursor"?, "limit"?}
 *                          {"items", "next_cursor"?}, newest first                                  [hook], interactions
 *   metrics.latest         {"metric", "subject"}    an observation or null                          [hook], metrics
 *   messages.enqueue       {"customer_id", "purpose", "channel"?, "body", "parameters"?, "idempotency_key",
 *                          "not_before_ms"?}        a text: the entry's id                          [hook], messages
 *   records.get            {"kind", "id"}           a record or null                                [hook]
 *   records.query          {"kind", "filter"?: {"customer_id"?, "equal"?: {field: value}, "cursor"?, "limit"?}}
 *                          {"items", "next_cursor"?}, newest first                                  [hook]
 *   records.create         {"kind", "customer_id"?, "data": {...}}  the record                      [hook]
 *   records.update         {"kind", "id", "version", "data": {...}} the record                      [hook]
 *   records.delete         {"kind", "id", "version"}  null                                          [hook]
 *                          kv and records are there for migrations too; other plugins' types of records need
 *                          permissions.records
 *
 * A function that this host does not have gives the error "unsupported".
 */

/* A function of yours that is given JSON and answers with regard_host.write. */
typedef regard_status (*regard_function)(regard_call *call, regard_text arguments);

/*
 * What you offer. Fill the first two fields and the functions that you have; leave the others NULL. What the table has
 * must be what plugin.toml names under capabilities: connector needs connector_describe, hook needs hook_handle, kpi
 * needs all of kpi_describe, kpi_open, kpi_update, kpi_merge, kpi_state, kpi_finish and kpi_close. The host alone calls
 * these functions. Each returns REGARD_OK, REGARD_ERROR after regard_host.fail, REGARD_CRASHED, or REGARD_STOPPED when
 * a host function said so.
 *
 *     static const regard_plugin plugin = {
 *         .abi_major = REGARD_ABI_MAJOR,
 *         .struct_size = sizeof(regard_plugin),
 *         .hook_handle = handle,
 *     };
 */
typedef struct regard_plugin {
    /* REGARD_ABI_MAJOR. */
    uint32_t abi_major;
    /* sizeof(regard_plugin). */
    uint32_t struct_size;

    /*
     * Sets the library up: called each time it is loaded, before anything else. An error keeps it from being loaded.
     * Given {}; writes nothing. The place to check the configuration beyond its schema.
     */
    regard_function configure;

    /*
     * Says what the connector can do. Given {}; writes {"receives"?, "polls"?, "sends"?, "threads"?, "receipts"?,
     * "idempotent"?, "address_scheme", "text_limit"?}.
     */
    regard_function connector_describe;
    /*
     * Takes a webhook call. Given {"channel": {"id", "name", "settings"}, "request": {"method", "path", "query",
     * "headers", "body_base64"}}; writes {"items": [{"external_id", "sender"?: {"scheme", "value"},
     * "aliases"?: [{"scheme", "value"}], "sender_name"?, "kind", "occurred_at_ms", "thread"?, "amount"?: {"minor", "currency"}, "attributes"?}], "reply"?: {"status"?,
     * "headers"?, "body_base64"?}}. Errors: denied for a wrong signature, invalid for a body that cannot be read.
     */
    regard_function connector_receive;
    /*
     * Gives the next page. Given {"channel", "cursor_base64"?, "limit"}; writes {"items", "cursor_base64"?, "more"?}.
     */
    regard_function connector_poll;
    /*
     * Hands a message to the provider. Given {"channel", "message": {"idempotency_key", "recipient", "thread"?,
     * "subject"?, "text", "attributes"}}; writes exactly one of {"sent": id}, {"rejected": why},
     * {"retry": why, "after_ms"?} and {"uncertain": why}.
     */
    regard_function connector_send;

    /*
     * Takes events, in order, at least once. Given {"events": [{"type": "interaction-appended", "interaction"} |
     * {"type": "customer-changed", "customer"} | {"type": "metric-observed", "observation", "previous"?}]}; writes
     * nothing. An observation's value is null where the metric is undefined. What a [[schedule]] in plugin.toml makes is
     * an interaction-appended of the kind schedule.due, with the schedule's name in the attribute schedule.
     */
    regard_function hook_handle;

    /*
     * Describes the metrics. Given {}; writes [{"name", "version", "description", "unit", "subject": "customer" |
     * "business", "kinds"?, "inputs": [column | {"column", "required"}], "parameters"?: schema}].
     */
    regard_function kpi_describe;
    /*
     * Opens an accumulator of a metric into *opened; it is yours until kpi_close. parameters is a JSON object, valid
     * against the metric's schema, defaults filled in.
     */
    regard_status (*kpi_open)(regard_call *call, regard_text metric, regard_text parameters,
                              regard_accumulator **opened);
    /*
     * Adds rows. groups[i], one for each row, is the number of row i's customer, below group_count, which never
     * shrinks. Rows come in any order. Groups and columns are lent.
     */
    regard_status (*kpi_update)(regard_call *call, regard_accumulator *accumulator, const uint32_t *groups,
                                uint32_t group_count, const regard_batch *rows);
    /*
     * Adds what kpi_state of another accumulator wrote; its group i is remap[i] here. The bytes come from outside:
     * check them.
     */
    regard_status (*kpi_merge)(regard_call *call, regard_accumulator *accumulator, const uint8_t *state,
                               size_t state_length, const uint32_t *remap, size_t remap_length);
    /* Writes everything added so far, as bytes that a later version of the library still reads. */
    regard_status (*kpi_state)(regard_call *call, regard_accumulator *accumulator);
    /*
     * Hands over one row per group, or one row in all for a metric of the business, with regard_host.write_batch:
     * a REGARD_FLOAT64 column "value", null where the metric is undefined, then further columns. as_of_ms is the
     * first instant outside of the window.
     */
    regard_status (*kpi_finish)(regard_call *call, regard_accumulator *accumulator, int64_t as_of_ms);
    /* Writes fitted parameters as JSON, after kpi_finish. NULL for metrics that fit nothing. */
    regard_status (*kpi_model)(regard_call *call, regard_accumulator *accumulator);
    /* Frees an accumulator; called once, on any thread, without a call. */
    void (*kpi_close)(regard_accumulator *accumulator);
    /*
     * Both or neither: they bring what the plugin keeps into the shape of another version, with kv and records. What they
     * change becomes durable together with the switch; when they fail, nothing is changed and the version that serves
     * goes on serving. No call of the plugin's hook or connector runs meanwhile.
     */
    /* {"version"}: called on the new version before it serves; version is the one that served. */
    regard_function migration_upgrade;
    /* {"version"}: called on the version that serves before an earlier one, version, takes its place again. */
    regard_function migration_downgrade;
} regard_plugin;

#if defined(_WIN32)
#define REGARD_EXPORT __declspec(dllexport)
#else
#define REGARD_EXPORT __attribute__((visibility("default")))
#endif

/*
 * The function that a library exports; the host calls it when it loads the library, before everything else. Keep
 * the pointer to the host and return your table, which must stay as it is for ever; NULL when the host is not for you.
 *
 *     static const regard_host *host;
 *
 *     const regard_plugin *regard_plugin_v1(const regard_host *given) {
 *         if (given->abi_major != REGARD_ABI_MAJOR || given->struct_size < sizeof(regard_host)) return NULL;
 *         host = given;
 *         return &plugin;
 *     }
 */
REGARD_EXPORT const regard_plugin *regard_plugin_v1(const regard_host *host);

/* A text from a string that ends in a zero byte. */
static inline regard_text regard_str(const char *string) {
    regard_text text;
    text.data = string;
    text.length = strlen(string);
    return text;
}

#ifdef __cplusplus
}
#endif

#endif
