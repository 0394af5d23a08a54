//! The endpoint for the Collector's extension.

use futures_util::{SinkExt, StreamExt};
use opamp::{
    transport::accept::{AcceptError, AgentLink, Listener},
    wire::{frame, proto::AgentToServer},
};
use tokio::{io::AsyncReadExt, net::TcpStream};
use tokio_tungstenite::{
    client_async,
    tungstenite::{
        Error, Message as Frame, client::IntoClientRequest, handshake::client::Request, http::HeaderValue,
        protocol::frame::coding::CloseCode,
    },
};

use crate::peer::{LIMIT, reply, soon};

fn port(listener: &Listener) -> u16 {
    let endpoint = listener.endpoint();
    let (port, _) = endpoint.strip_prefix("ws://127.0.0.1:").unwrap().split_once("/v1/opamp").unwrap();
    port.parse().unwrap()
}

type Client = tokio_tungstenite::WebSocketStream<TcpStream>;

async fn dial(
    listener: &mut Listener,
    request: Request,
) -> (Result<Client, Error>, Result<AgentLink, AcceptError>) {
    let stream = TcpStream::connect(("127.0.0.1", port(listener))).await.unwrap();
    let client = async { client_async(request, stream).await.map(|(client, _)| client) };
    soon(async { tokio::join!(client, listener.accept()) }).await
}

fn request(listener: &Listener) -> Request {
    listener.endpoint().into_client_request().unwrap()
}

fn status(refused: Result<Client, Error>) -> u16 {
    match refused {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn messages_both_ways_and_a_close_in_order() {
    let mut listener = Listener::bind(0).await.unwrap();
    let request = request(&listener);
    let (client, link) = dial(&mut listener, request).await;
    let (mut client, mut link) = (client.unwrap(), link.unwrap());
    assert!(link.peer.ip().is_loopback());
    let message = AgentToServer { sequence_num: 3, ..Default::default() };
    client.send(Frame::Binary(frame::encode(&message, LIMIT).unwrap().into())).await.unwrap();
    assert_eq!(soon(link.recv()).await.unwrap(), message);
    link.send(&reply()).await.unwrap();
    assert!(matches!(soon(client.next()).await, Some(Ok(Frame::Binary(_)))));
    let close = async {
        while let Some(Ok(frame)) = client.next().await {
            if let Frame::Close(Some(frame)) = frame {
                return frame.code;
            }
        }
        panic!("no close frame")
    };
    let ((), code) = soon(async { tokio::join!(link.close(), close) }).await;
    assert_eq!(code, CloseCode::Normal, "s_ws_01");
}

#[tokio::test]
async fn f_104_a_web_page_is_refused() {
    let mut listener = Listener::bind(0).await.unwrap();
    let mut request = request(&listener);
    request.headers_mut().insert("Origin", HeaderValue::from_static("http://evil.example"));
    let (client, link) = dial(&mut listener, request).await;
    assert_eq!(status(client), 403);
    assert!(matches!(link, Err(AcceptError::Handshake(_))));
}

#[tokio::test]
async fn another_path_is_not_found() {
    let mut listener = Listener::bind(0).await.unwrap();
    for path in ["/", "/v1/opamp/", "/v1/OpAMP", "/v1"] {
        let url = format!("ws://127.0.0.1:{}{path}", port(&listener));
        let (client, link) = dial(&mut listener, url.into_client_request().unwrap()).await;
        assert_eq!(status(client), 404, "{path}");
        assert!(link.is_err());
    }
}

#[tokio::test]
async fn a_token_is_asked_for_when_there_is_one() {
    let mut listener = Listener::bind(0).await.unwrap().requiring("t0ken");
    let right = listener.endpoint();
    let bare = right.strip_suffix("?token=t0ken").unwrap();
    for wrong in [
        bare.to_owned(),
        format!("{bare}?token=other"),
        format!("{bare}?token=t0ken1"),
        format!("{bare}?token="),
    ] {
        assert_eq!(
            status(dial(&mut listener, wrong.clone().into_client_request().unwrap()).await.0),
            401,
            "{wrong}"
        );
    }
    let right = right.into_client_request().unwrap();
    assert!(dial(&mut listener, right).await.1.is_ok());
}

#[tokio::test]
async fn f_96_a_peer_that_says_nothing_keeps_nobody_out_and_is_dropped() {
    let mut listener = Listener::bind(0).await.unwrap();
    let mut silent = TcpStream::connect(("127.0.0.1", port(&listener))).await.unwrap();
    let request = request(&listener);
    assert!(dial(&mut listener, request).await.1.is_ok());
    tokio::time::pause();
    assert!(matches!(listener.accept().await, Err(AcceptError::TimedOut)));
    tokio::time::resume();
    assert!(matches!(soon(silent.read(&mut [0; 10])).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn f_72_a_taken_port_is_an_error() {
    let listener = Listener::bind(0).await.unwrap();
    assert_eq!(Listener::bind(port(&listener)).await.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}
