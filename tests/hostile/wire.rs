//! A hostile caller's side of a connection, and its answers taken apart.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::attack::{Attack, Outcome, Way};
use crate::dice::Dice;

/// How long an answer may keep a caller waiting; only a failure takes so long.
const PATIENCE: Duration = Duration::from_secs(40);

/// What may be refused by hyper itself, before there is a request: 400, 414 and 431, without words.
const WORDLESS: [u16; 3] = [400, 414, 431];

/// One answer.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

/// What came back, to the end of the connection.
///
/// # Errors
/// When the end does not come.
pub(crate) fn exchange(address: &str, attack: &Attack, dice: &mut Dice) -> Result<Vec<u8>, String> {
    let mut stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    // Whoever is refused early is hung up on while it still sends.
    let sent = match attack.way {
        Way::Torn => pieces(&attack.bytes, dice).try_for_each(|piece| stream.write_all(piece)),
        _ => stream.write_all(&attack.bytes),
    };
    if attack.way == Way::Abandoned {
        return Ok(Vec::new());
    }
    if attack.way != Way::Whole && sent.is_ok() {
        // Fails where the other side is gone already.
        drop(stream.shutdown(Shutdown::Write));
    }
    let mut came = Vec::new();
    let mut bytes = [0; 16 * 1024];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return Ok(came),
            Ok(count) => came.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                return Err("nothing more comes, and no end".to_owned());
            }
            Err(_) => return Ok(came),
        }
    }
}

/// `bytes` in up to 20 pieces.
fn pieces<'b>(bytes: &'b [u8], dice: &mut Dice) -> impl Iterator<Item = &'b [u8]> + use<'b> {
    let least = bytes.len() / 20 + 1;
    bytes.chunks(dice.within(least, least + 50))
}

/// What is wrong with the answers to `attack`.
pub(crate) fn judge(attack: &Attack, came: &[u8], secrets: &[String]) -> Result<(), String> {
    let text = String::from_utf8_lossy(came);
    if let Some(secret) = secrets.iter().find(|secret| text.contains(*secret)) {
        return Err(format!("{secret} is told"));
    }
    let answers = answers(came)?;
    for answer in &answers {
        let success = is_success(answer)?;
        match attack.outcome {
            Outcome::Refused if success => return Err("a success".to_owned()),
            Outcome::Status(status) if answer.status != status => {
                return Err(format!("not {status}"));
            }
            _ => {}
        }
    }
    match attack.outcome {
        Outcome::Answers(count) if answers.len() != count => {
            Err(format!("{} answers, not {count}", answers.len()))
        }
        Outcome::Status(_) if answers.len() != 1 => Err("not one answer".to_owned()),
        _ => Ok(()),
    }
}

/// Whether an answer says that something was done; and whether it is one of ours.
fn is_success(answer: &Answer) -> Result<bool, String> {
    let Answer { status, head, body } = answer;
    if *status >= 500 {
        return Err("a fault".to_owned());
    }
    if body.is_empty() && WORDLESS.contains(status) {
        return Ok(false);
    }
    for header in [
        "content-type: application/json; charset=utf-8",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
    ] {
        if !head.contains(header) {
            return Err(format!("no {header}"));
        }
    }
    let envelope: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    match (&envelope["success"], &envelope["message"]) {
        (Value::Bool(success), Value::String(message)) if *success == message.is_empty() => {
            Ok(*success)
        }
        _ => Err("not the envelope".to_owned()),
    }
}

fn answers(mut rest: &[u8]) -> Result<Vec<Answer>, String> {
    let mut answers = Vec::new();
    while !rest.is_empty() {
        let end = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let end = end.ok_or("a head without end")?;
        let head = String::from_utf8(rest[..end].to_vec()).map_err(|_| "a head that is no text")?;
        let head = head.to_ascii_lowercase();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status = status.filter(|_| head.starts_with("http/1."));
        let status = status.ok_or("no status")?;
        rest = &rest[end + 4..];
        if status == 100 {
            continue;
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(Some(0), |length| length.parse().ok());
        let body = length.and_then(|length| rest.split_at_checked(length));
        let (body, more) = body.ok_or("a body that is cut")?;
        rest = more;
        answers.push(Answer {
            status,
            head,
            body: body.to_vec(),
        });
    }
    Ok(answers)
}
