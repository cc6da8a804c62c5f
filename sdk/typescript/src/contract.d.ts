/**
 * The contract in `sdk/wit` as the engine inside a plugin shows it: 64-bit numbers are plain numbers, lists of bytes are
 * `Uint8Array`, other lists are arrays, an absent option is null, and an error is thrown.
 */

declare module "regard:core/types@0.1.0" {
  export type WireError = { code: string; message: string; retryAfterMs: number | null };
  export type WireValue =
    | { tag: "null" }
    | { tag: "boolean"; val: boolean }
    | { tag: "integer" | "number" | "timestamp-ms"; val: number }
    | { tag: "text" | "json"; val: string };
  export type WireAttributes = [string, WireValue][];
  export type WireMoney = { minor: number; currency: string };
  export type WireIdentifier = { scheme: string; value: string };
  export type WireCustomer = {
    id: string;
    kind: string;
    name: string;
    stage: string;
    tags: string[];
    identifiers: WireIdentifier[];
    attributes: WireAttributes;
    version: number;
  };
  export type WireInteraction = {
    id: string;
    customerId: string | null;
    channel: string;
    externalId: string;
    kind: string;
    occurredAtMs: number;
    thread: string | null;
    amount: WireMoney | null;
    attributes: WireAttributes;
    causationId: string | null;
  };
  export type WireInbound = {
    externalId: string;
    sender: WireIdentifier | null;
    aliases: WireIdentifier[];
    senderName: string | null;
    kind: string;
    occurredAtMs: number;
    thread: string | null;
    amount: WireMoney | null;
    attributes: WireAttributes;
  };
  export type WireObservation = {
    id: string;
    metric: string;
    subject: string;
    windowStartMs: number | null;
    windowEndMs: number;
    value: number;
    unit: string;
  };
  type Numbers = ArrayLike<number>;
  /** Plain numbers come in; both kinds may go out. */
  type Integers = ArrayLike<number> | BigInt64Array;
  export type WireColumnData =
    | { tag: "boolean"; val: Uint8Array }
    | { tag: "int64"; val: Integers }
    | { tag: "float64"; val: Numbers }
    | { tag: "timestamp-ms"; val: Integers }
    | { tag: "utf8"; val: { offsets: Numbers; data: Uint8Array } }
    | { tag: "dictionary"; val: { codes: Numbers; offsets: Numbers; data: Uint8Array } };
  export type WireColumn = { name: string; validity: Uint8Array | null; data: WireColumnData };
  export type WireBatch = { rows: number; columns: WireColumn[] };
}

declare module "regard:core/log@0.1.0" {
  export type Level = "trace" | "debug" | "info" | "warn" | "error";
  export function write(level: Level, message: string, fields: [string, string][]): void;
}

declare module "regard:core/clock@0.1.0" {
  export function nowMs(): number;
}

declare module "regard:core/config@0.1.0" {
  export function json(): string;
  export function secret(name: string): string;
}

declare module "regard:core/kv@0.1.0" {
  export function get(key: string): Uint8Array | null;
  export function set(key: string, value: Uint8Array): void;
  const remove: (key: string) => void;
  export { remove as delete };
  export function keys(prefix: string, after: string | null, limit: number): string[];
}

declare module "regard:core/http@0.1.0" {
  type Request = {
    method: string;
    url: string;
    headers: [string, string][];
    body: Uint8Array;
    timeoutMs: number | null;
  };
  type Response = { status: number; headers: [string, string][]; body: Uint8Array };
  export function send(request: Request): Response;
}

declare module "regard:core/customers@0.1.0" {
  import type { WireAttributes, WireCustomer, WireIdentifier } from "regard:core/types@0.1.0";
  export function get(id: string): WireCustomer | null;
  export function find(by: WireIdentifier): WireCustomer | null;
  export function update(
    id: string,
    version: number,
    set: WireAttributes,
    addTags: string[],
    removeTags: string[],
  ): WireCustomer;
}

declare module "regard:core/interactions@0.1.0" {
  import type { WireInteraction } from "regard:core/types@0.1.0";
  type Filter = {
    customerId: string | null;
    channel: string | null;
    kind: string | null;
    sinceMs: number | null;
    untilMs: number | null;
  };
  export function query(
    filter: Filter,
    cursor: string | null,
    limit: number,
  ): { items: WireInteraction[]; nextCursor: string | null };
}

