/** A `Date` that knows what time it is only when somebody tells it. */
const Plain = globalThis.Date;

let now = (): number => {
  throw new Error("there is no clock here: an evaluator's time is the as-of of `finish`");
};

/** Says where the time comes from. */
export function setNow(source: () => number): void {
  now = source;
}

const Told = function (this: unknown, ...parts: unknown[]): unknown {
  if (new.target === undefined) return new Plain(now()).toString();
  const values = parts.length === 0 ? [now()] : parts;
  return Reflect.construct(Plain, values, new.target === Told ? Plain : new.target);
};
Object.setPrototypeOf(Told, Plain);
Object.defineProperty(Told, "prototype", { value: Plain.prototype, writable: false });
Object.defineProperty(Told, "now", { value: () => now(), writable: true, configurable: true });
Plain.prototype.constructor = Told as unknown as DateConstructor;
globalThis.Date = Told as unknown as DateConstructor;
