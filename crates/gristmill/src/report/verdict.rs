//! Which stage holds the pipeline back.

use super::{Kind, StageReport};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The stage that holds the pipeline back, and what would help.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Verdict {
    /// The stage whose workers were busy for the largest share of the run; the first of those fused with it. `None`
    /// if nothing ran.
    pub stage: Option<String>,
    /// That share: near 1.0 the stage is the limit, far below it nothing was.
    pub utilization: f64,
    /// What would help.
    pub advice: String,
}

/// Below this, no stage was busy enough to be called the limit.
const BUSY: f64 = 0.5;

impl Verdict {
    pub(super) fn of(stages: &[StageReport], elapsed: Duration, pool_threads: usize) -> Verdict {
        let busiest = stages
            .iter()
            .filter(|stage| stage.leads_segment && stage.items_in > 0)
            .map(|stage| (stage, stage.utilization(elapsed)))
            .max_by(|(_, a), (_, b)| a.total_cmp(b));
        let Some((stage, utilization)) = busiest else {
            return Verdict { stage: None, utilization: 0.0, advice: "nothing was extracted".into() };
        };
        let cpu = cpu_share(stages, elapsed, pool_threads);
        let advice = if utilization >= BUSY {
            advice_for(stage, &fused_names(stages, stage), pool_threads)
        } else if cpu >= BUSY {
            format!("the CPU stages together kept the {pool_threads} pool threads busy: more cores would help")
        } else {
            "no stage was busy for most of the run: it was too short to tell, or the machine was doing something else"
                .into()
        };
        Verdict { stage: Some(stage.name.clone()), utilization, advice }
    }
}

/// Share of the pool's time that was spent in CPU stages.
fn cpu_share(stages: &[StageReport], elapsed: Duration, pool_threads: usize) -> f64 {
    let mut busy: BTreeMap<usize, f64> = BTreeMap::new();
    for stage in stages.iter().filter(|stage| stage.leads_segment && !stage.own_threads) {
        *busy.entry(stage.segment).or_default() += stage.busy.as_secs_f64();
    }
    let whole = elapsed.as_secs_f64() * pool_threads as f64;
    if whole > 0.0 { busy.values().sum::<f64>() / whole } else { 0.0 }
}

fn fused_names(stages: &[StageReport], lead: &StageReport) -> String {
    let names: Vec<&str> =
        stages.iter().filter(|stage| stage.segment == lead.segment).map(|stage| stage.name.as_str()).collect();
    names.join(" + ")
}

fn advice_for(stage: &StageReport, fused: &str, pool_threads: usize) -> String {
    match stage.kind {
        Kind::Extract => {
            "the source is the limit: what it does for one item is serial, so make it cheaper or let it yield larger \
             pieces that a transform takes apart"
                .into()
        }
        Kind::Store if stage.workers == 1 => {
            "the store is the limit: it takes one item at a time, so batch before it, or move work out of it into a \
             transform"
                .into()
        }
        _ if stage.own_threads => {
            format!(
                "`{fused}` waits on all of its {} threads: give it more, if what it waits for can take them",
                stage.workers
            )
        }
        _ if stage.workers < pool_threads => {
            format!("`{fused}` is limited to {} workers: give it more", stage.workers)
        }
        _ => {
            format!("`{fused}` keeps all {} workers busy: make it cheaper, or run on more cores", stage.workers)
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(stage) = &self.stage {
            write!(f, "`{stage}` was busy {:.0} % of the time; ", self.utilization * 100.0)?;
        }
        f.write_str(&self.advice)
    }
}
