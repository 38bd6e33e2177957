//! `maglane table study`: how even the fills are, and whom failing backends disrupt.
//!
//! # Source
//! Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 5.3.

mod connections;
mod plan;
mod plot;
mod report;
mod segment;
mod site;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use maglane_spec::TableImage;
use maglane_table::config::Scheduler;
use maglane_table::study::{Method, Moved, Outage, Spread};

use crate::args::StudyArgs;
use crate::input;
use crate::output::{self, Console};
use crate::progress;
use connections::Connections;
use plan::Plan;
use report::{Balance, ConnectionSeries, Point, Report, SlotSeries};
use site::Site;

/// File names of the plots.
const PLOTS: [&str; 2] = ["balance.svg", "disruption.svg"];

/// Runs the command.
pub(super) fn run(args: &StudyArgs) -> Result<()> {
    let plan = Plan::new(args)?;
    let paths: Option<[PathBuf; 2]> = args.out.as_ref().map(|directory| PLOTS.map(|name| directory.join(name)));
    for path in paths.iter().flatten() {
        input::check_output(path, &[])?;
    }
    let report = measure(&plan)?;
    if let Some(paths) = &paths {
        for (path, image) in paths.iter().zip([plot::balance(&report)?, plot::disruption(&report)?]) {
            output::write_file(path, image.as_bytes())?;
        }
    }
    let mut console = Console::new();
    if args.json {
        return console.json(&report);
    }
    write!(console, "{}", report.text())?;
    for path in paths.iter().flatten() {
        writeln!(console, "{}", path.display())?;
    }
    Ok(())
}

fn measure(plan: &Plan) -> Result<Report> {
    let site = Site::new(plan.backends, plan.seed);
    let mut report = Report {
        backends: plan.backends,
        seed: plan.seed,
        trials: plan.trials,
        flows: plan.flows,
        flows_untracked: 0,
        tracked_disrupted: 0,
        balance: balance(plan, &site),
        slots: slots(plan, &site),
        connections: Vec::new(),
    };
    connections(plan, &site, &mut report)?;
    Ok(report)
}

/// How even every fill is, by table size.
fn balance(plan: &Plan, site: &Site) -> Vec<Balance> {
    let bar = progress::bar("balance".to_owned(), plan.sizes.iter().map(|&size| u64::from(size)).sum(), "slots");
    let mut found = Vec::new();
    for &size in &plan.sizes {
        for method in Method::ALL {
            let spread = Spread::of(&method.fill(site.identities(), size), plan.backends);
            found.push(Balance::new(method, size, spread));
        }
        bar.inc(u64::from(size));
    }
    found
}

/// What outages move in the Maglev tables. The other fills move the slots of failed backends only.
fn slots(plan: &Plan, site: &Site) -> Vec<SlotSeries> {
    let tables = plan.sizes.len() * plan.failures.len() * plan.trials as usize;
    let bar = progress::bar("slots".to_owned(), tables as u64, "tables");
    let series = plan.sizes.iter().map(|&size| {
        let before = Method::Maglev.fill(site.identities(), size);
        let point = |&failures: &u16| {
            let mut moved = Moved::default();
            for trial in 0..plan.trials {
                let outage = plan.outage(failures, trial);
                moved += outage.moved(&before, &outage.fill(Method::Maglev, site.identities(), size));
                bar.inc(1);
            }
            Point::new(failures, moved)
        };
        SlotSeries { table_size: size, points: plan.failures.iter().map(point).collect() }
    });
    series.collect()
}

/// Whom outages move among open connections.
fn connections(plan: &Plan, site: &Site, report: &mut Report) -> Result<()> {
    // Opening takes two segments of each connection, a series one of each at every outage; hash mod N takes none.
    let tables = [(Scheduler::Maglev, plan.size_max()), (Scheduler::Ring, plan.size_max())];
    let smaller = plan.size_smaller().map(|size| (Scheduler::Maglev, size));
    let series = tables.len() + 1 + usize::from(smaller.is_some());
    let segments = 2 * (series - 1) + series * plan.failures.len() * plan.trials as usize;
    let bar = progress::bar("connections".to_owned(), segments as u64 * u64::from(plan.flows), "segments");
    let step = |segments: u64| bar.inc(segments);

    for (scheduler, size) in tables.into_iter().chain(smaller) {
        let is_main = report.connections.is_empty();
        let open = Connections::open(&site.image(scheduler, size, None)?, plan.flows, &step)?;
        let (mut lost_table, mut with_table, mut modulo) = (Vec::new(), Vec::new(), Vec::new());
        for &failures in &plan.failures {
            let (mut elsewhere, mut here, mut direct) = (Moved::default(), Moved::default(), Moved::default());
            for trial in 0..plan.trials {
                let outage = plan.outage(failures, trial);
                let image: Arc<TableImage> = site.image(scheduler, size, Some(&outage))?;
                elsewhere += outage.moved(open.backends(), &open.elsewhere(&image, &step)?);
                if is_main {
                    let after = open.after_update(&image, &step)?;
                    here += outage.moved(open.backends(), &after);
                    report.tracked_disrupted += open.tracked_disrupted(&outage, &after);
                    direct += modulo_moved(&open, plan, &outage);
                }
            }
            lost_table.push(Point::new(failures, elsewhere));
            with_table.push(Point::new(failures, here));
            modulo.push(Point::new(failures, direct));
        }
        let series = |flow_table, points| ConnectionSeries {
            method: scheduler.word(),
            table_size: Some(size),
            flow_table,
            points,
        };
        if is_main {
            report.flows_untracked = open.untracked();
            report.connections.push(ConnectionSeries {
                method: report::MODULO,
                table_size: None,
                flow_table: false,
                points: modulo,
            });
            report.connections.push(series(true, with_table));
        }
        report.connections.push(series(false, lost_table));
    }
    report.connections.sort_by_key(ConnectionSeries::rank);
    Ok(())
}

/// What an outage moves when connections go to the backend of their hash modulo the number of backends that are left.
fn modulo_moved(open: &Connections, plan: &Plan, outage: &Outage) -> Moved {
    let all: Vec<u16> = (0..plan.backends).collect();
    outage.moved(&modulo(open.hashes(), &all), &modulo(open.hashes(), &outage.survivors()))
}

fn modulo(hashes: &[u64], backends: &[u16]) -> Vec<u16> {
    let index = |hash: u64| usize::try_from(hash % backends.len() as u64).unwrap_or(0);
    hashes.iter().map(|&hash| backends[index(hash)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modulo_by_hand() {
        assert_eq!(modulo(&[0, 1, 2, 3, 7, u64::MAX], &[0, 1, 2]), [0, 1, 2, 0, 1, 0]);
        assert_eq!(modulo(&[0, 1, 2, 3, 7, u64::MAX], &[0, 2]), [0, 2, 0, 2, 2, 2]);
    }
}
