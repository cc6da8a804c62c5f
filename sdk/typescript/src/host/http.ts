/**
 * HTTP to the hosts that the manifest names (`hosts = ["api.example.com"]`) and the operator granted. Redirects are checked
 * again; private and loopback addresses are refused unless granted by address.
 */
import * as host from "regard:core/http@0.1.0";
import { asked } from "../error.ts";
import { decodeText, encodeText } from "../text.ts";

export interface Request {
  /** `GET` when absent. */
  method?: string;
  url: string;
  headers?: { [name: string]: string };
  body?: Uint8Array | string;
  timeoutMs?: number;
}

export interface Response {
  status: number;
  /** Names are lower-case; several lines of one name are several entries. */
  headers: [string, string][];
  body: Uint8Array;
  /** The body as text. */
  text(): string;
  /** The body as JSON. */
  json<T = unknown>(): T;
}

/** Sends a request and waits for the answer, whatever its status. */
export function send(request: Request): Response {
  const body = typeof request.body === "string" ? encodeText(request.body) : request.body;
  const answer = asked(() =>
    host.send({
      method: request.method ?? "GET",
      url: request.url,
      headers: Object.entries(request.headers ?? {}),
      body: body ?? new Uint8Array(),
      timeoutMs: request.timeoutMs ?? null,
    }),
  );
  const text = () => decodeText(answer.body);
  return { ...answer, text, json: <T>() => JSON.parse(text()) as T };
}
