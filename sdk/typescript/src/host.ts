/**
 * The host's functions, by the contract's names. Each needs the permission in `plugin.toml` that stands beside it; without
 * it `regard plugin build` says what to write there. What fails throws a `RegardError`.
 */
export * as log from "./host/log.ts";
export * as clock from "./host/clock.ts";
export * as config from "./host/config.ts";
export * as kv from "./host/kv.ts";
export * as http from "./host/http.ts";
export * as customers from "./host/customers.ts";
export * as interactions from "./host/interactions.ts";
export * as metrics from "./host/metrics.ts";
export * as messages from "./host/messages.ts";
export * as records from "./host/records.ts";
export type { Fields } from "./host/log.ts";
export type { Request, Response } from "./host/http.ts";
export type { CustomerChange } from "./host/customers.ts";
export type { Filter } from "./host/interactions.ts";
export type { Message } from "./host/messages.ts";
export type { Entry } from "./host/records.ts";
