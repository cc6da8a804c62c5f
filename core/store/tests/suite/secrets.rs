use anyhow::{Context, Result};
use regard_engine::StoreError;
use regard_engine::ports::Reads;
use regard_model::Attributes;
use regard_model::access::Role;
use regard_model::channel::NewChannel;
use regard_store::{ChannelChange, SecretOwner, Store};

use crate::bed::{Backend, Bed, NASTY};

const SECRET: &str = "correct-horse-battery-staple";

async fn with_secrets(store: &Store) -> Result<regard_model::Channel> {
    let new = NewChannel {
        name: "mail".into(),
        kind: "email".into(),
        connector: Some("connector-x".into()),
        settings: Attributes::new(),
        secrets: vec![("password".into(), SECRET.into())],
    };
    let channel = store.create_channel(new).await?;
    store
        .set_secret(&SecretOwner::Plugin("connector-x".into()), "password", &format!("plugin {SECRET}"))
        .await?;
    store.set_secret(&SecretOwner::Plugin("connector-x".into()), "other", NASTY).await?;
    Ok(channel)
}

/// Everything that lies on disk, or all rows with secrets.
fn bytes_at_rest(bed: &Bed) -> Result<Vec<u8>> {
    if bed.backend == Backend::Postgres {
        // The server writes what it is given; what it was given, it gives back.
        let rows = bed.sql("SELECT encode(sealed, 'escape') FROM secret")?;
        return Ok(format!("{rows}{}", bed.sql("SELECT encode(secret_hash, 'escape'), label FROM token")?)
            .into_bytes());
    }
    let mut all = Vec::new();
    for file in std::fs::read_dir(bed.directory.path().join("data"))? {
        let file = file?.path();
        if file.file_name().is_some_and(|name| name != "secret.key") {
            all.extend(std::fs::read(file)?);
        }
    }
    Ok(all)
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

pub async fn are_sealed_on_disk(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let channel = with_secrets(&store).await?;
    assert!(!contains(&bytes_at_rest(&bed)?, SECRET));
    assert!(!contains(&bytes_at_rest(&bed)?, "horse"));
    let read = |channel, name: &'static str| {
        let store = store.clone();
        async move { store.secret("connector-x", channel, name).await }
    };
    assert_eq!(
        read(Some(channel.id), "password").await?.as_deref(),
        Some(SECRET),
        "the channel's own comes first"
    );
    assert_eq!(read(None, "password").await?, Some(format!("plugin {SECRET}")));
    assert_eq!(read(Some(channel.id), "other").await?.as_deref(), Some(NASTY));
    assert_eq!(read(Some(channel.id), "none").await?, None);
    assert_eq!(store.secret("connector-y", None, "password").await?, None);
    let change =
        ChannelChange { secrets: vec![("password".into(), "new".into())], ..ChannelChange::default() };
    store.change_channel(channel.id, change).await?;
    assert_eq!(read(Some(channel.id), "password").await?.as_deref(), Some("new"));
    assert_eq!(store.secret_names(&SecretOwner::Plugin("connector-x".into())).await?, ["other", "password"]);
    #[cfg(unix)]
    if bed.backend == Backend::Sqlite {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &str| {
            Ok::<_, std::io::Error>(
                std::fs::metadata(bed.directory.path().join(path))?.permissions().mode() & 0o777,
            )
        };
        assert_eq!((mode("data")?, mode("data/secret.key")?), (0o700, 0o600));
    }
    // A sealed secret moved to another row does not open there.
    bed.sql("UPDATE secret SET name = 'moved' WHERE name = 'other'")?;
    assert!(matches!(read(None, "moved").await, Err(StoreError::Damaged { .. })));
    Ok(())
}

pub async fn need_the_key_they_were_sealed_with(bed: Bed) -> Result<()> {
    let store = bed.open().await?;
    let channel = with_secrets(&store).await?;
    drop(store);
    let store = bed.open().await?;
    assert_eq!(store.secret("connector-x", Some(channel.id), "password").await?.as_deref(), Some(SECRET));
    let other = bed.open_with_key(Some("/".repeat(43) + "=")).await;
    let other = match other {
        Ok(store) => store,
        Err(_) => bed.open_with_key(Some("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into())).await?,
    };
    let refused = other.secret("connector-x", Some(channel.id), "password").await;
    assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
    if bed.backend == Backend::Postgres {
        let keyless = bed.open_with_key(None).await?;
        let owner = SecretOwner::Plugin("x".into());
        let Err(StoreError::Invalid(why)) = keyless.set_secret(&owner, "a", "b").await else {
            anyhow::bail!("a secret was kept without a key");
        };
        assert_eq!(why.field, "REGARD_SECRET_KEY");
        assert_eq!(keyless.secret_names(&owner).await?, Vec::<String>::new());
    }
    assert!(bed.open_with_key(Some("too short".into())).await.is_err());
    Ok(())
}

pub async fn of_tokens_are_not_stored(bed: Bed) -> Result<()> {
    let (store, other) = (bed.open().await?, bed.open().await?);
    let (token, secret) = store.create_token(Role::Analyst, "a label").await?;
    assert!(secret.starts_with("rgd_") && secret.len() == 4 + 43, "{secret}");
    assert!(!contains(&bytes_at_rest(&bed)?, &secret[4..]));
    for _ in 0..2 {
        assert_eq!(store.verify_token(&secret).await?, Some((token.id, Role::Analyst)));
    }
    assert_eq!(other.verify_token(&secret).await?, Some((token.id, Role::Analyst)));
    for wrong in ["", "rgd_", &secret[..46], &format!("{secret}x"), NASTY] {
        assert_eq!(store.verify_token(wrong).await?, None);
    }
    bed.clock.advance(1);
    let revoked = store.revoke_token(token.id).await?;
    assert!(revoked.revoked_at.is_some());
    assert_eq!(store.verify_token(&secret).await?, None, "at once where it was revoked");
    bed.clock.advance(1);
    assert_eq!(store.revoke_token(token.id).await?, revoked, "and since then");
    assert_eq!(store.list_tokens().await?, vec![revoked]);
    let missing = store.revoke_token(regard_model::TokenId::from_i64(5)).await;
    assert!(matches!(missing, Err(StoreError::NotFound(_))));
    tokio::time::sleep(std::time::Duration::from_millis(5_100)).await;
    assert_eq!(other.verify_token(&secret).await?, None, "soon everywhere");
    store.create_token(Role::Admin, "").await.err().context("a label is needed")?;
    Ok(())
}
