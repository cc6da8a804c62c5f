//! One sandboxed virtual machine, and one call in it with its bounds.

use std::sync::Arc;

use mlua::{Error, Function, IntoLua, Lua, LuaOptions, MultiValue, StdLib, Table, Value as LuaValue};
use regard_engine::Fault;

use super::interrupt::{self, Watched};
use super::{Code, bounds, imports, values};
use crate::call::{CallContext, Role};
use crate::hostcalls::CallError;
use crate::limits::{CallLimits, LimitHit};
use crate::runtime::Failure;
use crate::ticker::Ticker;

/// What every machine runs first.
const BOOTSTRAP: &str = include_str!("bootstrap.luau");
/// Luau's words for a failed allocation.
const OUT_OF_MEMORY: &str = "not enough memory";

/// A machine in which a plugin's handler has run.
pub(super) struct Machine {
    bare: Bare,
    handler: Table,
}

/// A machine with the host's functions and nothing of a plugin's yet.
pub(super) struct Bare {
    lua: Lua,
    kit: Kit,
}

/// Functions that the bootstrap made before the sandbox closed.
struct Kit {
    /// The unguarded `pcall`, under which everything of the plugin's runs.
    pcall: Function,
    /// Runs a module, and those that it requires, as if nothing had run before.
    start: Function,
    /// Calls a method of an object.
    method: Function,
}

/// The call that is under way, where the host's functions find it.
#[derive(Default)]
pub(super) struct Slot(pub(super) Option<CallContext>);

impl Bare {
    /// Makes the machine and closes the sandbox.
    pub(super) fn new(limits: CallLimits, code: Arc<Code>) -> Result<Self, Failure> {
        Self::build(limits, code).map_err(|why| failure(&why, limits))
    }

    fn build(limits: CallLimits, code: Arc<Code>) -> mlua::Result<Self> {
        let libraries = StdLib::TABLE
            | StdLib::STRING
            | StdLib::BIT
            | StdLib::MATH
            | StdLib::UTF8
            | StdLib::BUFFER
            | StdLib::VECTOR
            | StdLib::COROUTINE
            // The bootstrap looks at the caller of `require` with it, and takes it away from the plugin.
            | StdLib::DEBUG;
        let lua = Lua::new_with(libraries, LuaOptions::new())?;
        lua.set_memory_limit(usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX))?;
        lua.set_app_data(Slot::default());
        bounds::install(&lua)?;
        let native = imports::native(&lua, code)?;
        let mark = values::list_mark(&lua)?;
        // The bootstrap runs once: making machine code of it would take longer than running it.
        lua.enable_jit(false);
        let kit: Table = lua.load(BOOTSTRAP).set_name("=regard").call((native, mark))?;
        lua.enable_jit(true);
        let (pcall, start, method) = (kit.raw_get("pcall")?, kit.raw_get("start")?, kit.raw_get("method")?);
        lua.sandbox(true)?;
        // Without globals of its own a plugin remembers nothing from one start to the next, and a forgotten `local` is
        // an error at once.
        lua.globals().set_readonly(true);
        interrupt::install(&lua)?;
        Ok(Self { lua, kit: Kit { pcall, start, method } })
    }

    /// Sets the bound on memory for what comes next.
    fn bound(&self, limits: CallLimits) -> mlua::Result<()> {
        let most = usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX);
        self.lua.set_memory_limit(most).map(drop)
    }

    /// Runs a module, with nothing of an earlier run left, and gives what it returns.
    pub(super) fn start(
        &self,
        slot: Slot,
        limits: CallLimits,
        watched: &Watched,
        module: &str,
    ) -> (Result<LuaValue, Failure>, Slot) {
        self.invoke(slot, limits, watched, &self.kit.start, |lua| Ok(vec![module.into_lua(lua)?]))
    }

    /// Calls `function` under guard; gives its first result.
    fn invoke(
        &self,
        slot: Slot,
        limits: CallLimits,
        watched: &Watched,
        function: &Function,
        arguments: impl FnOnce(&Lua) -> mlua::Result<Vec<LuaValue>>,
    ) -> (Result<LuaValue, Failure>, Slot) {
        self.lua.set_app_data(slot);
        let ended = arguments(&self.lua).and_then(|arguments| {
            let guarded = std::iter::once(LuaValue::Function(function.clone())).chain(arguments);
            self.kit.pcall.call::<MultiValue>(guarded.collect::<MultiValue>())
        });
        let slot = self.lua.remove_app_data::<Slot>().unwrap_or_default();
        let ended = match (watched.hit(), ended) {
            (Some(hit), _) => Err(hit.into()),
            (None, Err(why)) => Err(failure(&why, limits)),
            (None, Ok(values)) => {
                let mut values = values.into_iter();
                let good = values.next().is_some_and(|good| good == LuaValue::Boolean(true));
                let value = values.next().unwrap_or(LuaValue::Nil);
                if good { Ok(value) } else { Err(raised(&value, limits)) }
            }
        };
        (ended, slot)
    }
}

impl Machine {
    /// Makes a machine and starts the plugin in it, all within the time of `call`, which is given back for use.
    pub(super) fn new(
        code: &Arc<Code>,
        call: CallContext,
        ticker: &Ticker,
    ) -> (Result<Self, Failure>, CallContext) {
        match Bare::new(call.limits, code.clone()) {
            Ok(bare) => Self::start(bare, code, call, ticker),
            Err(failure) => (Err(failure), call),
        }
    }

