//! How a service of the examples starts and ends.

use std::error::Error;
use std::process::ExitCode;

/// Has events told on standard error, and runs `start`; why it failed goes there, too.
pub(crate) fn run(name: &str, start: impl FnOnce() -> Result<(), Box<dyn Error + Send + Sync>>) -> ExitCode {
    tracing_subscriber::fmt().with_ansi(false).with_target(false).with_writer(std::io::stderr).init();
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Ends when the process is asked to.
#[cfg(unix)]
pub(crate) fn end_is_asked() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
pub(crate) fn end_is_asked() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
