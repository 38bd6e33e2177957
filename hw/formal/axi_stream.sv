// The streams in and out of the core: proof by induction over clocks, for any number of frames.
//
// Every beat that is pushed into a queue comes out of it once, in order; transmit makes of each egress one frame or
// none, out of all beats of one frame of the queue; the host queue takes whole frames or counts them; a stream that
// leaves keeps what it offers until it is taken, and its frames have the bytes that their sideband says.
//
// The Verilog is the committed one, from where the input enters the core to its outputs. Of the stages between, the
// outputs are anything: so are the egresses, of which there are no more than frames have begun. Memories are replaced
// by what is known of four of their words.
//
// For each <queue> <type> <bits> <width> <quiet>: frame_data frame_data 8 8*`K 16, frame_last frame_last 8 1 1,
// transmit.queue transmit$queue 7 `E 160, host_queue.data host_queue$data 9 8*`K 16,
// host_queue.side host_queue$side 9 32 32.
// For each <skid> <sideband> <m>: skid 24 inner, transmit.wire_skid 16 wire, host_queue.skid 24 host.
//
// Where a planted bug is looked for, the data bits from <quiet> on are 0, and few frames have come: an example is
// sooner found so.

`define L $clog2(`K)

// A memory: any one word of it, the one written last, and the one read last; reading another yields anything.
module memory #(parameter A = 1, W = 1) (
    input clock, input [A-1:0] raddr, output reg [W-1:0] rdata, input [A-1:0] waddr, input [W-1:0] wdata, input we
);
  (* keep *) wire [A-1:0] watched;
  (* anyseq *) wire [W-1:0] other;
  reg [A-1:0] newest_address, read_address;
  reg [W-1:0] word, newest;
  always @(posedge clock) begin
    read_address <= raddr;
    rdata <= raddr == watched ? word : raddr == newest_address ? newest : raddr == read_address ? rdata : other;
    if (we && waddr == watched) word <= wdata;
    if (we) begin
      newest_address <= waddr;
      newest <= wdata;
    end
  end
endmodule

module maglane_core$<type>$ram (input clock, input [<bits>-1:0] raddr, output [<width>-1:0] rdata,
    input [<bits>-1:0] waddr, input [<width>-1:0] wdata, input we); // <queue>
  memory #(.A(<bits>), .W(<width>)) content(clock, raddr, rdata, waddr, wdata, we); endmodule

