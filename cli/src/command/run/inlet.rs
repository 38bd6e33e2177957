//! How frames are had from an interface: the ports of the workers, and what has frames come to them.

use anyhow::{Context, Result, bail, ensure};
use maglane_sw::io::af_packet::AfPacket;
use maglane_sw::io::af_xdp::{AfXdp, Attach, Hook, Steering};
use maglane_sw::io::cpu;
use maglane_sw::io::interface::Interface;
use maglane_sw::io::port::{Port, PortError};

use super::site::Site;
use crate::args::{Mode, RunArgs, Xdp};
use crate::output::{counted, thousands};

/// What is there as long as frames come in.
#[derive(Debug)]
pub(super) struct Inlet {
    /// With AF_XDP, which frames come.
    steering: Option<Steering>,
    /// With AF_XDP, the device by which passed frames reach the kernel.
    host: Option<String>,
    /// What is to be said of how frames come, behind a comma.
    pub(super) way: String,
    /// What is not wrong, but may not be meant.
    pub(super) notes: Vec<String>,
}

impl Inlet {
    /// Opens an interface, with a port for each worker.
    pub(super) fn open(interface: &Interface, args: &RunArgs) -> Result<(Self, Vec<Box<dyn Port>>)> {
        let workers = usize::from(args.workers);
        match args.mode {
            Mode::AfPacket => {
                ensure!(args.xdp.is_none(), "--xdp is an option of --mode af-xdp");
                ensure!(args.busy_poll.is_none(), "--busy-poll is an option of --mode af-xdp");
                let ports = AfPacket::open(interface, workers)?;
                Ok((Self { steering: None, host: None, way: String::new(), notes: Vec::new() }, boxed(ports)))
            }
            Mode::AfXdp => {
                let attach = match args.xdp {
                    None | Some(Xdp::Auto) => Attach::Best,
                    Some(Xdp::Native) => Attach::At(Hook::Native),
                    Some(Xdp::Generic) => Attach::At(Hook::Generic),
                };
                let (mut ports, steering) = AfXdp::open(interface, workers, attach)?;
                if let Some(microseconds) = args.busy_poll {
                    ports.iter_mut().try_for_each(|port| port.poll_busily(microseconds))?;
                }
                let busily = ports.first().and_then(AfXdp::polled_busily);
                let busily = busily.map(|microseconds| format!(", busy polling {} µs", thousands(microseconds)));
                let hook = match steering.hook() {
                    Hook::Native if ports.iter().all(AfXdp::is_zero_copy) => "native XDP without copies",
                    Hook::Native => "native XDP",
                    Hook::Generic => "generic XDP",
                };
                let host = ports.first().map(|port| port.host().to_owned());
                let passed = host.as_ref().map(|host| format!(", passed frames at {host}"));
                let way = format!(", {hook}{}{}", busily.unwrap_or_default(), passed.unwrap_or_default());
                let because = steering.refusal().map(|why| format!("{why}: it serves so"));
                let notes = because.into_iter().chain(ports.first().and_then(AfXdp::note)).collect();
                Ok((Self { steering: Some(steering), host, way, notes }, boxed(ports)))
            }
        }
    }

    /// Whether the interface is still one that could be opened.
    pub(super) fn check(&self, interface: &Interface) -> Result<(), PortError> {
        match &self.steering {
            Some(steering) => AfXdp::check(interface, steering.hook()),
            None => interface.refuse_merging(),
        }
    }

    /// With AF_XDP, the device by which passed frames reach the kernel.
    pub(super) fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Has frames come that are for a configuration's addresses.
    pub(super) fn steer(&mut self, site: &Site) -> Result<()> {
        match &mut self.steering {
            Some(steering) => Ok(steering.steer(&site.addresses)?),
            // All frames come.
            None => Ok(()),
        }
    }
}

fn boxed<P: Port + 'static>(ports: Vec<P>) -> Vec<Box<dyn Port>> {
    ports.into_iter().map(|port| Box::new(port) as Box<dyn Port>).collect()
}

/// Refuses processors that the workers cannot have.
pub(super) fn check_pins(args: &RunArgs) -> Result<()> {
    let (pins, workers) = (args.pin.len(), usize::from(args.workers));
    ensure!(
        pins == 0 || pins == workers,
        "--pin names {} for {}: name one for each",
        counted(pins, "processor"),
        counted(workers, "worker")
    );
    for &number in &args.pin {
        if !cpu::is_allowed(number).context("cannot tell which processors there are")? {
            bail!("--pin: this process may not run on processor {number}; `taskset -p $$` shows which it may");
        }
    }
    Ok(())
}

/// Has this thread stay on a processor, if one is named.
pub(super) fn pin(number: Option<u16>) -> Result<(), PortError> {
    let Some(number) = number else { return Ok(()) };
    let name = format!("processor {number}");
    cpu::pin(number).map_err(|source| PortError::Io { name, action: "pin a worker to it", source })
}
