import type { WireBatch } from "regard:core/types@0.1.0";
import type { WireAccumulator, WireEvaluator } from "regard:exports";
import { Rows, type Batch } from "./columns.ts";
import { RegardError } from "./error.ts";
import { guard, guardInfallible } from "./guard.ts";
import type { Json } from "./values.ts";

/**
 * Columns that the host can deliver: `occurred-at` (timestamps), `amount` (int64, minor units of the run's currency, null
 * without amount), `kind` and `channel` (dictionaries).
 */
export type InputColumn = "occurred-at" | "amount" | "kind" | "channel";

/** A column that a metric reads, alone when it cannot do without. */
export type Input = InputColumn | { column: InputColumn; required: boolean };

/** A metric: what it is, and how a computation of it begins. */
export interface Metric<P = Json> {
  name: string;
  version: number;
  description: string;
  unit: string;
  subject: "customer" | "business";
  /** Interaction kinds that count, such as `order.placed`; all of them when absent. */
  kinds?: string[];
  inputs: Input[];
  /** JSON Schema of the parameters; an object schema with defaults. */
  parameters?: { [name: string]: Json };
  /** Begins a computation; the parameters fit the schema, with its defaults filled in. */
  open(parameters: P): Accumulator;
}

/** Computes metrics. */
export interface Evaluator {
  metrics: Metric[];
}

/** A metric whose parameters have a type of their own: the schema, which the host checks, must say the same. */
export function metric<P>(described: Metric<P>): Metric {
  return described as unknown as Metric;
}

/**
 * A running computation. Fed the same rows in any order, in any batches, or apart and then merged, it must finish with the
 * same values.
 */
export abstract class Accumulator {
  /** Adds rows; `groups[i]` is the index of row i's customer, below `groupCount`, which never shrinks. */
  abstract update(groups: Uint32Array, groupCount: number, rows: Rows): void;

  /** Adds another accumulator's `state`; its group i is `remap[i]` here, and two of its groups may become one. */
  abstract merge(state: Uint8Array, remap: Uint32Array): void;

  /** Everything added so far, as bytes that a later version of the plugin still reads. */
  abstract state(): Uint8Array;

  /**
   * One row per group, or one in all for a metric of the business: the float64 column `value`, null where the metric is
   * undefined, then what else the metric documents. `asOfMs` is the first instant outside the window.
   */
  abstract finish(asOfMs: number): Batch;

  /** After `finish`: fitted parameters and fit quality, for metrics that fit a model. */
  model(): Json | undefined {
    return undefined;
  }
}

/** The evaluator behind the contract's interface. */
export function exportEvaluator(evaluator: Evaluator): WireEvaluator {
  const { metrics } = evaluator;

  class Opened implements WireAccumulator {
    readonly #accumulator: Accumulator;

    constructor(accumulator: Accumulator) {
      this.#accumulator = accumulator;
    }

    static open = guard("open", (name: string, parameters: string): Opened => {
      const found = metrics.find((one) => one.name === name);
      if (found === undefined) throw new RegardError("not-found", `there is no metric \`${name}\``);
      return new Opened(found.open(JSON.parse(parameters) as Json));
    });

    update = guard("update", (groups: ArrayLike<number>, groupCount: number, rows: WireBatch) =>
      this.#accumulator.update(Uint32Array.from(groups), groupCount, new Rows(rows)),
    );

    merge = guard("merge", (state: Uint8Array, remap: ArrayLike<number>) =>
      this.#accumulator.merge(state, Uint32Array.from(remap)),
    );

    state = guard("state", () => this.#accumulator.state());

    finish = guard("finish", (asOfMs: number) => this.#accumulator.finish(asOfMs));

    model = guard("model", () => {
      const model = this.#accumulator.model();
      return model === undefined ? null : JSON.stringify(model);
    });
  }

  return {
    describe: guardInfallible("describe", () =>
      metrics.map((metric) => ({
        name: metric.name,
        version: metric.version,
        description: metric.description,
        unit: metric.unit,
        subject: metric.subject,
        kinds: metric.kinds ?? [],
        inputs: metric.inputs.map((input) =>
          typeof input === "string" ? { column: input, required: true } : input,
        ),
        parametersSchema: JSON.stringify(metric.parameters ?? { type: "object" }),
      })),
    ),
    Accumulator: Opened,
  };
}
