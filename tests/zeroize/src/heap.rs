//! An allocator that reads every block before it gives it back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};

#[global_allocator]
static WATCHED: Watched = Watched;

struct Watched;

/// Half of a 32-byte secret is found as well as all of it.
const PART: usize = 16;
const MOST_PARTS: usize = 1024;
/// How many blocks can live at once.
const MOST_BLOCKS: usize = 1 << 16;

/// What is looked for. It lies in the program's data, not on the heap.
static PARTS: [[AtomicUsize; 2]; MOST_PARTS] = [const { [const { AtomicUsize::new(0) }; 2] }; MOST_PARTS];
static PARTS_USED: AtomicUsize = AtomicUsize::new(0);
/// Whether any part begins with these two bytes: most offsets are settled by one look.
static BEGINNINGS: [AtomicBool; 1 << 16] = [const { AtomicBool::new(false) }; 1 << 16];

/// The blocks that live: where and how long.
static BLOCKS: [(AtomicPtr<u8>, AtomicUsize); MOST_BLOCKS] =
    [const { (AtomicPtr::new(std::ptr::null_mut()), AtomicUsize::new(0)) }; MOST_BLOCKS];
static LOCK: AtomicBool = AtomicBool::new(false);
static OVERFLOW: AtomicBool = AtomicBool::new(false);

/// Freed blocks that still held a secret, and the length of the last of them.
static FOUND: AtomicUsize = AtomicUsize::new(0);
static FOUND_LENGTH: AtomicUsize = AtomicUsize::new(0);

/// Looks for these 32 bytes from now on.
pub fn watch(secret: &[u8; 32]) {
    for part in secret.chunks_exact(PART) {
        let at = PARTS_USED.load(SeqCst);
        assert!(at < MOST_PARTS, "room for further secrets");
        let (low, high) = words(part);
        assert!(low != 0 && high != 0, "zeros are no secret");
        BEGINNINGS[low & 0xffff].store(true, SeqCst);
        PARTS[at][0].store(low, SeqCst);
        PARTS[at][1].store(high, SeqCst);
        PARTS_USED.store(at + 1, SeqCst);
    }
}

/// How many blocks were freed with a secret in them since the last call, and the length of the
/// last of them.
pub fn freed_with_a_secret() -> (usize, usize) {
    (FOUND.swap(0, SeqCst), FOUND_LENGTH.load(SeqCst))
}

/// How many blocks that live now hold a secret.
pub fn living_with_a_secret() -> usize {
    assert!(!OVERFLOW.load(SeqCst), "room for every living block");
    locked(|| {
        let living = BLOCKS.iter().filter(|(at, _)| !at.load(SeqCst).is_null());
        // SAFETY: a block in the table was allocated with this length and is not freed while the
        // lock is held: freeing takes it off the table first.
        living.filter(|(at, length)| unsafe { holds_a_secret(at.load(SeqCst), length.load(SeqCst)) }).count()
    })
}

fn words(part: &[u8]) -> (usize, usize) {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
    (word(&part[..8]), word(&part[8..PART]))
}

/// # Safety
/// `length` bytes from `at` on are allocated.
unsafe fn holds_a_secret(at: *const u8, length: usize) -> bool {
    let used = PARTS_USED.load(SeqCst);
    (0..=length.saturating_sub(PART)).any(|offset| {
        if length < PART {
            return false;
        }
        // SAFETY: offset + 16 <= length. A block may hold bytes that were never written; they are
        // read as a debugger would, volatile, and decide nothing but this answer.
        let low = unsafe { at.add(offset).cast::<u64>().read_unaligned() } as usize;
        let likely = BEGINNINGS[low & 0xffff].load(SeqCst);
        likely
            && (0..used).any(|part| {
                PARTS[part][0].load(SeqCst) == low && {
                    // SAFETY: as above.
                    let high = unsafe { at.add(offset + 8).cast::<u64>().read_unaligned() } as usize;
                    PARTS[part][1].load(SeqCst) == high
                }
            })
    })
}

fn locked<T>(work: impl FnOnce() -> T) -> T {
    while LOCK.compare_exchange_weak(false, true, SeqCst, SeqCst).is_err() {
        std::hint::spin_loop();
    }
    let value = work();
    LOCK.store(false, SeqCst);
    value
}

/// The slots in which a block may stand, the likeliest first.
fn slots(at: *mut u8) -> impl Iterator<Item = &'static (AtomicPtr<u8>, AtomicUsize)> {
    let first = (at as usize >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    (0..MOST_BLOCKS).map(move |step| &BLOCKS[(first + step) % MOST_BLOCKS])
}

// SAFETY: every call is passed on to the system's allocator with the arguments it came with, and
// what that answers is answered. Growing a block is left to the trait's own method, which
// allocates, copies and frees: so the old block is read here too.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout.
        let at = unsafe { System.alloc(layout) };
        if !at.is_null() {
            locked(|| match slots(at).find(|(slot, _)| slot.load(SeqCst).is_null()) {
                Some((slot, length)) => {
                    length.store(layout.size(), SeqCst);
                    slot.store(at, SeqCst);
                }
                None => OVERFLOW.store(true, SeqCst),
            });
        }
        at
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        locked(|| {
            if let Some((slot, _)) = slots(at).find(|(slot, _)| slot.load(SeqCst) == at) {
                slot.store(std::ptr::null_mut(), SeqCst);
            }
        });
        // SAFETY: the block is the caller's, with this layout, until the next line.
        if unsafe { holds_a_secret(at, layout.size()) } {
            FOUND.fetch_add(1, SeqCst);
            FOUND_LENGTH.store(layout.size(), SeqCst);
        }
        // SAFETY: as the caller says.
        unsafe { System.dealloc(at, layout) }
    }
}
