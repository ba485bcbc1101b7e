//! The `fgumi-pipeline-core` crate.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use fgumi_pipeline_core::{
    BranchOrdering, HeapSize, HeldRetry, HeldSlot, Ordered, OrderedBytesSingle, OutputHandles, Pipeline,
    PipelineBuilder, PipelineConfig, QueueSpec, Step, StepCtx, StepKind, StepOutcome, StepProfile, Unpushed,
};

use super::batch::batches;
use crate::case::{Order, Stages};
use crate::fold::Fold;
use crate::job::Job;
use crate::resources::Resources;

/// Bytes of items each edge between two steps holds.
const EDGE_BYTES: u64 = 256 * 1024;

/// A serial source step, a parallel step for each stage and a serial sink step on a pool of
/// `workers` threads, which run all of them. The crate moves batches that carry their own place
/// in the source, and an item type of one integer would only pay for its scheduling; so items are
/// in batches, as many in one as the other contender that batches by hand has.
pub(super) fn run(job: &Job, _: &Resources) -> Fold {
    let fold = Arc::new(Mutex::new(job.fold()));
    let pipeline = build(job, Arc::clone(&fold));
    let config = PipelineConfig { threads: job.workers, ..PipelineConfig::default() };
    pipeline.run(config).expect("no step fails");
    *fold.lock().unwrap_or_else(PoisonError::into_inner)
}

fn build(job: &Job, fold: Arc<Mutex<Fold>>) -> Pipeline {
    let builder = PipelineBuilder::new();
    let source = builder.chain(Source::new(job));
    let inner = Transform::new(job, BranchOrdering::None);
    let last = Transform::new(job, ordering(job.order));
    let transformed = match job.stages {
        Stages::One => source.chain(last),
        Stages::Three => source.chain(inner.clone()).chain(inner).chain(last),
    };
    transformed.chain(Sink { fold }).into_sink_marker();
    builder.build().expect("the chain is complete")
}

fn ordering(order: Order) -> BranchOrdering {
    match order {
        Order::Ordered => BranchOrdering::ByItemOrdinal,
        Order::Unordered => BranchOrdering::None,
    }
}

/// A batch and its place in the source.
struct Batch {
    ordinal: u64,
    items: Vec<u64>,
}

impl HeapSize for Batch {
    fn heap_size(&self) -> usize {
        self.items.heap_size()
    }
}

impl Ordered for Batch {
    fn ordinal(&self) -> u64 {
        self.ordinal
    }
}

/// The profile of a step with one output.
fn profile(name: &'static str, kind: StepKind, ordering: BranchOrdering) -> StepProfile {
    StepProfile {
        name,
        kind,
        sticky: false,
        output_queues: vec![QueueSpec::ByteBounded { limit_bytes: EDGE_BYTES }],
        branch_ordering: vec![ordering],
    }
}

/// The output of a step, and the batch it could not push yet.
#[derive(Default)]
struct Output {
    held: HeldSlot<Unpushed<Batch>>,
}

impl Output {
    /// Whether the output takes another batch: nothing is held, or the held batch is gone now.
    fn is_free(&mut self, handles: &OutputHandles<OrderedBytesSingle<Batch>>) -> bool {
        handles.retry_held(&mut self.held) != HeldRetry::StillHeld
    }

    fn push(&mut self, handles: &OutputHandles<OrderedBytesSingle<Batch>>, batch: Batch) {
        if let Err(unpushed) = handles.push(batch) {
            self.held.put(unpushed);
        }
    }
}

/// Emits the integers in batches.
struct Source {
    batches: Box<dyn Iterator<Item = Batch> + Send>,
    output: Output,
}

impl Source {
    fn new(job: &Job) -> Self {
        let batches = (0..).zip(batches(job.items)).map(|(ordinal, items)| Batch { ordinal, items });
        Self { batches: Box::new(batches), output: Output::default() }
    }
}

impl Step for Source {
    type Input = ();
    type Outputs = OrderedBytesSingle<Batch>;

    fn profile(&self) -> StepProfile {
        profile("source", StepKind::Serial, BranchOrdering::None)
    }

    fn try_run(&mut self, ctx: &mut StepCtx<'_, Self>) -> io::Result<StepOutcome> {
        if !self.output.is_free(ctx.outputs) {
            return Ok(StepOutcome::NoProgress);
        }
        let Some(batch) = self.batches.next() else {
            return Ok(StepOutcome::Finished);
        };
        self.output.push(ctx.outputs, batch);
        Ok(StepOutcome::Progress)
    }
}

/// Transforms batches in place.
struct Transform {
    job: Job,
    ordering: BranchOrdering,
    output: Output,
}

impl Transform {
    fn new(job: &Job, ordering: BranchOrdering) -> Self {
        Self { job: *job, ordering, output: Output::default() }
    }
}

impl Clone for Transform {
    fn clone(&self) -> Self {
        Self::new(&self.job, self.ordering)
    }
}

impl Step for Transform {
    type Input = Batch;
    type Outputs = OrderedBytesSingle<Batch>;

    fn profile(&self) -> StepProfile {
        profile("transform", StepKind::Parallel, self.ordering)
    }

    fn try_run(&mut self, ctx: &mut StepCtx<'_, Self>) -> io::Result<StepOutcome> {
        if !self.output.is_free(ctx.outputs) {
            return Ok(StepOutcome::NoProgress);
        }
        let Some(mut batch) = ctx.input.pop() else {
            return Ok(idle(ctx.input.is_drained()));
        };
        for item in &mut batch.items {
            *item = self.job.work.apply(*item);
        }
        self.output.push(ctx.outputs, batch);
        Ok(StepOutcome::Progress)
    }

    fn new_worker_copy(&self) -> Self {
        self.clone()
    }
}

/// What a step with nothing to pop reports.
fn idle(drained: bool) -> StepOutcome {
    if drained { StepOutcome::Finished } else { StepOutcome::NoProgress }
}

/// Folds the items of batches.
struct Sink {
    fold: Arc<Mutex<Fold>>,
}

impl Step for Sink {
    type Input = Batch;
    type Outputs = ();

    fn profile(&self) -> StepProfile {
        StepProfile {
            name: "sink",
            kind: StepKind::Serial,
            sticky: false,
            output_queues: Vec::new(),
            branch_ordering: Vec::new(),
        }
    }

    fn try_run(&mut self, ctx: &mut StepCtx<'_, Self>) -> io::Result<StepOutcome> {
        let Some(batch) = ctx.input.pop() else {
            return Ok(idle(ctx.input.is_drained()));
        };
        self.fold.lock().unwrap_or_else(PoisonError::into_inner).extend(batch.items);
        Ok(StepOutcome::Progress)
    }
}
