//! Goal: the Verilog that rust-hdl writes is tidied up without a change of what it means.

use maglane_hw::emit::tidy;

const TEXT: &str = "
module top(clock,s_axis$tdata);
    top$a a(.clock(a$clock));
    top$b b(.clock(b$clock));
endmodule
module top$a(clock);
    always @(*) x = y;
endmodule
module top$b(clock);
    always @(*) x = y;
endmodule
";

#[test]
fn equal_modules_become_one() {
    let text = tidy(TEXT, "design");
    assert_eq!(text.matches("endmodule").count(), 2);
    assert!(text.contains("design$a a("), "{text}");
    assert!(text.contains("design$a b("), "{text}");
}

#[test]
fn stream_ports_get_their_customary_names() {
    assert!(tidy(TEXT, "design").contains("module design(clock,s_axis_tdata);"));
}

#[test]
fn modules_that_differ_stay_apart() {
    let text = tidy(&TEXT.replacen("x = y", "x = z", 1), "design");
    assert_eq!(text.matches("endmodule").count(), 3);
}
