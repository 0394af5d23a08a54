//! A log file within bounds: `agent.log`, and `agent.log.1` (newest) to `.4` (oldest).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Appended to, never truncated by a restart; renamed away when full.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    most_bytes: u64,
    files: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
}

impl RotatingFile {
    /// A file of at most 10 MiB and four older ones. It is opened at the first write.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), most_bytes: 10 * 1024 * 1024, files: 5, open: None }
    }

    /// Other bounds; at least one file is kept.
    #[must_use]
    pub fn bounds(mut self, most_bytes: u64, files: u32) -> Self {
        (self.most_bytes, self.files) = (most_bytes, files.max(1));
        self
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends whole lines. After an error the next call opens the file anew, so it heals when the
    /// cause is gone.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.try_write(bytes);
        if written.is_err() {
            self.open = None;
        }
        written
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let full = match &self.open {
            Some(open) => open.size + bytes.len() as u64 > self.most_bytes && open.size > 0,
            None => false,
        };
        if full {
            self.open = None;
            self.rotate()?;
        }
        let open = match &mut self.open {
            Some(open) => open,
            closed => {
                let opened = open_append(&self.path)?;
                if opened.size >= self.most_bytes {
                    drop(opened);
                    self.rotate()?;
                    self.open = Some(open_append(&self.path)?);
                    return self.try_write(bytes);
                }
                closed.insert(opened)
            }
        };
        open.file.write_all(bytes)?;
        open.size += bytes.len() as u64;
        Ok(())
    }

    fn rotate(&self) -> io::Result<()> {
        let older = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        let oldest = self.files - 1;
        if oldest == 0 {
            return fs::remove_file(&self.path);
        }
        for number in (1..oldest).rev() {
            match fs::rename(older(number), older(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, older(1))
    }
}

fn open_append(path: &Path) -> io::Result<Open> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let size = file.metadata()?.len();
    Ok(Open { file, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(dir: &Path) -> Vec<(String, u64)> {
        let mut all: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn size_and_number_are_bounded_and_the_newest_stay() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = RotatingFile::new(&dir.path().join("agent.log")).bounds(100, 3);
        for number in 10..99 {
            file.write(format!("line number {number}\n").as_bytes()).unwrap();
        }
        let all = sizes(dir.path());
        let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["agent.log", "agent.log.1", "agent.log.2"]);
        assert!(all.iter().all(|(_, size)| *size <= 100), "{all:?}");
        assert!(fs::read_to_string(file.path()).unwrap().ends_with("line number 98\n"));
    }

    #[test]
    fn a_restart_appends_and_a_full_file_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/agent.log");
        RotatingFile::new(&path).write(b"before\n").unwrap();
        RotatingFile::new(&path).write(b"after\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"before\nafter\n");
        RotatingFile::new(&path).bounds(5, 2).write(b"new\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new\n");
        RotatingFile::new(&path).bounds(1, 1).write(b"only\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"only\n");
    }

    #[test]
    fn it_heals_when_the_cause_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.log");
        fs::create_dir(&path).unwrap();
        let mut file = RotatingFile::new(&path);
        file.write(b"lost\n").unwrap_err();
        fs::remove_dir(&path).unwrap();
        file.write(b"kept\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"kept\n");
    }
}
