/** Messages to customers (`messages = true`). Hooks only. */
import * as host from "regard:core/messages@0.1.0";
import { asked } from "../error.ts";
import { writeAttributes, type Attributes } from "../values.ts";

export interface Message {
  customerId: string;
  /** What consent is asked for, such as `marketing`. */
  purpose: string;
  body: string;
  /** Says what the message is for: the same key is enqueued once. */
  idempotencyKey: string;
  /** Delivery chooses one on which the customer can be reached when absent. */
  channel?: string;
  /** `subject`, `thread` and whatever the channel documents. */
  parameters?: Attributes;
  notBeforeMs?: number;
}

/** Enqueues a message and returns the entry's id. The host checks consent at delivery, whatever the plugin wants. */
export function enqueue(message: Message): string {
  const { customerId, purpose, body, idempotencyKey, channel = null, notBeforeMs = null } = message;
  const parameters = writeAttributes(message.parameters);
  return asked(() =>
    host.enqueue({ customerId, purpose, channel, body, parameters, idempotencyKey, notBeforeMs }),
  );
}
