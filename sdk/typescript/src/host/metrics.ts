/** Values of metrics (`metrics = "read"`). Hooks only. */
import * as host from "regard:core/metrics@0.1.0";
import { asked } from "../error.ts";
import type { Observation } from "../types.ts";

/** The latest value of `metric` for `subject`, which is `customer:<id>` or `business`; null when there is none yet. */
export function latest(metric: string, subject: string): Observation | null {
  return asked(() => host.latest(metric, subject));
}
