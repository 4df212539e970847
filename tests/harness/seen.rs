//! That the library misses nothing: its list of calls is compared with strace's, call by call.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::process::Command;

use crate::rig::Rig;
use crate::support::installation::PROGRAM;

/// What strace is asked for; the library has its own names for none of them.
const NAMES: &str = "write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,sendmmsg,sendfile,splice,\
    read,pread64,readv,preadv,preadv2,recvfrom,recvmsg,recvmmsg,copy_file_range,\
    connect,open,openat,openat2,creat,fsync,fdatasync,sync_file_range,sync,syncfs,\
    ftruncate,truncate,fallocate,rename,renameat,renameat2,unlink,unlinkat,link,linkat,mkdir,mkdirat,close";

/// How often each call was made on what.
type Counts = BTreeMap<(String, String), usize>;

/// The calls of one `once` with a credential due, as strace sees them and as the library does.
pub(crate) fn both(rig: &mut Rig) -> (Counts, Counts) {
    let trace = rig.installation.path("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "0", "-e", &format!("trace={NAMES}"), "-o"]);
    strace.arg(&trace);
    let calls = rig.once_under(strace, PROGRAM);
    let folder = rig.installation.path("");
    let folder = folder.to_str().unwrap().trim_end_matches('/');
    let text = fs::read_to_string(&trace).unwrap();
    let (_, counted) = text.split_once("slots/63").unwrap();
    let (_, counted) = counted.split_once('\n').unwrap();
    let mut seen = Counts::new();
    let mut made = HashMap::new();
    for line in counted.lines() {
        let line = line.trim_end_matches(" <unfinished ...>");
        if let Some(call) = traced(line, folder, &mut made) {
            *seen.entry(call).or_default() += 1;
        }
    }
    let mut listed = Counts::new();
    for call in calls {
        let target = call.target.trim_end_matches('/').to_owned();
        *listed.entry((call.name, target)).or_default() += 1;
    }
    (seen, listed)
}

/// The call that a line of strace tells of, if it is of the kind that the library counts; `made` are the
/// sockets that the program connected.
fn traced(
    line: &str,
    folder: &str,
    made: &mut HashMap<String, String>,
) -> Option<(String, String)> {
    let (_, call) = line.split_once(' ')?;
    let (name, arguments) = call.trim_start().split_once('(')?;
    let descriptor = arguments.split([',', ')']).next()?;
    let target = if name == "connect" {
        let (_, port) = arguments.split_once("sin_port=htons(")?;
        let port = format!("port {}", port.split(')').next()?);
        made.insert(descriptor.to_owned(), port.clone());
        port
    } else if let Some((_, path)) = arguments.split_once('"').filter(|_| takes_a_path(name)) {
        below(path.split('"').next()?, folder)?
    } else if let Some(port) = made.get(descriptor).cloned() {
        if name == "close" {
            made.remove(descriptor);
            return None;
        }
        port
    } else {
        let (number, path) = descriptor.split_once('<')?;
        // The standard streams are left out.
        if ["0", "1", "2"].contains(&number) {
            return None;
        }
        below(path.trim_end_matches('>'), folder)?
    };
    Some((name.to_owned(), target))
}

fn takes_a_path(name: &str) -> bool {
    [
        "open", "rename", "unlink", "mkdir", "creat", "link", "truncate",
    ]
    .iter()
    .any(|start| name.starts_with(start))
}

fn below(path: &str, folder: &str) -> Option<String> {
    let inside = path.strip_prefix(folder)?;
    Some(inside.trim_start_matches('/').to_owned())
}
