//! One flight: a row of the CSV, typed.

use super::code::Code;
use gristmill::BoxError;
use gristmill_connect::csv::{CsvError, Header, Row};

/// A flight as its row says. Times of day are local `HHMM`, delays are minutes and negative if early.
///
/// What may be missing is an `Option`: a cancelled flight has neither departed nor arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns are described with the data")]
pub struct Flight {
    pub year: u16,
    pub month: u8,
    pub day: u8,
    pub dep_time: Option<u16>,
    pub sched_dep_time: u16,
    pub dep_delay: Option<i16>,
    pub arr_time: Option<u16>,
    pub sched_arr_time: u16,
    pub arr_delay: Option<i16>,
    pub carrier: Code<8>,
    pub flight: u32,
    pub tailnum: Option<Code<8>>,
    pub origin: Code<8>,
    pub dest: Code<8>,
    pub air_time: Option<u16>,
    pub distance: u32,
    pub hour: u8,
    pub minute: u8,
    pub time_hour: Code<24>,
}

/// A flight with the names behind its codes, where they are known.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "they say it themselves")]
pub struct FlightRow<'tables> {
    pub flight: Flight,
    pub airline: Option<&'tables str>,
    pub origin_name: Option<&'tables str>,
    pub dest_name: Option<&'tables str>,
}

const NAMES: [&str; 19] = [
    "year",
    "month",
    "day",
    "dep_time",
    "sched_dep_time",
    "dep_delay",
    "arr_time",
    "sched_arr_time",
    "arr_delay",
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "air_time",
    "distance",
    "hour",
    "minute",
    "time_hour",
];

/// Where the columns are in one file. Others may stand between them.
#[derive(Debug, Clone)]
pub struct Columns {
    header: Header,
    places: [usize; NAMES.len()],
}

impl Columns {
    /// Looks the columns up.
    ///
    /// # Errors
    ///
    /// When one is missing; the error names the file and the column.
    pub fn of(header: Header) -> Result<Self, CsvError> {
        let places = header.columns(NAMES)?;
        Ok(Columns { header, places })
    }

    /// The header that they were found in.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Parses one row.
    ///
    /// # Errors
    ///
    /// When a field is no number, out of range, too long or no UTF-8, or one that must be there is missing.
    pub fn parse(&self, row: &Row<'_>) -> Result<Flight, BoxError> {
        let [
            year,
            month,
            day,
            dep_time,
            sched_dep_time,
            dep_delay,
            arr_time,
            sched_arr_time,
            arr_delay,
            carrier,
            flight,
            tailnum,
            origin,
            dest,
            air_time,
            distance,
            hour,
            minute,
            time_hour,
        ] = self.places;
        Ok(Flight {
            year: row.parse(year)?,
            month: row.parse(month)?,
            day: row.parse(day)?,
            dep_time: row.optional(dep_time)?,
            sched_dep_time: row.parse(sched_dep_time)?,
            dep_delay: row.optional(dep_delay)?,
            arr_time: row.optional(arr_time)?,
            sched_arr_time: row.parse(sched_arr_time)?,
            arr_delay: row.optional(arr_delay)?,
            carrier: row.parse(carrier)?,
            flight: row.parse(flight)?,
            tailnum: row.optional(tailnum)?,
            origin: row.parse(origin)?,
            dest: row.parse(dest)?,
            air_time: row.optional(air_time)?,
            distance: row.parse(distance)?,
            hour: row.parse(hour)?,
            minute: row.parse(minute)?,
            time_hour: row.parse(time_hour)?,
        })
    }
}
