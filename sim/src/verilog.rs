//! The emitted Verilog, compiled by Verilator, as an engine in a process of its own.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use maglane_hw::emit;
use maglane_hw::profile::Profile;
use maglane_spec::counter::PacketsBytes;
use maglane_spec::{Stage, TableImage, window};
use maglane_sw::engine::{Counters, Engine, EngineError, FlowState, Frame, Outcome};

use crate::assemble::{Batch, Left, Record};
use crate::bus::{Access, Window};
use crate::model::{ModelError, Recipe};
use crate::stimulus::{self, Stimulus};
use crate::tables::{self, Tables};
use crate::ticks::{Passed, Ticks};

/// The engine's name on the command line.
const NAME: &str = "verilog";

/// Address and word that serve what is staged.
pub const COMMIT: (u32, u32) = (window::CONTROL << window::REGION_SHIFT | window::CONTROL_COMMIT, 1);

/// Clocks that an access to a register takes at least.
const ACCESS_CLOCKS_MIN: u64 = 8;

const HARNESS: &str = include_str!("harness.cpp");

/// The engine `verilog`.
pub struct Verilog {
    child: Child,
    to: Option<BufWriter<ChildStdin>>,
    from: BufReader<ChildStdout>,
    tables: Tables,
    stimulus: Stimulus,
    clocks: u64,
    window: Window,
    answers: Vec<u32>,
}

impl Verilog {
    /// Builds the model of a build of the gateware, or takes it from the cache, and starts it.
    ///
    /// # Errors
    /// When Verilator is missing or fails.
    pub fn start(profile: Profile, stimulus: Stimulus, fault: Option<Stage>, traced: bool) -> Result<Self, ModelError> {
        let program = with_recipe(profile, fault, traced, |recipe| recipe.build())?;
        let mut command = Command::new(program);
        // Ctrl-C is for us: it would end the model in the midst of what we still want of it. Its input ends with us.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(ModelError::Missing)?;
        let to = child.stdin.take().map(BufWriter::new);
        let from = BufReader::new(child.stdout.take().expect("the pipe was asked for"));
        Ok(Self {
            child,
            to,
            from,
            tables: Tables::new(profile.geometry()),
            stimulus,
            clocks: 0,
            window: Window::default(),
            answers: Vec::new(),
        })
    }

    /// Whether the model has been built before.
    ///
    /// # Errors
    /// When Verilator is missing.
    pub fn is_built(profile: Profile) -> Result<bool, ModelError> {
        with_recipe(profile, None, false, |recipe| recipe.path()).map(|path| path.is_file())
    }

    /// Writes words of the core's port while the frames of the next [`Engine::process`] run: each, in order, in a clock
    /// of its own, not before so many of those frames have entered.
    ///
    /// # Errors
    /// When the model does not answer.
    pub fn post(&mut self, words: &[(u32, (u32, u32))]) -> Result<(), EngineError> {
        let mut accesses = Vec::with_capacity(words.len());
        for &(after, (address, word)) in words {
            self.window.add(&mut accesses, after, address, Some(word));
        }
        self.accesses(b'P', &accesses).map(drop)
    }

    /// Resets the card: no tables, no flows, bypass.
    ///
    /// # Errors
    /// When the model does not answer.
    pub fn reset(&mut self) -> Result<(), EngineError> {
        let stimulus = self.stimulus;
        let mut message = vec![b'S'];
        message.extend(stimulus.seed.to_le_bytes());
        message.extend([stimulus.gap, stimulus.stall_wire, stimulus.stall_host]);
        self.acknowledged(&message)?;
        self.window.forget();
        Ok(())
    }

    /// Counts ticks of so many milliseconds by the frames' time stamps from here on, whatever the tick is now; none with 0.
    pub fn follow_time(&mut self, tick_ms: u32, now_ns: u64) {
        self.tables.ticks = Ticks::new(tick_ms);
        self.tables.ticks.resume(now_ns);
    }

    /// Does accesses to registers while the frames of the next [`Engine::process`] run.
    ///
    /// # Errors
    /// When the model does not answer.
    pub fn post_accesses(&mut self, accesses: &[Access]) -> Result<(), EngineError> {
        self.window.forget();
        self.accesses(b'P', accesses).map(drop)
    }

    /// Reads words of the core's port while the frames of the next [`Engine::process`] run, in order, each not before so
    /// many of those frames have entered; [`Self::answers`] has them then.
    ///
    /// # Errors
    /// When the model does not answer.
    pub fn ask(&mut self, addresses: &[(u32, u32)]) -> Result<(), EngineError> {
        let mut accesses = Vec::with_capacity(addresses.len());
        for &(after, address) in addresses {
            self.window.add(&mut accesses, after, address, None);
        }
        self.accesses(b'P', &accesses).map(drop)
    }

