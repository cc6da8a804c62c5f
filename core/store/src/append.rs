//! Appending to the log: what becomes of a batch is planned here, in memory, from what the database knows about it.
//!
//! Both databases take the same three steps in one transaction: look up what is there ([`Known`]), [`plan`], write
//! the [`Plan`]. Only the first and the last step differ, in [`sqlite`] and [`postgres`].
//!
//! Rules of the plan, beside those of [`identity::resolve`]:
//! - An item whose (channel, external id) is there already, or stands earlier in the batch, changes nothing.
//! - A rejected item changes nothing: no customer is made for it and no identifier linked.
//! - Identifiers that nobody owns are linked to the customer the interaction is recorded under.
//! - The first `order.placed` moves a customer from prospect to acquired. Further stages are judgements about time
//!   and worth, which are for people, scripts and plugins to make.

pub(crate) mod postgres;
pub(crate) mod sqlite;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use regard_engine::StoreError;
use regard_engine::identity::{self, Owner, Resolution};
use regard_engine::import::ImportMark;
use regard_engine::ports::{Appended, Incoming, Log};
use regard_model::id::IdGenerator;
use regard_model::{ChannelId, CustomerId, Identifier, InteractionId, Invalid, LifecycleStage, Timestamp};

use crate::failure::{During, check_nul};
use crate::open::{Engine, Store};

/// The kind of interaction that makes a customer of a prospect.
const ORDER: &str = "order.placed";

#[async_trait]
impl Log for Store {
    async fn append(
        &self,
        batch: Vec<Incoming>,
        mark: Option<ImportMark>,
    ) -> Result<Vec<Appended>, StoreError> {
        let during = "append interactions";
        if batch.is_empty() && mark.is_none() {
            return Ok(Vec::new());
        }
        let (ids, now) = (self.inner.ids.clone(), self.now());
        match &self.inner.engine {
            Engine::Sqlite(sqlite) => {
                let work = move |txn: &rusqlite::Transaction<'_>| {
                    sqlite::take_turn(txn, &ids)?;
                    let outcomes = sqlite::append(txn, &ids, now, batch)?;
                    if let Some(mark) = mark {
                        sqlite::write_mark(txn, &mark.with(&outcomes), now)?;
                    }
                    Ok(outcomes)
                };
                sqlite.write(during, work).await
            }
            Engine::Postgres(pool) => {
                let mut txn = pool.begin().await.during(during)?;
                postgres::take_turn(&mut txn, &ids).await?;
                let outcomes = postgres::append(&mut txn, &ids, now, batch).await?;
                if let Some(mark) = mark {
                    postgres::write_mark(&mut txn, &mark.with(&outcomes), now).await?;
                }
                txn.commit().await.during(during)?;
                Ok(outcomes)
            }
        }
    }
}

/// Who owns an identifier, or a customer that an item names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holder {
    /// As it is recorded and as it is read.
    pub(crate) owner: Owner,
    /// Whether it may still be a prospect; for a merged customer only the database knows.
    pub(crate) prospect: bool,
    /// Its place in [`Plan::customers`], when this batch makes it.
    made: Option<usize>,
}

impl Holder {
    /// A stored customer with the root and the stage of its row.
    pub(crate) fn stored(recorded: i64, root: i64, stage: &str) -> Self {
        let owner = Owner { recorded: CustomerId::from_i64(recorded), root: CustomerId::from_i64(root) };
        let prospect = recorded != root || stage == LifecycleStage::Prospect.as_str();
        Self { owner, prospect, made: None }
    }
}

/// What the database knows about a batch.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Items, by place, that are there already.
    pub(crate) duplicates: HashMap<usize, InteractionId>,
    /// Owners of the identifiers in the batch.
    pub(crate) holders: HashMap<Identifier, Holder>,
    /// The customers that items name.
    pub(crate) named: HashMap<CustomerId, Holder>,
}

/// A customer to make.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) id: CustomerId,
    pub(crate) stage: LifecycleStage,
    pub(crate) source: String,
}

