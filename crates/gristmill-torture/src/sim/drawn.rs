//! A pipeline as a seed draws it.

use super::item::mix;
use std::fmt;

/// Everything that a seed decides about a run but its order.
#[derive(Debug, Clone)]
pub(super) struct Drawn {
    pub(super) seed: u64,
    pub(super) items: u64,
    pub(super) waiting_source: bool,
    /// Only of a source that waits.
    pub(super) shedding: Option<Shedding>,
    /// Of a thousand items of the source.
    pub(super) source_failures: u64,
    pub(super) stages: Vec<Stage>,
    pub(super) end: End,
    pub(super) order: Order,
    pub(super) window: Option<usize>,
    /// In items.
    pub(super) budget: Option<usize>,
    pub(super) morsel: Option<usize>,
    pub(super) interruption: Interruption,
    pub(super) common: Common,
    /// How likely a call is left in its middle, and others go on.
    pub(super) pauses: f64,
}

#[derive(Debug, Clone)]
pub(super) struct Stage {
    pub(super) salt: u64,
    pub(super) kind: StageKind,
}

#[derive(Debug, Clone)]
pub(super) enum StageKind {
    Map,
    /// Leaves out so many of a thousand.
    Filter(u64),
    TryMap(Failing),
    Expand,
    Blocking(usize),
    TryBlocking(usize, Failing),
    State,
    Batch(usize),
    BatchWithin(usize),
    /// A copy of each goes to a side branch.
    Broadcast,
    /// So many of a thousand go to a side branch.
    Route(u64),
}

/// What a source does when the pipeline is full.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shedding {
    pub(super) oldest: bool,
    pub(super) holding: usize,
}

/// How often a stage fails, and what then.
#[derive(Debug, Clone)]
pub(super) struct Failing {
    /// Errors and panics of a thousand.
    pub(super) rates: (u64, u64),
    pub(super) policy: Policy,
    /// How often an item is tried at most.
    pub(super) attempts: u32,
    /// After a panic, too.
    pub(super) after_panics: bool,
    pub(super) limits: Option<Limits>,
}

/// What stands before the attempts of a stage. None but the fallback changes what comes of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) rate: f64,
    pub(super) burst: u32,
    pub(super) at_once: u32,
    /// A breaker looks at so many attempts, and closes after so many probes.
    pub(super) window: usize,
    pub(super) probes: u32,
    /// The limit of attempts at once, and the breaker, are those of all stages that share them.
    pub(super) shares: Shares,
    /// While the breaker is open another answers.
    pub(super) falls_back: bool,
}

/// What a stage has in common with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shares {
    Nothing,
    Limit,
    LimitAndBreaker,
}

/// A limit that stages share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Common {
    pub(super) at_once: u32,
    /// It finds itself, up to that.
    pub(super) adaptive: bool,
    pub(super) window: usize,
    pub(super) probes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    Abort,
    Skip,
    AtMost(u64),
    Collect,
    Dead,
}

#[derive(Debug, Clone)]
pub(super) enum End {
    /// A store that never waits.
    Memory,
    /// A store on a thread of its own that fails now and then.
    Waiting(u64, Failing),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Unordered,
    Source,
    Key,
}

/// What comes between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interruption {
    None,
    /// The item at this position drains, cancels, or crashes.
    Drain(u64),
    Cancel(u64),
    Crash(u64),
}

/// How many keys there are.
pub(super) const KEYS: u64 = 5;

