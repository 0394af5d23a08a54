//! Downloads over real sockets, from a server that breaks as each test says.

use std::{
    fs,
    io::Read,
    sync::{Arc, Mutex},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::*;

const WITHIN: Duration = Duration::from_secs(60);

/// How the server treats one request.
#[derive(Clone, Copy)]
enum Way {
    /// As it should, ranges and all.
    Well,
    /// So many bytes of what was asked for, then the connection ends.
    CutAfter(usize),
    /// 200 and everything, whatever was asked for.
    Whole,
    Status(&'static str),
    RedirectTo(std::net::SocketAddr),
}

/// A server of one file: each request is treated in the next way, the last way is for all that follow.
struct Server {
    address: std::net::SocketAddr,
    /// The heads of the requests.
    asked: Arc<Mutex<Vec<String>>>,
    sent: Arc<Mutex<u64>>,
}

impl Server {
    async fn start(content: Vec<u8>, ways: Vec<Way>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, sent) = <(Arc<Mutex<Vec<String>>>, Arc<Mutex<u64>>)>::default();
        let (heads, bytes) = (asked.clone(), sent.clone());
        tokio::spawn(async move {
            let mut ways = ways.into_iter();
            let mut way = ways.next().unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Some(head) = serve(stream, &content, way, &bytes).await {
                    heads.lock().unwrap().push(head);
                    way = ways.next().unwrap_or(way);
                }
            }
        });
        Self { address, asked, sent }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// One request on a connection of its own; none when nobody asked for anything.
async fn serve(stream: TcpStream, content: &[u8], way: Way, sent: &Mutex<u64>) -> Option<String> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let from =
        head.lines().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok());
    let from: usize = if matches!(way, Way::Whole) { 0 } else { from.unwrap_or(0) };
    let (total, rest) = (content.len(), &content[from.min(content.len())..]);
    let status = match way {
        Way::Status(status) => format!("{status}\r\ncontent-length: 0"),
        Way::RedirectTo(address) => format!("302 Found\r\nlocation: http://{address}/f\r\ncontent-length: 0"),
        _ if from == 0 => format!("200 OK\r\ncontent-length: {total}"),
        _ => format!(
            "206 Partial Content\r\ncontent-range: bytes {from}-{}/{total}\r\ncontent-length: {}",
            total - 1,
            rest.len()
        ),
    };
    let body = match way {
        Way::Status(_) | Way::RedirectTo(_) => &[],
        Way::CutAfter(count) => &rest[..count.min(rest.len())],
        Way::Well | Way::Whole => rest,
    };
    let head_of_answer = format!("HTTP/1.1 {status}\r\netag: \"one\"\r\n\r\n");
    stream.write_all(head_of_answer.as_bytes()).await.ok()?;
    *sent.lock().unwrap() += body.len() as u64;
    stream.write_all(body).await.ok();
    stream.shutdown().await.ok();
    Some(head)
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 255) as u8).collect()
}

fn job(dir: &TempDir, server: &Server, length: usize) -> Job {
    Job {
        wanted: Wanted {
            url: format!("http://{}/f", server.address).parse().unwrap(),
            headers: vec![("authorization".to_owned(), "Bearer of-the-offer".to_owned())],
            size: Some(length as u64),
            cap: 1 << 30,
        },
        rules: Rules { plain_http: true, networks: vec!["127.0.0.0/8".parse().unwrap()], ..Rules::default() },
        tls: None,
        proxy: None,
        file: dir.path().join("a.part"),
        seed: 7,
    }
}

async fn run(job: Job) -> Result<Downloaded, DownloadError> {
    let progress = watch::Sender::default();
    timeout(WITHIN, download(job, &progress)).await.expect("an end")
}

fn bytes_of(dir: &TempDir) -> Vec<u8> {
    fs::read(dir.path().join("a.part")).unwrap()
}

#[tokio::test]
async fn f_2_f_45_a_connection_cut_each_64_kib_brings_the_file_and_nothing_twice() {
    let content = content(600_000);
    let server = Server::start(content.clone(), vec![Way::CutAfter(65_536)]).await;
    let dir = tempfile::tempdir().unwrap();
    let mut downloaded = run(job(&dir, &server, content.len())).await.unwrap();
    assert!(bytes_of(&dir) == content && !downloaded.resumed);
    let mut read = Vec::new();
    std::io::Seek::rewind(&mut downloaded.file).unwrap();
    downloaded.file.read_to_end(&mut read).unwrap();
    assert!(read == content, "the file that is handed on is the same one");
    assert_eq!((server.asked().len(), *server.sent.lock().unwrap()), (10, 600_000));
    assert!(
        server.asked()[3].contains("range: bytes=196608-\r\nif-range: \"one\"\r\n"),
        "{}",
        server.asked()[3]
    );
}

