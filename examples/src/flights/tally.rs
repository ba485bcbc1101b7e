//! Counts and delays of a group of flights.

use super::code::Code;
use super::flight::Flight;
use std::collections::BTreeMap;

/// A carrier on a route: what flights are grouped by. Carriers and routes are put together of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "they say it themselves")]
pub struct Key {
    pub carrier: Code<8>,
    pub origin: Code<8>,
    pub dest: Code<8>,
}

impl Key {
    /// The group of a flight.
    #[must_use]
    pub fn of(flight: &Flight) -> Self {
        Key { carrier: flight.carrier, origin: flight.origin, dest: flight.dest }
    }
}

/// What is known of a group of flights. The sums are of whole minutes, so they are exact in whatever order they are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// All flights, the cancelled ones too.
    pub flights: u64,
    /// Those whose delay at departure is known.
    pub departed: u64,
    /// The delays of these together, in minutes.
    pub dep_delay: i64,
    /// Those whose delay at arrival is known.
    pub arrived: u64,
    /// The delays of these together, in minutes.
    pub arr_delay: i64,
}

impl Tally {
    /// Takes a flight in.
    pub fn add(&mut self, flight: &Flight) {
        self.flights += 1;
        self.departed += u64::from(flight.dep_delay.is_some());
        self.dep_delay += i64::from(flight.dep_delay.unwrap_or(0));
        self.arrived += u64::from(flight.arr_delay.is_some());
        self.arr_delay += i64::from(flight.arr_delay.unwrap_or(0));
    }

    /// Takes another group in.
    pub fn merge(&mut self, other: &Tally) {
        self.flights += other.flights;
        self.departed += other.departed;
        self.dep_delay += other.dep_delay;
        self.arrived += other.arrived;
        self.arr_delay += other.arr_delay;
    }

    /// The mean delay at departure in minutes, if any flight departed.
    #[must_use]
    pub fn mean_dep_delay(&self) -> Option<f64> {
        (self.departed > 0).then(|| self.dep_delay as f64 / self.departed as f64)
    }

    /// The mean delay at arrival in minutes, if any flight arrived.
    #[must_use]
    pub fn mean_arr_delay(&self) -> Option<f64> {
        (self.arrived > 0).then(|| self.arr_delay as f64 / self.arrived as f64)
    }
}

/// Puts groups together that have the same part of their key.
pub fn roll_up<K: Ord>(groups: &BTreeMap<Key, Tally>, part: impl Fn(&Key) -> K) -> BTreeMap<K, Tally> {
    let mut whole: BTreeMap<K, Tally> = BTreeMap::new();
    for (key, tally) in groups {
        whole.entry(part(key)).or_default().merge(tally);
    }
    whole
}
