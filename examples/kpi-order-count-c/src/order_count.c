/*
 * How many orders each customer has placed, and what they came to.
 *
 * An accumulator has two numbers per customer. Adding up does not depend on order or on how the rows are split, so any
 * split gives the same result, as the contract demands.
 */
#include <stdlib.h>

#include <regard.h>

/* Every state begins with this: whose it is, and the version of its layout. */
static const uint8_t MARK[4] = {'o', 'c', 'n', 1};
/* Bytes of one customer in a state: orders, spent. */
enum { CUSTOMER_BYTES = 16 };

struct customer {
    int64_t orders;
    /* Minor units of the run's currency. */
    int64_t spent;
};

struct regard_accumulator {
    uint32_t count;
    uint32_t capacity;
    struct customer *customers;
};

static const regard_host *host;

static regard_status invalid(regard_call *call, const char *why) {
    return host->fail(call, regard_str("invalid"), regard_str(why), -1);
}

static regard_status out_of_memory(regard_call *call) {
    return host->fail(call, regard_str("exhausted"), regard_str("there is no memory left"), -1);
}

/* Makes room for customers below count; 0 when there is no memory. */
static int grow(regard_accumulator *accumulator, uint32_t count) {
    if (count > accumulator->capacity) {
        uint64_t wanted = (uint64_t)accumulator->capacity * 2;
        uint32_t capacity = wanted > count ? (uint32_t)(wanted > UINT32_MAX ? UINT32_MAX : wanted) : count;
        struct customer *grown = realloc(accumulator->customers, (size_t)capacity * sizeof *grown);
        if (grown == NULL) return 0;
        accumulator->customers = grown;
        accumulator->capacity = capacity;
    }
    while (accumulator->count < count) {
        accumulator->customers[accumulator->count++] = (struct customer){0, 0};
    }
    return 1;
}

/* Adds up; 0 when a sum does not fit. */
static int add(struct customer *to, int64_t orders, int64_t spent) {
    int64_t most = INT64_MAX, least = INT64_MIN;
    if (orders < 0 || to->orders > most - orders) return 0;
    if (spent > 0 ? to->spent > most - spent : to->spent < least - spent) return 0;
    to->orders += orders;
    to->spent += spent;
    return 1;
}

static const regard_column *find(const regard_batch *rows, const char *name, regard_type kind) {
    regard_text wanted = regard_str(name);
    for (uint32_t at = 0; at < rows->column_count; at++) {
        const regard_column *column = &rows->columns[at];
        if (column->name.length == wanted.length && memcmp(column->name.data, wanted.data, wanted.length) == 0) {
            return column->kind == kind ? column : NULL;
        }
    }
    return NULL;
}

static regard_status describe(regard_call *call, regard_text arguments) {
    (void)arguments;
    regard_text metrics = regard_str(
        "[{\"name\": \"order-count\", \"version\": 1, \"unit\": \"orders\", \"subject\": \"customer\","
        " \"description\": \"Orders that the customer has placed, and in `spent` what they came to.\","
        " \"kinds\": [\"order.placed\"], \"inputs\": [{\"column\": \"amount\", \"required\": false}]}]");
    return host->write(call, metrics.data, metrics.length);
}

static regard_status open_accumulator(regard_call *call, regard_text metric, regard_text parameters,
                                      regard_accumulator **opened) {
    (void)metric;
    (void)parameters;
    *opened = calloc(1, sizeof **opened);
    return *opened == NULL ? out_of_memory(call) : REGARD_OK;
}

static regard_status update(regard_call *call, regard_accumulator *accumulator, const uint32_t *groups,
                            uint32_t group_count, const regard_batch *rows) {
    if (!grow(accumulator, group_count)) return out_of_memory(call);
    const regard_column *amount = find(rows, "amount", REGARD_INT64);
    const int64_t *amounts = amount == NULL ? NULL : amount->values;
    const uint8_t *validity = amount == NULL ? NULL : amount->validity;
    for (uint32_t row = 0; row < rows->rows; row++) {
        if (groups[row] >= accumulator->count) return invalid(call, "a group is not below the group count");
        int has_amount = amounts != NULL && (validity == NULL || (validity[row / 8] >> (row % 8) & 1));
        if (!add(&accumulator->customers[groups[row]], 1, has_amount ? amounts[row] : 0)) {
            return invalid(call, "a customer's amounts do not fit 64 bits");
        }
    }
    return REGARD_OK;
}

