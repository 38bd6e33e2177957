//! Accesses to the card's registers, as the harness of the Verilated card takes them.

use maglane_spec::register::{self, BLOCKS, Content};

/// An access to a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Not before so many frames of a run have entered.
    pub after: u32,
    /// Offset of the register in bytes.
    pub offset: u32,
    /// What is written; nothing when it is read.
    pub word: Option<u32>,
}

/// Writes and reads on the core's port, by way of the registers: the page that the window shows is kept.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    page: Option<u32>,
}

impl Window {
    /// The page is not known.
    pub(crate) fn forget(&mut self) {
        self.page = None;
    }

    /// Adds an access to a word of the port, and before it one to the page when it shows another.
    pub(crate) fn add(&mut self, accesses: &mut Vec<Access>, after: u32, address: u32, word: Option<u32>) {
        if let Some(offset) = register_of(address) {
            accesses.push(Access { after, offset, word });
            return;
        }
        let page = address >> register::PAGE_SHIFT;
        if self.page.replace(page) != Some(page) {
            accesses.push(Access { after, offset: register::TABLE_PAGE, word: Some(page) });
        }
        let offset = register::WINDOW + 4 * (address & (register::WINDOW_WORDS - 1));
        accesses.push(Access { after, offset, word });
    }
}

/// The register that is this word of the port, if there is one.
fn register_of(address: u32) -> Option<u32> {
    let mut registers = BLOCKS.iter().flat_map(|block| block.registers);
    let is_it = |content: Content| matches!(content, Content::Port(of, _) if of == address);
    registers.find(|register| is_it(register.content)).map(|register| register.offset)
}
