//! The pipeline: the five stages one after the other, and the counters.
//!
//! This is the scalar reference, not the fastest that plain Rust can do. Its unit of work is one frame; it neither
//! receives nor transmits. Per frame it does not allocate, lock, log or panic.

use std::sync::Arc;

use maglane_spec::counter::PacketsBytes;
use maglane_spec::limit::{NO_BACKEND, NO_SERVICE};
use maglane_spec::verdict::Egress;
use maglane_spec::{Geometry, TableImage, Verdict};

use crate::engine::{Counters, Engine, EngineError, Frame, Outcome};
#[cfg(feature = "fault")]
use crate::fault::Fault;
use crate::stage::classify::classify;
use crate::stage::flow_hash::flow_hash;
use crate::stage::parse::parse;
use crate::stage::rewrite::rewrite;
use crate::stage::select::select;

/// The name of this engine on the command line.
const NAME: &str = "software";

/// The software pipeline: the tables of a generation, and what it counted since they were loaded.
#[derive(Clone, Debug)]
pub struct Pipeline {
    geometry: Geometry,
    /// None is bypass.
    image: Option<Arc<TableImage>>,
    counters: Counters,
    #[cfg(feature = "fault")]
    fault: Fault,
}

/// An [`Outcome`] without the output, which is in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The verdict.
    pub verdict: Verdict,
    /// Id of the matching service, [`NO_SERVICE`] when classify found none or was not reached.
    pub service: u16,
    /// The flow hash h, 0 when flow_hash was not reached.
    pub hash: u64,
    /// The lookup table's answer, [`NO_BACKEND`] when it was empty or select was not reached.
    pub backend: u16,
}

impl Pipeline {
    /// A pipeline without tables: it passes every frame to the host until an image is loaded.
    #[must_use]
    pub fn new(geometry: Geometry) -> Self {
        Self {
            geometry,
            image: None,
            counters: zero_counters(&geometry),
            #[cfg(feature = "fault")]
            fault: Fault::NONE,
        }
    }

    /// A pipeline that does one thing wrong on purpose, in the stage named, so that tests see a cross-check catch it.
    #[cfg(feature = "fault")]
    #[must_use]
    pub fn with_fault(geometry: Geometry, stage: maglane_spec::Stage) -> Self {
        Self { fault: Fault::in_stage(stage), ..Self::new(geometry) }
    }

    /// Loads tables that several pipelines share, and sets the counters to zero.
    ///
    /// # Errors
    /// When the image was built for other sizes, `bus_bytes` aside: software has no bus. The pipeline is unchanged.
    pub fn load_shared(&mut self, image: Arc<TableImage>) -> Result<(), EngineError> {
        let own = self.geometry;
        if (Geometry { bus_bytes: own.bus_bytes, ..image.geometry }) != own {
            return Err(EngineError::Geometry {
                engine: NAME.to_owned(),
                image: Box::new(image.geometry),
                own: Box::new(own),
            });
        }
        check_sizes(&image).map_err(|message| EngineError::Stopped { engine: NAME.to_owned(), message })?;
        self.image = Some(image);
        self.counters = zero_counters(&own);
        Ok(())
    }

