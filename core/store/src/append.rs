//! Appending to the log: what becomes of a batch is planned here, in memory, from what the database knows about it.
//!
//! Both databases take the same three steps in one transaction: look up who is there ([`Known`]), [`plan`], write
//! the [`Plan`]. Only the first and the last step differ, in [`sqlite`] and [`postgres`].
//!
//! Hardly any batch has an interaction that is there already, so nobody looks for one at first: the unique key finds
//! it. Then the rows written so far are taken out again, and the batch is planned once more with the duplicates known.
//! The same happens when an item is to be rejected, because a duplicate is a duplicate whoever it now belongs to.
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
                let owners = sqlite.owners.clone();
                let work = move |txn: &rusqlite::Transaction<'_>| {
                    sqlite::take_turn(txn, &ids)?;
                    let outcomes = sqlite::append(txn, &ids, now, &batch, &mut owners.lock())?;
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
                let outcomes = postgres::append(&mut txn, &ids, now, &batch).await?;
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
    /// Whether it was remembered from a batch before.
    pub(crate) remembered: bool,
}

impl Holder {
    /// A stored customer with the root and the stage of its row.
    pub(crate) fn stored(recorded: i64, root: i64, stage: &str) -> Self {
        let owner = Owner { recorded: CustomerId::from_i64(recorded), root: CustomerId::from_i64(root) };
        let prospect = recorded != root || stage == LifecycleStage::Prospect.as_str();
        Self { owner, prospect, made: None, remembered: false }
    }
}

/// What the database knows about a batch.
#[derive(Debug, Default)]
pub(crate) struct Known<'a> {
    /// Items, by place, that are there already; `None` while nobody has looked.
    pub(crate) duplicates: Option<HashMap<usize, InteractionId>>,
    /// Owners of the identifiers in the batch; planning adds those of new customers.
    pub(crate) holders: HashMap<&'a Identifier, Holder>,
    /// The customers that items name.
    pub(crate) named: HashMap<CustomerId, Holder>,
}

/// A customer to make.
#[derive(Debug)]
pub(crate) struct Made<'a> {
    pub(crate) id: CustomerId,
    pub(crate) name: &'a str,
    pub(crate) stage: LifecycleStage,
    pub(crate) source: &'a str,
}

/// An interaction to store.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(crate) id: InteractionId,
    pub(crate) customer: Option<CustomerId>,
    pub(crate) item: &'a Incoming,
}

/// What has to be written for a batch, and what its caller hears.
#[derive(Debug, Default)]
pub(crate) struct Plan<'a> {
    pub(crate) outcomes: Vec<Appended>,
    pub(crate) customers: Vec<Made<'a>>,
    pub(crate) links: Vec<(&'a Identifier, CustomerId)>,
    pub(crate) rows: Vec<Row<'a>>,
    /// Stored customers who got an identifier: recorded, root.
    pub(crate) grown: BTreeSet<(CustomerId, CustomerId)>,
    /// Stored customers, as roots, who placed an order and may be prospects.
    pub(crate) buyers: BTreeSet<CustomerId>,
}

/// Decides what becomes of each item, in order. Repeats are told only when somebody has looked for duplicates; until
/// then the unique key is trusted to find both.
pub(crate) fn plan<'a>(
    batch: &'a [Incoming],
    known: &mut Known<'a>,
    ids: &IdGenerator,
    now: Timestamp,
) -> Plan<'a> {
    let mut plan = Plan { outcomes: Vec::with_capacity(batch.len()), ..Plan::default() };
    plan.rows.reserve(batch.len());
    let mut seen: HashMap<(ChannelId, &str), InteractionId> = HashMap::new();
    for (place, item) in batch.iter().enumerate() {
        let name = (item.channel, item.external_id.as_str());
        if let Some(duplicates) = &known.duplicates
            && let Some(&id) = duplicates.get(&place).or_else(|| seen.get(&name))
        {
            plan.outcomes.push(Appended::Duplicate { id });
            continue;
        }
        match plan.settle_customer(item, known, ids, now) {
            Err(invalid) => plan.outcomes.push(Appended::Rejected(invalid)),
            Ok(holder) => {
                let id = ids.next(now);
                if known.duplicates.is_some() {
                    seen.insert(name, id);
                }
                plan.outcomes
                    .push(Appended::Accepted { id, customer: holder.map(|holder| holder.owner.root) });
                plan.rows.push(Row { id, customer: holder.map(|holder| holder.owner.recorded), item });
            }
        }
    }
    plan
}