    /// Starts the plugin anew in this machine: its modules run again, so nothing of earlier calls is left, but they are
    /// compiled already.
    pub(super) fn restart(
        self,
        code: &Arc<Code>,
        call: CallContext,
        ticker: &Ticker,
    ) -> (Result<Self, Failure>, CallContext) {
        let Self { bare, handler } = self;
        drop(handler);
        match bare.bound(call.limits) {
            Ok(()) => Self::start(bare, code, call, ticker),
            Err(why) => (Err(failure(&why, call.limits)), call),
        }
    }

    fn start(
        bare: Bare,
        code: &Arc<Code>,
        mut call: CallContext,
        ticker: &Ticker,
    ) -> (Result<Self, Failure>, CallContext) {
        let role = std::mem::replace(&mut call.role, Role::Lifecycle);
        let limits = call.limits;
        let _running = ticker.run();
        let watched = Watched::begin(limits, call.deadline);
        let (ended, Slot(kept)) = bare.start(Slot(Some(call)), limits, &watched, &code.entry);
        drop(watched);
        let mut call = match kept {
            Some(call) => call,
            None => unreachable!("only `invoke` takes the call out of its slot, and it puts it back"),
        };
        let handler = match ended {
            Ok(LuaValue::Table(handler)) => handler,
            Ok(other) => {
                let message = format!("{} returns a {}, not a table", code.entry, other.type_name());
                return (Err(Failure::new(Fault::Invalid, message)), call);
            }
            Err(failure) => return (Err(failure), call),
        };
        let machine = Self { bare, handler };
        if let Ok(configure) = machine.handler.raw_get::<Function>("configure") {
            let (configured, back) = machine.call(call, ticker, &configure, |_| Ok(Vec::new()));
            call = back;
            if let Err(mut failure) = configured {
                failure.message = format!("set-up: {}", failure.message);
                return (Err(failure), call);
            }
        }
        call.role = role;
        (Ok(machine), call)
    }

    /// Bytes that the machine holds, garbage included.
    pub(super) fn used_bytes(&self) -> usize {
        self.bare.lua.used_memory()
    }

    /// The machine itself, to make arguments with.
    pub(super) fn lua(&self) -> &Lua {
        &self.bare.lua
    }

    /// Whether the handler returns a table `name`.
    pub(super) fn exports(&self, name: &str) -> bool {
        self.handler.raw_get::<Table>(name).is_ok()
    }

    /// The handler's function `table.name`.
    pub(super) fn function(&self, table: &str, name: &str) -> Option<Function> {
        self.handler.raw_get::<Table>(table).ok()?.raw_get(name).ok()
    }

    /// Calls `function` within the bounds of `call`; gives its first result, and the call back for its effects.
    pub(super) fn call(
        &self,
        call: CallContext,
        ticker: &Ticker,
        function: &Function,
        arguments: impl FnOnce(&Lua) -> mlua::Result<Vec<LuaValue>>,
    ) -> (Result<LuaValue, Failure>, CallContext) {
        let (limits, name) = (call.limits, call.name);
        let _running = ticker.run();
        let watched = Watched::begin(limits, call.deadline);
        let (ended, Slot(kept)) = self.bare.invoke(Slot(Some(call)), limits, &watched, function, arguments);
        if let Some(call) = &kept {
            let counters = &call.scope.counters;
            counters.memory(self.bare.lua.used_memory() as u64);
            counters.computed(name, watched.computed());
        }
        match kept {
            Some(call) => (ended, call),
            None => unreachable!("only `invoke` takes the call out of its slot, and it puts it back"),
        }
    }

    /// Calls method `name` of `object`.
    pub(super) fn call_method(
        &self,
        call: CallContext,
        ticker: &Ticker,
        object: &LuaValue,
        name: &str,
        arguments: impl FnOnce(&Lua) -> mlua::Result<Vec<LuaValue>>,
    ) -> (Result<LuaValue, Failure>, CallContext) {
        self.call(call, ticker, &self.bare.kit.method, |lua| {
            let mut all = vec![object.clone(), name.into_lua(lua)?];
            all.extend(arguments(lua)?);
            Ok(all)
        })
    }
}

/// What an error value of the program means: a table with a code is a reported error, everything else a crash.
fn raised(value: &LuaValue, limits: CallLimits) -> Failure {
    match value {
        LuaValue::Error(why) => failure(why, limits),
        LuaValue::Table(table) => match reported(table) {
            Some(error) => error.into(),
            None => Failure::new(Fault::Trap, "raised a table without code and message"),
        },
        LuaValue::String(text) if text.as_bytes() == OUT_OF_MEMORY.as_bytes() => {
            LimitHit::Memory(limits.memory_bytes).into()
        }
        LuaValue::String(text) => Failure::new(Fault::Trap, text.to_string_lossy()),
        other => Failure::new(Fault::Trap, format!("raised a {}", other.type_name())),
    }
}

fn reported(table: &Table) -> Option<CallError> {
    let code: String = table.raw_get("code").ok()?;
    let message: String = table.raw_get("message").ok()?;
    let retry_after: Option<f64> = table.raw_get("retry_after_ms").ok().flatten();
    let mut error = CallError::new(Fault::from_code(&code), message);
    error.retry_after =
        retry_after.and_then(|millis| std::time::Duration::try_from_secs_f64(millis / 1000.0).ok());
    Some(error)
}

/// What mlua's own error means.
pub(super) fn failure(error: &Error, limits: CallLimits) -> Failure {
    let is_memory = |error: &(dyn std::error::Error + 'static)| {
        matches!(error.downcast_ref::<Error>(), Some(Error::MemoryError(_)))
    };
    if error.chain().any(is_memory) {
        return LimitHit::Memory(limits.memory_bytes).into();
    }
    let words = match error {
        Error::RuntimeError(words) => words.clone(),
        Error::CallbackError { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    Failure::new(Fault::Trap, words)
}
