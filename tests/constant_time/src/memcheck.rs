//! valgrind's client requests: a few instructions that do nothing on a processor, and that
//! valgrind reads as a call (valgrind.h, memcheck.h). Outside valgrind each answers its
//! default.

use core::arch::asm;

const RUNNING_ON_VALGRIND: usize = 0x1001;
const COUNT_ERRORS: usize = 0x1201;
const CHANGE_ERROR_DISABLEMENT: usize = 0x1801;
/// `VG_USERREQ_TOOL_BASE('M', 'C')`, plus 1 and plus 2.
const MAKE_MEMORY_UNDEFINED: usize = 0x4d43_0001;
const MAKE_MEMORY_DEFINED: usize = 0x4d43_0002;
/// The same base, plus 8.
const READ_VALIDITY: usize = 0x4d43_0008;

/// Whether valgrind runs us: without it nothing here checks anything.
pub fn is_running() -> bool {
    request(0, [RUNNING_ON_VALGRIND, 0, 0, 0]) > 0
}

/// How many errors memcheck has found so far, suppressed ones not counted.
pub fn errors() -> usize {
    request(0, [COUNT_ERRORS, 0, 0, 0])
}

/// Marks these bytes secret: memcheck reports every branch on, and every address from, what is
/// computed from them.
pub fn mark_secret(bytes: &mut [u8]) {
    request(0, [MAKE_MEMORY_UNDEFINED, bytes.as_ptr() as usize, bytes.len(), 0]);
}

/// Marks a value public, that is the bytes which it holds itself, not those that it points to.
/// Call it where the library gives the value out, on what the protocol sends or publishes.
pub fn mark_public<T: ?Sized>(value: &T) {
    let address = core::ptr::from_ref(value).cast::<u8>() as usize;
    request(0, [MAKE_MEMORY_DEFINED, address, size_of_val(value), 0]);
}

/// Whether any of these bytes depends on a secret.
pub fn is_secret(bytes: &[u8]) -> bool {
    let mut undefined = vec![0u8; bytes.len()];
    let copied =
        request(0, [READ_VALIDITY, bytes.as_ptr() as usize, undefined.as_mut_ptr() as usize, bytes.len()]);
    assert_eq!(copied, 1, "valgrind knows these bytes");
    undefined.iter().any(|bits| *bits != 0)
}

/// Runs `work` without reports. What it computes from secrets stays secret.
pub fn unreported<T>(work: impl FnOnce() -> T) -> T {
    request(0, [CHANGE_ERROR_DISABLEMENT, 1, 0, 0]);
    let value = work();
    request(0, [CHANGE_ERROR_DISABLEMENT, usize::MAX, 0, 0]);
    value
}

fn request(default: usize, call: [usize; 4]) -> usize {
    let [code, a, b, c] = call;
    let arguments = [code, a, b, c, 0, 0];
    let mut answer = default;
    // SAFETY: on a processor these instructions change the flags at most: the rotations of a
    // register add up to its width, and the last one exchanges a register with itself. Under
    // valgrind they read `arguments`, which lives longer, and write `answer`. The asm block
    // counts as reading and writing all memory, so the compiler keeps values in memory across
    // it and assumes nothing about what is marked.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") arguments.as_ptr(),
            inlateout("rdx") answer,
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "ror x12, x12, #3",
            "ror x12, x12, #13",
            "ror x12, x12, #51",
            "ror x12, x12, #61",
            "orr x10, x10, x10",
            inlateout("x3") answer,
            in("x4") arguments.as_ptr(),
        );
    }
    answer
}