impl<'a> Plan<'a> {
    /// Whether some item is refused.
    pub(crate) fn rejects(&self) -> bool {
        self.outcomes.iter().any(|outcome| matches!(outcome, Appended::Rejected(_)))
    }

    /// What is known of a holder once the plan is carried out.
    pub(crate) fn afterwards(&self, holder: Holder) -> Holder {
        let prospect = match holder.made.and_then(|place| self.customers.get(place)) {
            Some(made) => made.stage == LifecycleStage::Prospect,
            None => holder.prospect && !self.buyers.contains(&holder.owner.root),
        };
        Holder { prospect, made: None, remembered: true, ..holder }
    }

    /// Finds or plans the item's customer; plans nothing when the item is refused.
    fn settle_customer(
        &mut self,
        item: &'a Incoming,
        known: &mut Known<'a>,
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
                let (name, source) = (item.customer_name.as_str(), item.source.as_str());
                self.customers.push(Made { id, name, stage: LifecycleStage::Prospect, source });
                let made = Some(self.customers.len() - 1);
                Holder { owner: Owner { recorded: id, root: id }, prospect: true, made, remembered: false }
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
        if found.iter().all(Option::is_some) {
            return Ok(Some(holder));
        }
        for identifier in &item.identifiers {
            if let Entry::Vacant(free) = known.holders.entry(identifier) {
                free.insert(holder);
                self.links.push((identifier, holder.owner.recorded));
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
            customer_name: String::new(),
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

    /// Plans for a store that knows three customers, of whom 9 was merged into 8.
    fn run(batch: &[Incoming]) -> Plan<'_> {
        let mut known = Known::default();
        for (text, recorded, root) in
            [("email:a@x.org", 7, 7), ("email:b@x.org", 8, 8), ("email:c@x.org", 9, 8)]
        {
            let holder = Holder::stored(recorded, root, "prospect");
            let mut named = batch.iter().flat_map(|item| &item.identifiers);
            if let Some(identifier) = named.find(|identifier| identifier.to_string() == text) {
                known.holders.insert(identifier, holder);
            }
            known.named.insert(CustomerId::from_i64(recorded), holder);
        }
        known.duplicates = Some(HashMap::new());
        plan(batch, &mut known, &IdGenerator::new(), Timestamp::from_millis(1_764_000_000_000))
    }

    #[test]
    fn one_new_customer_however_often_it_comes() {
        let batch = [
            item("1", None, &["email:new@x.org"]),
            item("2", None, &["email:new@x.org", "phone:+49228123456"]),
            item("3", None, &["phone:+49228123456"]),
        ];
        let plan = run(&batch);
        assert_eq!((plan.customers.len(), plan.links.len(), plan.rows.len()), (1, 2, 3));
        assert!(plan.rows.iter().all(|row| row.customer == Some(plan.customers[0].id)));
        assert_eq!(plan.customers[0].stage, LifecycleStage::Acquired);
        assert!(plan.grown.is_empty() && plan.buyers.is_empty());
    }

    #[test]
    fn a_rejected_item_leaves_no_trace() {
        let batch = [
            item("1", None, &["email:a@x.org", "email:b@x.org", "email:new@x.org"]),
            item("2", Some(99), &["email:new@x.org"]),
            // What was rejected may come again, mended, under the same external id.
            item("1", Some(7), &[]),
        ];
        let plan = run(&batch);
        assert!(matches!(
            plan.outcomes[..],
            [Appended::Rejected(_), Appended::Rejected(_), Appended::Accepted { .. }]
        ));
        assert!(plan.customers.is_empty() && plan.links.is_empty());
        assert_eq!(plan.rows.len(), 1);
    }

    #[test]
    fn a_merged_customer_keeps_what_is_recorded_under_it() {
        let batch = [item("1", None, &["email:c@x.org", "email:new@x.org"])];
        let plan = run(&batch);
        assert_eq!(plan.rows[0].customer, Some(CustomerId::from_i64(9)));
        assert!(
            matches!(plan.outcomes[0], Appended::Accepted { customer: Some(root), .. } if root.as_i64() == 8)
        );
        assert_eq!(plan.links[0].1, CustomerId::from_i64(9));
        assert!(plan.buyers.contains(&CustomerId::from_i64(8)));
    }

    #[test]
    fn a_repeat_within_the_batch_is_a_duplicate() {
        let batch = [item("1", Some(7), &[]), item("1", None, &["email:other@x.org"])];
        let plan = run(&batch);
        assert!(matches!(plan.outcomes[1], Appended::Duplicate { id } if id == plan.rows[0].id));
        assert!(plan.customers.is_empty());
    }
}
