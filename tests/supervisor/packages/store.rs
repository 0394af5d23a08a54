//! What a server of packages has: programs made from the fake Collector, signed, and served over HTTP.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, OnceLock},
};

use opamp::{
    package::{NewKeys, SigningKey, Stated},
    wire::proto::{DownloadableFile, Header, Headers, PackageAvailable, PackageType, PackagesAvailable},
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::harness::fake_collector;

/// A program without what only debuggers read, which is most of it.
fn stripped(program: &Path) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    let stripped = Command::new("strip").arg("-o").arg(&path).arg(program).status();
    if !stripped.is_ok_and(|status| status.success()) {
        fs::copy(program, &path).unwrap();
    }
    fs::read(path).unwrap()
}

fn program() -> &'static [u8] {
    static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();
    PROGRAM.get_or_init(|| stripped(&fake_collector()))
}

/// The supervisor that is tested, as another file than the one that runs.
pub(crate) fn supervisor(mark: &str) -> Vec<u8> {
    let built = std::env::var("SUPERVISOR_BIN");
    let built = built.as_deref().unwrap_or(env!("CARGO_BIN_EXE_opamp-supervisor"));
    [&stripped(Path::new(built)), mark.as_bytes()].concat()
}

/// A Collector that behaves as these switches of the fake one say.
pub(crate) fn collector(switches: &str) -> Vec<u8> {
    [program(), format!("\n# fake_collector: {switches}\n").as_bytes()].concat()
}

/// A `.tar.gz` of these files, each with its mode.
pub(crate) fn archive(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (path, mode, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        tar.append_data(&mut header, path, *content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// How the server of files treats one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Well,
    /// So many bytes of what was asked for, then the connection ends.
    CutAfter(usize),
    /// So many bytes, then nothing until the test ends.
    StallAfter(usize),
    /// Other bytes than there are.
    Garbled,
    Status(&'static str),
}

/// A signer with a key, and a server of files.
pub(crate) struct Store {
    pub(crate) dir: TempDir,
    key: SigningKey,
    address: std::net::SocketAddr,
    files: Arc<Mutex<BTreeMap<String, Arc<Vec<u8>>>>>,
    ways: Arc<Mutex<Vec<Way>>>,
    /// The heads of the requests, and how many bytes of bodies were sent.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    pub(crate) sent: Arc<Mutex<u64>>,
}

/// What is said of an artefact by its signer.
#[derive(Clone, Debug)]
pub(crate) struct Says {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) arch: &'static str,
    pub(crate) expires: &'static str,
    pub(crate) epoch: u32,
}

impl Says {
    pub(crate) fn version(version: &'static str) -> Self {
        let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        Self { name: "otelcol", version, arch, expires: "2999-01-01T00:00:00Z", epoch: 1 }
    }
}

impl Store {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let NewKeys { secret, public, .. } = NewKeys::generate(None).unwrap();
        fs::write(dir.path().join("packages.pub"), public).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let store = Self {
            dir,
            key: SigningKey::open(&secret, None).unwrap(),
            address: listener.local_addr().unwrap(),
            files: Arc::default(),
            ways: Arc::default(),
            asked: Arc::default(),
            sent: Arc::default(),
        };
        let (files, ways) = (store.files.clone(), store.ways.clone());
        let (asked, sent) = (store.asked.clone(), store.sent.clone());
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (files, ways, asked, sent) = (files.clone(), ways.clone(), asked.clone(), sent.clone());
                tokio::spawn(serve(stream, files, ways, asked, sent));
            }
        });
        store
    }

    pub(crate) fn size(&self, name: &str) -> u64 {
        self.files.lock().unwrap()[name].len() as u64
    }

    pub(crate) fn public_key(&self) -> PathBuf {
        self.dir.path().join("packages.pub")
    }

    /// The next requests are treated so, one after the other, all others well.
    pub(crate) fn ways(&self, ways: &[Way]) {
        *self.ways.lock().unwrap() = ways.iter().rev().copied().collect();
    }

    /// The text of a signature of these bytes.
    pub(crate) fn sign(&self, artefact: &[u8], says: &Says) -> Vec<u8> {
        let path = self.dir.path().join("artefact");
        fs::File::create(&path).unwrap().write_all(artefact).unwrap();
        let stated = Stated {
            name: says.name.parse().unwrap(),
            version: says.version.parse().unwrap(),
            os: "linux".to_owned(),
            arch: says.arch.to_owned(),
            expires: says.expires.parse().unwrap(),
            epoch: says.epoch,
        };
        self.key.sign(&mut fs::File::open(path).unwrap(), stated).unwrap().signature.into_bytes()
    }

    /// Puts an artefact there, signed, as a server offers it.
    pub(crate) fn add(&self, artefact: Vec<u8>, says: &Says) -> PackageAvailable {
        let signature = self.sign(&artefact, says);
        let content_hash = Sha256::digest(&artefact).to_vec();
        let name = format!("{}-{}", says.version, self.files.lock().unwrap().len());
        self.files.lock().unwrap().insert(name.clone(), Arc::new(artefact));
        let headers = vec![Header { key: "Authorization".to_owned(), value: "Bearer hush-hush".to_owned() }];
        PackageAvailable {
            r#type: PackageType::TopLevel as i32,
            version: says.version.to_owned(),
            hash: Sha256::digest(format!("{} {content_hash:?}", says.name)).to_vec(),
            file: Some(DownloadableFile {
                download_url: format!("http://{}/{name}", self.address),
                content_hash,
                signature,
                headers: Some(Headers { headers }),
            }),
        }
    }

    /// A Collector of this version, as a bare executable.
    pub(crate) fn collector(&self, version: &'static str, switches: &str) -> PackageAvailable {
        let says = Says::version(version);
        self.add(collector(&format!("wrong_version={version},{switches}")), &says)
    }
}

