//! A run that died goes on, and what comes of it is what an uninterrupted run gives.

use crate::support::{assert_balanced, hash, pool, within};
use gristmill::prelude::*;
use gristmill::testing::Simulation;
use gristmill::{BadProgress, BoxError, Checkpoint, Mark, Progress, Receipt, store};
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// A store that can go back to a length, as a file can be truncated.
#[derive(Debug, Default)]
struct Ledger<T> {
    rows: Vec<T>,
    commits: Vec<u64>,
    resumed: u64,
    finished: Option<Outcome>,
    /// It was opened by this run. One that does not go on begins with nothing.
    open: bool,
}

impl<T> Ledger<T> {
    fn new() -> Self {
        Ledger { rows: Vec::new(), commits: Vec::new(), resumed: 0, finished: None, open: false }
    }

    fn open(&mut self) -> &mut Vec<T> {
        if !std::mem::replace(&mut self.open, true) {
            self.rows.clear();
        }
        &mut self.rows
    }
}

impl<T: Send> Store<T> for Ledger<T> {
    type Error = String;

    fn store(&mut self, item: T) -> Result<(), String> {
        self.open().push(item);
        Ok(())
    }

    fn commit(&mut self, progress: &Progress) -> Result<Receipt, String> {
        self.commits.push(progress.position());
        Ok(Receipt::new((self.open().len() as u64).to_le_bytes()))
    }

    fn resume(&mut self, receipt: &Receipt) -> Result<(), String> {
        let len = u64::from_le_bytes(receipt.bytes().try_into().map_err(|_| "not a length")?);
        self.open = true;
        self.rows.truncate(len as usize);
        self.resumed += 1;
        Ok(())
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), String> {
        self.finished = Some(outcome);
        Ok(())
    }
}

/// A store whose transaction holds the progress as well.
#[derive(Debug, Default)]
struct Database {
    rows: Vec<u64>,
    open: Vec<u64>,
    progress: Option<Vec<u8>>,
    commits: u64,
    /// The commit of this number fails.
    fails_at: Option<u64>,
}

impl Store<Vec<u64>> for Database {
    type Error = BadProgress;

    fn store(&mut self, rows: Vec<u64>) -> Result<(), BadProgress> {
        self.open.extend(rows);
        Ok(())
    }

    fn commit(&mut self, progress: &Progress) -> Result<Receipt, BadProgress> {
        self.commits += 1;
        if self.fails_at == Some(self.commits) {
            return Err(BadProgress::Foreign);
        }
        self.rows.append(&mut self.open);
        self.progress = Some(progress.to_bytes());
        Ok(Receipt::none())
    }

    fn keeps_progress(&self) -> bool {
        true
    }

    fn progress(&mut self) -> Result<Option<Progress>, BadProgress> {
        // Whoever opens a database after a crash finds what was committed.
        self.open.clear();
        self.progress.as_deref().map(Progress::from_bytes).transpose()
    }
}

/// Numbers from zero, with or without marks, that fail now and then.
#[derive(Debug)]
struct Numbers {
    next: u64,
    end: u64,
    marks: bool,
    waits: bool,
    seeks: Arc<AtomicU64>,
}

impl Numbers {
    fn to(end: u64) -> Self {
        Numbers { next: 0, end, marks: true, waits: false, seeks: Arc::default() }
    }
}

impl Source for Numbers {
    type Item = u64;
    type Error = String;

    fn pull(&mut self) -> Option<Result<u64, String>> {
        let number = self.next;
        self.next += 1;
        let result = if number % 97 == 13 { Err(format!("{number} is unlucky")) } else { Ok(number) };
        (number < self.end).then_some(result)
    }

    fn may_wait(&self) -> bool {
        self.waits
    }

    fn mark(&mut self) -> Option<Mark> {
        self.marks.then(|| Mark::new(self.next.to_le_bytes()))
    }

    fn seek(&mut self, mark: &Mark) -> Result<(), BoxError> {
        self.next = u64::from_le_bytes(mark.bytes().try_into()?);
        self.seeks.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn fingerprint(&mut self) -> Result<Option<String>, BoxError> {
        Ok(Some(format!("numbers to {}", self.end)))
    }
}

/// What a random pipeline is like.
#[derive(Debug, Clone)]
struct Shape {
    items: u64,
    marks: bool,
    waits: bool,
    weighed: bool,
    morsel: Option<usize>,
    window: usize,
    batch: usize,
    blocking: bool,
    in_store: bool,
    side: bool,
    threads: usize,
    every: Duration,
    /// It dies at once, and not when a store of dead letters is told.
    sudden: bool,
    /// How many items after its beginning each run dies.
    deaths: Vec<u64>,
}

fn shapes() -> impl Strategy<Value = Shape> {
    let source = (0..400u64, any::<bool>(), any::<bool>(), any::<bool>());
    let sizes = (prop::option::of(1..20usize), 1..12usize, 1..40usize, 1..3usize);
    let parts = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let every = prop_oneof![3 => Just(0u64), 1 => Just(200), 1 => Just(3_600_000_000)];
    let deaths = prop::collection::vec(0..300u64, 0..6);
    (source, sizes, parts, every, deaths).prop_map(|(source, sizes, parts, every, deaths)| Shape {
        items: source.0,
        marks: source.1,
        waits: source.2,
        weighed: source.3,
        morsel: sizes.0,
        window: sizes.1,
        batch: sizes.2,
        threads: sizes.3,
        blocking: parts.0,
        in_store: parts.1,
        side: parts.2,
        sudden: parts.3,
        every: Duration::from_micros(every),
        deaths,
    })
}

/// All that outlives the process.
#[derive(Debug)]
struct World {
    _folder: TempDir,
    checkpoint: PathBuf,
    main: Database,
    side: Database,
    main_rows: Ledger<Vec<u64>>,
    side_rows: Ledger<Vec<u64>>,
    unlucky: Ledger<(u64, String)>,
    rejected: Ledger<(u64, u64)>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        World {
            checkpoint: folder.path().join("job.checkpoint"),
            _folder: folder,
            main: Database::default(),
            side: Database::default(),
            main_rows: Ledger::new(),
            side_rows: Ledger::new(),
            unlucky: Ledger::new(),
            rejected: Ledger::new(),
        }
    }

