//! The parts, put together.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use regard_engine::ports::{Clock, SystemClock};
use regard_engine::{Parts, Pipeline};
use regard_host::{Host, HostOptions};
use regard_store::{Store, StoreOptions};
use tokio::sync::Mutex;

use crate::config::Config;
use crate::plugins;
use crate::plugins::trust::Trust;

/// Everything that a command or a request needs.
pub struct App {
    /// What is kept.
    pub store: Arc<Store>,
    /// The plugins.
    pub host: Arc<Host>,
    /// The way of one interaction.
    pub pipeline: Arc<Pipeline>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Held while plugins are changed: one change at a time.
    pub installing: Mutex<()>,
    /// Whose plugins are installed.
    pub trust: Trust,
}

impl App {
    /// Opens the store, loads the installed plugins and puts the way together. Nothing runs in the background yet
    /// except the log's task; see [`Pipeline::run`].
    pub async fn open(config: &Config) -> Result<Arc<Self>> {
        let trust = Trust::new(&config.plugins)?;
        let store = match &config.database_url {
            Some(url) => Store::open(url, StoreOptions::default()).await,
            None => Store::open(&config.data_dir.to_string_lossy(), StoreOptions::default()).await,
        };
        let store = Arc::new(store.with_context(|| match &config.database_url {
            Some(_) => "cannot open the database".to_owned(),
            None => format!("cannot open the store in {}", config.data_dir.display()),
        })?);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let options = HostOptions {
            native_allowed: config.native_allowed.clone(),
            ..HostOptions::new(config.data_dir.join("cache"))
        };
        let host = Arc::new(
            Host::new(options, store.clone(), clock.clone()).context("cannot start the plugin host")?,
        );
        let pipeline = Pipeline::new(Parts {
            log: store.clone(),
            feed: store.clone(),
            outbox: store.clone(),
            channels: store.clone(),
            hooks: host.clone(),
            connectors: host.clone(),
            reads: store.clone(),
            clock: clock.clone(),
        });
        let app = Arc::new(Self { store, host, pipeline, clock, installing: Mutex::default(), trust });
        plugins::load_installed(&app).await?;
        Ok(app)
    }
}
