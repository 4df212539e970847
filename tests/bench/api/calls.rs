//! Every call that counts, at 1, 16 and 256 connections, in turns with a server that does nothing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::Effort;
use crate::bare::{Bare, Record};
use crate::gateway::{self, Layout};
use crate::load::{self, Call, Crowd, Request, Sample};
use crate::process::processor_times;
use crate::support::daemon::Daemon;
use crate::support::installation::Installation;
use crate::table::{Table, Target};

const CONNECTIONS: [usize; 3] = [1, 16, 256];

/// Tokens that are asked for one by one.
const TARGETS: usize = 64;

/// Lists that are asked for after a commit each.
const RECOUNTS: usize = 25;

/// What is asked of a server, and where.
pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) pid: u32,
}

/// What one server came to.
pub(crate) struct Measured {
    pub(crate) sample: Sample,
    /// Processor time in nanoseconds.
    spent: u64,
}

/// All rates and latencies, ours beside the bare server's.
#[derive(Default)]
pub(crate) struct Speeds(Vec<String>);

pub(crate) fn measure(
    world: &Installation,
    daemon: &Daemon,
    effort: Effort,
    table: &mut Table,
) -> Speeds {
    let runtime = load::thread();
    let ours = Server {
        address: gateway::address(daemon),
        pid: daemon.pid(),
    };
    let calls = calls(&gateway::own_ids(&world.gateway, TARGETS));
    let record = runtime.block_on(record(&calls, &ours.address));
    let folder = world.path("answers");
    let (bare, plain) = (
        Bare::answers(&record, &folder),
        Bare::answers_plainly(&folder),
    );
    let [idle, plain] = [&bare, &plain].map(|server| Server {
        address: server.address.clone(),
        pid: server.pid(),
    });
    let mut speeds = Speeds::default();
    for call in calls.map(Arc::new) {
        if !effort.covers(call.name) {
            continue;
        }
        for size in CONNECTIONS {
            let mut both = contest(&runtime, &call, size, [&ours, &idle], effort);
            let [ours, bare] = &mut both;
            let share = ours.sample.rate() / bare.sample.rate();
            let what = format!("{}, {size} connections", call.name);
            if ["get", "list of 20"].contains(&call.name) {
                let what = format!("{what}, against bare");
                table.line(what, share, Target::Least(0.6), "x bare");
            }
            if call.name == "get" && size == 16 {
                let rival = contest(&runtime, &call, size, [&plain, &idle], effort);
                let [plain, manners] = rival.map(|one| one.sample.rate());
                let what = format!("{what}, a plain axum::serve against bare");
                table.line(what, plain / manners, Target::Shown, "x bare");
            }
            if call.name == "get" && size == 256 {
                let late = ours.sample.within(99);
                table.line(format!("{what}, p99"), late, Target::Most(25.0), "ms");
            }
            speeds.add(&what, ours, bare);
        }
    }
    let recount = recount(&runtime, &ours.address);
    let what = "list of 20 right after a commit, its total counted anew";
    table.line(what, recount, Target::Shown, "ms");
    speeds
}

/// The median time in milliseconds of a list when somebody has just created a token.
fn recount(runtime: &Runtime, address: &str) -> f64 {
    let [list, create] = [Arc::new(list()), Arc::new(create())];
    let (mut lists, mut creates) = (Sample::default(), Sample::default());
    runtime.block_on(async {
        let mut client = Crowd::connect(address, 1, Layout::NEW_API.authorization).await;
        for _ in 0..RECOUNTS {
            client.drive(&create, Duration::ZERO, &mut creates).await;
            client.drive(&list, Duration::ZERO, &mut lists).await;
        }
    });
    lists.within(50)
}

/// The calls on the tokens with `ids`.
fn calls(ids: &[i64]) -> [Call; 5] {
    let own: Vec<i64> = ids.to_vec();
    let rename = own.clone();
    [
        Call::new("list of 20", 1, |_| Request::get("/api/token/?p=1&size=20")),
        Call::new("get", own.len(), move |number| {
            Request::get(format!("/api/token/{}", own[number]))
        }),
        Call::new("search", 1, |_| {
            Request::get("/api/token/search?keyword=runner%2077&token=")
        }),
        Call::new("update", usize::MAX, move |number| Request {
            method: "PUT",
            path: "/api/token/".to_owned(),
            body: format!(
                r#"{{"id":{},"name":"renamed {number}"}}"#,
                rename[number % rename.len()]
            ),
        }),
        create(),
    ]
}

fn list() -> Call {
    Call::new("list of 20", 1, |_| Request::get("/api/token/?p=1&size=20"))
}

/// Creating a token.
pub(crate) fn create() -> Call {
    Call::new("create", usize::MAX, |number| Request {
        method: "POST",
        path: "/api/token/".to_owned(),
        body: format!(
            r#"{{"name":"made {number}","expired_time":-1,"remain_quota":500000,"unlimited_quota":false}}"#
        ),
    })
}

/// What the server at `address` answers to each request, one of those that are without number.
async fn record(calls: &[Call], address: &str) -> Record {
    let mut client = Crowd::connect(address, 1, Layout::NEW_API.authorization).await;
    let mut record = Record::default();
    for call in calls {
        for number in 0..call.requests.min(TARGETS) {
            let request = (call.request)(number);
            let answer = client.answer(&request).await;
            record.add(&request, &answer);
            if call.requests == usize::MAX {
                break;
            }
        }
    }
    record
}

/// Both servers, turn by turn, so that noise hits both.
pub(crate) fn contest(
    runtime: &Runtime,
    call: &Arc<Call>,
    size: usize,
    servers: [&Server; 2],
    effort: Effort,
) -> [Measured; 2] {
    let mut measured = [(); 2].map(|()| Measured {
        sample: Sample::default(),
        spent: 0,
    });
    runtime.block_on(async {
        let mut crowds = Vec::new();
        for server in servers {
            let authorization = Layout::NEW_API.authorization;
            let mut crowd = Crowd::connect(&server.address, size, authorization).await;
            let mut warm_up = Sample::default();
            crowd.drive(call, effort.span / 10, &mut warm_up).await;
            crowds.push(crowd);
        }
        for _ in 0..effort.rounds {
            for ((crowd, server), measured) in crowds.iter_mut().zip(servers).zip(&mut measured) {
                let before = processor_times(server.pid);
                crowd.drive(call, effort.span, &mut measured.sample).await;
                let spent = processor_times(server.pid)
                    .into_iter()
                    .map(|(thread, time)| time - before.get(&thread).unwrap_or(&0));
                measured.spent += spent.sum::<u64>();
            }
        }
    });
    measured
}

impl Measured {
    /// Microseconds of processor time for each request.
    #[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
    fn processor(&self) -> f64 {
        self.spent as f64 / 1000.0 / self.sample.answered() as f64
    }
}

impl Speeds {
    fn add(&mut self, what: &str, ours: &mut Measured, bare: &mut Measured) {
        let columns = |one: &mut Measured| {
            format!(
                "{:>9.0} {:>8.2} {:>8.2} {:>8.1}",
                one.sample.rate(),
                one.sample.within(50),
                one.sample.within(99),
                one.processor()
            )
        };
        let (ours, bare) = (columns(ours), columns(bare));
        let line = format!("{what:<32} {ours} | {bare}");
        println!("{line}");
        self.0.push(line);
    }
}

impl fmt::Display for Speeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = format!(
            "{:>9} {:>8} {:>8} {:>8}",
            "per s", "p50 ms", "p99 ms", "CPU µs"
        );
        writeln!(f, "{:<32} {columns} | bare: the same", "")?;
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