    /// What is stored, whichever stores were used.
    fn stored(&self) -> [Vec<u64>; 2] {
        let rows = |ledger: &Ledger<Vec<u64>>| ledger.rows.iter().flatten().copied().collect::<Vec<_>>();
        [
            [self.main.rows.clone(), rows(&self.main_rows)].concat(),
            [self.side.rows.clone(), rows(&self.side_rows)].concat(),
        ]
    }
}

/// What a loop gives: the rows, the numbers the source failed at, and the ones that were rejected.
fn expected(items: u64) -> (Vec<u64>, Vec<u64>, Vec<u64>) {
    let unlucky = (0..items).filter(|number| number % 97 == 13).collect();
    let good = (0..items).filter(|number| number % 97 != 13 && number % 5 != 0);
    let rejected = good.clone().filter(|number| number % 31 == 7).collect();
    let rows = good.filter(|number| number % 31 != 7).flat_map(|number| vec![number; (number % 4) as usize]);
    (rows.collect(), unlucky, rejected)
}

/// Runs the job once; it dies at the item of this position.
fn run(world: &mut World, shape: &Shape, dies_at: Option<u64>) -> Result<gristmill::Report, gristmill::Error> {
    for open in [&mut world.main_rows.open, &mut world.side_rows.open] {
        *open = false;
    }
    (world.unlucky.open, world.rejected.open) = (false, false);
    let pool = pool(shape.threads);
    let numbers = Numbers { marks: shape.marks, waits: shape.waits, ..Numbers::to(shape.items) };
    let checkpoint = if shape.in_store { Checkpoint::in_store() } else { Checkpoint::file(&world.checkpoint) };
    let sudden = shape.sudden;
    let mut pipeline = Pipeline::extract(numbers);
    if shape.weighed {
        // An item that does not fit is held back by the feed.
        pipeline = pipeline.memory_budget(Bytes::new(2_000)).weigh_by(|number| 8 + (hash(number) % 300) as usize);
    }
    if let Some(items) = shape.morsel {
        pipeline = pipeline.morsel_items(items);
    }
    let pipeline = pipeline
        .on_error(OnError::dead_letter(Letters(&mut world.unlucky, |letter: DeadLetter<(), String>| {
            (letter.position, letter.cause.to_string())
        })))
        .pool(&pool)
        .window(shape.window)
        .checkpoint(checkpoint.every(shape.every))
        .filter(|number| number % 5 != 0)
        .weigh_by(|_| 8)
        .try_map(move |number| {
            if dies_at == Some(number) && !sudden {
                return Err(Trouble::Death);
            }
            if number % 31 == 7 { Err(Trouble::Rejected) } else { Ok(number) }
        })
        .on_error(OnError::dead_letter(Fatal(&mut world.rejected)))
        .try_map(move |number| if dies_at == Some(number) && sudden { Err(Trouble::Death) } else { Ok(number) })
        .flat_map(|number| vec![number; (number % 4) as usize]);
    let threads = if shape.blocking { 3 } else { 1 };
    let pipeline = pipeline.map_blocking(threads, |number| {
        if hash(number) % 64 == 0 {
            std::thread::sleep(Duration::from_micros(50));
        }
        number
    });
    match (shape.side, shape.in_store) {
        (false, true) => pipeline.batch(shape.batch).weigh_by(|_| 8).store(&mut world.main).named("main").run(),
        (false, false) => pipeline.batch(shape.batch).weigh_by(|_| 8).store(&mut world.main_rows).named("main").run(),
        (true, true) => {
            let side = &mut world.side;
            let forked = pipeline.broadcast(move |copies| copies.batch(7).weigh_by(|_| 8).store(side).named("side"));
            forked.batch(shape.batch).weigh_by(|_| 8).store(&mut world.main).named("main").run()
        }
        (true, false) => {
            let side = &mut world.side_rows;
            let forked = pipeline.broadcast(move |copies| copies.batch(7).weigh_by(|_| 8).store(side).named("side"));
            forked.batch(shape.batch).weigh_by(|_| 8).store(&mut world.main_rows).named("main").run()
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Trouble {
    #[error("the power fails")]
    Death,
    #[error("rejected")]
    Rejected,
}

/// A ledger of what a closure makes of letters.
struct Letters<'a, R, F>(&'a mut Ledger<R>, F);

impl<R: Send, T, F: FnMut(T) -> R + Send> Store<T> for Letters<'_, R, F> {
    type Error = String;

    fn store(&mut self, letter: T) -> Result<(), String> {
        let row = (self.1)(letter);
        self.0.store(row)
    }

    fn commit(&mut self, progress: &Progress) -> Result<Receipt, String> {
        self.0.commit(progress)
    }

    fn resume(&mut self, receipt: &Receipt) -> Result<(), String> {
        self.0.resume(receipt)
    }
}

/// Letters of rejected items; at a death the run ends.
struct Fatal<'a>(&'a mut Ledger<(u64, u64)>);

