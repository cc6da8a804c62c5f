import { Accumulator, BatchBuilder, RegardError, checkGroups, metric, plugin, type Rows } from "@regard/sdk";

/** Orders by customer. Adding up does not depend on order, so parts may be merged in any way. */
class Orders extends Accumulator {
  #counts: number[] = [];

  #grow(customers: number): void {
    while (this.#counts.length < customers) this.#counts.push(0);
  }

  #add(customer: number, orders: number): void {
    this.#counts[customer] = (this.#counts[customer] ?? 0) + orders;
  }

  update(groups: Uint32Array, groupCount: number, rows: Rows) {
    checkGroups(groups, groupCount, rows);
    this.#grow(groupCount);
    for (const customer of groups) this.#add(customer, 1);
  }

  merge(state: Uint8Array, remap: Uint32Array) {
    if (state.length !== remap.length * Float64Array.BYTES_PER_ELEMENT) {
      throw new RegardError("invalid", `a state of ${state.length} bytes for ${remap.length} customers`);
    }
    const counts = new Float64Array(state.slice().buffer);
    remap.forEach((customer, at) => {
      this.#grow(customer + 1);
      this.#add(customer, counts[at] ?? 0);
    });
  }

  state() {
    return new Uint8Array(Float64Array.from(this.#counts).buffer);
  }

  finish(_asOfMs: number) {
    return new BatchBuilder(this.#counts.length).float64("value", this.#counts).finish();
  }
}

export default plugin({
  kpi: {
    metrics: [
      metric({
        name: "{{metric}}",
        version: 1,
        description: "How many orders the customer has placed.",
        unit: "orders",
        subject: "customer",
        kinds: ["order.placed"],
        inputs: ["occurred-at"],
        open: () => new Orders(),
      }),
    ],
  },
});
