//! Do the tests test? Known-bad changes, each of which a named test must catch.
//!
//! The program copies the workspace, makes one change, runs the test that should catch it, and says whether it failed as it
//! should. A change whose place is not found is an error: it has to follow the code.
//!
//! What it builds lies in a folder of its own, `planted` in the target folder, and it waits until no other holds that. Cargo tells
//! the crates of a workspace apart by their places in it, not by where it is, and takes for fresh what is younger than its
//! source: in a folder that is shared, a build of the workspace, or another run of this, would go on with a library that has a
//! change of ours in it, or we with one that has not.

use anyhow::{Context, bail, ensure};
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// A change for the worse.
#[derive(Debug)]
pub struct Plant {
    name: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
    caught_by: CaughtBy,
}

/// What is to fail.
#[derive(Debug, Clone, Copy)]
enum CaughtBy {
    /// The first 2,000 seeds.
    Seeds,
    /// A test of the library, with its module.
    Test(&'static str),
    /// A test inside the library.
    Unit(&'static str),
    /// A loom model.
    Model(&'static str),
    /// A test of the torture program, with real processes and signals.
    Process(&'static str),
}

impl CaughtBy {
    fn command(self, workspace: &Path, target: &Path) -> Command {
        let mut command = Command::new("cargo");
        command.current_dir(workspace).env("CARGO_TARGET_DIR", target).args(["test", "--quiet"]);
        match self {
            CaughtBy::Seeds => command.args(["-p", "gristmill-torture", "--no-default-features", "--test", "seeds"]),
            CaughtBy::Test(test) => command.args(["-p", "gristmill", "--test", "it", test]),
            CaughtBy::Unit(test) => command.args(["-p", "gristmill", "--lib", test]),
            CaughtBy::Model(model) => command
                .env("RUSTFLAGS", "--cfg loom")
                // Half as long to build, and no model takes long.
                .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
                .env("LOOM_MAX_PREEMPTIONS", "3")
                // Apart, as all is compiled differently.
                .env("CARGO_TARGET_DIR", target.join("loom"))
                .args(["-p", "gristmill", "--release", "--lib", model]),
            CaughtBy::Process(test) => command.args(["-p", "gristmill-torture", "--test", "signals", test]),
        };
        command
    }

    /// Leaves of the integration tests in the copy only the module that is asked for: most of the time would go into building
    /// the others.
    fn leave_out_others(self, copy: &Path) -> anyhow::Result<()> {
        if let CaughtBy::Test(test) = self {
            let (module, _) = test.split_once("::").context("a test of the library is named with its module")?;
            let main = format!("#![allow(missing_docs, dead_code)]\n\nmod {module};\nmod support;\n");
            std::fs::write(copy.join("crates/gristmill/tests/it/main.rs"), main)?;
        }
        Ok(())
    }
}

/// The changes.
pub const PLANTS: &[Plant] = &[
    Plant {
        name: "places: whoever gives one back calls nobody",
        file: "places.rs",
        from: "        if self.word.fetch_sub(1, Ordering::AcqRel) & WAITING != 0 {\n            self.call(own);",
        to: "        if self.word.fetch_sub(1, Ordering::AcqRel) & WAITING == 0 {\n            self.call(own);",
        caught_by: CaughtBy::Model("two_stages_get_their_places"),
    },
    Plant {
        name: "places: who lines up does not say so",
        file: "places.rs",
        from: "        self.word.fetch_or(WAITING, Ordering::AcqRel);",
        to: "",
        caught_by: CaughtBy::Model("two_stages_get_their_places"),
    },
    Plant {
        name: "order: morsels leave the funnel as they come",
        file: "engine/funnel.rs",
        from: "Order::Source => Waiting::Source { next: 0, slots: VecDeque::new() },",
        to: "Order::Source => Waiting::Unordered(VecDeque::new()),",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "order: a morsel with a key in common may overtake",
        file: "engine/funnel.rs",
        from: "before.iter_mut().zip(keys).for_each(|(before, key)| *before |= key);",
        to: "let _ = &mut before;",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "order: results of a blocking stage are joined as they come",
        file: "engine/blocking.rs",
        from: "parts.sort_unstable_by_key(|part| part.first);",
        to: "let _ = &mut parts;",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "wake-up: what is given back wakes nobody",
        file: "engine/gate.rs",
        from: "            state.freed = true;",
        to: "            state.freed = false;",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "wake-up: a worker goes home whatever was raised since it looked",
        file: "engine/crew.rs",
        from: "            if word as u32 != seen {",
        to: "            if seen == u32::MAX && word as u32 != seen {",
        caught_by: CaughtBy::Model("crew"),
    },
    Plant {
        name: "wake-up: a morsel for a segment calls nobody",
        file: "engine/segment.rs",
        from: "        self.input.lock().lane.push_back(morsel);\n        driver.notify();",
        to: "        self.input.lock().lane.push_back(morsel);\n        let _ = driver;",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "ending: a segment is closed while workers are inside",
        file: "engine/segment.rs",
        from: "input.parked.is_empty() && input.inside == 0 && !input.finished;",
        to: "input.parked.is_empty() && !input.finished;",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "ending: the open batch is forgotten",
        file: "engine/batch.rs",
        from: "    fn close(&mut self, driver: Driver<'_, 'env>) {\n        self.send_open(driver);",
        to: "    fn close(&mut self, driver: Driver<'_, 'env>) {",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "ending: a side branch is not closed",
        file: "engine/fork.rs",
        from: "        self.side.close(driver);\n",
        to: "",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "ending: a drain does not reach the source",
        file: "engine/segment.rs",
        from: "            feed.drain(&self.shared);",
        to: "            let _ = &mut feed;",
        caught_by: CaughtBy::Test("stop::draining_stores_what_is_in_flight"),
    },
    Plant {
        name: "ending: a drain before a source has come to its place is not noted",
        file: "engine/feed.rs",
        from: "            shared.note_drained();\n            self.ended = true;",
        to: "            self.ended = true;",
        caught_by: CaughtBy::Test("endings::a_run_that_is_drained"),
    },
    Plant {
        name: "ending: a caller in the pool sleeps while its stores are finished",
        file: "engine/mod.rs",
        from: "        wait_until(in_pool, || thread.is_finished());",
        to: "        let _ = in_pool;",
        caught_by: CaughtBy::Test("pools::a_caller_in_the_pool"),
    },
    Plant {
        name: "accounts: morsels that are dropped are not counted",
        file: "engine/morsel.rs",
        from: "            self.shared.lost.fetch_add(self.items.len() as u64, Ordering::Relaxed);\n        }\n        if let Some(home)",
        to: "        }\n        if let Some(home)",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "accounts: what a stopped worker leaves is not counted",
        file: "engine/morsel.rs",
        from: "        if self.items.len() > 0 {\n            self.shared.lost",
        to: "        if self.items.len() > usize::MAX / 2 {\n            self.shared.lost",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "accounts: what lies in an intake at a stop is not counted",
        file: "engine/feed.rs",
        from: "        count_lost(self.cell.get().map(|cell| &**cell), left.len());",
        to: "        drop(left);",
        caught_by: CaughtBy::Test("stop::what_lies_ready_at_a_stop_was_extracted_and_is_lost"),
    },
    Plant {
        name: "policy: one failure too few is allowed",
        file: "policy.rs",
        from: "        if failures > self.on_error.limit {",
        to: "        if failures >= self.on_error.limit.max(1) {",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "policy: dead letters are forgotten",
        file: "policy.rs",
        from: "                    lane.post(letter, cx.hold_copy());",
        to: "                    let _ = (lane, letter, cx.hold_copy());",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "panics: an expansion is not gone on with after a panic further down",
        file: "op/expand.rs",
        from: "        let Some(rest) = &mut state.rest else { return };",
        to: "        if state.results > 0 { state.rest = None; }\n        let Some(rest) = &mut state.rest else { return };",
        caught_by: CaughtBy::Test("errors::a_panic_in_the_middle_of_an_expansion_costs_one_item"),
    },
    Plant {
        name: "memory: buffers are used again with what is left in them",
        file: "engine/morsel.rs",
        from: "        buffer.clear();",
        to: "        let _ = &mut buffer;",
        caught_by: CaughtBy::Unit("a_buffer_that_is_used_again_is_empty"),
    },
    Plant {
        name: "memory: open batches are never let go for want of room",
        file: "engine/serial.rs",
        from: "        self.try_let_go(driver, LetGo::All);",
        to: "        let _ = (driver, LetGo::All);",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "memory: a refused item that fits by now is refused all the same",
        file: "engine/gate.rs",
        from: "        if state.returns != grant.returns {\n            return None;\n        }",
        to: "        let _ = grant.returns;",
        caught_by: CaughtBy::Model("an_item_larger_than_the_budget"),
    },
    Plant {
        name: "memory: permits are not given back",
        file: "engine/gate.rs",
        from: "        state.charged -= charge;\n        state.bytes -= bytes;",
        to: "        state.bytes -= bytes;\n        let _ = charge;",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "checkpoint: a batch stays open at a barrier",
        file: "engine/batch.rs",
        from: "if full.barrier.is_some() && !self.open.items.is_empty() {",
        to: "if false {",
        caught_by: CaughtBy::Test("checkpoint::a_run_that_dies_anywhere"),
    },
    Plant {
        name: "checkpoint: letters are stored as they come",
        file: "engine/dead.rs",
        from: "if self.holds {",
        to: "if false {",
        caught_by: CaughtBy::Test("checkpoint::a_run_that_dies_anywhere"),
    },
    Plant {
        name: "checkpoint: letters of an end that is ahead go back with the others",
        file: "engine/barrier.rs",
        from: "let end = roll.ends.len().checked_sub(1).filter(|_| of_end);",
        to: "let end = roll.ends.len().checked_sub(1).filter(|_| of_end && false);",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "checkpoint: the first end that arrives speaks for all",
        file: "engine/barrier.rs",
        from: "        if meeting.arrived < roll.ends.len() {",
        to: "        if meeting.arrived < roll.ends.len().min(1) {",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "turns: a turn is given back later than nothing was found",
        file: "engine/funnel.rs",
        from: "        if matches!(turn, Turn::Leave) {\n            state.taken = false;\n        }",
        to: "        if matches!(turn, Turn::Leave) {\n            drop(state);\n            self.state.lock().taken = false;\n        }",
        caught_by: CaughtBy::Model("funnel"),
    },
    Plant {
        name: "blocking: a morsel without items is swallowed",
        file: "engine/blocking.rs",
        from: "            let out = self.runner.follow(&mut morsel, Vec::new(), origin);\n            self.out.push(out, driver);",
        to: "            let out = self.runner.follow(&mut morsel, Vec::new(), origin);\n            let _ = (out, driver);",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "retry: a wait sleeps on the pool thread",
        file: "op/guarded.rs",
        from: "                let due = cx.now().saturating_add(nanos(wait)).saturating_add(1);",
        to: "                std::thread::sleep(wait);\n                let due = cx.now().saturating_add(1);",
        caught_by: CaughtBy::Test("retry::no_thread_of_the_pool_sleeps_through_a_backoff"),
    },
    Plant {
        name: "retry: what is parked is forgotten when a segment closes",
        file: "engine/segment.rs",
        from: "input.parked.is_empty() && input.inside == 0 && !input.finished;",
        to: "input.inside == 0 && !input.finished;",
        caught_by: CaughtBy::Model("put_aside"),
    },
    Plant {
        name: "retry: a tick calls nobody when something is due",
        file: "engine/segment.rs",
        from: "        if is_due {\n            driver.notify();",
        to: "        if is_due {\n            let _ = driver;",
        caught_by: CaughtBy::Model("put_aside"),
    },
    Plant {
        name: "retry: who takes up something parked is counted in too late",
        file: "engine/segment.rs",
        from: "            input.inside += 1;\n            drop(input);\n            self.take_up(due, driver);",
        to: "            drop(input);\n            self.take_up(due, driver);\n            self.input.lock().inside += 1;",
        caught_by: CaughtBy::Model("put_aside"),
    },
    Plant {
        name: "watchdog: it is silent",
        file: "engine/watch.rs",
        from: "            if running >= limit {",
        to: "            if running >= limit && entry.said {",
        caught_by: CaughtBy::Test("lifecycle::the_watchdog_names_the_stage"),
    },
    Plant {
        name: "signals: a second one does nothing",
        file: "signals.rs",
        from: "            1 => self.token.cancel(),",
        to: "            1 => {}",
        caught_by: CaughtBy::Process("a_second_signal_cancels"),
    },
    Plant {
        name: "checkpoint: it is kept before the store commits",
        file: "pipeline/end.rs",
        from: "        let receipt = if progress.position() < has { Receipt::none() } else { self.commit(&progress)? };\n        \
               self.seat.as_ref().map_or(Ok(()), |seat| seat.committed(&barrier, receipt))",
        to: "        self.seat.as_ref().map_or(Ok(()), |seat| seat.committed(&barrier, Receipt::none()))?;\n        \
             if progress.position() >= has { self.commit(&progress)?; }\n        Ok(())",
        caught_by: CaughtBy::Test("checkpoint::a_run_that_dies_anywhere"),
    },
    Plant {
        name: "checkpoint: who waits at a barrier is not told that the letters are stored",
        file: "engine/barrier.rs",
        from: "            meeting.progress = Some(Arc::new(self.progress(barrier, receipts)));\n        }\n        drop(meeting);\n        \
               barrier.change.notify_all();",
        to: "            meeting.progress = Some(Arc::new(self.progress(barrier, receipts)));\n        }\n        drop(meeting);",
        caught_by: CaughtBy::Model("checkpoint"),
    },
    Plant {
        name: "checkpoint: letters are committed before they are stored",
        file: "engine/dead.rs",
        from: "        state.release(barrier.position);\n        \
               state.due.push_back(Next::Settle(Arc::clone(barrier), number));",
        to: "        state.due.push_back(Next::Settle(Arc::clone(barrier), number));\n        \
             state.release(barrier.position);",
        caught_by: CaughtBy::Model("checkpoint"),
    },
    Plant {
        name: "checkpoint: an end commits when it has arrived itself",
        file: "engine/barrier.rs",
        from: "        if meeting.arrived < roll.ends.len() {\n            return;",
        to: "        if meeting.arrived > roll.ends.len() {\n            return;",
        caught_by: CaughtBy::Model("checkpoint"),
    },
    Plant {
        name: "shedding: the newest goes where the oldest should",
        file: "engine/shed.rs",
        from: "            Which::Oldest => self.items.iter().position(Result::is_ok),",
        to: "            Which::Oldest => self.items.iter().rposition(Result::is_ok),",
        caught_by: CaughtBy::Test("shed::exactly_what_has_no_room_goes"),
    },
    Plant {
        name: "shedding: a failure of the source goes like any item",
        file: "engine/shed.rs",
        from: "let goes_itself = coming.item.is_ok() && self.which == Which::Newest;",
        to: "let goes_itself = self.which == Which::Newest;",
        caught_by: CaughtBy::Test("shed::a_failure_of_the_source_is_never_shed"),
    },
    Plant {
        name: "shedding: what goes is not counted",
        file: "engine/shed.rs",
        from: "            cell.add(&Tally { items_in: 1, shed: 1, ..Tally::default() });",
        to: "            cell.add(&Tally { items_in: 1, ..Tally::default() });",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "breaker: a fallback that panics is tried again",
        file: "op/guarded.rs",
        from: "        if std::mem::take(&mut state.falls_back) {",
        to: "        if std::mem::take(&mut state.falls_back) && at != policy.at() {",
        caught_by: CaughtBy::Test("fallback::a_fallback_that_fails_or_panics"),
    },
    Plant {
        name: "breaker: a fallback that panics takes its item with it",
        file: "op/guarded.rs",
        from: "            *kept = policy.copy(&item);\n            fallback(item)",
        to: "            fallback(item)",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "breaker: who has to wait for a token goes to the fallback as well",
        file: "guards.rs",
        from: "limit.try_take(since, now)).map_err(Refusal::Until)",
        to: "limit.try_take(since, now)).map_err(|at| if self.guards.falls_back { Refusal::Open } else { Refusal::Until(at) })",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "limits: who finds no place goes to the fallback",
        file: "guards.rs",
        from: "limit.try_enter().ok_or(Refusal::Full)?",
        to: "limit.try_enter().ok_or(if self.guards.falls_back { Refusal::Open } else { Refusal::Full })?",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "limits: a token at the old rate undoes that a new one was heeded",
        file: "limit.rs",
        from: "if self.interval.load(Ordering::Relaxed) != interval {",
        to: "if interval == 0 {",
        caught_by: CaughtBy::Model("a_rate_that_is_raised"),
    },
    Plant {
        name: "limits: one place too many",
        file: "places.rs",
        from: "    (word / LIMIT).saturating_sub(taken(word)) as usize",
        to: "    (word / LIMIT + 1).saturating_sub(taken(word)) as usize",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "limits: an attempt that panics keeps its place",
        file: "guards.rs",
        from: "        if !self.settled {\n            self.tell",
        to: "        if !self.settled && self.place.is_none() {\n            self.tell",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "limits: a place is kept although there was no token",
        file: "guards.rs",
        from: "            limit.give_back();\n",
        to: "            let _ = limit;\n",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "limits: what the last in line was told holds for the first, who does not wait for a place",
        file: "engine/lot.rs",
        from: "            None | Some(NEVER) => self.first_asks_at(line),",
        to: "            None | Some(NEVER) => self.first_asks_at(line).max(NEVER),",
        caught_by: CaughtBy::Unit("who_waits_for_a_time_before_others"),
    },
    Plant {
        name: "breaker: one probe too many",
        file: "breaker.rs",
        from: "State::HalfOpen { begun, .. } if *begun < self.rules.probes => {",
        to: "State::HalfOpen { begun, .. } if *begun <= self.rules.probes => {",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "breaker: a probe that was none is not given back",
        file: "guards.rs",
        from: "            breaker.tell(ticket, None, self.began);",
        to: "            let _ = (breaker, ticket);",
        caught_by: CaughtBy::Seeds,
    },
    Plant {
        name: "watchdog: what waits for a place is taken for stuck",
        file: "engine/segment.rs",
        from: "is_waiting && input.parked.waits_for_place() {",
        to: "is_waiting && input.parked.waits_for_place() && input.parked.is_empty() {",
        caught_by: CaughtBy::Test("waiting::items_that_wait_for_a_place_are_not_stuck"),
    },
    Plant {
        name: "watchdog: what waits for a known time is taken for stuck",
        file: "engine/segment.rs",
        from: "                self.shared.expect(unfinished.progress.waiting.expected());",
        to: "                let _ = unfinished.progress.waiting.expected();",
        caught_by: CaughtBy::Test("waiting::items_that_wait_for_a_known_time"),
    },
    Plant {
        name: "wake-up: who is in a hurry does not wake the caller of `run`",
        file: "engine/shared.rs",
        from: "self.sleeps_long.swap(false, Ordering::Relaxed) {\n            self.nudge();",
        to: "self.sleeps_long.swap(false, Ordering::Relaxed) {",
        caught_by: CaughtBy::Unit("who_is_in_a_hurry_wakes"),
    },
    Plant {
        name: "wake-up: whoever takes from a full intake does not wake its source",
        file: "engine/feed.rs",
        from: "laid.wake_at.take_if(|wake_at| left <= *wake_at).is_some();",
        to: "laid.wake_at.take_if(|wake_at| left <= *wake_at).is_some() && ended;",
        caught_by: CaughtBy::Unit("a_source_sleeps_until_its_intake"),
    },
    Plant {
        name: "wake-up: a source sleeps until its intake is half empty though morsels are dear",
        file: "engine/feed.rs",
        from: "if shared.pace.is_dear() { most.saturating_sub(1) } else { most / 2 }",
        to: "most / 2",
        caught_by: CaughtBy::Unit("a_source_sleeps_until_its_intake"),
    },
    Plant {
        name: "wake-up: a tick does not announce what was handed in quietly",
        file: "engine/mod.rs",
        from: "            self.announce() | nodes | is_held_up",
        to: "            nodes | is_held_up",
        caught_by: CaughtBy::Test("timely::a_store_with_a_thread_is_told_of_a_quick_item"),
    },
    Plant {
        name: "wake-up: an announcement wakes nobody",
        file: "engine/funnel.rs",
        from: "        if noted {\n            self.arrival.notify_all();\n        }",
        to: "",
        caught_by: CaughtBy::Model("an_owner_gets"),
    },
    Plant {
        name: "wake-up: an owner takes a note away after it has looked",
        file: "engine/funnel.rs",
        from: "        state.note = false;\n        (state, _)",
        to: "        drop(state);\n        let mut state = self.state.lock();\n        state.note = false;\n        (state, _)",
        caught_by: CaughtBy::Model("an_owner_gets"),
    },
    Plant {
        name: "wake-up: a thread that is not wanted any more swallows what it was woken for",
        file: "engine/blocking.rs",
        from: "            node.bell.ring(1);\n        }\n        node.rest.wait",
        to: "        }\n        node.rest.wait",
        caught_by: CaughtBy::Unit("a_thread_that_is_not_wanted_any_more"),
    },
    Plant {
        name: "ending: a cancellation is taken for a drain",
        file: "engine/shared.rs",
        from: "        let is_draining = self.cancel.is_draining();\n        if is_draining {\n            self.heed_cancel();\n        }\n        \
               is_draining",
        to: "        self.heed_cancel();\n        self.cancel.is_draining()",
        caught_by: CaughtBy::Model("a_cancellation_is_not_taken"),
    },
];

/// Plants all, or those whose names contain one of the words, and says which were caught.
///
/// # Errors
///
/// If one was not caught, or its place was not found, or a word is in no name.
pub fn run(args: impl Iterator<Item = OsString>, out: &mut impl Write) -> anyhow::Result<()> {
    let words: Vec<String> = args.map(|word| word.to_string_lossy().into_owned()).collect();
    let chosen = choose(&words)?;
    let source = workspace()?;
    let target = target_in(&source);
    let _lock = lock(&target).with_context(|| format!("cannot lock {}", target.display()))?;
    let copy = std::env::temp_dir().join(format!("gristmill-planted-{}", std::process::id()));
    copy_tree(&source, &copy).with_context(|| format!("cannot copy the workspace to {}", copy.display()))?;
    let mut missed = Vec::new();
    for plant in &chosen {
        let began = Instant::now();
        let said = match plant.is_caught(&copy, &target) {
            Ok(true) => "caught".to_owned(),
            Ok(false) => "MISSED".to_owned(),
            Err(error) => format!("NOT PLANTED ({error:#})"),
        };
        writeln!(out, "{said}: {} ({:.0?})", plant.name, began.elapsed())?;
        out.flush()?;
        if said != "caught" {
            missed.push(plant.name);
        }
    }
    std::fs::remove_dir_all(&copy)?;
    ensure!(missed.is_empty(), "not caught: {missed:?}");
    writeln!(out, "all {} caught", chosen.len())?;
    Ok(())
}

/// Those whose names contain one of the words; all if there are no words.
fn choose(words: &[String]) -> anyhow::Result<Vec<&'static Plant>> {
    for word in words {
        ensure!(
            PLANTS.iter().any(|plant| plant.name.contains(word.as_str())),
            "no planted bug has `{word}` in its name"
        );
    }
    let is_meant = |plant: &&Plant| words.is_empty() || words.iter().any(|word| plant.name.contains(word.as_str()));
    Ok(PLANTS.iter().filter(is_meant).collect())
}

impl Plant {
    fn is_caught(&self, copy: &Path, target: &Path) -> anyhow::Result<bool> {
        let file = Path::new("crates/gristmill/src").join(self.file);
        let text = std::fs::read_to_string(copy.join(&file))?;
        ensure!(
            text.matches(self.from).count() == 1,
            "`{}`: its place in {} is not there once",
            self.name,
            file.display()
        );
        std::fs::write(copy.join(&file), text.replacen(self.from, self.to, 1))?;
        let caught = self.makes_a_test_fail(copy, target);
        std::fs::write(copy.join(&file), text)?;
        caught
    }

    /// That it compiles is the plant's business, that the test fails the test's.
    fn makes_a_test_fail(&self, copy: &Path, target: &Path) -> anyhow::Result<bool> {
        self.caught_by.leave_out_others(copy)?;
        let built = self
            .caught_by
            .command(copy, target)
            .arg("--no-run")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()?;
        if !built.status.success() {
            bail!("it does not compile: {}", String::from_utf8_lossy(&built.stderr));
        }
        let tested = self.caught_by.command(copy, target).stderr(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&tested.stdout);
        // A test that was renamed would let everything through.
        let mut runs = said.lines().filter_map(|line| line.strip_prefix("running "));
        ensure!(runs.any(|tests| !tests.starts_with("0 ")), "there is no test of that name");
        Ok(!tested.status.success())
    }
}

/// Where to build.
fn target_in(workspace: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from).join("planted")
}

/// Waits for the folder, and keeps it until the file is dropped.
fn lock(target: &Path) -> std::io::Result<File> {
    std::fs::create_dir_all(target)?;
    let lock = File::create(target.join("in-use"))?;
    lock.lock()?;
    Ok(lock)
}

fn workspace() -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir()?;
    let found = here.ancestors().find(|folder| folder.join("crates/gristmill/src").is_dir());
    found.map(Path::to_path_buf).context("to be run inside the workspace of gristmill")
}

/// Copies what a build needs: not what builds have left, not the history.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            if name != "target" && name != ".git" {
                copy_tree(&entry.path(), &to.join(name))?;
            }
        } else if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plant_has_its_place() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gristmill/src");
        for plant in PLANTS {
            let text = std::fs::read_to_string(source.join(plant.file)).unwrap();
            assert_eq!(text.matches(plant.from).count(), 1, "`{}` in {}", plant.name, plant.file);
        }
    }

    #[test]
    fn words_choose_and_none_is_in_vain() {
        let chosen = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            choose(&words).map(|plants| plants.len())
        };
        let (order, checkpoint) = (chosen(&["order:"]).unwrap(), chosen(&["checkpoint:"]).unwrap());
        assert!(order > 0 && checkpoint > 0);
        assert_eq!(chosen(&["order:", "checkpoint:"]).unwrap(), order + checkpoint);
        assert_eq!(chosen(&[]).unwrap(), PLANTS.len());
        assert!(chosen(&["order:", "no such word"]).unwrap_err().to_string().contains("no such word"));
    }
}
