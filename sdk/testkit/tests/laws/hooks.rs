use crate::trial::{assert_failed, package, tried};

const MANIFEST: &str = "[permissions]\ncustomers = \"write\"\nmessages = true\nkv = true\n\
    [[subscribe]]\nevent = \"interaction.appended\"\nkind = \"order.placed\"\n";

const SCENARIO: &str = r#"
[[customers]]
key = "ann"
[[steps]]
interaction = { channel = "shop", kind = "order.placed", customer = "ann" }
"#;

/// A hook whose loop over events has `body`.
fn hook(before: &str, body: &str) -> String {
    format!(
        "{before}\nreturn {{ hook = {{ handle = function(events: {{ any }}) for _, event in events do {body} end end }} }}"
    )
}

/// Enqueues a message under the key that the Luau expression gives.
fn writes(key: &str) -> String {
    hook(
        "local calls = 0",
        &format!(
            "local id = event.interaction.customer_id if id and regard.customers.get(id) then calls += 1 \
             regard.messages.enqueue({{ customer_id = id, purpose = \"service\", body = \"hello\", \
             idempotency_key = {key} }}) end"
        ),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_hook_breaks_no_law() {
    let report = tried(package("hook", MANIFEST, &writes("\"hello:\" .. id")), SCENARIO).await;
    assert_failed(&report, &[]);
    assert!(report.text().contains("0 not tried"), "{}", report.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_changes_sends_twice() {
    // Every call has another key, because the plugin counts what it has handled.
    let handler = hook(
        "",
        "local id = event.interaction.customer_id if id and regard.customers.get(id) then \
         local count = (tonumber(regard.kv.get(\"count\")) or 0) + 1 \
         regard.kv.set(\"count\", tostring(count)) \
         regard.messages.enqueue({ customer_id = id, purpose = \"service\", body = \"hello\", \
         idempotency_key = `{id}:{count}` }) end",
    );
    let report = tried(package("hook", MANIFEST, &handler), SCENARIO).await;
    assert_failed(&report, &["hook: handed again after a crash"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_instance_remembers_is_no_ground_for_a_change() {
    let handler = hook("local calls = 0", "calls += 1 regard.kv.set(\"calls\", tostring(calls))");
    let manifest = format!("{MANIFEST}[limits]\ncalls_per_instance = 100\n");
    let report = tried(package("hook", &manifest, &handler), SCENARIO).await;
    assert_failed(&report, &["hook: reruns are identical"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_without_end_is_found_by_hostile_events() {
    let body = "local subject = event.interaction.attributes.subject \
        if type(subject) == \"string\" and #subject > 1000 then while true do end end";
    let report = tried(package("hook", MANIFEST, &hook("", body)), SCENARIO).await;
    assert_failed(&report, &["contract: hostile events"]);
    assert!(report.text().contains("order.placed: huge text"), "{}", report.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_permission_must_be_reported() {
    let body = "local id = event.interaction.customer_id \
        if id and not pcall(regard.customers.get, id) then while true do end end";
    let report = tried(package("hook", MANIFEST, &hook("", body)), SCENARIO).await;
    // A customer that is gone is no error, so only the refusal is met.
    assert_failed(&report, &["contract: without permissions"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn laws_without_material_are_not_tried() {
    let report = tried(package("hook", MANIFEST, &writes("\"hello:\" .. id")), "").await;
    assert_failed(&report, &[]);
    let told = report.text();
    assert!(told.contains("not tried  hook: reruns are identical: add a scenario with an event"), "{told}");
    assert!(told.contains("not tried  contract: without permissions: add a scenario"), "{told}");
}
