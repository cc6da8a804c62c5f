/** The host's structured log, under the plugin's name. Anyone may write to it; lines and bytes of a call are bounded. */
import { write, type Level } from "regard:core/log@0.1.0";

/** What belongs to a line; values other than text are written as JSON. */
export type Fields = { [name: string]: unknown };

function say(level: Level, message: string, fields: Fields): void {
  const shown = (value: unknown) => (typeof value === "string" ? value : (JSON.stringify(value) ?? String(value)));
  write(level, message, Object.entries(fields).map(([name, value]) => [name, shown(value)]));
}

export const trace = (message: string, fields: Fields = {}): void => say("trace", message, fields);
export const debug = (message: string, fields: Fields = {}): void => say("debug", message, fields);
export const info = (message: string, fields: Fields = {}): void => say("info", message, fields);
export const warn = (message: string, fields: Fields = {}): void => say("warn", message, fields);
export const error = (message: string, fields: Fields = {}): void => say("error", message, fields);