    /// What was read while the last frames ran.
    #[must_use]
    pub fn answers(&self) -> &[u32] {
        &self.answers
    }

    /// Does accesses to registers, in order, and yields what was read.
    ///
    /// # Errors
    /// When the model does not answer.
    pub fn access(&mut self, accesses: &[Access]) -> Result<Vec<u32>, EngineError> {
        // Whoever accesses registers may change the page.
        self.window.forget();
        self.accesses(b'A', accesses)
    }

    fn accesses(&mut self, code: u8, accesses: &[Access]) -> Result<Vec<u32>, EngineError> {
        let mut message = vec![code];
        put_count(&mut message, accesses.len());
        for Access { after, offset, word } in accesses {
            let words = [*after, word.is_some().into(), *offset, word.unwrap_or_default()];
            message.extend(words.into_iter().flat_map(u32::to_le_bytes));
        }
        self.acknowledged(&message)?;
        get_words(&mut self.from).map_err(|error| self.stopped(&error))
    }

    /// Commits since reset.
    ///
    /// # Errors
    /// When the model does not answer.
    pub fn generation(&mut self) -> Result<u32, EngineError> {
        Ok(self.read_words(window::GENERATION, 1)?[0])
    }

    /// Takes note of tables that the caller is about to stage and commit; yields the words that stage them.
    ///
    /// # Errors
    /// As for [`Engine::update`].
    pub fn stage(&mut self, image: &TableImage) -> Result<Vec<(u32, u32)>, EngineError> {
        self.tables.update(NAME, image)
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

    /// Writes words of the core's port.
    ///
    /// # Errors
    /// When the model does not answer.
    pub fn write_words(&mut self, words: &[(u32, u32)]) -> Result<(), EngineError> {
        let mut accesses = Vec::with_capacity(words.len());
        for &(address, word) in words {
            self.window.add(&mut accesses, 0, address, Some(word));
        }
        self.accesses(b'A', &accesses).map(drop)
    }

    fn set_tick(&mut self, tick: u8) -> Result<(), EngineError> {
        self.write_words(&[(tables::TICK, tick.into())])
    }

    /// The first words of a region of the core's port.
    ///
    /// # Errors
    /// When the model does not answer.
    pub fn read_words(&mut self, region: u32, count: u32) -> Result<Vec<u32>, EngineError> {
        self.read_at(region << window::REGION_SHIFT, count)
    }

    /// Words of the core's port from an address on.
    ///
    /// # Errors
    /// When the model does not answer.
    pub fn read_at(&mut self, first: u32, count: u32) -> Result<Vec<u32>, EngineError> {
        let mut accesses = Vec::with_capacity(count as usize);
        for address in first..first + count {
            self.window.add(&mut accesses, 0, address, None);
        }
        self.accesses(b'A', &accesses)
    }

    /// Waits until the sweeper rests; yields the status word.
    fn wait_swept(&mut self) -> Result<u32, EngineError> {
        let patience = stimulus::stuck_clocks(&self.tables.geometry);
        for _ in 0..patience.div_ceil(ACCESS_CLOCKS_MIN) {
            let status = self.read_words(window::STATUS, 1)?[0];
            if status & window::STATUS_SWEPT != 0 {
                return Ok(status);
            }
        }
        Err(self.error(format!("the sweeper has not gone round in {patience} clocks")))
    }

    /// Serves what is staged.
    fn commit(&mut self) -> Result<(), EngineError> {
        self.write_words(&[COMMIT])?;
        if self.read_words(window::STATUS, 1)?[0] & window::STATUS_HOLDING == 0 {
            return Ok(());
        }
        Err(self.error("a commit waits for frames, and there are none".to_owned()))
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
                flow: get::<1>(from)?[0],
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
        self.answers = get_words(from)?;
        Ok(batch)
    }
}

impl Engine for Verilog {
    fn name(&self) -> &str {
        NAME
    }

    fn load(&mut self, image: &TableImage) -> Result<(), EngineError> {
        let words = self.tables.load(NAME, image)?;
        self.reset()?;
        self.write_words(&words)?;
        self.commit()?;
        self.write_words(&[(tables::MODE, window::CONTROL_SERVE)])?;
        self.wait_swept()?;
        self.clocks = 0;
        Ok(())
    }

    fn update(&mut self, image: &TableImage) -> Result<(), EngineError> {
        let words = self.tables.update(NAME, image)?;
        self.write_words(&words)?;
        self.commit()
    }

