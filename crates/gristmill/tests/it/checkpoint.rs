//! A run that died goes on, and what comes of it is what an uninterrupted run gives.

use crate::support::{assert_balanced, hash, pool, within};
use gristmill::prelude::*;
use gristmill::{BadProgress, BoxError, Checkpoint, Mark, Progress, Receipt};
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
    /// How many items after its beginning each run dies.
    deaths: Vec<u64>,
}

fn shapes() -> impl Strategy<Value = Shape> {
    let source = (0..400u64, any::<bool>(), any::<bool>(), any::<bool>());
    let sizes = (prop::option::of(1..20usize), 1..12usize, 1..40usize, 1..3usize);
    let parts = (any::<bool>(), any::<bool>(), any::<bool>());
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
            if dies_at == Some(number) {
                return Err(Trouble::Death);
            }
            if number % 31 == 7 { Err(Trouble::Rejected) } else { Ok(number) }
        })
        .on_error(OnError::dead_letter(Fatal(&mut world.rejected)))
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
