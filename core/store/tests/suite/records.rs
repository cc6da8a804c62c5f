use std::collections::BTreeMap;

use anyhow::{Context, Result};
use regard_engine::StoreError;
use regard_engine::ports::{Effects, Feed, Progress, RecordPlace, RecordQuery, RecordSort, Stream};
use regard_model::record::{CustomerRelation, NewRecord, RecordChange, RecordDeclaration};
use regard_model::{Attributes, CustomerId, PluginRecord, Record, RecordId, Timestamp};
use regard_store::Store;
use serde_json::{Value, json};

use crate::bed::{Bed, NASTY, START_MS, customer};

fn case() -> RecordDeclaration {
    RecordDeclaration {
        name: "case".into(),
        title: "Case".into(),
        description: NASTY.into(),
        customer: CustomerRelation::Optional,
        indexes: vec!["state".into(), "priority".into(), "closed".into()],
        unique: vec!["number".into()],
        schema: json!({
            "type": "object",
            "required": ["state"],
            "properties": {
                "state": { "type": "string" },
                "priority": { "type": ["number", "null"] },
                "closed": { "type": "boolean" },
                "number": { "type": ["integer", "null"] },
                "note": { "type": "string" }
            }
        }),
    }
}

/// A store that knows cases.
async fn desk(bed: &Bed) -> Result<Store> {
    let store = bed.open().await?;
    store.set_record_types("hook-case", &[case()]).await?;
    Ok(store)
}

fn new(customer_id: Option<CustomerId>, data: Value) -> NewRecord {
    NewRecord { kind: "case".into(), customer_id, data }
}

async fn make(store: &Store, data: Value) -> Result<Record> {
    Ok(store.create_record(new(None, data)).await?)
}

fn query(equal: &[(&str, Value)]) -> RecordQuery {
    let equal = equal.iter().map(|(field, value)| ((*field).to_owned(), value.clone())).collect();
    RecordQuery { kind: "case".into(), equal, ..RecordQuery::default() }
}

/// The ids of all records of a query, page by page.
async fn ids(store: &Store, query: &RecordQuery, limit: u64) -> Result<Vec<RecordId>> {
    let (mut ids, mut after) = (Vec::new(), None::<RecordPlace>);
    loop {
        let page = store.list_records(query, after.as_ref(), limit).await?;
        let Some(last) = page.last() else { return Ok(ids) };
        let value = query.sort.as_ref().and_then(|sort| last.data.get(&sort.field).cloned());
        after = Some(RecordPlace { id: last.id, value: value.unwrap_or_default() });
        ids.extend(page.iter().map(|record| record.id));
    }
}

fn says(ended: Result<impl std::fmt::Debug, StoreError>, words: &[&str]) {
    let error = ended.expect_err("refused");
    assert!(matches!(error, StoreError::Conflict(_) | StoreError::Invalid(_)), "{error:?}");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word} is missing in: {text}");
    }
}

pub async fn are_made_changed_and_deleted(bed: Bed) -> Result<()> {
    let store = desk(&bed).await?;
    let ada = customer(&store, "Ada", &[]).await?;
    let data = json!({ "state": NASTY, "note": "\u{0}", "deep": { "a": [1, 2.5, 1e300, null] } });
    let made = store.create_record(new(Some(ada.id), data.clone())).await?;
    assert_eq!((made.kind.as_str(), made.version, made.customer_id), ("case", 1, Some(ada.id)));
    assert_eq!((&made.data, made.created_at), (&data, Timestamp::from_millis(START_MS)));
    assert_eq!(store.find_record("case", made.id).await?.as_ref(), Some(&made));
    assert_eq!(store.find_record("coupon", made.id).await?, None);

    bed.clock.advance(5);
    let patch = json!({ "state": "open", "note": null, "deep": { "b": true } });
    let changed = store.patch_record("case", made.id, Some(1), patch.clone()).await?;
    assert_eq!(changed.data, json!({ "state": "open", "deep": { "a": [1, 2.5, 1e300, null], "b": true } }));
    assert_eq!((changed.version, changed.updated_at), (2, Timestamp::from_millis(START_MS + 5)));
    assert_eq!(store.find_record("case", made.id).await?.as_ref(), Some(&changed));
    assert_eq!(store.patch_record("case", made.id, None, patch).await?, changed, "nothing has changed");
    says(store.patch_record("case", made.id, Some(1), json!({})).await, &["version 2", "version 1"]);
    says(store.patch_record("case", made.id, None, json!({ "state": 1 })).await, &["data.state"]);
    says(
        store.patch_record("case", made.id, None, json!({ "state": null })).await,
        &["data.state", "required"],
    );
    says(
        store.create_record(new(Some(CustomerId::from_i64(9)), data)).await,
        &["customer_id", "no customer"],
    );
    let long = json!({ "state": "x".repeat(513) });
    says(store.create_record(new(None, long)).await, &["data.state", "513 bytes"]);
    for nothing in [NASTY, "", "coupon", "a\0b"] {
        let other = NewRecord { kind: nothing.into(), ..new(None, json!({ "state": "open" })) };
        assert!(store.create_record(other).await.is_err(), "{nothing}");
    }

    says(store.delete_record("case", made.id, Some(1)).await, &["version"]);
    store.delete_record("case", made.id, Some(2)).await?;
    assert!(matches!(store.delete_record("case", made.id, None).await, Err(StoreError::NotFound(_))));
    assert_eq!(store.find_record("case", made.id).await?, None);
    assert_eq!(bed.sql("SELECT count(*) FROM record_index")?, "0");
    Ok(())
}

