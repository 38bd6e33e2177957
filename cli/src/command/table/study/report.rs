//! What a study found, for a person and for a script.

use maglane_table::study::{Method, Moved, Spread};
use serde::Serialize;

use crate::output::{Columns, counted, thousands};

/// The name of selection without a table: the hash modulo the number of backends.
pub(super) const MODULO: &str = "hash mod N";

/// What a study found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) backends: u16,
    pub(super) seed: u64,
    pub(super) trials: u32,
    pub(super) flows: u32,
    /// Connections that the flow table had no room for.
    pub(super) flows_untracked: u64,
    /// Disrupted connections that it did have room for, over all outages.
    pub(super) tracked_disrupted: u64,
    pub(super) balance: Vec<Balance>,
    pub(super) slots: Vec<SlotSeries>,
    pub(super) connections: Vec<ConnectionSeries>,
}

/// How even a table is.
#[derive(Debug, Serialize)]
pub(super) struct Balance {
    pub(super) method: Method,
    pub(super) table_size: u16,
    #[serde(flatten)]
    pub(super) spread: Spread,
    pub(super) max_ratio: f64,
    pub(super) min_ratio: f64,
}

/// Slots of Maglev tables of one size.
#[derive(Debug, Serialize)]
pub(super) struct SlotSeries {
    pub(super) table_size: u16,
    pub(super) points: Vec<Point>,
}

/// Connections under one way of selection.
#[derive(Debug, Serialize)]
pub(super) struct ConnectionSeries {
    pub(super) method: &'static str,
    /// None where there is no lookup table.
    pub(super) table_size: Option<u16>,
    pub(super) flow_table: bool,
    pub(super) points: Vec<Point>,
}

/// What outages of one size do, added up over the trials.
#[derive(Debug, Serialize)]
pub(super) struct Point {
    pub(super) failures: u16,
    #[serde(flatten)]
    pub(super) moved: Moved,
    pub(super) share_disrupted: f64,
    pub(super) share_changed: f64,
}

impl Report {
    /// The text for a person.
    pub(super) fn text(&self) -> String {
        let trials = counted(self.trials, "trial");
        let mut text = format!(
            "balance of {} of equal weight: most and fewest slots of a backend, by the mean\n{}\n",
            counted(self.backends, "backend"),
            self.balance_text()
        );
        text += &format!(
            "slots of maglev tables that change though their backend has not failed, %, mean of {trials}\n{}\n",
            self.slots_text()
        );
        text += &format!(
            "of {}, those that another backend gets though their own has not failed, %, mean of {trials}\n{}",
            counted(self.flows, "connection"),
            self.connections_text()
        );
        text += &match self.flows_untracked {
            0 => "the flow table has room for all of them\n".to_owned(),
            untracked => format!(
                "the flow table has no room for {}; of those that it holds {} disrupted\n",
                thousands(untracked),
                match self.tracked_disrupted {
                    0 => "none is".to_owned(),
                    some => format!("{} are", thousands(some)),
                }
            ),
        };
        text
    }

    fn balance_text(&self) -> String {
        let mut columns = Columns::new(vec![true; 2 + 2 * Method::ALL.len()]);
        let header =
            Method::ALL.into_iter().flat_map(|method| [format!("{} most", method.name()), "fewest".to_owned()]);
        columns.row(["slots".to_owned(), "mean".to_owned()].into_iter().chain(header).collect::<Vec<_>>());
        for of_size in self.balance.chunks(Method::ALL.len()) {
            let Some(first) = of_size.first() else { continue };
            let ratios = of_size.iter().flat_map(|one| [one.max_ratio, one.min_ratio]);
            let cells = [thousands(first.table_size), format!("{:.2}", first.spread.slots_mean)]
                .into_iter()
                .chain(ratios.map(|ratio| format!("{ratio:.3}")));
            columns.row(cells.collect::<Vec<_>>());
        }
        columns.text()
    }

    fn slots_text(&self) -> String {
        let sizes = self.slots.iter().map(|series| format!("M = {}", thousands(series.table_size)));
        points_text(sizes, self.slots.iter().map(|series| &series.points[..]))
    }

    fn connections_text(&self) -> String {
        let names = self.connections.iter().map(ConnectionSeries::name);
        points_text(names, self.connections.iter().map(|series| &series.points[..]))
    }
}

/// A row for each number of failures, a column for each series.
fn points_text<'a>(names: impl Iterator<Item = String>, series: impl Iterator<Item = &'a [Point]>) -> String {
    let series: Vec<&[Point]> = series.collect();
    let mut columns = Columns::new(vec![true; 1 + series.len()]);
    columns.row(std::iter::once("failed".to_owned()).chain(names).collect::<Vec<_>>());
    for (row, first) in series.first().copied().unwrap_or_default().iter().enumerate() {
        let cells = series.iter().filter_map(|points| points.get(row)).map(Point::percent);
        columns.row(std::iter::once(thousands(first.failures)).chain(cells).collect::<Vec<_>>());
    }
    columns.text()
}

impl Balance {
    pub(super) fn new(method: Method, table_size: u16, spread: Spread) -> Self {
        Self { method, table_size, spread, max_ratio: spread.max_ratio(), min_ratio: spread.min_ratio() }
    }
}

impl Point {
    pub(super) fn new(failures: u16, moved: Moved) -> Self {
        Self { failures, moved, share_disrupted: moved.share_disrupted(), share_changed: moved.share_changed() }
    }

    /// The share of the disrupted in per cent; only what is nothing at all is `0`.
    fn percent(&self) -> String {
        if self.moved.disrupted == 0 { "0".to_owned() } else { format!("{:.4}", 100.0 * self.share_disrupted) }
    }
}

impl ConnectionSeries {
    /// The name of the series in a table.
    fn name(&self) -> String {
        match (self.table_size, self.flow_table) {
            (None, _) => self.method.to_owned(),
            (Some(size), false) => format!("{} {}", self.method, thousands(size)),
            (Some(size), true) => format!("{} {} + flow table", self.method, thousands(size)),
        }
    }

    /// Its place in the order in which series are shown: from most to least disruption, as one would expect it.
    pub(super) fn rank(&self) -> (bool, bool, bool, u16) {
        (self.table_size.is_some(), self.flow_table, self.method == "ring", self.table_size.unwrap_or(0))
    }
}
