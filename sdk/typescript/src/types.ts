import type {
  WireCustomer, WireIdentifier, WireInteraction, WireMoney, WireObservation,
} from "regard:core/types@0.1.0";
import { readAttributes, type Attributes } from "./values.ts";

/** An amount in the currency's minor unit (cents for USD, yen for JPY); the currency by ISO 4217. */
export type Money = WireMoney;

/** A scheme such as `email`, `phone`, `cookie` or `external:shop`, and a value as the source gave it. */
export type Identifier = WireIdentifier;

export interface Customer extends Omit<WireCustomer, "attributes"> {
  attributes: Attributes;
}

/** Something that happened; what is absent is null. */
export interface Interaction extends Omit<WireInteraction, "attributes"> {
  attributes: Attributes;
}

/** The value of a metric; `subject` is `customer:<id>` or `business`, `value` is NaN where the metric is undefined. */
export type Observation = WireObservation;

export function readCustomer(customer: WireCustomer): Customer {
  return { ...customer, attributes: readAttributes(customer.attributes) };
}

export function readInteraction(interaction: WireInteraction): Interaction {
  return { ...interaction, attributes: readAttributes(interaction.attributes) };
}
