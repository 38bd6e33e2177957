//! Goal: a change of tables is told as whose slots move, and as the fields that differ.

use super::*;
use crate::Config;

const WEB: &str = include_str!("../../../examples/web.toml");

fn tables(text: &str) -> Tables {
    Tables::build(&Config::parse("web.toml", text).unwrap_or_else(|error| panic!("{error}"))).unwrap()
}

fn change(field: &'static str, old: Value, new: Value) -> Change {
    Change { field, old, new }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[test]
fn nothing_changes_between_equal_files() {
    let diff = diff(&tables(WEB), &tables(WEB));
    assert!(!diff.geometry_changed && !diff.datapath_changed);
    assert_eq!((diff.service_rows_changed, diff.backend_rows_changed, diff.lookup_entries_changed), (0, 0, 0));
    assert!(diff.services_added.is_empty() && diff.services_removed.is_empty());
    assert!(diff.services.iter().all(|service| service.slots_moved == 0 && service.moves.is_empty()));
    assert!(diff.geometry.is_empty() && diff.datapath.is_empty());
    assert!(diff.services.iter().all(|service| service.fields.is_empty() && service.backends.is_empty()));
}

#[test]
fn going_down_moves_slots_away_from_that_backend() {
    let new = WEB.replacen("name = \"web-3\"\n", "name = \"web-3\"\nstate = \"down\"\n", 1);
    let (old, new) = (tables(WEB), tables(&new));
    let diff = diff(&old, &new);
    assert_eq!((diff.service_rows_changed, diff.backend_rows_changed), (0, 1));
    let web = &diff.services[0];
    let away: u32 = web.moves.iter().filter(|one| one.from.as_deref() == Some("web-3")).map(|one| one.slots).sum();
    let had = old.balance()[0].backends[2].slots;
    assert_eq!(away, had);
    assert!(web.slots_moved >= had && web.slots_moved < had + 4_093 / 50, "{web:?}");
    assert_eq!(diff.lookup_entries_changed, web.slots_moved as usize);
    assert!(web.moves.is_sorted_by_key(|one| std::cmp::Reverse(one.slots)));
    assert!(diff.services[1..].iter().all(|service| service.slots_moved == 0));
}

#[test]
fn renamed_services_come_and_go() {
    let diff = diff(&tables(WEB), &tables(&WEB.replace("name = \"game\"", "name = \"play\"")));
    assert_eq!((diff.services_added, diff.services_removed), (vec!["play".to_owned()], vec!["game".to_owned()]));
    assert_eq!(diff.services.len(), 5);
}

#[test]
fn everybody_down_moves_all_to_nobody() {
    let new = tables(&WEB.replace("name = \"staging-1\"\n", "name = \"staging-1\"\nweight = 0\n"));
    let diff = diff(&tables(WEB), &new);
    let moves = [Move { from: Some("staging-1".to_owned()), to: None, slots: 127 }];
    assert_eq!((&diff.services[5].moves[..], diff.services[5].share_moved), (&moves[..], 1.0));
}

#[test]
fn another_table_size_compares_by_hash() {
    let diff = diff(&tables(WEB), &tables(&WEB.replace("table_size = 127", "table_size = 509")));
    let staging = &diff.services[5];
    assert_eq!((staging.table_size_before, staging.table_size, staging.slots_moved), (127, 509, 0));
}

#[test]
fn changed_fields_are_named_with_both_values() {
    let new = WEB
        .replacen("01\"\ncheck_mac = true", "01\"\ncheck_mac = false\nttl = 9", 1)
        .replacen("000102030405060708090a0b0c0d0e0f", "100102030405060708090a0b0c0d0e0f", 1)
        .replacen("port = 80\n", "port = 81\n", 1)
        .replacen("gre_key = 443\n", "", 1)
        .replacen("address = \"10.1.0.2\"\nweight = 100", "address = \"fd00::2\"\nweight = 70", 1)
        .replacen("tunnel_source_v4", "tunnel_source_v6 = \"fd00::1\"\ntunnel_source_v4", 1)
        .replacen("mtu = 1400\n", "mtu = 1280\n", 1);
    let diff = diff(&tables(WEB), &tables(&new));
    assert!(diff.datapath_changed && !diff.geometry_changed);
    let secret =
        |first: u8| Value::Secret(std::array::from_fn(|at| if at == 0 { first } else { u8::try_from(at).unwrap() }));
    let expected = [
        change("hash_key", secret(0), secret(16)),
        change("check_mac", Value::Switch(true), Value::Switch(false)),
        change("ttl", Value::Number(64), Value::Number(9)),
        change("tunnel_source_v6", Value::None, text("fd00::1")),
    ];
    assert_eq!(diff.datapath, expected);
    assert_eq!(diff.services[0].fields, [change("port", Value::Number(80), Value::Number(81))]);
    assert_eq!(diff.services[1].fields, [change("gre_key", Value::Number(443), Value::None)]);
    let [web_2] = &diff.services[0].backends[..] else { panic!("{:?}", diff.services[0]) };
    let expected = [
        change("weight", Value::Number(100), Value::Number(70)),
        change("address", text("10.1.0.2"), text("fd00::2")),
        change("encapsulation", text("gre_ipv4"), text("gre_ipv6")),
    ];
    assert_eq!((web_2.name.as_str(), &web_2.fields[..]), ("web-2", &expected[..]));
    assert_eq!(diff.services[4].backends[0].fields, [change("mtu", Value::Number(1_400), Value::Number(1_280))]);
    assert!(diff.services[4].slots_moved == 0 && diff.services[4].fields.is_empty());
}

#[test]
fn every_byte_of_a_row_that_a_configuration_sets_is_a_field() {
    use bytemuck::{Pod, bytes_of, bytes_of_mut};

    /// Offsets at which another byte is no other field.
    fn unnamed<R: Pod, const N: usize>(row: R, fields: impl Fn(&R) -> [field::Field; N]) -> Vec<usize> {
        let mut unnamed = Vec::new();
        for at in 0..bytes_of(&row).len() {
            let mut other = row;
            bytes_of_mut(&mut other)[at] ^= 0xff;
            if field::changes(fields(&row), fields(&other)).is_empty() {
                unnamed.push(at);
            }
        }
        unnamed
    }
    let built = tables(&WEB.replacen("tunnel_source_v4", "tunnel_source_v6 = \"fd00::1\"\ntunnel_source_v4", 1));
    let image = &built.file().image;
    // Reserved bytes.
    assert_eq!(unnamed(image.datapath, field::of_datapath), [29, 30, 31, 95]);
    // The rest of an IPv4 address, which is zero; a selection that is none is told as hash.
    let tls = *built.file().services().nth(1).unwrap().0;
    assert_eq!(unnamed(tls, field::of_service), (4..16).chain([23]).collect::<Vec<_>>());
    // Again the rest of the address; the service, which the names say; an encapsulation that is none; reserved bytes.
    let backend = unnamed(image.backends[0], |row| field::of_backend(0, row));
    assert_eq!(backend, (4..16).chain([24, 25, 26, 29, 30, 31]).collect::<Vec<_>>());
}

#[test]
fn schedulers_and_weights_are_compared_where_both_are_known() {
    let new = WEB.replacen("name = \"web\"\n", "name = \"web\"\nscheduler = \"ring\"\n", 1).replacen(
        "weight = 100\nstate = \"draining\"",
        "weight = 30\nstate = \"down\"",
        1,
    );
    let (old, new) = (tables(WEB), tables(&new));
    let scheduler = change("scheduler", text("maglev"), text("ring"));
    let weight = change("weight", Value::Number(100), Value::Number(30));
    let state = change("state", text("draining"), text("down"));
    let web = &diff(&old, &new).services[0];
    assert_eq!((&web.fields[..], &web.backends[0].fields[..]), (&[scheduler][..], &[weight, state.clone()][..]));
    // Both are read the same way, so an image has no trace of the fill but the slots.
    let web = &diff(&Tables::read(old.file().clone()), &new).services[0];
    assert_eq!((web.fields.len(), &web.backends[0].fields[..]), (0, &[state][..]));
}

#[test]
fn backends_come_and_go_and_move_the_ids_behind_them() {
    let new = WEB.replacen(
        "name = \"web-1\"\n",
        "name = \"web-0\"\naddress = \"10.1.0.9\"\n\n[[service.backend]]\nname = \"web-1\"\n",
        1,
    );
    let new = new.replacen("name = \"web-2\"\n", "name = \"web-9\"\n", 1);
    let diff = diff(&tables(WEB), &tables(&new));
    let web = &diff.services[0];
    assert_eq!(
        (&web.backends_added[..], &web.backends_removed[..]),
        (&["web-0".to_owned(), "web-9".to_owned()][..], &["web-2".to_owned()][..])
    );
    let ids: Vec<_> = web.backends.iter().map(|backend| (backend.name.as_str(), &backend.fields[..])).collect();
    let id = |old| [change("id", Value::Number(old), Value::Number(old + 1))];
    assert_eq!(ids, [("web-1", &id(0)[..]), ("web-3", &id(2)[..]), ("web-4", &id(3)[..])]);
}
