//! Connections through the software pipeline, before and after an update of its tables.

use std::sync::Arc;

use anyhow::{Result, bail};
use maglane_spec::{FlowOutcome, TableImage, Verdict};
use maglane_sw::{Pipeline, Trace};
use maglane_table::study::Outage;

use super::segment::Segment;

/// Connections between two steps of the progress bar.
const STEP: u32 = 1 << 12;

/// Open connections, and the pipeline that they were opened through.
#[derive(Debug)]
pub(super) struct Connections {
    pipeline: Pipeline,
    /// The backend of each.
    backends: Vec<u16>,
    /// The flow hash of each.
    hashes: Vec<u64>,
    /// Whether the flow table has room for it.
    tracked: Vec<bool>,
}

impl Connections {
    /// Opens connections: of each a SYN, then a segment of data, then the next one.
    pub(super) fn open(image: &Arc<TableImage>, flows: u32, step: &dyn Fn(u64)) -> Result<Self> {
        let mut pipeline = Pipeline::new(image.geometry);
        pipeline.load_shared(Arc::clone(image))?;
        let mut traces = Vec::with_capacity(flows as usize);
        each(flows, 2, step, |flow, out| {
            forwarded(&mut pipeline, Segment::Syn, flow, out)?;
            traces.push(forwarded(&mut pipeline, Segment::Data, flow, out)?);
            Ok(())
        })?;
        Ok(Self {
            pipeline,
            backends: traces.iter().map(|trace| trace.backend).collect(),
            hashes: traces.iter().map(|trace| trace.hash).collect(),
            tracked: traces.iter().map(|trace| trace.flow == FlowOutcome::Hit).collect(),
        })
    }

    /// The backend of each connection.
    pub(super) fn backends(&self) -> &[u16] {
        &self.backends
    }

    /// The flow hash of each connection.
    pub(super) fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Connections that the flow table has no room for.
    pub(super) fn untracked(&self) -> u64 {
        self.tracked.iter().map(|&tracked| u64::from(!tracked)).sum()
    }

    /// The backend that the next segment of each connection meets after an update of the tables, the flow table kept.
    pub(super) fn after_update(&self, image: &Arc<TableImage>, step: &dyn Fn(u64)) -> Result<Vec<u16>> {
        let mut pipeline = self.pipeline.clone();
        pipeline.update_shared(Arc::clone(image))?;
        self.next(pipeline, step)
    }

    /// The same where the flow table is lost, or on another machine that has no part in it.
    pub(super) fn elsewhere(&self, image: &Arc<TableImage>, step: &dyn Fn(u64)) -> Result<Vec<u16>> {
        let mut pipeline = Pipeline::new(image.geometry);
        pipeline.load_shared(Arc::clone(image))?;
        self.next(pipeline, step)
    }

    /// Of the connections that the flow table holds, those that it has nevertheless not kept.
    pub(super) fn tracked_disrupted(&self, outage: &Outage, after: &[u16]) -> u64 {
        let tracked = |backends: &[u16]| -> Vec<u16> {
            backends.iter().zip(&self.tracked).filter(|&(_, &tracked)| tracked).map(|(&backend, _)| backend).collect()
        };
        outage.moved(&tracked(&self.backends), &tracked(after)).disrupted
    }

    fn next(&self, mut pipeline: Pipeline, step: &dyn Fn(u64)) -> Result<Vec<u16>> {
        let mut backends = Vec::with_capacity(self.backends.len());
        let flows = u32::try_from(self.backends.len())?;
        each(flows, 1, step, |flow, out| {
            backends.push(forwarded(&mut pipeline, Segment::Data, flow, out)?.backend);
            Ok(())
        })?;
        Ok(backends)
    }
}

