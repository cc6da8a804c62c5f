//! A plugin's traits as the functions of its table.

#![allow(unsafe_code, reason = "the host calls these with pointers")]

use regard_abi::{self as abi, Call, Plugin, Status, Text, slice};
use serde_json::Value as Json;

use super::host::{guarded, quietly, write, write_batch};
use super::{columns, forms};
use crate::{Accumulator, Connector, Error, Evaluator, Hook, Migration};

/// The table with the set-up of `P`.
pub const fn lifecycle<P: crate::Plugin>(table: Plugin) -> Plugin {
    Plugin { configure: Some(configure::<P>), ..table }
}

/// The table with the evaluator `E`.
pub const fn evaluator<E: Evaluator>(table: Plugin) -> Plugin {
    Plugin {
        kpi_describe: Some(kpi_describe::<E>),
        kpi_open: Some(kpi_open::<E>),
        kpi_update: Some(kpi_update::<E>),
        kpi_merge: Some(kpi_merge::<E>),
        kpi_state: Some(kpi_state::<E>),
        kpi_finish: Some(kpi_finish::<E>),
        kpi_model: Some(kpi_model::<E>),
        kpi_close: Some(kpi_close::<E>),
        ..table
    }
}

/// The table with the hook `H`.
pub const fn hook<H: Hook>(table: Plugin) -> Plugin {
    Plugin { hook_handle: Some(hook_handle::<H>), ..table }
}

/// The table with the migration `M`.
pub const fn migration<M: Migration>(table: Plugin) -> Plugin {
    Plugin {
        migration_upgrade: Some(migration_upgrade::<M>),
        migration_downgrade: Some(migration_downgrade::<M>),
        ..table
    }
}

/// The table with the connector `C`.
pub const fn connector<C: Connector>(table: Plugin) -> Plugin {
    Plugin {
        connector_describe: Some(connector_describe::<C>),
        connector_receive: Some(connector_receive::<C>),
        connector_poll: Some(connector_poll::<C>),
        connector_send: Some(connector_send::<C>),
        ..table
    }
}

/// Runs a function that is given JSON and returns JSON, or nothing.
///
/// # Safety
///
/// As `regard.h` says: the host lends `arguments` for the length of the call. So it is for all functions below, which are
/// called by nobody else.
unsafe fn json(
    call: *mut Call,
    arguments: Text,
    work: impl FnOnce(Json) -> Result<Option<Json>, Error>,
) -> Status {
    // SAFETY: the host lends the text.
    let arguments = unsafe { arguments.bytes() };
    guarded(call, || match work(serde_json::from_slice(arguments)?)? {
        Some(answer) => write(answer.to_string().as_bytes()),
        None => Ok(()),
    })
}

unsafe extern "C" fn configure<P: crate::Plugin>(call: *mut Call, arguments: Text) -> Status {
    // SAFETY: as for `json`.
    unsafe { json(call, arguments, |_| crate::lifecycle::set_up::<P>().map(|()| None)) }
}

unsafe extern "C" fn hook_handle<H: Hook>(call: *mut Call, arguments: Text) -> Status {
    // SAFETY: as for `json`.
    unsafe { json(call, arguments, |given| H::handle(forms::events(given)?).map(|()| None)) }
}

unsafe extern "C" fn migration_upgrade<M: Migration>(call: *mut Call, arguments: Text) -> Status {
    // SAFETY: as for `json`.
    unsafe {
        json(call, arguments, |given| M::upgrade(&forms::text(given["version"].clone())?).map(|()| None))
    }
}

unsafe extern "C" fn migration_downgrade<M: Migration>(call: *mut Call, arguments: Text) -> Status {
    // SAFETY: as for `json`.
    unsafe {
        json(call, arguments, |given| M::downgrade(&forms::text(given["version"].clone())?).map(|()| None))
    }
}

unsafe extern "C" fn connector_describe<C: Connector>(call: *mut Call, arguments: Text) -> Status {
    // SAFETY: as for `json`.
    unsafe { json(call, arguments, |_| Ok(Some(forms::features(&C::describe())))) }
}

unsafe extern "C" fn connector_receive<C: Connector>(call: *mut Call, arguments: Text) -> Status {
    let receive = |mut given: Json| {
        let received = C::receive(forms::channel(&mut given)?, forms::webhook(given["request"].take())?)?;
        forms::received(received).map(Some)
    };
    // SAFETY: as for `json`.
    unsafe { json(call, arguments, receive) }
}

unsafe extern "C" fn connector_poll<C: Connector>(call: *mut Call, arguments: Text) -> Status {
    let poll = |mut given: Json| {
        let channel = forms::channel(&mut given)?;
        let (cursor, limit) = forms::cursor_and_limit(&given)?;
        forms::page(C::poll(channel, cursor, limit)?).map(Some)
    };
    // SAFETY: as for `json`.
    unsafe { json(call, arguments, poll) }
}

