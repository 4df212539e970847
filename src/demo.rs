//! The tour: the whole main job in a few seconds, against players bundled with the program.
//!
//! `keyfresh demo` runs the same code as `serve` and `once` (`Parts`, store, slots, links, couriers) on a
//! folder of its own; provider, gateway file and PushPlus are played on loopback. Each act is watched
//! from outside and fails if what it shows did not happen. No configuration is read and nothing stays
//! behind. The tests use the players ([`authority`], [`sink`]) as well.

pub mod authority;
mod narrator;
mod screen;
mod script;
pub mod sink;
mod stage;
mod victim;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use rusqlite::{Connection, OpenFlags};
use secrecy::ExposeSecret as _;
use tokio::signal::unix::{SignalKind, signal};

use self::authority::{Fault, Ruling};
use self::narrator::Narrator;
use self::screen::Screen;
use self::script::Script;
use self::stage::{Crew, Stage};
use self::victim::Victim;
use crate::credential::Phase;
use crate::refresh::Pick;
use crate::store::Store;

/// How long the answer to the process that is killed takes on top: time to take its database's lock.
const SLOW: Duration = Duration::from_millis(1500);

/// Shows the job; or, in the process that is to be killed, makes one pass in the folder `child`.
///
/// # Errors
/// When a step did not happen as told.
pub async fn run(child: Option<&Path>) -> Result<bool> {
    if let Some(dir) = child {
        stage::understudy(dir).await?;
        return Ok(true);
    }
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = tour() => done?,
        // Dropping the tour removes its folder.
        _ = terminate.recv() => bail!("terminated"),
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
    Ok(true)
}

async fn tour() -> Result<()> {
    let mut screen = Screen::new();
    let stage = Stage::set().await?;
    prologue(&stage, &mut screen)?;
    let watch = stage.clock.stopwatch();
    let script = Script::new(&stage)?;
    let crew = stage.crew().await?;
    first_refresh(&stage, &crew, &mut screen).await?;
    script.run(&stage).await?;
    rotation(&stage, &crew, &mut screen).await?;
    script_breaks(&stage, &script, &mut screen).await?;
    lost_answer(&stage, &crew, &mut screen).await?;
    drop(crew);
    kill(&stage, &mut screen).await?;
    recovery(&stage, &mut screen).await?;
    ensure!(stage.authority.alive(0), "the login did not survive");
    epilogue(&stage, watch.elapsed(), &mut screen)?;
    Ok(stage.strike()?)
}

fn prologue(stage: &Stage, screen: &mut Screen) -> Result<()> {
    screen.say(
        "keyfresh demo: the real job; provider, gateway and PushPlus are played on 127.0.0.1.",
    )?;
    screen.say("完整流程演示：程序是真的，授权服务器、网关数据库和推送加由本机扮演。")?;
    screen.say("")?;
    screen.say(&format!(
        "  folder    {} (removed at the end; your configuration is not read)",
        stage.path().display()
    ))?;
    screen.say(&format!(
        "  provider  {} (a refresh token works once; reuse revokes its login)",
        stage.authority.url()
    ))?;
    screen.say(
        "  gateway   new-api.db, recognised as New API; it has disabled its channel 1 (status 3)",
    )?;
    screen.say(
        "  schedule  0 5 * * 1 in Asia/Shanghai: Mondays at 05:00; the demo turns its own clock",
    )?;
    Ok(())
}

async fn first_refresh(stage: &Stage, crew: &Crew, screen: &mut Screen) -> Result<()> {
    screen.act("A refresh", "刷新一次").await?;
    let mut narrator = Narrator::new(stage, crew.parts.store.clone(), screen).await?;
    narrator.due("a new login is due at once")?;
    let show = async {
        let how = "one POST; the provider spends the old token and issues new ones";
        whole(&mut narrator, Ruling::Granted, how).await
    };
    let ((), (title, body)) = tokio::try_join!(pass(crew), show)?;
    narrator.sent(1)?;
    crew.translate().await?;
    let english = narrator.translation()?;
    screen.notice(&title, &body)?;
    Ok(screen.notice(&english.0, &english.1)?)
}

async fn rotation(stage: &Stage, crew: &Crew, screen: &mut Screen) -> Result<()> {
    screen
        .act(
            "The next Monday: the rotated token is used",
            "下一个周一：使用轮换后的 refresh token",
        )
        .await?;
    let why = next_monday(stage, &crew.parts.store).await?;
    let mut narrator = Narrator::new(stage, crew.parts.store.clone(), screen).await?;
    narrator.due(&why)?;
    refresh(
        crew,
        &mut narrator,
        Ruling::Granted,
        "the token of act 1 is accepted; it is spent now",
    )
    .await
}

async fn script_breaks(stage: &Stage, script: &Script, screen: &mut Screen) -> Result<()> {
    screen
        .act(
            "The same Monday, the shell script",
            "同一个周一，原来的 shell 脚本",
        )
        .await?;
    let watch = stage.clock.stopwatch();
    let key = script.run(stage).await?;
    let key = key.expose_secret();
    ensure!(
        key == "null" && !stage.authority.alive(1),
        "the script went on working"
    );
    screen.step(
        watch.elapsed(),
        "reuse",
        "it sends last week's refresh token again: invalid_grant, its login is revoked",
    )?;
    Ok(screen.step(
        watch.elapsed(),
        "channel",
        &format!("2: key = \"{key}\", written over a good one; nobody is told"),
    )?)
}

