//! Slot keys for several processes on one machine.
//!
//! One process has the keeper. It hands windows to the others over a socket in the secrets'
//! directory, which nobody but their own user reaches: there the operating system is the channel
//! that authenticates both ends, and nothing leaves the machine's memory. Processes on other
//! machines need a channel that encrypts.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use unjoin::phone::{Keeper, SlotKeyError, SlotKeyWindow, SlotKeys};
use unjoin::{Environment, Timestamp};
use zeroize::Zeroizing;

/// The most that an answer may take; a window is a few hundred bytes.
const PATIENCE: Duration = Duration::from_secs(1);
/// The most bytes of a window.
const MOST: u64 = 4096;

fn socket(directory: &Path) -> PathBuf {
    directory.join("slot-keys.socket")
}

/// The keeper's side: whoever connects is sent the present window. Ends when it is dropped.
pub(crate) struct Sharing {
    path: PathBuf,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Held until the socket is removed: so nobody else's is.
    _keeper: Arc<Keeper>,
}

impl Sharing {
    /// Whoever has the keeper is alone in this directory: a socket that is there is nobody's.
    pub(crate) fn start(directory: &Path, keeper: Arc<Keeper>, environment: Environment) -> io::Result<Self> {
        let path = socket(directory);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        let ended = Arc::new(AtomicBool::new(false));
        let (told, served) = (Arc::clone(&ended), Arc::clone(&keeper));
        let serve = move || {
            for asking in listener.incoming() {
                if told.load(Ordering::SeqCst) {
                    return;
                }
                // Who is not answered has its lease, and asks again.
                match asking {
                    Ok(to) => {
                        let _ = answer(to, &served, environment.now());
                    }
                    Err(_) => thread::sleep(Duration::from_millis(50)),
                }
            }
        };
        let thread = thread::Builder::new().name("slot-keys".to_owned()).spawn(serve)?;
        Ok(Self { path, ended, thread: Some(thread), _keeper: keeper })
    }
}

fn answer(mut to: UnixStream, keeper: &Keeper, now: Timestamp) -> io::Result<()> {
    to.set_write_timeout(Some(PATIENCE))?;
    match keeper.window(now) {
        Ok(window) => to.write_all(&window.export()),
        // An empty answer: the keeper's own process says why.
        Err(_) => Ok(()),
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread, which looks.
        let woken = UnixStream::connect(&self.path).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The other processes' side.
pub(crate) struct Asked {
    path: PathBuf,
    /// The clock's time at which the last window was got, and it.
    held: Mutex<Option<(Timestamp, Arc<SlotKeyWindow>)>>,
}

impl Asked {
    pub(crate) fn of(directory: &Path) -> Self {
        Self { path: socket(directory), held: Mutex::new(None) }
    }

    fn ask(&self) -> Result<SlotKeyWindow, SlotKeyError> {
        let asked = || -> io::Result<Zeroizing<Vec<u8>>> {
            let from = UnixStream::connect(&self.path)?;
            from.set_read_timeout(Some(PATIENCE))?;
            // No larger one takes its place, so that none is left behind.
            let mut bytes = Zeroizing::new(Vec::with_capacity(MOST as usize + 1));
            from.take(MOST).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = asked().map_err(|_| SlotKeyError::Unreachable)?;
        if bytes.is_empty() {
            return Err(SlotKeyError::Unreachable);
        }
        SlotKeyWindow::import(&bytes)
    }
}

impl SlotKeys for Asked {
    /// Asks once a second; without an answer the last window serves to the end of its lease.
    fn window(&self, now: Timestamp) -> Result<Arc<SlotKeyWindow>, SlotKeyError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, window)) = held.as_ref().filter(|(at, _)| *at == now) {
            return Ok(Arc::clone(window));
        }
        let window = match self.ask() {
            Ok(window) => window,
            Err(error) => {
                let later = held.take().and_then(|(_, window)| window.later(now));
                later.ok_or(error)?
            }
        };
        let window = Arc::new(window);
        *held = Some((now, Arc::clone(&window)));
        Ok(window)
    }
}
