//! `supervisor.yaml`: what loads, what it becomes, and what is said of a file that is wrong.

mod defaults;
mod expansion;
mod loading;
mod packages;
mod proxy;
mod samples;
mod schema;
mod secrets;
mod support;
mod values;
mod wrong;
mod wrong_exports;
mod wrong_restrictions;
mod wrong_shapes;
