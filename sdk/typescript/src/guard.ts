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

function crashed(thrown: unknown): unknown {
  const error = thrown instanceof Error ? thrown : undefined;
  const stack = error?.stack?.trim() ?? "";
  const place = stack.split("\n", 1)[0]?.trim() ?? "";
  const what = error === undefined ? `threw ${String(thrown)}` : `${error.name}: ${error.message}`;
  log.error(place === "" ? what : `${what} (${place})`, stack === "" ? {} : { stack });
  return thrown;
}