    /// Processes a frame. `out` is emptied first and holds the frame that leaves, if one does; give the same buffer
    /// again and again, so that nothing is allocated.
    pub fn process_frame(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Trace {
        out.clear();
        let mut trace = Trace { verdict: Verdict::Forward, service: NO_SERVICE, hash: 0, backend: NO_BACKEND };
        if let Err(verdict) = self.run(frame, out, &mut trace) {
            trace.verdict = verdict;
        }
        if trace.verdict.egress() == Egress::Host {
            out.extend_from_slice(frame);
        }
        self.count(&trace, frame.len());
        trace
    }

    /// All counters since the tables were loaded, without a copy.
    #[must_use]
    pub fn totals(&self) -> &Counters {
        &self.counters
    }

    /// The five stages. What they find out on the way is noted in `trace`, and stays there when a later one ends the
    /// frame's way.
    fn run(&self, frame: &[u8], out: &mut Vec<u8>, trace: &mut Trace) -> Result<(), Verdict> {
        let image = self.image.as_deref();
        let parsed = parse(image.map(|image| &image.datapath), frame);
        #[cfg(feature = "fault")]
        let parsed = self.fault.after_parse(parsed, image.map(|image| &image.datapath), frame);
        let parsed = parsed?;
        let image = image.ok_or(Verdict::PassBypass)?;

        let service = classify(image, &parsed);
        #[cfg(feature = "fault")]
        let service = self.fault.after_classify(service);
        let service = service.map_err(|refused| {
            trace.service = refused.service;
            refused.verdict
        })?;
        trace.service = service.id.value();

        let hash = flow_hash(&image.datapath, service, &parsed);
        #[cfg(feature = "fault")]
        let hash = self.fault.after_flow_hash(hash, &image.datapath, service, &parsed);
        trace.hash = hash.h;

        let backend = select(image, service, hash);
        #[cfg(feature = "fault")]
        let backend = self.fault.after_select(backend);
        let backend = backend?;
        trace.backend = backend.id;

        rewrite(&image.datapath, service, backend.row, &parsed, hash.h, frame, out)?;
        #[cfg(feature = "fault")]
        self.fault.after_rewrite(&parsed, out);
        Ok(())
    }

    fn count(&mut self, trace: &Trace, frame_len: usize) {
        // Lossless on every target that Rust has.
        let bytes = frame_len as u64;
        add(&mut self.counters.verdicts, usize::from(trace.verdict.code()), bytes);
        if trace.verdict == Verdict::Forward {
            let services = self.counters.services.len();
            add(&mut self.counters.services, usize::from(trace.service) & (services - 1), bytes);
            add(&mut self.counters.backends, usize::from(trace.backend), bytes);
        }
    }
}

impl Engine for Pipeline {
    fn name(&self) -> &str {
        NAME
    }

    fn load(&mut self, image: &TableImage) -> Result<(), EngineError> {
        self.load_shared(Arc::new(image.clone()))
    }

    fn process(&mut self, frames: &[Frame<'_>]) -> Result<Vec<Outcome>, EngineError> {
        Ok(frames
            .iter()
            .map(|frame| {
                let mut output = Vec::new();
                let Trace { verdict, service, hash, backend } = self.process_frame(frame.bytes, &mut output);
                Outcome { verdict, service, hash, backend, output }
            })
            .collect())
    }

    fn counters(&mut self) -> Result<Counters, EngineError> {
        Ok(self.counters.clone())
    }
}

/// That every table has as many rows as the geometry says, and that a mask may stand for a modulo: what the stages
/// rely on to index without a panic.
fn check_sizes(image: &TableImage) -> Result<(), String> {
    let geometry = &image.geometry;
    let rows = [image.services.len() / 2, image.backends.len(), image.lookup.len()];
    let sizes = [geometry.services, geometry.backends, geometry.lookup_entries];
    for ((name, _, size_max), (rows, size)) in Geometry::BOUNDS.into_iter().zip(rows.into_iter().zip(sizes)) {
        if !size.is_power_of_two() || size > size_max || rows != size as usize {
            return Err(format!(
                "the tables have {rows} {name} where their geometry says {size}, a power of two up to {size_max}"
            ));
        }
    }
    Ok(())
}

fn zero_counters(geometry: &Geometry) -> Counters {
    Counters {
        verdicts: vec![PacketsBytes::default(); Verdict::CODES],
        services: vec![PacketsBytes::default(); geometry.services as usize],
        backends: vec![PacketsBytes::default(); geometry.backends as usize],
    }
}

fn add(counters: &mut [PacketsBytes], index: usize, bytes: u64) {
    let counter = &mut counters[index];
    counter.packets = counter.packets.wrapping_add(1);
    counter.bytes = counter.bytes.wrapping_add(bytes);
}

#[cfg(test)]
mod tests {
    use maglane_spec::endian::U16Le;
    use maglane_spec::row::ServiceRow;

