import type { WireMigration } from "regard:exports";
import { RegardError } from "./error.ts";
import { guard } from "./guard.ts";

/**
 * Brings what the plugin keeps (`kv`, `records`) into the shape of another version. What a call changes becomes durable
 * together with the switch; when it throws, nothing is changed and the version that serves goes on serving. No other call of
 * the plugin's hook or connector runs meanwhile.
 */
export interface Migration {
  /** Called on the new version before it serves; `fromVersion` is the one that served. */
  upgrade(fromVersion: string): void;
  /**
   * Called on the version that serves before an earlier one takes its place again. Left out, it refuses, so that nobody goes
   * back to a version that would not understand what is kept.
   */
  downgrade?(toVersion: string): void;
}

/** What the file `migration.ts` exports by default: `export default migration({ upgrade(fromVersion) { ... } })`. */
export function migration(definition: Migration): Migration {
  return definition;
}

/** The migration behind the contract's interface. */
export function exportMigration(migration: Migration | undefined): WireMigration {
  if (migration === undefined) throw new Error("migration.ts must `export default migration({ ... })`");
  return {
    upgrade: guard("upgrade", (fromVersion) => migration.upgrade(fromVersion)),
    downgrade: guard("downgrade", (toVersion) => {
      if (migration.downgrade !== undefined) return migration.downgrade(toVersion);
      throw new RegardError("unsupported", `what is kept cannot be brought back to version ${toVersion}`);
    }),
  };
}
