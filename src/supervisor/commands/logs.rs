//! `logs`: the last lines of the Collector's output, over its rotated files, and what is added.
//!
//! Read as bytes in bounded pieces: a file may be one line of 10 MiB.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use super::{CommandError, OK, args::Logs, ask, place::Place};
use crate::{
    os::fs::failed,
    supervisor::{
        control::{Answer, Request},
        mask::printable,
    },
};

/// `agent.log`, and `.1` to `.4`.
const FILES: u32 = 5;
/// The longest piece of a line that is written at once.
const PIECE: usize = 64 * 1024;
/// How often a followed file is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

pub(super) fn run(place: &Place, wanted: &Logs, out: &mut dyn Write) -> Result<u8, CommandError> {
    let current = place.storage.join("logs").join("agent.log");
    if let Ok(Answer::Status(status)) = ask(&place.socket, &Request::Status)
        && status.collector.log.is_none()
    {
        return Err(CommandError::PassedThrough);
    }
    let files: Vec<PathBuf> = (0..FILES).map(|number| rotated(&current, number)).collect();
    let mut start = Start::of_last(&files, wanted.lines)?;
    if start.files.is_empty() && !wanted.follow {
        return Err(CommandError::NoOutput(current));
    }
    let mut last = None;
    while let Some((mut file, offset)) = start.files.pop() {
        file.seek(SeekFrom::Start(offset)).map_err(failed("read", &current))?;
        let mut reader = BufReader::new(file);
        copy(&mut reader, out)?;
        last = Some(reader);
    }
    out.flush()?;
    if wanted.follow { follow(&current, last, out) } else { Ok(OK) }
}

fn rotated(current: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return current.to_owned();
    }
    let mut name = current.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// The files that hold the wanted lines, newest first, each with where to begin.
struct Start {
    files: Vec<(File, u64)>,
}

impl Start {
    fn of_last(files: &[PathBuf], lines: usize) -> Result<Self, CommandError> {
        let mut start = Self { files: Vec::new() };
        let mut left = lines;
        for path in files {
            let mut file = match File::open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(failed("read", path)(error).into()),
            };
            let (offset, found) = last_lines(&mut file, left).map_err(failed("read", path))?;
            start.files.push((file, offset));
            left -= found;
            if left == 0 {
                break;
            }
        }
        Ok(start)
    }
}

/// Where the last `most` lines begin, and how many there are.
fn last_lines(file: &mut File, most: usize) -> io::Result<(u64, usize)> {
    let mut buffer = vec![0; PIECE];
    let (mut end, mut found) = (file.metadata()?.len(), 0);
    let size = end;
    if most == 0 || size == 0 {
        return Ok((size, 0));
    }
    while end > 0 {
        let piece = usize::try_from(end).unwrap_or(usize::MAX).min(PIECE);
        let begin = end - piece as u64;
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(&mut buffer[..piece])?;
        for (at, _) in buffer[..piece].iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let after = begin + at as u64 + 1;
            // The one at the very end ends the last line; every other one begins a later line.
            if after == size {
                continue;
            }
            found += 1;
            if found == most {
                return Ok((after, found));
            }
        }
        end = begin;
    }
    Ok((0, found + 1))
}

fn copy(reader: &mut BufReader<File>, out: &mut dyn Write) -> Result<(), CommandError> {
    let mut line = Vec::new();
    loop {
        line.clear();
        reader.by_ref().take(PIECE as u64).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        out.write_all(printable(&String::from_utf8_lossy(&line)).as_bytes())?;
    }
}

/// Until nobody reads any more. A rotated file is read to its end before the new one is begun.
fn follow(
    current: &Path,
    mut last: Option<BufReader<File>>,
    out: &mut dyn Write,
) -> Result<u8, CommandError> {
    loop {
        if let Some(reader) = &mut last {
            copy(reader, out)?;
            out.flush()?;
        }
        let open = last.as_ref().map(|reader| reader.get_ref().metadata().map(|meta| meta.ino()));
        let there = fs::metadata(current).map(|meta| meta.ino());
        match (open, there) {
            (Some(Ok(open)), Ok(there)) if open == there => sleep(LOOK_AGAIN),
            (_, Ok(_)) => {
                if let Some(reader) = &mut last {
                    copy(reader, out)?;
                }
                last = File::open(current).ok().map(BufReader::new);
            }
            (_, Err(_)) => sleep(LOOK_AGAIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(dir: &Path, lines: usize) -> String {
        let place = Place { storage: dir.to_owned(), socket: dir.join("none") };
        let mut out = Vec::new();
        run(&place, &Logs { lines, follow: false, target: Default::default() }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_last_lines_are_found_over_rotated_files_and_long_lines() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("logs/agent.log");
        fs::create_dir(log.parent().unwrap()).unwrap();
        let long = "x".repeat(3 * PIECE);
        fs::write(rotated(&log, 2), "one\ntwo\n").unwrap();
        fs::write(rotated(&log, 1), format!("three\n{long}\n")).unwrap();
        fs::write(&log, "four\n\x1b[31mfive\nsix, not ended").unwrap();
        assert_eq!(last(dir.path(), 1), "six, not ended");
        assert_eq!(last(dir.path(), 2), "[31mfive\nsix, not ended");
        assert_eq!(last(dir.path(), 4), format!("{long}\nfour\n[31mfive\nsix, not ended"));
        assert!(last(dir.path(), 6).starts_with("two\nthree\n"));
        assert!(last(dir.path(), 1000).starts_with("one\ntwo\nthree\n"));
        assert_eq!(last(dir.path(), 0), "");
    }
}
