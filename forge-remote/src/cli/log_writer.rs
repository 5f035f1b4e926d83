//! A log writer that never blocks the app.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use crate::log::one_line;

/// The maximum of bytes that wait to be written.
const MAX_QUEUED: usize = 4 * 1024 * 1024;
/// The overhead of a queued line in addition to its text, in bytes.
const LINE_OVERHEAD: usize = 64;
/// How long [`LogWriter::flush`] waits for a reader.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

type Output = Box<dyn Fn(&[u8]) -> io::Result<()> + Send + Sync>;

/// A writer that writes lines from a separate thread.
///
/// If nobody reads the output and 4 MiB wait, further lines are counted and dropped; the count is
/// logged once the output is read again. Clones share the queue.
#[derive(Clone)]
pub(crate) struct LogWriter(Arc<Shared>);

struct Shared {
    output: Output,
    keeps_escape: bool,
    /// Created with the first line; `None` if no thread can be started.
    queue: OnceLock<Option<mpsc::Sender<Message>>>,
    queued: AtomicUsize,
    lost: AtomicU64,
    /// Set when the process ends: lines are then written directly.
    is_closed: AtomicBool,
}

enum Message {
    Line(Vec<u8>),
    /// A request for a message once everything before it is written.
    Flush(mpsc::Sender<()>),
}

impl LogWriter {
    /// Creates a writer to standard error; `keeps_escape` for a formatter with colours.
    pub(crate) fn stderr(keeps_escape: bool) -> Self {
        let output = |line: &[u8]| io::Write::write_all(&mut io::stderr(), line);
        Self::new(Box::new(output), keeps_escape)
    }

    fn new(output: Output, keeps_escape: bool) -> Self {
        Self(Arc::new(Shared {
            output,
            keeps_escape,
            queue: OnceLock::new(),
            queued: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
        }))
    }

    /// Waits until everything logged so far is written, for 1 second at most.
    pub(crate) fn flush(&self) {
        if let Some(Some(queue)) = self.0.queue.get() {
            let (written, wait) = mpsc::channel();
            if queue.send(Message::Flush(written)).is_ok() {
                // A timeout or a lost thread cannot be reported anywhere.
                let _ = wait.recv_timeout(FLUSH_TIMEOUT);
            }
        }
    }

    /// Flushes, and writes later lines directly, because the process is about to end.
    pub(crate) fn close(&self) {
        self.flush();
        // If lines still wait, nobody reads, and a direct write could block forever.
        if self.0.queued.load(Ordering::Acquire) == 0 {
            self.0.is_closed.store(true, Ordering::Release);
        }
    }

    fn queue(&self) -> Option<&mpsc::Sender<Message>> {
        let start = || {
            let (send, receive) = mpsc::channel();
            let shared = Arc::clone(&self.0);
            std::thread::Builder::new()
                .name("forge-remote-log".to_owned())
                .spawn(move || shared.write_all(&receive))
                .is_ok()
                .then_some(send)
        };
        self.0.queue.get_or_init(start).as_ref()
    }
}

impl Shared {
    fn write_all(&self, messages: &mpsc::Receiver<Message>) {
        for message in messages {
            match message {
                Message::Line(line) => {
                    // A log that cannot be written cannot be reported anywhere.
                    let _ = (self.output)(&line);
                    let cost = line.len() + LINE_OVERHEAD;
                    let before = self.queued.fetch_sub(cost, Ordering::AcqRel);
                    if before == cost {
                        self.report_lost();
                    }
                }
                Message::Flush(written) => {
                    let _ = written.send(());
                }
            }
        }
    }

    fn report_lost(&self) {
        let lost = self.lost.swap(0, Ordering::AcqRel);
        if lost > 0 {
            tracing::warn!(
                lost,
                "log lines were lost: standard error was not read for a time"
            );
        }
    }
}

/// Each `write` takes one event, as `tracing_subscriber::fmt` writes it.
impl io::Write for LogWriter {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let shared = &self.0;
        let line = one_line(event, shared.keeps_escape);
        if shared.is_closed.load(Ordering::Acquire) {
            (shared.output)(&line)?;
            return Ok(event.len());
        }
        let cost = line.len() + LINE_OVERHEAD;
        let queued = shared.queued.fetch_add(cost, Ordering::AcqRel);
        if queued > 0 && queued + cost > MAX_QUEUED {
            shared.queued.fetch_sub(cost, Ordering::AcqRel);
            shared.lost.fetch_add(1, Ordering::AcqRel);
            return Ok(event.len());
        }
        match self.queue() {
            Some(queue) if queue.send(Message::Line(line.to_vec())).is_ok() => {}
            _ => {
                shared.queued.fetch_sub(cost, Ordering::AcqRel);
                (shared.output)(&line)?;
            }
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write as _;
    use std::sync::Mutex;

    use super::*;

    /// Returns a writer whose output is read only when the test allows it.
    fn blocked() -> (LogWriter, mpsc::Sender<()>, Arc<Mutex<String>>) {
        let written = Arc::new(Mutex::new(String::new()));
        let (reader, reads) = mpsc::channel::<()>();
        let reads = Mutex::new(reads);
        let output = {
            let written = Arc::clone(&written);
            move |line: &[u8]| {
                // Once the reader is dropped, every line is written.
                let _ = reads.lock().unwrap().recv();
                written
                    .lock()
                    .unwrap()
                    .push_str(std::str::from_utf8(line).unwrap());
                Ok(())
            }
        };
        (LogWriter::new(Box::new(output), false), reader, written)
    }

    #[test]
    fn a_blocked_output_drops_lines_and_does_not_block() {
        let (mut writer, reader, written) = blocked();
        let line = [b"x".repeat(1023).as_slice(), b"\n"].concat();
        for _ in 0..10_000 {
            assert_eq!(writer.write(&line).unwrap(), line.len());
        }
        let lost = writer.0.lost.load(Ordering::Acquire);
        assert!((5_000..8_000).contains(&lost), "{lost}");
        drop(reader);
        writer.flush();
        let lines = written.lock().unwrap().lines().count();
        assert_eq!(lines as u64 + lost, 10_000);
    }

    #[test]
    fn logged_lines_are_written_before_the_end() {
        let (mut writer, reader, written) = blocked();
        drop(reader);
        writer.write_all(b"one\n").unwrap();
        writer.write_all(b"two\nforged\n").unwrap();
        writer.close();
        assert_eq!(*written.lock().unwrap(), "one\ntwo\\nforged\n");
        writer.write_all(b"three\n").unwrap();
        assert!(written.lock().unwrap().ends_with("three\n"));
    }
}
