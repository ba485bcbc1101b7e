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

#[cfg(test)]
mod tests {
    use super::super::{StageCell, read_stage};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A stage that leads its segment, on as many workers, and was busy for so many milliseconds of a second.
    fn stage(kind: Kind, workers: usize, busy: u64) -> StageReport {
        let cell = StageCell::new(format!("{kind:?}").to_lowercase(), kind, kind as usize, workers).leading();
        StageReport { busy: Duration::from_millis(busy), items_in: 1, ..read_stage(&cell, SECOND) }
    }

    fn advice(stages: &[StageReport]) -> String {
        Verdict::of(stages, SECOND, 2).advice
    }

    #[test]
    fn the_stage_that_was_busy_for_the_largest_share_is_named() {
        let stages = [stage(Kind::Extract, 1, 600), stage(Kind::Transform, 2, 1_500), stage(Kind::Store, 1, 700)];
        let verdict = Verdict::of(&stages, SECOND, 2);
        assert_eq!((verdict.stage.as_deref(), verdict.utilization), (Some("transform"), 0.75));
    }

    #[test]
    fn stages_that_lead_nothing_or_had_nothing_to_do_are_not_named() {
        let fused = StageReport { leads_segment: false, ..stage(Kind::Transform, 1, 900) };
        let empty = StageReport { items_in: 0, ..stage(Kind::Store, 1, 900) };
        assert_eq!(Verdict::of(&[fused, empty], SECOND, 2).stage, None);
    }

    #[test]
    fn no_stage_is_the_limit_that_was_idle_for_more_than_half_of_the_time() {
        assert!(advice(&[stage(Kind::Extract, 1, 500)]).starts_with("the source is the limit"));
        assert!(advice(&[stage(Kind::Extract, 1, 499)]).starts_with("no stage was busy"));
    }

    #[test]
    fn stages_that_fill_the_pool_together_need_more_cores() {
        let all = [stage(Kind::Extract, 1, 300), stage(Kind::Transform, 2, 400), stage(Kind::Store, 1, 300)];
        assert!(advice(&all).starts_with("the CPU stages together kept the 2 pool threads busy"));
        assert!(advice(&all[..2]).starts_with("no stage was busy"), "seven tenths of two threads");
        let [mut apart, ..] = all.clone();
        apart.own_threads = true;
        assert!(advice(&[&[apart], &all[1..]].concat()).starts_with("no stage was busy"), "it is not on the pool");
        assert_eq!(cpu_share(&all, SECOND, 2), 0.5);
        assert_eq!(cpu_share(&all, Duration::ZERO, 2), 0.0);
    }

    #[test]
    fn the_advice_is_that_for_its_kind_and_its_workers() {
        assert!(advice(&[stage(Kind::Store, 1, 900)]).contains("one item at a time, so batch before it"));
        assert_eq!(
            advice(&[stage(Kind::Store, 2, 1_800)]),
            "`store` keeps all 2 workers busy: make it cheaper, or run on more cores"
        );
        assert_eq!(advice(&[stage(Kind::Transform, 1, 900)]), "`transform` is limited to 1 workers: give it more");
        let apart = StageReport { own_threads: true, ..stage(Kind::Transform, 4, 3_600) };
        assert!(advice(&[apart]).starts_with("`transform` waits on all of its 4 threads"));
        let mut fused = StageReport { leads_segment: false, ..stage(Kind::Transform, 1, 0) };
        fused.name = "filter".into();
        assert!(advice(&[stage(Kind::Transform, 1, 900), fused]).starts_with("`transform + filter` is limited"));
    }
}
