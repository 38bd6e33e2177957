//! Memories: the only hand-written Verilog of the design. Each has one write port and one read port, those with two sides
//! read at the write port as well; a read takes one clock and, of a location that is written in that clock, yields the
//! old content.

use rust_hdl::core::ast::Verilog;
use rust_hdl::prelude::*;

/// A memory of 2^A words of any type.
#[derive(LogicBlock)]
pub struct Ram<T: Synth, const A: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Address that is read.
    pub raddr: Signal<In, Bits<A>>,
    /// Content of the address of the previous clock.
    pub rdata: Signal<Out, T>,
    /// Address that is written.
    pub waddr: Signal<In, Bits<A>>,
    /// What is written.
    pub wdata: Signal<In, T>,
    /// Write enable.
    pub we: Signal<In, Bit>,
    _mem: Vec<T>,
}

impl<T: Synth, const A: usize> Default for Ram<T, A> {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            raddr: Default::default(),
            rdata: Default::default(),
            waddr: Default::default(),
            wdata: Default::default(),
            we: Default::default(),
            _mem: vec![T::default(); 1 << A],
        }
    }
}

impl<T: Synth, const A: usize> Ram<T, A> {
    /// Writes a word without the write port, for simulations in which the load is not under test.
    pub fn backdoor(&mut self, address: usize, word: T) {
        self._mem[address] = word;
    }

    /// The word at an address, for simulations in which the read port is not under test.
    #[must_use]
    pub fn word(&self, address: usize) -> T {
        self._mem[address]
    }
}

impl<T: Synth, const A: usize> Logic for Ram<T, A> {
    fn update(&mut self) {
        if self.clock.pos_edge() {
            self.rdata.next = self._mem[self.raddr.val().index()];
            if self.we.val() {
                self._mem[self.waddr.val().index()] = self.wdata.val();
            }
        }
    }

    fn connect(&mut self) {
        self.rdata.connect();
    }

    fn hdl(&self) -> Verilog {
        Verilog::Custom(format!(
            "reg [{w}:0] mem [0:{d}];
always @(posedge clock) begin
  rdata <= mem[raddr];
  if (we) mem[waddr] <= wdata;
end
",
            w = T::BITS - 1,
            d = (1usize << A) - 1
        ))
    }
}

/// A memory of two sides of 2^A words each: one serves, the other one is written, and read where it is written.
#[derive(LogicBlock)]
pub struct SidedRam<T: Synth, const A: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// The side that serves.
    pub side: Signal<In, Bit>,
    /// Address of it that is read.
    pub raddr: Signal<In, Bits<A>>,
    /// Content of the address of the previous clock.
    pub rdata: Signal<Out, T>,
    /// Address of the other side.
    pub waddr: Signal<In, Bits<A>>,
    /// What is written there.
    pub wdata: Signal<In, T>,
    /// Write enable.
    pub we: Signal<In, Bit>,
    /// What was there in the previous clock.
    pub staged: Signal<Out, T>,
    _mem: [Vec<T>; 2],
}

impl<T: Synth, const A: usize> Default for SidedRam<T, A> {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            side: Default::default(),
            raddr: Default::default(),
            rdata: Default::default(),
            waddr: Default::default(),
            wdata: Default::default(),
            we: Default::default(),
            staged: Default::default(),
            _mem: std::array::from_fn(|_| vec![T::default(); 1 << A]),
        }
    }
}

impl<T: Synth, const A: usize> SidedRam<T, A> {
    /// Writes a word of the side that is not read; see [`Ram::backdoor`].
    pub fn backdoor(&mut self, address: usize, word: T) {
        self._mem[usize::from(!self.side.val())][address] = word;
    }
}

impl<T: Synth, const A: usize> Logic for SidedRam<T, A> {
    fn update(&mut self) {
        if self.clock.pos_edge() {
            let side = usize::from(self.side.val());
            self.rdata.next = self._mem[side][self.raddr.val().index()];
            let staged = &mut self._mem[1 - side][self.waddr.val().index()];
            self.staged.next = *staged;
            if self.we.val() {
                *staged = self.wdata.val();
            }
        }
    }

    fn connect(&mut self) {
        self.rdata.connect();
        self.staged.connect();
    }

