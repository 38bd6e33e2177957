//! Bugs of the streams.

use super::Bug;

const SKID: &str = "$host_queue$skid";
const WIRE_SKID: &str = "$transmit$wire_skid";
const TRANSMIT: &str = "$transmit";
const HOST_QUEUE: &str = "$host_queue";

/// By number, from 1.
pub(in crate::proof) const BUGS: &[Bug] = &[
    Bug {
        what: "the slice drops its second entry",
        module: SKID,
        place: ("spare_user_reg$d = s_axis_tuser;\n            spare_valid_reg$d = ", "1'b1", ";"),
        wrong: "1'b0",
    },
    Bug {
        what: "the slice gives its second entry twice",
        module: SKID,
        place: ("valid_reg$d = 1'b1;\n                spare_valid_reg$d = ", "1'b0", ";"),
        wrong: "s_axis_tvalid",
    },
    Bug {
        what: "the slice lets a beat overtake",
        module: SKID,
        place: ("if (", "spare_valid_reg$q", ") begin\n                data_reg$d"),
        wrong: "1'b0",
    },
    Bug {
        what: "the slice is ready when it is full",
        module: SKID,
        place: ("s_axis_tready = ", "~spare_valid_reg$q", ";"),
        wrong: "1'b1",
    },
    Bug {
        what: "the slice stays unready when its receiver has been ready",
        module: WIRE_SKID,
        place: ("s_axis_tready = ~", "spare_valid_reg$q", ";"),
        wrong: "(spare_valid_reg$q | valid_reg$q)",
    },
    Bug {
        what: "tvalid falls without tready",
        module: WIRE_SKID,
        place: ("        m_axis_tvalid = ", "valid_reg$q", ";"),
        wrong: "valid_reg$q & ~spare_valid_reg$q",
    },
    Bug {
        what: "a beat on the wire changes before it is taken",
        module: WIRE_SKID,
        place: ("if (", "m_axis_tready | ~valid_reg$q", ") begin"),
        wrong: "1'b1",
    },
    Bug {
        what: "a beat is on the wire after reset",
        module: WIRE_SKID,
        place: ("if (", "reset", ") begin"),
        wrong: "1'b0",
    },
    Bug {
        what: "the keep of the last beat is a lane too short",
        module: TRANSMIT,
        place: ("keep = keep_ones >> ", "gap", ";"),
        wrong: "gap + 16'd1",
    },
    Bug {
        what: "a beat within a frame lacks lanes",
        module: TRANSMIT,
        place: ("if (", "last_out & out_pending", ") begin"),
        wrong: "1'b1",
    },
    Bug {
        what: "tlast comes a beat early",
        module: TRANSMIT,
        place: ("last_out = left <= ", "bus_bytes", ";"),
        wrong: "(bus_bytes << 1)",
    },
    Bug {
        what: "a frame of whole beats gets one beat more",
        module: TRANSMIT,
        place: ("last_out = ", "left", " <= "),
        wrong: "left + 16'd1",
    },
    Bug {
        what: "tuser changes within a frame",
        module: TRANSMIT,
        place: ("wire_skid$s_axis$tuser = ", "head[(64'h15)+:(16)]", ";"),
        wrong: "left",
    },
    Bug {
        what: "the host gets the length of the frame that came, not of that which leaves",
        module: TRANSMIT,
        place: ("m_axis_host_tuser = ((", "head[(64'h15)+:(16)]", ")"),
        wrong: "head[(64'h5)+:(16)]",
    },
    Bug {
        what: "a frame for the host goes to the wire",
        module: TRANSMIT,
        place: ("forward = ", "head[(64'h0)+:(5)] == 32'h0", ";"),
        wrong: "head[(64'h0)+:(5)] <= 32'h1",
    },
    Bug {
        what: "a frame that is dropped leaves",
        module: TRANSMIT,
        place: ("out_pending = ", "left != 32'h0", ";"),
        wrong: "1'b1",
    },
    Bug {
        what: "a beat is lost when the wire is not ready",
        module: TRANSMIT,
        place: ("ready = ", "wire_skid$s_axis$tready", ";"),
        wrong: "1'b1",
    },
    Bug {
        what: "a frame is done before it has left",
        module: TRANSMIT,
        place: ("output_finished = ", "left_next == 32'h0", ";"),
        wrong: "1'b1",
    },
    Bug {
        what: "an egress is lost when a frame is done",
        module: TRANSMIT,
        place: ("queue$push = ", "s_valid", ";"),
        wrong: "s_valid & ~finish",
    },
    Bug {
        what: "a frame is done twice",
        module: TRANSMIT,
        place: ("done = ", "finish", ";"),
        wrong: "step & output_finished",
    },
    Bug {
        what: "the record of a frame is that of a later one",
        module: TRANSMIT,
        place: ("done_egress = ", "head", ";"),
        wrong: "s_egress",
    },
    Bug {
        what: "padding stays in the queue",
        module: TRANSMIT,
        place: ("finish = (step & output_finished) & ", "input_finished", ";"),
        wrong: "1'b1",
    },
    Bug {
        what: "a frame takes beats of the next one",
        module: TRANSMIT,
        place: ("input_done_reg$d = ", "input_finished", ";"),
        wrong: "1'b0",
    },
    Bug {
        what: "the beat before which the prefix goes is taken and lost",
        module: TRANSMIT,
        place: ("beat_pop = step & ~(input_done | ", "prefix_only", ");"),
        wrong: "1'b0",
    },
    Bug {
        what: "the end of a frame waits for the next one",
        module: TRANSMIT,
        place: ("data_ok = beat_valid | (", "input_done", " | prefix_only);"),
        wrong: "1'b0",
    },
    Bug {
        what: "the host gets a byte that did not come",
        module: TRANSMIT,
        place: ("        out = shifted | ", "prefix_now", ";"),
        wrong: "prefix",
    },
    Bug {
        what: "the queue of egresses skips one",
        module: "$transmit$queue",
        place: ("read_ahead_reg$d = read_ahead_reg$q + ", "32'h1", ";"),
        wrong: "32'h2",
    },
    Bug {
        what: "a queue reads ahead",
        module: "$transmit$queue",
        place: ("ram$raddr = ", "read_next", ";"),
        wrong: "read_ahead_reg$q",
    },
    Bug {
        what: "a queue writes where it has written",
        module: "$transmit$queue",
        place: ("ram$waddr = ", "write_reg$q", ";"),
        wrong: "read_reg$q",
    },
    Bug {
        what: "a full queue has room",
        module: "$frame_data",
        place: ("full_reg$d = ", "write_after == read_next", ";"),
        wrong: "1'b0",
    },
    Bug {
        what: "a beat is read while it is written",
        module: "$frame_data",
        place: ("valid_reg$d = ", "write_reg$q != read_next", ";"),
        wrong: "write_reg$d != read_next",
    },
    Bug {
        what: "the host queue admits a frame that does not fit",
        module: HOST_QUEUE,
        place: ("<= ", "free_reg$q", ";\n        if (inside_reg$q)"),
        wrong: "free_reg$q + 16'd1",
    },
    Bug {
        what: "the host queue refuses a frame that fits",
        module: HOST_QUEUE,
        place: ("needed = length + ", "round_up", ";"),
        wrong: "bus_bytes",
    },
    Bug {
        what: "the host queue admits the rest of a frame",
        module: HOST_QUEUE,
        place: ("if (", "inside_reg$q", ") begin\n            admitted"),
        wrong: "1'b0",
    },
    Bug {
        what: "a frame without room counts for each of its beats",
        module: HOST_QUEUE,
        place: ("if (", "~inside_reg$q & ~admitted", ") begin"),
        wrong: "~admitted",
    },
    Bug {
        what: "a beat that enters the host queue as one leaves frees room",
        module: HOST_QUEUE,
        place: ("if (", "pop & ~push", ") begin"),
        wrong: "pop",
    },
    Bug {
        what: "the host queue's last beat has a lane too many",
        module: HOST_QUEUE,
        place: ("skid$s_axis$tkeep = keep_ones >> ", "gap", ";"),
        wrong: "gap - 16'd1",
    },
    Bug {
        what: "data and sideband of the host queue come apart",
        module: HOST_QUEUE,
        place: ("side$pop = ", "pop", ";"),
        wrong: "pop & ~skid$s_axis$tlast",
    },
    Bug {
        what: "the host gets other data than the queue held",
        module: HOST_QUEUE,
        place: ("skid$s_axis$tdata = ", "data$dout", ";"),
        wrong: "data$dout ^ 1",
    },
    Bug {
        what: "a sideband is lost",
        module: "$host_queue$side",
        place: ("pushed = push & ", "~full_reg$q", ";"),
        wrong: "~full_reg$q & ~din[0]",
    },
    Bug {
        what: "a host that does not drain stops the wire",
        module: HOST_QUEUE,
        place: ("s_axis_tready = ", "1'b1", ";"),
        wrong: "~data$full",
    },
    Bug {
        what: "the last beat for the host is not kept as such",
        module: HOST_QUEUE,
        place: ("side_in[(64'h0)+:(1)] = ", "s_axis_tlast", ";"),
        wrong: "1'b0",
    },
    Bug {
        what: "a beat's data changes before the queue",
        module: "",
        place: ("frame_data$din = ", "skid$m_axis$tdata", ";"),
        wrong: "skid$m_axis$tdata ^ 1",
    },
    Bug {
        what: "the mark of a last beat does not enter the queue",
        module: "",
        place: ("frame_last$push = ", "fire", ";"),
        wrong: "fire & ~skid$m_axis$tlast",
    },
    Bug {
        what: "the mark of a last beat stays in the queue",
        module: "",
        place: ("frame_last$pop = ", "transmit$beat_pop", ";"),
        wrong: "transmit$beat_pop & ~transmit$done",
    },
    Bug {
        what: "the input is taken while the queue is full",
        module: "",
        place: ("accept = ", "~frame_data$full", " & "),
        wrong: "1'b1",
    },
    Bug {
        what: "a frame waits within for frames to leave",
        module: "",
        place: ("& (", "inside_reg$q | may_start", ");"),
        wrong: "may_start",
    },
    Bug {
        what: "a frame that begins as another leaves costs a credit",
        module: "",
        place: ("if (", "begins & ~transmit$done", ") begin"),
        wrong: "begins",
    },
    Bug {
        what: "a credit is taken for each beat",
        module: "",
        place: ("begins = ", "fire & ~inside_reg$q", ";"),
        wrong: "fire",
    },
    Bug {
        what: "a frame begins while a commit waits",
        module: "",
        place: ("[32'h5]) & (", "~control$hold", " & "),
        wrong: "1'b1",
    },
    Bug {
        what: "a read that has waited for long does not hold the input",
        module: "",
        place: ("cleared & ", "~read_wait_reg$q[32'h5]", ") & ("),
        wrong: "1'b1",
    },
    Bug {
        what: "a commit does not wait for the frames in the stages",
        module: "",
        place: ("control$drained = ", "(credit_reg$q == credits)", " & "),
        wrong: "1'b1",
    },
];
