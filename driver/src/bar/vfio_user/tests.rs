//! Servers that are silent, gone, or make no sense.

use std::os::unix::net::UnixListener;
use std::thread;

use super::*;

/// A server that gives these answers, whatever it is asked, and then says nothing more for a while.
fn open(replies: Vec<Vec<u8>>, silence: Duration) -> Result<VfioUserBar, BarError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("card.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        for reply in replies {
            let mut header = [0; message::HEADER_BYTES];
            stream.read_exact(&mut header).unwrap();
            let header = Header::of_bytes(header);
            let mut payload = vec![0; header.payload_len().unwrap()];
            stream.read_exact(&mut payload).unwrap();
            let reply = [&header.reply(reply.len()).to_bytes(), &*reply].concat();
            // The client may have gone at the first of these bytes.
            let _gone = stream.write_all(&reply);
        }
        thread::sleep(silence);
    });
    let lock = CardLock::beside(&path).unwrap();
    VfioUserBar::open(&path, BarWindow { index: 0, base: 0 }, lock)
}

fn version(text: &str) -> Vec<u8> {
    [&[0, 0, 1, 0], text.as_bytes()].concat()
}

fn greeting() -> Vec<Vec<u8>> {
    let mut info = vec![0; message::DEVICE_INFO_BYTES];
    info[8] = 9;
    let region = RegionInfo { index: 0, flags: message::REGION_READ_WRITE, bytes: register::BYTES.into() };
    vec![version("{}\0"), info, region.to_bytes().to_vec()]
}

#[test]
fn silent_server_is_an_error_in_time_and_nothing_is_sent_afterwards() {
    let mut bar = open(greeting(), Duration::from_secs(3)).unwrap();
    bar.set_deadline(Duration::from_millis(50)).unwrap();
    let begin = Instant::now();
    let refused = bar.read(0).unwrap_err();
    assert!(refused.to_string().contains("no answer within 0.1 s"), "{refused}");
    assert!(bar.write(4, 0).unwrap_err().to_string().contains("given up"));
    assert!(begin.elapsed() < Duration::from_secs(1));
}

#[test]
fn closed_connection_is_an_error_at_once() {
    let mut bar = open(greeting(), Duration::ZERO).unwrap();
    let begin = Instant::now();
    assert!(matches!(bar.write_all(&[(0, 1), (4, 2)]), Err(BarError::Transport { offset: 0, .. })));
    assert!(begin.elapsed() < Duration::from_secs(1));
}

#[test]
fn replies_that_make_no_sense_are_refused() {
    let mut short = greeting();
    short.push(vec![0; 17]);
    assert!(matches!(open(short, Duration::ZERO).unwrap().read(0), Err(BarError::Transport { .. })));
    for replies in [
        vec![vec![]],
        vec![version("{")],
        vec![vec![1, 0, 0, 0]],
        vec![version(""), vec![0; 3]],
        vec![version("\0"), greeting()[1].clone(), vec![0; 31]],
        vec![vec![0; PAYLOAD_LEN_MAX + 1]],
    ] {
        let refused = open(replies, Duration::ZERO).unwrap_err();
        assert!(matches!(refused, BarError::File { .. }), "{refused}");
    }
}

#[test]
fn bar_that_is_too_small_and_nobody_there_are_told_apart() {
    let mut none = greeting();
    none[1][8] = 0;
    assert!(matches!(open(none, Duration::ZERO), Err(BarError::Small { bytes: 0, .. })));
    let mut small = greeting();
    small[2][16..20].copy_from_slice(&0x8000_u32.to_le_bytes());
    assert!(matches!(open(small, Duration::ZERO), Err(BarError::Small { bytes: 0x8000, .. })));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("card.sock");
    let lock = CardLock::beside(&path).unwrap();
    let refused = VfioUserBar::open(&path, BarWindow::default(), lock).unwrap_err();
    assert!(refused.to_string().contains("does a vfio-user server run there?"), "{refused}");
}

#[test]
fn messages_are_no_longer_than_the_server_takes() {
    let mut replies = greeting();
    replies[0] = version("{\"capabilities\":{\"max_data_xfer_size\":8}}\0");
    replies.push(vec![0; message::REGION_ACCESS_BYTES + 8]);
    replies.push(vec![1; message::REGION_ACCESS_BYTES + 4]);
    let mut words = Vec::new();
    open(replies, Duration::ZERO).unwrap().read_all(&[0, 4, 8], &mut words).unwrap();
    assert_eq!(words, [0, 0, 0x0101_0101]);
}
