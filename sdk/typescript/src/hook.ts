import type { WireEvent, WireHook } from "regard:exports";
import { guard } from "./guard.ts";
import { readCustomer, readInteraction, type Customer, type Interaction, type Observation } from "./types.ts";

/** What happened. */
export type Event =
  | { type: "interaction-appended"; interaction: Interaction }
  | { type: "customer-changed"; customer: Customer }
  /** `previous` is the value of the same metric for the same subject before, or null. */
  | { type: "metric-observed"; observation: Observation; previous: number | null };

/** Reacts to what happened. */
export interface Hook {
  /**
   * Called after the fact with the events that the manifest's `[[subscribe]]` names, in order, at least once. What a
   * `[[schedule]]` makes is an `interaction-appended` of the kind `schedule.due`, with the schedule's name in the attribute
   * `schedule`. What the call changes through the host becomes durable together with the mark that the events are handled;
   * when it throws, nothing is changed and the host calls again later.
   */
  handle(events: Event[]): void;
}

function readEvent(event: WireEvent): Event {
  switch (event.tag) {
    case "interaction-appended":
      return { type: event.tag, interaction: readInteraction(event.val) };
    case "customer-changed":
      return { type: event.tag, customer: readCustomer(event.val) };
    case "metric-observed":
      return { type: event.tag, observation: event.val.observation, previous: event.val.previous };
  }
}

/** The hook behind the contract's interface. */
export function exportHook(hook: Hook): WireHook {
  return { handle: guard("handle", (events) => hook.handle(events.map(readEvent))) };
}
