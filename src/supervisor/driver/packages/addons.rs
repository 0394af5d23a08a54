//! Add-ons: files beside the Collector, which its config names by a link.
//!
//! One that no config in force names is put in place at once. One that is named is tried with the Collector, as another
//! binary would be: if the Collector is not well with it, the link leads to the version before again.

use super::{Back, Driver, OnTrial, put_off};
use crate::{
    os::clock,
    supervisor::{
        machine::Input,
        setup::binary_rules,
        upgrade::{Held, Work, machine::Finished, machine::Input as Told, machine::Token},
    },
};

impl Driver {
    pub(super) fn place_add_on(&mut self, token: Token, work: &Work) {
        let Some(held) = &work.made else {
            return self.stage_done(token, Err(put_off("it is not unpacked")));
        };
        if let Err(error) = self.shelf.places.point(&work.name, Some(held)) {
            return self.stage_done(token, Err(put_off(error)));
        }
        tracing::info!(package = work.name, version = held.version, "the add-on is in place");
        if self.is_named(&work.name) && self.collector.is_some() && self.may_change_host() {
            let back = Back::AddOn(work.name.clone());
            self.shelf.trial = Some(OnTrial { token, version: held.version.clone(), back });
            return self.tell(Input::SwitchBinary(binary_rules(&self.parts.config.packages)));
        }
        let at = clock::wall_millis() / 1000;
        self.stage_done(token, Ok(Finished::Proven { at }));
    }

    /// Whether what the Collector reads names its place.
    fn is_named(&self, name: &str) -> bool {
        let link = self.shelf.places.link(name);
        let link = link.as_os_str().as_encoded_bytes();
        let files = self.current.iter().flat_map(|current| &current.composed.files);
        files.into_iter().any(|file| file.contents.windows(link.len()).any(|part| part == link))
    }

    /// What the link leads to again, in words.
    pub(super) fn add_on_back(&mut self, name: &str) -> String {
        let before = self.shelf.machine.record().held.get(name).cloned();
        if let Err(error) = self.shelf.places.point(name, before.as_ref()) {
            tracing::error!(package = name, "the link to the version before cannot be made: {error}");
        }
        match before {
            Some(held) => format!("{name} is {} again", held.version),
            None => format!("{name} is taken away again"),
        }
    }

    /// A config that names it keeps it.
    pub(super) fn remove_add_on(&mut self, name: &str, held: &Held) {
        let result = if self.is_named(name) {
            tracing::info!(
                package = name,
                "the add-on is not offered any more, and stays while a config names it"
            );
            Err("a config in force names it".to_owned())
        } else {
            self.shelf.places.remove_add_on(name).map_err(|error| error.to_string())
        };
        if result.is_ok() {
            tracing::info!(
                package = name,
                version = held.version,
                "the add-on is not offered any more, and is removed"
            );
        }
        self.tell_packages(Told::Removed { name: name.to_owned(), result });
    }
}