pub async fn keep_unique_values_apart(bed: Bed) -> Result<()> {
    let store = desk(&bed).await?;
    let first = make(&store, json!({ "state": "open", "number": 1 })).await?;
    let second = make(&store, json!({ "state": "open", "number": 2 })).await?;
    for same in [json!(1), json!(1.0)] {
        let again = store.create_record(new(None, json!({ "state": "open", "number": same }))).await;
        says(again, &["`number`", "`case`", &first.id.to_string()]);
    }
    let taken = store.patch_record("case", second.id, None, json!({ "number": 1 })).await;
    says(taken, &["`number`", &first.id.to_string()]);
    for _ in 0..2 {
        make(&store, json!({ "state": "open" })).await?;
        make(&store, json!({ "state": "open", "number": null })).await?;
    }
    store.patch_record("case", first.id, None, json!({ "number": 3, "state": "x" })).await?;
    store.patch_record("case", second.id, None, json!({ "number": 1 })).await?;
    store.delete_record("case", second.id, None).await?;
    make(&store, json!({ "state": "open", "number": 1 })).await?;
    assert_eq!(ids(&store, &query(&[("number", json!(3))]), 10).await?, [first.id]);

    // Two nodes want the same number at the same time: one gets it.
    let other = bed.open().await?;
    for number in 100..120 {
        let data = json!({ "state": "open", "number": number });
        let (left, right) =
            tokio::join!(store.create_record(new(None, data.clone())), other.create_record(new(None, data)));
        assert!(left.is_ok() != right.is_ok(), "{number}: {left:?} {right:?}");
        says(if left.is_ok() { right } else { left }, &["`number`", "unique"]);
    }
    Ok(())
}

