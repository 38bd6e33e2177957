//! Goal: no flow ever goes to another destination than its own because a configuration has changed.
//!
//! Method: sequences of configurations, and a flow table that knows of each flow where it went first.

use std::collections::BTreeMap;

use maglane_spec::row::BackendRow;
use proptest::prelude::*;

use super::*;

/// Services by what they are called, which is their port too, with the last bytes of their backends' addresses.
type Plan<'a> = &'a [(u16, &'a [u8])];

/// Room for 4 services and 16 backends.
fn plan_text(plan: Plan<'_>) -> String {
    use std::fmt::Write as _;
    let mut text = "\
[geometry]
bus_bytes = 32
services = 4
backends = 16
lookup_entries = 256
flow_sets = 16
[datapath]
hash_key = \"000102030405060708090a0b0c0d0e0f\"
mac = \"02:00:00:00:00:01\"
next_hop_mac = \"02:00:00:00:00:fe\"
tunnel_source_v4 = \"10.0.0.1\"
"
    .to_owned();
    for (port, backends) in plan {
        let service = format!("name = \"s{port}\"\naddress = \"192.0.2.10\"\nport = {port}\nprotocol = \"tcp\"");
        writeln!(text, "[[service]]\n{service}\ntable_size = 13").unwrap();
        for host in *backends {
            writeln!(text, "[[service.backend]]\nname = \"b{host}\"\naddress = \"10.1.0.{host}\"").unwrap();
        }
    }
    text
}

fn config(plan: Plan<'_>) -> Config {
    Config::parse("test.toml", &plan_text(plan)).unwrap_or_else(|error| panic!("{error}"))
}

/// Ids of the services, and of the backends of each.
fn all(ids: &Ids) -> Vec<(u16, Vec<u16>)> {
    let backends = |service: &Service| service.backends.iter().map(|(id, _)| *id).collect();
    ids.services.iter().map(|service| (service.owner.id, backends(service))).collect()
}

/// The ids after a plan's, where flows have those for which it is said.
fn next(ids: &Ids, plan: Plan<'_>, flows: &[u16]) -> Ids {
    ids.next(&config(plan), |id| flows.contains(&id)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn fresh_ids_run_on_in_file_order() {
    let ids = Ids::fresh(&config(&[(80, &[1, 2]), (443, &[]), (8080, &[1, 5, 3])]));
    assert_eq!(all(&ids), [(0, vec![0, 1]), (1, vec![]), (2, vec![2, 3, 4])]);
    assert_eq!(ids.gone().count(), 0);
}

#[test]
fn what_stays_keeps_its_id_wherever_it_stands_and_what_is_new_gets_the_lowest() {
    let ids = Ids::fresh(&config(&[(80, &[1, 2]), (443, &[1, 2])]));
    let ids = next(&ids, &[(8080, &[1]), (443, &[2, 3, 1]), (80, &[4, 1, 2])], &[]);
    assert_eq!(all(&ids), [(2, vec![4]), (1, vec![3, 5, 2]), (0, vec![6, 0, 1])]);
}

#[test]
fn id_of_one_that_is_gone_is_kept_while_it_has_flows_and_is_its_own_when_it_comes_back() {
    let ids = Ids::fresh(&config(&[(80, &[1, 2]), (443, &[3])]));
    let without = next(&ids, &[(80, &[2, 4]), (443, &[3])], &[0]);
    assert_eq!(all(&without), [(0, vec![1, 3]), (1, vec![2])]);
    let gone: Vec<_> = without.gone().map(|(id, gone)| (id, gone.service(), gone.backend.state)).collect();
    assert_eq!(gone, [(0, 0, State::Draining)]);
    assert_eq!(all(&next(&without, &[(80, &[5, 2, 1]), (443, &[3])], &[0])), [(0, vec![3, 1, 0]), (1, vec![2])]);
    // Without flows it is anybody's.
    let free = next(&without, &[(80, &[5, 2, 4]), (443, &[3])], &[]);
    assert_eq!((all(&free), free.gone().count()), (vec![(0, vec![0, 1, 3]), (1, vec![2])], 0));
}

#[test]
fn other_destination_is_another_backend_and_other_name_of_a_service_is_the_same() {
    let plan = config(&[(80, &[1, 2])]);
    let text = |from: &str, to: &str| {
        let text = plan_text(&[(80, &[1, 2])]).replacen(from, to, 1);
        Config::parse("test.toml", &text).unwrap()
    };
    let moved = Ids::fresh(&plan).next(&text("10.1.0.1", "10.1.0.9"), |id| id == 0).unwrap();
    assert_eq!(all(&moved), [(0, vec![2, 1])]);
    assert_eq!(
        moved.gone().map(|(id, gone)| (id, gone.backend.address.to_string())).last(),
        Some((0, "10.1.0.1".into()))
    );
    let renamed = Ids::fresh(&plan).next(&text("\"b1\"", "\"b7\""), |id| id == 0).unwrap();
    assert_eq!((all(&renamed), renamed.gone().count()), (vec![(0, vec![2, 1])], 1));
    let service = Ids::fresh(&plan).next(&text("\"s80\"", "\"other\""), |_| true).unwrap();
    assert_eq!((all(&service), service.gone().count()), (vec![(0, vec![0, 1])], 0));
    assert_eq!(service.service_names().collect::<Vec<_>>(), [(0, "other")]);
}

#[test]
fn id_of_a_service_is_kept_as_long_as_that_of_a_backend() {
    let ids = Ids::fresh(&config(&[(80, &[1]), (443, &[1])]));
    let kept = next(&ids, &[(443, &[1]), (8080, &[1])], &[0]);
    assert_eq!(all(&kept), [(1, vec![1]), (2, vec![2])]);
    assert_eq!(kept.service_names().collect::<BTreeMap<_, _>>(), [(0, "s80"), (1, "s443"), (2, "s8080")].into());
    assert_eq!(kept.backend_names().collect::<BTreeMap<_, _>>(), [(0, "b1"), (1, "b1"), (2, "b1")].into());
    assert_eq!(all(&next(&kept, &[(443, &[1]), (8080, &[1]), (80, &[2])], &[0])).last(), Some(&(0, vec![3])));
    assert_eq!(all(&next(&kept, &[(443, &[1]), (8080, &[1]), (81, &[2])], &[0])).last(), Some(&(3, vec![3])));
    assert_eq!(all(&next(&kept, &[(443, &[1]), (8080, &[1]), (81, &[2])], &[])).last(), Some(&(0, vec![0])));
}

#[test]
fn ids_that_run_out_are_an_error_with_its_place_until_flows_have_ended() {
    let many: Vec<u8> = (1..=15).collect();
    let ids = Ids::fresh(&config(&[(80, &many)]));
    let other = &config(&[(80, &[21, 22])]);
    let error = ids.next(other, |_| true).unwrap_err();
    let problem = &error.problems()[0];
    assert_eq!(problem.message(), "no id is left for the backend \"b22\"");
    assert!(
        problem.remedy().unwrap().starts_with("15 of the ids are kept for flows of backends that are gone"),
        "{error}"
    );
    assert_eq!(error.place(problem), Some((21, 1)), "{error}");
    assert_eq!(all(&ids.next(other, |id| id != 7).unwrap()), [(0, vec![7, 15])]);

    let ids = Ids::fresh(&config(&[(1, &[1]), (2, &[1]), (3, &[1]), (4, &[1])]));
    let error = ids.next(&config(&[(5, &[1])]), |_| true).unwrap_err();
    assert_eq!(error.problems()[0].message(), "no id is left for the service \"s5\"");
}

#[test]
fn other_sizes_begin_anew() {
    let ids = Ids::fresh(&config(&[(80, &[1, 2])]));
    let text = plan_text(&[(80, &[2])]).replace("backends = 16", "backends = 32");
    let other = ids.next(&Config::parse("test.toml", &text).unwrap(), |_| true).unwrap();
    assert_eq!((all(&other), other.gone().count()), (vec![(0, vec![0])], 0));
}

#[test]
fn one_that_is_gone_has_a_row_that_takes_its_flows_and_no_others() {
    let before = Ids::fresh(&config(&[(80, &[1, 2]), (443, &[3])]));
    let config = config(&[(443, &[3]), (80, &[2])]);
    let ids = before.next(&config, |id| id == 0).unwrap();
    let image = config.image_as(&ids, |_| None).unwrap();
    let row = |id: usize| (image.backends[id].address[3], image.backends[id].service.value(), image.backends[id].state);
    assert_eq!(row(0), (1, 0, BackendRow::STATE_DRAINING));
    assert_eq!([row(1), row(2)], [(2, 0, BackendRow::STATE_UP), (3, 1, BackendRow::STATE_UP)]);
    assert!(image.backends[3..].iter().all(|row| *row == BackendRow::default()));
    let slices: BTreeSet<u16> = image.lookup.iter().map(|entry| entry.value()).collect();
    assert_eq!(slices, [1, 2, u16::MAX].into());
    let of_443 = image.services.iter().find(|row| row.port.value() == 443).unwrap();
    assert_eq!((of_443.id.value(), of_443.lookup_base_value(), image.lookup[0].value()), (1, 0, 2));
}

#[test]
fn one_that_was_down_or_has_no_tunnel_any_more_takes_nothing_when_it_is_gone() {
    let text = plan_text(&[(80, &[1, 2])]);
    let down = text.replacen("address = \"10.1.0.1\"", "address = \"10.1.0.1\"\nstate = \"down\"", 1);
    let ids = Ids::fresh(&Config::parse("test.toml", &down).unwrap()).next(&config(&[(80, &[2])]), |_| true).unwrap();
    assert_eq!(ids.gone().map(|(_, gone)| gone.backend.state).last(), Some(State::Down));
    let six =
        text.replace("tunnel_source_v4 = \"10.0.0.1\"", "tunnel_source_v6 = \"fd00::1\"").replace("10.1.0.", "fd00::");
    let ids = Ids::fresh(&config(&[(80, &[1])])).next(&Config::parse("test.toml", &six).unwrap(), |_| true).unwrap();
    assert_eq!(ids.gone().map(|(_, gone)| gone.backend.state).last(), Some(State::Down));
}

/// A flow, by where it is and where it goes: port of its service, identity and address of its backend.
type Flow = (u16, String, IpAddr);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn flows_stay_where_they_are_whatever_configurations_come(
        plans in prop::collection::vec(
            prop::collection::btree_map(1_u16..6, prop::collection::btree_set(1_u8..9, 0..4), 0..4)
                .prop_map(|plan| plan.into_iter().map(|(port, hosts)| (port, hosts.into_iter().collect())).collect())
                .prop_flat_map(|plan: Vec<(u16, Vec<u8>)>| Just(plan).prop_shuffle()),
            1..12,
        ),
        ends in prop::collection::vec(any::<u16>(), 12),
    ) {
        // By backend id, as entries of a flow table are.
        let mut flows: BTreeMap<u16, Flow> = BTreeMap::new();
        let mut ids: Option<Ids> = None;
        for (plan, end) in plans.iter().zip(ends) {
            let plan: Vec<(u16, &[u8])> = plan.iter().map(|(port, hosts)| (*port, hosts.as_slice())).collect();
            let config = config(&plan);
            let backends: usize = plan.iter().map(|(_, hosts)| hosts.len()).sum();
            let before = ids.clone();
            ids = match &before {
                None => Some(Ids::fresh(&config)),
                Some(before) => match before.next(&config, |id| flows.contains_key(&id)) {
                    Ok(ids) => Some(ids),
                    Err(error) => {
                        // There is no room for all: these, and those that have flows and are not among them.
                        let wanted = |(port, name, _): &&Flow| {
                            let mut services = plan.iter().filter(|(own, _)| own == port);
                            services.any(|(_, hosts)| hosts.iter().any(|host| format!("b{host}") == *name))
                        };
                        let kept: Vec<&Flow> = flows.values().filter(|flow| !wanted(flow)).collect();
                        let services: BTreeSet<u16> =
                            kept.iter().map(|(port, ..)| *port).chain(plan.iter().map(|(port, _)| *port)).collect();
                        prop_assert!(kept.len() + backends > 16 || services.len() > 4, "{error}");
                        continue;
                    }
                },
            };
            let ids = ids.as_ref().unwrap();
            let image = config.image_as(ids, |_| None).unwrap();
            let mut own = BTreeMap::new();
            for (index, service) in config.services().iter().enumerate() {
                for (place, backend) in service.backends.iter().enumerate() {
                    let flow = (service.port.unwrap().get(), backend.identity.clone(), backend.address);
                    prop_assert!(own.insert(ids.backend(index, place), flow).is_none(), "an id twice");
                }
            }
            for (&id, flow) in &flows {
                let row = image.backends[usize::from(id)];
                prop_assert_eq!(IpAddr::from([row.address[0], row.address[1], row.address[2], row.address[3]]), flow.2);
                prop_assert_ne!(row.state, BackendRow::STATE_DOWN);
                prop_assert!(own.get(&id).is_none_or(|own| own == flow), "{:?} has the id of {:?}", own.get(&id), flow);
                // Whose frames it takes: those of the flow's service, or of one that is not there.
                let services = image.services.iter().filter(|service| service.flags != 0);
                let mut owner = services.filter(|service| service.id.value() == row.service.value());
                prop_assert!(owner.all(|service| service.port.value() == flow.0));
            }
            // Each that is there has flows now, and some that are gone have none any more.
            flows.retain(|id, _| id % 5 != end % 5);
            flows.extend(own);
        }
    }
}
