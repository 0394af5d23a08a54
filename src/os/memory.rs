//! Giving back memory that only the start needed.
//!
//! Most of what a quiet supervisor holds is code, mapped in pieces of 64 KiB around each page that ran once.
//! Given back, what runs again is mapped again, out of the page cache.

use std::{fs, ops::Range};

use nix::libc;

/// Returns code pages and freed heap to the kernel. Costs less than a millisecond.
pub fn give_back() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for range in maps.lines().filter_map(code) {
        forget(range);
    }
    trim();
}

/// The addresses of a mapping that holds a file's code: such pages are never written to, not even by the
/// loader.
fn code(line: &str) -> Option<Range<usize>> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let is_code = words.next()? == "r-xp" && words.nth(3)?.starts_with('/');
    let address = |text| usize::from_str_radix(text, 16).ok();
    is_code.then_some(address(start)?..address(end)?)
}

#[allow(unsafe_code)]
fn forget(range: Range<usize>) {
    // SAFETY: the range is a whole mapping of this process, private, backed by a file and never written to: what
    // is forgotten is read again from that file. A failure changes nothing.
    unsafe { libc::madvise(range.start as *mut libc::c_void, range.len(), libc::MADV_DONTNEED) };
}

#[cfg(target_env = "gnu")]
#[allow(unsafe_code)]
fn trim() {
    // SAFETY: it may be called at any time.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
const fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_nothing_else_is_given_back_and_everything_runs_on() {
        assert_eq!(code("1000-3000 r-xp 00000000 fe:00 12 /usr/bin/x"), Some(0x1000..0x3000));
        for other in [
            "1000-3000 r--p 00000000 fe:00 12 /usr/bin/x",
            "1000-3000 rw-p 00000000 fe:00 12 /usr/bin/x",
            "1000-3000 r-xp 00000000 00:00 0 [vdso]",
            "1000-3000 r-xp 00000000 00:00 0",
        ] {
            assert_eq!(code(other), None, "{other}");
        }
        let kept: Vec<String> = (0..1000).map(|number| format!("{number} before")).collect();
        give_back();
        assert!(kept.iter().enumerate().all(|(number, text)| *text == format!("{number} before")));
    }
}
