//! Pools whose workers keep to their cores.

use crate::support::{assert_balanced, within};
use gristmill::{PinError, Pool, prelude::*};

/// The cores that the calling thread may use, as the system sees it.
fn allowed() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    line.trim().to_owned()
}

fn first_core() -> usize {
    allowed().split([',', '-']).next().unwrap().parse().unwrap()
}

#[test]
fn each_worker_keeps_to_its_core() {
    within("a pinned pool", || {
        let before = allowed();
        let core = first_core();
        let Pool::Shared(pool) = Pool::pinned_to([core, core]).unwrap() else { panic!("it is shared") };
        assert_eq!(pool.broadcast(|_| allowed()), [core.to_string(), core.to_string()]);
        let report = Pipeline::extract(0..2_000u64)
            .pool(pool)
            .map(move |item| {
                assert_eq!(allowed(), core.to_string());
                item
            })
            .count()
            .run()
            .unwrap();
        assert_balanced(&report);
        assert_eq!(report.output, 2_000);
        assert_eq!(allowed(), before, "the caller may go where it likes");
    });
}

#[test]
fn a_pinned_pool_has_a_worker_for_each_core() {
    let Pool::Shared(pool) = Pool::pinned().unwrap() else { panic!("it is shared") };
    let mut cores = pool.broadcast(|_| allowed());
    assert_eq!(cores.len(), std::thread::available_parallelism().unwrap().get());
    assert!(cores.iter().all(|core| core.parse::<usize>().is_ok()), "{cores:?}");
    cores.sort_unstable();
    cores.dedup();
    assert_eq!(cores.len(), pool.current_num_threads());
}

#[test]
fn a_core_that_is_not_there_is_refused() {
    let error = Pool::pinned_to([first_core(), 1_000_000]).unwrap_err();
    assert!(matches!(error, PinError::Refused { core: 1_000_000 }), "{error:?}");
    assert_eq!(error.to_string(), "core 1000000 cannot be used by this process");
    assert!(matches!(Pool::pinned_to([]).unwrap_err(), PinError::NoCores));
}
