// Makes one module of a plugin's sources and the SDK, without types, and prints which of the host's interfaces are left in
// it: what nobody calls is dropped. Run by `regard plugin build`:
//
//   node bundle.mjs TOOLCHAIN SDK PLUGIN_MODULE CAPABILITIES OUT
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { pathToFileURL } from "node:url";

const [toolchain, sdk, module, capabilities, out] = process.argv.slice(2);
const require = createRequire(`${toolchain}/package.json`);
const { rolldown } = await import(pathToFileURL(require.resolve("rolldown")).href);

const ENTRY = "\0regard";
// The contract's name of what a capability exports.
const EXPORTS = { connector: "connector", hook: "hook", kpi: "evaluator" };
const wanted = capabilities.split(",");

const entry = [
  // First, so that the plugin's own module finds what these set up.
  `import * as sdk from "@regard/sdk/exports";`,
  // An evaluator has no clock.
  wanted.some((capability) => capability !== "kpi") ? `import "@regard/sdk/clocked";` : "",
  `import * as plugin from ${JSON.stringify(module)};`,
  `export const lifecycle = sdk.lifecycle(plugin.default);`,
  ...wanted.map((capability) => `export const ${EXPORTS[capability]} = sdk.${EXPORTS[capability]}(plugin.default);`),
].join("\n");

const resolveSdk = {
  name: "regard",
  resolveId(id) {
    if (id === ENTRY) return id;
    if (id === "@regard/sdk") return `${sdk}/index.ts`;
    if (id.startsWith("@regard/sdk/")) return `${sdk}/${id.slice("@regard/sdk/".length)}.ts`;
    return null;
  },
  load: (id) => (id === ENTRY ? entry : null),
};

const complaints = [];
try {
  const bundle = await rolldown({
    input: ENTRY,
    cwd: dirname(module),
    platform: "neutral",
    external: /^regard:/,
    tsconfig: false,
    plugins: [resolveSdk],
    resolve: { conditionNames: ["import", "module", "default"], mainFields: ["module", "main"] },
    treeshake: { moduleSideEffects: [{ external: true, sideEffects: false }] },
    onLog(_, log) {
      // Anything that is not in the bundle is missing inside a plugin: there are no files and no built-in modules.
      if (log.code === "UNRESOLVED_IMPORT" || log.code === "MISSING_EXPORT") complaints.push(log.message);
    },
  });
  const { output } = await bundle.generate({ format: "esm", codeSplitting: false });
  if (complaints.length === 0) {
    writeFileSync(out, output[0].code);
    process.stdout.write(JSON.stringify(output[0].imports));
  }
} catch (error) {
  complaints.push(error instanceof Error ? error.message : String(error));
}
for (const complaint of complaints) process.stderr.write(`${complaint}\n`);
process.exitCode = complaints.length === 0 ? 0 : 1;
