//! Other people's client at our server, our client at other people's server, and clients that mean no good.

use std::fs::File;
use std::sync::Arc;
use std::thread::JoinHandle;

use ::vfio_user::{Client as OtherClient, DmaMapFlags, DmaUnmapFlags, IrqInfo, Server, ServerBackend, ServerRegion};
use maglane_driver::bar::vfio_user::VfioUserBar;
use maglane_driver::bar::{BarIo, BarWindow};
use maglane_driver::lock::CardLock;

use super::*;
use crate::pci::tests::Memory;

/// A server in a thread, over registers that remember.
struct Running {
    directory: tempfile::TempDir,
    stop: Arc<AtomicBool>,
    server: JoinHandle<(Result<Served, ServeError>, PciFunction<Memory>)>,
}

impl Running {
    fn start(broken: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = VfioUserServer::bind(&directory.path().join("card.sock")).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let server = thread::spawn(move || {
            let mut function = PciFunction::new(Memory { broken, ..Memory::default() });
            let served = server.serve(&mut function, &told);
            (served, function)
        });
        Self { directory, stop, server }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("card.sock")
    }

    fn client(&self) -> VfioUserBar {
        open(&self.path())
    }

    fn end(self) -> (Result<Served, ServeError>, PciFunction<Memory>) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.server.join().unwrap();
        assert!(!self.directory.path().join("card.sock").exists(), "the socket goes with the server");
        ended
    }
}

fn open(path: &Path) -> VfioUserBar {
    VfioUserBar::open(path, BarWindow::default(), CardLock::beside(path).unwrap()).unwrap()
}

#[test]
fn client_of_rust_vmm_finds_the_device_and_its_registers() {
    let running = Running::start(false);
    let mut client = OtherClient::new(&running.path()).unwrap();
    let sizes: Vec<u64> = (0..9).map(|index| client.region(index).unwrap().size).collect();
    assert_eq!(sizes, [65_536, 0, 0, 0, 0, 0, 0, 256, 0]);
    let mut bytes = [0; 4];
    client.region_read(7, 0, &mut bytes).unwrap();
    assert_eq!(bytes, [0x34, 0x12, 0x47, 0x4d]);
    client.region_write(7, 4, &[6, 0]).unwrap();
    client.region_write(0, 0x8000, &[1, 0, 0, 0, 2, 0, 0, 0]).unwrap();
    client.region_read(0, 0x8004, &mut bytes).unwrap();
    assert_eq!(bytes, [2, 0, 0, 0]);
    assert_eq!(client.get_irq_info(2).unwrap().count, 0);
    let file = tempfile::tempfile().unwrap();
    client.dma_map(0, 0x1000, 0x1000, std::os::fd::AsRawFd::as_raw_fd(&file)).unwrap();
    client.dma_unmap(0x1000, 0x1000).unwrap();
    client.region_read(7, 4, &mut bytes[..2]).unwrap();
    assert_eq!(bytes[..2], [6, 0]);
    client.reset().unwrap();
    client.region_read(0, 0x8004, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 4]);
    client.shutdown().unwrap();
    let (served, function) = running.end();
    assert_eq!(served.unwrap(), Served { clients: 1, refused: 0 });
    assert_eq!((function.writes(), function.reads()), (2, 2));
}

/// What stands behind the server of rust-vmm.
struct Backend(PciFunction<Memory>);

impl ServerBackend for Backend {
    fn region_read(&mut self, _region: u32, offset: u64, data: &mut [u8]) -> io::Result<()> {
        self.0.read_bar(offset, data).map_err(io::Error::other)
    }

    fn region_write(&mut self, _region: u32, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_bar(offset, data).map_err(io::Error::other)
    }

    fn dma_map(&mut self, _: DmaMapFlags, _: u64, _: u64, _: u64, _: Option<File>) -> io::Result<()> {
        Ok(())
    }