pub async fn are_found_and_sorted_by_their_fields(bed: Bed) -> Result<()> {
    let store = desk(&bed).await?;
    let ada = customer(&store, "Ada", &[]).await?;
    let bob = customer(&store, "Bob", &[]).await?;
    let values = [
        json!(-2),
        json!(null),
        json!(10),
        json!(9),
        json!(2.5),
        json!(-1.5),
        json!(9_007_199_254_740_993_i64),
        json!(9_007_199_254_740_992_i64),
        json!(0.1),
        json!(1e300),
        json!(-0.0),
    ];
    let mut made = BTreeMap::new();
    for (at, priority) in values.iter().enumerate() {
        let state = if at % 2 == 0 { "open" } else { "closed" };
        let data = json!({ "state": state, "priority": priority, "closed": at % 3 == 0, "number": at });
        let owner = if at < 6 { ada.id } else { bob.id };
        made.insert(at, store.create_record(new(Some(owner), data)).await?.id);
    }
    let pick = |wanted: &[usize]| wanted.iter().map(|at| made[at]).collect::<Vec<_>>();
    let sorted = |field: &str, descending| {
        let sort = Some(RecordSort { field: field.into(), descending });
        RecordQuery { sort, ..query(&[]) }
    };
    // Smallest first: no value, -2, -1.5, -0.0, 0.1, 2.5, 9, 10, 2^53, 2^53 + 1, 1e300.
    let by_priority = [1, 0, 5, 10, 8, 4, 3, 2, 7, 6, 9];
    let mut reversed = by_priority;
    reversed.reverse();
    for limit in [1, 3, 100] {
        assert_eq!(ids(&store, &query(&[]), limit).await?, pick(&[10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]));
        assert_eq!(ids(&store, &sorted("priority", false), limit).await?, pick(&by_priority));
        assert_eq!(ids(&store, &sorted("priority", true), limit).await?, pick(&reversed));
        assert_eq!(
            ids(&store, &query(&[("state", json!("closed")), ("closed", json!(true))]), limit).await?,
            pick(&[9, 3])
        );
        let of_ada = RecordQuery { customer: Some(ada.id), ..query(&[("state", json!("open"))]) };
        assert_eq!(ids(&store, &of_ada, limit).await?, pick(&[4, 2, 0]));
        let all_of_bob = RecordQuery { customer: Some(bob.id), ..query(&[]) };
        assert_eq!(ids(&store, &all_of_bob, limit).await?, pick(&[10, 9, 8, 7, 6]));
        let open = RecordQuery { equal: query(&[("state", json!("open"))]).equal, ..sorted("state", true) };
        assert_eq!(ids(&store, &open, limit).await?, pick(&[10, 8, 6, 4, 2, 0]), "equal values by their ids");
        let of_bob = RecordQuery { customer: Some(bob.id), ..sorted("closed", false) };
        assert_eq!(ids(&store, &of_bob, limit).await?, pick(&[7, 8, 10, 6, 9]));
    }
    assert_eq!(ids(&store, &query(&[("priority", json!(9_007_199_254_740_993_i64))]), 9).await?, pick(&[6]));
    assert_eq!(ids(&store, &query(&[("priority", json!(null))]), 9).await?, pick(&[1]));
    assert_eq!(ids(&store, &query(&[("priority", json!(0)), ("number", json!(10))]), 9).await?, pick(&[10]));
    let refused = store.list_records(&query(&[("note", json!("x"))]), None, 1).await;
    says(refused, &["note", "closed, number, priority, state"]);
    says(store.list_records(&query(&[("closed", json!("yes"))]), None, 1).await, &["closed", "boolean"]);
    says(store.list_records(&sorted("note", true), None, 1).await, &["note"]);

    // Texts by their characters' numbers, whatever the database's language.
    let words = ["", "10", "9", "Z", "a", "aa", NASTY, "\u{e4}", "\u{1f389}"];
    let mut expected: Vec<&str> = words.to_vec();
    expected.sort_unstable();
    for word in words {
        make(&store, json!({ "state": word })).await?;
    }
    let all = store.list_records(&sorted("state", false), None, 100).await?;
    let states = all.iter().filter_map(|record| record.data["state"].as_str());
    let found: Vec<&str> = states.filter(|state| !["open", "closed"].contains(state)).collect();
    assert_eq!(found, expected);
    Ok(())
}

pub async fn follow_merges_and_are_given_back(bed: Bed) -> Result<()> {
    let store = desk(&bed).await?;
    let (ada, old) = (customer(&store, "Ada", &[]).await?, customer(&store, "Old", &[]).await?);
    let mut made = Vec::new();
    for owner in [ada.id, old.id, old.id] {
        made.push(store.create_record(new(Some(owner), json!({ "state": "open" }))).await?);
    }
    let theirs = |id| RecordQuery { customer: Some(id), ..query(&[]) };
    let everything = async || {
        let mut all = Vec::new();
        for id in [ada.id, old.id] {
            let export = store.export_customer(id).await?;
            all.push((export["records"].clone(), ids(&store, &theirs(id), 10).await?));
        }
        for record in &made {
            all.push((json!(store.find_record("case", record.id).await?), vec![]));
        }
        Ok::<_, anyhow::Error>(all)
    };
    let before = everything().await?;
    assert_eq!(before[1].0.as_array().map(Vec::len), Some(2));
    let merge = store.merge_customers(old.id, ada.id, "same", Attributes::new(), "t").await?;
    assert_eq!(ids(&store, &theirs(old.id), 2).await?, [made[2].id, made[1].id, made[0].id]);
    assert_eq!(store.find_record("case", made[1].id).await?.context("there")?.customer_id, Some(ada.id));
    let export = store.export_customer(old.id).await?;
    let exported = export["records"].as_array().context("a list")?;
    assert_eq!(exported.len(), 3);
    assert!(exported.iter().all(|record| record["customer_id"] == json!(ada.id)), "{export}");
    store.undo_merge(merge.id).await?;
    assert_eq!(everything().await?, before);
    Ok(())
}

