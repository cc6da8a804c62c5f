use anyhow::{Context, Result};
use regard_engine::import::ImportMark;
use regard_engine::ports::Log;
use regard_model::attributes::ATTRIBUTES_MAX;
use regard_model::customer::{CustomerChange, NewCustomer};
use regard_model::{Attributes, Identifier};
use regard_store::Imported;
use serde_json::json;

use crate::bed::{Bed, customer, identifier, order, shop};

fn mark(lines: u64) -> ImportMark {
    ImportMark {
        key: "k".repeat(64),
        bytes: lines * 100,
        lines,
        accepted: 10,
        duplicates: 0,
        rejected: 0,
        rejects_bytes: 0,
        finished: false,
    }
}

fn new(name: &str, identifiers: &[&str]) -> NewCustomer {
    let identifiers = identifiers.iter().map(|text| identifier(text)).collect();
    NewCustomer { name: name.into(), identifiers, ..NewCustomer::unknown("crm") }
}

pub async fn make_and_update_by_identifier(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let ada = customer(&store, "Ada", &["email:ada@example.com"]).await?;
    let eve = customer(&store, "Eve", &["email:eve@example.com"]).await?;
    let one_more =
        CustomerChange { attributes: Attributes::from([("own", json!(1))]), ..CustomerChange::default() };
    store.change_customer(ada.id, one_more).await?;
    let batch = vec![
        new("Ada Lovelace", &["email:ada@example.com", "external:crm:1"]),
        new("", &["email:eve@example.com"]),
        new("Both", &["email:ada@example.com", "email:eve@example.com"]),
        new("New", &["external:crm:2"]),
        NewCustomer {
            attributes: Attributes::from([("a", json!(1))]),
            ..new("", &["external:crm:2", "external:crm:3"])
        },
        new("New", &["external:crm:3"]),
        NewCustomer { source: "Not A Slug".into(), ..new("Bad", &["external:crm:4"]) },
        new("Nobody", &[]),
        NewCustomer {
            attributes: Attributes((0..ATTRIBUTES_MAX).map(|n| (n.to_string(), json!(n))).collect()),
            ..new("Ada", &["email:ada@example.com", "external:crm:9"])
        },
        new("Nine", &["external:crm:9"]),
    ];
    let outcomes = store.import_customers(batch, Some(mark(8))).await?;
    assert_eq!(outcomes[0], Imported::Updated(ada.id));
    assert_eq!(outcomes[1], Imported::Unchanged(eve.id));
    assert!(matches!(&outcomes[2], Imported::Rejected(why) if why.reason.contains(&ada.id.to_string())));
    let Imported::Created(fresh) = outcomes[3] else { anyhow::bail!("not created: {:?}", outcomes[3]) };
    assert_eq!((&outcomes[4], &outcomes[5]), (&Imported::Updated(fresh), &Imported::Unchanged(fresh)));
    assert!(matches!(outcomes[6], Imported::Rejected(_)));
    assert!(matches!(outcomes[7], Imported::Created(_)));
    assert!(matches!(outcomes[8], Imported::Rejected(_)));
    assert!(matches!(outcomes[9], Imported::Created(_)), "what was refused left its identifier free");
    let read = store.find_customer(fresh).await?.context("there")?;
    assert_eq!((read.identifiers.len(), read.attributes.get("a")), (2, Some(&json!(1))));
    assert_eq!(
        store.find_customer_by(&identifier("external:crm:1")).await?.context("there")?.name,
        "Ada Lovelace"
    );
    assert_eq!(store.find_customer_by(&identifier("external:crm:4")).await?, None);
    assert_eq!(store.counts().await?.customers, 5);
    let counted = ImportMark { accepted: 15, duplicates: 2, rejected: 3, ..mark(8) };
    assert_eq!(
        store.import_mark(&mark(0).key).await?,
        Some(counted),
        "the mark counts what became of the batch"
    );
    Ok(())
}

pub async fn commit_their_mark_with_their_rows(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let shop = shop(&store).await?;
    assert_eq!(store.import_mark(&mark(0).key).await?, None);
    store.append(vec![order(shop.id, "1", &[])], Some(mark(1))).await?;
    let one_more = |lines| Some(ImportMark { accepted: 11, ..mark(lines) });
    assert_eq!(store.import_mark(&mark(0).key).await?, one_more(1));
    store.append(Vec::new(), Some(mark(2))).await?;
    assert_eq!(store.import_mark(&mark(0).key).await?, Some(mark(2)));
    // A batch that the database refuses as a whole takes its mark with it.
    bed.sql("ALTER TABLE interaction RENAME TO away")?;
    let refused = store.append(vec![order(shop.id, "2", &["email:new@example.com"])], Some(mark(3))).await;
    assert!(refused.is_err());
    bed.sql("ALTER TABLE away RENAME TO interaction")?;
    assert_eq!(store.import_mark(&mark(0).key).await?, Some(mark(2)));
    assert_eq!(store.find_customer_by(&identifier("email:new@example.com")).await?, None);
    store.append(vec![order(shop.id, "2", &["email:new@example.com"])], Some(mark(3))).await?;
    assert_eq!(store.import_mark(&mark(0).key).await?, one_more(3));
    Ok(())
}

pub async fn of_customers_do_what_single_calls_do(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let batch: Vec<NewCustomer> = (0..2500)
        .map(|n| new(&format!("Customer {n}"), &[&format!("external:crm:{n}"), &format!("email:c{n}@x.org")]))
        .collect();
    let outcomes = store.import_customers(batch.clone(), None).await?;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Imported::Created(_))));
    let again = store.import_customers(batch.clone(), None).await?;
    assert!(again.iter().all(|outcome| matches!(outcome, Imported::Unchanged(_))), "{:?}", again.first());
    let read = store.find_customer_by(&Identifier::new("email", "c1234@x.org")?).await?.context("there")?;
    let single = store.create_customer(new("Customer 1234", &["external:other:1"])).await?;
    assert_eq!((read.name, read.version, read.source), (single.name, single.version, single.source));
    Ok(())
}