/// An interaction to store.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: InteractionId,
    pub(crate) customer: Option<CustomerId>,
    pub(crate) item: Incoming,
}

/// What has to be written for a batch, and what its caller hears.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) outcomes: Vec<Appended>,
    pub(crate) customers: Vec<Made>,
    pub(crate) links: Vec<(Identifier, CustomerId)>,
    pub(crate) rows: Vec<Row>,
    /// Stored customers who got an identifier: recorded, root.
    pub(crate) grown: BTreeSet<(CustomerId, CustomerId)>,
    /// Stored customers, as roots, who placed an order and may be prospects.
    pub(crate) buyers: BTreeSet<CustomerId>,
}

/// Decides what becomes of each item, in order.
pub(crate) fn plan(batch: Vec<Incoming>, mut known: Known, ids: &IdGenerator, now: Timestamp) -> Plan {
    let mut plan = Plan { outcomes: Vec::with_capacity(batch.len()), ..Plan::default() };
    plan.rows.reserve(batch.len());
    let mut seen: HashMap<(ChannelId, String), InteractionId> = HashMap::with_capacity(batch.len());
    for (place, item) in batch.into_iter().enumerate() {
        if let Some(&id) = known.duplicates.get(&place) {
            plan.outcomes.push(Appended::Duplicate { id });
            continue;
        }
        let slot = match seen.entry((item.channel, item.external_id.clone())) {
            Entry::Occupied(earlier) => {
                plan.outcomes.push(Appended::Duplicate { id: *earlier.get() });
                continue;
            }
            Entry::Vacant(slot) => slot,
        };
        match plan.settle_customer(&item, &mut known, ids, now) {
            Err(invalid) => plan.outcomes.push(Appended::Rejected(invalid)),
            Ok(holder) => {
                let id = ids.next(now);
                slot.insert(id);
                plan.outcomes
                    .push(Appended::Accepted { id, customer: holder.map(|holder| holder.owner.root) });
                plan.rows.push(Row { id, customer: holder.map(|holder| holder.owner.recorded), item });
            }
        }
    }
    plan
}

