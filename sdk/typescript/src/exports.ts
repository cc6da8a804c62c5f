/** What the build's own entry module hands to the engine; no plugin imports it. */
import type { WireConnector, WireEvaluator, WireHook, WireLifecycle } from "regard:exports";
import "./date.ts";
import "./globals.ts";
import { exportConnector } from "./connector.ts";
import { guard } from "./guard.ts";
import { exportHook } from "./hook.ts";
import { exportEvaluator } from "./kpi.ts";
import { exportMigration } from "./migration.ts";
import type { Definition } from "./plugin.ts";

function given<T>(capability: string, part: T | undefined): T {
  if (part !== undefined) return part;
  throw new Error(`plugin.toml names "${capability}", but the plugin has no \`${capability}\``);
}

export function lifecycle(definition: Definition | undefined): WireLifecycle {
  if (definition === undefined) throw new Error("the module must `export default plugin({ ... })`");
  return { configure: guard("configure", () => definition.configure?.()) };
}

export const migration = exportMigration;

export const hook = (definition: Definition): WireHook => exportHook(given("hook", definition.hook));

export const connector = (definition: Definition): WireConnector =>
  exportConnector(given("connector", definition.connector));

export const evaluator = (definition: Definition): WireEvaluator => exportEvaluator(given("kpi", definition.kpi));
