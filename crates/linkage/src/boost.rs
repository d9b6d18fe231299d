//! Gradient-boosted regression trees for choices: of a group of alternatives exactly one was chosen, and its chance is
//! the softmax of the alternatives' scores (the conditional logit model). Histograms, best-first growth.

use rayon::prelude::*;

use crate::random::SplitMix64;

/// Training groups. The alternatives of group `g` are the rows `starts[g]..starts[g + 1]`.
pub(crate) struct Choices {
    pub width: usize,
    /// Row by row; a value that does not exist is NaN and sorts below all others.
    pub values: Vec<f32>,
    /// What each row's score starts from: a prior, or the correction for sampled alternatives.
    pub offset: Vec<f32>,
    pub starts: Vec<usize>,
    /// The row that was chosen, per group.
    pub chosen: Vec<usize>,
}

impl Choices {
    pub(crate) fn new(width: usize) -> Self {
        Self { width, values: Vec::new(), offset: Vec::new(), starts: vec![0], chosen: Vec::new() }
    }

    /// Closes the group of all rows pushed since the last one.
    pub(crate) fn close_group(&mut self, chosen_row: usize) {
        self.chosen.push(chosen_row);
        self.starts.push(self.offset.len());
    }

    fn rows(&self) -> usize {
        self.offset.len()
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub trees: usize,
    pub leaves: usize,
    pub shrinkage: f32,
    /// The least curvature in a leaf; keeps a leaf from resting on a handful of reviews.
    pub least_hessian: f32,
    pub ridge: f32,
    /// The parts of the groups and of the features that each tree sees.
    pub group_share: f64,
    pub feature_share: f64,
}

impl Settings {
    /// For the chances of stars, whose features are few and weak.
    pub(crate) const STARS: Self = Self {
        trees: 60,
        leaves: 10,
        shrinkage: 0.1,
        least_hessian: 10.0,
        ridge: 4.0,
        group_share: 0.7,
        feature_share: 0.7,
    };
}

pub(crate) struct Forest {
    trees: Vec<Vec<Node>>,
}

#[derive(Clone, Copy)]
struct Node {
    feature: u32,
    /// The left child, followed by the right one; 0 (the root, nobody's child) marks a leaf.
    left: u32,
    /// Values above it go right, NaN goes left. In a leaf: the score.
    threshold: f32,
}

impl Forest {
    pub(crate) fn score(&self, row: &[f32]) -> f32 {
        self.trees.iter().map(|tree| tree_score(tree, row)).sum()
    }
}

fn tree_score(tree: &[Node], row: &[f32]) -> f32 {
    let mut at = 0;
    loop {
        let node = tree[at];
        if node.left == 0 {
            return node.threshold;
        }
        at = node.left as usize + usize::from(row[node.feature as usize] > node.threshold);
    }
}

const BINS: usize = 256;
/// Gradient and hessian summed over the rows of one bin.
type Histogram = Vec<[f32; 2]>;

/// Values replaced by the number of their quantile: bin 0 is NaN, bin b holds the values in (cut b-2, cut b-1].
struct Binned {
    columns: Vec<Vec<u8>>,
    cuts: Vec<Vec<f32>>,
}

impl Binned {
    fn new(choices: &Choices) -> Self {
        let width = choices.width;
        let step = choices.rows().div_ceil(40_000).max(1);
        let (columns, cuts) = (0..width)
            .into_par_iter()
            .map(|feature| {
                let column = || choices.values.iter().skip(feature).step_by(width).copied();
                let mut sample: Vec<f32> = column().step_by(step).filter(|value| !value.is_nan()).collect();
                sample.sort_unstable_by(f32::total_cmp);
                let mut cuts: Vec<f32> = (1..BINS - 1)
                    .filter_map(|rank| sample.get(rank * sample.len() / (BINS - 1)).copied())
                    .collect();
                cuts.dedup();
                let bin = |value: f32| {
                    if value.is_nan() { 0 } else { 1 + cuts.partition_point(|&cut| cut < value) as u8 }
                };
                (column().map(bin).collect(), cuts)
            })
            .unzip();
        Self { columns, cuts }
    }