pub async fn are_effects_of_a_call(bed: Bed) -> Result<()> {
    let store = desk(&bed).await?;
    let ada = customer(&store, "Ada", &[]).await?;
    let (first, second): (RecordId, RecordId) = (store.next_id(), store.next_id());
    let create = |id, number| {
        RecordChange::Create(id, new(Some(ada.id), json!({ "state": "open", "number": number })))
    };
    let update = |id, version, number| RecordChange::Update {
        id,
        kind: "case".into(),
        version,
        data: json!({ "state": "closed", "number": number }),
    };
    let delete = |id, version| RecordChange::Delete { id, kind: "case".into(), version };
    let commit = async |position, records| {
        let progress = Progress { subscriber: "hook-case".into(), stream: Stream::Interactions, position };
        let kept = vec![("position".into(), Some(vec![7]))];
        let effects = Effects { origin: "hook-case".into(), records, kept, ..Effects::default() };
        store.commit(Some(&progress), effects).await
    };
    // What fails in the end leaves nothing behind.
    let wrong = commit(7, vec![create(first, 1), create(second, 2), update(second, 9, 3)]).await;
    says(wrong, &["version 1", "version 9"]);
    says(commit(7, vec![create(first, 1), create(second, 1)]).await, &["`number`"]);
    let bad = RecordChange::Create(second, new(Some(ada.id), json!({ "state": 5 })));
    says(commit(7, vec![create(first, 1), bad]).await, &["data.state"]);
    assert_eq!(ids(&store, &query(&[]), 9).await?, []);
    assert_eq!(store.position("hook-case", Stream::Interactions).await?, 0);

    commit(7, vec![create(first, 1), update(first, 1, 2), create(second, 1), delete(second, 1)]).await?;
    let made = store.find_record("case", first).await?.context("there")?;
    assert_eq!((made.version, &made.data["number"]), (2, &json!(2)));
    assert_eq!(ids(&store, &query(&[]), 9).await?, [first]);
    assert_eq!(store.position("hook-case", Stream::Interactions).await?, 7);
    says(commit(8, vec![update(first, 1, 5)]).await, &["version"]);
    assert_eq!(store.position("hook-case", Stream::Interactions).await?, 7);
    commit(8, vec![delete(first, 2)]).await?;
    assert_eq!(bed.sql("SELECT count(*) FROM record")?, "0");
    Ok(())
}

pub async fn refuse_declarations_that_they_do_not_fit(bed: Bed) -> Result<()> {
    let store = desk(&bed).await?;
    let ada = customer(&store, "Ada", &[]).await?;
    for number in 0..1_200 {
        make(&store, json!({ "state": "open", "number": number, "priority": number % 7 })).await?;
    }
    let odd = store.create_record(new(Some(ada.id), json!({ "state": "lost", "priority": 3 }))).await?;
    let known = store.find_record_type("case").await?.context("a type")?;
    let refuses = async |change: &dyn Fn(&mut RecordDeclaration), words: &[&str]| {
        let mut declared = case();
        change(&mut declared);
        says(store.set_record_types("hook-case", &[declared]).await, words);
        let still = store.find_record_type("case").await?.context("a type")?;
        assert_eq!(still, known, "nothing has changed");
        Ok::<_, anyhow::Error>(())
    };
    let odd_id = odd.id.to_string();
    let narrower = json!({ "type": "string", "enum": ["open", "closed"] });
    refuses(&|it| it.schema["properties"]["state"] = narrower.clone(), &["case", &odd_id, "/data/state"])
        .await?;
    refuses(&|it| it.schema["required"] = json!(["number"]), &[&odd_id, "/data/number"]).await?;
    refuses(&|it| it.customer = CustomerRelation::None, &[&odd_id, "/customer_id"]).await?;
    refuses(&|it| it.customer = CustomerRelation::Required, &["/customer_id"]).await?;
    refuses(&|it| it.unique.push("priority".into()), &["`priority`", "unique", "rec_"]).await?;
    refuses(&|it| it.schema = json!({ "type": "string" }), &["records[0].schema"]).await?;

    // A change that every record fits is taken, and the next record is checked against it.
    let mut wider = case();
    wider.schema["properties"]["state"] = json!({ "type": "string", "enum": ["open", "lost"] });
    let other = bed.open().await?;
    make(&other, json!({ "state": "closed" })).await?;
    says(store.set_record_types("hook-case", std::slice::from_ref(&wider)).await, &["/data/state"]);
    let closed = ids(&store, &query(&[("state", json!("closed"))]), 9).await?;
    store.delete_record("case", closed[0], None).await?;
    store.set_record_types("hook-case", &[wider]).await?;
    says(other.create_record(new(None, json!({ "state": "closed" }))).await, &["data.state"]);
    Ok(())
}

