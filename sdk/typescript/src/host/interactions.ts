/** What happened (`interactions = "read"`). Hooks only. */
import * as host from "regard:core/interactions@0.1.0";
import { asked } from "../error.ts";
import { readInteraction, type Interaction } from "../types.ts";

/** Rows in one page when `query` is not told otherwise; the host gives at most 500. */
const LIMIT = 100;

export interface Filter {
  customerId?: string;
  channel?: string;
  kind?: string;
  sinceMs?: number;
  untilMs?: number;
}

/** One page of interactions, newest first; `nextCursor` is null on the last one. */
export function query(
  filter: Filter,
  page: { cursor?: string | null; limit?: number } = {},
): { items: Interaction[]; nextCursor: string | null } {
  const { customerId = null, channel = null, kind = null, sinceMs = null, untilMs = null } = filter;
  const found = asked(() =>
    host.query({ customerId, channel, kind, sinceMs, untilMs }, page.cursor ?? null, page.limit ?? LIMIT),
  );
  return { items: found.items.map(readInteraction), nextCursor: found.nextCursor };
}
