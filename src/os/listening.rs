//! Who listens on this host: sockets of /proc/net, and the processes that hold them.
//!
//! Only what this process's network namespace has, and names of processes only where their descriptors may be
//! read: as root, or for processes of the same user. What may not be seen is counted. No environment is read;
//! of a command line only whether it has a word that the caller knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A socket that waits for others to speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    pub transport: Transport,
    pub address: IpAddr,
    pub port: u16,
    /// Who holds it: of several processes, the first one.
    pub process: Option<Process>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    Tcp,
    Udp,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pub pid: i32,
    /// As the kernel keeps it: 15 bytes at most.
    pub name: String,
}

/// A row of /proc/net.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    transport: Transport,
    address: IpAddr,
    port: u16,
    inode: u64,
}

/// The states of sockets that wait: LISTEN for TCP, unconnected for UDP.
const TCP_LISTEN: &str = "0A";
const UDP_UNCONNECTED: &str = "07";

/// All of them. May take a while on a host with many processes.
pub fn listening() -> io::Result<Vec<Listening>> {
    let ephemeral = first_ephemeral();
    let mut rows = Vec::new();
    for (file, transport) in
        [("tcp", Transport::Tcp), ("tcp6", Transport::Tcp), ("udp", Transport::Udp), ("udp6", Transport::Udp)]
    {
        let text = match fs::read_to_string(format!("/proc/self/net/{file}")) {
            Ok(text) => text,
            // A kernel without IPv6 has no such file.
            Err(error) if error.kind() == io::ErrorKind::NotFound && file.ends_with('6') => continue,
            Err(error) => return Err(error),
        };
        // A client's socket for datagrams looks as a server's does, but for its port.
        let is_server = |row: &Row| row.transport == Transport::Tcp || row.port < ephemeral;
        rows.extend(text.lines().skip(1).filter_map(|line| row(line, transport)).filter(is_server));
    }
    let holders = holders(&rows.iter().map(|row| row.inode).collect());
    let found = rows.into_iter().map(|row| Listening {
        transport: row.transport,
        address: row.address,
        port: row.port,
        process: holders.get(&row.inode).cloned(),
    });
    Ok(found.collect())
}

/// The first port that the kernel gives to those who do not ask for one.
fn first_ephemeral() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|port| port.parse().ok()).unwrap_or(32768)
}

fn row(line: &str, transport: Transport) -> Option<Row> {
    let mut fields = line.split_whitespace();
    let (address, port) = fields.nth(1)?.split_once(':')?;
    let wanted = match transport {
        Transport::Tcp => TCP_LISTEN,
        Transport::Udp => UDP_UNCONNECTED,
    };
    if fields.nth(1)? != wanted {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(Row { transport, address: ip(address)?, port, inode })
}

/// Words of 32 bits as they lie in memory.
fn ip(hex: &str) -> Option<IpAddr> {
    if !hex.is_ascii() {
        return None;
    }
    let mut bytes = [0; 16];
    let words = hex.as_bytes().chunks(8);
    let count = words.len();
    for (word, place) in words.zip(bytes.chunks_mut(4)) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        place.copy_from_slice(&word.to_ne_bytes());
    }
    match count {
        1 => Some(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into()),
        4 => Some(Ipv6Addr::from(bytes).to_canonical()),
        _ => None,
    }
}

/// The processes that hold these sockets, as far as they may be seen.
fn holders(inodes: &BTreeSet<u64>) -> BTreeMap<u64, Process> {
    let mut found = BTreeMap::new();
    let mut pids: Vec<i32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    for pid in pids {
        let held: Vec<u64> =
            sockets_of(pid).filter(|inode| inodes.contains(inode) && !found.contains_key(inode)).collect();
        // One that ended meanwhile has no name any more.
        if held.is_empty() {
            continue;
        }
        let Ok(name) = fs::read_to_string(format!("/proc/{pid}/comm")) else { continue };
        let process = Process { pid, name: name.trim_end_matches('\n').to_owned() };
        found.extend(held.into_iter().map(|inode| (inode, process.clone())));
    }
    found
}

fn sockets_of(pid: i32) -> impl Iterator<Item = u64> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    descriptors.filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
}

/// The first of these words that the process was called with, as a whole argument.
#[must_use]
pub fn called_with<'a>(pid: i32, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    words.into_iter().find(|word| line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes()))
}

/// Of these paths, those of Unix sockets that somebody listens on.
#[must_use]
pub fn unix_sockets<'a>(paths: &[&'a str]) -> Vec<&'a str> {
    let text = fs::read_to_string("/proc/self/net/unix").unwrap_or_default();
    paths.iter().copied().filter(|path| text.lines().any(|line| waits_at(line, path))).collect()
}

/// `Num RefCount Protocol Flags Type St Inode Path`; the flag is the kernel's for a socket that accepts.
fn waits_at(line: &str, path: &str) -> bool {
    const ACCEPTS: u32 = 0x0001_0000;
    let mut fields = line.split_whitespace();
    let flags = fields.nth(3).and_then(|flags| u32::from_str_radix(flags, 16).ok());
    flags.is_some_and(|flags| flags & ACCEPTS != 0) && fields.nth(3) == Some(path)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn rows_of_the_kernel_are_read() {
        let line = "   0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000   108        0 16532 1 0 100 0 0 10 0";
        let found = row(line, Transport::Tcp).unwrap();
        assert_eq!((found.address.to_string(), found.port, found.inode), ("127.0.0.1".into(), 6379, 16532));
        assert_eq!(row(&line.replace(" 0A ", " 01 "), Transport::Tcp), None, "a connection");
        assert_eq!(ip("00000000000000000000000001000000").unwrap().to_string(), "::1");
        assert_eq!(ip("0000000000000000FFFF00000100007F").unwrap().to_string(), "127.0.0.1");
        for wrong in ["", "0100007", "01ä0007F", "xyz", "0100007F0100007F"] {
            assert!(ip(wrong).is_none_or(|ip| ip.is_ipv4()), "{wrong}");
        }
        assert_eq!(row("garbage", Transport::Udp), None);
        let unix = "ffff: 00000002 00000000 00010000 0001 01 18 /run/docker.sock";
        assert!(waits_at(unix, "/run/docker.sock") && !waits_at(unix, "/run/docker"));
        assert!(!waits_at(&unix.replace("00010000", "00000000"), "/run/docker.sock"), "a client's");
    }

    #[test]
    fn a_listener_is_found_with_its_process_and_a_client_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (ours, theirs) = (client.local_addr().unwrap().port(), datagrams.local_addr().unwrap().port());
        let all = listening().unwrap();
        let found = all.iter().find(|found| found.port == port).unwrap();
        assert_eq!(found.transport, Transport::Tcp);
        let process = found.process.as_ref().unwrap();
        assert_eq!(process.pid, i32::try_from(std::process::id()).unwrap());
        assert!(!all.iter().any(|found| found.port == ours && found.process == Some(process.clone())));
        let is_datagram = |found: &&Listening| found.transport == Transport::Udp && found.port == theirs;
        assert_eq!(all.iter().find(is_datagram), None, "a port that the kernel chose is a client's");
    }

    #[test]
    fn a_command_line_is_only_asked_for_words_that_are_known() {
        let me = i32::try_from(std::process::id()).unwrap();
        let first = std::env::args().next().unwrap();
        assert_eq!(called_with(me, ["no such word", first.as_str()]), Some(first.as_str()));
        assert_eq!(called_with(me, [&first[1..]]), None, "a whole argument or none");
    }
}
