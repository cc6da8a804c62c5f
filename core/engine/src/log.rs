//! Log: append interactions, durable before the caller hears of it, many callers per commit.
//!
//! A commit costs the same for one row as for a thousand. So callers put their rows into a queue and wait; one task
//! takes all that is there, appends it in one transaction and tells each caller what became of its rows. While one
//! commit runs the next group gathers. Before a group is closed, the callers that can run at this moment do run; nobody
//! waits for a timer.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::error::StoreError;
use crate::import::ImportMark;
use crate::ports::{Appended, Incoming, Log};

/// Callers that may wait at a time; more are told at once that the server is overloaded, which bounds memory and delay.
const WAITING_MAX: usize = 4096;
/// Rows that one commit takes at most, some 50 ms of work: a larger group gains little and delays its first caller.
const GROUP_ROWS_MAX: usize = 4000;

struct Ticket {
    rows: Vec<Incoming>,
    mark: Option<ImportMark>,
    reply: oneshot::Sender<Result<Vec<Appended>, StoreError>>,
}

/// The way into the log. Cheap to clone.
#[derive(Clone)]
pub struct LogWriter {
    queue: mpsc::Sender<Ticket>,
}

impl LogWriter {
    /// Starts the task that commits and calls `after_commit` each time something was stored. It ends when the last
    /// clone of the writer is dropped and the queue is empty.
    pub fn start(log: Arc<dyn Log>, after_commit: impl Fn() + Send + 'static) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(commit_groups(log, waiting, after_commit));
        Self { queue }
    }

    /// Appends `rows`, one outcome per row in order; durable when this returns.
    pub async fn append(
        &self,
        rows: Vec<Incoming>,
        mark: Option<ImportMark>,
    ) -> Result<Vec<Appended>, StoreError> {
        if rows.is_empty() && mark.is_none() {
            return Ok(Vec::new());
        }
        let (reply, outcome) = oneshot::channel();
        self.queue.try_send(Ticket { rows, mark, reply }).map_err(|_| StoreError::Unavailable {
            during: "append interactions",
            why: format!("{WAITING_MAX} callers are waiting already; try again in a moment"),
        })?;
        outcome.await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable {
                during: "append interactions",
                why: "the server is stopping".into(),
            })
        })
    }
}

async fn commit_groups(
    log: Arc<dyn Log>,
    mut waiting: mpsc::Receiver<Ticket>,
    after_commit: impl Fn() + Send + 'static,
) {
    let mut next = waiting.recv().await;
    while let Some(first) = next.take() {
        tokio::task::yield_now().await;
        let mark = first.mark;
        let mut rows = first.rows;
        let mut callers = vec![(rows.len(), first.reply)];
        while rows.len() < GROUP_ROWS_MAX && mark.is_none() {
            let Ok(mut ticket) = waiting.try_recv() else { break };
            // A mark belongs to its own rows: such a ticket begins the next group.
            if ticket.mark.is_some() {
                next = Some(ticket);
                break;
            }
            callers.push((ticket.rows.len(), ticket.reply));
            rows.append(&mut ticket.rows);
        }
        match log.append(rows, mark).await {
            Ok(outcomes) => {
                let mut outcomes = outcomes.into_iter();
                for (count, reply) in callers {
                    // A caller that went away does not mind: its rows are stored.
                    let _ = reply.send(Ok(outcomes.by_ref().take(count).collect()));
                }
                after_commit();
            }
            Err(error) => {
                tracing::error!(%error, rows = callers.iter().map(|(count, _)| count).sum::<usize>(), "append failed");
                for (_, reply) in callers {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
        if next.is_none() {
            next = waiting.recv().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regard_model::InteractionId;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[derive(Default)]
    struct SlowLog {
        commits: AtomicUsize,
        rows: AtomicUsize,
    }

    #[async_trait::async_trait]
    impl Log for SlowLog {
        async fn append(
            &self,
            batch: Vec<Incoming>,
            _: Option<ImportMark>,
        ) -> Result<Vec<Appended>, StoreError> {
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.commits.fetch_add(1, Ordering::SeqCst);
            self.rows.fetch_add(batch.len(), Ordering::SeqCst);
            Ok(batch
                .iter()
                .map(|row| Appended::Duplicate {
                    id: InteractionId::from_i64(row.external_id.parse().unwrap_or(-1)),
                })
                .collect())
        }
    }

    fn row(number: usize) -> Incoming {
        Incoming {
            channel: regard_model::ChannelId::from_i64(1),
            external_id: number.to_string(),
            customer: None,
            identifiers: Vec::new(),
            customer_name: String::new(),
            kind: "order.placed".parse().expect("a kind"),
            occurred_at: regard_model::Timestamp::default(),
            thread: None,
            amount: None,
            attributes: regard_model::Attributes::new(),
            provenance: regard_model::Provenance::Of,
            causation_id: None,
            source: "test".into(),
        }
    }

    #[tokio::test]
    async fn callers_share_commits_and_each_gets_its_own_outcomes() {
        let log = Arc::new(SlowLog::default());
        let writer = LogWriter::start(log.clone(), || {});
        let callers: Vec<_> = (0..500)
            .map(|number| {
                let writer = writer.clone();
                tokio::spawn(
                    async move { writer.append(vec![row(2 * number), row(2 * number + 1)], None).await },
                )
            })
            .collect();
        for (number, caller) in callers.into_iter().enumerate() {
            let outcomes = caller.await.expect("joins").expect("appends");
            let expected = |id: usize| Appended::Duplicate { id: InteractionId::from_i64(id as i64) };
            assert_eq!(outcomes, [expected(2 * number), expected(2 * number + 1)]);
        }
        assert_eq!(log.rows.load(Ordering::SeqCst), 1000);
        assert!(
            log.commits.load(Ordering::SeqCst) < 50,
            "500 callers took {} commits",
            log.commits.load(Ordering::SeqCst)
        );
    }
}
