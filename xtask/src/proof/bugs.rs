//! Bugs that the proof must see: planted in a copy of the Verilog, each behind a number of a register that has any value.

/// An expression of a module, and a wrong one in its place.
pub(super) struct Bug {
    /// What goes wrong.
    pub(super) what: &'static str,
    /// The module, behind `flow_table`.
    module: &'static str,
    /// The text around the expression: what is before it, it, what is behind it. It must occur once.
    place: (&'static str, &'static str, &'static str),
    wrong: &'static str,
}

/// By number, from 1.
pub(super) const BUGS: &[Bug] = &[
    Bug {
        what: "no frame is taken",
        module: "",
        place: ("valid_reg$d = (valid_reg$q << 32'h1) | ((", "s_valid", ") & 7'h7f);"),
        wrong: "1'b0",
    },
    Bug {
        what: "flags of TCP are not seen",
        module: "",
        place: ("entering = ", "s_operation", ";"),
        wrong: "s_operation & 20'h8ffff",
    },
    Bug { what: "sets share one in two", module: "", place: ("enter_set = ", "s_set", ";"), wrong: "s_set & ~1" },
    Bug {
        what: "half of the backends have the attributes of the other half",
        module: "$way$0",
        place: ("attributes$raddr = ", "rest_reg$q[(32'h8)+:(12)]", ";"),
        wrong: "rest_reg$q[(32'h8)+:(12)] & ~2",
    },
    Bug {
        what: "the entry written while the set is read is missed",
        module: "",
        place: ("if (", "late_reg$q[(64'h0)+:(1)]", ") begin"),
        wrong: "1'b0",
    },
    Bug {
        what: "an operation is compared with the frame behind the one that writes",
        module: "",
        place: ("meet$2$ahead_set = ", "set_reg$5$q", ";"),
        wrong: "set_reg$4$q",
    },
    Bug {
        what: "the last way with the tag is the candidate",
        module: "",
        place: ("if (", "way$3$own & ~seen", ") begin"),
        wrong: "way$3$own",
    },
    Bug {
        what: "the sweeper clears what the frame ahead of it writes",
        module: "",
        place: ("spared = ", "~behind", ";"),
        wrong: "8'hff",
    },
    Bug {
        what: "the sweeper clears what is live",
        module: "",
        place: ("write_reg$d = ", "dead & spared", ";"),
        wrong: "spared",
    },
    Bug {
        what: "a hit on an entry just written has the backend that was read",
        module: "",
        place: ("over_own_reg$d = ", "over_own != 32'h0", ";"),
        wrong: "1'b0",
    },
    Bug {
        what: "a set full of entries of this tick has no room",
        module: "",
        place: ("room = ", "(any_candidate_reg$q | seen_fresh)", " | (evictable != 32'h0);"),
        wrong: "any_candidate_reg$q",
    },
    Bug {
        what: "a RST without a flow makes an entry",
        module: "",
        place: ("ending = (operation_reg$5$q[(64'h11)+:(1)] | ", "operation_reg$5$q[(64'h12)+:(1)]", ") | "),
        wrong: "1'b0",
    },
    Bug {
        what: "an error without a flow makes an entry",
        module: "",
        place: ("| ", "operation_reg$5$q[(64'h13)+:(1)]", ";"),
        wrong: "1'b0",
    },
    Bug {
        what: "an error refreshes its flow",
        module: "",
        place: ("write = (hit & ", "~operation_reg$5$q[(64'h13)+:(1)]", ") | "),
        wrong: "1'b1",
    },
    Bug {
        what: "a SYN establishes a flow",
        module: "",
        place: ("(old_state == 32'h1) & ", "~operation_reg$5$q[(64'h10)+:(1)]", ") begin"),
        wrong: "1'b1",
    },
    Bug {
        what: "of equal victims a higher way loses to none",
        module: "$contest$1",
        place: ("(rank == rival$3) & (", "(lower & bit$3) == 32'h0", ")"),
        wrong: "1'b0",
    },
    Bug {
        what: "of two victims the younger is taken",
        module: "$contest$2",
        place: ("if (", "rank > rival$5", ") begin"),
        wrong: "rank < rival$5",
    },
    Bug {
        what: "an entry that another flow has overwritten still counts",
        module: "$merge$0",
        place: ("after[(64'h8)+:(8)] = ", "earlier[(64'h8)+:(8)] & others", ";"),
        wrong: "earlier[(64'h8)+:(8)]",
    },
    Bug {
        what: "an entry is no longer new when it was written again",
        module: "$merge$0",
        place: ("after[(64'h10)+:(8)] = ", "earlier[(64'h10)+:(8)] & others", ";"),
        wrong: "earlier[(64'h10)+:(8)]",
    },
    Bug {
        what: "of an entry just used the lookup's backend is checked",
        module: "$merge$0",
        place: ("after[(64'h18)+:(1)] = ", "meeting[(64'h2)+:(1)]", ";"),
        wrong: "meeting[(64'h3)+:(1)]",
    },
    Bug {
        what: "the same tag in another set is taken for the flow",
        module: "$merge$0",
        place: ("(meeting[(64'h1)+:(1)] & ", "meeting[(64'h0)+:(1)]", ") & written"),
        wrong: "1'b1",
    },
    Bug {
        what: "a backend that takes no frames serves the next frame of its flow",
        module: "$meet$0",
        place: ("(service == pick_service) & ", "pick_takes", ";"),
        wrong: "1'b1",
    },
    Bug {
        what: "a closing flow can be evicted one tick too early",
        module: "$way$0",
        place: ("left = ", "age_reg$1$q > 32'h1", ";"),
        wrong: "age_reg$1$q != 32'h0",
    },
    Bug {
        what: "what was just written can be the victim",
        module: "$way$0",
        place: ("evictable_reg$d = view_reg$q[(64'h6)+:(1)] & ", "~over", ";"),
        wrong: "1'b1",
    },
    Bug {
        what: "the sweeper clears what was written after it has read",
        module: "$way$0",
        place: ("dead_reg$d = ~view_reg$q[(64'h0)+:(1)] & ", "~over", ";"),
        wrong: "1'b1",
    },
    Bug {
        what: "an entry dies a tick too early",
        module: "$way$0",
        place: ("~never) & (", "age_reg$0$q <= limit", ");"),
        wrong: "age_reg$0$q < limit",
    },
    Bug {
        what: "a SYN hits a closing flow",
        module: "$way$0",
        place: ("good_reg$d = serves & ", "~((state_now == 32'h3) & syn)", ";"),
        wrong: "1'b1",
    },
    Bug {
        what: "a backend of another service is a hit",
        module: "$way$0",
        place: ("view_reg$d[(64'h2)+:(1)] = (", "attributes_reg$q[(64'h0)+:(16)] == service", ")"),
        wrong: "1'b1",
    },
    Bug {
        what: "the sweeper passes over a set when a frame comes",
        module: "$sweeper",
        place: ("else if (", "~busy", ") begin"),
        wrong: "1'b1",
    },
    Bug {
        what: "the last set is not swept",
        module: "$sweeper",
        place: ("if (", "set_next == 32'h0", ") begin"),
        wrong: "&set_next",
    },
    Bug {
        what: "the tick moves before the last set is written",
        module: "$sweeper",
        place: ("wait_reg$d = ", "32'hc", ";"),
        wrong: "4",
    },
    Bug {
        what: "after more than 63 ticks entries are as old as after the rest",
        module: "$sweeper",
        place: ("limits_reg$d[(64'h6)+:(1)] = fresh_left[32'h6] | ", "stride_reg$q[32'h6]", ";"),
        wrong: "1'b0",
    },
    Bug {
        what: "the tick moves while frames are inside",
        module: "$sweeper",
        place: ("((step != 32'h0) & ", "idle", ") & ~stepped_reg$q"),
        wrong: "1'b1",
    },
];

/// Plants all bugs in the modules, each behind its number in `planted`.
pub(super) fn plant(modules: &mut super::Modules) -> Result<(), String> {
    for (number, bug) in BUGS.iter().enumerate().map(|(index, bug)| (index + 1, bug)) {
        let name = format!("flow_table{}", bug.module);
        let module = modules.get_mut(&name).ok_or_else(|| format!("no module {name}"))?;
        let (before, right, behind) = bug.place;
        let place = format!("{before}{right}{behind}");
        if module.matches(&place).count() != 1 {
            return Err(format!(
                "bug {number}, \"{}\": `{place}` is in {name} {} times, not once; xtask/src/proof/bugs.rs is out of date",
                bug.what,
                module.matches(&place).count()
            ));
        }
        *module =
            module.replace(&place, &format!("{before}(planted == {number} ? ({}) : ({right})){behind}", bug.wrong));
        if !module.contains("wire [7:0] planted;") {
            *module = module.replacen(
                "    // Module arguments\n",
                "    (* keep *) wire [7:0] planted;\n    // Module arguments\n",
                1,
            );
        }
    }
    Ok(())
}