impl Store<DeadLetter<u64, Trouble>> for Fatal<'_> {
    type Error = Trouble;

    fn store(&mut self, letter: DeadLetter<u64, Trouble>) -> Result<(), Trouble> {
        if letter.cause == gristmill::Cause::Error(Trouble::Death) {
            return Err(Trouble::Death);
        }
        self.0.open().push((letter.position, letter.item.unwrap_or(u64::MAX)));
        Ok(())
    }

    fn commit(&mut self, progress: &Progress) -> Result<Receipt, Trouble> {
        self.0.commit(progress).map_err(|_| Trouble::Death)
    }

    fn resume(&mut self, receipt: &Receipt) -> Result<(), Trouble> {
        self.0.resume(receipt).map_err(|_| Trouble::Death)
    }
}

fn check(shape: &Shape) {
    let mut world = World::new();
    let mut begins = 0;
    for death in &shape.deaths {
        let dies_at = (begins + death..begins + death + 40).find(|number| number % 97 != 13 && number % 5 != 0);
        match run(&mut world, shape, dies_at) {
            Ok(report) => assert_balanced(&report),
            Err(error) => {
                let report = error.report().unwrap_or_else(|| panic!("{error:?}"));
                assert_balanced(report);
                assert!(format!("{error:?}").contains("the power fails"), "{error:?}");
                begins = report.resumed_at.unwrap_or(0);
            }
        }
    }
    let report = run(&mut world, shape, None).unwrap();
    assert_balanced(&report);
    let (rows, unlucky, rejected) = expected(shape.items);
    let [main, side] = world.stored();
    assert_eq!(main, rows);
    assert_eq!(side, if shape.side { rows } else { Vec::new() });
    assert!(world.unlucky.rows.iter().map(|(position, _)| *position).eq(unlucky));
    assert!(world.rejected.rows.iter().map(|(position, _)| *position).eq(rejected.iter().copied()));
    assert!(world.rejected.rows.iter().all(|(position, item)| position == item));
    let again = run(&mut world, shape, None).unwrap();
    assert_eq!((again.resumed_at, again.totals().extracted), (Some(shape.items), 0));
    assert_eq!(world.stored()[0], main);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_run_that_dies_anywhere_and_goes_on_gives_what_a_loop_gives(shape in shapes()) {
        within(&format!("{shape:?}"), move || check(&shape));
    }
}

/// A tick that sends a barrier counts as inside the segment. The only worker found it full, went home, and nobody called
/// it again.
#[test]
fn a_barrier_of_a_tick_does_not_send_the_only_worker_home() {
    let shape = Shape {
        items: 347,
        marks: false,
        waits: true,
        weighed: true,
        morsel: Some(3),
        window: 3,
        batch: 38,
        blocking: false,
        in_store: false,
        side: false,
        threads: 1,
        every: Duration::ZERO,
        sudden: false,
        deaths: vec![41, 81, 187, 74, 125],
    };
    for _ in 0..20 {
        let shape = shape.clone();
        within("barriers of ticks", move || check(&shape));
    }
}

/// Lines of two files, each with its number, and what a plain loop makes of them.
fn two_files(folder: &std::path::Path) -> (Vec<PathBuf>, Vec<(u64, String)>) {
    let mut lines = Vec::new();
    let paths = [("first.txt", 3_000u64), ("second.txt", 2_000)].map(|(name, count)| {
        let path = folder.join(name);
        let text: Vec<String> = (0..count).map(|number| "x".repeat((hash((name, number)) % 40) as usize)).collect();
        lines.extend((1..).zip(text.iter().cloned()));
        // The last line of the second has no end.
        std::fs::write(&path, text.join("\n") + if name == "first.txt" { "\n" } else { "" }).unwrap();
        path
    });
    (paths.into(), lines)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Map,
}

/// Numbers and texts of the lines of several files; the run dies at the chunk of a position.
fn read_lines(
    world: (&mut Ledger<(u64, String)>, &std::path::Path),
    paths: &[PathBuf],
    access: Access,
    dies_at: Option<u64>,
) -> Result<gristmill::Report, gristmill::Error> {
    world.0.open = false;
    let chunks = match access {
        Access::Read => gristmill::Chunks::open_all(paths),
        // SAFETY: nobody changes the files of this test while it reads them.
        Access::Map => unsafe { gristmill::Chunks::map_all(paths) },
    };
    let chunk_number = AtomicU64::new(0);
    Pipeline::extract(chunks.target(Bytes::new(1_000)).lines())
        .checkpoint(Checkpoint::file(world.1).every(Duration::ZERO))
        .window(4)
        .inspect(|_| {
            chunk_number.fetch_add(1, Ordering::Relaxed);
        })
        .try_map(|chunk| {
            let died = dies_at.is_some_and(|at| chunk_number.load(Ordering::Relaxed) > at);
            if died { Err("the power fails") } else { Ok(chunk) }
        })
        .flat_map(gristmill::Chunk::into_lines)
        .map(|(number, line)| (number, String::from_utf8_lossy(&line).into_owned()))
        .store(world.0)
        .run()
}

