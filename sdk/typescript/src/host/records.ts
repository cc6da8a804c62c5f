/**
 * Records of the types that the plugin declares with `[[records]]`, and of other plugins' types with
 * `records = { case = "read" }`. Hooks and migrations only.
 */
import * as host from "regard:core/records@0.1.0";
import { asked } from "../error.ts";
import { writeAttributes, type Attributes, type Json } from "../values.ts";

/** Rows in one page when `query` is not told otherwise; the host gives at most 500. */
const LIMIT = 100;

/** A record; `data` is an object, valid against the type's schema. */
export interface Entry<T = Json> {
  id: string;
  customerId: string | null;
  data: T;
  version: number;
  createdAtMs: number;
  updatedAtMs: number;
}

function read<T>(entry: host.Entry): Entry<T> {
  return { ...entry, data: JSON.parse(entry.data) as T };
}

/** A record, with what this call has changed; null when there is none. */
export function get<T = Json>(kind: string, id: string): Entry<T> | null {
  const entry = asked(() => host.get(kind, id));
  return entry === null ? null : read<T>(entry);
}

/**
 * One page of records, newest first; `nextCursor` is null on the last one. `equal` has values that indexed fields must have.
 * Sees what is stored, not what this call has changed.
 */
export function query<T = Json>(
  kind: string,
  filter: { customerId?: string; equal?: Attributes } = {},
  page: { cursor?: string | null; limit?: number } = {},
): { items: Entry<T>[]; nextCursor: string | null } {
  const wire = { customerId: filter.customerId ?? null, equal: writeAttributes(filter.equal) };
  const found = asked(() => host.query(kind, wire, page.cursor ?? null, page.limit ?? LIMIT));
  return { items: found.items.map((entry) => read<T>(entry)), nextCursor: found.nextCursor };
}

/** Makes a record; `invalid` when the schema refuses it, `conflict` when another one has the value of a unique field. */
export function create<T>(kind: string, customerId: string | null, data: T): Entry<T> {
  return read<T>(asked(() => host.create(kind, customerId, JSON.stringify(data))));
}

/** Replaces the data; `conflict` when `version` is no longer the stored one. */
export function update<T>(kind: string, id: string, version: number, data: T): Entry<T> {
  return read<T>(asked(() => host.update(kind, id, version, JSON.stringify(data))));
}

function remove(kind: string, id: string, version: number): void {
  asked(() => host.delete(kind, id, version));
}

export { remove as delete };
