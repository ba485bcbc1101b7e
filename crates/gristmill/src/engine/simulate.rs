//! A run on one thread, in an order that a seed decides.
//!
//! The simulator advances the same nodes and tasks as the threaded driver, one at a time: a step of a worker that is
//! awake, a turn of a task, a tick. At a *pause* inside a step (a morsel was taken and not run, run and not handed in,
//! the feed is out) others may go on before the step does, as if its thread had lost its core there. The clock is virtual.
//!
//! Workers are awake by the same word that the threaded driver uses ([`super::crew`]): a wake-up that is missing leaves
//! the simulation with nobody to ask, and is found as a run that does not end.
//!
//! A function of the user's may say where it is left in the middle of a call, so that calls overlap as they do on threads of
//! their own, and hold what they were let in with meanwhile: [`Relay`]. There may then be several stacks with steps that are
//! not done, each on a thread of its own; still one at a time goes on.
//!
//! What it does not try: interleavings inside a critical section or between two atomic operations. Those are the
//! models' ([`super::models`]).

use super::crew::Crew;
use super::plan::{DeadEnd, Step};
use super::relay::{Place, Relay, Whose};
use super::shared::Shared;
use super::task::{OwnThread, Turned};
use super::{Driver, Engine, Hands, Threads};
use crate::error::{Error, ErrorKind};
use crate::random::{Random, mix};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Virtual time without progress after which a run is taken to hang.
const HANG: u64 = 3_600_000_000_000;
/// Events after which a run is taken to go in circles.
const MOST_EVENTS: u64 = 5_000_000;
/// How deep pauses are nested.
const MOST_PAUSES: usize = 6;

/// What decides a simulation, and what came of it.
pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) workers: usize,
    /// How likely a step is interrupted at a pause.
    pub(crate) pauses: f64,
    random: Mutex<Random>,
    events: AtomicU64,
    trace: AtomicU64,
    /// The run is to crash at this event.
    pub(crate) crash_at: AtomicU64,
    crashed: AtomicBool,
    /// The run, while it goes on.
    run: Mutex<Option<Arc<Shared>>>,
    /// Virtual nanoseconds that closures slept and the clock has not been moved by.
    slept: AtomicU64,
    relay: Relay,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script").field("seed", &self.seed).field("workers", &self.workers).finish_non_exhaustive()
    }
}

impl Script {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(mix(seed));
        Script {
            seed,
            workers: 1 + random.below(4),
            pauses: [0.0, 0.1, 0.5][random.below(3)],
            random: Mutex::new(random),
            events: AtomicU64::new(0),
            trace: AtomicU64::new(mix(seed)),
            crash_at: AtomicU64::new(u64::MAX),
            crashed: AtomicBool::new(false),
            run: Mutex::new(None),
            slept: AtomicU64::new(0),
            relay: Relay::default(),
        }
    }

    pub(crate) fn below(&self, end: usize) -> usize {
        self.random.lock().below(end)
    }

    pub(crate) fn chance(&self, probability: f64) -> bool {
        self.random.lock().chance(probability)
    }

    pub(crate) fn sleep(&self, nanos: u64) {
        // It always has another.
        let _ = self.slept.fetch_update(Relaxed, Relaxed, |slept| Some(slept.saturating_add(nanos)));
    }

    /// Lets others go on in the middle of a function that a step or a task calls.
    pub(crate) fn pause(&self) {
        self.relay.pause();
    }

    /// Events so far, and a hash of them.
    pub(crate) fn trace(&self) -> (u64, u64) {
        (self.events.load(Relaxed), self.trace.load(Relaxed))
    }

    /// Stops the run here and now, and lets nobody close anything.
    pub(crate) fn crash(&self) {
        self.crashed.store(true, Relaxed);
        if let Some(shared) = &*self.run.lock() {
            shared.abort(Error::new(ErrorKind::Crashed { event: self.events.load(Relaxed) }));
        }
    }

    pub(crate) fn has_crashed(&self) -> bool {
        self.crashed.load(Relaxed)
    }

    fn note(&self, event: u64) -> u64 {
        self.trace.store(mix(self.trace.load(Relaxed) ^ event), Relaxed);
        self.events.fetch_add(1, Relaxed)
    }
}

/// The simulated threads of a run.
pub(crate) struct Simulator<'env> {
    script: Arc<Script>,
    tasks: Mutex<Vec<Slot<'env>>>,
    state: Mutex<State>,
}

/// The place of a task.
struct Slot<'env> {
    /// `None` while it has its turn.
    thread: Option<OwnThread<'env>>,
    ended: bool,
}

