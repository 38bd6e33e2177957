use maglane_table::fill::*;
fn main() {
    let names: Vec<String> = (0..1000).map(|i| format!("backend-{i}")).collect();
    let s: Vec<Share<'_>> =
        names.iter().enumerate().map(|(i, n)| Share { identity: n, weight: (i % 100 + 1) as u16 }).collect();
    let mut v: Vec<u128> = (0..300)
        .map(|_| {
            let t = std::time::Instant::now();
            std::hint::black_box(maglev(std::hint::black_box(&s), 65521));
            t.elapsed().as_nanos()
        })
        .collect();
    v.sort();
    println!("min {} p25 {} median {}", v[0], v[75], v[150]);
}
