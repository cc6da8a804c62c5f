//! What happens between two versions of a plugin.

use crate::Error;
use crate::bindings::migration::exports::regard::core::migration as wit;

/// Brings what the plugin keeps ([`crate::kv`], its records) into the shape of another version. What a call changes becomes
/// durable together with the switch; after an error nothing is changed and the version that serves goes on serving. No
/// other call of the plugin's hook or connector runs meanwhile.
pub trait Migration: 'static {
    /// Called on the new version before it serves; `from_version` is the one that served.
    fn upgrade(from_version: &str) -> Result<(), Error>;

    /// Called on the version that serves before an earlier one takes its place again. Refuses by default, so that nobody
    /// goes back to a version that would not understand what is kept.
    fn downgrade(to_version: &str) -> Result<(), Error> {
        Err(Error::unsupported(format!("what is kept cannot be brought back to version {to_version}")))
    }
}

/// A migration behind the contract's interface; [`plugin!`](crate::plugin!) exports it.
#[doc(hidden)]
pub struct Exported<M>(std::marker::PhantomData<M>);

impl<M: Migration> wit::Guest for Exported<M> {
    fn upgrade(from_version: String) -> Result<(), Error> {
        M::upgrade(&from_version)
    }

    fn downgrade(to_version: String) -> Result<(), Error> {
        M::downgrade(&to_version)
    }
}
