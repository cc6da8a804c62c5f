//! Machines kept for further use, since making one costs more than most calls.
//!
//! A machine that is taken starts the plugin anew, so that a call sees nothing of the one before, as in a fresh
//! WebAssembly instance; what is kept is the machine itself and the machine code of the modules. A plugin whose manifest
//! says `calls_per_instance` is started anew only after so many calls. A machine that broke, grew large or has served
//! long enough is dropped.

use std::sync::Arc;

use parking_lot::Mutex;
use regard_engine::Fault;

use super::Code;
use super::machine::Machine;
use crate::call::CallContext;
use crate::runtime::Failure;
use crate::ticker::Ticker;

/// Idle machines kept per plugin; each takes about a megabyte, and more than so many rarely run at a time.
const IDLE_MAX: usize = 4;
/// Uses of one machine: whatever leaks in the virtual machine itself goes with it after so many.
const USES_MAX: u32 = 1_000;
/// An idle machine that holds more, garbage included, is dropped rather than cleaned: a collection of so much takes as
/// long as making a machine.
const IDLE_BYTES_MAX: usize = 16 << 20;

/// The machines of one plugin.
pub(super) struct Pool {
    code: Arc<Code>,
    idle: Mutex<Vec<Kept>>,
    pub(super) ticker: Arc<Ticker>,
}

/// A machine that is out of the pool, or idle in it.
pub(super) struct Kept {
    pub(super) machine: Machine,
    /// Calls since the plugin was started in it.
    calls: u32,
    /// Calls since the machine was made.
    uses: u32,
}

impl Pool {
    /// A pool whose first machine is made already.
    pub(super) fn new(code: Arc<Code>, machine: Machine, ticker: Arc<Ticker>) -> Self {
        let idle = Mutex::new(vec![Kept { machine, calls: 0, uses: 0 }]);
        Self { code, idle, ticker }
    }

    /// A machine for `call`, an idle one or a new one, in which the plugin has been started.
    pub(super) fn take(&self, call: CallContext) -> Result<(Kept, CallContext), Failure> {
        let most = call.limits.calls_per_instance;
        self.take_after(call, most)
    }

    /// A machine in which the plugin has just been started, for an accumulator: it must not meet the calls of others.
    pub(super) fn take_anew(&self, call: CallContext) -> Result<(Kept, CallContext), Failure> {
        self.take_after(call, 0)
    }

    /// Starts the plugin anew in an idle machine that has served `calls_max` calls or more.
    fn take_after(&self, call: CallContext, calls_max: u32) -> Result<(Kept, CallContext), Failure> {
        if call.remaining().is_zero() {
            return Err(Failure::new(
                Fault::Throttled,
                "all threads of plugins were busy for the whole time of the call",
            ));
        }
        let idle = self.idle.lock().pop();
        let (uses, (machine, call)) = match idle {
            Some(kept) if kept.calls < calls_max => return Ok((kept, call)),
            Some(kept) => (kept.uses, kept.machine.restart(&self.code, call, &self.ticker)),
            None => (0, Machine::new(&self.code, call, &self.ticker)),
        };
        Ok((Kept { machine: machine?, calls: 0, uses }, call))
    }

    /// Takes a machine back that has served a call and is whole.
    pub(super) fn put_back(&self, mut kept: Kept) {
        kept.calls = kept.calls.saturating_add(1);
        self.keep(kept);
    }

    /// Takes the machine of an accumulator back; the plugin is started anew before the next call.
    pub(super) fn put_back_used(&self, mut kept: Kept) {
        kept.calls = u32::MAX;
        self.keep(kept);
    }

    fn keep(&self, mut kept: Kept) {
        kept.uses += 1;
        let mut idle = self.idle.lock();
        if kept.uses < USES_MAX && idle.len() < IDLE_MAX && kept.machine.used_bytes() <= IDLE_BYTES_MAX {
            idle.push(kept);
        }
    }
}
