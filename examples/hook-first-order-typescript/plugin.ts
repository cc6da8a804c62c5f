// Tags a customer on the first order, and writes one message.
import { config, customers, log, messages, plugin } from "@regard/sdk";

type Settings = { tag: string; thanks: string };

function welcome(id: string, { tag, thanks }: Settings): void {
  const customer = customers.get(id);
  // The tag says that there was an order before this one.
  if (customer === null || customer.tags.includes(tag)) return;
  customers.update(customer, { addTags: [tag] });
  messages.enqueue({
    customerId: customer.id,
    purpose: "service",
    body: thanks.replaceAll("{name}", customer.name || "friend"),
    // Once per customer, however often the call is repeated.
    idempotencyKey: `first-order:${customer.id}`,
  });
  log.info("first order", { customer: customer.id });
}

export default plugin({
  hook: {
    handle(events) {
      const settings = config.json<Settings>();
      for (const event of events) {
        if (event.type !== "interaction-appended" || event.interaction.customerId === null) continue;
        welcome(event.interaction.customerId, settings);
      }
    },
  },
});
