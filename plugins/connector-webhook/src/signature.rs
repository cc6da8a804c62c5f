//! Standard Webhooks signatures
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).
//!
//! The signed text is `id.timestamp.body`, the signature `v1,` and the base64 of its HMAC-SHA256. Two secrets
//! may be in force at once, so that they can be changed without losing a webhook: what comes in may be signed
//! with either, what goes out is signed with both.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac};
use regard_sdk::connector::Webhook;
use regard_sdk::{Error, clock, config};
use sha2::Sha256;

/// The secret in force.
pub const SECRET: &str = "signing-secret";
/// The secret in force before, while both are accepted.
pub const SECRET_PREVIOUS: &str = "signing-secret-previous";
/// How far a webhook's timestamp may be from now, either way: the specification's libraries allow five
/// minutes.
pub const TOLERANCE_MS: i64 = 5 * 60 * 1000;

const SECRET_PREFIX: &str = "whsec_";
const VERSION_PREFIX: &str = "v1,";
/// Signatures looked at; each costs a hash of the body, and nobody signs with more secrets.
const SIGNATURES_MAX: usize = 8;

/// Checks a webhook against the channel's secrets and returns its id; `denied` says what is wrong.
pub fn verify(webhook: &Webhook) -> Result<String, Error> {
    let header = |name: &str| {
        let missing = || Error::denied(format!("header `{name}` is missing"));
        webhook.header(name).filter(|value| !value.is_empty()).ok_or_else(missing)
    };
    let (id, timestamp, signatures) =
        (header("webhook-id")?, header("webhook-timestamp")?, header("webhook-signature")?);
    let sent_ms = timestamp.parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1000));
    let sent_ms =
        sent_ms.ok_or_else(|| Error::denied("header `webhook-timestamp` is not a number of seconds"))?;
    let age_ms = clock::now_ms().saturating_sub(sent_ms);
    if age_ms > TOLERANCE_MS {
        return Err(Error::denied("the webhook is more than five minutes old"));
    }
    if age_ms < -TOLERANCE_MS {
        return Err(Error::denied("the webhook is more than five minutes ahead of time"));
    }

    let secrets = secrets()?;
    if secrets.is_empty() {
        return Err(Error::denied(format!(
            "the channel has no secret `{SECRET}`, so nothing can be verified"
        )));
    }
    let given = signatures.split_ascii_whitespace().filter_map(|one| one.strip_prefix(VERSION_PREFIX));
    for signature in given.take(SIGNATURES_MAX).filter_map(|one| BASE64_STANDARD.decode(one).ok()) {
        for secret in &secrets {
            // The comparison takes the same time wherever the signatures differ.
            if mac(secret, id, timestamp, &webhook.body)?.verify_slice(&signature).is_ok() {
                return Ok(id.to_owned());
            }
        }
    }
    Err(Error::denied("no signature fits a secret of the channel"))
}

/// The headers that sign a body; none when the channel has no secret.
pub fn sign(id: &str, body: &[u8]) -> Result<Vec<(String, String)>, Error> {
    let secrets = secrets()?;
    if secrets.is_empty() {
        return Ok(Vec::new());
    }
    let timestamp = clock::now_ms().div_euclid(1000).to_string();
    let mut signatures = Vec::with_capacity(secrets.len());
    for secret in &secrets {
        let signature = mac(secret, id, &timestamp, body)?.finalize().into_bytes();
        signatures.push(format!("{VERSION_PREFIX}{}", BASE64_STANDARD.encode(signature)));
    }
    Ok(vec![
        ("webhook-id".into(), id.into()),
        ("webhook-timestamp".into(), timestamp),
        ("webhook-signature".into(), signatures.join(" ")),
    ])
}

/// The channel's secrets, the one in force first.
fn secrets() -> Result<Vec<Vec<u8>>, Error> {
    let mut secrets = Vec::new();
    for name in [SECRET, SECRET_PREVIOUS] {
        if let Some(secret) = config::optional_secret(name)? {
            let encoded = secret.trim().strip_prefix(SECRET_PREFIX).unwrap_or(secret.trim());
            let decoded = BASE64_STANDARD.decode(encoded).ok().filter(|bytes| !bytes.is_empty());
            // The sender cannot help this, so it is no `denied`.
            secrets.push(
                decoded
                    .ok_or_else(|| Error::failed(format!("secret `{name}` is not `whsec_` and base64")))?,
            );
        }
    }
    Ok(secrets)
}

