//! Wall clock of building tables: one full-size fill, and whole images.

use criterion::{Criterion, criterion_group, criterion_main};
use maglane_table::Config;
use maglane_table::fill::{Share, maglev, ring, round_robin};

fn fill(c: &mut Criterion) {
    let names: Vec<String> = (0..1_000).map(|index| format!("backend-{index}")).collect();
    let weights = |weight: fn(usize) -> u16| {
        let share = |(index, name)| Share { identity: String::as_str(name), weight: weight(index) };
        names.iter().enumerate().map(share).collect::<Vec<_>>()
    };
    for (id, shares) in [
        ("wallclock/fill/maglev_65521_1000", weights(|index| u16::try_from(index % 100 + 1).unwrap_or(1))),
        ("wallclock/fill/maglev_65521_1000_equal", weights(|_| 1)),
        ("wallclock/fill/maglev_65521_1000_extreme", weights(|index| if index == 0 { 65_535 } else { 1 })),
    ] {
        c.bench_function(id, |bencher| bencher.iter(|| maglev(std::hint::black_box(&shares), 65_521)));
    }
    let shares = weights(|index| u16::try_from(index % 100 + 1).unwrap_or(1));
    c.bench_function("wallclock/fill/ring_65521_1000", |bencher| {
        bencher.iter(|| ring(std::hint::black_box(&shares), 65_521));
    });
    c.bench_function("wallclock/fill/round_robin_1000", |bencher| {
        bencher.iter(|| round_robin(std::hint::black_box(&shares)));
    });
}

fn image(c: &mut Criterion) {
    for (id, text) in [
        ("wallclock/image/web", include_str!("../../examples/web.toml")),
        ("wallclock/image/many_services", include_str!("../../examples/many-services.toml")),
    ] {
        let config = Config::parse(id, text).unwrap_or_else(|error| panic!("{error}"));
        c.bench_function(id, |bencher| bencher.iter(|| config.image()));
    }
}

criterion_group!(benches, fill, image);
criterion_main!(benches);
