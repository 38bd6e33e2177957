// The flow table does one operation after the other: proof by induction over clocks, for any number of operations.
//
// `entries` below is the model of docs/wire-contract.md, one frame at a time: the content of one set, any one, as it is
// when all frames up to the one in clock 6 are done. What the gateware holds at every clock of its pipeline is
// related to the model. From the relations in one clock follow, for any inputs, the relations in the next; after
// reset they hold; so they hold always, and with them the decisions and the memory are the model's. A bounded run
// from reset would need dozens of clocks for three frames, and end there.
//
// The Verilog is the committed one, with all its sets, tags and backends. Only memories are replaced:
// - those of the entries by the word of the set that is looked at; other sets read as anything;
// - the backends' attributes by a fixed table in which a service has several backends, of which some take frames.
//   The sides change while no frame is inside.
//
// For each #: 0, 1, 2, 3, 4, 5, 6, 7.

// Whether a backend takes frames hangs on two bits of its id, its service on the others, up to the highest bit.
`define NUMBER(backend) (16'd0 | ((backend) >> 2))
`define ATTRIBUTES(backend) \
  {(((backend) ^ ((backend) >> 1)) & 1'd1) != 0, `NUMBER(backend) ^ (`NUMBER(backend) << 10)}

module flow_table$way$0$tags (
    input clock, input [`F-1:0] raddr, output reg [`T-1:0] rdata, input [`F-1:0] waddr, input [`T-1:0] wdata, input we
);
  (* keep *) wire [`F-1:0] watched;
  (* anyseq *) wire [`T-1:0] other;
  reg [`T-1:0] word;
  always @(posedge clock) begin
    rdata <= raddr == watched ? word : other;
    if (we && waddr == watched) word <= wdata;
  end
endmodule

module flow_table$way$0$rests (
    input clock, input [`F-1:0] raddr, output reg [23:0] rdata, input [`F-1:0] waddr, input [23:0] wdata, input we
);
  (* keep *) wire [`F-1:0] watched;
  (* anyseq *) wire [23:0] other;
  reg [23:0] word;
  always @(posedge clock) begin
    rdata <= raddr == watched ? word : other;
    if (we && waddr == watched) word <= wdata;
  end
endmodule

module flow_table$way$0$attributes (
    input clock, input side, input [`B-1:0] raddr, output reg [16:0] rdata, input [`B-1:0] waddr, input [16:0] wdata,
    input we, output [16:0] staged
);
  (* anyseq *) wire [16:0] other;
  assign staged = other;
  always @(posedge clock) rdata <= `ATTRIBUTES(raddr);
endmodule

module check (input clock);
  // Clocks since the start: two of reset, of which the second makes the model's content that of the memory.
  reg [1:0] now = 0;
  always @(posedge clock) if (now != 2) now <= now + 1;
  wire reset = now != 2;

  // The set that is looked at, any one, the same in all clocks.
  (* anyseq *) wire [`F-1:0] watched_any;
  reg [`F-1:0] watched;
  always @(posedge clock) if (now == 0) watched <= watched_any;

  // Timeouts, any up to 62, which is the greatest that the control block gives, others in every clock. A step of
  // the tick takes them over as it starts, and so does a tick that is set with them.
  (* anyseq *) wire [17:0] offered_any;
  wire [17:0] offered = {offered_any[17:12] == 63 ? 6'd62 : offered_any[17:12],
      offered_any[11:6] == 63 ? 6'd62 : offered_any[11:6], offered_any[5:0] == 63 ? 6'd62 : offered_any[5:0]};
  (* hierconn *) wire \dut.sweeper.start ;
  (* anyseq *) wire set_timeouts;
  reg [17:0] timeouts, timeouts_before;
  wire [17:0] timeouts_next = \dut.sweeper.start && (set_timeouts || !(rests && set)) ? offered : timeouts;
  always @(posedge clock) begin
    timeouts <= reset ? 18'd0 : timeouts_next;
    timeouts_before <= timeouts;
  end

  // Any frames, but not in two clocks in a row: the select stage takes none in the clock after another. None before
  // the memory is cleared: the core takes none.
  (* anyseq *) wire s_any;
  (* anyseq *) wire [`F-1:0] s_set, read_set;
  (* anyseq *) wire [`T-1:0] s_tag;
  (* anyseq *) wire [19:0] s_operation;
  (* anyseq *) wire read_valid;
  (* anyseq *) wire [2:0] read_way;
  (* anyseq *) wire attributes_we;
  (* anyseq *) wire [`B-1:0] attributes_waddr;
  (* anyseq *) wire [16:0] attributes_wdata;
  (* anyseq *) wire pick_nobody;
  (* anyseq *) wire [15:0] pick_backend;
  (* anyseq *) wire [16:0] pick_anything;
  wire [16:0] pick_attributes = pick_nobody ? pick_anything : `ATTRIBUTES(pick_backend[`B-1:0]);
  wire [33:0] pick = {pick_attributes, pick_backend, pick_nobody};
  wire m_valid, stepped, rests, ready;
  wire [18:0] m_decision;
  wire [5:0] tick;
  wire s_valid = s_any && !stage_valid[1] && ready && !(step != 0 && idle && !stepped);

  // Any steps of the tick: held until done; from `idle` on no frame is inside and none comes before the step is done.
  (* anyseq *) wire [6:0] step_any;
  (* anyseq *) wire idle_any;
  reg [6:0] step_held;
  reg idle_held;
  wire [6:0] step = step_held != 0 ? step_held : step_any;
  wire idle = (idle_any || idle_held) && stage_valid == 0;
  always @(posedge clock) begin
    step_held <= reset || stepped ? 7'd0 : step;
    idle_held <= !reset && step != 0 && idle && !stepped && !(rests && set);
  end
  // The host sets the tick while no frame is inside; it is not a step, so ages change with it as they will.
  (* anyseq *) wire set_any;
  (* anyseq *) wire [5:0] set_value;
  wire set_asked = set_any && stage_valid == 0 && !s_valid;
  // The census may hold a round up; the tick is not set then.
  (* anyseq *) wire may_start;
  wire set = set_asked && may_start;

  flow_table dut (
      .clock(clock), .reset(reset),
      .s_valid(s_valid), .s_set(s_set), .s_tag(s_tag), .s_operation(s_operation), .pick(pick),
      .m_valid(m_valid), .m_decision(m_decision),
      .timeouts(offered),
      .set_tick(set_asked), .set_tick_value(set_value), .set_timeouts(set_timeouts), .step(step), .idle(idle), .stepped(stepped), .tick(tick),
      .rests(rests), .ready(ready), .may_start(may_start),
      .attributes_we(attributes_we), .attributes_waddr(attributes_waddr), .attributes_wdata(attributes_wdata),
      .read_valid(read_valid), .read_set(read_set), .read_way(read_way), .load_valid(1'b0),
      .load_set(read_set), .load_way(read_way), .load_tag(s_tag), .load_rest(24'd0)
  );

`ifdef PLANTED
  // A bug planted in the Verilog, or none (xtask/src/proof/bugs.rs): each must break a relation.
  (* anyseq *) wire [7:0] planted_any;
  reg [7:0] planted;
  always @(posedge clock) if (now == 0) planted <= planted_any;
  (* hierconn *) wire [7:0] \dut.planted , \dut.sweeper.planted , \dut.meet_late.planted ;
  (* hierconn *) wire [7:0] \dut.way$#.planted , \dut.contest$#.planted , \dut.merge$#.planted , \dut.meet$#.planted ;
  assign \dut.planted = planted;
  assign \dut.sweeper.planted = planted;
  assign \dut.meet_late.planted = planted;
  assign \dut.way$#.planted = planted;
  assign \dut.contest$#.planted = planted;
  assign \dut.merge$#.planted = planted;
  assign \dut.meet$#.planted = planted;
`endif

  // ---- What the gateware holds, by the clock in which an operation is.
  // Operations, by the clock in which they are: kept here from what enters, and the same in the gateware.
  (* hierconn *) wire \dut.sweeper$sweep ;
  (* hierconn *) wire [`F-1:0] \dut.sweeper$sweep_set ;
  reg [7:1] stage_valid, stage_sweep;
  reg [7*`F-1:0] sets;
  reg [7*`T-1:0] op_tags;
  reg [7*20-1:0] operations;
  always @(posedge clock) begin
    stage_valid <= reset ? 0 : {stage_valid[6:1], s_valid};
    stage_sweep <= reset ? 0 : {stage_sweep[6:1], \dut.sweeper$sweep };
    sets <= {sets, s_valid ? s_set : \dut.sweeper$sweep ? \dut.sweeper$sweep_set : read_set};
    op_tags <= {op_tags, s_tag};
    operations <= {operations, s_operation};
  end
  (* hierconn *) wire [6:0] \dut.valid_reg$q , \dut.sweep_reg$q ;
  (* hierconn *) wire [`F-1:0] \dut.set_reg$0$q , \dut.set_reg$1$q , \dut.set_reg$2$q , \dut.set_reg$3$q ;
  (* hierconn *) wire [`F-1:0] \dut.set_reg$4$q , \dut.set_reg$5$q , \dut.set_reg$6$q ;
  (* hierconn *) wire [`T-1:0] \dut.tag_reg$0$q , \dut.tag_reg$1$q , \dut.tag_reg$2$q , \dut.tag_reg$3$q ;
  (* hierconn *) wire [`T-1:0] \dut.tag_reg$4$q , \dut.tag_reg$5$q , \dut.tag_reg$6$q ;
  (* hierconn *) wire [19:0] \dut.operation_reg$0$q , \dut.operation_reg$1$q , \dut.operation_reg$2$q ;
  (* hierconn *) wire [19:0] \dut.operation_reg$3$q , \dut.operation_reg$4$q , \dut.operation_reg$5$q ;
  (* hierconn *) wire [19:0] \dut.operation_reg$6$q ;
  always @(*) begin
    if (now == 1) assert (stage_valid == 0 && stage_sweep == 0);
    if (now == 1 || now == 2) assert (stage_valid == \dut.valid_reg$q && stage_sweep == \dut.sweep_reg$q );
    if (now == 1 || now == 2) assert (timeouts == \dut.sweeper.timeouts_reg$q );
    if (now == 2) begin
      assert (m_valid == stage_valid[7]);
      assert (sets == {\dut.set_reg$6$q , \dut.set_reg$5$q , \dut.set_reg$4$q , \dut.set_reg$3$q , \dut.set_reg$2$q ,
                       \dut.set_reg$1$q , \dut.set_reg$0$q });
      assert (op_tags == {\dut.tag_reg$6$q , \dut.tag_reg$5$q , \dut.tag_reg$4$q , \dut.tag_reg$3$q , \dut.tag_reg$2$q ,
                          \dut.tag_reg$1$q , \dut.tag_reg$0$q });
      assert (operations == {\dut.operation_reg$6$q , \dut.operation_reg$5$q , \dut.operation_reg$4$q ,
                             \dut.operation_reg$3$q , \dut.operation_reg$2$q , \dut.operation_reg$1$q ,
                             \dut.operation_reg$0$q });
    end
  end
  (* hierconn *) wire [3:0] \dut.meet$0$meeting , \dut.meet$1$meeting , \dut.meet$2$meeting , \dut.meet$3$meeting ;
  (* hierconn *) wire [3:0] \dut.meet$4$meeting , \dut.meet_late$meeting ;
  wire [5*4-1:0] meetings = {\dut.meet$4$meeting , \dut.meet$3$meeting , \dut.meet$2$meeting , \dut.meet$1$meeting ,
                             \dut.meet$0$meeting };
  // What has been written over what the operation in clocks 1 to 5 has read, with what is being written in clock 7.
  (* hierconn *) wire [42:0] \dut.merge$0$after , \dut.merge$1$after , \dut.merge$2$after , \dut.merge$3$after ;
  (* hierconn *) wire [42:0] \dut.merge$4$after ;
  wire [5*43-1:0] overs = {\dut.merge$4$after , \dut.merge$3$after , \dut.merge$2$after , \dut.merge$1$after ,
                           \dut.merge$0$after };
  (* hierconn *) wire [27:0] \dut.written_reg$q , \dut.late_reg$q ;
  wire written_valid = \dut.written_reg$q [0];
  wire written_hit = \dut.written_reg$q [1];
  wire [7:0] written_ways = \dut.written_reg$q [9:2];
  wire [1:0] written_state = \dut.written_reg$q [11:10];
  wire [15:0] written_backend = \dut.written_reg$q [27:12];
  (* hierconn *) wire [33:0] \dut.late_pick_reg$q ;
  (* hierconn *) wire \dut.behind_reg$q ;
  (* hierconn *) wire [7:0] \dut.write_reg$q ;
  (* hierconn *) wire [23:0] \dut.rest_reg$q ;
  (* hierconn *) wire [7:0] \dut.load_reg$q ;
  (* hierconn *) wire [7:0] \dut.candidate_reg$q ;
  (* hierconn *) wire \dut.any_candidate_reg$q ;
  (* hierconn *) wire \dut.over_own_reg$q ;
  (* hierconn *) wire [15:0] \dut.over_backend_reg$q ;
  (* hierconn *) wire [`T-1:0] \dut.written_tag ;
  (* hierconn *) wire [20:0] \dut.sweeper$limits ;
  wire [20:0] limits = \dut.sweeper$limits ;
  (* hierconn *) wire [6:0] \dut.sweeper.stride_reg$q ;
  wire [6:0] stride = \dut.sweeper.stride_reg$q ;
  (* hierconn *) wire [17:0] \dut.sweeper.timeouts_reg$q ;
  (* hierconn *) wire \dut.sweeper.issuing_reg$q , \dut.sweeper.stepped_reg$d ;
  wire issuing = \dut.sweeper.issuing_reg$q ;
  wire steps = \dut.sweeper.stepped_reg$d ;
  (* hierconn *) wire [`F-1:0] \dut.sweeper.set_reg$q ;
  wire [`F-1:0] pointer = \dut.sweeper.set_reg$q ;
  (* hierconn *) wire [3:0] \dut.sweeper.wait_reg$q ;
  wire [3:0] pause = \dut.sweeper.wait_reg$q ;

  (* hierconn *) wire [`F-1:0] \dut.way$#.tags.watched , \dut.way$#.rests.watched ;
  assign \dut.way$#.tags.watched = watched;
  assign \dut.way$#.rests.watched = watched;
  (* hierconn *) wire [`T-1:0] \dut.way$#.tags.word , \dut.way$#.tags$rdata , \dut.way$#.tag_reg$q ;
  (* hierconn *) wire [23:0] \dut.way$#.rests.word , \dut.way$#.rests$rdata , \dut.way$#.rest_reg$q ;
  wire [8*`T-1:0] memory_tags, tags_1, tags_2;
  wire [8*24-1:0] memory_rests, rests_1, rests_2;
  assign memory_tags[`T*# +: `T] = \dut.way$#.tags.word ;
  assign memory_rests[24*# +: 24] = \dut.way$#.rests.word ;
  assign tags_1[`T*# +: `T] = \dut.way$#.tags$rdata ;
  assign rests_1[24*# +: 24] = \dut.way$#.rests$rdata ;
  assign tags_2[`T*# +: `T] = \dut.way$#.tag_reg$q ;
  assign rests_2[24*# +: 24] = \dut.way$#.rest_reg$q ;
  (* hierconn *) wire \dut.way$#.attributes$we ;
  (* hierconn *) wire [`B-1:0] \dut.way$#.attributes$waddr ;
  (* hierconn *) wire [16:0] \dut.way$#.attributes$wdata ;
  wire [17+`B:0] attributes_port_# = {\dut.way$#.attributes$we , \dut.way$#.attributes$waddr , \dut.way$#.attributes$wdata };
  always @(*) if (now == 2) assert (attributes_port_# == {attributes_we, attributes_waddr, attributes_wdata});
  (* hierconn *) wire \dut.way$#.equal_reg$0$q , \dut.way$#.equal_reg$1$q ;
  (* hierconn *) wire [1:0] \dut.way$#.state_reg$0$q , \dut.way$#.state_reg$1$q ;
  (* hierconn *) wire [5:0] \dut.way$#.age_reg$0$q , \dut.way$#.age_reg$1$q ;
  (* hierconn *) wire [15:0] \dut.way$#.backend_reg$0$q , \dut.way$#.backend_reg$1$q ;
  (* hierconn *) wire [15:0] \dut.way$#.backend_reg$2$q , \dut.way$#.backend_reg$3$q ;
  (* hierconn *) wire [16:0] \dut.way$#.attributes$rdata , \dut.way$#.attributes_reg$q ;
  wire [7:0] equal_3, equal_4, live_4;
  wire [8*2-1:0] state_3, state_4;
  wire [8*6-1:0] age_3, age_4;
  wire [8*16-1:0] backend_3, backend_4, backend_5, backend_6;
  wire [8*17-1:0] attributes_3, attributes_4;
  assign equal_3[#] = \dut.way$#.equal_reg$0$q ;
  assign equal_4[#] = \dut.way$#.equal_reg$1$q ;
  assign state_3[2*# +: 2] = \dut.way$#.state_reg$0$q ;
  assign state_4[2*# +: 2] = \dut.way$#.state_reg$1$q ;
  assign age_3[6*# +: 6] = \dut.way$#.age_reg$0$q ;
  assign age_4[6*# +: 6] = \dut.way$#.age_reg$1$q ;
  assign backend_3[16*# +: 16] = \dut.way$#.backend_reg$0$q ;
  assign backend_4[16*# +: 16] = \dut.way$#.backend_reg$1$q ;
  assign backend_5[16*# +: 16] = \dut.way$#.backend_reg$2$q ;
  assign backend_6[16*# +: 16] = \dut.way$#.backend_reg$3$q ;
  assign attributes_3[17*# +: 17] = \dut.way$#.attributes$rdata ;
  assign attributes_4[17*# +: 17] = \dut.way$#.attributes_reg$q ;
  (* hierconn *) wire \dut.way$#.live_reg$q ;
  (* hierconn *) wire [6:0] \dut.way$#.view_reg$q ;
  (* hierconn *) wire [7:0] \dut.way$#.rank_reg$q , \dut.contest$#.beats_reg$q ;
  (* hierconn *) wire \dut.way$#.good_reg$q , \dut.way$#.evictable_reg$q , \dut.way$#.fresh_reg$q ;
  (* hierconn *) wire \dut.way$#.dead_reg$q ;
  (* hierconn *) wire [1:0] \dut.way$#.state_now_reg$q ;
  wire [8*7-1:0] view_5;
  wire [8*8-1:0] rank_5, beats_6;
  wire [7:0] good_6, evictable_6, fresh_6, dead_6;
  wire [8*2-1:0] state_6;
  assign live_4[#] = \dut.way$#.live_reg$q ;
  assign view_5[7*# +: 7] = \dut.way$#.view_reg$q ;
  assign rank_5[8*# +: 8] = \dut.way$#.rank_reg$q ;
  assign beats_6[8*# +: 8] = \dut.contest$#.beats_reg$q ;
  assign good_6[#] = \dut.way$#.good_reg$q ;
  assign evictable_6[#] = \dut.way$#.evictable_reg$q ;
  assign fresh_6[#] = \dut.way$#.fresh_reg$q ;
  assign dead_6[#] = \dut.way$#.dead_reg$q ;
  assign state_6[2*# +: 2] = \dut.way$#.state_now_reg$q ;

  // ---- The model: eight entries, and what the frame in clock 6 does to them.
  reg [8*`T-1:0] model_tags;
  reg [8*24-1:0] model_rests;
  wire [7:0] live;
  wire [8*8-1:0] rank;
  wire [8*17-1:0] model_attributes;

  // An entry is live when its age is at most the timeout of its state. While the tick steps by several, the limits of
  // the gateware are lower than the timeouts, and no frame is inside. They follow the timeouts a clock later; in that clock
  // nobody asks for them.
  wire [20:0] allowed = issuing && pause == 2 && stride == 0
      ? {1'b0, timeouts[17:12], 1'b0, timeouts[11:6], 1'b0, timeouts[5:0]} : limits;
  function automatic is_live(input [1:0] state, input [5:0] age);
    is_live = (state == 1 && !allowed[6] && age <= allowed[5:0]) || (state == 2 && !allowed[13] && age <= allowed[12:7])
        || (state == 3 && !allowed[20] && age <= allowed[19:14]);
  endfunction
  function automatic outlives(input [1:0] state, input [5:0] age, input [6:0] ticks, input [17:0] most);
    outlives = (state == 1 && {2'b0, age} + ticks <= most[5:0]) || (state == 2 && {2'b0, age} + ticks <= most[11:6])
        || (state == 3 && {2'b0, age} + ticks <= most[17:12]);
  endfunction

  wire [`T-1:0] tag = op_tags[`T*5 +: `T];
  wire [15:0] service = operations[20*5 +: 16];
  wire syn = operations[20*5 + 16];
  wire fin = operations[20*5 + 17];
  wire rst = operations[20*5 + 18];
  wire peek = operations[20*5 + 19];
  wire [7:0] of_tag, best;
  wire [7:0] candidate = of_tag & -of_tag;
  wire [7:0] new_now;
  genvar w, v, k;
  generate
    for (w = 0; w < 8; w = w + 1) begin : entry
      wire [23:0] rest = model_rests[24*w +: 24];
      wire [1:0] state = rest[1:0];
      wire [5:0] age = tick - rest[7:2];
      wire [`B-1:0] backend = rest[8 +: `B];
      assign live[w] = is_live(state, age);
      assign of_tag[w] = live[w] && model_tags[`T*w +: `T] == tag;
      assign model_attributes[17*w +: 17] = `ATTRIBUTES(backend);
      // A victim: what is not live, then closing of age 2 and above, then new of age 1 and above; the older the better.
      assign rank[8*w +: 8] = !live[w] ? 8'hc0 : state == 3 && age >= 2 ? {2'd2, age}
          : state == 1 && age >= 1 ? {2'd1, age} : 8'd0;
      assign new_now[w] = live[w] && state == 1 && age == 0;
      wire [7:0] beaten;
      for (v = 0; v < 8; v = v + 1) begin : rival
        assign beaten[v] = v < w ? rank[8*v +: 8] >= rank[8*w +: 8] : rank[8*v +: 8] > rank[8*w +: 8];
      end
      assign best[w] = beaten == 0 && rank[8*w +: 8] != 0;
    end
  endgenerate
  reg [23:0] found;
  reg found_takes, found_serves;
  integer i;
  always @(*) begin
    found = 0;
    found_takes = 0;
    found_serves = 0;
    for (i = 0; i < 8; i = i + 1) if (candidate[i]) begin
      found = model_rests[24*i +: 24];
      found_takes = model_attributes[17*i + 16];
      found_serves = model_attributes[17*i +: 16] == service;
    end
  end
  wire hit = candidate != 0 && found_takes && found_serves && !(found[1:0] == 3 && syn);
  wire [7:0] room = candidate != 0 ? candidate : best != 0 ? best : new_now & -new_now;
  reg [2:0] outcome;
  reg [15:0] backend;
  reg [1:0] state;
  reg writes;
  always @(*) begin
    backend = pick_backend;
    state = 1;
    writes = 0;
    if (hit) begin
      outcome = 1;
      writes = !peek;
      backend = found[23:8];
      state = rst ? found[1:0] : fin ? 2'd3 : found[1:0] == 1 && !syn ? 2'd2 : found[1:0];
    end else if (pick_nobody) outcome = 5;
    else if (fin || rst || peek) outcome = 3;
    else if (room != 0) begin
      outcome = 2;
      writes = 1;
    end else outcome = 4;
  end
  wire decides = stage_valid[6] && sets[`F*5 +: `F] == watched;
  reg [2:0] expected_outcome;
  reg [15:0] expected_backend;
  always @(posedge clock) begin
    expected_outcome <= outcome;
    expected_backend <= backend;
    for (i = 0; i < 8; i = i + 1)
      if (reset) begin
        model_tags[`T*i +: `T] <= 0;
        model_rests[24*i +: 24] <= 0;
      end else if (decides && writes && room[i]) begin
        model_tags[`T*i +: `T] <= tag;
        model_rests[24*i +: 24] <= {backend, tick, state};
      end else if (steps ? !outlives(model_rests[24*i +: 2], tick - model_rests[24*i+2 +: 6], step, timeouts_next)
          : rests && set
              && !outlives(model_rests[24*i +: 2], set_value - model_rests[24*i+2 +: 6], 7'd0, timeouts_next)) begin
        // Time takes what is no longer live.
        model_tags[`T*i +: `T] <= 0;
        model_rests[24*i +: 24] <= 0;
      end
  end

  // ---- Clock 8: the gateware keeps only what it wrote.
  reg valid_8, sweep_8;
  reg [`F-1:0] set_8;
  reg [`T-1:0] tag_8;
  reg [15:0] service_8;
  reg [33:0] pick_8;
  always @(posedge clock) begin
    valid_8 <= stage_valid[7] & ~reset;
    sweep_8 <= stage_sweep[7] & ~reset;
    set_8 <= sets[`F*6 +: `F];
    tag_8 <= op_tags[`T*6 +: `T];
    service_8 <= operations[20*6 +: 16];
    pick_8 <= \dut.late_pick_reg$q ;
  end

  // ---- The clock before, for the tick.
  reg [5:0] tick_before, set_before;
  reg [6:0] step_before, stride_before;
  reg sets_before;
  always @(posedge clock) begin
    tick_before <= reset ? 6'd0 : tick;
    step_before <= step;
    stride_before <= stride;
    set_before <= set_value;
    sets_before <= rests && set && !reset;
  end
  // The sweeper has visited the set in this round, and all of it is written.
  wire issued = !issuing || pointer > watched;
  reg landed;
  always @(*) begin
    landed = issued;
    for (i = 1; i <= 7; i = i + 1) if (stage_sweep[i] && sets[`F*(i-1) +: `F] == watched) landed = 0;
  end
  function automatic [6:0] limit(input [5:0] timeout);
    reg [6:0] left;
    begin
      left = {1'b0, timeout} - stride_before;
      limit = {left[6] || stride_before[6], left[5:0]};
    end
  endfunction

  // ---- The relations.
  always @(*) begin
    if (now == 0) ;
    else if (now == 1) begin
      assert (timeouts == 0);
      assert (!valid_8 && !sweep_8 && !written_valid
          && !\dut.late_reg$q [0] && \dut.write_reg$q == 0 && step_held == 0 && !idle_held);
      assert (stride == 64 && issuing && pause == 2 && pointer == 0 && !rests && !ready && !stepped && tick == 0);
    end else begin
      assert (timeouts[5:0] != 63 && timeouts[11:6] != 63 && timeouts[17:12] != 63);
      assert ((stage_valid & (stage_valid >> 1)) == 0 && (stage_valid & stage_sweep) == 0
          && !(stage_valid[7] && valid_8) && !(valid_8 && sweep_8));
      // The tick: a step by what was asked for, once; a tick that is set; else it stands still.
      assert (tick == (stepped ? tick_before + step_before[5:0] : sets_before ? set_before : tick_before));
      assert (!stepped || (step == step_before && step != 0 && rests == (step != 1) && ready));
      // The sweeper.
      assert (limits == {limit(timeouts_before[17:12]), limit(timeouts_before[11:6]), limit(timeouts_before[5:0])});
      assert (stride == stride_before || (issuing ? pause == 2 && stride_before == 0 : rests && stride == 0));
      assert (ready ? stride == 0 || (stride == step && stride != 1 && idle_held && !stepped) : stride == 64);
      assert (!rests || (ready && stride == 0 && !issuing && stage_sweep == 0));
      assert (!issuing || (pause <= 2 && (pause == 0 || (stage_sweep == 0 && pointer == 0))));
      if (!issuing && !rests) begin
        assert (pause <= 12 && pointer == 0);
        for (i = 1; i <= 7; i = i + 1) assert (!stage_sweep[i] || i >= 13 - pause);
      end
      assert (stage_valid == 0 || (ready && stride == 0 && stride_before == 0));
      assert (!idle_held || stage_valid == 0);
      assert (timeouts == timeouts_before || (issuing && pause == 2));
      assert (!(issuing && pause == 2 && ready) || (stride_before == 0 && stage_valid == 0));
      assert (\dut.behind_reg$q == (sets[`F*6 +: `F] == sets[`F*5 +: `F]));
      // Clock 7: the decision, and what is written.
      if (stage_valid[7] && sets[`F*6 +: `F] == watched) begin
        assert (m_valid && m_decision[2:0] == expected_outcome);
        assert (expected_outcome == 5 || m_decision[18:3] == expected_backend);
      end
      assert (!written_valid || (stage_valid[7] && \dut.write_reg$q == written_ways
          && \dut.rest_reg$q == {written_backend, tick, written_state} && \dut.written_tag == op_tags[`T*6 +: `T]));
      if (written_valid && sets[`F*6 +: `F] == watched)
        assert (written_ways != 0 && (written_ways & (written_ways - 8'd1)) == 0);
      assert (written_valid || stage_sweep[7] || \dut.write_reg$q == 0);
      // The host writes no entry, which it may only while there are neither frames nor sweeps.
      assert (\dut.load_reg$q == 0);
      assert (!stage_sweep[7] || (\dut.rest_reg$q == 0 && \dut.written_tag == 0));
      assert (!\dut.late_reg$q [0] || valid_8);
    end
  end

  // How an operation in clocks 1 to 5 meets the one in clock 7, and the one in clock 1 the one in clock 8.
  generate
    for (k = 1; k <= 5; k = k + 1) begin : meeting
      always @(*) if (now == 2)
        assert (meetings[4*(k-1) +: 4] == {
            operations[20*(k-1) +: 16] == \dut.late_pick_reg$q [32:17] && \dut.late_pick_reg$q [33],
            operations[20*(k-1) +: 16] == operations[20*6 +: 16],
            op_tags[`T*(k-1) +: `T] == op_tags[`T*6 +: `T], sets[`F*(k-1) +: `F] == sets[`F*6 +: `F]});
    end
  endgenerate
  always @(*) if (now == 2)
    assert (\dut.meet_late$meeting == {
        operations[15:0] == pick_8[32:17] && pick_8[33], operations[15:0] == service_8,
        op_tags[`T-1:0] == tag_8, sets[`F-1:0] == set_8});

  generate
    for (w = 0; w < 8; w = w + 1) begin : way
      wire [`T-1:0] model_tag = model_tags[`T*w +: `T];
      wire [23:0] model_rest = model_rests[24*w +: 24];
      wire [1:0] model_state = model_rest[1:0];
      wire [5:0] model_age = tick - model_rest[7:2];
      wire [16:0] attributes = model_attributes[17*w +: 17];
      wire writing = written_valid && written_ways[w] && sets[`F*6 +: `F] == watched;
      wire wrote_late = \dut.late_reg$q [0] && \dut.late_reg$q [2+w] && set_8 == watched;
      always @(*) if (now == 2) begin
        // The memory: in the way that is being written the entry is on its way; elsewhere it is the model's; of what
        // is not live there may be more or less.
        if (!writing) begin
          assert (!live[w] || (memory_tags[`T*w +: `T] == model_tag && memory_rests[24*w +: 24] == model_rest));
          assert (live[w] || !is_live(memory_rests[24*w +: 2], tick - memory_rests[24*w+2 +: 6]));
        end
        if (writing) begin
          assert (live[w] && model_tag == op_tags[`T*6 +: `T]);
          assert (model_rest == {written_backend, tick, written_state});
          assert (!written_hit || attributes == {1'b1, operations[20*6 +: 16]});
          assert (written_hit || attributes == \dut.late_pick_reg$q [33:17]);
        end
        if (wrote_late) begin
          assert (live[w] && model_tag == tag_8);
          assert (model_rest == {\dut.late_reg$q [27:12], tick, \dut.late_reg$q [11:10]});
          assert (!\dut.late_reg$q [1] || attributes == {1'b1, service_8});
          assert (\dut.late_reg$q [1] || attributes == pick_8[33:17]);
        end
        // The model has nothing but live entries, or such that were live by the timeouts of the last round, while the
        // tick steps by several; when the sweeper has been here, so has the memory.
        assert ({model_tag, model_rest} == 0 || (ready && outlives(model_state, model_age, 7'd0, timeouts))
            || (ready && stride != 0 && model_age != 63));
        // A round that steps by several begins with what the last one has left.
        if (ready && issuing && pause == 2 && stride != 0)
          assert ({memory_tags[`T*w +: `T], memory_rests[24*w +: 24]} == {model_tag, model_rest});
        if (!writing && landed)
          assert ({memory_tags[`T*w +: `T], memory_rests[24*w +: 24]} == (rests || live[w] ? {model_tag, model_rest} : 0));
        // The sweeper clears what is not live, all of it and nothing else.
        if (stage_sweep[7] && sets[`F*6 +: `F] == watched)
          assert (\dut.write_reg$q [w] == !live[w]);
        if (sweep_8 && set_8 == watched)
          assert (live[w] || (memory_rests[24*w +: 24] == 0 && memory_tags[`T*w +: `T] == 0));
      end
      // No lower way has the tag of an entry that is written: there is one candidate.
      for (v = 0; v < w; v = v + 1) begin : lower
        always @(*) if (now == 2) begin
          if (writing) assert (!live[v] || model_tags[`T*v +: `T] != model_tag);
          if (wrote_late) assert (!live[v] || model_tags[`T*v +: `T] != model_tag);
        end
      end
      // Clocks 1 to 5: what has been overwritten since it was read is known by the overlay.
      for (k = 1; k <= 5; k = k + 1) begin : stage
        wire [42:0] over = overs[43*(k-1) +: 43];
        wire active = now == 2 && (stage_valid[k] || stage_sweep[k]) && sets[`F*(k-1) +: `F] == watched;
        wire [`T-1:0] own_tag = op_tags[`T*(k-1) +: `T];
        wire [15:0] own_service = operations[20*(k-1) +: 16];
        always @(*) if (active) begin
          assert (over[w] || (!over[8+w] && !over[16+w]));
          if (over[w]) begin
            assert (live[w] && model_age == 0);
            assert (over[8+w] == (model_tag == own_tag));
            assert (over[16+w] == (model_state == 1));
          end
          if (over[8+w]) begin
            assert (over[24] == (attributes == {1'b1, own_service}));
            assert (over[26:25] == model_state);
            assert (over[42:27] == model_rest[23:8]);
          end
        end
        for (v = 0; v < w; v = v + 1) begin : lower_own
          always @(*) if (active && over[8+w])
            assert (!live[v] || model_tags[`T*v +: `T] != own_tag);
        end
      end
      // What was read, where it has not been overwritten.
      always @(*) begin
        if (stage[1].active && !stage[1].over[w]) begin
          assert (!live[w] || (tags_1[`T*w +: `T] == model_tag && rests_1[24*w +: 24] == model_rest));
          assert (live[w] || !is_live(rests_1[24*w +: 2], tick - rests_1[24*w+2 +: 6]));
        end
        if (stage[2].active && !stage[2].over[w]) begin
          assert (!live[w] || (tags_2[`T*w +: `T] == model_tag && rests_2[24*w +: 24] == model_rest));
          assert (live[w] || !is_live(rests_2[24*w +: 2], tick - rests_2[24*w+2 +: 6]));
        end
        if (stage[3].active && !stage[3].over[w]) begin
          assert (!live[w] || (equal_3[w] == (model_tag == stage[3].own_tag)
              && state_3[2*w +: 2] == model_state && age_3[6*w +: 6] == model_age
              && backend_3[16*w +: 16] == model_rest[23:8] && attributes_3[17*w +: 17] == attributes));
          assert (live[w] || !is_live(state_3[2*w +: 2], age_3[6*w +: 6]));
        end
        if (stage[4].active && !stage[4].over[w]) begin
          assert (!live[w] || (equal_4[w] == (model_tag == stage[4].own_tag)
              && state_4[2*w +: 2] == model_state && age_4[6*w +: 6] == model_age
              && backend_4[16*w +: 16] == model_rest[23:8] && attributes_4[17*w +: 17] == attributes));
          assert (live_4[w] == live[w]);
        end
        if (stage[5].active && !stage[5].over[w]) begin
          assert (!live[w] || (backend_5[16*w +: 16] == model_rest[23:8]
              && view_5[7*w+2] == (attributes == {1'b1, stage[5].own_service}) && view_5[7*w+3 +: 2] == model_state));
          assert (view_5[7*w] == live[w] && view_5[7*w+1] == (live[w] && model_tag == stage[5].own_tag)
              && view_5[7*w+5] == new_now[w]);
          assert (rank_5[8*w +: 8] == rank[8*w +: 8] && view_5[7*w+6] == (rank[8*w +: 8] != 0));
        end
        // Clock 6.
        if (now == 2 && stage_valid[6] && sets[`F*5 +: `F] == watched) begin
          assert (\dut.candidate_reg$q [w] == candidate[w] && (\dut.any_candidate_reg$q || !candidate[w])
              && (\dut.any_candidate_reg$q == (candidate != 0)));
          if (candidate[w])
            assert (state_6[2*w +: 2] == model_state
                && good_6[w] == (attributes == {1'b1, service} && !(model_state == 3 && syn))
                && (\dut.over_own_reg$q ? \dut.over_backend_reg$q : backend_6[16*w +: 16]) == model_rest[23:8]);
          assert (evictable_6[w] == (rank[8*w +: 8] != 0) && fresh_6[w] == new_now[w]);
        end
        if (now == 2 && stage_sweep[6] && sets[`F*5 +: `F] == watched)
          assert ((dead_6[w] && !(written_valid && \dut.behind_reg$q && written_ways[w])) == !live[w]);
      end
      for (v = 0; v < 8; v = v + 1) begin : against
        always @(*) if (now == 2 && stage_valid[6] && sets[`F*5 +: `F] == watched)
          if (v != w && rank[8*w +: 8] != 0 && rank[8*v +: 8] != 0)
            assert (beats_6[8*w + v] == !entry[w].beaten[v]);
      end
    end
  endgenerate
endmodule
