//! Which failures prove that a request never left, by experiment: our door and reqwest are put
//! through the same ones. Reqwest's `is_connect` turns out to be such a proof, its other errors not.

use keyfresh::exchange::Sent;
use tokio::net::{TcpSocket, TcpStream};

use crate::peer::{Certificate, Peer};
use crate::{BODY, IMPATIENCE, OK, PATIENCE, PATIENCE_LOST, exchange, written};

#[expect(
    clippy::disallowed_methods,
    reason = "reqwest itself is under test here"
)]
async fn reqwest_fails(url: &str, proxy: Option<&str>) -> reqwest::Error {
    let mut client = reqwest::Client::builder()
        .tls_backend_preconfigured(keyfresh::tls::client().unwrap())
        .connect_timeout(IMPATIENCE)
        .no_proxy();
    if let Some(proxy) = proxy {
        client = client.proxy(reqwest::Proxy::all(proxy).unwrap());
    }
    let post = client.build().unwrap().post(url).body("rt-secret");
    match post.send().await {
        Ok(answer) => answer.bytes().await.unwrap_err(),
        Err(error) => error,
    }
}

/// Our door proves that nothing left, and reqwest's `is_connect` says the same.
#[track_caller]
fn proves_never_sent(url: &str, proxy: Option<&str>) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let (sent, kept) = exchange(url, proxy, IMPATIENCE).await;
        assert!(matches!(sent, Sent::Never(_)), "{place}: {sent:?}");
        assert!(kept.states.is_empty(), "{place}");
        let error = reqwest_fails(url, proxy).await;
        assert!(error.is_connect(), "{place}: {error:?}");
    }
}

#[tokio::test]
async fn no_connection_proves_never_sent() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = closed.local_addr().unwrap();
    drop(closed);
    proves_never_sent(&format!("http://{nobody}/t?q=secret"), None).await;
    proves_never_sent("http://nowhere.invalid/t?q=secret", None).await;
    for scheme in ["http", "https", "socks5", "socks5h"] {
        let proxy = format!("{scheme}://u:p-secret@{nobody}");
        proves_never_sent("https://127.0.0.1/t", Some(&proxy)).await;
        let proxy = format!("{scheme}://u:p-secret@nowhere.invalid");
        proves_never_sent("https://127.0.0.1/t", Some(&proxy)).await;
    }
}

#[tokio::test]
async fn a_time_out_while_connecting_proves_never_sent() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(connected) = tokio::time::timeout(IMPATIENCE, TcpStream::connect(address)).await {
        waiting.push(connected.unwrap());
    }
    proves_never_sent(&format!("http://{address}/t"), None).await;
}

#[tokio::test]
async fn a_failed_tls_handshake_proves_never_sent() {
    let stranger = Peer::tls(&Certificate::new(), |mut line| async move {
        line.request().await;
    })
    .await;
    proves_never_sent(&stranger.url("https"), None).await;
    let silent = Peer::start(|mut line| async move { line.linger().await }).await;
    proves_never_sent(&silent.url("https"), None).await;
    let plain = Peer::start(|mut line| async move { line.say("220 mail ready\r\n").await }).await;
    proves_never_sent(&plain.url("https"), None).await;
    let closing = Peer::start(|line| async move { drop(line) }).await;
    proves_never_sent(&closing.url("https"), None).await;
    for peer in [stranger, silent, plain, closing] {
        assert!(peer.requests().is_empty());
    }
}

#[tokio::test]
async fn a_proxy_that_does_not_connect_proves_never_sent() {
    let target = Peer::start(|mut line| async move { line.linger().await }).await;
    for refusal in [
        "HTTP/1.1 403 No\r\n\r\n",
        "HTTP/1.1 407 Who\r\n\r\n",
        "\x05\x02",
        "garbage\r\n\r\n",
        "",
    ] {
        let proxy = Peer::start(move |mut line| async move {
            line.some().await;
            line.say(refusal).await;
        })
        .await;
        for scheme in ["http", "socks5h"] {
            let proxy = format!("{scheme}://{}", proxy.address);
            proves_never_sent(&target.url("https"), Some(&proxy)).await;
        }
    }
    let silent = Peer::start(|mut line| async move { line.linger().await }).await;
    for scheme in ["http", "https", "socks5", "socks5h"] {
        let proxy = format!("{scheme}://{}", silent.address);
        proves_never_sent(&target.url("https"), Some(&proxy)).await;
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn after_the_send_nothing_proves_never_sent() {
    let cut = Peer::start(|mut line| async move { drop(line.request().await) }).await;
    let (sent, _) = exchange(&cut.url("http"), None, PATIENCE).await;
    assert!(matches!(sent, Sent::Silence(_)), "{sent:?}");
    assert!(!reqwest_fails(&cut.url("http"), None).await.is_connect());
    let short = Peer::start(|mut line| async move {
        line.request().await;
        line.say(&format!("{OK}content-length: 100\r\n\r\n{BODY}"))
            .await;
    })
    .await;
    assert!(!reqwest_fails(&short.url("http"), None).await.is_connect());

    let partial_head = written("HTTP/1.1 200 OK\r\ncontent-le").await;
    assert!(matches!(partial_head.0, Sent::Silence(_)));
    assert_eq!(partial_head.1.bytes(), b"HTTP/1.1 200 OK\r\ncontent-le");
    assert!(matches!(
        written("not http\r\n\r\n").await.0,
        Sent::Silence(_)
    ));

    let held = Peer::start(|mut line| async move {
        line.request().await;
        line.linger().await;
    })
    .await;
    let (sent, _) = exchange(&held.url("http"), None, PATIENCE_LOST).await;
    assert!(matches!(sent, Sent::Silence(_)), "{sent:?}");
}
