/** The host's clock, virtual in simulations and tests. Hooks and connectors have one, evaluators do not. */
import { nowMs as read } from "regard:core/clock@0.1.0";

/** Milliseconds since the Unix epoch. */
export function nowMs(): number {
  return read();
}