#[test]
fn files_are_gone_on_with_at_the_byte_and_lines_keep_their_numbers() {
    within("files", || {
        for access in [Access::Read, Access::Map] {
            let folder = tempfile::tempdir().unwrap();
            let (paths, lines) = two_files(folder.path());
            let checkpoint = folder.path().join("lines.checkpoint");
            let mut ledger = Ledger::new();
            let mut resumes = 0;
            for life in 0.. {
                match read_lines((&mut ledger, &checkpoint), &paths, access, Some(7 + life % 5)) {
                    Ok(_) => break,
                    Err(error) => resumes += u64::from(error.report().unwrap().resumed_at.is_some()),
                }
            }
            assert!(resumes > 2, "it died {resumes} times after a checkpoint");
            assert_eq!(ledger.rows, lines, "{access:?}");
        }
    });
}

#[test]
fn a_changed_input_is_refused_and_named_unless_it_is_accepted() {
    within("changed input", || {
        let folder = tempfile::tempdir().unwrap();
        let (paths, lines) = two_files(folder.path());
        let checkpoint = folder.path().join("lines.checkpoint");
        let mut ledger = Ledger::new();
        read_lines((&mut ledger, &checkpoint), &paths, Access::Read, None).unwrap();
        let text = std::fs::read(&paths[1]).unwrap();
        let changed = std::fs::metadata(&paths[1]).unwrap().modified().unwrap();
        let touch = |time| std::fs::File::options().write(true).open(&paths[1]).unwrap().set_modified(time).unwrap();
        let changes: [&dyn Fn(); 3] = [
            &|| std::fs::write(&paths[1], [&text[..], b"\nmore"].concat()).unwrap(),
            &|| touch(changed + Duration::from_secs(1)),
            &|| {
                let mut other = text.clone();
                other[0] ^= 1;
                std::fs::write(&paths[1], other).unwrap();
                touch(changed);
            },
        ];
        for change in changes {
            change();
            let error = read_lines((&mut ledger, &checkpoint), &paths, Access::Read, None).unwrap_err();
            let message = error.to_string();
            assert!(error.is_checkpoint() && error.report().is_none());
            assert!(message.contains("second.txt") && !message.contains("first.txt"), "{message}");
            assert!(message.contains("accept_changed_input") && message.contains("start_over"), "{message}");
            std::fs::write(&paths[1], &text).unwrap();
            touch(changed);
        }
        assert_eq!(ledger.rows, lines);
        read_lines((&mut ledger, &checkpoint), &paths, Access::Read, None).unwrap();

        // A file that has grown by whole records.
        std::fs::write(&paths[1], [&text[..], b"\nmore\n"].concat()).unwrap();
        let mut grown = Ledger { open: true, ..Ledger::new() };
        grown.rows.clone_from(&ledger.rows);
        let report = Pipeline::extract(gristmill::Chunks::open_all(&paths).target(Bytes::new(1_000)).lines())
            .checkpoint(Checkpoint::file(&checkpoint).accept_changed_input())
            .flat_map(gristmill::Chunk::into_lines)
            .map(|(number, line)| (number, String::from_utf8_lossy(&line).into_owned()))
            .store(&mut grown)
            .run()
            .unwrap();
        assert!(report.resumed_at.is_some_and(|position| position > 0));
        assert_eq!(grown.rows[lines.len()..], [(2_000, String::new()), (2_001, "more".to_owned())]);
    });
}

#[test]
fn a_fingerprint_of_very_many_files_finds_one_that_changed() {
    within("many files", || {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..250).map(|number| folder.path().join(format!("{number}.txt"))).collect();
        paths.iter().for_each(|path| std::fs::write(path, "one\ntwo\n").unwrap());
        let checkpoint = folder.path().join("lines.checkpoint");
        let read = || read_lines((&mut Ledger::new(), &checkpoint), &paths, Access::Read, None);
        read().unwrap();
        read().unwrap();
        std::fs::write(&paths[200], "one\nsix\n").unwrap();
        let error = read().unwrap_err();
        assert!(error.is_checkpoint() && error.to_string().contains("250 files, described by"), "{error}");
    });
}

#[test]
fn what_cannot_be_read_twice_has_no_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("lines.checkpoint");
    let error = read_lines((&mut Ledger::new(), &checkpoint), &["/dev/null".into()], Access::Read, None).unwrap_err();
    assert!(
        format!("{error:?}").contains("/dev/null") && format!("{error:?}").contains("no regular file"),
        "{error:?}"
    );
    assert!(error.report().is_none() && !checkpoint.exists());
}

/// A store and a checkpoint beside each other.
struct Bench {
    folder: TempDir,
    ledger: Ledger<u64>,
}

