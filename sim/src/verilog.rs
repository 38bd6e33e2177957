//! The emitted Verilog, compiled by Verilator, as an engine in a process of its own.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use maglane_hw::emit;
use maglane_hw::profile::Profile;
use maglane_spec::counter::PacketsBytes;
use maglane_spec::{Geometry, Stage, TableImage, window};
use maglane_sw::engine::{Counters, Engine, EngineError, Frame, Outcome};

use crate::Stimulus;
use crate::assemble::{Batch, Left, Record};
use crate::model::{ModelError, Recipe};

const HARNESS: &str = include_str!("harness.cpp");

/// The engine `verilog`.
pub struct Verilog {
    child: Child,
    to: Option<BufWriter<ChildStdin>>,
    from: BufReader<ChildStdout>,
    geometry: Geometry,
    stimulus: Stimulus,
    clocks: u64,
}

impl Verilog {
    /// Builds the model of a build of the gateware, or takes it from the cache, and starts it.
    ///
    /// # Errors
    /// When Verilator is missing or fails.
    pub fn start(profile: Profile, stimulus: Stimulus, fault: Option<Stage>, traced: bool) -> Result<Self, ModelError> {
        let program = with_recipe(profile, fault, traced, |recipe| recipe.build())?;
        let mut child =
            Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(ModelError::Missing)?;
        let to = child.stdin.take().map(BufWriter::new);
        let from = BufReader::new(child.stdout.take().expect("the pipe was asked for"));
        Ok(Self { child, to, from, geometry: profile.geometry(), stimulus, clocks: 0 })
    }

    /// Whether the model has been built before.
    ///
    /// # Errors
    /// When Verilator is missing.
    pub fn is_built(profile: Profile) -> Result<bool, ModelError> {
        with_recipe(profile, None, false, |recipe| recipe.path()).map(|path| path.is_file())
    }

    fn stopped(&mut self, error: &io::Error) -> EngineError {
        let status = self.child.try_wait().ok().flatten();
        let status = status.map_or_else(String::new, |status| format!(" ({status})"));
        self.error(format!("the Verilator model does not answer: {error}{status}"))
    }

    fn error(&self, message: String) -> EngineError {
        EngineError::Stopped { engine: self.name().to_owned(), message }
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let to = self.to.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        to.write_all(message)?;
        to.flush()
    }

    /// Sends a command and reads the code of its reply.
    fn exchange(&mut self, message: &[u8], expected: u8) -> Result<(), EngineError> {
        let mut code = [0];
        let reply = self.send(message).and_then(|()| self.from.read_exact(&mut code));
        reply.map_err(|error| self.stopped(&error))?;
        if code[0] == expected {
            return Ok(());
        }
        if code[0] == b'e' {
            let text = get_bytes(&mut self.from).map_err(|error| self.stopped(&error))?;
            return Err(self.error(String::from_utf8_lossy(&text).into_owned()));
        }
        Err(self.error(format!("the Verilator model answered {:#x}", code[0])))
    }

    fn acknowledged(&mut self, message: &[u8]) -> Result<(), EngineError> {
        self.exchange(message, b'k')
    }

    fn read_batch(&mut self) -> io::Result<Batch> {
        let from = &mut self.from;
        let mut batch = Batch::default();
        self.clocks += u64::from_le_bytes(get(from)?);
        for _ in 0..u32::from_le_bytes(get(from)?) {
            batch.records.push(Record {
                verdict: get::<1>(from)?[0],
                length: u16::from_le_bytes(get(from)?),
                service: u16::from_le_bytes(get(from)?),
                backend: u16::from_le_bytes(get(from)?),
                hash: u64::from_le_bytes(get(from)?),
            });
        }
        for stream in [&mut batch.wire, &mut batch.host] {
            for _ in 0..u32::from_le_bytes(get(from)?) {
                let user = u32::from_le_bytes(get(from)?);
                stream.push_back(Left { user, bytes: get_bytes(from)? });
            }
        }
        Ok(batch)
    }
}

impl Engine for Verilog {
    fn name(&self) -> &str {
        "verilog"
    }

