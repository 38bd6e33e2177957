//! Goal: at the socket one client at a time gets what it asked for, and no client, whatever it sends or does not read, gets
//! more or keeps anybody waiting.

use std::io::{BufRead, BufReader};

use super::*;

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("eth0.sock");
    (folder, path)
}

/// A client that has sent something, and its lines.
fn client(path: &Path, sends: &[u8]) -> BufReader<UnixStream> {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(sends).unwrap();
    BufReader::new(stream)
}

fn line(client: &mut BufReader<UnixStream>) -> Value {
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

/// A look that lets in who has come, and one that hears it.
fn look(control: &mut Control) -> Option<Option<Filter>> {
    let first = control.look(false);
    let second = control.look(false);
    control.send();
    first.or(second)
}

#[test]
fn client_is_told_what_it_asked_for_until_it_goes() {
    let (_folder, path) = place();
    let mut control = Control::listen(&path).unwrap();
    let filter: Filter = "src=1.2.3.4,dport=80".parse().unwrap();
    let mut asks = client(&path, request(Form::Json, Some(&filter)).as_bytes());
    assert_eq!(look(&mut control), Some(Some(filter)));
    assert_eq!(line(&mut asks), json!({ "watching": "src=1.2.3.4,dport=80" }));
    control.tell(|form| json!({ "trace": form.name() }));
    control.add_untold(7);
    control.send();
    assert_eq!([line(&mut asks), line(&mut asks)], [json!({ "trace": "json" }), json!({ "untold": 7 })]);
    let mut second = client(&path, b"trace text\n");
    assert_eq!(look(&mut control), None);
    assert!(line(&mut second)["refused"].as_str().unwrap().starts_with("another `maglane trace` is attached"));
    drop(asks);
    assert_eq!((look(&mut control), look(&mut control)), (Some(None), None));
    let mut third = client(&path, request(Form::Coloured, None).as_bytes());
    assert_eq!(look(&mut control), Some(Some(Filter::ALL)));
    assert_eq!(line(&mut third), json!({ "watching": "all frames" }));
    control.end();
    assert_eq!(line(&mut third), json!({ "end": true }));
    // When frames are told to the terminal, nobody else is told.
    let mut late = client(&path, b"trace text\n");
    assert_eq!(control.look(true), None);
    assert!(line(&mut late)["refused"].as_str().unwrap().contains("--trace"));
}

#[test]
fn request_that_is_none_is_refused_and_changes_nothing() {
    let (_folder, path) = place();
    let mut control = Control::listen(&path).unwrap();
    let long = [b'x'; 2 * REQUEST_BYTES_MAX];
    let long_line = [&[b'x'; REQUEST_BYTES_MAX][..], b"\n"].concat();
    let cases: [(&[u8], &str); 10] = [
        (b"\n", "the request is not `trace text|coloured|json [FILTER]`"),
        (b"trace\n", "the request is not"),
        (b"trace html\n", "the request is not"),
        (b"trace text port=80\n", "there is no key `port`"),
        (b"trace text src=1.2.3.4 more\n", "there are words behind the filter"),
        (b"trace text \n", "`` is not KEY=VALUE"),
        (b"trace text \xff\xfe\n", "the request is not text"),
        (b"trace text \x1b[2J=1\n", r"there is no key `\u{1b}[2J`"),
        (&long, "512 bytes at most"),
        (&long_line, "512 bytes at most"),
    ];
    for (sends, says) in cases {
        let mut asks = client(&path, sends);
        assert_eq!(look(&mut control), None);
        let why = line(&mut asks);
        assert!(why["refused"].as_str().is_some_and(|why| why.contains(says)), "{says}: {why}");
        assert!(control.client.is_none());
    }
    // The longest that is taken; in pieces, too.
    let mut asks = client(&path, b"trace te");
    assert_eq!(look(&mut control), None);
    asks.get_mut().write_all(b"xt proto=tcp\n").unwrap();
    assert_eq!(look(&mut control), Some("proto=tcp".parse().ok()));
    // More than that is not asked for.
    asks.get_mut().write_all(b"x").unwrap();
    assert_eq!(look(&mut control), Some(None));
}

#[test]
fn client_that_does_not_go_on_is_let_go() {
    let (_folder, path) = place();
    let mut control = Control::listen(&path).unwrap();
    let mut silent = client(&path, b"trace");
    assert_eq!((look(&mut control), look(&mut control)), (None, None));
    control.client.as_mut().unwrap().seen -= REQUEST_TIME;
    assert_eq!(look(&mut control), None);
    assert_eq!(line(&mut silent), json!({ "refused": "no request came in time" }));

    // One that reads nothing: what waits for it is bounded, and it is let go.
    let asks = client(&path, b"trace json\n");
    assert_eq!(look(&mut control), Some(Some(Filter::ALL)));
    let frame = "x".repeat(10_000);
    for _ in 0..1_000 {
        control.tell(|_| json!({ "trace": frame }));
        control.send();
    }
    let waiting = control.client.as_ref().unwrap();
    assert!((OUTPUT_BYTES_MAX..OUTPUT_BYTES_MAX + 20_000).contains(&waiting.output.len()), "{}", waiting.output.len());
    assert!(waiting.untold > 500, "{}", waiting.untold);
    assert_eq!(look(&mut control), None);
    control.client.as_mut().unwrap().seen -= READ_TIME;
    assert_eq!(look(&mut control), Some(None));
    drop(asks);
}

#[test]
fn crowd_at_the_socket_keeps_nobody_waiting() {
    let (_folder, path) = place();
    let mut control = Control::listen(&path).unwrap();
    let filter = client(&path, b"trace text\n");
    assert_eq!(look(&mut control), Some(Some(Filter::ALL)));
    let crowd: Vec<_> = (0..100).map(|_| client(&path, &[b'x'; 400])).collect();
    for _ in 0..crowd.len() / CLIENTS_AT_ONCE + 1 {
        assert_eq!(control.look(false), None);
    }
    for mut other in crowd {
        assert!(!line(&mut other)["refused"].is_null());
    }
    drop(filter);
    assert_eq!(look(&mut control), Some(None));
}

#[test]
fn place_is_taken_once_and_left_as_it_was() {
    let (folder, path) = place();
    let control = Control::listen(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let error = Control::listen(&path).unwrap_err();
    assert!(error.is::<InUse>() && error.to_string().contains("another `maglane run` listens there"), "{error}");
    // What is at the place of one that has gone is not its.
    fs::remove_file(&path).unwrap();
    let other = Control::listen(&path).unwrap();
    drop(control);
    assert!(path.exists());
    drop(other);
    assert!(!path.exists());
    // One that was killed leaves it.
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    drop(Control::listen(&path).unwrap());
    // A file of someone's is not replaced, nor is a directory made that is not ours.
    fs::write(&path, "mine").unwrap();
    let error = format!("{:#}", Control::listen(&path).unwrap_err());
    assert!(error.contains("eth0.sock: no socket"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    let error = format!("{:#}", Control::listen(&folder.path().join("no/eth0.sock")).unwrap_err());
    assert!(error.contains("no/eth0.sock"), "{error}");
}
