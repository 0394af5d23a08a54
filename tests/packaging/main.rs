//! What is shipped around the programs: it must fit them.

mod units;
