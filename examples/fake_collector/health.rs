//! The `health_check` extension: 200 when healthy, 503 when not.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
};

pub(crate) async fn serve(listener: TcpListener, path: String, healthy: watch::Receiver<bool>) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        let mut request = [0; 1024];
        let read = stream.read(&mut request).await.unwrap_or(0);
        let asked = String::from_utf8_lossy(&request[..read]);
        let answer = match asked.split(' ').nth(1) {
            Some(target) if target != path => "404 Not Found",
            _ if *healthy.borrow() => "200 OK",
            _ => "503 Service Unavailable",
        };
        // A client that has gone does not matter.
        let _ = stream
            .write_all(
                format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes(),
            )
            .await;
    }
}
