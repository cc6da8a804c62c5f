/** Customers (`customers = "read"` or `"write"`). Hooks only. */
import * as host from "regard:core/customers@0.1.0";
import { asked } from "../error.ts";
import { readCustomer, type Customer, type Identifier } from "../types.ts";
import { writeAttributes, type Attributes } from "../values.ts";

/** What `update` changes; everything else stays. */
export interface CustomerChange {
  /** Attributes to set; null removes one. */
  set?: Attributes;
  addTags?: string[];
  removeTags?: string[];
}

/** The customer that `id` resolves to, or null. */
export function get(id: string): Customer | null {
  const customer = asked(() => host.get(id));
  return customer === null ? null : readCustomer(customer);
}

/** The customer with this identifier, or null. */
export function find(by: Identifier): Customer | null {
  const customer = asked(() => host.find(by));
  return customer === null ? null : readCustomer(customer);
}

/**
 * Changes a customer and returns it as it is then; durable when the whole call succeeds. `conflict` when `version` is no
 * longer the stored one. When somebody else changes the same customer meanwhile, the host runs the call again.
 */
export function update(customer: { id: string; version: number }, change: CustomerChange): Customer {
  const { id, version } = customer;
  const set = writeAttributes(change.set);
  return readCustomer(
    asked(() => host.update(id, version, set, change.addTags ?? [], change.removeTags ?? [])),
  );
}