/// Draws one thing after another.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = mix(self.0);
        self.0 % end
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize].clone()
    }

    fn failing(&mut self) -> Failing {
        let rates = self.of(&[(0, 0), (5, 0), (100, 0), (0, 20), (50, 50), (900, 100)]);
        let policies =
            [Policy::Abort, Policy::Skip, Policy::Skip, Policy::AtMost(3), Policy::Collect, Policy::Dead, Policy::Dead];
        let policy = self.of(&policies);
        let (attempts, after_panics) = (self.of(&[1, 1, 2, 5]), self.below(2) == 0);
        let limits = (self.below(3) == 0).then(|| Limits {
            rate: self.of(&[500.0, 20_000.0, f64::INFINITY]),
            burst: self.of(&[1, 7]),
            at_once: self.of(&[1, 2, u32::MAX]),
            window: self.of(&[2, 10, 1_000_000]),
            // These draw nothing, so that the rest of a seed is what it was.
            falls_back: mix(self.0 ^ 0x6661_6C6C).is_multiple_of(2),
            probes: 1 + (mix(self.0 ^ 0x7072_6F62) % 3) as u32,
            shares: Draw(mix(self.0 ^ 0x7368_6172)).of(&[Shares::Nothing, Shares::Limit, Shares::LimitAndBreaker]),
        });
        Failing { rates, policy, attempts, after_panics, limits }
    }

    fn stage(&mut self) -> Stage {
        let kind = match self.below(11) {
            0 => StageKind::Map,
            1 => StageKind::Filter(self.below(1_000)),
            2 => StageKind::TryMap(self.failing()),
            3 => StageKind::Expand,
            4 => StageKind::Blocking(1 + self.below(4) as usize),
            5 => StageKind::TryBlocking(1 + self.below(4) as usize, self.failing()),
            6 => StageKind::State,
            7 => StageKind::Batch(1 + self.below(20) as usize),
            8 => StageKind::BatchWithin(1 + self.below(20) as usize),
            9 => StageKind::Broadcast,
            _ => StageKind::Route(self.below(1_000)),
        };
        Stage { salt: mix(self.0), kind }
    }

    fn common(&mut self) -> Common {
        Common {
            at_once: self.of(&[1, 2, 3]),
            adaptive: self.below(3) == 0,
            window: self.of(&[2, 10]),
            probes: self.of(&[1, 2, 3]),
        }
    }

    fn shedding(&mut self) -> Option<Shedding> {
        let (oldest, holding) = (self.below(2) == 0, self.of(&[1, 2, 5, 40]));
        (self.below(3) == 0).then_some(Shedding { oldest, holding })
    }

    fn interruption(&mut self, items: u64) -> Interruption {
        let at = self.below(items + 1);
        match self.below(10) {
            0 => Interruption::Drain(at),
            1 => Interruption::Cancel(at),
            2 => Interruption::Crash(at),
            _ => Interruption::None,
        }
    }
}

impl Drawn {
    pub(super) fn new(seed: u64) -> Self {
        let mut draw = Draw(mix(seed ^ 0x6772_6973_746D_696C));
        let items = draw.of(&[0, 1, 2, 17, 60, 60, 200, 200, 500]);
        let stages = draw.below(5);
        let waiting_source = draw.below(2) == 0;
        Drawn {
            seed,
            items,
            waiting_source,
            // Drawn apart, so that the rest of a seed is what it was.
            shedding: Draw(mix(seed ^ 0x7368_6564)).shedding().filter(|_| waiting_source),
            source_failures: draw.of(&[0, 0, 0, 30]),
            stages: (0..stages).map(|_| draw.stage()).collect(),
            end: if draw.below(2) == 0 { End::Memory } else { End::Waiting(mix(seed), draw.failing()) },
            order: draw.of(&[Order::Unordered, Order::Source, Order::Source, Order::Key]),
            window: draw.of(&[None, Some(1), Some(2), Some(3), Some(10)]),
            budget: draw.of(&[None, None, Some(1), Some(10), Some(100)]),
            morsel: draw.of(&[None, Some(1), Some(3), Some(7), Some(50)]),
            interruption: draw.interruption(items),
            common: Draw(mix(seed ^ 0x636F_6D6D)).common(),
            pauses: Draw(mix(seed ^ 0x7061_7573)).of(&[0.0, 0.0, 0.05, 0.4]),
        }
    }

    /// Lets no fallback answer.
    pub(super) fn without_fallbacks(&mut self) {
        for stage in &mut self.stages {
            if let StageKind::TryMap(failing) | StageKind::TryBlocking(_, failing) = &mut stage.kind
                && let Some(limits) = &mut failing.limits
            {
                limits.falls_back = false;
            }
        }
    }

    /// Whether it has another end than the store.
    pub(super) fn has_sides(&self) -> bool {
        self.stages.iter().any(|stage| matches!(stage.kind, StageKind::Broadcast | StageKind::Route(_)))
    }

    /// Whether order is restored for all items by a batch on the way, whatever the keys.
    pub(super) fn has_batch(&self) -> bool {
        self.stages.iter().any(|stage| matches!(stage.kind, StageKind::Batch(_) | StageKind::BatchWithin(_)))
    }
}

impl fmt::Display for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#?}")
    }
}
