// Makes one module of a plugin's sources and the SDK, without types, and prints which of the host's interfaces are left in
// it: what nobody calls is dropped. Run by `regard plugin build`:
//
//   node bundle.mjs TOOLCHAIN SDK PLUGIN_MODULE CAPABILITIES OUT [MIGRATION_MODULE]
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, relative, resolve, sep } from "node:path";
import { pathToFileURL } from "node:url";

const [toolchain, sdk, module, capabilities, out, migration] = process.argv.slice(2);
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
  migration ? `import * as migrationModule from ${JSON.stringify(migration)};` : "",
  migration ? `export const migration = sdk.migration(migrationModule.default);` : "",
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

// For every line of the bundle where its parts come from: column, number of a file of the plugin or -1, line of that file. Files
// of the SDK are left out: an author looks for a mistake elsewhere.
function origins(map) {
  const files = map.sources.map((source) => resolve(dirname(out), source));
  const ours = files.map((file) => !file.startsWith(sdk + sep) && !file.includes(ENTRY));
  const lines = [];
  // Each number in a map is the distance from the one before; groups of five bits, lowest first, the first bit is the sign.
  const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  let file = 0;
  let line = 0;
  for (const generated of map.mappings.split(";")) {
    const parts = [];
    let column = 0;
    for (const segment of generated.split(",")) {
      const numbers = [];
      let number = 0;
      let shift = 0;
      for (const character of segment) {
        const digit = DIGITS.indexOf(character);
        number |= (digit & 31) << shift;
        shift += 5;
        if (digit & 32) continue;
        numbers.push(number & 1 ? -(number >> 1) : number >> 1);
        number = shift = 0;
      }
      column += numbers[0] ?? 0;
      if (numbers.length < 4) continue;
      file += numbers[1];
      line += numbers[2];
      const [at, here] = ours[file] ? [file, line + 1] : [-1, 0];
      if (parts.at(-2) !== at || parts.at(-1) !== here) parts.push(column, at, here);
    }
    lines.push(parts);
  }
  return { files: files.map((name, at) => (ours[at] ? relative(dirname(module), name) : "")), lines };
}

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
  const { output } = await bundle.generate({ format: "esm", codeSplitting: false, sourcemap: true, dir: dirname(out) });
  const { code, imports, map } = output[0];
  if (complaints.length === 0) {
    // Last, so that the lines above stay where they are.
    writeFileSync(out, `${code}\nglobalThis.regardLines = ${JSON.stringify(origins(map))};\n`);
    process.stdout.write(JSON.stringify(imports));
  }
} catch (error) {
  complaints.push(error instanceof Error ? error.message : String(error));
}
for (const complaint of complaints) process.stderr.write(`${complaint}\n`);
process.exitCode = complaints.length === 0 ? 0 : 1;