async fn lost_answer(stage: &Stage, crew: &Crew, screen: &mut Screen) -> Result<()> {
    screen
        .act("An answer is lost on the way", "应答在途中丢失")
        .await?;
    let why = next_monday(stage, &crew.parts.store).await?;
    stage.authority.fault(&Fault::Cut { handled: true }, 1);
    let mut narrator = Narrator::new(stage, crew.parts.store.clone(), screen).await?;
    narrator.due(&why)?;
    let show = async {
        narrator.claim().await?;
        narrator
            .exchange(
                Ruling::Granted,
                "the provider rotates, then the connection is cut",
            )
            .await?;
        narrator.unconfirmed().await?;
        narrator.goes_on();
        let how = "the same token once more: within its grace of 10 minutes it is honoured";
        whole(&mut narrator, Ruling::Graced, how).await
    };
    tokio::try_join!(pass(crew), show)?;
    narrator.sent(1)?;
    crew.translate().await
}

async fn kill(stage: &Stage, screen: &mut Screen) -> Result<()> {
    screen
        .act("A kill at the worst moment", "在最坏的时刻被 kill -9")
        .await?;
    let store = Store::open(&stage.config.state_dir)?;
    let why = next_monday(stage, &store).await?;
    fs::write(stage.path().join("clock"), stage.clock.now().to_rfc3339())?;
    stage.authority.fault(&Fault::Slow(SLOW), 1);
    let mut narrator = Narrator::new(stage, store, screen).await?;
    narrator.due(&why)?;
    let victim = Victim::start(stage.path())?;
    narrator.intervene("process", &format!("{} makes the pass", victim.pid()))?;
    narrator.claim().await?;
    // While another connection may write, the settling of that process has to wait.
    let database = stage.config.state_dir.join("state.db");
    let lock = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    lock.execute_batch("BEGIN IMMEDIATE")?;
    narrator.intervene(
        "lock",
        "the demo holds state.db: settling will have to wait",
    )?;
    narrator
        .exchange(
            Ruling::Granted,
            "the provider spends the old token; its answer is slow",
        )
        .await?;
    narrator.answer().await?;
    victim.kill()?;
    drop(lock);
    narrator.intervene("SIGKILL", "the process dies before it could settle")?;
    let row = narrator.row().await?;
    ensure!(
        matches!(row.phase, Phase::Exchanging { .. }),
        "the kill came too late"
    );
    narrator
        .screen
        .remark("The old refresh token is spent; the new one exists in slot 00 alone.")?;
    Ok(())
}

async fn recovery(stage: &Stage, screen: &mut Screen) -> Result<()> {
    screen
        .act("The next start finds the answer", "下次启动时找回应答")
        .await?;
    let crew = stage.crew().await?;
    let mut narrator = Narrator::new(stage, crew.parts.store.clone(), screen).await?;
    narrator.intervene("start", "the state says: attempt in flight, slot 00")?;
    let show = async {
        narrator.settle().await?;
        narrator.deliver().await?;
        narrator.notice().await
    };
    tokio::try_join!(pass(&crew), show)?;
    narrator.sent(0)?;
    Ok(screen.remark("Nothing was sent again and nothing was lost.")?)
}

fn epilogue(stage: &Stage, took: Duration, screen: &mut Screen) -> Result<()> {
    let requests = stage.authority.requests().len();
    let notices = stage.sink.received().len();
    screen.say(&format!(
        "\nDone in {:.1} s: {requests} requests to the provider, {notices} notices.",
        took.as_secs_f64()
    ))?;
    screen.say("What now · 接下来：")?;
    screen.say(
        "  keyfresh init     makes configuration, secrets and state · 生成配置、密钥和状态目录",
    )?;
    screen.say("  keyfresh check    says what is still missing · 检查还缺什么")?;
    screen.say("  keyfresh serve    runs for good; under systemd see README.md · 常驻运行，systemd 见 README.md")?;
    Ok(())
}

/// One pass of the job, as `keyfresh once` makes it.
async fn pass(crew: &Crew) -> Result<()> {
    crew.parts.once(&Pick::default()).await?;
    Ok(())
}

/// A pass that ends with a new key in the channel.
async fn refresh(
    crew: &Crew,
    narrator: &mut Narrator<'_>,
    ruling: Ruling,
    how: &str,
) -> Result<()> {
    tokio::try_join!(pass(crew), whole(narrator, ruling, how))?;
    narrator.sent(1)?;
    crew.translate().await
}

/// An exchange from its claim to its notice, whose title and body it returns.
async fn whole(narrator: &mut Narrator<'_>, ruling: Ruling, how: &str) -> Result<(String, String)> {
    narrator.claim().await?;
    narrator.exchange(ruling, how).await?;
    narrator.answer().await?;
    narrator.settle().await?;
    narrator.deliver().await?;
    narrator.notice().await
}

/// Turns the clock to when the credential is due; says when that is.
async fn next_monday(stage: &Stage, store: &Store) -> Result<String> {
    let rows = store.read(crate::store::credential::all).await?;
    let due_at = rows.iter().map(|row| row.due_at).min().unwrap_or_default();
    ensure!(due_at > stage.clock.now(), "the credential is due already");
    stage.clock.set(due_at);
    Ok(format!("{} in Shanghai", stage.local(due_at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_act_that_went_otherwise_fails() {
        let stage = Stage::set().await.unwrap();
        let crew = stage.crew().await.unwrap();
        stage
            .authority
            .fault(&Fault::Error(400, "invalid_grant"), 1);
        let act = first_refresh(&stage, &crew, &mut Screen::new()).await;
        assert_eq!(act.unwrap_err().to_string(), "the provider ruled Untouched");
    }
}
