//! What the schedulers make of sizes, weights and states, and what they refuse.

use super::*;

/// The first service of a file whose service and backends have these lines added.
fn service_with(lines: &str, backends: &[&str]) -> String {
    let backends: String = (1..)
        .zip(backends)
        .map(|(number, line)| format!("[[service.backend]]\naddress = \"10.1.0.{number}\"\n{line}\n"))
        .collect();
    let service = SERVICE.split_once("[[service.backend]]").unwrap().0;
    format!("{DATAPATH}{service}{lines}\n{backends}")
}

fn service(lines: &str, backends: &[&str]) -> Service {
    parse(&service_with(lines, backends)).unwrap_or_else(|error| panic!("{error}")).services()[0].clone()
}

/// The slice as the backends' last digits.
#[track_caller]
fn slice(service: &Service) -> String {
    assert_eq!(service.slice().len(), usize::from(service.table_size));
    service.slice_identities().into_iter().map(|identity| identity.map_or("-", |text| &text[7..])).collect()
}

#[test]
fn each_scheduler_has_its_selection() {
    for (word, selection) in [
        ("maglev", ServiceRow::SELECTION_HASH),
        ("ring", ServiceRow::SELECTION_HASH),
        ("source-hash", ServiceRow::SELECTION_HASH),
        ("least-connections", ServiceRow::SELECTION_HASH),
        ("two-choice", ServiceRow::SELECTION_TWO_CHOICE),
        ("round-robin", ServiceRow::SELECTION_SEQUENCE),
    ] {
        let service = service(&format!("scheduler = \"{word}\""), &["", ""]);
        assert_eq!((service.scheduler.word(), service.scheduler.selection()), (word, selection));
        assert_eq!(service.slice().len(), usize::from(service.table_size));
    }
    assert_eq!(Scheduler::WORDS.len(), 6);
}

#[test]
fn maglev_slices_are_equal_by_any_name() {
    let lines = |word: &str| format!("scheduler = \"{word}\"\ntable_size = 251");
    let weights = ["weight = 3", "weight = 2", "weight = 1"];
    let maglev = service(&lines("maglev"), &weights).slice();
    for word in ["source-hash", "least-connections", "two-choice"] {
        assert_eq!(service(&lines(word), &weights).slice(), maglev, "{word}");
    }
    assert_ne!(service(&lines("ring"), &weights).slice(), maglev);
}

#[test]
fn round_robin_has_the_length_of_its_sequence() {
    let lines = "scheduler = \"round-robin\"";
    let sequence = service(lines, &["weight = 50", "weight = 10", "weight = 10"]);
    assert_eq!((sequence.table_size, slice(&sequence).as_str()), (7, "1121311"));
    // The defaults are equal weights.
    assert_eq!(slice(&service(lines, &["", "", ""])), "123");
    // Whatever the file says, be it no table size at all.
    for size in ["4093", "1000", "-1", "65522", "0"] {
        let sized = service(&format!("{lines}\ntable_size = {size}"), &["weight = 2", "weight = 1"]);
        assert_eq!((sized.table_size, slice(&sized).as_str()), (3, "121"), "{size}");
    }
    // Only who takes part counts, also for the divisor.
    let backends = ["weight = 4", "weight = 2", "weight = 7\nstate = \"draining\"", "weight = 0", "state = \"down\""];
    assert_eq!(slice(&service(lines, &backends)), "121");
    assert_eq!(slice(&service(lines, &["state = \"down\"", "weight = 0"])), "-");
    assert_eq!(slice(&service(lines, &[])), "-");
    let wide = service(lines, &["weight = 65535", "weight = 65535", "weight = 65535", "weight = 1"]);
    // d = 4: 3 * 16,383 + 1.
    assert_eq!((wide.table_size, wide.slice().len()), (49_150, 49_150));
}

#[test]
fn order_of_backends_does_not_move_a_slot() {
    let example = parse(include_str!("../../../../examples/schedulers.toml")).unwrap();
    for service in example.services() {
        let mut turned = service.clone();
        turned.backends.reverse();
        assert_eq!(turned.slice_identities(), service.slice_identities(), "{}", service.name);
        turned.backends.rotate_left(1);
        assert_eq!(turned.slice_identities(), service.slice_identities(), "{}", service.name);
    }
}

