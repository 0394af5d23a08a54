//! Bars that show how far something is, for a person at a terminal.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

const WIDTH: usize = 24;
const OFTEN: Duration = Duration::from_millis(100);

/// `[#######----]`
pub(super) fn bar(percent: f64) -> String {
    let part = if percent.is_finite() { percent.clamp(0.0, 100.0) / 100.0 } else { 0.0 };
    // At most `WIDTH`.
    let full = (part * WIDTH as f64) as usize;
    format!("[{}{}]", "#".repeat(full), "-".repeat(WIDTH - full))
}

/// Bytes a second, in the unit that a person would choose.
pub(super) fn rate(bytes: f64) -> String {
    match bytes {
        _ if !bytes.is_finite() || bytes < 0.0 => "-".to_owned(),
        0.0..1024.0 => format!("{bytes:.0} B/s"),
        1024.0..1_048_576.0 => format!("{:.1} KiB/s", bytes / 1024.0),
        _ => format!("{:.1} MiB/s", bytes / 1_048_576.0),
    }
}

/// One line on standard error that grows with what is done; none where nobody would see it.
pub(super) struct Progress {
    seen: bool,
    total: u64,
    done: u64,
    began: Instant,
    drawn: Option<Instant>,
}

impl Progress {
    pub(super) fn new(total: u64) -> Self {
        let seen = std::io::stderr().is_terminal();
        Self { seen, total, done: 0, began: Instant::now(), drawn: None }
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.done += bytes as u64;
        let now = Instant::now();
        let due =
            self.drawn.is_none_or(|drawn| now.duration_since(drawn) >= OFTEN) || self.done == self.total;
        if self.seen && due {
            self.drawn = Some(now);
            let percent = self.done as f64 * 100.0 / self.total.max(1) as f64;
            let seconds = now.duration_since(self.began).as_secs_f64().max(0.001);
            let rate = rate(self.done as f64 / seconds);
            draw(&format!("\r{} {percent:3.0}%  {rate}\u{1b}[K", bar(percent)));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            draw("\r\u{1b}[K");
        }
    }
}

/// What cannot be shown is not worth an error.
fn draw(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_ever_whatever_an_agent_says() {
        for percent in [-1.0, 0.0, 49.9, 50.0, 100.0, 1e300, f64::NAN, f64::INFINITY] {
            assert_eq!(bar(percent).len(), WIDTH + 2, "{percent}");
        }
        assert_eq!(bar(50.0), format!("[{}{}]", "#".repeat(12), "-".repeat(12)));
        assert_eq!(
            [0.0, 2048.0, 3e6, f64::NAN, -5.0].map(rate),
            ["0 B/s", "2.0 KiB/s", "2.9 MiB/s", "-", "-"]
        );
    }
}