/// Goes through all connections, with a buffer, and tells of the segments on the way.
fn each(
    flows: u32,
    segments: u64,
    step: &dyn Fn(u64),
    mut act: impl FnMut(u32, &mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    let mut out = Vec::new();
    for flow in 0..flows {
        act(flow, &mut out)?;
        if (flow + 1) % STEP == 0 {
            step(segments * u64::from(STEP));
        }
    }
    step(segments * u64::from(flows % STEP));
    Ok(())
}

/// Sends a segment, all at one time, so that no entry of the flow table expires.
fn forwarded(pipeline: &mut Pipeline, segment: Segment, flow: u32, out: &mut Vec<u8>) -> Result<Trace> {
    let trace = pipeline.process_frame(0, &segment.frame(flow), out);
    if trace.verdict != Verdict::Forward {
        bail!("connection {flow} is not forwarded but {}: this is a fault of the program", trace.verdict.name());
    }
    Ok(trace)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use maglane_table::config::Scheduler;

    use super::*;
    use crate::command::table::study::site::Site;

    const BACKENDS: u16 = 20;

    fn image(site: &Site, outage: Option<&Outage>) -> Arc<TableImage> {
        site.image(Scheduler::Maglev, 251, outage).unwrap()
    }

    #[test]
    fn lookup_table_decides_without_a_flow_table_and_gives_way_to_it() {
        let site = Site::new(BACKENDS, 1);
        let before = image(&site, None);
        let open = Connections::open(&before, 5_000, &|_| ()).unwrap();
        // The contract's selection: index = (g[63:32] * M) >> 32, g = h where the affinity is the whole tuple.
        let chosen = |image: &TableImage| -> Vec<u16> {
            let index = |hash: u64| usize::try_from(((hash >> 32) * 251) >> 32).unwrap();
            open.hashes().iter().map(|&hash| image.lookup[index(hash)].value()).collect()
        };
        assert_eq!(open.backends(), chosen(&before));
        assert_eq!(open.untracked(), 0);

        let outage = Outage::draw(BACKENDS, 4, 1, 1);
        let after = image(&site, Some(&outage));
        let (here, elsewhere) = (open.after_update(&after, &|_| ()).unwrap(), open.elsewhere(&after, &|_| ()).unwrap());
        assert_eq!(elsewhere, chosen(&after));
        let by_rule: Vec<u16> = open
            .backends()
            .iter()
            .zip(&elsewhere)
            .map(|(&before, &new)| if outage.has_failed(before) { new } else { before })
            .collect();
        assert_eq!(here, by_rule);
        assert!(outage.moved(open.backends(), &elsewhere).disrupted > 0);
        assert!(here.iter().all(|&backend| !outage.has_failed(backend)));
    }

    #[test]
    fn connections_beyond_the_flow_table_are_counted_and_not_kept() {
        let site = Site::new(BACKENDS, 1);
        // Sixteen sets of eight are full long before a thousand.
        let shrink = |image: Arc<TableImage>| {
            let mut image = TableImage::clone(&image);
            image.geometry.flow_sets = 16;
            Arc::new(image)
        };
        let open = Connections::open(&shrink(image(&site, None)), 1_000, &|_| ()).unwrap();
        assert_eq!(open.untracked(), 1_000 - 16 * 8);
        let outage = Outage::draw(BACKENDS, 4, 1, 1);
        let after = open.after_update(&shrink(image(&site, Some(&outage))), &|_| ()).unwrap();
        assert!(outage.moved(open.backends(), &after).disrupted > 0);
        assert_eq!(open.tracked_disrupted(&outage, &after), 0);
        let elsewhere = open.elsewhere(&shrink(image(&site, Some(&outage))), &|_| ()).unwrap();
        assert!(open.tracked_disrupted(&outage, &elsewhere) > 0, "the tracked are told from the others");
    }

    #[test]
    fn progress_is_told_of_every_segment() {
        let told = Cell::new(0);
        let site = Site::new(BACKENDS, 1);
        let step = |segments| told.set(told.get() + segments);
        let open = Connections::open(&image(&site, None), 5_000, &step).unwrap();
        assert_eq!(told.get(), 10_000);
        open.elsewhere(&image(&site, None), &step).unwrap();
        assert_eq!(told.get(), 15_000);
    }
}
