//! The wake-up: one tokio-cron-scheduler job that knocks and decides nothing.
//!
//! `daemon.rs` starts and stops it. Everything the scheduler does badly is left out on purpose: zones
//! (it freezes an offset, its issue 107), overlap, missed runs, repeated jobs. A late, double or missing
//! knock harms nobody, because the loops look at the rows and the clock themselves.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

/// Every ten seconds, in UTC, with the seconds that tokio-cron-scheduler demands.
const TICK: &str = "*/10 * * * * *";

/// The wake-up could not be started or stopped.
#[derive(Debug, thiserror::Error)]
#[error("the wake-up did not start or stop; restart keyfresh")]
pub struct Error(#[from] JobSchedulerError);

/// A running wake-up; it runs until [`Ticker::stop`].
pub struct Ticker(JobScheduler);

impl std::fmt::Debug for Ticker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticker")
    }
}

/// Knocks on `wake` every ten seconds of the wall clock (half a second late at most).
///
/// The job is async and cannot panic: a panic in a synchronous one would silence it for good. When the
/// wall clock is set back, it is quiet until the old time has come again; whoever waits sleeps on
/// [`crate::clock::Clock`] besides.
///
/// # Errors
/// The scheduler refused the job.
pub async fn ticker(wake: Arc<Notify>) -> Result<Ticker, Error> {
    knocking(TICK, wake).await
}

async fn knocking(pattern: &str, wake: Arc<Notify>) -> Result<Ticker, Error> {
    let scheduler = JobScheduler::new().await?;
    let knock = Job::new_async(pattern, move |_, _| {
        let wake = Arc::clone(&wake);
        Box::pin(async move { wake.notify_one() })
    })?;
    scheduler.add(knock).await?;
    scheduler.start().await?;
    Ok(Ticker(scheduler))
}

impl Ticker {
    /// Stops knocking; returns at once, and one last knock may follow.
    ///
    /// # Errors
    /// The scheduler refused to stop.
    pub async fn stop(mut self) -> Result<(), Error> {
        Ok(self.0.shutdown().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_ticker_knocks_again_and_again_until_it_stops() {
        let wake = Arc::new(Notify::new());
        let ticker = knocking("* * * * * *", Arc::clone(&wake)).await.unwrap();
        wake.notified().await;
        wake.notified().await;
        ticker.stop().await.unwrap();
    }

    #[tokio::test]
    async fn the_schedule_is_one_the_scheduler_takes() {
        let ticker = ticker(Arc::new(Notify::new())).await.unwrap();
        ticker.stop().await.unwrap();
    }
}
