//! HTTP/1.1 by hand: requests leave exactly as they are written, also those that no client would send.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// A caller that keeps its connection as long as the server does.
pub(crate) struct Wire {
    address: String,
    stream: Option<BufReader<TcpStream>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    /// The first header called `name`, in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }
}

impl Wire {
    pub(crate) fn new(address: String) -> Self {
        Self {
            address,
            stream: None,
        }
    }

    /// Sends `request`, head and body, and reads one reply.
    pub(crate) fn exchange(&mut self, request: &str) -> Reply {
        let mut stream = self.stream.take().unwrap_or_else(|| {
            let stream = TcpStream::connect(&self.address).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_mins(1)))
                .unwrap();
            stream.set_nodelay(true).unwrap();
            BufReader::new(stream)
        });
        stream.get_mut().write_all(request.as_bytes()).unwrap();
        let reply = reply(&mut stream, request.starts_with("HEAD "));
        if reply.header("connection") != Some("close") {
            self.stream = Some(stream);
        }
        reply
    }
}

fn reply(stream: &mut BufReader<TcpStream>, bodiless: bool) -> Reply {
    let status = line(stream);
    let status = status.split(' ').nth(1).unwrap().parse().unwrap();
    let mut headers = Vec::new();
    loop {
        let header = line(stream);
        let Some((name, value)) = header.split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut reply = Reply {
        status,
        headers,
        body: String::new(),
    };
    assert_eq!(reply.header("transfer-encoding"), None);
    let length = reply.header("content-length").filter(|_| !bodiless);
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    reply.body = String::from_utf8(body).unwrap();
    reply
}

fn line(stream: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}
