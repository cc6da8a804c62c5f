import { config, customers, log, plugin } from "@regard/sdk";

export default plugin({
  hook: {
    handle(events) {
      const { tag } = config.json<{ tag: string }>();
      for (const event of events) {
        if (event.type !== "interaction-appended" || event.interaction.customerId === null) continue;
        const customer = customers.get(event.interaction.customerId);
        if (customer === null || customer.tags.includes(tag)) continue;
        customers.update(customer, { addTags: [tag] });
        log.info("first order", { customer: customer.id });
      }
    },
  },
});