    fn load(&mut self, image: &TableImage) -> Result<(), EngineError> {
        if (Geometry { bus_bytes: self.geometry.bus_bytes, ..image.geometry }) != self.geometry {
            return Err(EngineError::Geometry {
                engine: self.name().to_owned(),
                image: Box::new(image.geometry),
                own: Box::new(self.geometry),
            });
        }
        let stimulus = self.stimulus;
        let mut message = vec![b'S'];
        message.extend(stimulus.seed.to_le_bytes());
        message.extend([stimulus.gap, stimulus.stall_wire, stimulus.stall_host]);
        self.acknowledged(&message)?;
        let mut writes: Vec<(u32, u32)> = Vec::new();
        for (region, bytes) in image.memories() {
            for (index, word) in (0_u32..).zip(bytes.chunks_exact(4)) {
                let word = u32::from_le_bytes(word.try_into().expect("chunks of four bytes"));
                writes.push((region << window::REGION_SHIFT | index, word));
            }
        }
        writes.push((window::CONTROL << window::REGION_SHIFT, window::CONTROL_SERVE));
        let mut message = vec![b'W'];
        put_count(&mut message, writes.len());
        for (address, word) in writes {
            message.extend(address.to_le_bytes());
            message.extend(word.to_le_bytes());
        }
        self.clocks = 0;
        self.acknowledged(&message)
    }

    fn process(&mut self, frames: &[Frame<'_>]) -> Result<Vec<Outcome>, EngineError> {
        let mut message = vec![b'F'];
        put_count(&mut message, frames.len());
        for frame in frames {
            put_bytes(&mut message, frame.bytes);
        }
        self.exchange(&message, b'f')?;
        let batch = self.read_batch().map_err(|error| self.stopped(&error))?;
        let lengths: Vec<usize> = frames.iter().map(|frame| frame.bytes.len()).collect();
        batch.outcomes(&lengths).map_err(|message| self.error(message))
    }

    fn counters(&mut self) -> Result<Counters, EngineError> {
        let sets = [
            (window::COUNTER_VERDICT, window::COUNTER_VERDICT_ENTRIES),
            (window::COUNTER_SERVICE, self.geometry.services),
            (window::COUNTER_BACKEND, self.geometry.backends),
        ];
        let mut message = vec![b'R'];
        let words: u32 = sets.iter().map(|(_, entries)| entries * window::COUNTER_WORDS).sum();
        put_count(&mut message, words as usize);
        for (region, entries) in sets {
            for word in 0..entries * window::COUNTER_WORDS {
                message.extend((region << window::REGION_SHIFT | word).to_le_bytes());
            }
        }
        self.exchange(&message, b'r')?;
        let mut read_set = |entries: u32| -> io::Result<Vec<PacketsBytes>> {
            (0..entries)
                .map(|_| {
                    let packets = u64::from_le_bytes(get(&mut self.from)?);
                    Ok(PacketsBytes { packets, bytes: u64::from_le_bytes(get(&mut self.from)?) })
                })
                .collect()
        };
        let [verdicts, services, backends] = sets.map(|(_, entries)| read_set(entries));
        let all = verdicts.and_then(|verdicts| Ok(Counters { verdicts, services: services?, backends: backends? }));
        all.map_err(|error| self.stopped(&error))
    }

    fn clocks(&self) -> Option<u64> {
        Some(self.clocks)
    }

    fn record_waveform(&mut self, path: &Path) -> Result<bool, EngineError> {
        let mut message = vec![b'T'];
        put_bytes(&mut message, path.as_os_str().as_encoded_bytes());
        self.acknowledged(&message)?;
        Ok(true)
    }
}

impl Drop for Verilog {
    fn drop(&mut self) {
        // End of input ends the model, and closes its waveform.
        self.to = None;
        if self.child.wait().is_err() {
            let _gone = self.child.kill();
        }
    }
}

fn with_recipe<T>(profile: Profile, fault: Option<Stage>, traced: bool, use_it: impl FnOnce(Recipe<'_>) -> T) -> T {
    let verilog = profile.verilog(fault);
    let defines = [format!("BUS_BYTES={}", profile.geometry().bus_bytes)];
    use_it(Recipe { verilog: &verilog, top: emit::TOP, harness: HARNESS, defines: &defines, traced })
}

fn put_count(message: &mut Vec<u8>, count: usize) {
    message.extend(u32::try_from(count).expect("a batch is far below 2^32 items").to_le_bytes());
}

fn put_bytes(message: &mut Vec<u8>, bytes: &[u8]) {
    put_count(message, bytes.len());
    message.extend(bytes);
}

fn get<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn get_bytes(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let count = u32::from_le_bytes(get(from)?);
    let mut bytes = vec![0; count as usize];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}
