/**
 * Bytes that the plugin keeps between calls (`kv = true`). What a call writes becomes durable together with its other
 * effects, or not at all when the call fails.
 */
import * as host from "regard:core/kv@0.1.0";
import { asked } from "../error.ts";
import { decodeText, encodeText } from "../text.ts";

/** Keys that `keys` gives when it is not told otherwise. */
const LIMIT = 100;

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

/** Keys that begin with `prefix`, ascending, from the one after `after` on; `limit` is 100 unless told, at most 1000. */
export function keys(prefix: string, page: { after?: string | null; limit?: number } = {}): string[] {
  return asked(() => host.keys(prefix, page.after ?? null, page.limit ?? LIMIT));
}

/** What `setJson` kept, or null. */
export function getJson<T>(key: string): T | null {
  const bytes = get(key);
  return bytes === null ? null : (JSON.parse(decodeText(bytes)) as T);
}

export function setJson(key: string, value: unknown): void {
  set(key, JSON.stringify(value));
}