#[test]
fn ring_takes_any_table_size() {
    for size in [1, 2, 1_000, 65_520] {
        let service = service(&format!("scheduler = \"ring\"\ntable_size = {size}"), &["", ""]);
        assert_eq!((service.table_size, service.slice().len()), (size, usize::from(size)));
    }
    assert_eq!(service("scheduler = \"ring\"", &[]).table_size, 65_521);
    for size in ["0", "-5", "65522", "65536", "9999999999"] {
        let text = service_with(&format!("scheduler = \"ring\"\ntable_size = {size}"), &[]);
        assert_problem(&text, &format!("table_size is {size}"), (11, 14), "give a number from 1 to 65521");
    }
    for word in ["maglev", "two-choice", "source-hash", "least-connections"] {
        let text = service_with(&format!("scheduler = \"{word}\"\ntable_size = 1000"), &[]);
        assert_problem(&text, "1000, which is not prime", (11, 14), "997 and 1009");
    }
}

#[test]
fn states_and_loads_reach_the_rows() {
    let backends = ["load = 7", "load = 255\nstate = \"draining\"", "state = \"down\"", "weight = 0"];
    let config = parse(&service_with("scheduler = \"two-choice\"\ntable_size = 251", &backends)).unwrap();
    let image = config.image().unwrap();
    let rows: Vec<_> = image.backends[..5].iter().map(|row| (row.state, row.load)).collect();
    let (up, draining, down) = (BackendRow::STATE_UP, BackendRow::STATE_DRAINING, BackendRow::STATE_DOWN);
    assert_eq!(rows, [(up, 7), (draining, 255), (down, 0), (up, 0), (0, 0)]);
    assert!(image.lookup[..251].iter().all(|entry| entry.value() == 0), "only the first one takes new flows");
    let row = image.services.iter().find(|row| row.flags & ServiceRow::FLAG_VALID != 0).unwrap();
    assert_eq!(row.selection, ServiceRow::SELECTION_TWO_CHOICE);
}

#[test]
fn a_refused_value_makes_no_second_problem() {
    // Beside these sizes 65,521 entries would not fit, nor would the weights of 100 that stand in.
    let ecp5 = |text: &str| text.replace("[[service]]", "geometry = \"ecp5\"\n[[service]]");
    let text = ecp5(&service_with("table_size = 1000", &[]));
    assert_problem(&text, "not prime", (11, 14), "997");
    let text = ecp5(&service_with("table_size = 70000", &[]));
    assert_problem(&text, "table_size is 70000", (11, 14), "a prime from 2");
    let text = ecp5(&service_with("scheduler = \"round-robin\"", &["weight = -1", "weight = 4093"]));
    assert_problem(&text, "weight is -1", (14, 10), "from 0");
    // What was meant may take this size.
    let text = service_with("scheduler = \"rnig\"\ntable_size = 1000", &[]);
    assert_problem(&text, "unknown scheduler \"rnig\"", (10, 13), "did you mean \"ring\"?");
}

#[test]
fn a_sequence_that_does_not_fit_says_what_to_do() {
    let text = service_with("scheduler = \"round-robin\"", &["weight = 4000", "weight = 97"]);
    let text = text.replace("[[service]]", "geometry = \"ecp5\"\n[[service]]");
    // 4,097 entries and one of padding, twice.
    let message = "need 8196 entries, and geometry \"ecp5\" has 8192";
    assert_problem(&text, message, (7, 1), "weights with a common divisor");
    let rendered = parse(&text).unwrap_err().to_string();
    assert!(rendered.contains("its weights make a sequence of 4097"), "{rendered}");
    assert!(parse(&text.replace("4000", "3995")).is_ok());
    // Another service is the one too many: no size would do for all, because a sequence's is not chosen.
    let more = SERVICE.replace("\"web\"", "\"more\"").replace(".10\"", ".11\"");
    let text = format!("{}{more}", text.replace("4000", "400"));
    let remedy = "make table_size of some services smaller;\nor choose another geometry: \"lab\" or";
    assert_problem(&text, "need", (18, 1), remedy);
}
