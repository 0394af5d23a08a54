//! A second reading, by libyaml's rules, of a text that the strict parser refuses.
//!
//! The Collector's parser follows libyaml, which takes some texts that YAML 1.2 forbids (a flow list's
//! closing bracket further left than its key). Such a config must not be refused; the price is that
//! libyaml's values come without positions, so everything stands where the strict parser gave up.

use std::fmt;

use saphyr_parser::{Event, ScalarStyle};
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};

use super::{builder::Builder, tree::At};

/// Brackets open at once, counted without regard to quotes. libyaml's time grows with their square.
const MAX_OPEN: usize = 256;

/// Largest text read a second time: libyaml's events of all of it are in memory at once.
const MAX_TEXT: usize = 256 * 1024;

/// Whether libyaml may judge differently, and may be asked: it takes odd indentation, and it must not be
/// fed with what takes it long.
pub(super) fn may_take(refusal: &str, text: &str) -> bool {
    let may_differ = refusal.contains("indentation") || refusal.contains("tab");
    may_differ && is_affordable(text)
}

/// Whether libyaml reads it in a time that is worth it.
pub(super) fn is_affordable(text: &str) -> bool {
    if text.len() > MAX_TEXT {
        return false;
    }
    let mut open = 0_usize;
    let mut most = 0;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most <= MAX_OPEN
}

/// Feeds the first document to the builder as the strict parser would. False when libyaml refuses the
/// text too; faults of another kind are the builder's.
pub(super) fn feed(builder: &mut Builder<'_>, text: &str, at: At) -> bool {
    let Some(document) = serde_yaml::Deserializer::from_str(text).next() else { return false };
    let fed = Feed { builder, at }.deserialize(document);
    fed.is_ok() || !builder.faults.is_empty()
}

struct Feed<'b, 'a> {
    builder: &'b mut Builder<'a>,
    at: At,
}

impl<'a> Feed<'_, 'a> {
    fn event<E: Error>(&mut self, event: Event<'_>) -> Result<(), E> {
        self.builder.event(event, self.at).map_err(|fault| {
            self.builder.faults.push(fault);
            E::custom("refused")
        })
    }

    fn scalar<E: Error>(mut self, text: &str, style: ScalarStyle) -> Result<(), E> {
        self.event(Event::Scalar(text.into(), style, 0, None))
    }

    fn next(&mut self) -> Feed<'_, 'a> {
        Feed { builder: &mut *self.builder, at: self.at }
    }
}

impl<'de> DeserializeSeed<'de> for Feed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Feed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.scalar("", ScalarStyle::Plain)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.scalar(&value.to_string(), ScalarStyle::Plain)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.scalar(&value.to_string(), ScalarStyle::Plain)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.scalar(&value.to_string(), ScalarStyle::Plain)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.scalar(&value.to_string(), ScalarStyle::Plain)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.scalar(value, ScalarStyle::DoubleQuoted)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        self.event(Event::SequenceStart(0, None))?;
        while items.next_element_seed(self.next())?.is_some() {}
        self.event(Event::SequenceEnd)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        self.event(Event::MappingStart(0, None))?;
        while entries.next_key_seed(self.next())?.is_some() {
            entries.next_value_seed(self.next())?;
        }
        self.event(Event::MappingEnd)
    }
}
