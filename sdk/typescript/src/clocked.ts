/**
 * The time: `Date.now()` and `new Date()` ask the host's clock, since a plugin has no other. Only hooks and connectors have
 * one; an evaluator's time is the as-of of `finish`, so that a run can be repeated.
 */
import { nowMs } from "./host/clock.ts";
import { setNow } from "./date.ts";

setNow(nowMs);
