//! Freed memory goes back to the system.
//!
//! The allocator of glibc keeps what is freed behind something that is still in use. After a start with many objects, or a
//! list of a million networks that is gone, that is most of what a process has.

/// Gives the pages that hold nothing back to the system, wherever they lie (`malloc_trim(3)`). Takes some milliseconds for
/// hundreds of megabytes. Does nothing with another allocator than that of glibc.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number, locks the allocator as any allocation does, and touches nothing that is in use.
    // Whether there was anything to give back is of no use here.
    let _ = unsafe { nix::libc::malloc_trim(0) };
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    /// Resident memory in bytes (`statm` of proc(5)).
    fn resident() -> usize {
        let pages: usize =
            std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    }

    #[test]
    fn what_lies_behind_something_in_use_is_given_back_too() {
        const LEN: usize = 1 << 10;
        let all: Vec<Vec<u8>> = (0..64 << 10).map(|number| vec![number as u8; LEN]).collect();
        let kept: Vec<Vec<u8>> =
            all.into_iter().enumerate().filter(|(number, _)| number % 64 == 63).map(|(_, some)| some).collect();
        let before = resident();
        super::give_back();
        let after = resident();
        assert!(after + (32 << 20) < before, "{before} bytes before, {after} after");
        assert_eq!(kept.len(), 1 << 10);
    }
}