pub async fn are_indexed_anew_when_the_fields_change(bed: Bed) -> Result<()> {
    let store = desk(&bed).await?;
    let mut made = Vec::new();
    for number in 0..1_100 {
        let note = format!("note {number}");
        made.push(make(&store, json!({ "state": "open", "number": number, "note": note })).await?.id);
    }
    let mut declared = case();
    (declared.indexes, declared.unique) = (vec!["number".into()], vec!["note".into()]);
    store.set_record_types("hook-case", std::slice::from_ref(&declared)).await?;
    assert_eq!(ids(&store, &query(&[("note", json!("note 1099"))]), 9).await?, [made[1_099]]);
    assert_eq!(ids(&store, &query(&[("number", json!(500))]), 9).await?, [made[500]]);
    says(store.list_records(&query(&[("state", json!("open"))]), None, 1).await, &["state"]);
    assert_eq!(bed.sql("SELECT count(*) FROM record_index WHERE is_unique")?, "1100");
    make(&store, json!({ "state": "open", "number": 1 })).await?;
    let twice = store.create_record(new(None, json!({ "state": "open", "note": "note 7" }))).await;
    says(twice, &["`note`", &made[7].to_string()]);
    // Unique again, what is shared by now is named.
    says(store.set_record_types("hook-case", &[case()]).await, &["`number`", &made[1].to_string()]);
    assert_eq!(
        ids(&store, &query(&[("note", json!("note 3"))]), 9).await?,
        [made[3]],
        "the index is as it was"
    );
    Ok(())
}

pub async fn outlive_their_plugin(bed: Bed) -> Result<()> {
    let store = desk(&bed).await?;
    let plugin = PluginRecord {
        id: "hook-case".into(),
        version: "0.1.0".into(),
        runtime: "luau".into(),
        capabilities: vec!["hook".into()],
        digest: "d".repeat(64),
        manifest: String::new(),
        grants: json!({}),
        config: json!({}),
        enabled: true,
        fault: None,
        waiting: None,
        signed_by: None,
        installed_at: Timestamp::from_millis(START_MS),
    };
    store.put_plugin(&plugin).await?;
    let (mut visit, mut coupon) = (case(), case());
    (visit.name, coupon.name) = ("visit".into(), "coupon".into());
    store.set_record_types("hook-case", &[case(), visit.clone(), coupon]).await?;
    let names = async || {
        let known = store.list_record_types().await?;
        Ok::<_, StoreError>(known.iter().map(|kind| kind.name().to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(names().await?, ["case", "coupon", "visit"]);
    says(store.set_record_types("hook-other", std::slice::from_ref(&visit)).await, &["`visit`", "hook-case"]);
    let ada = customer(&store, "Ada", &[]).await?;
    let made = store.create_record(new(Some(ada.id), json!({ "state": "open" }))).await?;

    // A type that is no longer declared goes when nothing is left of it.
    store.set_record_types("hook-case", std::slice::from_ref(&visit)).await?;
    assert_eq!(names().await?, ["case", "visit"]);
    assert!(store.remove_plugin("hook-case").await?);
    assert_eq!(names().await?, ["case"]);
    assert_eq!(store.find_record("case", made.id).await?.as_ref(), Some(&made));
    assert_eq!(ids(&store, &query(&[("state", json!("open"))]), 9).await?, [made.id]);
    assert_eq!(store.export_customer(ada.id).await?["records"], json!([made]));
    says(store.set_record_types("hook-other", &[case()]).await, &["`case`", "which is gone"]);
    store.set_record_types("hook-other", &[visit]).await?;
    store.set_record_types("hook-case", &[case()]).await?;
    assert!(store.remove_plugin("hook-case").await.is_ok());
    store.delete_record("case", made.id, None).await?;
    store.set_record_types("hook-other", &[case()]).await?;
    assert_eq!(store.find_record_type("case").await?.context("there")?.plugin(), "hook-other");
    Ok(())
}
