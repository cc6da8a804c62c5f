//! Channels, kept in memory as well: every interaction names one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use regard_engine::StoreError;
use regard_engine::ports::Channels;
use regard_model::channel::{Channel, NewChannel};
use regard_model::{Attributes, ChannelId, Timestamp};
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel};

use crate::entity::channel::{Entity, Model};
use crate::failure::During;
use crate::json;
use crate::open::Store;
use crate::secrets::SecretOwner;

/// The channels as of the last time they were read.
#[derive(Debug, Default)]
pub(crate) struct ChannelCache {
    by_name: BTreeMap<String, Arc<Channel>>,
    names: HashMap<i64, String>,
}

/// A change of a channel; what is `None` or empty stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChannelChange {
    /// Settings to set; `null` removes one.
    pub settings: Attributes,
    /// Whether it takes in and sends out.
    pub enabled: Option<bool>,
    /// The connector plugin that serves it; `Some(None)` takes it away.
    pub connector: Option<Option<String>>,
    /// Secrets to set, by name.
    pub secrets: Vec<(String, String)>,
}

impl Store {
    /// Makes a channel.
    ///
    /// # Errors
    /// `Conflict` when the name is taken; `Invalid` when there are secrets and no key to seal them with.
    pub async fn create_channel(&self, new: NewChannel) -> Result<Channel, StoreError> {
        let during = "create a channel";
        let new = new.checked()?;
        let now = self.now();
        let row = Model {
            id: self.inner.ids.next::<()>(now).as_i64(),
            name: new.name,
            kind: new.kind,
            connector: new.connector,
            settings: json::to_text(during, &new.settings)?.into_owned(),
            enabled: true,
            created_at: now.as_millis(),
        };
        let channel = read(row.clone(), during)?;
        let write = self.begin(during).await?;
        Entity::insert(row.into_active_model())
            .exec_without_returning(&*write)
            .await
            .during(during)
            .map_err(|error| match error {
                StoreError::Conflict(_) => {
                    StoreError::Conflict(format!("a channel `{}` is there already", channel.name))
                }
                other => other,
            })?;
        self.put_secrets(&write, &SecretOwner::Channel(channel.id), &new.secrets, during).await?;
        write.commit().await?;
        self.reload_channels().await?;
        Ok(channel)
    }

    /// The channel `id`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn find_channel(&self, id: ChannelId) -> Result<Option<Channel>, StoreError> {
        let during = "read a channel";
        let row = Entity::find_by_id(id.as_i64()).one(&self.inner.db).await.during(during)?;
        row.map(|row| read(row, during)).transpose()
    }

    /// All channels, by name, fresh from the database.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_channels(&self) -> Result<Vec<Channel>, StoreError> {
        self.reload_channels().await?;
        Ok(self.all().iter().map(|channel| Channel::clone(channel)).collect())
    }

    /// Changes a channel and returns it as it is then.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for bad settings, or when there are secrets and no key to seal them with.
    pub async fn change_channel(&self, id: ChannelId, change: ChannelChange) -> Result<Channel, StoreError> {
        let during = "change a channel";
        let write = self.begin(during).await?;
        let row = Entity::find_by_id(id.as_i64()).one(&*write).await.during(during)?;
        let mut row = row.ok_or_else(|| StoreError::NotFound(format!("channel {id}")))?;
        let mut settings: Attributes = json::read(during, &row.settings)?;
        settings.patch(change.settings);
        let settings = settings.checked().map_err(|mut invalid| {
            invalid.field = invalid.field.replacen("attributes", "settings", 1);
            invalid
        })?;
        row.settings = json::to_text(during, &settings)?.into_owned();
        row.enabled = change.enabled.unwrap_or(row.enabled);
        row.connector = change.connector.unwrap_or(row.connector);
        let channel = read(row.clone(), during)?;
        row.into_active_model().reset_all().update(&*write).await.during(during)?;
        self.put_secrets(&write, &SecretOwner::Channel(id), &change.secrets, during).await?;
        write.commit().await?;
        self.reload_channels().await?;
        Ok(channel)
    }

    /// Reads the channels again, because another process may have changed them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn reload_channels(&self) -> Result<(), StoreError> {
        let during = "read channels";
        let mut cache = ChannelCache::default();
        for row in Entity::find().all(&self.inner.db).await.during(during)? {
            cache.names.insert(row.id, row.name.clone());
            cache.by_name.insert(row.name.clone(), Arc::new(read(row, during)?));
        }
        *self.inner.channels.write() = cache;
        Ok(())
    }

    /// The names of the channels `ids`. One that another process has just made is looked up.
    pub(crate) async fn channel_names(
        &self,
        ids: impl Iterator<Item = i64> + Clone,
    ) -> Result<HashMap<i64, String>, StoreError> {
        let is_known = {
            let cache = self.inner.channels.read();
            ids.clone().all(|id| cache.names.contains_key(&id))
        };
        if !is_known {
            self.reload_channels().await?;
        }
        let cache = self.inner.channels.read();
        let named = ids.filter_map(|id| Some((id, cache.names.get(&id)?.clone())));
        Ok(named.collect())
    }
}

#[async_trait]
impl Channels for Store {
    fn by_name(&self, name: &str) -> Option<Arc<Channel>> {
        self.inner.channels.read().by_name.get(name).cloned()
    }

    fn all(&self) -> Vec<Arc<Channel>> {
        self.inner.channels.read().by_name.values().cloned().collect()
    }

    async fn make(&self, name: &str) -> Result<Arc<Channel>, StoreError> {
        let new = NewChannel {
            name: name.to_owned(),
            kind: name.to_owned(),
            connector: None,
            settings: Attributes::new(),
            secrets: Default::default(),
        };
        match self.create_channel(new).await {
            // Another process was faster.
            Err(StoreError::Conflict(_)) => self.reload_channels().await?,
            made => drop(made?),
        }
        self.by_name(name).ok_or_else(|| StoreError::NotFound(format!("channel {name}")))
    }
}

fn read(row: Model, during: &'static str) -> Result<Channel, StoreError> {
    Ok(Channel {
        id: ChannelId::from_i64(row.id),
        name: row.name,
        kind: row.kind,
        connector: row.connector,
        settings: json::read(during, &row.settings)?,
        enabled: row.enabled,
        created_at: Timestamp::from_millis(row.created_at),
    })
}
