//! F-15 in small: random commits on a disk that fails, or stops, at any operation and loses what was not
//! synced: renames in any subset, file contents in any part.

use std::{cell::RefCell, collections::BTreeMap, io, mem, rc::Rc};

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// The operation fails, the system goes on.
    Error,
    /// The power goes.
    Crash,
}

/// A change of the directory that is not lasting yet.
#[derive(Debug)]
enum Change {
    Link(String, usize),
    Unlink(String),
    Rename(String, String, usize),
}

#[derive(Debug, Default)]
struct Model {
    names: BTreeMap<String, usize>,
    lasting: BTreeMap<String, usize>,
    contents: Vec<Vec<u8>>,
    pending: Vec<Change>,
    fault: Option<(usize, Fault)>,
    off: bool,
}

impl Model {
    /// One operation: whether it may happen.
    fn step(&mut self, name: &str) -> Result<(), FsError> {
        let fails = match &mut self.fault {
            _ if self.off => true,
            Some((0, fault)) => {
                self.off = *fault == Fault::Crash;
                self.fault = None;
                true
            }
            Some((left, _)) => {
                *left -= 1;
                false
            }
            None => false,
        };
        if !fails {
            return Ok(());
        }
        let source = io::Error::other("planted");
        Err(FsError::Io { doing: "do", path: name.into(), source })
    }

    /// Power back: of what was pending, what the bits choose has lasted.
    fn restart(&mut self, mut bits: u64) {
        for change in mem::take(&mut self.pending) {
            bits = bits.rotate_right(1);
            if bits & 1 == 0 {
                continue;
            }
            match change {
                Change::Link(name, file) => drop(self.lasting.insert(name, file)),
                Change::Unlink(name) => drop(self.lasting.remove(&name)),
                Change::Rename(from, to, file) => {
                    if self.lasting.get(&from) == Some(&file) {
                        self.lasting.remove(&from);
                    }
                    self.lasting.insert(to, file);
                }
            }
        }
        self.names = self.lasting.clone();
        (self.off, self.fault) = (false, None);
    }
}

#[derive(Debug, Clone)]
struct LossyDisk(Rc<RefCell<Model>>);

impl Disk for LossyDisk {
    fn path(&self, name: &str) -> PathBuf {
        name.into()
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, FsError> {
        let mut model = self.0.borrow_mut();
        model.step(name)?;
        Ok(model.names.get(name).map(|file| model.contents[*file].clone()))
    }

    fn write_synced(&mut self, name: &str, bytes: &[u8]) -> Result<(), FsError> {
        let mut model = self.0.borrow_mut();
        model.step(name)?;
        if model.names.remove(name).is_some() {
            model.pending.push(Change::Unlink(name.into()));
        }
        // Until the sync has worked, half of the bytes are there, and then zeroes.
        let mut torn = bytes[..bytes.len() / 2].to_vec();
        torn.resize(bytes.len(), 0);
        model.contents.push(torn);
        let file = model.contents.len() - 1;
        model.names.insert(name.into(), file);
        model.pending.push(Change::Link(name.into(), file));
        model.step(name)?;
        model.contents[file] = bytes.to_vec();
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), FsError> {
        let mut model = self.0.borrow_mut();
        model.step(from)?;
        let absent =
            || FsError::Io { doing: "rename", path: from.into(), source: io::ErrorKind::NotFound.into() };
        let file = model.names.remove(from).ok_or_else(absent)?;
        model.names.insert(to.into(), file);
        model.pending.push(Change::Rename(from.into(), to.into(), file));
        Ok(())
    }

    fn sync(&mut self) -> Result<(), FsError> {
        let mut model = self.0.borrow_mut();
        model.step("directory")?;
        model.pending.clear();
        model.lasting = model.names.clone();
        Ok(())
    }
}

/// One commit, and what happens during and after it.
#[derive(Debug, Clone)]
struct Step {
    fault: Option<(usize, Fault)>,
    /// Restart afterwards, with the choice of what lasts, and with a fault while opening.
    restart: Option<(u64, Option<(usize, Fault)>)>,
}

fn fault() -> impl Strategy<Value = Option<(usize, Fault)>> {
    prop::option::of((0..7_usize, prop_oneof![Just(Fault::Error), Just(Fault::Crash)]))
}

fn step() -> impl Strategy<Value = Step> {
    let restart = prop::option::of((any::<u64>(), fault()));
    (fault(), restart).prop_map(|(fault, restart)| Step { fault, restart })
}

fn number(state: &State) -> u32 {
    state.config.live.as_ref().map_or(0, |hash| u32::from_be_bytes(hash.0[..].try_into().unwrap()))
}

/// Opens until it works, with the fault at the first attempt only.
fn open(disk: &LossyDisk, bits: u64, fault: Option<(usize, Fault)>) -> (Slots<LossyDisk>, State) {
    disk.0.borrow_mut().fault = fault;
    for attempt in 0..3 {
        let opened = Slots::open(disk.clone(), UID, || panic!("both copies lost"));
        let mut model = disk.0.borrow_mut();
        match opened {
            Ok((slots, state, notes)) if !model.off => {
                let harmless = |note: &String| note.contains("repaired");
                assert!(notes.iter().all(harmless), "{notes:?}");
                model.fault = None;
                return (slots, state);
            }
            _ if model.off => model.restart(bits.rotate_left(7 + attempt)),
            _ => {}
        }
    }
    panic!("it never opens");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn f_15_a_committed_state_is_never_lost_and_a_torn_one_never_read(
        steps in prop::collection::vec(step(), 1..12)
    ) {
        let disk = LossyDisk(Rc::default());
        let (mut slots, mut state, _) = Slots::open(disk.clone(), UID, Vec::new).unwrap();
        let mut possible = vec![0];
        for (count, step) in (1_u32..).zip(steps) {
            state.config.live = Some(ConfigHash(count.to_be_bytes().to_vec()));
            disk.0.borrow_mut().fault = step.fault;
            match slots.commit(&state) {
                Ok(()) => possible = vec![count],
                Err(_) => possible.push(count),
            }
            disk.0.borrow_mut().fault = None;
            let off = disk.0.borrow().off;
            let restart = step.restart.or(off.then_some((u64::from(count), None)));
            if let Some((bits, fault)) = restart {
                disk.0.borrow_mut().restart(bits);
                let found;
                (slots, found) = open(&disk, bits, fault);
                prop_assert!(possible.contains(&number(&found)), "{} of {possible:?}", number(&found));
                prop_assert_eq!(found.instance_uid, UID);
                possible = vec![number(&found)];
            }
        }
    }
}
