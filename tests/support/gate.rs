//! A relay before the token endpoint that stops the bytes of an exchange where a test wants it.

use std::io::ErrorKind::WouldBlock;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use url::Url;

use super::comes;

/// Where the next exchange is stopped until the gate is told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Nowhere.
    Nowhere,
    /// The connection stands; of what the client says first nothing is answered.
    Connecting,
    /// The request has arrived and is not passed on.
    Request,
    /// The server has answered; only so many bytes of it are passed on, or all but so many.
    Answer(Part),
}

/// A part of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Its first bytes.
    First(usize),
    /// Its first half.
    Half,
    /// All but its last bytes.
    AllBut(usize),
}

/// The relay; what it holds back is lost when it is dropped.
pub(crate) struct Gate {
    url: Url,
    stop: watch::Sender<Stop>,
    reached: watch::Sender<usize>,
    task: tokio::task::JoinHandle<()>,
}

impl Gate {
    /// A gate before `target`, in `runtime`.
    pub(crate) fn new(runtime: &Runtime, target: &Url) -> Self {
        runtime.block_on(Self::start(target))
    }

    /// A gate before `target`.
    pub(crate) async fn start(target: &Url) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut url = target.clone();
        url.set_port(Some(listener.local_addr().unwrap().port()))
            .unwrap();
        let server = format!("127.0.0.1:{}", target.port().unwrap());
        let stop = watch::Sender::new(Stop::Nowhere);
        let reached = watch::Sender::new(0);
        let (orders, arrivals) = (stop.clone(), reached.clone());
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(relay(
                    client,
                    server.clone(),
                    orders.subscribe(),
                    arrivals.clone(),
                ));
            }
        });
        Self {
            url,
            stop,
            reached,
            task,
        }
    }

    /// The address to use instead of the server's.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Stops exchanges there from now on; what was stopped elsewhere goes on.
    pub(crate) fn stop(&self, at: Stop) {
        self.stop.send_replace(at);
    }

    /// Waits until so many exchanges were stopped.
    pub(crate) async fn arrival(&self, count: usize) {
        let mut reached = self.reached.subscribe();
        let stopped = reached.wait_for(|reached| *reached >= count);
        let what = format!("exchange {count} at the gate");
        comes(&what, stopped).await.unwrap();
    }

    /// How many exchanges were stopped so far.
    pub(crate) fn reached(&self) -> usize {
        *self.reached.borrow()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One exchange. A client that was killed is no failure.
async fn relay(
    mut client: TcpStream,
    server: String,
    mut orders: watch::Receiver<Stop>,
    reached: watch::Sender<usize>,
) -> Option<()> {
    let stop = *orders.borrow_and_update();
    let arrived = || reached.send_modify(|count| *count += 1);
    let mut request = Vec::new();
    if stop == Stop::Connecting {
        client.read_buf(&mut request).await.ok()?;
        arrived();
        orders.changed().await.ok()?;
        return None;
    }
    while !is_whole(&request) {
        if client.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    if stop == Stop::Request {
        arrived();
        orders.changed().await.ok()?;
        // A request whose sender was killed meanwhile is lost.
        let is_there = client
            .try_read(&mut [0])
            .is_err_and(|error| error.kind() == WouldBlock);
        if !is_there {
            return None;
        }
    }
    let mut upstream = TcpStream::connect(server).await.ok()?;
    upstream.write_all(&request).await.ok()?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).await.ok()?;
    let mut passed = 0;
    if let Stop::Answer(part) = stop {
        passed = match part {
            Part::First(count) => count,
            Part::Half => answer.len() / 2,
            Part::AllBut(count) => answer.len() - count,
        };
        client.write_all(&answer[..passed]).await.ok()?;
        arrived();
        orders.changed().await.ok()?;
    }
    client.write_all(&answer[passed..]).await.ok()?;
    // The server's last word: the client sees the end of the connection, not a reset.
    client.shutdown().await.ok()?;
    tokio::time::timeout(Duration::from_mins(1), client.read_buf(&mut request))
        .await
        .ok()?
        .ok()?;
    Some(())
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, length)| length.trim().parse().unwrap());
    body.len() >= length
}
