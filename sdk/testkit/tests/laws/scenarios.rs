use crate::trial::{assert_failed, package, tried};

const MANIFEST: &str = "[permissions]\ncustomers = \"write\"\nmessages = true\n\
    [[subscribe]]\nevent = \"interaction.appended\"\nkind = \"order.placed\"\n\
    [[subscribe]]\nevent = \"customer.changed\"\n";

const HANDLER: &str = r#"
return {
    hook = {
        handle = function(events: { any })
            for _, event in events do
                if event.type == "interaction-appended" and event.interaction.customer_id then
                    local known = regard.customers.get(event.interaction.customer_id)
                    if known and not table.find(known.tags, "buyer") then
                        regard.customers.update(known.id, known.version, { add_tags = { "buyer" } })
                        regard.messages.enqueue({
                            customer_id = known.id, purpose = "service", body = `Welcome, {known.name}`,
                            idempotency_key = known.id,
                        })
                    end
                end
            end
        end,
    },
}"#;

const BEGIN: &str = r#"
[[customers]]
key = "ann"
name = "Ann"
[[steps]]
interaction = { channel = "shop", kind = "order.placed", customer = "ann", amount = "14.99 USD" }
"#;

async fn told(end: &str) -> String {
    tried(package("hook", MANIFEST, HANDLER), &format!("{BEGIN}{end}")).await.text()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_expected_is_compared() {
    let good = "[expect]\ninteractions = 1\ncustomers.ann = { tags = [\"buyer\"], name = \"Ann\" }\n\
        messages = [{ customer = \"ann\", purpose = \"service\", body = \"Welcome, Ann\" }]";
    assert_failed(&tried(package("hook", MANIFEST, HANDLER), &format!("{BEGIN}{good}")).await, &[]);
    for (end, difference) in [
        ("[expect]\ninteractions = 2", "fixtures/one.toml: at the end: interactions: wanted 2, found 1"),
        ("[expect]\ncustomers.ann = { tags = [] }", "ann: tags: wanted [], found [buyer]"),
        ("[expect]\nmessages = []", "messages: wanted 0, found 1 [`Welcome, Ann`]"),
        (
            "[expect]\nmessages = [{ body = \"Hello\" }]",
            "message 1: body: wanted `Hello`, found `Welcome, Ann`",
        ),
        ("[expect]\nrecords.case = []", "records.case: the plugin declares no such type"),
        (
            "[[steps]]\nwait = \"1h\"\nexpect = { fails = \"no\" }",
            "step 2 (wait): the step: wanted to fail with `no`, found no error",
        ),
        ("[[steps]]\nevaluate = { metric = \"nothing\" }", "step 2 (evaluate): there is no metric `nothing`"),
    ] {
        let told = told(end).await;
        assert!(told.contains(difference), "{difference}\n{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_fails_fails_its_step() {
    let handler = "return { hook = { handle = function() regard.error(\"failed\", \"not today\") end } }";
    let report = tried(package("hook", MANIFEST, handler), BEGIN).await;
    assert!(report.text().contains("step 1 (interaction): hook-x: hook.handle failed"), "{}", report.text());
    let expected = BEGIN.replace("\"14.99 USD\" }", "\"14.99 USD\" }\nexpect = { fails = \"not today\" }");
    let report = tried(package("hook", MANIFEST, handler), &expected).await;
    assert_failed(&report, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_load_says_why() {
    let report = tried(package("hook", MANIFEST, "return { hook = }"), BEGIN).await;
    assert_failed(&report, &["scenario one", "contract: loads"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_falls_due_while_the_scenario_waits() {
    let manifest = "[permissions]\ncustomers = \"write\"\n\
        [[schedule]]\nname = \"nightly\"\ncron = \"30 3 * * *\"\ntimezone = \"Europe/Berlin\"\n";
    let handler = r#"return { hook = { handle = function(events: { any })
        for _, event in events do
            local known = regard.customers.find("email", "ann@example.com")
            if known and event.interaction.kind == "schedule.due" then
                local tag = `{event.interaction.attributes.schedule}-{event.interaction.occurred_at_ms}`
                regard.customers.update(known.id, known.version, { add_tags = { tag } })
            end
        end
    end } }"#;
    let scenario = r#"
start = "2026-01-05T02:29:00Z"
[[customers]]
key = "ann"
name = "Ann"
identifiers = ["email:ann@example.com"]
[[steps]]
wait = "1m"
[[steps]]
wait = "23h"
[expect]
customers.ann = { tags = ["nightly-1767580200000"] }
"#;
    assert_failed(&tried(package("hook", manifest, handler), scenario).await, &[]);
}
