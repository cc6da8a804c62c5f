import type { Connector } from "./connector.ts";
import type { Hook } from "./hook.ts";
import type { Evaluator } from "./kpi.ts";

/** A plugin: the capabilities that its manifest names, and its set-up. */
export interface Definition {
  /**
   * Called once on each new instance, before anything else; what it throws keeps the instance from being used. The place to
   * check the configuration beyond its schema. Only the log and the configuration are there.
   */
  configure?(): void;
  hook?: Hook;
  connector?: Connector;
  kpi?: Evaluator;
}

/** Makes a module a plugin: `export default plugin({ hook: { handle(events) { ... } } })`. */
export function plugin(definition: Definition): Definition {
  return definition;
}
