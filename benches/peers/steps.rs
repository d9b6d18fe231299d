//! Criterion over the same steps as the table: `cargo bench` here, with a filter such as
//! `unjoin/verify`. Times are for a whole batch; the throughput line counts its members.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use unjoin_benches::steps;

fn all(criterion: &mut Criterion) {
    let mut reference = steps::reference();
    criterion.bench_function("R", |bencher| bencher.iter_custom(&mut reference));
    for mut step in steps::all() {
        let mut group = criterion.benchmark_group(step.scheme);
        group.throughput(Throughput::Elements(step.members));
        group.bench_function(step.name.trim(), |bencher| bencher.iter_custom(&mut step.run));
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(40).measurement_time(std::time::Duration::from_secs(3));
    targets = all
}
criterion_main!(benches);