impl Bench {
    fn new() -> Self {
        Bench { folder: tempfile::tempdir().unwrap(), ledger: Ledger::new() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("job.checkpoint")
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint::file(self.path()).every(Duration::ZERO)
    }

    /// The store of a new process.
    fn store(&mut self) -> &mut Ledger<u64> {
        self.ledger.open = false;
        &mut self.ledger
    }
}

#[test]
fn a_drained_run_keeps_a_checkpoint_and_the_next_one_goes_on() {
    within("drain and resume", || {
        for waits in [false, true] {
            let mut bench = Bench::new();
            let mut begins = 0;
            for life in 1..4u64 {
                let token = CancelToken::new();
                let checkpoint = Checkpoint::file(bench.path()).every(Duration::from_secs(3_600));
                let report = Pipeline::extract(Numbers { waits, ..Numbers::to(u64::MAX) })
                    .on_error(OnError::skip())
                    .cancel_token(&token)
                    .inspect(|number| {
                        if *number >= life * 1_000 {
                            token.drain();
                        }
                    })
                    .checkpoint(checkpoint)
                    .store(bench.store())
                    .run()
                    .unwrap();
                assert_eq!(report.resumed_at.unwrap_or(0), begins);
                begins += report.totals().extracted;
                assert_eq!(bench.ledger.commits.last(), Some(&begins));
            }
            assert!(bench.ledger.rows.iter().copied().eq((0..begins).filter(|number| number % 97 != 13)));
        }
    });
}

#[test]
fn what_a_silent_source_has_given_is_committed_meanwhile() {
    within("silent source", || {
        let bench = Bench::new();
        let (sender, receiver) = crossbeam_channel::bounded(8);
        let (said, committed) = crossbeam_channel::unbounded();
        struct Says(crossbeam_channel::Sender<u64>);
        impl Store<u64> for Says {
            type Error = String;
            fn store(&mut self, _: u64) -> Result<(), String> {
                Ok(())
            }
            fn commit(&mut self, progress: &Progress) -> Result<Receipt, String> {
                // Nobody listens to the last one.
                let _ = self.0.send(progress.position());
                Ok(Receipt::none())
            }
        }
        std::thread::scope(|scope| {
            scope.spawn(move || {
                (0..5).for_each(|number| sender.send(number).unwrap());
                // Nothing more comes, and the source has not ended: the position is committed all the same.
                while committed.recv().unwrap() < 5 {}
            });
            let checkpoint = Checkpoint::file(bench.path()).every(Duration::from_millis(5));
            Pipeline::extract(gristmill::source::channel(receiver))
                .checkpoint(checkpoint)
                .store(Says(said))
                .run()
                .unwrap();
        });
    });
}

#[test]
fn what_cannot_be_gone_on_from_is_refused() {
    let bench = Bench::new();
    let numbers = || Pipeline::extract(0..10u64).checkpoint(bench.checkpoint());
    let refused = |error: gristmill::Error, words: &str| {
        assert!(error.is_setting() && error.report().is_none());
        assert!(error.to_string().contains(words), "{error}");
    };
    refused(numbers().count().run().unwrap_err(), "`count`");
    refused(numbers().collect::<Vec<_>>().run().unwrap_err(), "`collect`");
    refused(numbers().fold(|| 0, |sum, _| *sum += 1, |sum, other| *sum += other).run().unwrap_err(), "`fold`");
    refused(numbers().merge(Pipeline::extract(0..10u64)).store(Ledger::new()).run().unwrap_err(), "merge");
    let keyed = Pipeline::extract(0..10u64).ordered_by_key(|number| *number).checkpoint(bench.checkpoint());
    refused(keyed.store(Ledger::new()).run().unwrap_err(), "checkpoint");
    let branch = Pipeline::extract(0..10u64)
        .broadcast(|side| side.checkpoint(Checkpoint::in_store()).store(Ledger::new()))
        .store(Ledger::new());
    refused(branch.run().unwrap_err(), "main pipeline");
    let side = numbers().broadcast(|side| side.batch(2).fold(|| (), |(), _| (), |(), ()| ())).store(Ledger::new());
    refused(side.run().unwrap_err(), "`fold`");
    let kept = Pipeline::extract(0..10u64).checkpoint(Checkpoint::in_store()).store(Ledger::new());
    refused(kept.run().unwrap_err(), "does not keep the progress");
    assert!(!bench.path().exists(), "nothing was kept");
}

#[test]
fn a_checkpoint_that_cannot_be_used_is_an_error_and_never_a_new_beginning() {
    let mut bench = Bench::new();
    Pipeline::extract(Numbers::to(50))
        .on_error(OnError::skip())
        .checkpoint(bench.checkpoint())
        .store(bench.store())
        .run()
        .unwrap();
    let whole = std::fs::read(bench.path()).unwrap();
    let path = bench.path();
    let run = |ledger: &mut Ledger<u64>, items: u64, name: &str| {
        Pipeline::extract(Numbers::to(items))
            .on_error(OnError::skip())
            .checkpoint(Checkpoint::file(&path).accept_changed_input())
            .store(ledger)
            .named(name)
            .run()
            .unwrap_err()
    };
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = run(&mut bench.ledger, 50, "store");
    assert!(error.is_checkpoint() && format!("{error:?}").contains("torn"), "{error:?}");
    std::fs::write(&path, &whole).unwrap();
    let error = run(&mut bench.ledger, 60, "elsewhere");
    assert!(error.is_checkpoint() && error.to_string().contains("another pipeline"), "{error:?}");
    assert_eq!(bench.ledger.rows.len(), 49, "nothing was touched");
    assert_eq!(std::fs::read(&path).unwrap(), whole);
}

#[test]
fn starting_over_begins_at_the_beginning_even_where_the_checkpoint_is_of_no_use() {
    let mut bench = Bench::new();
    let path = bench.path();
    let mut run = |items: u64, checkpoint: Checkpoint| {
        let numbers = Pipeline::extract(Numbers::to(items)).on_error(OnError::skip());
        let report = numbers.checkpoint(checkpoint).store(bench.store()).run();
        report.map(|report| (report.resumed_at, report.totals().extracted))
    };
    assert_eq!(run(50, Checkpoint::file(&path)).unwrap(), (None, 50));
    assert_eq!(run(50, Checkpoint::file(&path)).unwrap(), (Some(50), 0));
    assert_eq!(run(50, Checkpoint::file(&path).start_over()).unwrap(), (None, 50));
    // Of another input, and no checkpoint at all.
    assert!(run(60, Checkpoint::file(&path)).is_err());
    assert_eq!(run(60, Checkpoint::file(&path).start_over()).unwrap(), (None, 60));
    std::fs::write(&path, "no checkpoint").unwrap();
    assert!(run(60, Checkpoint::file(&path)).unwrap_err().is_checkpoint());
    assert_eq!(run(60, Checkpoint::file(&path).start_over()).unwrap(), (None, 60));
    assert_eq!(run(60, Checkpoint::file(&path)).unwrap(), (Some(60), 0));
}

#[test]
fn the_time_of_a_commit_is_time_of_its_store() {
    struct Slow;
    impl Store<u64> for Slow {
        type Error = String;

        fn store(&mut self, _: u64) -> Result<(), String> {
            Ok(())
        }

        fn commit(&mut self, _: &Progress) -> Result<Receipt, String> {
            std::thread::sleep(Duration::from_millis(20));
            Ok(Receipt::none())
        }
    }
    let bench = Bench::new();
    let report = Pipeline::extract(0..10u64).checkpoint(bench.checkpoint()).store(Slow).named("disk").run().unwrap();
    let busy = report.stage("disk").unwrap().busy;
    assert!((Duration::from_millis(20)..=report.elapsed).contains(&busy), "{busy:?} of {:?}", report.elapsed);
}

#[test]
fn two_runs_cannot_keep_one_checkpoint() {
    within("two runs", || {
        let bench = Bench::new();
        let path = bench.path();
        let inner = path.clone();
        Pipeline::extract(0..1u64)
            .checkpoint(Checkpoint::file(&path))
            .map(move |number| {
                let second = Pipeline::extract(0..1u64).checkpoint(Checkpoint::file(&inner)).store(Ledger::new()).run();
                let error = second.unwrap_err();
                assert!(error.is_checkpoint() && error.to_string().contains("another run"), "{error}");
                number
            })
            .store(Ledger::new())
            .run()
            .unwrap();
        Pipeline::extract(0..1u64).checkpoint(Checkpoint::file(&path)).store(Ledger::new()).run().unwrap();
    });
}

#[test]
fn a_source_that_has_become_shorter_is_an_error() {
    within("shorter source", || {
        for waits in [false, true] {
            let mut bench = Bench::new();
            let numbers = |end| Numbers { marks: false, waits, ..Numbers::to(end) };
            let checkpoint = || Checkpoint::file(bench.path()).every(Duration::ZERO).accept_changed_input();
            let (first, second) = (checkpoint(), checkpoint());
            Pipeline::extract(numbers(900))
                .on_error(OnError::skip())
                .checkpoint(first)
                .store(bench.store())
                .run()
                .unwrap();
            let run = Pipeline::extract(numbers(800)).on_error(OnError::skip()).checkpoint(second).store(bench.store());
            let error = run.run().unwrap_err();
            assert!(error.is_checkpoint(), "{error:?}");
            assert!(error.to_string().contains("after 800 items") && error.to_string().contains("900"), "{error}");
        }
    });
}

#[test]
fn positions_are_those_of_a_run_that_was_never_interrupted() {
    within("positions", || {
        let mut bench = Bench::new();
        for dies_at in [300u64, 600] {
            let error = Pipeline::extract(Numbers::to(1_000))
                .on_error(OnError::skip())
                .morsel_items(10)
                .window(3)
                .try_map(move |number| if number == dies_at { Err("the power fails") } else { Ok(number) })
                .checkpoint(bench.checkpoint())
                .store(bench.store())
                .run()
                .unwrap_err();
            assert_eq!(error.position(), Some(dies_at));
        }
        assert!(bench.ledger.resumed > 0);
    });
}

#[test]
fn an_end_that_is_ahead_is_not_given_again_what_it_has() {
    within("one end ahead", || {
        for fails_at in 1..12 {
            let (mut main, mut side) =
                (Database::default(), Database { fails_at: Some(fails_at), ..Database::default() });
            for _ in 0..2 {
                let side = &mut side;
                let done = Pipeline::extract(0..500u64)
                    .morsel_items(9)
                    .window(2)
                    .checkpoint(Checkpoint::in_store().every(Duration::ZERO))
                    .broadcast(move |copies| copies.batch(4).store(side).named("side"))
                    .batch(25)
                    .store(&mut main)
                    .run();
                if let Err(error) = done {
                    assert_eq!(error.stage_name(), Some("side"), "{error:?}");
                }
            }
            assert!(main.rows.iter().copied().eq(0..500), "{:?}", main.rows);
            assert!(side.rows.iter().copied().eq(0..500), "{:?}", side.rows);
        }
    });
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spot {
    Fingerprint,
    Seek,
    Mark,
    Commit,
    Resume,
}

/// A source and a store that panic, or fail, in one place.
#[derive(Debug)]
struct Trap(Option<Spot>, bool);

impl Trap {
    fn spring(&self, spot: Spot) -> Result<(), String> {
        if self.0 != Some(spot) {
            return Ok(());
        }
        assert!(!self.1, "planned panic");
        Err("planned failure".to_owned())
    }
}

struct TrapSource(Numbers, Trap);

impl Source for TrapSource {
    type Item = u64;
    type Error = String;

    fn pull(&mut self) -> Option<Result<u64, String>> {
        self.0.pull()
    }

    fn may_wait(&self) -> bool {
        self.0.may_wait()
    }

    fn mark(&mut self) -> Option<Mark> {
        self.1.spring(Spot::Mark).ok()?;
        self.0.mark()
    }

    fn seek(&mut self, mark: &Mark) -> Result<(), BoxError> {
        self.1.spring(Spot::Seek)?;
        self.0.seek(mark)
    }

    fn fingerprint(&mut self) -> Result<Option<String>, BoxError> {
        self.1.spring(Spot::Fingerprint)?;
        self.0.fingerprint()
    }
}

struct TrapStore<'a>(&'a mut Ledger<u64>, Trap);

impl Store<u64> for TrapStore<'_> {
    type Error = String;

