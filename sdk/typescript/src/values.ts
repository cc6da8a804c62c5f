import type { WireAttributes, WireValue } from "regard:core/types@0.1.0";

/** What JSON can say. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** The value of an attribute; a `Date` is an instant. Whole numbers are exact up to 2^53. */
export type Value = Json | Date;

export type Attributes = { [name: string]: Value };

function readValue(value: WireValue): Value {
  switch (value.tag) {
    case "null":
      return null;
    case "timestamp-ms":
      return new Date(value.val);
    case "json":
      return JSON.parse(value.val) as Json;
    default:
      return value.val;
  }
}

function writeValue(value: Value): WireValue {
  switch (typeof value) {
    case "boolean":
      return { tag: "boolean", val: value };
    case "number":
      return { tag: Number.isSafeInteger(value) ? "integer" : "number", val: value };
    case "string":
      return { tag: "text", val: value };
  }
  if (value === null || value === undefined) return { tag: "null" };
  if (value instanceof Date) return { tag: "timestamp-ms", val: value.getTime() };
  return { tag: "json", val: JSON.stringify(value) };
}

/** The contract's attributes as a plain object. */
export function readAttributes(attributes: WireAttributes): Attributes {
  // Not by assignment, which a name like `__proto__` would turn into something else.
  return Object.fromEntries(attributes.map(([name, value]) => [name, readValue(value)]));
}

/** A plain object as the contract's attributes. */
export function writeAttributes(attributes: Attributes | undefined): WireAttributes {
  return Object.entries(attributes ?? {}).map(([name, value]) => [name, writeValue(value)]);
}