    fn dma_unmap(&mut self, _: DmaUnmapFlags, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn set_irqs(&mut self, _: u32, _: u32, _: u32, _: u32, _: Vec<File>) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn our_client_reaches_registers_behind_the_server_of_rust_vmm() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("card.sock");
    let regions = (0..9).map(|index| {
        let mut region = ServerRegion { region_info: Default::default(), sparse_areas: Vec::new(), mmap_fd: None };
        region.region_info.argsz = 32;
        region.region_info.index = index;
        region.region_info.size = if index == 2 { 2 * u64::from(register::BYTES) } else { 0 };
        region
    });
    let irqs = (0..5).map(|index| IrqInfo { index, flags: 0, count: 0 }).collect();
    let other = Server::new(&path, true, irqs, regions.collect()).unwrap();
    let server = thread::spawn(move || {
        let mut backend = Backend(PciFunction::new(Memory::default()));
        other.run(&mut backend).map(|()| backend)
    });
    let lock = CardLock::beside(&path).unwrap();
    let mut bar = VfioUserBar::open(&path, BarWindow { index: 2, base: 0 }, lock).unwrap();
    bar.write_all(&[(8, 1), (12, 2), (4, 3)]).unwrap();
    let mut words = Vec::new();
    bar.read_all(&[4, 8, 12, 12], &mut words).unwrap();
    assert_eq!(words, [3, 1, 2, 2]);
    drop(bar);
    let mut backend = server.join().unwrap().unwrap();
    assert_eq!(backend.0.device().log, [(8, 1), (12, 2), (4, 3)]);
}

#[test]
fn hostile_clients_are_refused_and_the_next_one_is_served() {
    let running = Running::start(false);
    let version = |text: &[u8]| {
        let payload = [&[0, 0, 1, 0], text].concat();
        [&Header::command(1, message::VERSION, payload.len()).to_bytes(), &*payload].concat()
    };
    let access = |command, region, offset, count, data: &[u8]| {
        let payload = [&RegionAccess { offset, region, count }.to_bytes()[..], data].concat();
        [&Header::command(2, command, payload.len()).to_bytes(), &*payload].concat()
    };
    let empty = |command, bytes: u32, flags: u32| {
        let header = [&[9, 0][..], &u16::to_le_bytes(command), &bytes.to_le_bytes(), &flags.to_le_bytes(), &[0; 4]];
        header.concat()
    };
    let hostile = [
        vec![empty(message::VERSION, 0, 0)],
        vec![empty(message::VERSION, 15, 0)],
        vec![empty(message::VERSION, u32::MAX, 0)],
        vec![empty(message::VERSION, 16, 1)],
        vec![version(&[0xff; 5_000])],
        vec![access(message::REGION_READ, 0, 0, 4, &[])],
        vec![version(b"{"), version(b"{}\0")],
        vec![version(b""), access(message::REGION_READ, 0, 2, 4, &[])],
        vec![version(b""), access(message::REGION_READ, 0, 0, u32::MAX, &[])],
        vec![version(b""), access(message::REGION_READ, 1, 0, 4, &[])],
        vec![version(b""), access(message::REGION_READ, u32::MAX, 0, 4, &[])],
        vec![version(b""), access(message::REGION_READ, 7, u64::MAX, 4, &[])],
        vec![version(b""), access(message::REGION_WRITE, 0, u64::MAX - 1, 4, &[0; 4])],
        vec![version(b""), access(message::REGION_WRITE, 0, 0, 8, &[0; 4])],
        vec![version(b""), empty(message::REGION_WRITE, 16, 0)],
        vec![version(b""), empty(message::REGION_INFO, 16, 0)],
        vec![version(b""), empty(8, 16, 0), empty(999, 16, 0), empty(0, 16, 0)],
    ];
    let count = hostile.len() as u64;
    for (case, messages) in (0..).zip(hostile) {
        let mut stream = UnixStream::connect(running.path()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut refused = false;
        for message in messages {
            stream.write_all(&message).unwrap();
            let mut reply = [0; message::HEADER_BYTES];
            stream.read_exact(&mut reply).unwrap();
            let reply = Header::of_bytes(reply);
            refused = reply.is_error();
            let mut payload = vec![0; reply.payload_len().unwrap()];
            stream.read_exact(&mut payload).unwrap();
        }
        assert!(refused, "case {case}");
    }
    // One that goes away in the midst of a message.
    UnixStream::connect(running.path()).unwrap().write_all(&version(b"{}\0")[..18]).unwrap();
    let mut bar = running.client();
    bar.write(0, 7).unwrap();
    assert_eq!(bar.read(0).unwrap(), 7);
    drop(bar);
    let (served, function) = running.end();
    let served = served.unwrap();
    assert_eq!((served.clients, served.refused), (count + 2, count + 2), "one case has three refusals");
    assert_eq!((function.writes(), function.reads()), (1, 1));
}

#[test]
fn version_is_the_lower_of_both() {
    for (client, agreed) in [(0, 0), (1, 1), (7, 1)] {
        let running = Running::start(false);
        let mut stream = UnixStream::connect(running.path()).unwrap();
        let header = Header::command(1, message::VERSION, 4).to_bytes();
        stream.write_all(&[&header[..], &[0, 0, client, 0]].concat()).unwrap();
        let mut reply = [0; message::HEADER_BYTES + message::VERSION_BYTES];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(reply[message::HEADER_BYTES..], [0, 0, agreed, 0], "the client has minor version {client}");
        drop(stream);
        assert!(running.end().0.is_ok());
    }
}

#[test]
fn writes_without_a_reply_are_done_and_not_answered() {
    let running = Running::start(false);
    let mut stream = UnixStream::connect(running.path()).unwrap();
    let mut messages = [&Header::command(1, message::VERSION, 4).to_bytes()[..], &[0, 0, 1, 0]].concat();
    let posted = RegionAccess { offset: 4, region: 0, count: 4 }.to_bytes();
    let mut header = Header::command(2, message::REGION_WRITE, 20).to_bytes();
    header[8] = 1 << 4;
    messages.extend([&header[..], &posted, &[5, 0, 0, 0]].concat());
    messages.extend([&Header::command(3, message::REGION_READ, 16).to_bytes()[..], &posted].concat());
    stream.write_all(&messages).unwrap();
    let mut reply = [0; message::HEADER_BYTES];
    stream.read_exact(&mut reply).unwrap();
    let mut version = vec![0; Header::of_bytes(reply).payload_len().unwrap()];
    stream.read_exact(&mut version).unwrap();
    let mut read = [0; message::HEADER_BYTES + 20];
    stream.read_exact(&mut read).unwrap();
    assert_eq!((read[0], &read[32..]), (3, &[5, 0, 0, 0][..]));
    drop(stream);
    assert_eq!(running.end().1.device().log, [(4, 5)]);
}

#[test]
fn broken_device_is_told_to_the_client_and_ends_the_server() {
    let running = Running::start(true);
    let mut bar = running.client();
    let refused = bar.read(0x10).unwrap_err();
    assert!(refused.to_string().contains("offset 0x10") && refused.to_string().contains("refused"), "{refused}");
    assert!(bar.read(0x10).is_err());
    assert!(matches!(running.end().0, Err(ServeError::Device(_))));
}

#[test]
fn socket_that_is_there_already_is_named_with_what_to_do() {
    let running = Running::start(false);
    let refused = VfioUserServer::bind(&running.path()).unwrap_err();
    assert!(matches!(refused, ServeError::InUse { .. }), "{refused}");
    let path = running.directory.path().join("stale.sock");
    drop(UnixListener::bind(&path).unwrap());
    let refused = VfioUserServer::bind(&path).unwrap_err();
    assert!(refused.to_string().contains(&format!("rm {}", path.display())), "{refused}");
    let file = running.directory.path().join("file");
    fs::write(&file, "precious").unwrap();
    assert!(matches!(VfioUserServer::bind(&file), Err(ServeError::Socket { .. })));
    assert!(file.exists());
    running.end().0.unwrap();
}