impl Plan {
    /// Finds or plans the item's customer; plans nothing when the item is refused.
    fn settle_customer(
        &mut self,
        item: &Incoming,
        known: &mut Known,
        ids: &IdGenerator,
        now: Timestamp,
    ) -> Result<Option<Holder>, Invalid> {
        item.thread.as_deref().map_or(Ok(()), |thread| check_nul("thread", thread))?;
        let named = match item.customer {
            Some(id) => Some(
                *known
                    .named
                    .get(&id)
                    .ok_or_else(|| Invalid::new("customer_id", format!("there is no customer {id}")))?,
            ),
            None => None,
        };
        let found: Vec<Option<Holder>> =
            item.identifiers.iter().map(|identifier| known.holders.get(identifier).copied()).collect();
        let owners: Vec<Option<Owner>> =
            found.iter().map(|holder| holder.map(|holder| holder.owner)).collect();
        let is_order = item.kind.as_str() == ORDER;
        let holder = match identity::resolve(named.map(|named| named.owner), &owners)? {
            Resolution::Anonymous => return Ok(None),
            Resolution::Known(recorded) => {
                let mut candidates = named.iter().chain(found.iter().flatten());
                let Some(holder) = candidates.find(|holder| holder.owner.recorded == recorded) else {
                    return Ok(None);
                };
                *holder
            }
            Resolution::Create => {
                let id = ids.next(now);
                self.customers.push(Made {
                    id,
                    stage: LifecycleStage::Prospect,
                    source: item.source.clone(),
                });
                let made = Some(self.customers.len() - 1);
                Holder { owner: Owner { recorded: id, root: id }, prospect: true, made }
            }
        };
        if is_order && holder.prospect {
            match holder.made.and_then(|place| self.customers.get_mut(place)) {
                Some(made) => made.stage = LifecycleStage::Acquired,
                None => {
                    self.buyers.insert(holder.owner.root);
                }
            }
        }
        for identifier in &item.identifiers {
            if let Entry::Vacant(free) = known.holders.entry(identifier.clone()) {
                free.insert(holder);
                self.links.push((identifier.clone(), holder.owner.recorded));
                if holder.made.is_none() {
                    self.grown.insert((holder.owner.recorded, holder.owner.root));
                }
            }
        }
        Ok(Some(holder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regard_model::{Attributes, Provenance};

    fn item(external_id: &str, customer: Option<i64>, identifiers: &[&str]) -> Incoming {
        Incoming {
            channel: ChannelId::from_i64(1),
            external_id: external_id.into(),
            customer: customer.map(CustomerId::from_i64),
            identifiers: identifiers
                .iter()
                .map(|text| Identifier::parse(text).expect("an identifier"))
                .collect(),
            kind: ORDER.parse().expect("a kind"),
            occurred_at: Timestamp::from_millis(0),
            thread: None,
            amount: None,
            attributes: Attributes::new(),
            provenance: Provenance::Of,
            causation_id: None,
            source: "shop".into(),
        }
    }

    fn known() -> Known {
        let mut known = Known::default();
        for (text, recorded, root) in
            [("email:a@x.org", 7, 7), ("email:b@x.org", 8, 8), ("email:c@x.org", 9, 8)]
        {
            let holder = Holder::stored(recorded, root, "prospect");
            known.holders.insert(Identifier::parse(text).expect("an identifier"), holder);
            known.named.insert(CustomerId::from_i64(recorded), holder);
        }
        known
    }

    fn run(batch: Vec<Incoming>) -> Plan {
        plan(batch, known(), &IdGenerator::new(), Timestamp::from_millis(1_764_000_000_000))
    }

    #[test]
    fn one_new_customer_however_often_it_comes() {
        let batch = vec![
            item("1", None, &["email:new@x.org"]),
            item("2", None, &["email:new@x.org", "phone:+49228123456"]),
            item("3", None, &["phone:+49228123456"]),
        ];
        let plan = run(batch);
        assert_eq!((plan.customers.len(), plan.links.len(), plan.rows.len()), (1, 2, 3));
        assert!(plan.rows.iter().all(|row| row.customer == Some(plan.customers[0].id)));
        assert_eq!(plan.customers[0].stage, LifecycleStage::Acquired);
        assert!(plan.grown.is_empty() && plan.buyers.is_empty());
    }

    #[test]
    fn a_rejected_item_leaves_no_trace() {
        let batch = vec![
            item("1", None, &["email:a@x.org", "email:b@x.org", "email:new@x.org"]),
            item("2", Some(99), &["email:new@x.org"]),
            // What was rejected may come again, mended, under the same external id.
            item("1", Some(7), &[]),
        ];
        let plan = run(batch);
        assert!(matches!(
            plan.outcomes[..],
            [Appended::Rejected(_), Appended::Rejected(_), Appended::Accepted { .. }]
        ));
        assert!(plan.customers.is_empty() && plan.links.is_empty());
        assert_eq!(plan.rows.len(), 1);
    }

    #[test]
    fn a_merged_customer_keeps_what_is_recorded_under_it() {
        let plan = run(vec![item("1", None, &["email:c@x.org", "email:new@x.org"])]);
        assert_eq!(plan.rows[0].customer, Some(CustomerId::from_i64(9)));
        assert!(
            matches!(plan.outcomes[0], Appended::Accepted { customer: Some(root), .. } if root.as_i64() == 8)
        );
        assert_eq!(plan.links[0].1, CustomerId::from_i64(9));
        assert!(plan.buyers.contains(&CustomerId::from_i64(8)));
    }

    #[test]
    fn a_repeat_within_the_batch_is_a_duplicate() {
        let plan = run(vec![item("1", Some(7), &[]), item("1", None, &["email:other@x.org"])]);
        assert!(matches!(plan.outcomes[1], Appended::Duplicate { id } if id == plan.rows[0].id));
        assert!(plan.customers.is_empty());
    }
}