    fn hdl(&self) -> Verilog {
        Verilog::Custom(format!(
            "reg [{w}:0] mem [0:{d}];
always @(posedge clock) begin
  rdata <= mem[{{side, raddr}}];
  staged <= mem[{{~side, waddr}}];
  if (we) mem[{{~side, waddr}}] <= wdata;
end
",
            w = T::BITS - 1,
            d = (2usize << A) - 1
        ))
    }
}

/// A table row of 32 bytes as eight little-endian words; word 0 holds bytes 0 to 3.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Row {
    /// Bytes 0 to 3.
    pub w0: Bits<32>,
    /// Bytes 4 to 7.
    pub w1: Bits<32>,
    /// Bytes 8 to 11.
    pub w2: Bits<32>,
    /// Bytes 12 to 15.
    pub w3: Bits<32>,
    /// Bytes 16 to 19.
    pub w4: Bits<32>,
    /// Bytes 20 to 23.
    pub w5: Bits<32>,
    /// Bytes 24 to 27.
    pub w6: Bits<32>,
    /// Bytes 28 to 31.
    pub w7: Bits<32>,
}

impl Row {
    fn word_mut(&mut self, index: usize) -> &mut Bits<32> {
        match index {
            0 => &mut self.w0,
            1 => &mut self.w1,
            2 => &mut self.w2,
            3 => &mut self.w3,
            4 => &mut self.w4,
            5 => &mut self.w5,
            6 => &mut self.w6,
            _ => &mut self.w7,
        }
    }
}

/// A memory of two sides of 2^A rows each: one serves, the other one is written, and read, word by word.
#[derive(LogicBlock)]
pub struct RowRam<const A: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// The side that serves.
    pub side: Signal<In, Bit>,
    /// Row of it that is read.
    pub raddr: Signal<In, Bits<A>>,
    /// Content of the row of the previous clock.
    pub rdata: Signal<Out, Row>,
    /// Row of the other side.
    pub waddr: Signal<In, Bits<A>>,
    /// Word of the row.
    pub wword: Signal<In, Bits<3>>,
    /// What is written there.
    pub wdata: Signal<In, Bits<32>>,
    /// Write enable.
    pub we: Signal<In, Bit>,
    /// What was there in the previous clock.
    pub staged: Signal<Out, Bits<32>>,
    _mem: [Vec<Row>; 2],
}

impl<const A: usize> Default for RowRam<A> {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            side: Default::default(),
            raddr: Default::default(),
            rdata: Default::default(),
            waddr: Default::default(),
            wword: Default::default(),
            wdata: Default::default(),
            we: Default::default(),
            staged: Default::default(),
            _mem: std::array::from_fn(|_| vec![Row::default(); 1 << A]),
        }
    }
}

impl<const A: usize> RowRam<A> {
    /// Writes a word of the side that is not read; see [`Ram::backdoor`].
    pub fn backdoor(&mut self, row: usize, word: usize, value: u32) {
        *self._mem[usize::from(!self.side.val())][row].word_mut(word) = u64::from(value).into();
    }
}

impl<const A: usize> Logic for RowRam<A> {
    fn update(&mut self) {
        if self.clock.pos_edge() {
            let side = usize::from(self.side.val());
            self.rdata.next = self._mem[side][self.raddr.val().index()];
            let row = &mut self._mem[1 - side][self.waddr.val().index()];
            let word = row.word_mut(self.wword.val().index());
            self.staged.next = *word;
            if self.we.val() {
                *word = self.wdata.val();
            }
        }
    }

    fn connect(&mut self) {
        self.rdata.connect();
        self.staged.connect();
    }

    fn hdl(&self) -> Verilog {
        // One always block a word: the form that Yosys and Vivado both map to byte-write enables.
        let mut text = format!(
            "reg [255:0] mem [0:{d}];
reg [255:0] staged_row;
reg [2:0] staged_word;
always @(posedge clock) rdata <= mem[{{side, raddr}}];
always @(posedge clock) begin
  staged_row <= mem[{{~side, waddr}}];
  staged_word <= wword;
end
always @(*) staged = staged_row[32 * staged_word +: 32];
",
            d = (2usize << A) - 1
        );
        for word in 0..8 {
            text += &format!(
                "always @(posedge clock) if (we && wword == 3'd{word}) mem[{{~side, waddr}}][{high}:{low}] <= wdata;\n",
                high = 32 * word + 31,
                low = 32 * word
            );
        }
        Verilog::Custom(text)
    }
}
