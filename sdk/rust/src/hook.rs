//! Reacting to what happened: what a hook plugin implements.

use crate::Error;
use crate::bindings::hook::exports::regard::hook::hook as wit;

pub use crate::bindings::hook::exports::regard::hook::hook::{Event, Observed};

/// A plugin that reacts to events.
pub trait Hook: 'static {
    /// Called after the fact with the events that the manifest's `[[subscribe]]` names, in order, at least
    /// once. What a `[[schedule]]` makes is an [`Event::InteractionAppended`] of the kind `schedule.due`, with
    /// the schedule's name in the attribute `schedule`. What the call changes through the host becomes durable
    /// together with the mark that the events are handled, so a repeated call changes things once; after an
    /// error nothing is changed and the host calls again later.
    fn handle(events: Vec<Event>) -> Result<(), Error>;
}

/// A hook behind the contract's interface; [`plugin!`](crate::plugin!) exports it.
#[doc(hidden)]
pub struct Exported<H>(std::marker::PhantomData<H>);

impl<H: Hook> wit::Guest for Exported<H> {
    fn handle(events: Vec<Event>) -> Result<(), Error> {
        H::handle(events)
    }
}