// A queue: nothing is lost, and what comes out is what went in, in order. Any one word is followed on its way: that in
// the watched slot. What is pushed is seen two clocks later, and there is room for all but one of the slots.
module queue #(parameter A = 1, W = 1, QUIET = 1) (
    input clock, input reset, input active, input running,
    input push, input [W-1:0] din, input full, input pop, input [W-1:0] dout, input valid,
    input [A-1:0] watched, input [A-1:0] write, input [A-1:0] write_1, input [A-1:0] write_2, input [A-1:0] read,
    input [A-1:0] read_1, input [A-1:0] newest_address, input [A-1:0] read_address, input [W-1:0] word,
    input [W-1:0] newest, output reg [W-1:0] followed_word, output reg [A-1:0] count, output reg followed,
    output head_followed
);
  reg pushed;
  reg [A-1:0] ahead;
  wire pops = pop && valid;
  assign head_followed = valid && followed && ahead == 0;
  always @(posedge clock) begin
    pushed <= push && !reset;
    count <= reset ? 0 : count + push - pops;
    if (push && write == watched) begin
      followed <= !reset;
      followed_word <= din;
      ahead <= count - pops;
    end else begin
      followed <= followed && !(pops && ahead == 0) && !reset;
      ahead <= ahead - pops;
    end
  end
  wire [A-1:0] slots_ahead = watched - read;
  always @(*) if (active) begin
    assert (!push || !full);
    assert (full == &count);
    assert (valid == (count != pushed) && (!pushed || count != 0));
    assert (!head_followed || dout == followed_word);
    // How the gateware holds it.
    assert (count == write - read && write_1 == write + 1'd1 && write_2 == write + 2'd2 && read_1 == read + 1'd1);
    assert (followed ? slots_ahead == ahead && ahead < count && word == followed_word : slots_ahead >= count);
    assert (count == 0 || (newest_address == write - 1'd1 && (newest_address != watched || newest == word)));
    assert (running ? read_address == read : count == 0 && !pushed && read == 0);
    assert (!valid || read != watched || dout == word);
    assert (!valid || read != newest_address || dout == newest);
  end
`ifdef PLANTED
  always @(*) assume (({din, dout, word, newest, followed_word} & {5{~{W{1'b0}} << QUIET}}) == 0);
`endif
endmodule

// A register slice: a queue of two. Its output keeps what it offers until that is taken (IHI 0051B, 2.2.1), and a clock
// after its receiver was ready so is it.
module slice #(parameter W = 1, QUIET = 1) (
    input clock, input reset, input active, input running, input s_valid, input s_ready, input [W-1:0] s,
    input m_valid, input m_ready, input [W-1:0] m, input spare_valid, input [W-1:0] spare
);
  reg [1:0] count;
  reg [W-1:0] first, second;
  reg offered, was_ready;
  reg [W-1:0] offer;
  wire gives = m_valid && m_ready;
  always @(posedge clock) begin
    offered <= m_valid && !m_ready && !reset;
    offer <= m;
    was_ready <= m_ready || reset;
    count <= reset ? 0 : count + (s_valid && s_ready) - gives;
    if (gives) first <= second;
    if (s_valid && s_ready) begin
      if (count == gives) first <= s;
      else second <= s;
    end
  end
  always @(*) if (active) begin
    assert (running || !m_valid);
    assert (!offered || (m_valid && m == offer));
    assert (!was_ready || s_ready);
    assert (count <= 2 && m_valid == (count != 0) && s_ready == (count != 2));
    assert (!m_valid || m == first);
    assert (spare_valid == (count == 2) && (!spare_valid || spare == second));
  end
`ifdef PLANTED
  always @(*) assume (({s, m, spare, first, second, offer} & {6{~{W{1'b0}} << QUIET}}) == 0);
`endif
endmodule

// Where in a frame a stream is: 0 between frames, else {sideband, bytes left, 1}. A beat is good when its bytes begin
// in lane 0 and have no gap, are all lanes but in the last beat, and with it add up to the length in the sideband,
// which is the same in all beats.
module beat #(parameter U = 16) (
    input [U+16:0] position, input [`K-1:0] keep, input last, input [U-1:0] user, output [U+16:0] next, output good
);
  wire inside = position[0];
  wire [15:0] left = inside ? position[16:1] : user[15:0];
  reg [15:0] bytes;
  integer i;
  always @(*) begin
    bytes = 0;
    for (i = 0; i < `K; i = i + 1) if (keep[i]) bytes = i + 1;
  end
  assign good = keep[0] && (keep & (keep + 1'd1)) == 0 && (last || &keep) && (!inside || user == position[17 +: U])
      && bytes <= left && last == (bytes == left);
  wire [15:0] left_next = left - bytes;
  assign next = last ? 0 : {user, left_next, 1'b1};
endmodule

module check (input clock);
  // Clocks since the start: two of reset. In the first one the registers hold anything.
  reg [1:0] now = 0;
  always @(posedge clock) if (now != 2) now <= now + 1;
  wire reset = now != 2;
  wire active = now != 0;
  wire running = now == 2;

  // Any slot of every queue, the same in all clocks.
  (* anyseq *) wire [8:0] watched_any;
  reg [8:0] watched;
  always @(posedge clock) if (now == 0) watched <= watched_any;

  // Any input, be it in order or not; any receivers; any writes and reads of the host.
  (* anyseq *) wire s_valid, s_last, wire_ready, host_ready, write_enable, read_enable;
  (* anyseq *) wire [8*`K-1:0] s_data;
  (* anyseq *) wire [`K-1:0] s_keep;
  (* anyseq *) wire [23:0] s_user;
  (* anyseq *) wire [31:0] write_address, write_data, read_address;
  wire s_ready, wire_valid, wire_last, host_valid, host_last;
  wire [8*`K-1:0] wire_data, host_data;
  wire [`K-1:0] wire_keep, host_keep;
  wire [15:0] wire_user;
  wire [23:0] host_user;
  // Of the slice of the input, what leaves it.
  (* hierconn *) wire \dut.skid.m_axis_tvalid , \dut.skid.m_axis_tready , \dut.skid.m_axis_tlast ;
  (* hierconn *) wire [8*`K-1:0] \dut.skid.m_axis_tdata ;
  (* hierconn *) wire [`K-1:0] \dut.skid.m_axis_tkeep ;
  (* hierconn *) wire [23:0] \dut.skid.m_axis_tuser ;
  wire inner_valid = \dut.skid.m_axis_tvalid , inner_ready = \dut.skid.m_axis_tready ;
  wire inner_last = \dut.skid.m_axis_tlast ;
  wire [8*`K-1:0] inner_data = \dut.skid.m_axis_tdata ;
  wire [`K-1:0] inner_keep = \dut.skid.m_axis_tkeep ;
  wire [23:0] inner_user = \dut.skid.m_axis_tuser ;
  maglane_core dut (
      .clock(clock), .reset(reset),
      .s_axis_tdata(s_data), .s_axis_tkeep(s_keep), .s_axis_tlast(s_last), .s_axis_tuser(s_user),
      .s_axis_tvalid(s_valid), .s_axis_tready(s_ready),
      .m_axis_wire_tdata(wire_data), .m_axis_wire_tkeep(wire_keep), .m_axis_wire_tlast(wire_last),
      .m_axis_wire_tuser(wire_user), .m_axis_wire_tvalid(wire_valid), .m_axis_wire_tready(wire_ready),
      .m_axis_host_tdata(host_data), .m_axis_host_tkeep(host_keep), .m_axis_host_tlast(host_last),
      .m_axis_host_tuser(host_user), .m_axis_host_tvalid(host_valid), .m_axis_host_tready(host_ready),
      .write_address(write_address), .write_data(write_data), .write_enable(write_enable),
      .read_address(read_address), .read_enable(read_enable)
  );

  // Any egress, when one is owed: frames have begun that had none. Lengths are such that rounding up to a beat does not
  // overflow.
  (* anyseq *) wire egress_any;
  (* anyseq *) wire [`E-1:0] egress_anything;
  reg [15:0] began, given, done;
  wire [15:0] length_max = 16'd0 - `K;
  wire [15:0] length_any = egress_anything[36:21];
  wire egress_valid = egress_any && began != given;
  wire [`E-1:0] egress = {egress_anything[`E-1:37], length_any > length_max ? length_max : length_any,
      egress_anything[20:0]};
  (* hierconn *) wire \dut.rewrite.m_valid ;
  (* hierconn *) wire [`E-1:0] \dut.rewrite.m_egress ;
  assign \dut.rewrite.m_valid = egress_valid;
  assign \dut.rewrite.m_egress = egress;

`ifdef PLANTED
  // A bug planted in the Verilog, or none (xtask/src/proof/bugs.rs): each must break a relation.
  (* anyseq *) wire [7:0] planted_any;
  reg [7:0] planted;
  always @(posedge clock) if (now == 0) planted <= planted_any;
  (* hierconn *) wire [7:0] \dut.planted , \dut.skid.planted , \dut.frame_data.planted , \dut.transmit.planted ;
  (* hierconn *) wire [7:0] \dut.transmit.queue.planted , \dut.transmit.wire_skid.planted ;
  (* hierconn *) wire [7:0] \dut.host_queue.planted , \dut.host_queue.skid.planted , \dut.host_queue.side.planted ;
  assign \dut.planted = planted;
  assign \dut.skid.planted = planted;
  assign \dut.frame_data.planted = planted;
  assign \dut.transmit.planted = planted;
  assign \dut.transmit.queue.planted = planted;
  assign \dut.transmit.wire_skid.planted = planted;
  assign \dut.host_queue.planted = planted;
  assign \dut.host_queue.skid.planted = planted;
  assign \dut.host_queue.side.planted = planted;
`endif

  // ---- The queues, each by itself.
  (* hierconn *) wire \dut.<queue>.push , \dut.<queue>.pop , \dut.<queue>.full , \dut.<queue>.valid ;
  (* hierconn *) wire [<width>-1:0] \dut.<queue>.din , \dut.<queue>.dout ;
  (* hierconn *) wire [<bits>-1:0] \dut.<queue>.write_reg$q , \dut.<queue>.read_reg$q , \dut.<queue>.read_ahead_reg$q ;
  (* hierconn *) wire [<bits>-1:0] \dut.<queue>.write_ahead_reg$0$q , \dut.<queue>.write_ahead_reg$1$q ;
  (* hierconn *) wire [<width>-1:0] \dut.<queue>.ram.content.word , \dut.<queue>.ram.content.newest ;
  (* hierconn *) wire [<bits>-1:0] \dut.<queue>.ram.content.newest_address , \dut.<queue>.ram.content.read_address ;
  (* hierconn *) wire [<bits>-1:0] \dut.<queue>.ram.content.watched ;
  assign \dut.<queue>.ram.content.watched = watched[<bits>-1:0];
  wire [<bits>-1:0] \count.<queue> ;
  wire [<width>-1:0] \followed_word.<queue> ;
  wire \followed.<queue> , \head_followed.<queue> ;
  queue #(.A(<bits>), .W(<width>), .QUIET(<quiet>)) \queue.<queue> (
      .clock(clock), .reset(reset), .active(active), .running(running), .watched(watched[<bits>-1:0]),
      .push( \dut.<queue>.push ), .din( \dut.<queue>.din ), .full( \dut.<queue>.full ),
      .pop( \dut.<queue>.pop ), .dout( \dut.<queue>.dout ), .valid( \dut.<queue>.valid ),
      .write( \dut.<queue>.write_reg$q ), .read( \dut.<queue>.read_reg$q ), .read_1( \dut.<queue>.read_ahead_reg$q ),
      .write_1( \dut.<queue>.write_ahead_reg$0$q ), .write_2( \dut.<queue>.write_ahead_reg$1$q ),
      .word( \dut.<queue>.ram.content.word ), .newest( \dut.<queue>.ram.content.newest ),
      .newest_address( \dut.<queue>.ram.content.newest_address ),
      .read_address( \dut.<queue>.ram.content.read_address ),
      .count( \count.<queue> ), .followed_word( \followed_word.<queue> ),
      .followed( \followed.<queue> ), .head_followed( \head_followed.<queue> ));

  // ---- The register slices, each by itself; the outputs' are seen at the ports of the core.
  (* hierconn *) wire \dut.<skid>.s_axis_tvalid , \dut.<skid>.s_axis_tready , \dut.<skid>.s_axis_tlast ;
  (* hierconn *) wire [8*`K-1:0] \dut.<skid>.s_axis_tdata , \dut.<skid>.spare_data_reg$q ;
  (* hierconn *) wire [`K-1:0] \dut.<skid>.s_axis_tkeep , \dut.<skid>.spare_keep_reg$q ;
  (* hierconn *) wire [<sideband>-1:0] \dut.<skid>.s_axis_tuser , \dut.<skid>.spare_user_reg$q ;
  (* hierconn *) wire \dut.<skid>.spare_valid_reg$q , \dut.<skid>.spare_last_reg$q ;
  slice #(.W(9*`K+1+<sideband>), .QUIET(`K+1+<sideband>+16)) \slice.<skid> (
      .clock(clock), .reset(reset), .active(active), .running(running), .s_valid( \dut.<skid>.s_axis_tvalid ),
      .s_ready( \dut.<skid>.s_axis_tready ),
      .s({ \dut.<skid>.s_axis_tdata , \dut.<skid>.s_axis_tuser , \dut.<skid>.s_axis_tlast , \dut.<skid>.s_axis_tkeep }),
      .m_valid(<m>_valid), .m_ready(<m>_ready), .m({<m>_data, <m>_user, <m>_last, <m>_keep}),
      .spare_valid( \dut.<skid>.spare_valid_reg$q ),
      .spare({ \dut.<skid>.spare_data_reg$q , \dut.<skid>.spare_user_reg$q , \dut.<skid>.spare_last_reg$q ,
               \dut.<skid>.spare_keep_reg$q }));

  // ---- The input: beats that leave its slice go into the queue of frames, data and last side by side.
  (* hierconn *) wire \dut.inside_reg$q , \dut.cleared , \dut.control$hold , \dut.control$drained ;
  (* hierconn *) wire [5:0] \dut.read_wait_reg$q ;
  (* hierconn *) wire [7:0] \dut.credit_reg$q ;
  wire enters = inner_valid && inner_ready;
  wire begins = enters && ! \dut.inside_reg$q ;
  wire [15:0] inside = began - done;
  wire [15:0] owed = began - given;
  always @(posedge clock) begin
    began <= reset ? 0 : began + begins;
    given <= reset ? 0 : given + egress_valid;
  end
  always @(*) if (active) begin
    assert ( \dut.frame_data.push == enters && \dut.frame_last.push == enters);
    assert (!enters || { \dut.frame_data.din , \dut.frame_last.din } == {inner_data, inner_last});
    assert ( \dut.frame_data.write_reg$q == \dut.frame_last.write_reg$q
        && \dut.frame_data.read_reg$q == \dut.frame_last.read_reg$q
        && \dut.frame_data.valid == \dut.frame_last.valid );
    assert ( \dut.frame_data.pop == pops && \dut.frame_last.pop == pops);
    // Frames inside are at most 120, so that no egress is lost.
    assert (inside <= 120 && \dut.credit_reg$q == 120 - inside);
    assert (owed <= 120 && inside == owed + \count.transmit.queue );
    // The input waits for room, and between frames for a frame to leave, for memories to be cleared, for a commit, or for a
    // read of counters that has waited for 32 clocks.
    assert (inner_ready == ( \count.frame_data != 255
        && ( \dut.inside_reg$q || (inside != 120 && \dut.cleared && ! \dut.control$hold
            && ! \dut.read_wait_reg$q [5]))));
    // A commit is told when no frame is inside, neither in the stages nor on its way in.
    assert ( \dut.control$drained == (inside == 0 && ! \dut.inside_reg$q ));
  end

  // ---- Transmit.
  (* hierconn *) wire \dut.transmit.beat_pop , \dut.transmit.done , \dut.transmit.m_axis_host_tready ;
  (* hierconn *) wire [`E-1:0] \dut.transmit.done_egress ;
  (* hierconn *) wire \dut.transmit.started_reg$q , \dut.transmit.input_done_reg$q ;
  (* hierconn *) wire [15:0] \dut.transmit.left_reg$q ;
  (* hierconn *) wire [1:0] \dut.transmit.beat_reg$q ;
  (* hierconn *) wire [23:0] \dut.host_queue.s_axis_tuser ;
  (* hierconn *) wire [8*`K-1:0] \dut.host_queue.s_axis_tdata ;
  (* hierconn *) wire [`K-1:0] \dut.host_queue.s_axis_tkeep ;
  (* hierconn *) wire \dut.host_queue.s_axis_tvalid , \dut.host_queue.s_axis_tlast , \dut.host_queue.s_axis_tready ;
  wire [`E-1:0] head = \dut.transmit.queue.dout ;
  wire [4:0] verdict = head[4:0];
  wire [15:0] length = head[36:21];
  wire outer_v6 = head[138];
  wire has_egress = \dut.transmit.queue.valid ;
  wire started = \dut.transmit.started_reg$q ;
  wire ended = started && \dut.transmit.input_done_reg$q ;
  wire [15:0] left = \dut.transmit.left_reg$q ;
  wire has_beat = \dut.frame_data.valid ;
  wire pops = \dut.transmit.beat_pop ;
  wire pops_last = pops && \dut.frame_last.dout ;
  wire finishes = \dut.transmit.done ;
  wire wire_takes = \dut.transmit.wire_skid.s_axis_tvalid && \dut.transmit.wire_skid.s_axis_tready ;
  wire host_takes = \dut.host_queue.s_axis_tvalid ;
  // With IPv6 outside the first beat of 32 bytes has no byte of the input.
  wire waits = `K == 32 && verdict == 0 && outer_v6 && \dut.transmit.beat_reg$q == 1;
  // Positions: in the input, in what goes into the slice of the wire and out of it, in what goes to the host queue.
  reg in_middle;
  reg [32:0] to_wire, on_wire;
  reg [40:0] to_host;
  wire [32:0] to_wire_next, on_wire_next, spare_next;
  wire [40:0] to_host_next;
  wire to_wire_good, on_wire_good, spare_good, to_host_good;
  beat #(.U(16)) to_wire_beat (.position(to_wire), .next(to_wire_next), .good(to_wire_good),
      .keep( \dut.transmit.wire_skid.s_axis_tkeep ), .last( \dut.transmit.wire_skid.s_axis_tlast ),
      .user( \dut.transmit.wire_skid.s_axis_tuser ));
  beat #(.U(16)) on_wire_beat (.position(on_wire), .next(on_wire_next), .good(on_wire_good),
      .keep(wire_keep), .last(wire_last), .user(wire_user));
  beat #(.U(16)) spare_beat (.position(on_wire_next), .next(spare_next), .good(spare_good),
      .keep( \dut.transmit.wire_skid.spare_keep_reg$q ), .last( \dut.transmit.wire_skid.spare_last_reg$q ),
      .user( \dut.transmit.wire_skid.spare_user_reg$q ));
  beat #(.U(24)) to_host_beat (.position(to_host), .next(to_host_next), .good(to_host_good),
      .keep( \dut.host_queue.s_axis_tkeep ), .last( \dut.host_queue.s_axis_tlast ),
      .user( \dut.host_queue.s_axis_tuser ));
  // Frames: taken out of the queue, made for the wire, made for the host, dropped; left on the wire.
  reg [15:0] taken, forwarded, passed, dropped, sent;
  wire spare_lasts = \dut.transmit.wire_skid.spare_valid_reg$q && \dut.transmit.wire_skid.spare_last_reg$q ;
  always @(posedge clock) begin
    done <= reset ? 0 : done + finishes;
    taken <= reset ? 0 : taken + pops_last;
    forwarded <= reset ? 0 : forwarded + (wire_takes && \dut.transmit.wire_skid.s_axis_tlast );
    passed <= reset ? 0 : passed + (host_takes && \dut.host_queue.s_axis_tlast );
    dropped <= reset ? 0 : dropped + (finishes && length == 0);
    sent <= reset ? 0 : sent + (wire_valid && wire_ready && wire_last);
    in_middle <= !reset && (pops ? ! \dut.frame_last.dout : in_middle);
    to_wire <= reset ? 0 : wire_takes ? to_wire_next : to_wire;
    on_wire <= reset ? 0 : wire_valid && wire_ready ? on_wire_next : on_wire;
    to_host <= reset ? 0 : host_takes ? to_host_next : to_host;
  end
  wire [15:0] followed_length = \followed_word.transmit.queue [36:21];
  always @(*) if (active) begin
    // What is asserted below of the egress that is followed, any one, may be assumed of the head of the queue.
    assume (!has_egress || length <= length_max);
    // All beats of all streams are good.
    assert (! \dut.transmit.wire_skid.s_axis_tvalid || to_wire_good);
    assert (!wire_valid || on_wire_good);
    assert (! \dut.transmit.wire_skid.spare_valid_reg$q || spare_good);
    assert (!host_takes || to_host_good);
    assert (to_wire == ( \dut.transmit.wire_skid.spare_valid_reg$q ? spare_next : wire_valid ? on_wire_next : on_wire));
    // The right output, with the egress's length and verdict; the host gets the bytes that came.
    assert (! \dut.transmit.wire_skid.s_axis_tvalid || (has_egress && verdict == 0
        && \dut.transmit.wire_skid.s_axis_tuser == length));
    assert (!host_takes || (has_egress && verdict != 0 && \dut.host_queue.s_axis_tuser == {verdict, length}));
    assert (!host_takes || \dut.host_queue.s_axis_tdata == (ended ? 0 : \dut.frame_data.dout ));
    // Each egress is done once, when its frame has left the queue up to its last beat, and as a whole frame or not at
    // all has gone where it should.
    assert (finishes == ( \dut.transmit.queue.pop && has_egress));
    assert (!finishes || \dut.transmit.done_egress == head);
    assert (taken == done + ended);
    assert (forwarded + passed + dropped == done + (started && length != 0 && left == 0));
    assert (forwarded == sent + spare_lasts + (wire_valid && wire_last));
    // A beat a clock: with an egress, a beat of its frame and a receiver that is ready, one is taken or made. (A frame
    // that is forwarded has bytes.)
    assert (!has_egress || (verdict == 0 && length == 0) || !(has_beat || ended)
        || !(verdict != 0 || \dut.transmit.wire_skid.s_axis_tready ) || pops || wire_takes || host_takes);
    assert (!pops || has_beat);
    // The beat that is missing in mid-frame is one that the input may bring.
    assert (!in_middle || \count.frame_data != 0 || ( \dut.inside_reg$q && inner_ready));
    // How the gateware holds it.
    assert (! \followed.transmit.queue || followed_length <= length_max);
    assert (started == ( \dut.transmit.beat_reg$q != 0) && (!started || has_egress));
    assert (!started || !ended || left != 0);
    assert (!started || length != 0 || left == 0);
    assert (!started || left == 0 || (left < length && left[`L-1:0] == length[`L-1:0]));
    assert (in_middle == (started && !ended && !waits) && !(waits && ended));
    assert (to_wire == (started && left != 0 && verdict == 0 ? {length, left, 1'b1} : 0));
    assert (to_host == (started && left != 0 && verdict != 0 ? {3'd0, verdict, length, left, 1'b1} : 0));
    assert ( \count.frame_data == 0 ? in_middle == \dut.inside_reg$q
        : \dut.frame_last.ram.content.newest == ! \dut.inside_reg$q );
  end

  // ---- The host queue: all beats of a frame for which there is room, or none.
  (* hierconn *) wire \dut.host_queue.inside_reg$q , \dut.host_queue.admitted_reg$q ;
  (* hierconn *) wire [15:0] \dut.host_queue.free_reg$q ;
  (* hierconn *) wire [31:0] \dut.host_queue.overrun ;
  reg admits_before;
  reg [31:0] lost;
  reg [`K-1:0] followed_keep;
  wire [15:0] room = 511 - \count.host_queue.data ;
  wire [15:0] beats = ( \dut.host_queue.s_axis_tuser [15:0] + 16'd`K - 16'd1) >> `L;
  wire [15:0] beats_left = (to_host[16:1] + 16'd`K - 16'd1) >> `L;
  wire admits = to_host[0] ? admits_before : beats <= room;
  wire [31:0] side = \dut.host_queue.side.ram.content.word ;
  wire [`K-1:0] side_keep = side[0] && side[7:1] != 0 ? ~(~`K'd0 << side[7:1]) : ~`K'd0;
  always @(posedge clock) begin
    if (host_takes) admits_before <= admits;
    lost <= reset ? 0 : lost + (host_takes && \dut.host_queue.s_axis_tlast && !admits);
    if ( \dut.host_queue.side.push && \dut.host_queue.side.write_reg$q == watched)
      followed_keep <= \dut.host_queue.s_axis_tkeep ;
  end
  always @(*) if (active) begin
    assert ( \dut.host_queue.s_axis_tready );
    assert ( \dut.host_queue.data.push == (host_takes && admits)
        && \dut.host_queue.side.push == (host_takes && admits));
    assert ( \dut.host_queue.overrun == lost + (to_host[0] && !admits_before));
    // Both queues in step, and what leaves them is what came.
    assert ( \dut.host_queue.data.write_reg$q == \dut.host_queue.side.write_reg$q
        && \dut.host_queue.data.read_reg$q == \dut.host_queue.side.read_reg$q
        && \dut.host_queue.data.valid == \dut.host_queue.side.valid );
    assert ( \dut.host_queue.data.pop == ( \dut.host_queue.data.valid && \dut.host_queue.skid.s_axis_tready )
        && \dut.host_queue.side.pop == \dut.host_queue.data.pop
        && \dut.host_queue.skid.s_axis_tvalid == \dut.host_queue.data.valid );
    assert (! \dut.host_queue.data.push || ( \dut.host_queue.data.din == \dut.host_queue.s_axis_tdata
        && \dut.host_queue.side.din [31:8] == \dut.host_queue.s_axis_tuser
        && \dut.host_queue.side.din [0] == \dut.host_queue.s_axis_tlast ));
    assert (! \dut.host_queue.data.valid || ( \dut.host_queue.skid.s_axis_tdata == \dut.host_queue.data.dout
        && \dut.host_queue.skid.s_axis_tuser == \dut.host_queue.side.dout [31:8]
        && \dut.host_queue.skid.s_axis_tlast == \dut.host_queue.side.dout [0]));
    assert (! \head_followed.host_queue.side || \dut.host_queue.skid.s_axis_tkeep == followed_keep);
    // How the gateware holds it.
    assert (! \followed.host_queue.side || (followed_keep == side_keep && side[7:1] == side[8 +: `L]));
    assert ( \dut.host_queue.free_reg$q == room);
    assert ( \dut.host_queue.inside_reg$q == to_host[0]);
    assert (!to_host[0] || ( \dut.host_queue.admitted_reg$q == admits_before
        && (!admits_before || beats_left <= room)));
  end
`ifdef PLANTED
  always @(*) begin
    assume (((done | taken | forwarded | passed | dropped | sent | lost) >> 3) == 0);
    assume (((began | given) >> 8) == 0);
  end
`endif
endmodule