    fn store(&mut self, item: u64) -> Result<(), String> {
        self.0.store(item)
    }

    fn commit(&mut self, progress: &Progress) -> Result<Receipt, String> {
        // The first commit goes through.
        if progress.position() > 60 {
            self.1.spring(Spot::Commit)?;
        }
        self.0.commit(progress)
    }

    fn resume(&mut self, receipt: &Receipt) -> Result<(), String> {
        self.1.spring(Spot::Resume)?;
        self.0.resume(receipt)
    }
}

#[test]
fn a_failure_or_a_panic_anywhere_ends_the_run_and_the_next_one_goes_on() {
    use Spot::{Commit, Fingerprint, Mark, Resume, Seek};
    within("traps", || {
        for (spot, panics, waits) in [Fingerprint, Seek, Mark, Commit, Resume]
            .into_iter()
            .flat_map(|spot| [(spot, false, false), (spot, true, false), (spot, false, true), (spot, true, true)])
        {
            let mut bench = Bench::new();
            let mut lives = |trap: Option<Spot>, dies_at: u64| {
                let source = TrapSource(Numbers { waits, ..Numbers::to(400) }, Trap(trap, panics));
                let checkpoint = bench.checkpoint();
                let run = Pipeline::extract(source)
                    .on_error(OnError::skip())
                    .morsel_items(10)
                    .window(2)
                    .try_map(move |number| if number == dies_at { Err("the power fails") } else { Ok(number) })
                    .checkpoint(checkpoint)
                    .store(TrapStore(bench.store(), Trap(trap, panics)))
                    .run();
                if let Some(report) = run.as_ref().err().and_then(gristmill::Error::report) {
                    assert_balanced(report);
                }
                run.map(drop)
            };
            lives(None, 200).unwrap_err();
            let trapped = lives(Some(spot), u64::MAX);
            // A source that cannot say where it stands is pulled from the beginning.
            assert_eq!(trapped.is_ok(), spot == Mark && !panics, "{spot:?} {panics} {waits}: {trapped:?}");
            lives(None, u64::MAX).unwrap();
            assert!(bench.ledger.rows.iter().copied().eq((0..400).filter(|number| number % 97 != 13)), "{spot:?}");
        }
    });
}

