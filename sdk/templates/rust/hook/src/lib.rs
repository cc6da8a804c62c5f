//! Tags a customer on the first order.

use regard_sdk::hook::Event;
use regard_sdk::{Error, Hook, config, customers, info, plugin};

#[derive(serde::Deserialize)]
struct Settings {
    tag: String,
}

struct FirstOrder;

plugin! { hook: FirstOrder }

impl Hook for FirstOrder {
    // May be called again with the same events, and changes things once: who has the tag is passed over.
    fn handle(events: Vec<Event>) -> Result<(), Error> {
        let Settings { tag } = config::settings()?;
        for event in events {
            let Event::InteractionAppended(interaction) = event else { continue };
            let Some(id) = interaction.customer_id else { continue };
            let Some(customer) = customers::get(&id)? else { continue };
            if !customer.tags.contains(&tag) {
                customers::update(&customer.id, customer.version, &[], &[tag.clone()], &[])?;
                info!("first order"; customer = customer.id);
            }
        }
        Ok(())
    }
}
