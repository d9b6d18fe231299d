//! The estimate against its model, drawn directly, and where there is little to go by.

use proptest::prelude::*;

use super::*;

/// SplitMix64, uniform in [0, 1).
struct Uniform(u64);

impl Uniform {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Near enough to a normal distribution of variance 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// One to five stars with that mean: four coins.
    fn stars(&mut self, mean: f64) -> u8 {
        let heads = (mean - 1.0) / 4.0;
        1 + (0..4).map(|_| u8::from(self.unit() < heads)).sum::<u8>()
    }
}

fn record(class: u8, orders: u64, stars: &[u8]) -> ClassRecord {
    ClassRecord { class, orders, published: stars.iter().copied().collect() }
}

/// What a run of the model gives, summed over its shops.
#[derive(Default)]
struct Errors {
    shops: f64,
    rating: f64,
    rating_squared: f64,
    published: f64,
    published_squared: f64,
    covered: f64,
    bad: f64,
    bad_covered: f64,
}

impl Errors {
    fn share(&self, part: fn(&Self) -> f64) -> f64 {
        part(self) / self.shops
    }
}

/// Shops whose class means are drawn around the market's; all their customers have an opinion, and of each class a
/// share of its own appears.
fn run_of_the_model(random: &mut Uniform, between: f64, appearing: [f64; 2], errors: &mut Errors) {
    let mut shops = Vec::new();
    for _ in 0..40 {
        let on_time = 20 + (random.unit() * 80.0) as u64;
        let late = (random.unit() * 0.4 * on_time as f64) as u64;
        let (mut all, mut records) = (StarSums::default(), Vec::new());
        for (class, (orders, mean)) in [(on_time, 4.2), (late, 2.2)].into_iter().enumerate() {
            let mean = (mean + between * random.normal()).clamp(1.0, 5.0);
            let mut published = StarSums::default();
            for _ in 0..orders {
                let stars = random.stars(mean);
                all = all.with(stars);
                if random.unit() < appearing[class] {
                    published = published.with(stars);
                }
            }
            records.push(ClassRecord { class: class as u8, orders, published });
        }
        shops.push((all, records));
    }
    let market = Market::new(shops.iter().map(|(_, records)| &records[..]));
    for (all, records) in &shops {
        let rating = market.rating(records);
        let truth = all.sum as f64 / all.count as f64;
        let bad = all.bad as f64 / all.count as f64;
        let published =
            records.iter().fold(StarSums::default(), |sums, record| sums.merged(record.published));
        let error = rating.stars.value - truth;
        let holds =
            |interval: Estimate, truth| f64::from(u8::from(interval.low <= truth && truth <= interval.high));
        errors.shops += 1.0;
        errors.rating += error;
        errors.rating_squared += error * error;
        let flattered = published.sum as f64 / published.count.max(1) as f64 - truth;
        errors.published += flattered;
        errors.published_squared += flattered * flattered;
        errors.covered += holds(rating.stars, truth);
        errors.bad += rating.bad_share.value - bad;
        errors.bad_covered += holds(rating.bad_share, bad);
    }
}

#[test]
fn the_estimate_is_unbiased_and_its_interval_holds_nine_of_ten() {
    let mut random = Uniform(1);
    for (between, appearing) in [(0.1, [0.9, 0.3]), (0.3, [0.9, 0.3]), (0.3, [0.5, 0.1]), (0.5, [0.2, 0.05])]
    {
        let mut errors = Errors::default();
        for _ in 0..50 {
            run_of_the_model(&mut random, between, appearing, &mut errors);
        }
        let [bias, published, covered] =
            [|e: &Errors| e.rating, |e: &Errors| e.published, |e: &Errors| e.covered]
                .map(|part| errors.share(part));
        let named = format!("{between} {appearing:?}: {bias} {published} {covered}");
        assert!(published > 0.15, "{named}");
        assert!(bias.abs() < 0.03, "{named}");
        assert!((0.85..0.96).contains(&covered), "{named}");
        let squares =
            [|e: &Errors| e.rating_squared, |e: &Errors| e.published_squared].map(|part| errors.share(part));
        assert!(squares[0] < 0.6 * squares[1], "{named}: {squares:?}");
        assert!(errors.share(|errors| errors.bad).abs() < 0.01, "{named}");
        assert!((0.84..0.98).contains(&errors.share(|errors| errors.bad_covered)), "{named}");
    }
}

#[test]
fn what_is_published_counts_exactly() {
    let shop = [record(0, 1_000, &[4; 1_000]), record(1, 500, &[1; 500])];
    let market = Market::new([&shop[..], &[record(0, 9, &[3; 9])]]);
    let rating = market.rating(&shop);
    assert!((rating.stars.value - 3.0).abs() < 0.003, "{rating:?}");
    assert!(rating.stars.high - rating.stars.low < 0.02, "{rating:?}");
    assert!((rating.bad_share.value - 1.0 / 3.0).abs() < 0.003, "{rating:?}");
}

/// The rating of somebody of whom nothing is known.
fn ignorant(rating: &Rating) {
    let deviation = NINE_TENTHS * (4.0f64 / 3.0).sqrt();
    assert!((rating.stars.value - 3.0).abs() < 1e-12, "{rating:?}");
    assert!((rating.stars.high - (3.0 + deviation)).abs() < 0.4, "{rating:?}");
    assert!((rating.bad_share.value - 0.5).abs() < 1e-12, "{rating:?}");
    assert!(rating.bad_share.low < 0.1 && rating.bad_share.high > 0.9, "{rating:?}");
}

