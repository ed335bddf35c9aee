//! Memory that is free and still ours; must not know who used it.

/// Gives what the allocator keeps for later back to the kernel: worth it after something that needs much once.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes the allocator's own locks and touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}