    use super::*;
    use crate::fixture::{BACKEND_BARE, BACKEND_IPV6, MTU, VIP, VIP_ALL_TCP, VIP_ALL_UDP, image, tcp, udp};

    fn loaded() -> Pipeline {
        let mut pipeline = Pipeline::new(Geometry::LAB);
        pipeline.load(&image()).unwrap();
        pipeline
    }

    fn run(pipeline: &mut Pipeline, frame: &[u8]) -> Outcome {
        pipeline.process(&[Frame { time_ns: 0, bytes: frame }]).unwrap().remove(0)
    }

    #[test]
    fn forwarded_frame_tells_service_hash_and_backend() {
        let mut pipeline = loaded();
        for (frame, service) in
            [(tcp(VIP, 80, 9), 1), (udp(VIP, 53, 9), 2), (tcp(VIP_ALL_TCP, 1, 9), 3), (udp(VIP_ALL_UDP, 9, 9), 4)]
        {
            let outcome = run(&mut pipeline, &frame);
            assert_eq!((outcome.verdict, outcome.service), (Verdict::Forward, service));
            assert_ne!(outcome.hash, 0);
            assert_eq!(outcome.output[..6], image().backends[usize::from(outcome.backend)].next_hop_mac);
        }
    }

    #[test]
    fn later_verdicts_keep_what_earlier_stages_found() {
        let cases = [
            (udp(VIP, 54, 0), Verdict::PassNoService, NO_SERVICE, false, NO_BACKEND),
            (tcp(VIP, 443, 0), Verdict::DropServiceDisabled, 5, false, NO_BACKEND),
            (tcp(VIP, 8081, 0), Verdict::DropNoBackend, 7, true, NO_BACKEND),
            (tcp(VIP, 8082, 0), Verdict::PassUnsupported, 8, true, NO_BACKEND),
            (tcp(VIP, 8083, 0), Verdict::PassUnsupported, 9, true, NO_BACKEND),
            (tcp(VIP, 8084, 0), Verdict::PassUnsupported, 10, true, BACKEND_BARE),
            (tcp(VIP, 8085, 0), Verdict::PassUnsupported, 11, true, BACKEND_IPV6),
        ];
        let mut pipeline = loaded();
        for (frame, verdict, service, hashed, backend) in cases {
            let outcome = run(&mut pipeline, &frame);
            assert_eq!((outcome.verdict, outcome.service, outcome.backend), (verdict, service, backend));
            assert_eq!(outcome.hash != 0, hashed, "{verdict:?}");
            let expected: &[u8] = if verdict.egress() == Egress::Host { &frame } else { &[] };
            assert_eq!(outcome.output, expected);
        }
        let big = run(&mut pipeline, &tcp(VIP, 80, usize::from(MTU) - 63));
        assert_eq!((big.verdict, big.service), (Verdict::PassTooBig, 1));
        assert!(big.hash != 0 && big.backend != NO_BACKEND);
    }

    #[test]
    fn pipeline_without_tables_bypasses() {
        let mut pipeline = Pipeline::new(Geometry::LAB);
        let frame = tcp(VIP, 80, 0);
        assert_eq!(run(&mut pipeline, &frame), Outcome { output: frame, ..Outcome::early(Verdict::PassBypass) });
        assert_eq!(run(&mut pipeline, &[0; 9_601]), Outcome::early(Verdict::DropTooLong));
        assert_eq!(run(&mut pipeline, &[]), Outcome::early(Verdict::PassBypass));
    }