/// What an end must hold that cannot go back: all that it had, and then what comes from where the next run goes on.
fn came_again(end: &[u64], had: usize, from: u64, items: u64) -> u64 {
    let had = had as u64;
    assert!(from <= had, "nothing from before the checkpoint is missing: it is at {from}, and there were {had}");
    assert!(end.iter().copied().eq((0..had).chain(from..items)), "from {from}, after {had}: {end:?}");
    had - from
}

#[test]
fn what_comes_again_at_several_ends_is_within_the_bound() {
    const ITEMS: u64 = 120;
    let (window, morsel) = (3, 4);
    let in_flight = (window * morsel) as u64;
    let mut most = 0;
    // Few, as each syncs its checkpoints.
    for seed in 0..40 {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("ends.checkpoint");
        // One end stores as it is handed something, the others on threads of their own.
        let (mut memory, mut side, mut other) = (Vec::new(), Vec::new(), Vec::new());
        let run = |simulation: &Simulation, ends: [&mut Vec<u64>; 3]| {
            let [memory, side, other] = ends;
            let keep = |end: &mut Vec<u64>, item| -> Result<(), String> {
                end.push(item);
                Ok(())
            };
            let pipeline = Pipeline::extract(0..ITEMS)
                .ordered()
                .broadcast(|copies| copies.store(store::from_fn(|item| keep(side, item))))
                .broadcast(|copies| copies.store(store::from_fn(|item| keep(other, item))))
                .map(|item| item)
                .window(window)
                .morsel_items(morsel)
                .checkpoint(Checkpoint::file(&path).every(Duration::ZERO));
            simulation.run(pipeline.store(memory))
        };
        let simulation = Simulation::new(seed);
        let dies_at = simulation.below(400) as u64;
        match run(&simulation.crash_at(dies_at), [&mut memory, &mut side, &mut other]) {
            Ok(_) => continue,
            Err(error) => assert!(error.is_crash(), "seed {seed}: {error}"),
        }
        let had = [memory.len(), side.len(), other.len()];
        let report = run(&Simulation::new(seed + 1_000_000), [&mut memory, &mut side, &mut other]).unwrap();
        let from = report.resumed_at.unwrap_or(0);
        for (end, had) in [&memory, &side, &other].into_iter().zip(had) {
            let again = came_again(end, had, from, ITEMS);
            assert!(again <= 3 * in_flight, "seed {seed}: {again} came again, of {in_flight} in flight");
            most = most.max(again);
        }
    }
    assert!(most > in_flight, "nobody was far ahead: {most}");
}

