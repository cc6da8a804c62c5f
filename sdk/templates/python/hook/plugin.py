import regard
from regard import config, customers, log


@regard.hook
def handle(events: list[regard.Event]) -> None:
    tag: str = config.json()["tag"]
    for event in events:
        if not isinstance(event, regard.InteractionAppended) or event.interaction.customer_id is None:
            continue
        customer = customers.get(event.interaction.customer_id)
        if customer is None or tag in customer.tags:
            continue
        customers.update(customer, add_tags=[tag])
        log.info("first order", customer=customer.id)
