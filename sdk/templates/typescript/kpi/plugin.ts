import { Accumulator, BatchBuilder, RegardError, checkGroups, metric, plugin, type Rows } from "@regard/sdk";

/** What a state begins with. It names the version of what follows, so that no other version takes it for its own. */
const MARK = [..."cnt1"].map((letter) => letter.charCodeAt(0));

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
    const isOurs = MARK.every((letter, at) => state[at] === letter);
    if (!isOurs || state.length !== MARK.length + remap.length * Float64Array.BYTES_PER_ELEMENT) {
      throw new RegardError("invalid", `no state of {{metric}} for ${remap.length} customers`);
    }
    const counts = new Float64Array(state.slice(MARK.length).buffer);
    remap.forEach((customer, at) => {
      this.#grow(customer + 1);
      this.#add(customer, counts[at] ?? 0);
    });
  }

  state() {
    return Uint8Array.from([...MARK, ...new Uint8Array(Float64Array.from(this.#counts).buffer)]);
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