unsafe extern "C" fn connector_send<C: Connector>(call: *mut Call, arguments: Text) -> Status {
    let send = |mut given: Json| {
        let channel = forms::channel(&mut given)?;
        Ok(Some(forms::outcome(&C::send(channel, forms::outbound(given["message"].take())?))))
    };
    // SAFETY: as for `json`.
    unsafe { json(call, arguments, send) }
}

unsafe extern "C" fn kpi_describe<E: Evaluator>(call: *mut Call, arguments: Text) -> Status {
    // SAFETY: as for `json`.
    unsafe { json(call, arguments, |_| forms::metrics(E::describe()).map(Some)) }
}

unsafe extern "C" fn kpi_open<E: Evaluator>(
    call: *mut Call,
    metric: Text,
    parameters: Text,
    opened: *mut *mut abi::Accumulator,
) -> Status {
    // SAFETY: the host lends both texts.
    let (metric, parameters) = unsafe { (metric.bytes(), parameters.bytes()) };
    guarded(call, || {
        let text = |bytes| std::str::from_utf8(bytes).map_err(|why| Error::invalid(why.to_string()));
        let accumulator = Box::new(E::open(text(metric)?, text(parameters)?)?);
        // SAFETY: the host has a place for the accumulator there.
        unsafe { opened.write(Box::into_raw(accumulator).cast()) };
        Ok(())
    })
}

/// Runs a method of an accumulator.
///
/// # Safety
///
/// `accumulator` must come from `kpi_open` of the same evaluator, be open, and be called by nobody else meanwhile: the host
/// promises it.
unsafe fn method<E: Evaluator>(
    call: *mut Call,
    accumulator: *mut abi::Accumulator,
    work: impl FnOnce(&mut E::Accumulator) -> Result<(), Error>,
) -> Status {
    // SAFETY: `kpi_open` made it from a box of this type; the host calls one function at a time and closes last.
    let accumulator = unsafe { &mut *accumulator.cast::<E::Accumulator>() };
    guarded(call, || work(accumulator))
}

/// What the host lends beside the text of `json`.
fn lent<T>(lent: Option<T>) -> Result<T, Error> {
    lent.ok_or_else(|| Error::invalid("the host lends a null pointer"))
}

unsafe extern "C" fn kpi_update<E: Evaluator>(
    call: *mut Call,
    accumulator: *mut abi::Accumulator,
    groups: *const u32,
    group_count: u32,
    rows: *const abi::Batch,
) -> Status {
    // SAFETY: as for `method`; the host lends the batch and as many groups as it has rows.
    unsafe {
        method::<E>(call, accumulator, |accumulator| {
            let batch = columns::take(rows)?;
            let groups = lent(slice(groups, batch.rows as usize))?;
            accumulator.update(groups, group_count, &batch)
        })
    }
}

unsafe extern "C" fn kpi_merge<E: Evaluator>(
    call: *mut Call,
    accumulator: *mut abi::Accumulator,
    state: *const u8,
    state_length: usize,
    remap: *const u32,
    remap_length: usize,
) -> Status {
    // SAFETY: as for `method`; the host lends state and remap.
    unsafe {
        method::<E>(call, accumulator, |accumulator| {
            accumulator.merge(lent(slice(state, state_length))?, lent(slice(remap, remap_length))?)
        })
    }
}

unsafe extern "C" fn kpi_state<E: Evaluator>(call: *mut Call, accumulator: *mut abi::Accumulator) -> Status {
    // SAFETY: as for `method`.
    unsafe { method::<E>(call, accumulator, |accumulator| write(&accumulator.state()?)) }
}

unsafe extern "C" fn kpi_finish<E: Evaluator>(
    call: *mut Call,
    accumulator: *mut abi::Accumulator,
    as_of_ms: i64,
) -> Status {
    let finish = |accumulator: &mut E::Accumulator| {
        let batch = accumulator.finish(as_of_ms)?;
        columns::lend(&batch, write_batch)
    };
    // SAFETY: as for `method`.
    unsafe { method::<E>(call, accumulator, finish) }
}

unsafe extern "C" fn kpi_model<E: Evaluator>(call: *mut Call, accumulator: *mut abi::Accumulator) -> Status {
    let model = |accumulator: &mut E::Accumulator| match accumulator.model()? {
        Some(model) => write(model.as_bytes()),
        None => Ok(()),
    };
    // SAFETY: as for `method`.
    unsafe { method::<E>(call, accumulator, model) }
}

unsafe extern "C" fn kpi_close<E: Evaluator>(accumulator: *mut abi::Accumulator) {
    // SAFETY: `kpi_open` made it from a box of this type, and the host closes once.
    quietly(|| drop(unsafe { Box::from_raw(accumulator.cast::<E::Accumulator>()) }));
}