    /// Rows whose bin is at most `bin` go left; the same rows have a value that is not above this.
    fn threshold(&self, feature: usize, bin: usize) -> f32 {
        if bin == 0 { f32::NEG_INFINITY } else { self.cuts[feature][bin - 1] }
    }
}

pub(crate) fn fit(choices: &Choices, settings: Settings, seed: u64) -> Forest {
    let binned = Binned::new(choices);
    let mut generator = SplitMix64::new(seed);
    let mut score = choices.offset.clone();
    let mut gradient = vec![[0.0f32; 2]; choices.rows()];
    let mut trees = Vec::with_capacity(settings.trees);
    for _ in 0..settings.trees {
        let mut rows: Vec<u32> = Vec::with_capacity(choices.rows());
        for (group, &chosen) in choices.chosen.iter().enumerate() {
            if generator.unit() < settings.group_share {
                let range = choices.starts[group]..choices.starts[group + 1];
                rows.extend(range.clone().map(|row| row as u32));
                differentiate(&score[range.clone()], chosen - range.start, &mut gradient[range]);
            }
        }
        let mut features: Vec<usize> = (0..choices.width).collect();
        generator.shuffle(&mut features);
        features.truncate(((choices.width as f64 * settings.feature_share).ceil() as usize).max(1));
        let tree = grow(&binned, &features, rows, &gradient, settings);
        score.par_chunks_mut(4_096).zip(choices.values.par_chunks(4_096 * choices.width)).for_each(
            |(scores, values)| {
                for (score, row) in scores.iter_mut().zip(values.chunks(choices.width)) {
                    *score += tree_score(&tree, row);
                }
            },
        );
        trees.push(tree);
    }
    Forest { trees }
}

/// First and second derivative of a group's negative log-likelihood by the scores of its alternatives.
fn differentiate(scores: &[f32], chosen: usize, derivatives: &mut [[f32; 2]]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (derivative, score) in derivatives.iter_mut().zip(scores) {
        derivative[0] = (score - largest).exp();
        sum += derivative[0];
    }
    for (alternative, derivative) in derivatives.iter_mut().enumerate() {
        let chance = derivative[0] / sum;
        let was_chosen = if alternative == chosen { 1.0 } else { 0.0 };
        *derivative = [chance - was_chosen, (chance * (1.0 - chance)).max(1e-6)];
    }
}

struct Leaf {
    node: usize,
    rows: Vec<u32>,
    histograms: Vec<Histogram>,
    sum: [f32; 2],
    best: Option<Cut>,
}

#[derive(Clone, Copy)]
struct Cut {
    gain: f32,
    feature: usize,
    bin: usize,
    left_sum: [f32; 2],
}

fn grow(
    binned: &Binned,
    features: &[usize],
    rows: Vec<u32>,
    gradient: &[[f32; 2]],
    settings: Settings,
) -> Vec<Node> {
    let leaf = |sum: [f32; 2]| Node {
        feature: 0,
        left: 0,
        threshold: -settings.shrinkage * sum[0] / (sum[1] + settings.ridge),
    };
    let sum = rows.iter().fold([0.0f64; 2], |sum, &row| {
        let [first, second] = gradient[row as usize];
        [sum[0] + f64::from(first), sum[1] + f64::from(second)]
    });
    let sum = [sum[0] as f32, sum[1] as f32];
    let histograms = count(binned, features, &rows, gradient);
    let best = best_cut(features, &histograms, sum, settings);
    let mut nodes = vec![leaf(sum)];
    let mut leaves = vec![Leaf { node: 0, rows, histograms, sum, best }];
    while leaves.len() < settings.leaves {
        let gain = |leaf: &Leaf| leaf.best.map_or(0.0, |cut| cut.gain);
        let Some(widest) =
            (0..leaves.len()).max_by(|&left, &right| gain(&leaves[left]).total_cmp(&gain(&leaves[right])))
        else {
            break;
        };
        let Some(cut) = leaves[widest].best else { break };
        let parent = leaves.swap_remove(widest);
        let column = &binned.columns[features[cut.feature]];
        let (left, right): (Vec<u32>, Vec<u32>) =
            parent.rows.iter().partition(|&&row| usize::from(column[row as usize]) <= cut.bin);
        // Only the smaller side is counted; the other is what remains of the parent.
        let (smaller, left_is_smaller) =
            if left.len() <= right.len() { (&left, true) } else { (&right, false) };
        let counted = count(binned, features, smaller, gradient);
        let mut remaining = parent.histograms;
        for (rest, part) in remaining.iter_mut().flatten().zip(counted.iter().flatten()) {
            rest[0] -= part[0];
            rest[1] -= part[1];
        }
        let (left_histograms, right_histograms) =
            if left_is_smaller { (counted, remaining) } else { (remaining, counted) };
        let right_sum = [parent.sum[0] - cut.left_sum[0], parent.sum[1] - cut.left_sum[1]];
        nodes[parent.node] = Node {
            feature: features[cut.feature] as u32,
            left: nodes.len() as u32,
            threshold: binned.threshold(features[cut.feature], cut.bin),
        };
        for (rows, histograms, sum) in
            [(left, left_histograms, cut.left_sum), (right, right_histograms, right_sum)]
        {
            let best = best_cut(features, &histograms, sum, settings);
            leaves.push(Leaf { node: nodes.len(), rows, histograms, sum, best });
            nodes.push(leaf(sum));
        }
    }
    nodes
}

fn count(binned: &Binned, features: &[usize], rows: &[u32], gradient: &[[f32; 2]]) -> Vec<Histogram> {
    let gathered: Vec<[f32; 2]> = rows.iter().map(|&row| gradient[row as usize]).collect();
    let one = |&feature: &usize| {
        let column = &binned.columns[feature];
        let mut histogram = [[0.0f32; 2]; BINS];
        for (&row, [first, second]) in rows.iter().zip(&gathered) {
            let bin = &mut histogram[usize::from(column[row as usize])];
            bin[0] += first;
            bin[1] += second;
        }
        histogram.to_vec()
    };
    if rows.len() > 8_192 {
        features.par_iter().map(one).collect()
    } else {
        features.iter().map(one).collect()
    }
}

fn best_cut(features: &[usize], histograms: &[Histogram], sum: [f32; 2], settings: Settings) -> Option<Cut> {
    let weight = |sum: [f32; 2]| sum[0] * sum[0] / (sum[1] + settings.ridge);
    let mut best: Option<Cut> = None;
    for (feature, histogram) in histograms.iter().enumerate().take(features.len()) {
        let mut left = [0.0f32; 2];
        for (bin, part) in histogram.iter().enumerate() {
            left = [left[0] + part[0], left[1] + part[1]];
            let right = [sum[0] - left[0], sum[1] - left[1]];
            if right[1] < settings.least_hessian {
                break;
            }
            if left[1] < settings.least_hessian {
                continue;
            }
            let gain = weight(left) + weight(right) - weight(sum);
            if gain > best.map_or(1e-6, |cut| cut.gain) {
                best = Some(Cut { gain, feature, bin, left_sum: left });
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_derivatives_of_a_group_sum_to_nothing() {
        let mut derivatives = [[0.0; 2]; 4];
        differentiate(&[0.3, -2.0, 5.0, 0.0], 1, &mut derivatives);
        assert!(derivatives.iter().map(|derivative| derivative[0]).sum::<f32>().abs() < 1e-6);
        assert!(derivatives[1][0] < 0.0 && derivatives[2][0] > 0.0);
    }

    #[test]
    fn a_rule_that_chose_the_alternative_is_learnt() {
        // The chosen alternative is the one whose first value lies nearest to one half; the second value is noise.
        let mut generator = SplitMix64::new(3);
        let mut choices = Choices::new(2);
        for _ in 0..600 {
            let first = choices.offset.len();
            let mut nearest = first;
            for row in first..first + 5 {
                choices.values.extend([generator.unit() as f32, generator.unit() as f32]);
                choices.offset.push(0.0);
                let distance = |row: usize| (choices.values[row * 2] - 0.5).abs();
                if distance(row) < distance(nearest) {
                    nearest = row;
                }
            }
            choices.close_group(nearest);
        }
        let settings = Settings {
            trees: 40,
            leaves: 8,
            shrinkage: 0.3,
            least_hessian: 1.0,
            ridge: 1.0,
            group_share: 0.8,
            feature_share: 1.0,
        };
        let forest = fit(&choices, settings, 1);
        let hits = choices.chosen.iter().zip(choices.starts.windows(2)).filter(|(chosen, range)| {
            let score = |row: &usize| forest.score(&choices.values[row * 2..row * 2 + 2]);
            let best = (range[0]..range[1]).max_by(|left, right| score(left).total_cmp(&score(right)));
            best.as_ref() == Some(chosen)
        });
        assert!(hits.count() > 480);
    }
}