#[derive(Debug, Default)]
struct State {
    /// Events that are under way, and how many of them are steps of workers.
    inside: usize,
    working: usize,
    /// When something was done last.
    progress_at: u64,
    /// Looks in vain since.
    idle: usize,
}

/// What may happen next.
#[derive(Debug, Clone, Copy)]
enum Event {
    Worker,
    Task(usize),
    Tick,
    /// A function goes on that has paused.
    GoesOn(usize),
}

impl<'env> Simulator<'env> {
    fn new(script: Arc<Script>, tasks: Vec<OwnThread<'env>>) -> Self {
        let tasks = tasks.into_iter().map(|thread| Slot { thread: Some(thread), ended: false }).collect();
        Simulator { script, tasks: Mutex::new(tasks), state: Mutex::default() }
    }

    /// Lets others go on in the middle of a step.
    pub(crate) fn pause(&self, driver: Driver<'_, 'env>) {
        while self.state.lock().inside < MOST_PAUSES && self.script.chance(self.script.pauses) {
            if driver.shared().is_over() {
                return;
            }
            self.one(driver);
        }
    }

    /// Plays until the run is over. Others play as well while a function is paused.
    fn play<'scope>(
        &'scope self,
        driver: Driver<'scope, 'env>,
        threads: &'scope std::thread::Scope<'scope, '_>,
        whose: Whose,
    ) {
        let relay = &self.script.relay;
        let _playing = relay.enter();
        loop {
            let paused = relay.paused();
            if !driver.shared().is_over() {
                if let Some(place) = relay.wanted() {
                    self.start(place, driver, threads);
                }
                match self.draw(paused, driver) {
                    Some(Event::GoesOn(which)) if !relay.let_go_on(which, whose) => return,
                    Some(Event::GoesOn(_)) | None => {}
                    Some(event) => self.happen(event, driver),
                }
            } else if paused == 0 {
                return relay.end(whose);
            } else if !relay.let_go_on(paused - 1, whose) {
                return;
            }
        }
    }

    /// Starts a thread that stands by.
    fn start<'scope>(
        &'scope self,
        place: Place,
        driver: Driver<'scope, 'env>,
        threads: &'scope std::thread::Scope<'scope, '_>,
    ) {
        let body = move || {
            if place.wait() {
                self.play(driver, threads, Whose::Relay);
            }
        };
        if std::thread::Builder::new().spawn_scoped(threads, body).is_err() {
            // Functions do not pause then.
            self.script.relay.not_started();
        }
    }

    /// Lets one event happen, in the middle of another.
    fn one(&self, driver: Driver<'_, 'env>) {
        // None that has paused goes on: what is below on this stack would wait for it.
        if let Some(event) = self.draw(0, driver) {
            self.happen(event, driver);
        }
    }

    /// What happens next; nothing if the run crashes instead.
    fn draw(&self, paused: usize, driver: Driver<'_, 'env>) -> Option<Event> {
        let events = self.possible(&driver.shared().crew, paused);
        let event = events[self.script.below(events.len())];
        let number = self.script.note(match event {
            Event::Worker => 1,
            Event::Tick => 2,
            Event::Task(at) => 3 + 2 * at as u64,
            Event::GoesOn(which) => 4 + 2 * which as u64,
        });
        if number >= self.script.crash_at.load(Relaxed) {
            self.script.crash();
        }
        if number > MOST_EVENTS {
            driver.abort(Error::new(ErrorKind::Hangs { event: number }));
        }
        (!self.script.has_crashed()).then_some(event)
    }

    /// Workers that are awake and not in a step, and tasks that do not have their turn.
    fn possible(&self, crew: &Crew, paused: usize) -> Vec<Event> {
        let mut events = vec![Event::Tick];
        let free = crew.active().saturating_sub(self.state.lock().working);
        events.extend(std::iter::repeat_n(Event::Worker, 3 * free));
        let tasks = self.tasks.lock();
        let ready = tasks.iter().enumerate().filter(|(_, slot)| slot.thread.is_some() && !slot.ended);
        events.extend(ready.map(|(at, _)| Event::Task(at)));
        events.extend((0..paused).map(Event::GoesOn));
        events
    }

    fn happen(&self, event: Event, driver: Driver<'_, 'env>) {
        let working = usize::from(matches!(event, Event::Worker));
        let mut state = self.state.lock();
        (state.inside, state.working) = (state.inside + 1, state.working + working);
        drop(state);
        let worked = match event {
            Event::Worker => worker(driver),
            Event::Task(at) => self.task(at, driver),
            Event::GoesOn(_) => false,
            Event::Tick => {
                if driver.shared().take_tick() {
                    driver.engine.tick(driver);
                } else {
                    driver.settle();
                }
                false
            }
        };
        let mut state = self.state.lock();
        (state.inside, state.working) = (state.inside - 1, state.working - working);
        drop(state);
        self.pass_time(worked, driver);
    }

    /// One turn of a task.
    fn task(&self, at: usize, driver: Driver<'_, 'env>) -> bool {
        let Some(mut thread) = self.tasks.lock()[at].thread.take() else { return false };
        let turned = driver.contain(|| thread.task.turn(driver, Duration::ZERO));
        let ended = matches!(turned, Some(Turned::Ended) | None);
        self.tasks.lock()[at] = Slot { thread: Some(thread), ended };
        turned == Some(Turned::Worked)
    }

    /// Moves the clock on: by what closures slept; and when nobody finds anything to do, until somebody does.
    fn pass_time(&self, worked: bool, driver: Driver<'_, 'env>) {
        let shared = driver.shared();
        shared.clock.advance(self.script.slept.swap(0, Relaxed));
        let tasks = self.tasks.lock().len();
        let mut state = self.state.lock();
        if worked {
            (state.idle, state.progress_at) = (0, shared.now());
        } else {
            state.idle += 1;
        }
        let wait = if state.idle > 4 * (tasks + 2) { self.script.below(10_000_000 + state.idle * 10_000) } else { 0 };
        let stands_still = shared.now().saturating_sub(state.progress_at) > HANG;
        drop(state);
        shared.clock.advance(wait as u64);
        if stands_still {
            driver.abort(Error::new(ErrorKind::Hangs { event: self.script.trace().0 }));
        }
    }
}