static void put(uint8_t *to, uint64_t value) {
    for (int byte = 0; byte < 8; byte++) to[byte] = (uint8_t)(value >> (8 * byte));
}

static int64_t get(const uint8_t *from) {
    uint64_t value = 0;
    for (int byte = 0; byte < 8; byte++) value |= (uint64_t)from[byte] << (8 * byte);
    return (int64_t)value;
}

/* The mark, then orders and spent of each customer, all numbers with the lowest byte first. */
static regard_status write_state(regard_call *call, regard_accumulator *accumulator) {
    regard_status status = host->write(call, MARK, sizeof MARK);
    for (uint32_t at = 0; at < accumulator->count && status == REGARD_OK; at++) {
        uint8_t bytes[CUSTOMER_BYTES];
        put(bytes, (uint64_t)accumulator->customers[at].orders);
        put(bytes + 8, (uint64_t)accumulator->customers[at].spent);
        status = host->write(call, bytes, sizeof bytes);
    }
    return status;
}

static regard_status merge(regard_call *call, regard_accumulator *accumulator, const uint8_t *state,
                           size_t state_length, const uint32_t *remap, size_t remap_length) {
    if (state_length < sizeof MARK || memcmp(state, MARK, sizeof MARK) != 0) {
        return invalid(call, "these bytes are no state of order-count");
    }
    size_t length = state_length - sizeof MARK;
    if (length % CUSTOMER_BYTES != 0 || length / CUSTOMER_BYTES != remap_length) {
        return invalid(call, "the state has not as many customers as are mapped");
    }
    for (size_t at = 0; at < remap_length; at++) {
        const uint8_t *bytes = state + sizeof MARK + at * CUSTOMER_BYTES;
        if (remap[at] == UINT32_MAX) return invalid(call, "a group is past all groups");
        if (!grow(accumulator, remap[at] + 1)) return out_of_memory(call);
        if (!add(&accumulator->customers[remap[at]], get(bytes), get(bytes + 8))) {
            return invalid(call, "a customer's sums do not fit 64 bits");
        }
    }
    return REGARD_OK;
}

static regard_status finish(regard_call *call, regard_accumulator *accumulator, int64_t as_of_ms) {
    (void)as_of_ms;
    uint32_t rows = accumulator->count;
    /* One more, since asking for nothing may give NULL. */
    double *orders = malloc(((size_t)rows + 1) * sizeof *orders);
    int64_t *spent = malloc(((size_t)rows + 1) * sizeof *spent);
    if (orders == NULL || spent == NULL) {
        free(orders);
        free(spent);
        return out_of_memory(call);
    }
    for (uint32_t at = 0; at < rows; at++) {
        orders[at] = (double)accumulator->customers[at].orders;
        spent[at] = accumulator->customers[at].spent;
    }
    regard_column columns[2] = {
        {regard_str("value"), REGARD_FLOAT64, 0, NULL, orders, NULL, NULL},
        {regard_str("spent"), REGARD_INT64, 0, NULL, spent, NULL, NULL},
    };
    regard_batch result = {rows, 2, columns};
    regard_status status = host->write_batch(call, &result);
    free(orders);
    free(spent);
    return status;
}

static void close_accumulator(regard_accumulator *accumulator) {
    free(accumulator->customers);
    free(accumulator);
}

static const regard_plugin plugin = {
    .abi_major = REGARD_ABI_MAJOR,
    .struct_size = sizeof(regard_plugin),
    .kpi_describe = describe,
    .kpi_open = open_accumulator,
    .kpi_update = update,
    .kpi_merge = merge,
    .kpi_state = write_state,
    .kpi_finish = finish,
    .kpi_close = close_accumulator,
};

const regard_plugin *regard_plugin_v1(const regard_host *given) {
    if (given->abi_major != REGARD_ABI_MAJOR || given->struct_size < sizeof(regard_host)) return NULL;
    host = given;
    return &plugin;
}
