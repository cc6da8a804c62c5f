use crate::trial::{assert_failed, package, tried};

const MANIFEST: &str = "[permissions]\nhosts = [\"api.example.com\"]\nkv = true\n";

const SCENARIO: &str = r#"
[[http]]
method = "POST"
url = "https://api.example.com/messages"
json = { id = "m-1" }
[[http]]
url = "https://api.example.com/new"
json = ["a", "b"]
[[steps]]
webhook = { json = { id = "w-1" } }
expect = { status = 200 }
[[steps]]
poll = {}
expect = { received = 2 }
[[steps]]
send = { recipient = "ann@example.com", text = "hello", idempotency_key = "k-1" }
expect = { outcome = "sent" }
[expect]
interactions = 3
"#;

/// A connector with parts that can be replaced.
struct Connector {
    external_id: &'static str,
    /// What stands for the answer of `poll`.
    page: &'static str,
    key: &'static str,
    /// What is done with the status 429.
    busy: &'static str,
    /// What is done without an answer.
    lost: &'static str,
    before: &'static str,
}

const GOOD: Connector = Connector {
    external_id: "body.id",
    page: "{ items = items, cursor = \"end\", more = false }",
    key: "message.idempotency_key",
    busy: "return { retry = \"busy\", after_ms = 7000 }",
    lost: "return { uncertain = \"no answer\" }",
    before: "",
};

impl Connector {
    fn handler(&self) -> String {
        let Self { external_id, page, key, busy, lost, before } = self;
        format!(
            r#"
local calls = 0
local function item(id: string): any
    return {{ external_id = id, kind = "message.received", occurred_at_ms = regard.clock.now_ms() }}
end
return {{
    connector = {{
        describe = function()
            return {{ receives = true, polls = true, sends = true, idempotent = true, address_scheme = "email" }}
        end,
        receive = function(_channel: any, request: any)
            {before}
            local ok, body: any = pcall(regard.json.decode, request.body)
            if not ok or type(body) ~= "table" or type(body.id) ~= "string" then
                regard.error("invalid", "no id")
            end
            return {{ items = {{ item({external_id}) }}, reply = {{ status = 200 }} }}
        end,
        poll = function(_channel: any, cursor: any, _limit: number)
            local answer = regard.http.send({{ method = "GET", url = "https://api.example.com/new" }})
            local items = {{}}
            for _, id in regard.json.decode(answer.body) do table.insert(items, item(id)) end
            return {page}
        end,
        send = function(_channel: any, message: any)
            local ok, answer: any = pcall(regard.http.send, {{
                method = "POST",
                url = "https://api.example.com/messages",
                headers = {{ ["idempotency-key"] = {key} }},
                body = message.text,
            }})
            if not ok then {lost} end
            if answer.status == 429 then {busy} end
            return {{ sent = "m-1" }}
        end,
    }},
}}"#
        )
    }
}

async fn breaks(connector: Connector, law: &[&str]) {
    assert_failed(&tried(package("connector", MANIFEST, &connector.handler()), SCENARIO).await, law);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_connector_breaks_no_law() {
    let report = tried(package("connector", MANIFEST, &GOOD.handler()), SCENARIO).await;
    assert_failed(&report, &[]);
    assert!(report.text().contains("0 not tried"), "{}", report.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_its_own_making_stores_a_webhook_twice() {
    let by_chance = Connector {
        external_id: "body.id .. tostring(regard.kv.get(\"n\") and 1 or 0)",
        before: "if regard.kv.get(\"n\") then regard.kv.delete(\"n\") else regard.kv.set(\"n\", \"1\") end",
        ..GOOD
    };
    breaks(by_chance, &["connector: the same webhook twice"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_its_own_making_sends_twice() {
    let changing = Connector {
        key: "(function() local n = if regard.kv.get(\"n\") then \"again\" else \"first\" regard.kv.set(\"n\", n) return n end)()",
        ..GOOD
    };
    breaks(changing, &["connector: the same message twice"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn giving_up_on_a_busy_provider_loses_messages() {
    breaks(
        Connector { busy: "return { rejected = \"busy\" }", ..GOOD },
        &["connector: 429 with retry-after is tried again"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_is_no_delivery() {
    breaks(
        Connector { lost: "return { sent = \"perhaps\" }", ..GOOD },
        &["connector: a timeout is neither sent nor given up"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_stands_still_never_ends() {
    let standing = Connector { page: "{ items = items, cursor = \"here\", more = cursor ~= nil }", ..GOOD };
    // The first page says that there is nothing more, so the law has to ask on its own.
    breaks(standing, &[]).await;
    let endless = Connector { page: "{ items = items, cursor = \"here\", more = true }", ..GOOD };
    let report = tried(package("connector", MANIFEST, &endless.handler()), SCENARIO).await;
    let failed = crate::trial::failed(&report);
    assert!(failed.contains(&"connector: polling ends"), "{}", report.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_hangs_the_connector_is_found() {
    let hanging = Connector { before: "if #request.body > 500000 then while true do end end", ..GOOD };
    breaks(hanging, &["connector: hostile webhooks"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_nobody_recorded_is_named() {
    let scenario = "[[steps]]\nsend = { recipient = \"ann@example.com\", text = \"hello\" }\n\
        expect = { outcome = \"uncertain\" }";
    let report = tried(package("connector", MANIFEST, &GOOD.handler()), scenario).await;
    let told = report.text();
    assert!(
        told.contains(
            "nobody recorded POST https://api.example.com/messages; add to fixtures/one.toml: [[http]]"
        ),
        "{told}"
    );
}