fn mac(secret: &[u8], id: &str, timestamp: &str, body: &[u8]) -> Result<Hmac<Sha256>, Error> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret).map_err(|e| Error::failed(format!("secret: {e}")))?;
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    Ok(mac)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use regard_sdk::testing;

    /// The example of the specification's own test vectors.
    pub const SPEC_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SPEC_ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SPEC_TIMESTAMP: i64 = 1_614_265_330;
    const SPEC_BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SPEC_SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn webhook(signature: &str) -> Webhook {
        Webhook {
            method: "POST".into(),
            path: String::new(),
            query: String::new(),
            headers: vec![
                ("webhook-id".into(), SPEC_ID.into()),
                ("webhook-timestamp".into(), SPEC_TIMESTAMP.to_string()),
                ("webhook-signature".into(), signature.into()),
            ],
            body: SPEC_BODY.into(),
        }
    }

    fn host(now_s: i64, secrets: &[(&str, &str)]) {
        testing::set(|host| {
            host.now_ms = now_s * 1000;
            host.secrets =
                secrets.iter().map(|(name, secret)| (String::from(*name), String::from(*secret))).collect();
        });
    }

    fn refused(webhook: &Webhook) -> String {
        let error = verify(webhook).expect_err("must be refused");
        assert_eq!(error.code, "denied");
        error.message
    }

    #[test]
    fn the_specifications_example_is_verified_and_made() {
        host(SPEC_TIMESTAMP, &[(SECRET, SPEC_SECRET)]);
        assert_eq!(verify(&webhook(SPEC_SIGNATURE)), Ok(SPEC_ID.into()));
        let headers = sign(SPEC_ID, SPEC_BODY).expect("signed");
        assert_eq!(headers[2].1, SPEC_SIGNATURE);
    }

    #[test]
    fn one_of_several_signatures_suffices() {
        host(SPEC_TIMESTAMP + 299, &[(SECRET, SPEC_SECRET)]);
        assert!(verify(&webhook(&format!("v1a,AAAA v1,Zm9v {SPEC_SIGNATURE}"))).is_ok());
    }

    #[test]
    fn the_previous_secret_is_still_accepted_and_both_sign() {
        host(SPEC_TIMESTAMP, &[(SECRET, "whsec_bmV3LXNlY3JldA=="), (SECRET_PREVIOUS, SPEC_SECRET)]);
        assert!(verify(&webhook(SPEC_SIGNATURE)).is_ok());
        let headers = sign(SPEC_ID, SPEC_BODY).expect("signed");
        assert!(headers[2].1.ends_with(&format!(" {SPEC_SIGNATURE}")), "{}", headers[2].1);
    }

    #[test]
    fn wrong_old_and_early_webhooks_are_denied() {
        let secrets = [(SECRET, SPEC_SECRET)];
        host(SPEC_TIMESTAMP, &secrets);
        assert_eq!(refused(&webhook("v1,Zm9v")), "no signature fits a secret of the channel");
        assert_eq!(refused(&webhook("")), "header `webhook-signature` is missing");
        assert!(verify(&Webhook { body: b"{}".into(), ..webhook(SPEC_SIGNATURE) }).is_err());
        host(SPEC_TIMESTAMP + 301, &secrets);
        assert_eq!(refused(&webhook(SPEC_SIGNATURE)), "the webhook is more than five minutes old");
        host(SPEC_TIMESTAMP - 301, &secrets);
        assert_eq!(refused(&webhook(SPEC_SIGNATURE)), "the webhook is more than five minutes ahead of time");
        host(SPEC_TIMESTAMP, &[]);
        assert!(refused(&webhook(SPEC_SIGNATURE)).starts_with("the channel has no secret"));
    }

    #[test]
    fn without_a_secret_nothing_is_signed() {
        host(SPEC_TIMESTAMP, &[]);
        assert_eq!(sign(SPEC_ID, SPEC_BODY), Ok(Vec::new()));
        host(SPEC_TIMESTAMP, &[(SECRET, "whsec_***")]);
        assert_eq!(sign(SPEC_ID, SPEC_BODY).expect_err("unusable secret").code, "failed");
    }
}
