//! Goal: `maglane rtl` writes Verilog, finds files that are out of date, and lints.

use super::Folder;

#[test]
fn emitted_file_is_up_to_date_until_it_is_changed() {
    let folder = Folder::new();
    let name = "maglane_card_ecp5.v";
    folder.run(&["rtl", "emit", "--profile", "ecp5"]).ended(0).says(name);
    let text = std::fs::read_to_string(folder.path(name)).unwrap();
    assert!(text.contains("module maglane_card("));
    let check = ["rtl", "emit", "--profile", "ecp5", "--check"];
    folder.run(&check).ended(0).says("up to date");
    folder.put(name, text.replacen("endmodule", "endmodule ", 1));
    folder.run(&check).ended(1).says(&format!("{name}: out of date, from line"));
    std::fs::remove_file(folder.path(name)).unwrap();
    folder.run(&check).ended(1).says(&format!("{name}: missing")).says("maglane rtl emit --profile ecp5");
    assert!(folder.files().is_empty());
}

#[test]
fn bad_requests_are_refused() {
    let folder = Folder::new();
    folder.refused(&["rtl", "emit", "--all", "--out", "none"], "none: not a directory");
    folder.refused(&["rtl", "emit", "--profile", "virtex"], "lab, lab64, sume, alveo, ecp5");
    assert_eq!(folder.run(&["rtl", "emit"]).code, 2);
    assert_eq!(folder.run(&["rtl", "emit", "--all", "--profile", "lab"]).code, 2);
}

#[test]
fn gateware_is_clean() {
    let folder = Folder::new();
    folder.run(&["rtl", "lint", "--profile", "ecp5"]).ended(0).says("ecp5: no findings");
    let report = folder.run(&["rtl", "lint", "--profile", "ecp5", "--json"]).ended(0).json();
    assert_eq!(report["clean"], true);
    assert_eq!(report["profiles"][0]["profile"], "ecp5");
    assert_eq!(report["profiles"][0]["findings"].as_array().unwrap().len(), 0);
}

#[test]
fn lint_without_verilator_says_what_it_skipped() {
    let folder = Folder::new();
    let output = folder.command(&["rtl", "lint", "--profile", "ecp5"]).env("PATH", "").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("skipped: verilator --lint-only") && text.contains("apt-get install verilator"), "{text}");
}
