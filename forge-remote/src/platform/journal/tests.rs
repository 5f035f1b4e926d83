//! Kept calls are bounded in number and in bytes, and their growth is announced.

#![allow(clippy::unwrap_used)]

use super::*;

fn sent(trace_id: &str, body: usize) -> Sent {
    Sent {
        handler: "tick-trigger".to_owned(),
        key: "tick-trigger".to_owned(),
        module_type: "scheduledTrigger",
        method: "POST",
        path: "/tick".to_owned(),
        event: None,
        tokens: Vec::new(),
        origin: Origin::Schedule,
        changes: CallChanges::default(),
        retry: None,
        trace_id: trace_id.to_owned(),
        headers: Vec::new(),
        claims: Value::Null,
        body: vec![b'x'; body],
    }
}

fn line(text: usize) -> LogLine {
    LogLine {
        after: Duration::ZERO,
        level: tracing::Level::INFO,
        target: "app".to_owned(),
        message: "a line".to_owned(),
        fields: vec![("text", "é".repeat(text / 2))],
    }
}

fn kept(journal: &Journal) -> usize {
    journal.state().bytes
}

#[test]
fn long_lines_are_cut_and_many_are_left_out() {
    let journal = Journal::default();
    let id = journal.begin(sent("one", 0));
    for _ in 0..MAX_LINES {
        journal.add_line("one", |_| line(100_000));
    }
    let record = journal.find(id).unwrap();
    let longest = record.log.iter().map(LogLine::size).max().unwrap();
    assert!(longest <= MAX_TEXT + 200, "{longest}");
    assert!(record.log[0].fields[0].1.ends_with('…'));
    // The limit in bytes is reached first.
    assert!(record.log.len() < 300, "{}", record.log.len());
    assert_eq!(record.log.len() + record.left_out, MAX_LINES);
    let most = MAX_LOG_BYTES + MAX_TEXT + 1000;
    assert!((MAX_LOG_BYTES..most).contains(&kept(&journal)));
    // Of short lines, the limit in lines is.
    let id = journal.begin(sent("two", 0));
    for _ in 0..MAX_LINES + 7 {
        journal.add_line("two", |_| line(10));
    }
    let record = journal.find(id).unwrap();
    assert_eq!((record.log.len(), record.left_out), (MAX_LINES, 7));
}

#[test]
fn calls_with_long_logs_displace_the_oldest() {
    let journal = Journal::default();
    let ids: Vec<u64> = (0..40)
        .map(|number| {
            let trace_id = number.to_string();
            let id = journal.begin(sent(&trace_id, 0));
            for _ in 0..MAX_LINES {
                journal.add_line(&trace_id, |_| line(20_000));
            }
            assert!(kept(&journal) <= MAX_BYTES);
            id
        })
        .collect();
    let kept = journal.calls(|record| record.id);
    assert!((10..20).contains(&kept.len()), "{kept:?}");
    assert_eq!(kept, ids[ids.len() - kept.len()..]);
}

#[test]
fn bodies_headers_and_claims_count() {
    for (name, large) in [
        ("body", sent("", 10_000)),
        (
            "headers",
            Sent {
                headers: vec![("name".to_owned(), "x".repeat(10_000))],
                ..sent("", 0)
            },
        ),
        (
            "claims",
            Sent {
                claims: "x".repeat(10_000).into(),
                ..sent("", 0)
            },
        ),
        (
            "changes",
            Sent {
                changes: CallChanges {
                    query: Some("x".repeat(10_000)),
                    ..CallChanges::default()
                },
                ..sent("", 0)
            },
        ),
    ] {
        let journal = Journal::default();
        journal.begin(large);
        assert!(kept(&journal) > 10_000, "{name}");
    }
    // The newest call is kept, however large it is.
    let journal = Journal::default();
    journal.begin(sent("", 1));
    let id = journal.begin(sent("", MAX_BYTES + 1));
    assert_eq!(journal.calls(|record| record.id), [id]);
}

fn outgoing() -> OutgoingCall {
    OutgoingCall {
        ended_after: Duration::ZERO,
        elapsed: Duration::ZERO,
        api: "jira".to_owned(),
        method: "GET".to_owned(),
        path: "/rest/api/3/myself".to_owned(),
        status: Some(200),
    }
}

#[test]
fn a_log_that_grows_is_announced_once_in_a_while() {
    let (journal, mut changes, first, second) = loop {
        let (journal, begun) = (Journal::default(), Instant::now());
        let changes = journal.subscribe();
        let first = journal.begin(sent("first", 0));
        journal.add_line("first", |_| line(10));
        journal.add_line("first", |_| line(10));
        journal.add_outgoing("first", |_| outgoing());
        // Each call has its own pause.
        let second = journal.begin(sent("second", 0));
        journal.add_outgoing("second", |_| outgoing());
        journal.add_line("unknown", |_| line(10));
        // A busy machine may have taken longer than the pause.
        if begun.elapsed() < LOG_PAUSE {
            break (journal, changes, first, second);
        }
    };
    let announced: Vec<Change> = std::iter::from_fn(|| changes.try_recv().ok()).collect();
    let expected = [
        Change::Began(first),
        Change::Logged(first),
        Change::Began(second),
        Change::Logged(second),
    ];
    assert_eq!(announced, expected);
    let record = journal.find(first).unwrap();
    assert_eq!((record.log.len(), record.outgoing.len()), (2, 1));
}

#[test]
fn the_last_500_calls_are_kept() {
    let journal = Journal::default();
    let ids: Vec<u64> = (0..MAX_CALLS + 20)
        .map(|_| journal.begin(sent("", 100)))
        .collect();
    assert_eq!(journal.calls(|record| record.id), ids[20..]);
    assert!(journal.find(ids[19]).is_none());
}
