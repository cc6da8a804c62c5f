/** The globals that `globals.ts` brings, beside those of the language itself (`lib: ["ES2023"]`). */

type Say = (...values: unknown[]) => void;

/** Writes to the host's log; `log` is `info`. */
declare var console: { debug: Say; log: Say; info: Say; warn: Say; error: Say };

declare class TextEncoder {
  readonly encoding: string;
  encode(text?: string): Uint8Array;
}

declare class TextDecoder {
  readonly encoding: string;
  decode(bytes?: ArrayBuffer | ArrayBufferView): string;
}
