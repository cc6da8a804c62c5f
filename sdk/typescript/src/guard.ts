import { RegardError, wireError } from "./error.ts";
import * as log from "./host/log.ts";

/**
 * A function as the contract calls it: a `RegardError` becomes the contract's error, and of anything else the host's log gets
 * to know before the call ends, since the engine itself would only stop.
 */
export function guard<A extends unknown[], R>(name: string, run: (...args: A) => R): (...args: A) => R {
  return (...args) => {
    try {
      return settled(name, run(...args));
    } catch (thrown) {
      // The engine takes a plain object for the contract's error.
      if (thrown instanceof RegardError) throw wireError(thrown);
      throw crashed(thrown);
    }
  };
}

/** The same for functions whose contract knows no error: whatever they throw is a crash. */
export function guardInfallible<A extends unknown[], R>(name: string, run: (...args: A) => R): (...args: A) => R {
  return (...args) => {
    try {
      return settled(name, run(...args));
    } catch (thrown) {
      throw crashed(thrown);
    }
  };
}

/** Nobody waits for a promise here: what it does later would be lost, and so would its error. */
function settled<R>(name: string, answer: R): R {
  if (typeof (answer as { then?: unknown } | null | undefined)?.then === "function") {
    throw new TypeError(`${name} returned a promise; functions of a plugin are not async`);
  }
  return answer;
}

/** Where the lines of the bundle come from; see `build/bundle.mjs`. */
declare global {
  var regardLines: { files: string[]; lines: number[][] } | undefined;
}

/** Frames that are written to the log, the innermost ones. */
const FRAMES_MAX = 20;

/** The frames in the plugin's own files, innermost first: `misbehave (plugin.ts:27)`. */
function frames(stack: string): string[] {
  const { files = [], lines = [] } = globalThis.regardLines ?? {};
  const found: string[] = [];
  for (const frame of stack.split("\n")) {
    const [, name, line, column] = /^\s*at (.*) \(.*:(\d+):(\d+)\)/.exec(frame) ?? [];
    const parts = lines[Number(line) - 1] ?? [];
    let at = 0;
    while (parts.length > at + 3 && parts[at + 3]! < Number(column)) at += 3;
    const file = files[parts[at + 1] ?? -1];
    if (file !== undefined) found.push(`${name} (${file}:${parts[at + 2]})`);
  }
  return found.slice(0, FRAMES_MAX);
}

function crashed(thrown: unknown): unknown {
  const error = thrown instanceof Error ? thrown : undefined;
  const stack = frames(error?.stack ?? "");
  const what = error === undefined ? `threw ${String(thrown)}` : `${error.name}: ${error.message}`;
  const [place] = stack;
  log.error(place === undefined ? what : `${what} in ${place}`, stack.length === 0 ? {} : { stack: stack.join(" < ") });
  return thrown;
}
