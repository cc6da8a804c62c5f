/// <reference path="./contract.d.ts" />
/// <reference path="./environment.d.ts" />
/**
 * Write Regard plugins in TypeScript.
 *
 * In reading order:
 *
 * - `plugin.ts`: `plugin({...})`, what a plugin's module exports by default
 * - `hook.ts`, `connector.ts`, `kpi.ts`: the capabilities
 * - `migration.ts`: `migration({...})`, what `migration.ts` beside `plugin.ts` exports by default
 * - `columns.ts`: the columns that an evaluator reads and returns
 * - `host.ts`: the host's functions
 * - `types.ts`, `values.ts`, `error.ts`: what is handed to and fro
 * - `text.ts`, `globals.ts`, `clocked.ts`: what the language lacks inside a plugin
 * - `environment.d.ts`: the types of those globals
 * - `contract.d.ts`: the contract as the engine inside a plugin shows it; nobody else reads it
 */
export { plugin } from "./plugin.ts";
export type { Definition } from "./plugin.ts";
export type { Event, Hook } from "./hook.ts";
export { header, rejected, retry, sent, text, uncertain } from "./connector.ts";
export type {
  Channel, Connector, Features, Headers, Inbound, Outbound, Outcome, Page, Received, Reply, Webhook,
} from "./connector.ts";
export { Accumulator, metric } from "./kpi.ts";
export type { Evaluator, Input, InputColumn, Metric } from "./kpi.ts";
export { BatchBuilder, checkGroups, Dictionary, Numbers, Rows, Texts } from "./columns.ts";
export type { Batch } from "./columns.ts";
export { clock, config, customers, http, interactions, kv, log, messages, metrics, records } from "./host.ts";
export type { CustomerChange, Entry, Fields, Filter, Message, Request, Response } from "./host.ts";
export { migration } from "./migration.ts";
export type { Migration } from "./migration.ts";
export { RegardError } from "./error.ts";
export type { Code } from "./error.ts";
export type { Attributes, Json, Value } from "./values.ts";
export type { Customer, Identifier, Interaction, Money, Observation } from "./types.ts";
export { decodeText, encodeText } from "./text.ts";
