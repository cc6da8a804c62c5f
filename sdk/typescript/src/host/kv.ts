/**
 * Bytes that the plugin keeps between calls (`kv = true`). What a call writes becomes durable together with its other
 * effects, or not at all when the call fails.
 */
import * as host from "regard:core/kv@0.1.0";
import { asked } from "../error.ts";
import { decodeText, encodeText } from "../text.ts";

/** What is kept under `key`, or null. */
export function get(key: string): Uint8Array | null {
  return asked(() => host.get(key));
}

export function set(key: string, value: Uint8Array | string): void {
  const bytes = typeof value === "string" ? encodeText(value) : value;
  asked(() => host.set(key, bytes));
}

function remove(key: string): void {
  asked(() => host.delete(key));
}

export { remove as delete };

/** What `setJson` kept, or null. */
export function getJson<T>(key: string): T | null {
  const bytes = get(key);
  return bytes === null ? null : (JSON.parse(decodeText(bytes)) as T);
}

export function setJson(key: string, value: unknown): void {
  set(key, JSON.stringify(value));
}
