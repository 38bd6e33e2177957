//! What leaves the program: text for a person, JSON for a script, files that appear whole or not at all, errors.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Stdout, Write};
use std::path::{Path, PathBuf};

use annotate_snippets::Renderer;
use anyhow::Context;
use maglane_table::ConfigError;
use serde::Serialize;
use tempfile::NamedTempFile;

/// Standard output whose reader may go away: then the rest of the text is lost, and the exit code is still right.
#[derive(Debug)]
pub(crate) struct Console {
    stdout: Stdout,
    closed: bool,
}

impl Console {
    pub(crate) fn new() -> Self {
        Self { stdout: io::stdout(), closed: false }
    }

    /// Writes a value as JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(value).context("cannot put the result into JSON")?;
        writeln!(self, "{text}")?;
        Ok(())
    }

    /// Writes a value as JSON on one line.
    pub(crate) fn json_line(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string(value).context("cannot put the result into JSON")?;
        writeln!(self, "{text}")?;
        Ok(())
    }

    /// Whether text on it may have colours.
    pub(crate) fn is_coloured(&self) -> bool {
        coloured(&self.stdout)
    }

    /// Whether a person looks on.
    pub(crate) fn is_terminal(&self) -> bool {
        self.stdout.is_terminal()
    }

    /// Whether nobody reads any more.
    #[cfg(target_os = "linux")]
    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    fn unless_closed<T>(&mut self, lost: T, result: io::Result<T>) -> io::Result<T> {
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(lost)
            }
            result => result,
        }
    }
}

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Ok(bytes.len());
        }
        let result = self.stdout.write(bytes);
        self.unless_closed(bytes.len(), result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.stdout.flush();
        self.unless_closed((), result)
    }
}

/// Text in columns.
#[derive(Debug)]
pub(crate) struct Columns {
    /// By column: whether it is aligned on the right.
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Columns {
    pub(crate) fn new(right: impl Into<Vec<bool>>) -> Self {
        Self { right: right.into(), rows: Vec::new() }
    }

    /// Adds a row; it may have fewer cells than there are columns.
    pub(crate) fn row(&mut self, cells: impl Into<Vec<String>>) {
        self.rows.push(cells.into());
    }

    /// The text, each line indented by two.
    pub(crate) fn text(&self) -> String {
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.right.len()).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, &width), &right) in row.iter().zip(&widths).zip(&self.right) {
                // Writing to a string cannot fail.
                let _infallible =
                    if right { write!(line, "  {cell:>width$}") } else { write!(line, "  {cell:<width$}") };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A number as a person reads it: `1,843`.
pub(crate) fn thousands(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with its noun: `1 frame`, `1,843 frames`.
pub(crate) fn counted(number: impl TryInto<u64>, noun: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{} {noun}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// A text from outside, without anything that a terminal would obey or not show.
pub(crate) fn printable(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '"' | '\'' => plain.push(char),
            _ => plain.extend(char.escape_debug()),
        }
    }
    plain
}

/// A word as a shell reads it back.
#[cfg(feature = "lab")]
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./,:=+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The verdicts that occurred, as a table; nothing if none did.
pub(crate) fn histogram(title: &str, entries: impl IntoIterator<Item = (&'static str, u64, u64)>) -> String {
    let mut entries = entries.into_iter().peekable();
    if entries.peek().is_none() {
        return String::new();
    }
    let mut columns = Columns::new([false, true, true]);
    columns.row([title, "packets", "bytes"].map(str::to_owned));
    for (name, packets, bytes) in entries {
        columns.row([name.to_owned(), thousands(packets), thousands(bytes)]);
    }
    columns.text()
}

/// A file that has its name only when it is complete; until then it can be given up without a trace.
#[derive(Debug)]
pub(crate) struct NewFile {
    name: String,
    target: PathBuf,
    file: NamedTempFile,
}

impl NewFile {
    /// Begins the file beside its place, which shows whether it can be written there.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        // A link is followed, so that the file it points at is replaced and not the link.
        let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".maglane-").suffix(".tmp");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As for every new file: the process's umask takes away what others may not.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(directory).map_err(plain).with_context(|| format!("cannot write {name}"))?;
        Ok(Self { name, target, file })
    }

    /// Writes all bytes and gives the file its name.
    pub(crate) fn finish(mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let context = || format!("cannot write {}", self.name);
        self.file.write_all(bytes).with_context(context)?;
        self.file.persist(&self.target).map_err(|error| error.error).with_context(context)?;
        Ok(())
    }
}

