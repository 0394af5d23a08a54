//! What an artefact is, by its first bytes: the one place that says which kinds hosts take.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
};

use flate2::read::MultiGzDecoder;

/// Read at once.
const CHUNK: usize = 64 * 1024;
/// The largest window of zstd, as a power of two: 8 MiB of memory, what levels up to 19 use.
const WINDOW: u32 = 23;

/// An artefact that is read from its start.
pub(super) enum Format<'a> {
    /// The tar in a `.tar.gz` or `.tar.zst`.
    Archive(Box<dyn Read + 'a>),
    /// An ELF file.
    Executable(BufReader<&'a mut File>),
    /// The first bytes of anything else.
    Unknown(Vec<u8>),
}

impl<'a> Format<'a> {
    pub(super) fn of(file: &'a mut File) -> io::Result<Self> {
        file.seek(SeekFrom::Start(0))?;
        let mut magic = Vec::new();
        Read::by_ref(file).take(4).read_to_end(&mut magic)?;
        file.seek(SeekFrom::Start(0))?;
        let input = BufReader::with_capacity(CHUNK, file);
        Ok(match magic[..] {
            [0x1f, 0x8b, ..] => Self::Archive(Box::new(MultiGzDecoder::new(input))),
            [0x28, 0xb5, 0x2f, 0xfd] => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                decoder.window_log_max(WINDOW)?;
                Self::Archive(Box::new(decoder))
            }
            [0x7f, b'E', b'L', b'F'] => Self::Executable(input),
            _ => Self::Unknown(magic),
        })
    }
}
