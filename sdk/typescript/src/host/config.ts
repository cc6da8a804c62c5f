/** The plugin's configuration and secrets. */
import * as host from "regard:core/config@0.1.0";
import { asked, RegardError } from "../error.ts";

/** The configuration, which the host has checked against the manifest's schema and filled up with its defaults. */
export function json<T = { [name: string]: unknown }>(): T {
  return JSON.parse(host.json()) as T;
}

/**
 * A secret of the channel in whose name the call runs, else one of the plugin. `denied` when the manifest's
 * `permissions.secrets` does not name it or the operator did not grant it, `not-found` when it is not set.
 */
export function secret(name: string): string {
  return asked(() => host.secret(name));
}

/** The same for a secret that may be missing. */
export function optionalSecret(name: string): string | null {
  try {
    return secret(name);
  } catch (error) {
    if (error instanceof RegardError && error.code === "not-found") return null;
    throw error;
  }
}