/// Writes a file that has its name only when it is complete.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    NewFile::create(path)?.finish(bytes)
}

/// Tells a person why the command has no answer.
pub(crate) fn error(error: &anyhow::Error) {
    let mut stderr = io::stderr();
    let text = match error.downcast_ref::<ConfigError>() {
        Some(error) if coloured(&stderr) => error.render(&Renderer::styled()),
        Some(error) => error.to_string(),
        None => format!("error: {}", chain(error)),
    };
    // When nobody hears the error, the exit code remains.
    let _unheard = writeln!(stderr, "{text}");
}

/// Tells a person what is not the command's answer.
pub(crate) fn note(text: &str) {
    // When nobody hears it, the command goes on.
    let _unheard = writeln!(io::stderr(), "note: {text}");
}

/// Tells a person what goes wrong while the command goes on.
#[cfg(target_os = "linux")]
pub(crate) fn warning(text: &str) {
    // As above.
    let _unheard = writeln!(io::stderr(), "warning: {text}");
}

/// The first of texts that say much the same, and how many more there are.
#[cfg(target_os = "linux")]
pub(crate) fn first_of(texts: impl IntoIterator<Item = String>, noun: &str) -> Vec<String> {
    let mut texts = texts.into_iter();
    let mut told: Vec<String> = texts.by_ref().take(FIRST).collect();
    match texts.count() {
        0 => {}
        more => told.push(format!("the same holds for {}", counted(more, noun))),
    }
    told
}

/// How many that are.
#[cfg(target_os = "linux")]
const FIRST: usize = 8;

/// Colours are for a terminal whose user has not said that there be none.
fn coloured(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// An error with its causes, without those that it has told already.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The operating system's error alone: the name of a temporary file would only mislead.
fn plain(error: io::Error) -> io::Error {
    error.raw_os_error().map_or(error, io::Error::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        assert_eq!(
            [0, 7, 999, 1_000, 1_843, 1_234_567].map(|number: u64| thousands(number)),
            ["0", "7", "999", "1,000", "1,843", "1,234,567"]
        );
    }

    #[test]
    fn printable_text_moves_no_cursor_and_hides_nothing() {
        assert_eq!(printable("web-1 \"ä\" 'ß'"), "web-1 \"ä\" 'ß'");
        let hostile = "a\u{1b}]0;b\u{7}\r\n\u{9b}2J\u{202e}\u{200b}\u{2028}\\u{1b}";
        assert_eq!(printable(hostile), r"a\u{1b}]0;b\u{7}\r\n\u{9b}2J\u{202e}\u{200b}\u{2028}\\u{1b}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn first_texts_are_told_and_the_others_counted() {
        let of = |count: usize| first_of((0..count).map(|number| number.to_string()), "other backend");
        assert_eq!((of(8).len(), of(8)[7].as_str()), (8, "7"));
        assert_eq!((of(10).len(), of(10)[8].as_str()), (9, "the same holds for 2 other backends"));
    }

    #[test]
    fn columns_are_aligned_without_trailing_blanks() {
        let mut columns = Columns::new([false, true]);
        columns.row(["name".into(), "slots".into()]);
        columns.row(["a".into(), "1,000".into()]);
        columns.row(["short".into()]);
        assert_eq!(columns.text(), "  name   slots\n  a      1,000\n  short\n");
    }

    #[test]
    fn causes_are_told_once() {
        let error = anyhow::anyhow!("no such file").context("cannot read x: no such file");
        assert_eq!(chain(&error), "cannot read x: no such file");
        let error = anyhow::anyhow!("no such file").context("cannot read x");
        assert_eq!(chain(&error), "cannot read x: no such file");
    }
}