    #[test]
    fn counters_count_every_verdict_and_forwarded_frames_only_by_service_and_backend() {
        let mut pipeline = loaded();
        let mut padded = udp(VIP, 53, 0);
        padded.resize(60, 0);
        let backend = run(&mut pipeline, &padded).backend;
        run(&mut pipeline, &padded);
        run(&mut pipeline, &tcp(VIP, 8081, 0));
        run(&mut pipeline, &tcp(VIP, 8084, 0));
        let counters = pipeline.totals().clone();
        let both = PacketsBytes { packets: 2, bytes: 120 };
        let one = PacketsBytes { packets: 1, bytes: 54 };
        assert_eq!(counters.verdicts[usize::from(Verdict::Forward.code())], both);
        assert_eq!(counters.verdicts[usize::from(Verdict::DropNoBackend.code())], one);
        assert_eq!(counters.verdicts[usize::from(Verdict::PassUnsupported.code())], one);
        assert_eq!(counters.services[2], both);
        assert_eq!(counters.backends[usize::from(backend)], both);
        let sum = |counters: &[PacketsBytes]| counters.iter().map(|counter| counter.packets).sum::<u64>();
        assert_eq!((sum(&counters.verdicts), sum(&counters.services), sum(&counters.backends)), (4, 2, 2));
        assert_eq!((counters.verdicts.len(), counters.services.len(), counters.backends.len()), (32, 64, 256));

        pipeline.load(&image()).unwrap();
        assert_eq!(*pipeline.totals(), zero_counters(&Geometry::LAB), "a load starts from zero");
    }

    #[test]
    fn service_id_beyond_the_services_counts_modulo_them() {
        let mut image = image();
        image.services[16].id = U16Le::new(64 * 3 + 9);
        let mut pipeline = Pipeline::new(Geometry::LAB);
        pipeline.load(&image).unwrap();
        assert_eq!(run(&mut pipeline, &tcp(VIP, 80, 0)).service, 64 * 3 + 9);
        assert_eq!(pipeline.totals().services[9].packets, 1);
    }

    #[test]
    fn affinity_client_keeps_a_client_on_one_backend() {
        let mut image = image();
        image.services[0].flags |= ServiceRow::AFFINITY_CLIENT << ServiceRow::AFFINITY_SHIFT;
        let mut pipeline = Pipeline::new(Geometry::LAB);
        pipeline.load(&image).unwrap();
        let backends: std::collections::BTreeSet<u16> =
            (1..100).map(|port| run(&mut pipeline, &tcp(VIP_ALL_TCP, port, 0)).backend).collect();
        assert_eq!(backends.len(), 1);
    }

    #[test]
    fn load_of_another_geometry_is_refused_and_changes_nothing() {
        let mut pipeline = loaded();
        run(&mut pipeline, &tcp(VIP, 80, 0));
        let error = pipeline.load(&TableImage::empty(Geometry::ECP5)).unwrap_err();
        assert!(matches!(error, EngineError::Geometry { .. }), "{error}");
        assert_eq!(run(&mut pipeline, &tcp(VIP, 80, 0)).verdict, Verdict::Forward);
        assert_eq!(pipeline.totals().verdicts[0].packets, 2);
    }

    #[test]
    fn load_does_not_mind_the_bus_width() {
        let mut pipeline = Pipeline::new(Geometry { bus_bytes: 64, ..Geometry::LAB });
        pipeline.load(&image()).unwrap();
    }

    #[test]
    fn load_of_a_table_with_missing_rows_is_refused() {
        for cut in [
            |image: &mut TableImage| image.services.truncate(100),
            |image: &mut TableImage| image.backends.truncate(100),
            |image: &mut TableImage| image.lookup.truncate(100),
        ] {
            let mut image = image();
            cut(&mut image);
            let error = Pipeline::new(Geometry::LAB).load(&image).unwrap_err();
            assert!(matches!(error, EngineError::Stopped { .. }), "{error}");
        }
        let odd = Geometry { backends: 255, ..Geometry::LAB };
        assert!(Pipeline::new(odd).load(&TableImage::empty(odd)).is_err());
    }
}
