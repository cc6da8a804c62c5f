/**
 * What other environments have and libraries expect: `console` writes to the host's log, `TextEncoder` and `TextDecoder` know
 * UTF-8. There is no `fetch` (use `http.send`), there are no timers, no files and no threads.
 */
import * as log from "./host/log.ts";
import { decodeText, encodeText } from "./text.ts";

const shown = (value: unknown): string => {
  if (typeof value === "string") return value;
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  return JSON.stringify(value) ?? String(value);
};
const line =
  (write: (message: string) => void) =>
  (...values: unknown[]): void =>
    write(values.map(shown).join(" "));

Object.assign(globalThis, {
  console: {
    debug: line(log.debug),
    log: line(log.info),
    info: line(log.info),
    warn: line(log.warn),
    error: line(log.error),
  },
  TextEncoder: class {
    readonly encoding = "utf-8";
    encode(text = ""): Uint8Array {
      return encodeText(text);
    }
  },
  TextDecoder: class {
    readonly encoding = "utf-8";
    decode(bytes?: ArrayBuffer | ArrayBufferView): string {
      if (bytes === undefined) return "";
      if (bytes instanceof ArrayBuffer) return decodeText(new Uint8Array(bytes));
      return decodeText(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    }
  },
});
