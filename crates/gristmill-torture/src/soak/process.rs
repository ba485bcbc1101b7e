//! What this process has.

use std::time::{Duration, Instant};

/// How long threads that were told to end may take.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub(super) rss_kib: u64,
    pub(super) threads: u64,
    pub(super) descriptors: u64,
}

impl Usage {
    pub(super) fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
        };
        let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as u64;
        Usage { rss_kib: field("VmRSS:"), threads: field("Threads:"), descriptors }
    }

    /// When the threads of pools that were dropped are gone, as nobody joins them: when there are no more than there were
    /// before; or, if that is not known, when there are no fewer for a while.
    pub(super) fn at_rest(before: Option<Usage>) -> Self {
        let began = Instant::now();
        let (mut least, mut since) = (Usage::now(), began);
        while began.elapsed() < PATIENCE {
            let settled = match before {
                Some(before) => least.threads <= before.threads && least.descriptors <= before.descriptors,
                None => since.elapsed() > Duration::from_millis(500),
            };
            if settled {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
            let now = Usage::now();
            if now.threads < least.threads || now.descriptors < least.descriptors {
                (least, since) = (now, Instant::now());
            }
        }
        least
    }
}
