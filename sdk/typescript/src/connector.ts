import type { WireInbound } from "regard:core/types@0.1.0";
import type { WireChannel, WireConnector, WireOutbound, WireOutcome } from "regard:exports";
import { RegardError, wireError, type Code } from "./error.ts";
import { guard, guardInfallible } from "./guard.ts";
import { encodeText } from "./text.ts";
import type { Identifier, Money } from "./types.ts";
import { readAttributes, writeAttributes, type Attributes } from "./values.ts";

/** The channel in whose name a call runs; its secrets come from `config.secret`. */
export interface Channel {
  id: string;
  name: string;
  settings: Attributes;
}

/** Lower-case names with their values; a name may come several times. */
export type Headers = [string, string][];

export interface Webhook {
  method: string;
  path: string;
  query: string;
  headers: Headers;
  body: Uint8Array;
}

/** What the caller of a webhook is answered: 200 without a body by default. */
export interface Reply {
  status?: number;
  headers?: { [name: string]: string };
  body?: Uint8Array | string;
}

/** What came in. The host deduplicates on channel and `externalId`, and finds or makes the sender's customer. */
export interface Inbound {
  externalId: string;
  sender?: Identifier | null;
  /** Further identifiers of the same sender. */
  aliases?: Identifier[];
  /** How a customer who has to be made is called. */
  senderName?: string | null;
  kind: string;
  occurredAtMs: number;
  thread?: string | null;
  amount?: Money | null;
  attributes?: Attributes;
}

/** The reply goes out after every item is durable. */
export interface Received {
  items: Inbound[];
  reply?: Reply;
}

export interface Page {
  items: Inbound[];
  /** Where the next page begins; null or absent to keep the cursor that was given. */
  cursor?: Uint8Array | null;
  /** Whether the next page is there already. */
  more?: boolean;
}

export interface Outbound {
  /** The same for every try of one message. */
  idempotencyKey: string;
  recipient: string;
  thread: string | null;
  subject: string | null;
  text: string;
  attributes: Attributes;
}

/** How sending ended; made by `sent`, `rejected`, `retry` and `uncertain`. */
export type Outcome = WireOutcome;

/** What the connector can do; what it receives, polls and sends follows from its functions. */
export interface Features {
  /** The identifier scheme by which a customer is addressed on this channel, such as `email`. */
  addressScheme: string;
  textLimit?: number;
  threads?: boolean;
  receipts?: boolean;
  /** Whether the provider itself sends a repeated idempotency key once. */
  idempotent?: boolean;
}

/** A channel's way in and out. Leave out what the channel does not do. */
export interface Connector {
  features: Features;
  /** A webhook call. Throw `denied` for a wrong signature (the host answers 401), `invalid` for an unreadable body (400). */
  receive?(channel: Channel, request: Webhook): Received;
  /** The next page after `cursor`, at most `limit` items. */
  poll?(channel: Channel, cursor: Uint8Array | null, limit: number): Page;
  /**
   * Hands a message to the provider. Whoever cannot tell whether the provider took it answers `uncertain`, never `retry`; a
   * `RegardError` that is thrown counts as `uncertain` for that reason.
   */
  send?(channel: Channel, message: Outbound): Outcome;
}

/** The provider took it; `id` is its id for the message. */
export const sent = (id: string): Outcome => ({ tag: "sent", val: id });

/** Will never be taken: the entry becomes a dead letter. */
export const rejected = (message: string, code: Code = "invalid"): Outcome => failed("rejected", code, message);

/** Not taken this time: the host tries again, after `afterMs` when given. */
export const retry = (message: string, options: { afterMs?: number; code?: Code } = {}): Outcome =>
  failed("retry", options.code ?? "unavailable", message, options.afterMs);

/** The provider may have taken it and gives no way to ask: a person decides. */
export const uncertain = (message: string): Outcome => failed("uncertain", "failed", message);

function failed(tag: "rejected" | "retry" | "uncertain", code: Code, message: string, afterMs?: number): Outcome {
  const options = afterMs === undefined ? {} : { retryAfterMs: afterMs };
  return { tag, val: wireError(new RegardError(code, message, options)) };
}

/** The first header of this name, or null. */
export function header(of: { headers: Headers }, name: string): string | null {
  return of.headers.find(([found]) => found.toLowerCase() === name.toLowerCase())?.[1] ?? null;
}

/** A text setting of the channel; throws `invalid` when it is absent or no text. */
export function text(channel: Channel, setting: string): string {
  const value = channel.settings[setting];
  if (typeof value === "string") return value;
  throw new RegardError("invalid", `channel \`${channel.name}\` lacks the text setting \`${setting}\``);
}

const readChannel = (channel: WireChannel): Channel => ({
  ...channel,
  settings: readAttributes(channel.settings),
});

const readOutbound = (message: WireOutbound): Outbound => ({
  ...message,
  attributes: readAttributes(message.attributes),
});

const writeInbound = (item: Inbound): WireInbound => ({
  externalId: item.externalId,
  sender: item.sender ?? null,
  aliases: item.aliases ?? [],
  senderName: item.senderName ?? null,
  kind: item.kind,
  occurredAtMs: item.occurredAtMs,
  thread: item.thread ?? null,
  amount: item.amount ?? null,
  attributes: writeAttributes(item.attributes),
});

/** The connector behind the contract's interface. */
export function exportConnector(connector: Connector): WireConnector {
  const { features } = connector;
  const without = (channel: Channel, what: string) =>
    new RegardError("unsupported", `channel \`${channel.name}\` ${what}`);
  return {
    describe: guardInfallible("describe", () => ({
      receives: connector.receive !== undefined,
      polls: connector.poll !== undefined,
      sends: connector.send !== undefined,
      threads: features.threads ?? false,
      receipts: features.receipts ?? false,
      idempotent: features.idempotent ?? false,
      addressScheme: features.addressScheme,
      textLimit: features.textLimit ?? null,
    })),
    receive: guard("receive", (wire, request) => {
      const channel = readChannel(wire);
      if (connector.receive === undefined) throw without(channel, "does not receive webhooks");
      const { items, reply = {} } = connector.receive(channel, request);
      const body = typeof reply.body === "string" ? encodeText(reply.body) : reply.body;
      return {
        items: items.map(writeInbound),
        reply: {
          status: reply.status ?? 200,
          headers: Object.entries(reply.headers ?? {}),
          body: body ?? new Uint8Array(),
        },
      };
    }),
    poll: guard("poll", (wire, cursor, limit) => {
      const channel = readChannel(wire);
      if (connector.poll === undefined) throw without(channel, "is not polled");
      const page = connector.poll(channel, cursor, limit);
      return { items: page.items.map(writeInbound), cursor: page.cursor ?? null, more: page.more ?? false };
    }),
    send: guardInfallible("send", (wire, message) => {
      const channel = readChannel(wire);
      if (connector.send === undefined) return rejected(without(channel, "does not send").message, "unsupported");
      try {
        return connector.send(channel, readOutbound(message));
      } catch (error) {
        if (error instanceof RegardError) return { tag: "uncertain", val: wireError(error) };
        throw error;
      }
    }),
  };
}
