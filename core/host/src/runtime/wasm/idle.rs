//! Instances that wait for another call, for plugins whose manifest says `calls_per_instance`.

use std::sync::Arc;

use parking_lot::Mutex;

use super::guest::{Code, Guest};
use crate::call::CallContext;
use crate::runtime::Failure;

/// Idle instances kept per plugin: more than so many calls of one plugin rarely run at a time, and each keeps its memory.
const IDLE_MAX: usize = 2;

/// Idle instances of one plugin, each with the calls that it has served.
#[derive(Default)]
pub(super) struct Idle(Mutex<Vec<(Guest, u32)>>);

impl Idle {
    /// An idle instance, or a new one, set up for `call`, and the calls that it has served.
    pub(super) async fn take(&self, code: Arc<Code>, call: CallContext) -> Result<(Guest, u32), Failure> {
        let idle = self.0.lock().pop();
        match idle {
            Some((mut guest, calls)) => {
                guest.adopt(call);
                Ok((guest, calls))
            }
            None => Ok((Guest::new(code, call).await?, 0)),
        }
    }

    /// Takes an instance back that has served a call and is whole. It is dropped when it has served its calls, or when
    /// instances are wanted elsewhere; one that described itself or changed what the plugin keeps serves nobody else.
    pub(super) fn put_back(&self, guest: Guest, calls: u32) {
        let calls = calls.saturating_add(1);
        let call = &guest.store.data().call;
        let served = !call.role.serves() || calls >= call.limits.calls_per_instance;
        if served || guest.code.instances_are_scarce() {
            return;
        }
        let mut idle = self.0.lock();
        if idle.len() < IDLE_MAX {
            idle.push((guest, calls));
        }
    }
}
