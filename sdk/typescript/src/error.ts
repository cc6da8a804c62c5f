import type { WireError } from "regard:core/types@0.1.0";

/** The contract's codes. A later host may add some: treat an unknown one as `failed`. */
export type Code =
  | "invalid" | "denied" | "not-found" | "conflict" | "throttled" | "unavailable" | "unsupported" | "exhausted"
  | "failed";

/**
 * An error of the contract. Thrown out of a plugin's function it is a report: the host acts on its code, and the plugin is
 * well. Anything else that is thrown counts as a crash. The host's functions throw it too.
 *
 * ```ts
 * throw new RegardError("throttled", "the shop wants fewer calls", { retryAfterMs: 1500 });
 * ```
 */
export class RegardError extends Error {
  override readonly name = "RegardError";
  readonly code: Code;
  /** After how many milliseconds another try makes sense. */
  readonly retryAfterMs: number | null;

  constructor(code: Code, message: string, options: { retryAfterMs?: number } = {}) {
    super(message);
    this.code = code;
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
}

/** The error as the contract hands it over. */
export function wireError(error: RegardError): WireError {
  const { code, message, retryAfterMs } = error;
  return { code, message, retryAfterMs: retryAfterMs === null ? null : Math.max(0, Math.round(retryAfterMs)) };
}

/** Calls a function of the host; what it reports is thrown as a `RegardError`. */
export function asked<T>(call: () => T): T {
  try {
    return call();
  } catch (thrown) {
    const error = (thrown as { payload?: WireError } | null)?.payload;
    if (error === undefined || typeof error.code !== "string") throw thrown;
    const options = error.retryAfterMs === null ? {} : { retryAfterMs: error.retryAfterMs };
    throw new RegardError(error.code as Code, error.message, options);
  }
}
