import type { WireBatch, WireColumn, WireColumnData } from "regard:core/types@0.1.0";
import { RegardError } from "./error.ts";
import { decodeText, encodeText } from "./text.ts";

type Kind = WireColumnData["tag"];
type Data<K extends Kind> = Extract<WireColumnData, { tag: K }>["val"];

/** One bit per row, least significant first; every row is valid without bits. */
class Column {
  readonly #validity: Uint8Array | null;

  constructor(validity: Uint8Array | null) {
    this.#validity = validity;
  }

  /** Whether row `row` has no value. */
  isNull(row: number): boolean {
    return this.#validity !== null && (((this.#validity[row >> 3] ?? 0) >> (row & 7)) & 1) === 0;
  }
}

/** A column of numbers. Those of int64 and timestamp-ms are exact up to 2^53. */
export class Numbers extends Column {
  /** One number per row; what stands in a null row means nothing. */
  readonly values: Float64Array;

  constructor(values: Float64Array, validity: Uint8Array | null) {
    super(validity);
    this.values = values;
  }
}

/** A column of texts. */
export class Texts extends Column {
  readonly #offsets: Uint32Array;
  readonly #data: Uint8Array;

  constructor(offsets: Uint32Array, data: Uint8Array, validity: Uint8Array | null) {
    super(validity);
    this.#offsets = offsets;
    this.#data = data;
  }

  /** The text of row `row`, or null. */
  at(row: number): string | null {
    return this.isNull(row) ? null : piece(this.#offsets, this.#data, row);
  }
}

/** A column of texts that repeat: row i holds `entries[codes[i]]`. */
export class Dictionary extends Column {
  readonly codes: Uint32Array;
  readonly entries: string[];

  constructor(codes: Uint32Array, entries: string[], validity: Uint8Array | null) {
    super(validity);
    this.codes = codes;
    this.entries = entries;
  }

  /** The text of row `row`, or null. */
  at(row: number): string | null {
    return this.isNull(row) ? null : (this.entries[this.codes[row] ?? -1] ?? null);
  }
}

/** The rows of an `update`: a column is converted when it is asked for. */
export class Rows {
  /** How many rows there are. */
  readonly count: number;
  readonly #columns: Map<string, WireColumn>;

  constructor(batch: WireBatch) {
    this.count = batch.rows;
    this.#columns = new Map(batch.columns.map((column) => [column.name, column]));
  }

  has(name: string): boolean {
    return this.#columns.has(name);
  }

  int64(name: string): Numbers {
    return this.#numbers(name, "int64");
  }

  float64(name: string): Numbers {
    return this.#numbers(name, "float64");
  }

  /** Milliseconds since the Unix epoch. */
  timestamps(name: string): Numbers {
    return this.#numbers(name, "timestamp-ms");
  }

  texts(name: string): Texts {
    const { column, val } = this.#data(name, "utf8");
    return new Texts(Uint32Array.from(val.offsets), val.data, column.validity);
  }

  dictionary(name: string): Dictionary {
    const { column, val } = this.#data(name, "dictionary");
    const offsets = Uint32Array.from(val.offsets);
    const entries = Array.from({ length: offsets.length - 1 }, (_, at) => piece(offsets, val.data, at));
    return new Dictionary(Uint32Array.from(val.codes), entries, column.validity);
  }

  #numbers(name: string, kind: "int64" | "float64" | "timestamp-ms"): Numbers {
    const { column, val } = this.#data(name, kind);
    return new Numbers(Float64Array.from(val as ArrayLike<number>), column.validity);
  }

  #data<K extends Kind>(name: string, kind: K): { column: WireColumn; val: Data<K> } {
    const column = this.#columns.get(name);
    if (column === undefined) throw new RegardError("invalid", `column \`${name}\` is missing`);
    const { data } = column;
    if (data.tag !== kind) throw new RegardError("invalid", `column \`${name}\` is ${data.tag}, not ${kind}`);
    return { column, val: data.val as Data<K> };
  }
}