declare module "regard:core/metrics@0.1.0" {
  import type { WireObservation } from "regard:core/types@0.1.0";
  export function latest(metric: string, subject: string): WireObservation | null;
}

declare module "regard:core/messages@0.1.0" {
  import type { WireAttributes } from "regard:core/types@0.1.0";
  type Message = {
    customerId: string;
    purpose: string;
    channel: string | null;
    body: string;
    parameters: WireAttributes;
    idempotencyKey: string;
    notBeforeMs: number | null;
  };
  export function enqueue(message: Message): string;
}

declare module "regard:core/records@0.1.0" {
  import type { WireAttributes } from "regard:core/types@0.1.0";
  export type Entry = {
    id: string;
    customerId: string | null;
    data: string;
    version: number;
    createdAtMs: number;
    updatedAtMs: number;
  };
  type Filter = { customerId: string | null; equal: WireAttributes };
  export function get(kind: string, id: string): Entry | null;
  export function query(
    kind: string,
    filter: Filter,
    cursor: string | null,
    limit: number,
  ): { items: Entry[]; nextCursor: string | null };
  export function create(kind: string, customerId: string | null, data: string): Entry;
  export function update(kind: string, id: string, version: number, data: string): Entry;
  const remove: (kind: string, id: string, version: number) => void;
  export { remove as delete };
}

/** What a plugin exports, one object for each interface. */
declare module "regard:exports" {
  import type {
    WireAttributes, WireBatch, WireCustomer, WireError, WireInbound, WireInteraction, WireObservation,
  } from "regard:core/types@0.1.0";

  export type WireEvent =
    | { tag: "interaction-appended"; val: WireInteraction }
    | { tag: "customer-changed"; val: WireCustomer }
    | { tag: "metric-observed"; val: { observation: WireObservation; previous: number | null } };
  export type WireChannel = { id: string; name: string; settings: WireAttributes };
  export type WireWebhook = {
    method: string;
    path: string;
    query: string;
    headers: [string, string][];
    body: Uint8Array;
  };
  export type WireReply = { status: number; headers: [string, string][]; body: Uint8Array };
  export type WireReceived = { items: WireInbound[]; reply: WireReply };
  export type WirePage = { items: WireInbound[]; cursor: Uint8Array | null; more: boolean };
  export type WireOutbound = {
    idempotencyKey: string;
    recipient: string;
    thread: string | null;
    subject: string | null;
    text: string;
    attributes: WireAttributes;
  };
  export type WireOutcome =
    | { tag: "sent"; val: string }
    | { tag: "rejected" | "retry" | "uncertain"; val: WireError };
  export type WireFeatures = {
    receives: boolean;
    polls: boolean;
    sends: boolean;
    threads: boolean;
    receipts: boolean;
    idempotent: boolean;
    addressScheme: string;
    textLimit: number | null;
  };
  export type WireMetric = {
    name: string;
    version: number;
    description: string;
    unit: string;
    subject: "customer" | "business";
    kinds: string[];
    inputs: { column: string; required: boolean }[];
    parametersSchema: string;
  };

  export interface WireLifecycle {
    configure(): void;
  }
  export interface WireMigration {
    upgrade(fromVersion: string): void;
    downgrade(toVersion: string): void;
  }
  export interface WireHook {
    handle(events: WireEvent[]): void;
  }
  export interface WireConnector {
    describe(): WireFeatures;
    receive(channel: WireChannel, request: WireWebhook): WireReceived;
    poll(channel: WireChannel, cursor: Uint8Array | null, limit: number): WirePage;
    send(channel: WireChannel, message: WireOutbound): WireOutcome;
  }
  export interface WireAccumulator {
    update(groups: ArrayLike<number>, groupCount: number, rows: WireBatch): void;
    merge(state: Uint8Array, remap: ArrayLike<number>): void;
    state(): Uint8Array;
    finish(asOfMs: number): WireBatch;
    model(): string | null;
  }
  export interface WireEvaluator {
    describe(): WireMetric[];
    /** The class of the resource `accumulator`. */
    Accumulator: { open(metric: string, parameters: string): WireAccumulator };
  }
}