#[test]
fn without_a_published_review_nothing_is_known() {
    ignorant(&Market::default().rating(&[]));
    ignorant(&Market::default().rating(&[record(3, 7, &[])]));
    let shop = [record(0, 30, &[]), record(1, 3, &[])];
    let market = Market::new([&shop[..], &[]]);
    ignorant(&market.rating(&shop));
    ignorant(&market.rating(&[]));
}

#[test]
fn one_shop_alone_is_rated_by_itself_and_others_by_it() {
    let shop = [record(0, 40, &[5, 4, 5, 5, 4, 5, 5, 3, 5, 5])];
    let market = Market::new([&shop[..], &[record(0, 20, &[])]]);
    let own = market.rating(&shop);
    assert!((own.stars.value - 4.6).abs() < 1e-9, "{own:?}");
    let other = market.rating(&[record(0, 20, &[])]);
    assert!((other.stars.value - 4.6).abs() < 1e-9, "{other:?}");
    // What a second shop is like nobody knows.
    assert!(other.stars.high - other.stars.low > 2.0 && own.stars.high - own.stars.low < 1.0);
}

#[test]
fn reviews_that_are_all_alike_leave_an_interval() {
    let shops: Vec<_> = (0..6).map(|_| [record(0, 10, &[5; 4])]).collect();
    let market = Market::new(shops.iter().map(|shop| &shop[..]));
    let rating = market.rating(&shops[0]);
    assert!((rating.stars.value - 5.0).abs() < 1e-9 && rating.stars.low < 4.95, "{rating:?}");
    assert!(rating.bad_share.value.abs() < 1e-9 && rating.bad_share.high > 0.01, "{rating:?}");
    let lone = Market::new([&[record(0, 10, &[5])][..]]).rating(&[record(0, 10, &[5])]);
    assert!(lone.stars.low < 4.5, "{lone:?}");
}

#[test]
fn a_class_nobody_has_published_is_not_rated_by_the_others() {
    let shops: Vec<_> = (0..6).map(|_| [record(0, 50, &[5, 4, 5, 5, 4, 5]), record(1, 50, &[])]).collect();
    let market = Market::new(shops.iter().map(|shop| &shop[..]));
    let rating = market.rating(&shops[0]);
    assert!((rating.stars.value - (4.667 + 3.0) / 2.0).abs() < 0.01, "{rating:?}");
    assert!(rating.stars.high - rating.stars.low > 1.5, "{rating:?}");
}

#[test]
fn a_shop_without_orders_has_the_markets_rating() {
    let shops: Vec<_> =
        (0..6).map(|_| [record(0, 60, &[5, 4, 5, 5, 4, 5]), record(1, 20, &[1, 2, 1])]).collect();
    let market = Market::new(shops.iter().map(|shop| &shop[..]));
    let rating = market.rating(&[]);
    assert!((rating.stars.value - (0.75 * 28.0 / 6.0 + 0.25 * 4.0 / 3.0)).abs() < 1e-9, "{rating:?}");
}

fn records() -> impl Strategy<Value = Vec<ClassRecord>> {
    let stars = proptest::collection::vec(1u8..=5, 0..12);
    proptest::collection::vec(
        (0u8..4, 0u64..40, stars).prop_map(|(class, orders, stars)| record(class, orders, &stars)),
        0..6,
    )
}

proptest! {
    #[test]
    fn every_rating_lies_in_its_interval_and_the_interval_on_the_scale(
        shops in proptest::collection::vec(records(), 0..6),
        shop in records(),
    ) {
        let rating = Market::new(shops.iter().map(|shop| &shop[..])).rating(&shop);
        for (estimate, low, high) in [(rating.stars, 1.0, 5.0), (rating.bad_share, 0.0, 1.0)] {
            prop_assert!(low <= estimate.low && estimate.low <= estimate.value, "{estimate:?}");
            prop_assert!(estimate.value <= estimate.high && estimate.high <= high, "{estimate:?}");
        }
    }

    #[test]
    fn neither_the_order_of_records_nor_their_pieces_matter(
        shops in proptest::collection::vec(records(), 1..6),
        number in any::<prop::sample::Index>(),
    ) {
        let market = Market::new(shops.iter().map(|shop| &shop[..]));
        let mut shuffled = shops.clone();
        // Two records of a class are one, unless more reviews than orders make them orders of their own.
        shuffled.iter_mut().for_each(|shop| shop.reverse());
        prop_assert_eq!(&market, &Market::new(shuffled.iter().map(|shop| &shop[..])));
        let shop = number.get(&shops);
        let whole: Vec<ClassRecord> = by_class(shop).into_values().collect();
        prop_assert_eq!(market.rating(shop), market.rating(&whole));
    }

    #[test]
    fn sums_that_no_reviews_have_do_not_break_it(
        counts in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()), 1..5),
    ) {
        let shops: Vec<[ClassRecord; 1]> = counts
            .into_iter()
            .map(|(orders, count, sum, squares, bad)| {
                [ClassRecord { class: 0, orders, published: StarSums { count, sum, squares, bad } }]
            })
            .collect();
        let market = Market::new(shops.iter().map(|shop| &shop[..]));
        for shop in &shops {
            let Rating { stars, bad_share } = market.rating(shop);
            prop_assert!((1.0..=5.0).contains(&stars.value) && (0.0..=1.0).contains(&bad_share.value));
        }
    }
}
