//! Promises of the types themselves.

use pogo_core::{
    node::StartChildError,
    runtime::{
        BackendError, ChildContext, ChildWatch, EventItem, Events, HandOverError, StartError,
        StateError, Stopped, WaitError,
    },
};

use crate::cluster::{Builder, Supervisor, child, id};

const fn is_send_and_sync<T: Send + Sync + 'static>() {}
const fn is_error<T: std::error::Error + Send + Sync + 'static>() {}

#[test]
fn handles_and_errors_cross_threads() {
    is_send_and_sync::<Supervisor>();
    is_send_and_sync::<ChildContext<std::cell::Cell<u8>>>();
    is_send_and_sync::<ChildWatch>();
    is_send_and_sync::<EventItem>();
    is_send_and_sync::<Events>();
    is_error::<BackendError>();
    is_error::<HandOverError>();
    is_error::<StartChildError>();
    is_error::<StartError>();
    is_error::<StateError>();
    is_error::<Stopped>();
    is_error::<WaitError>();
}

#[test]
fn futures_of_the_handle_cross_threads() {
    const fn is_send<T: Send>(_: &T) {}
    fn look(builder: Builder, supervisor: &Supervisor) {
        is_send(&builder.start());
        is_send(&supervisor.start_child(child("k", "c", &())));
        is_send(&supervisor.wait_running(&id("c"), std::time::Duration::ZERO));
        is_send(&supervisor.shutdown());
    }
    let _ = look;
}
