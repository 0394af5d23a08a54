//! The Collector's stdout and stderr: drained always, whatever becomes of what it says (F-70).
//!
//! - `pump` reads both pipes with small buffers and never stops before their end
//! - [`Tail`] keeps the last 64 KiB for reports
//! - [`RotatingFile`] keeps more on disk, within bounds
//!
//! Called by `supervisor`'s driver, which spawns the pump beside each child.

mod pump;
mod rotate;
mod tail;

pub use pump::{Pumped, Sink, Source, Sources, Stream, TakeLine, pump};
pub use rotate::RotatingFile;
pub use tail::Tail;