    fn process(&mut self, frames: &[Frame<'_>]) -> Result<Vec<Outcome>, EngineError> {
        let mut message = vec![b'F'];
        put_count(&mut message, frames.len());
        for frame in frames {
            message.push(match self.tables.ticks.at(frame.time_ns) {
                Passed::Step(step) => step,
                Passed::Start(tick) => {
                    self.set_tick(tick)?;
                    0
                }
            });
            put_bytes(&mut message, frame.bytes);
        }
        self.exchange(&message, b'f')?;
        let batch = self.read_batch().map_err(|error| self.stopped(&error))?;
        let lengths: Vec<usize> = frames.iter().map(|frame| frame.bytes.len()).collect();
        batch.outcomes(&lengths).map_err(|message| self.error(message))
    }

    fn counters(&mut self) -> Result<Counters, EngineError> {
        let geometry = self.tables.geometry;
        let mut set = |region: u32, entries: u32| -> Result<Vec<PacketsBytes>, EngineError> {
            Ok(tables::packets_bytes(&self.read_words(region, entries * window::COUNTER_WORDS)?))
        };
        Ok(Counters {
            verdicts: set(window::COUNTER_VERDICT, window::COUNTER_VERDICT_ENTRIES)?,
            flows: set(window::COUNTER_FLOW, window::COUNTER_FLOW_ENTRIES)?,
            services: set(window::COUNTER_SERVICE, geometry.services)?,
            backends: set(window::COUNTER_BACKEND, geometry.backends)?,
        })
    }

    fn flow_state(&mut self) -> Result<FlowState, EngineError> {
        let geometry = self.tables.geometry;
        let tick = tables::tick(self.wait_swept()?);
        let words = self.read_words(window::FLOW_TABLE, geometry.flow_sets * window::FLOW_SET_WORDS)?;
        let (entries, _) = words.as_chunks::<2>();
        let entries = entries.iter().map(|&[low, high]| u64::from(low) | u64::from(high) << 32).collect();
        let turns = self.read_words(window::SEQUENCE, geometry.services)?;
        Ok(FlowState { tick, entries, sequence: turns.into_iter().map(low_half).collect() })
    }

    fn resume(&mut self, state: &FlowState, time_ns: u64) -> Result<(), EngineError> {
        state
            .check(&self.tables.geometry)
            .map_err(|message| EngineError::FlowState { engine: NAME.to_owned(), message })?;
        self.write_words(&[(tables::MODE, 0)])?;
        self.wait_swept()?;
        self.write_words(&[(tables::TICK, u32::from(state.tick) | window::CONTROL_TICK_TIMEOUTS)])?;
        self.wait_swept()?;
        self.write_words(&tables::flow_words(state))?;
        // Once more around, for what is not live.
        self.set_tick(state.tick)?;
        self.wait_swept()?;
        self.write_words(&[(tables::MODE, window::CONTROL_SERVE)])?;
        self.tables.ticks.resume(time_ns);
        Ok(())
    }

    fn live_flows(&mut self) -> Result<Vec<u32>, EngineError> {
        let tick = tables::tick(self.wait_swept()?);
        self.set_tick(tick)?;
        self.wait_swept()?;
        self.read_words(window::LIVE_FLOWS, self.tables.geometry.backends)
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
    let verilog = emitted(profile, fault);
    let geometry = profile.geometry();
    let defines =
        [format!("BUS_BYTES={}", geometry.bus_bytes), format!("STUCK_CLOCKS={}", stimulus::stuck_clocks(&geometry))];
    use_it(Recipe { verilog: &verilog, top: emit::TOP, harness: HARNESS, defines: &defines, traced })
}

/// The Verilog of a build, emitted once in a process: that takes rust-hdl seconds.
fn emitted(profile: Profile, fault: Option<Stage>) -> Arc<str> {
    type Emitted = (Profile, Option<Stage>, Arc<str>);
    static EMITTED: Mutex<Vec<Emitted>> = Mutex::new(Vec::new());
    let mut known = EMITTED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((.., text)) = known.iter().find(|(of, with, _)| (*of, *with) == (profile, fault)) {
        return Arc::clone(text);
    }
    let text: Arc<str> = profile.verilog(fault).into();
    known.push((profile, fault, Arc::clone(&text)));
    text
}

fn low_half(word: u32) -> u16 {
    let [a, b, ..] = word.to_le_bytes();
    u16::from_le_bytes([a, b])
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

fn get_words(from: &mut impl Read) -> io::Result<Vec<u32>> {
    let count = u32::from_le_bytes(get(from)?);
    (0..count).map(|_| Ok(u32::from_le_bytes(get(from)?))).collect()
}

fn get_bytes(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let count = u32::from_le_bytes(get(from)?);
    let mut bytes = vec![0; count as usize];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}
