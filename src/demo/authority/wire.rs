//! As much HTTP/1.1 as the server needs: one request read, one reply written, then the line is closed.
//!
//! Written by hand because most of its replies are ones that a real HTTP server refuses to send.

use std::io;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

/// The most that a request may be of.
const LIMIT: usize = 64 * 1024;

/// A request as it was asked.
pub(super) struct Asked {
    line: String,
    json: bool,
    body: Zeroizing<Vec<u8>>,
}

/// Reads one whole request.
pub(super) async fn read(stream: &mut TcpStream) -> io::Result<Asked> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(LIMIT));
    loop {
        if let Some(asked) = parse(&bytes)? {
            return Ok(asked);
        }
        if bytes.len() >= LIMIT || stream.read_buf(&mut *bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The request, once it is whole.
fn parse(bytes: &[u8]) -> io::Result<Option<Asked>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(io::Error::other)?;
    let body = &bytes[end + 4..];
    let (line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let header = |wanted: &str| {
        headers
            .lines()
            .filter_map(|header| header.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map_or("", |(_, value)| value.trim())
    };
    let length = header("content-length").parse().unwrap_or(0);
    Ok(body.get(..length).map(|body| Asked {
        line: line.to_owned(),
        json: header("content-type").starts_with("application/json"),
        body: body.to_vec().into(),
    }))
}

impl Asked {
    /// The refresh token that is to be exchanged, or what to reply where there is none.
    pub(super) fn refresh_token(&self, path: &str) -> Result<Zeroizing<String>, Reply> {
        let mut words = self.line.split(' ');
        if words.next() != Some("POST") {
            return Err(Reply::empty(405));
        }
        if words.next().and_then(|target| target.split('?').next()) != Some(path) {
            return Err(Reply::empty(404));
        }
        let invalid = || Reply::error(400, "invalid_request");
        let parameter = |name| self.parameter(name).ok_or_else(invalid);
        if *parameter("grant_type")? != "refresh_token" {
            return Err(Reply::error(400, "unsupported_grant_type"));
        }
        parameter("refresh_token")
    }

    fn parameter(&self, name: &str) -> Option<Zeroizing<String>> {
        if self.json {
            let object: Value = serde_json::from_slice(&self.body).ok()?;
            return Some(object.get(name)?.as_str()?.to_owned().into());
        }
        url::form_urlencoded::parse(&self.body)
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned().into())
    }
}

/// A reply before it is written.
pub(super) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Zeroizing<String>,
}

impl Reply {
    pub(super) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Zeroizing::default(),
        }
    }

    pub(super) fn html(page: &str) -> Self {
        let mut reply = Self::empty(200).with("Content-Type", Some("text/html"));
        page.clone_into(&mut reply.body);
        reply
    }

    pub(super) fn json(status: u16, value: &Value) -> Self {
        let mut reply = Self::empty(status)
            .with("Content-Type", Some("application/json"))
            .with("Cache-Control", Some("no-store"));
        reply.body = value.to_string().into();
        reply
    }

    pub(super) fn error(status: u16, code: &str) -> Self {
        Self::json(status, &serde_json::json!({ "error": code }))
    }

    pub(super) fn with(mut self, name: &'static str, value: Option<&str>) -> Self {
        self.headers
            .extend(value.map(|value| (name, value.to_owned())));
        self
    }

    pub(super) fn without(self, member: &str) -> Self {
        self.changed(|object| {
            object.remove(member);
        })
    }

    /// `json` that is none is sent as a text.
    pub(super) fn with_expires_in(self, json: &str) -> Self {
        let value = serde_json::from_str(json).unwrap_or_else(|_| json.into());
        self.changed(|object| {
            object.insert("expires_in".to_owned(), value);
        })
    }

    fn changed(mut self, change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Self {
        if let Ok(Value::Object(mut object)) = serde_json::from_str(&self.body) {
            change(&mut object);
            self.body = Value::Object(object).to_string().into();
        }
        self
    }

    pub(super) async fn write(self, stream: &mut TcpStream) -> io::Result<()> {
        self.write_without(0, stream).await
    }

    /// Announces the whole body and leaves out its last `missing` bytes.
    pub(super) async fn write_without(
        self,
        missing: usize,
        stream: &mut TcpStream,
    ) -> io::Result<()> {
        let head = self.head(&format!("Content-Length: {}", self.body.len()));
        stream.write_all(head.as_bytes()).await?;
        let end = self.body.len().saturating_sub(missing);
        stream.write_all(&self.body.as_bytes()[..end]).await
    }

    pub(super) async fn trickle(self, stream: &mut TcpStream) -> io::Result<()> {
        let head = self.head("Transfer-Encoding: chunked");
        stream.set_nodelay(true)?;
        stream.write_all(head.as_bytes()).await?;
        for byte in self.body.as_bytes() {
            stream
                .write_all(&[b"1\r\n", &[*byte][..], b"\r\n"].concat())
                .await?;
        }
        stream.write_all(b"0\r\n\r\n").await
    }

    fn head(&self, framing: &str) -> String {
        let Self {
            status, headers, ..
        } = self;
        let headers: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let headers = headers.concat();
        format!("HTTP/1.1 {status} Demo\r\nConnection: close\r\n{headers}{framing}\r\n\r\n")
    }
}

/// Fifty megabytes that never become JSON.
pub(super) async fn write_huge(stream: &mut TcpStream) -> io::Result<()> {
    let head = Reply::empty(200).head("Content-Length: 50000000");
    stream.write_all(head.as_bytes()).await?;
    let padding = vec![b' '; 1_000_000];
    for _ in 0..50 {
        stream.write_all(&padding).await?;
    }
    Ok(())
}
