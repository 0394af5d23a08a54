//! Connection settings that the server offers, as far as they can be judged without touching anything.
//!
//! - `status`: how it went with an offer of several classes, as the server is told it
//!
//! Not here: performing any of it, which is `driver::connection`'s and `driver::own_telemetry`'s.

mod status;

pub(super) use status::{classes, is_settled, opened, to_wire};