/// One step of a worker that is awake.
fn worker(driver: Driver<'_, '_>) -> bool {
    let crew = &driver.shared().crew;
    let seen = crew.seen();
    if driver.shared().is_stopped() {
        crew.leave();
        return false;
    }
    match driver.engine.step(driver) {
        Step::Done => true,
        Step::Busy | Step::Nothing => {
            crew.retire(seen);
            false
        }
    }
}

impl<'env> Engine<'env> {
    /// Runs as [`Engine::run`] does, on this thread alone.
    pub(super) fn simulate(self: &Arc<Self>, script: &Arc<Script>, threads: Threads<'env>) {
        let Threads { own, dead } = threads;
        let (queues, burials): (Vec<_>, Vec<_>) = dead.into_iter().unzip();
        let tasks = own.len();
        let simulator = Simulator::new(Arc::clone(script), own.into_iter().chain(burials).collect());
        let driver = Driver { hands: Hands::Simulated(&simulator), engine: self };
        *script.run.lock() = Some(Arc::clone(&self.shared));
        (0..self.shared.crew.max()).for_each(|_| driver.notify());
        std::thread::scope(|threads| simulator.play(driver, threads, Whose::Caller));
        if !script.has_crashed() {
            self.finish_simulated(&simulator, tasks, &queues, driver);
        }
        *script.run.lock() = None;
    }

    /// Ends the run in the order that [`Engine::run`] keeps.
    fn finish_simulated(
        &self,
        simulator: &Simulator<'env>,
        tasks: usize,
        queues: &[Arc<dyn DeadEnd + 'env>],
        driver: Driver<'_, 'env>,
    ) {
        self.nodes.iter().for_each(|node| node.wake());
        while self.shared.crew.active() > 0 {
            worker(driver);
        }
        simulator.finish(0..tasks, driver);
        queues.iter().for_each(|queue| queue.close());
        let all = simulator.tasks.lock().len();
        simulator.finish(tasks..all, driver);
        let outcome = self.shared.decide();
        let closing: Vec<_> = simulator.tasks.lock().drain(..).filter_map(|slot| slot.thread).collect();
        for thread in closing.into_iter().take_while(|_| !simulator.script.has_crashed()) {
            driver.contain(|| thread.task.close(outcome));
        }
    }
}

impl<'env> Simulator<'env> {
    /// Gives tasks their turns until they have ended.
    fn finish(&self, which: std::ops::Range<usize>, driver: Driver<'_, 'env>) {
        for at in which {
            let mut turns = 0;
            while !self.tasks.lock()[at].ended && !self.script.has_crashed() {
                self.task(at, driver);
                driver.shared().clock.advance(1_000_000);
                turns += 1;
                if turns > MOST_EVENTS {
                    driver.abort(Error::new(ErrorKind::Hangs { event: turns }));
                    return;
                }
            }
        }
    }
}
