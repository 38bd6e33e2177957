//! To whom frames are explained while a datapath runs: to the terminal that runs it, or to one `maglane trace` at a time.

use std::io::Write;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::Result;

use super::control::{Control, Form};
use super::lookout::{Lookout, ROOM, Sighting};
use super::story::{Narrator, Story};
use crate::args::Mode;
use crate::command::trace::{Filter, Names};
use crate::output::{Console, counted};

/// How often it is looked for what there is to tell, and for who asks.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// Frames that are told at a time. More wait, and then more are counted only: however many match, workers spend no more
/// than this on them.
const AT_ONCE: usize = 256;

/// Who is told what.
#[derive(Debug)]
pub(super) struct Tracing<'a> {
    lookout: &'a Lookout,
    sightings: Receiver<Sighting>,
    narrator: Narrator,
    mode: Mode,
    /// What is looked for now, and to whom it is told; 0 is nothing.
    watch: u64,
    to_console: bool,
    control: Option<Control>,
}

impl<'a> Tracing<'a> {
    /// One for frames that a filter asks for from the beginning, or else for those that someone asks for at a socket.
    pub(super) fn new(
        lookout: &'a Lookout,
        sightings: Receiver<Sighting>,
        filter: Option<Filter>,
        mode: Mode,
        control: Option<Control>,
    ) -> Self {
        let watch = filter.map_or(0, |filter| lookout.watch(filter));
        Self { lookout, sightings, narrator: Narrator::new(mode), mode, watch, to_console: filter.is_some(), control }
    }

    /// Hears who asks, and tells what there is to tell. Whether the console had any of it is returned.
    pub(super) fn look(&mut self, console: &mut Console, json: bool, names: &Names) -> Result<bool> {
        if let Some(control) = &mut self.control {
            let asked = control.look(self.to_console);
            if let Some(asked) = asked {
                // Frames that were noted for another are not told to this one.
                self.narrator = Narrator::new(self.mode);
                self.watch = asked.map_or_else(
                    || {
                        self.lookout.end();
                        0
                    },
                    |filter| self.lookout.watch(filter),
                );
            }
        }
        let said = self.tell(console, json, names, AT_ONCE)?;
        if let Some(control) = &mut self.control {
            control.send();
        }
        Ok(said)
    }

    /// Tells what is left, when no worker is at work any more.
    pub(super) fn end(&mut self, console: &mut Console, json: bool, names: &Names) -> Result<()> {
        self.tell(console, json, names, ROOM)?;
        if let Some(control) = &mut self.control {
            control.end();
        }
        Ok(())
    }

    fn tell(&mut self, console: &mut Console, json: bool, names: &Names, at_once: usize) -> Result<bool> {
        let mut said = false;
        for _ in 0..at_once {
            let Ok(sighting) = self.sightings.try_recv() else { break };
            self.lookout.told();
            if sighting.watch != self.watch {
                continue;
            }
            let story = self.narrator.tell(sighting, names);
            if self.to_console {
                tell_console(&story, console, json)?;
                said = true;
            } else if let Some(control) = &mut self.control {
                control.tell(|form| match form {
                    Form::Json => serde_json::json!({ "trace": story }),
                    Form::Text | Form::Coloured => serde_json::json!({ "text": story.text(form == Form::Coloured) }),
                });
            }
        }
        let untold = if self.watch == 0 { 0 } else { self.lookout.untold() };
        if self.to_console {
            said |= untold > 0;
            tell_console_untold(untold, console, json)?;
        } else if let Some(control) = &mut self.control {
            control.add_untold(untold);
        }
        Ok(said)
    }
}

/// Tells a frame to the terminal.
fn tell_console(story: &Story, console: &mut Console, json: bool) -> Result<()> {
    if json {
        return console.json_line(&serde_json::json!({ "trace": story }));
    }
    Ok(write!(console, "{}", story.text(console.is_coloured()))?)
}

fn tell_console_untold(untold: u64, console: &mut Console, json: bool) -> Result<()> {
    match untold {
        0 => Ok(()),
        _ if json => console.json_line(&serde_json::json!({ "untold": untold })),
        _ => Ok(writeln!(console, "{}\n", untold_text(untold))?),
    }
}

/// In words.
pub(crate) fn untold_text(untold: u64) -> String {
    format!("{} of the trace not told: they came too fast", counted(untold, "more frame"))
}