#[tokio::test]
async fn f_2_another_life_goes_on_where_the_last_one_ended() {
    let content = content(500_000);
    let server = Server::start(content.clone(), vec![Way::CutAfter(300_000), Way::Well]).await;
    let dir = tempfile::tempdir().unwrap();
    let progress = watch::Sender::default();
    let mut seen = progress.subscribe();
    let life = tokio::spawn({
        let job = job(&dir, &server, content.len());
        async move { download(job, &progress).await }
    });
    let half = seen.wait_for(|progress| progress.have == 300_000);
    timeout(WITHIN, half).await.expect("half of it").unwrap();
    life.abort();
    life.await.unwrap_err();

    let downloaded = run(job(&dir, &server, content.len())).await.unwrap();
    assert!(bytes_of(&dir) == content && downloaded.resumed);
    assert_eq!(*server.sent.lock().unwrap(), 500_000, "no byte came twice");
}

#[tokio::test]
async fn f_43_a_server_without_ranges_starts_over() {
    let content = content(200_000);
    let server = Server::start(content.clone(), vec![Way::CutAfter(150_000), Way::Whole]).await;
    let dir = tempfile::tempdir().unwrap();
    run(job(&dir, &server, content.len())).await.unwrap();
    assert!(bytes_of(&dir) == content);
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn f_47_a_server_that_is_busy_is_asked_again_and_one_that_says_no_is_not() {
    let content = content(1000);
    let busy = Way::Status("503 Busy\r\nretry-after: 1");
    let server = Server::start(content.clone(), vec![busy, Way::Well]).await;
    let dir = tempfile::tempdir().unwrap();
    run(job(&dir, &server, content.len())).await.unwrap();
    assert!(bytes_of(&dir) == content);

    let server = Server::start(content.clone(), vec![Way::Status("403 Forbidden")]).await;
    let refused = run(job(&dir, &server, content.len() + 1)).await.unwrap_err();
    assert!(refused.to_string().ends_with("/f answered 403"), "{refused}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn f_48_an_address_that_is_not_allowed_hears_nothing() {
    let server = Server::start(content(10), vec![Way::Well]).await;
    let dir = tempfile::tempdir().unwrap();
    let mut by_name = job(&dir, &server, 10);
    by_name.rules.networks.clear();
    by_name.wanted.url.set_host(Some("localhost")).unwrap();
    let refused = run(by_name).await.unwrap_err();
    assert!(refused.to_string().contains("localhost is at 127.0.0.1, which is this host"), "{refused}");
    assert!(!refused.may_pass());
    assert_eq!(server.asked(), [""; 0]);
}

#[tokio::test]
async fn f_49_headers_of_the_offer_are_not_sent_to_where_a_redirect_leads() {
    let content = content(1000);
    let mirror = Server::start(content.clone(), vec![Way::Well]).await;
    let server = Server::start(Vec::new(), vec![Way::RedirectTo(mirror.address)]).await;
    let dir = tempfile::tempdir().unwrap();
    run(job(&dir, &server, content.len())).await.unwrap();
    assert!(bytes_of(&dir) == content);
    assert!(server.asked()[0].contains("authorization: Bearer of-the-offer"));
    assert!(!mirror.asked()[0].contains("authorization"), "{}", mirror.asked()[0]);
}

#[tokio::test]
async fn f_54_a_file_that_cannot_be_written_is_the_hosts_fault_and_a_link_is_not_followed() {
    let server = Server::start(content(10), vec![Way::Well]).await;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("precious"), "as it was").unwrap();
    std::os::unix::fs::symlink(dir.path().join("precious"), dir.path().join("a.part")).unwrap();
    let refused = run(job(&dir, &server, 10)).await.unwrap_err();
    assert!(matches!(refused, DownloadError::Files(_)) && refused.may_pass(), "{refused}");
    assert_eq!(fs::read_to_string(dir.path().join("precious")).unwrap(), "as it was");
    assert_eq!(server.asked(), [""; 0]);
}