#[test]
fn a_source_around_another_goes_on_where_that_was_and_is_refused_when_that_has_changed() {
    within("source around a source", || {
        let mut bench = Bench::new();
        let mut run = |end, dies_at| {
            let numbers = gristmill::source::waiting(Numbers::to(end));
            Pipeline::extract(numbers)
                .morsel_items(10)
                .on_error(OnError::skip())
                .try_map(|number| if number == dies_at { Err("the power fails") } else { Ok(number) })
                .checkpoint(Checkpoint::file(bench.path()).every(Duration::ZERO))
                .store(bench.store())
                .run()
        };
        run(900, 600).unwrap_err();
        let error = run(1_000, 2_000).unwrap_err();
        assert!(error.is_checkpoint() && error.to_string().contains("accept_changed_input"), "{error}");
        let report = run(900, 2_000).unwrap();
        assert!(report.resumed_at.is_some_and(|position| position > 0), "{:?}", report.resumed_at);
        assert_eq!(bench.ledger.rows, (0..900).filter(|number| number % 97 != 13).collect::<Vec<_>>());
    });
}

#[test]
fn a_source_that_does_not_know_its_input_says_nothing_of_it() {
    assert_eq!(Source::fingerprint(&mut (0..3u64)).unwrap(), None);
    assert_eq!(gristmill::source::waiting(0..3u64).fingerprint().unwrap(), None);
}

#[test]
fn a_run_that_is_done_leaves_its_source_where_it_is() {
    within("run that is done", || {
        let mut bench = Bench::new();
        for again in [false, true] {
            let numbers = Numbers::to(300);
            let seeks = Arc::clone(&numbers.seeks);
            let report = Pipeline::extract(numbers)
                .on_error(OnError::skip())
                .checkpoint(Checkpoint::file(bench.path()).every(Duration::ZERO))
                .store(bench.store())
                .run()
                .unwrap();
            assert_eq!((report.resumed_at.is_some(), seeks.load(Ordering::Relaxed)), (again, 0));
        }
        assert_eq!(bench.ledger.rows, (0..300).filter(|number| number % 97 != 13).collect::<Vec<_>>());
    });
}

#[test]
fn nothing_is_committed_again_while_nothing_has_come() {
    within("commits in vain", || {
        for seed in 0..40 {
            let mut bench = Bench::new();
            let checkpoint = bench.checkpoint();
            let pipeline = Pipeline::extract(Numbers { waits: true, ..Numbers::to(60) })
                .morsel_items(3)
                .on_error(OnError::skip())
                .checkpoint(checkpoint)
                .store(bench.store());
            Simulation::new(seed).run(pipeline).unwrap();
            // The last one says that the run is done, too.
            let (last, before) = bench.ledger.commits.split_last().unwrap();
            assert!(before.is_sorted_by(|one, next| one < next) && *last == 60, "seed {seed}: {before:?}, {last}");
        }
    });
}

/// One of the stores of a run, and how often the main one has committed.
struct Committing<'a> {
    database: &'a mut Database,
    is_main: bool,
    main_commits: &'a AtomicU64,
}

impl Store<Vec<u64>> for Committing<'_> {
    type Error = BadProgress;

    fn store(&mut self, rows: Vec<u64>) -> Result<(), BadProgress> {
        self.database.store(rows)
    }

    fn commit(&mut self, progress: &Progress) -> Result<Receipt, BadProgress> {
        if self.is_main {
            let receipt = self.database.commit(progress)?;
            self.main_commits.fetch_add(1, Ordering::SeqCst);
            return Ok(receipt);
        }
        // It fails when the other has committed the same.
        while self.database.fails_at.is_some() && self.main_commits.load(Ordering::SeqCst) <= self.database.commits {
            std::thread::yield_now();
        }
        self.database.commit(progress)
    }

    fn keeps_progress(&self) -> bool {
        true
    }

    fn progress(&mut self) -> Result<Option<Progress>, BadProgress> {
        self.database.progress()
    }
}

#[test]
fn an_end_that_is_ahead_is_not_given_again_what_it_has_however_seldom_checkpoints_are() {
    within("one end ahead, and no checkpoint due", || {
        let (mut main, mut side) = (Database::default(), Database { fails_at: Some(3), ..Database::default() });
        for (every, goes_through) in [(0, false), (3_600, true)] {
            let main_commits = AtomicU64::new(0);
            let copies = Committing { database: &mut side, is_main: false, main_commits: &main_commits };
            let store = Committing { database: &mut main, is_main: true, main_commits: &main_commits };
            let done = Pipeline::extract(0..500u64)
                .morsel_items(9)
                .window(2)
                .checkpoint(Checkpoint::in_store().every(Duration::from_secs(every)))
                .broadcast(|items| items.batch(4).store(copies))
                .batch(25)
                .store(store)
                .run();
            assert_eq!(done.is_ok(), goes_through, "{done:?}");
            if !goes_through {
                assert!(main.rows.len() > side.rows.len(), "{} and {}", main.rows.len(), side.rows.len());
            }
            side.fails_at = None;
        }
        assert!(main.rows.iter().copied().eq(0..500), "{:?}", main.rows);
        assert!(side.rows.iter().copied().eq(0..500), "{:?}", side.rows);
    });
}