/// All that a server offers.
pub(crate) fn offer(packages: &[(&str, &PackageAvailable)]) -> PackagesAvailable {
    let packages: BTreeMap<_, _> =
        packages.iter().map(|(name, package)| ((*name).to_owned(), (*package).clone())).collect();
    let all = Sha256::digest(format!("{packages:?}")).to_vec();
    PackagesAvailable { packages: packages.into_iter().collect(), all_packages_hash: all }
}

async fn serve(
    stream: TcpStream,
    files: Arc<Mutex<BTreeMap<String, Arc<Vec<u8>>>>>,
    ways: Arc<Mutex<Vec<Way>>>,
    asked: Arc<Mutex<Vec<String>>>,
    sent: Arc<Mutex<u64>>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    asked.lock().unwrap().push(head.clone());
    let way = ways.lock().unwrap().pop().unwrap_or(Way::Well);
    let name = head.split(' ').nth(1)?.trim_start_matches('/').to_owned();
    let file = files.lock().unwrap().get(&name).cloned()?;
    let lower = head.to_ascii_lowercase();
    let from =
        lower.lines().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok());
    let start: usize = from.unwrap_or(0);
    let body = &file[start.min(file.len())..];
    let status = match (way, from) {
        (Way::Status(status), _) => {
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            return stream.get_mut().write_all(answer.as_bytes()).await.ok();
        }
        (_, Some(from)) => {
            format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{}", file.len() - 1, file.len())
        }
        (_, None) => "200 OK".to_owned(),
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nETag: \"{name}\"\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let stream = stream.get_mut();
    stream.write_all(answer.as_bytes()).await.ok()?;
    let part = match way {
        Way::CutAfter(bytes) | Way::StallAfter(bytes) => &body[..bytes.min(length)],
        _ => body,
    };
    *sent.lock().unwrap() += part.len() as u64;
    if matches!(way, Way::Garbled) {
        stream.write_all(&part.iter().map(|byte| !byte).collect::<Vec<_>>()).await.ok()?;
    } else {
        stream.write_all(part).await.ok()?;
    }
    if matches!(way, Way::StallAfter(_)) {
        std::future::pending::<()>().await;
    }
    stream.shutdown().await.ok()
}
