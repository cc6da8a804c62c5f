//! Stops a Luau program.
//!
//! The virtual machine calls an interrupt at every loop edge, call and return, and inside pattern matching. Ours reads
//! two numbers and returns, which costs next to nothing; mlua's own (`Lua::set_interrupt`) costs 33 ns each time and
//! makes tight loops two to six times slower. Once the time is up it raises an error at every one of these places, so a
//! `pcall` that catches the first one meets the next at once.

#![allow(unsafe_code, reason = "the interrupt is installed and raises its error through Luau's C interface")]

use std::cell::Cell;
use std::ffi::c_int;
use std::time::{Duration, Instant};

use mlua::{Lua, ffi};

use crate::limits::{CallLimits, LimitHit};
use crate::meter::Meter;
use crate::ticker::{TICK, coarse_now_us, now_us};

/// The call that runs on this thread; a Luau program never changes threads within a call.
struct Watch {
    /// When to look next at what was computed, in [`now_us`].
    look_at_us: Cell<u64>,
    /// When the whole call ends.
    wall_until_us: Cell<u64>,
    /// What was computed, without the time spent in host functions.
    meter: Cell<Option<Meter>>,
    /// The bound that the call ran into: from then on everything raises.
    hit: Cell<Option<LimitHit>>,
    limits: Cell<Option<CallLimits>>,
}

thread_local! {
    static WATCH: Watch = const {
        Watch {
            look_at_us: Cell::new(u64::MAX),
            wall_until_us: Cell::new(u64::MAX),
            meter: Cell::new(None),
            hit: Cell::new(None),
            limits: Cell::new(None),
        }
    };
}

/// Watches over a call on this thread until it is dropped.
pub(super) struct Watched(());

impl Watched {
    /// Begins to watch a call with `limits` that must have ended at `deadline`.
    pub(super) fn begin(limits: CallLimits, deadline: Instant) -> Self {
        let now = now_us();
        WATCH.with(|watch| {
            watch.look_at_us.set(now.saturating_add(micros(TICK)));
            let left = deadline.saturating_duration_since(Instant::now());
            watch.wall_until_us.set(now.saturating_add(micros(left)));
            watch.meter.set(Some(Meter::start()));
            watch.hit.set(None);
            watch.limits.set(Some(limits));
        });
        Self(())
    }

    /// How long the program has computed.
    pub(super) fn computed(&self) -> Duration {
        WATCH.with(|watch| watch.meter.get()).map(|meter| meter.computed()).unwrap_or_default()
    }

    /// The bound that the call ran into, if it did.
    pub(super) fn hit(&self) -> Option<LimitHit> {
        WATCH.with(|watch| watch.hit.get())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        WATCH.with(|watch| {
            watch.look_at_us.set(u64::MAX);
            watch.wall_until_us.set(u64::MAX);
            watch.hit.set(None);
            watch.limits.set(None);
            watch.meter.set(None);
        });
    }
}

impl Watch {
    /// Whether the call has run into a bound; the time to look has come.
    #[cold]
    fn is_over(&self, now: u64) -> bool {
        let (Some(limits), None) = (self.limits.get(), self.hit.get()) else {
            return self.hit.get().is_some();
        };
        if now >= self.wall_until_us.get() {
            self.hit.set(Some(LimitHit::Wall(limits.call)));
            return true;
        }
        let mut meter = self.meter.get();
        let computed = meter.as_mut().map(Meter::look).unwrap_or_default();
        self.meter.set(meter);
        match limits.cpu.checked_sub(computed) {
            None | Some(Duration::ZERO) => self.hit.set(Some(LimitHit::Cpu(limits.cpu))),
            Some(left) => self.look_at_us.set(now.saturating_add(micros(left))),
        }
        self.hit.get().is_some()
    }
}

/// Ends the call: from now on everything that the program does raises an error.
pub(super) fn stop(hit: LimitHit) {
    WATCH.with(|watch| {
        watch.hit.set(watch.hit.get().or(Some(hit)));
        watch.look_at_us.set(0);
    });
}

/// The time since `started` was spent by the host and does not count as computing.
pub(super) fn give_back(started: Instant) {
    WATCH.with(|watch| {
        if let Some(mut meter) = watch.meter.get() {
            meter.waited(started.elapsed());
            watch.meter.set(Some(meter));
        }
    });
    now_us();
}

/// Makes `lua` call the interrupt.
pub(super) fn install(lua: &Lua) -> mlua::Result<()> {
    // SAFETY: `exec_raw` gives the machine's own state, locked for the time of the closure. `lua_callbacks` returns a
    // pointer into that state that lives as long as it does, and only the field `interrupt` is written: `userdata`,
    // which mlua uses, stays. `interrupt` has the signature that Luau asks for and no data of its own that could die
    // before the state; mlua clears the field before it closes the state.
    unsafe {
        lua.exec_raw::<()>((), |state| {
            (*ffi::lua_callbacks(state)).interrupt = Some(interrupt);
        })
    }
}

/// Called by Luau. `gc` is not negative when the garbage collector calls; raising there would leave it half done.
///
/// # Safety
///
/// `state` must be the running state of a Luau machine; Luau itself is the only caller.
unsafe extern "C-unwind" fn interrupt(state: *mut ffi::lua_State, gc: c_int) {
    if gc >= 0 {
        return;
    }
    let over = WATCH.with(|watch| {
        let now = coarse_now_us();
        (now >= watch.look_at_us.get() || now >= watch.wall_until_us.get()) && watch.is_over(now)
    });
    if over {
        // SAFETY: `state` runs and is inside a protected call, since guests are only ever run through mlua, which
        // protects. The format string has no directives and ends in a zero byte. The error unwinds through this frame,
        // which "C-unwind" allows and which owns nothing that needs dropping.
        unsafe {
            // One slot for the message; raising fails over to Luau's own stack error when there is none.
            ffi::luaL_error(state, c"the call has used up its limit".as_ptr());
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
