//! Timing: the thread's processor time, so that what other programs take is not counted; many
//! short rounds over all steps, so that what they leave of caches and clock rates meets all alike;
//! and R beside every step, so that ratios hold where times do not.

use cpu_time::ThreadTime;
use std::time::Duration;

/// Runs a step so many times and says what processor time that took, preparations left out.
pub type Run = Box<dyn FnMut(u64) -> Duration>;

/// One thing that is measured.
pub struct Step {
    /// The scheme it belongs to: the column.
    pub scheme: &'static str,
    /// What it is: the row.
    pub name: String,
    /// How many members one run works off; figures are for one of them.
    pub members: u64,
    pub run: Run,
}

impl Step {
    pub fn new(scheme: &'static str, name: impl Into<String>, run: Run) -> Self {
        Self { scheme, name: name.into(), members: 1, run }
    }

    #[must_use]
    pub fn of_members(mut self, members: usize) -> Self {
        self.members = members as u64;
        self
    }
}

/// A step that can be repeated as it stands.
pub fn repeated<O>(mut step: impl FnMut() -> O + 'static) -> Run {
    Box::new(move |times| {
        let start = ThreadTime::now();
        for _ in 0..times {
            std::hint::black_box(step());
        }
        start.elapsed()
    })
}

/// A step that uses something up, which is made outside the measured time.
pub fn prepared<I, O>(mut make: impl FnMut() -> I + 'static, mut step: impl FnMut(I) -> O + 'static) -> Run {
    Box::new(move |times| {
        const AT_ONCE: u64 = 64;
        let (mut left, mut spent) = (times, Duration::ZERO);
        while left > 0 {
            let inputs: Vec<I> = (0..left.min(AT_ONCE)).map(|_| make()).collect();
            left -= inputs.len() as u64;
            let start = ThreadTime::now();
            for input in inputs {
                std::hint::black_box(step(input));
            }
            spent += start.elapsed();
        }
        spent
    })
}

/// How long to measure.
#[derive(Clone, Copy)]
pub struct Effort {
    /// So many times every step.
    pub rounds: usize,
    /// So long each time, or one run if that takes longer.
    pub slice: Duration,
}

impl Effort {
    pub const FULL: Self = Self { rounds: 41, slice: Duration::from_millis(6) };
    /// Shows that everything runs; its figures are worth nothing.
    pub const QUICK: Self = Self { rounds: 1, slice: Duration::ZERO };
}

/// What a step costs for one member.
pub struct Figure {
    pub scheme: &'static str,
    pub name: String,
    /// The median over the rounds.
    pub micros: f64,
    /// The median of the quotients by an R that was measured right before.
    pub ratio: f64,
}

/// Measures all steps; `reference` is R. `tick` is called after each step of each round.
pub fn measure(reference: &mut Run, steps: &mut [Step], effort: Effort, tick: impl Fn()) -> Vec<Figure> {
    let reference_times = times_for(reference, effort.slice / 4);
    let times: Vec<u64> = steps.iter_mut().map(|step| times_for(&mut step.run, effort.slice)).collect();
    let mut samples: Vec<Vec<(f64, f64)>> = steps.iter().map(|_| Vec::new()).collect();
    for _ in 0..effort.rounds {
        for ((step, times), samples) in steps.iter_mut().zip(&times).zip(&mut samples) {
            let r = micros(reference(reference_times), reference_times);
            let cost = micros((step.run)(*times), *times * step.members);
            samples.push((cost, cost / r));
            tick();
        }
    }
    let figure = |(step, samples): (&mut Step, &Vec<(f64, f64)>)| Figure {
        scheme: step.scheme,
        name: step.name.clone(),
        micros: median(samples.iter().map(|(cost, _)| *cost)),
        ratio: median(samples.iter().map(|(_, ratio)| *ratio)),
    };
    steps.iter_mut().zip(&samples).map(figure).collect()
}

/// How many runs fill a slice, after one to warm up.
fn times_for(run: &mut Run, slice: Duration) -> u64 {
    run(1);
    let once = run(1).as_nanos().max(1);
    u64::try_from(slice.as_nanos() / once).unwrap_or(u64::MAX).max(1)
}

fn micros(spent: Duration, times: u64) -> f64 {
    spent.as_secs_f64() * 1e6 / times as f64
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