function piece(offsets: Uint32Array, data: Uint8Array, at: number): string {
  return decodeText(data.subarray(offsets[at], offsets[at + 1]));
}

/** One group per row, each below `groupCount`: throws `invalid` otherwise. */
export function checkGroups(groups: Uint32Array, groupCount: number, rows: Rows): void {
  if (groups.length !== rows.count) {
    throw new RegardError("invalid", `${groups.length} groups for ${rows.count} rows`);
  }
  const past = groups.find((group) => group >= groupCount);
  if (past !== undefined) {
    throw new RegardError("invalid", `group ${past} is not below the group count ${groupCount}`);
  }
}

/** What `finish` returns; made by a `BatchBuilder`. */
export type Batch = WireBatch;

/**
 * Builds what `finish` returns, column by column; a null among the values is a null in the column.
 *
 * ```ts
 * return new BatchBuilder(counts.length).float64("value", counts).finish();
 * ```
 */
export class BatchBuilder {
  readonly #rows: number;
  readonly #columns: WireColumn[] = [];

  constructor(rows: number) {
    this.#rows = rows;
  }

  float64(name: string, values: ArrayLike<number | null>): this {
    return this.#add(name, values, { tag: "float64", val: numbers(values) });
  }

  /** Whole numbers. */
  int64(name: string, values: ArrayLike<number | bigint | null>): this {
    return this.#add(name, values, { tag: "int64", val: integers(values) });
  }

  /** Milliseconds since the Unix epoch. */
  timestamps(name: string, values: ArrayLike<number | null>): this {
    return this.#add(name, values, { tag: "timestamp-ms", val: integers(values) });
  }

  booleans(name: string, values: ArrayLike<boolean | null>): this {
    const bytes = Uint8Array.from(values, (value) => (value === true ? 1 : 0));
    return this.#add(name, values, { tag: "boolean", val: bytes });
  }

  texts(name: string, values: ArrayLike<string | null>): this {
    const pieces = Array.from(values, (value) => encodeText(value ?? ""));
    return this.#add(name, values, { tag: "utf8", val: joined(pieces) });
  }

  /** Texts that repeat: row i holds `entries[codes[i]]`. */
  dictionary(name: string, codes: ArrayLike<number | null>, entries: string[]): this {
    const val = { codes: Uint32Array.from(numbers(codes)), ...joined(entries.map(encodeText)) };
    return this.#add(name, codes, { tag: "dictionary", val });
  }

  finish(): Batch {
    return { rows: this.#rows, columns: this.#columns };
  }

  #add(name: string, values: ArrayLike<unknown>, data: WireColumnData): this {
    if (values.length !== this.#rows) {
      throw new RegardError("failed", `column \`${name}\` has ${values.length} rows, the batch has ${this.#rows}`);
    }
    this.#columns.push({ name, validity: validity(values), data });
    return this;
  }
}

function numbers(values: ArrayLike<number | null>): Float64Array {
  return values instanceof Float64Array ? values : Float64Array.from(values, (value) => value ?? 0);
}

function integers(values: ArrayLike<number | bigint | null>): BigInt64Array {
  return values instanceof BigInt64Array ? values : BigInt64Array.from(values, (value) => BigInt(value ?? 0));
}

function validity(values: ArrayLike<unknown>): Uint8Array | null {
  // Typed arrays hold no nulls.
  if (ArrayBuffer.isView(values)) return null;
  let bits: Uint8Array | null = null;
  for (let row = 0; row < values.length; row++) {
    if (values[row] !== null) continue;
    bits ??= new Uint8Array((values.length + 7) >> 3).fill(0xff);
    bits[row >> 3]! &= ~(1 << (row & 7));
  }
  return bits;
}

function joined(pieces: Uint8Array[]): { offsets: Uint32Array; data: Uint8Array } {
  const offsets = new Uint32Array(pieces.length + 1);
  pieces.forEach((piece, at) => (offsets[at + 1] = offsets[at]! + piece.length));
  const data = new Uint8Array(offsets[pieces.length]!);
  pieces.forEach((piece, at) => data.set(piece, offsets[at]));
  return { offsets, data };
}
