//! The comparison of the platforms: as a table of plain text and as a picture.

use std::{fmt::Write, fs, io, path::Path};

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::{
    attack::{Found, Group, GroupMeasures, Known, Learnt, Measures, Rate, TooFew},
    measures::{self, Outcome},
};

pub(crate) struct Platform {
    name: String,
    learnt: Result<Learnt, TooFew>,
    measures: Measures,
}

impl Platform {
    pub(crate) fn new(name: &str, learnt: Result<Learnt, TooFew>, measures: Measures) -> Self {
        Self { name: name.to_owned(), learnt, measures }
    }
}

/// What the picture shows of a platform.
pub(crate) struct Shown {
    name: String,
    /// Of all, bad, and bad reviews of late orders, in percent: whose author is named first.
    top_one: [Option<Rate>; 3],
    /// Of the same, in percent. Nothing if the platform shows every review at once.
    unpublished: [Option<f64>; 3],
    /// Days from writing to publication: median and 90th percentile.
    delay: Option<[f64; 2]>,
}

impl Shown {
    /// A platform that shows every review at once: it has no such price.
    pub(crate) fn at_once(platform: &Platform) -> Self {
        Self { unpublished: [None; 3], delay: None, ..Self::priced(platform) }
    }

    pub(crate) fn priced(platform: &Platform) -> Self {
        let groups = &platform.measures.groups;
        Self {
            name: platform.name.clone(),
            top_one: groups.each_ref().map(|group| group.found.map(|found| found.top_one.times(100.0))),
            unpublished: groups.each_ref().map(|group| group.unpublished.map(|share| share * 100.0)),
            delay: platform.measures.delay.as_ref().map(|delay| [delay.median, delay.ninetieth]),
        }
    }

    /// A policy that was played without cryptography.
    pub(crate) fn played(name: &str, outcome: &Outcome) -> Self {
        let rate = |linked: measures::Rate| Rate { share: linked.share, standard_error: Some(linked.error) };
        Self {
            name: name.to_owned(),
            top_one: outcome.groups.map(|group| Some(rate(group.linked).times(100.0))),
            unpublished: outcome.groups.map(|group| Some(group.unpublished() * 100.0)),
            delay: Some(outcome.groups[0].delay),
        }
    }
}

/// Whose orders are attacked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The bundled sample.
    Olist,
    /// Anybody's.
    Own,
}

/// What must be quoted with the figures: first of the bundled orders alone, then of all.
const OLIST: &str = "Orders, delays and stars are real: a 10 % sample of Olist's public set (Brazil, 2016 to 2018). Merchants are not:\n\
    ten sellers of neighbouring size are bundled into one merchant, a constructed grouping, since in a sample shops look\n\
    ten times too small. Every account counts as a person's, which makes cohorts fill as fast as they can.\n";
const ALWAYS: &str = "The attacker names the customer with the largest chance. 1/k is an average over authors and no bound for a single review;\n\
    cohorts larger than k bring top-1 below it. \"± ?\": the data say nothing of the error (fewer than five clusters, or\n\
    all hit or none). Never published: cohort too small, or written after its window.\n";

/// Whose links the attacker had, in the words that belong under the figures.
fn learnt(platform: &Platform) -> String {
    let Learnt { known, links } = match platform.learnt {
        Ok(learnt) => learnt,
        Err(refused) => return format!("Not attacked: {refused}."),
    };
    let mut text = match known {
        Known::OtherMerchants => format!(
            "The attacker knows the true links of all other merchants (each model learnt from {links} or more). Errors are\n\
             standard errors clustered by merchant."
        ),
        Known::OtherReviews => format!(
            "Too few merchants to learn from others alone: the attacker knows true links of the same merchants' other reviews\n\
             (each model learnt from {links} or more), and uses them for learning only, not to strike out their orders. Errors\n\
             are standard errors clustered by merchant and four weeks: of other weeks of these shops, not of other shops."
        ),
    };
    if links < 2_000 {
        text.push_str(
            "\nWith so few links this attacker is a beginner: one who knows other platforms does better. Take these figures as the least.",
        );
    }
    text
}

/// How a group's figure is written.
type Cell<'a> = &'a dyn Fn(&Found) -> String;

/// The table. k is the cohort floor by which all platforms are measured, the naive ones too.
pub(crate) fn table(platforms: &[Platform], source: Source, k: usize) -> String {
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let error = |error: Option<f64>, digits: usize| {
        error.map_or_else(|| "?".to_owned(), |error| format!("{error:.digits$}"))
    };
    let plus_minus = |rate: Rate| {
        let Rate { share, standard_error } = rate.times(100.0);
        format!("{share:.1} ± {} %", error(standard_error, 1))
    };
    let attacked = |cell: Cell<'_>, group: &GroupMeasures| {
        group.found.as_ref().map_or_else(|| "none attacked".to_owned(), cell)
    };
    let hit = |group: &Found| {
        let Rate { share, standard_error } = group.multiple;
        format!("{}  {share:.2} ± {} /k", plus_minus(group.top_one), error(standard_error, 2))
    };
    let linked = |group: &Found| match group.linked_precision {
        Some(precision) => format!("{:.1} % ({:.1} % right)", group.linked * 100.0, precision * 100.0),
        None => "none".to_owned(),
    };
    let anonymity = |group: &Found| format!("{:.1} / {:.1}", group.anonymity_median, group.anonymity_tenth);
    let per_group = |cell: &dyn Fn(&GroupMeasures) -> String| -> Vec<Vec<String>> {
        let row = |platform: &Platform| {
            let cells = platform.measures.groups.iter().map(cell);
            std::iter::once(platform.name.clone()).chain(cells).collect()
        };
        platforms.iter().map(row).collect()
    };
    let [all, bad, bad_late] = Group::EACH.map(Group::name);

    let mut text = String::new();
    let first =
        format!("The customer named first is the author (top-1), and the same as a multiple of 1/k, k = {k}");
    let assigned = |found: &Found| plus_minus(found.assigned);
    let tables: [(&str, Cell<'_>); 4] = [
        (&first, &hit),
        ("The same when every order gets at most one review (one-to-one assignment)", &assigned),
        ("Linked with more than 90 % confidence, and how many of these rightly", &linked),
        ("Effective anonymity set (exp of the posterior's entropy): median / worst tenth", &anonymity),
    ];
    for (title, cell) in tables {
        let rows = per_group(&|group| attacked(cell, group));
        section(&mut text, title, &["platform", all, bad, bad_late], &rows);
    }
    section(
        &mut text,
        "The price: reviews never published, and days from writing to publication",
        &["platform", all, bad, bad_late, "delay, median / p90"],
        &per_group(&|group| group.unpublished.map_or_else(|| "unknown".to_owned(), percent))
            .into_iter()
            .zip(platforms)
            .map(|(mut row, platform)| {
                row.push(platform.measures.delay.map_or_else(
                    || "unknown".to_owned(),
                    |delay| format!("{:.0} / {:.0}", delay.median, delay.ninetieth),
                ));
                row
            })
            .collect::<Vec<_>>(),
    );
    if source == Source::Olist {
        text.push_str(OLIST);
    }
    let said: Vec<String> = platforms.iter().map(learnt).collect();
    for (number, (sentence, platform)) in said.iter().zip(platforms).enumerate() {
        let Some(first) = said.iter().position(|earlier| earlier == sentence) else { continue };
        if first == number {
            let alike = said.iter().all(|other| other == sentence);
            let name = if alike { String::new() } else { format!("{}: ", platform.name) };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name}{sentence}");
        }
    }
    text.push_str(ALWAYS);
    text
}

/// A title, a header and rows; the first column is set left, all others right.
fn section(text: &mut String, title: &str, header: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(header.get(column).map(|name| name.chars().count())).max().unwrap_or_default()
    };
    text.push_str(title);
    text.push('\n');
    let header: Vec<String> = header.iter().map(|&name| name.to_owned()).collect();
    for row in std::iter::once(&header).chain(rows) {
        for (column, cell) in row.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = if column == 0 {
                write!(text, "  {cell:<width$}", width = width(column))
            } else {
                write!(text, "   {cell:>width$}", width = width(column))
            };
        }
        text.push('\n');
    }
    text.push('\n');
}

const WIDTH: i32 = 1_080;
const HEIGHT: i32 = 800;
const INK: RGBColor = RGBColor(38, 43, 51);
const FAINT: RGBColor = RGBColor(222, 226, 231);
const COLOURS: [RGBColor; 3] = [RGBColor(197, 72, 66), RGBColor(232, 155, 76), RGBColor(42, 122, 155)];
const CAPTIONS: [&str; 3] = ["all reviews", "1-2 stars", "1-2 stars, late or failed"];

/// What [`INK`] and [`FAINT`] become on a dark page. There is no ground: the page shows through.
const DARK: &str = "<style>@media (prefers-color-scheme:dark){[fill=\"#262B33\"]{fill:#e8e6df}\
    [stroke=\"#262B33\"]{stroke:#e8e6df}[stroke=\"#DEE2E7\"]{stroke:#3f454d}}</style>";

/// Draws the comparison as an SVG file, for light and dark pages, complete under a temporary name before it gets
/// its own. `platforms` are a naive one, the former rules and those of today.
pub(crate) fn draw(path: &Path, platforms: &[Shown; 3], source: Source, k: usize) -> io::Result<()> {
    let mut picture = String::new();
    paint(&mut picture, platforms, source, k).map_err(|error| io::Error::other(error.to_string()))?;
    let picture = picture.replacen('>', &format!(">{DARK}"), 1);
    let temporary = path.with_extension("svg.unfinished");
    fs::write(&temporary, picture).and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

type Canvas<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Painted = Result<(), DrawingAreaErrorKind<io::Error>>;

fn paint(picture: &mut String, platforms: &[Shown; 3], source: Source, k: usize) -> Painted {
    let [_, with_price @ ..] = platforms;
    let canvas = SVGBackend::with_string(picture, (WIDTH as u32, HEIGHT as u32)).into_drawing_area();
    label(
        &canvas,
        "Who wrote this review? What a merchant's own order list tells",
        (70, 28),
        25,
        HPos::Left,
    )?;
    let subtitle = format!(
        "Share of reviews whose author the join attack names first, with standard errors; dashed: 1/k, k = {k}"
    );
    label(&canvas, &subtitle, (70, 60), 16, HPos::Left)?;
    legend(&canvas, platforms, 91)?;

    let top_one =
        Panel { left: 70, right: WIDTH - 40, top: 140, bottom: 440, highest: 100.0, step: 20.0, unit: " %" };
    let groups = 0..CAPTIONS.len();
    let top_ones: Vec<Vec<Option<Rate>>> = groups
        .clone()
        .map(|group| platforms.iter().map(|platform| platform.top_one[group]).collect())
        .collect();
    top_one.axis(&canvas)?;
    top_one.bars(&canvas, &CAPTIONS, &top_ones, &COLOURS)?;
    top_one.line(&canvas, 100.0 / k as f64, "1/k")?;

    label(&canvas, "The price: share never published", (70, 528), 18, HPos::Left)?;
    // A naive platform has no such price.
    let bar = |share: f64| Rate { share, standard_error: None };
    let lost: Vec<Vec<Option<Rate>>> = groups
        .map(|group| with_price.iter().map(|platform| platform.unpublished[group].map(bar)).collect())
        .collect();
    let unpublished = Panel::below((70, 610), &lost, 20.0, " %");
    unpublished.axis(&canvas)?;
    unpublished.bars(&canvas, &CAPTIONS, &lost, &COLOURS[1..])?;

    label(&canvas, "The price: days from writing to publication", (690, 528), 18, HPos::Left)?;
    let days: Vec<Vec<Option<Rate>>> = (0..2)
        .map(|part| with_price.iter().map(|platform| platform.delay.map(|days| bar(days[part]))).collect())
        .collect();
    let waiting = Panel::below((690, WIDTH - 40), &days, 30.0, "");
    waiting.axis(&canvas)?;
    waiting.bars(&canvas, &["median", "90th percentile"], &days, &COLOURS[1..])?;

    let caveat = "Real orders, delays and stars (Olist, 10 % sample); merchants are bundles of ten sellers, a constructed \
                  grouping; every account counts as a person's.";
    if source == Source::Olist {
        label(&canvas, caveat, (70, 774), 14, HPos::Left)?;
    }
    canvas.present()
}

/// The platforms' colours, in one line, or in more where the names are long.
fn legend(canvas: &Canvas<'_>, platforms: &[Shown], top: i32) -> Painted {
    let (mut left, mut top) = (70, top);
    for (platform, colour) in platforms.iter().zip(COLOURS.iter().cycle()) {
        let width = 60 + 8 * platform.name.chars().count() as i32;
        if left > 70 && left + width > WIDTH {
            (left, top) = (70, top + 24);
        }
        canvas.draw(&Rectangle::new([(left, top), (left + 16, top + 16)], colour.filled()))?;
        label(canvas, &platform.name, (left + 24, top + 8), 16, HPos::Left)?;
        left += width;
    }
    Ok(())
}

/// The next full step above all bars and their values.
fn ceiling(bars: &[Vec<Option<Rate>>], step: f64) -> f64 {
    let highest = bars.iter().flatten().flatten().map(|bar| bar.share).fold(0.0, f64::max);
    ((highest * 1.12 / step).ceil() * step).max(step)
}

fn label(canvas: &Canvas<'_>, text: &str, at: (i32, i32), size: i32, side: HPos) -> Painted {
    let style = ("sans-serif", size).into_font().color(&INK).pos(Pos::new(side, VPos::Center));
    canvas.draw(&Text::new(text.to_owned(), at, style))
}

/// A rectangle of the canvas in which 0 lies at the bottom and `highest` at the top.
struct Panel {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
    highest: f64,
    step: f64,
    unit: &'static str,
}

impl Panel {
    /// One of the two at the picture's foot.
    fn below((left, right): (i32, i32), values: &[Vec<Option<Rate>>], step: f64, unit: &'static str) -> Self {
        Self { left, right, top: 560, bottom: 720, highest: ceiling(values, step), step, unit }
    }

    fn height(&self, value: f64) -> i32 {
        let part = (value / self.highest).clamp(0.0, 1.0);
        self.bottom - (part * f64::from(self.bottom - self.top)).round() as i32
    }

    fn axis(&self, canvas: &Canvas<'_>) -> Painted {
        let mut value = 0.0;
        while value <= self.highest {
            let height = self.height(value);
            let colour = if value == 0.0 { INK } else { FAINT };
            canvas.draw(&PathElement::new([(self.left, height), (self.right, height)], colour))?;
            label(canvas, &format!("{value:.0}{}", self.unit), (self.left - 10, height), 14, HPos::Right)?;
            value += self.step;
        }
        Ok(())
    }

    /// One cluster of bars per caption, one bar per platform.
    fn bars(
        &self,
        canvas: &Canvas<'_>,
        captions: &[&str],
        clusters: &[Vec<Option<Rate>>],
        colours: &[RGBColor],
    ) -> Painted {
        let cluster_width = (self.right - self.left) / captions.len() as i32;
        for (cluster, (caption, bars)) in captions.iter().zip(clusters).enumerate() {
            let start = self.left + cluster as i32 * cluster_width;
            let width = (cluster_width * 3 / 4 / bars.len().max(1) as i32).min(70);
            let mut left = start + (cluster_width - width * bars.len() as i32) / 2;
            for (bar, colour) in bars.iter().zip(colours.iter().cycle()) {
                let Some(Rate { share, standard_error }) = *bar else {
                    left += width;
                    continue;
                };
                let (middle, top) = (left + width / 2, self.height(share));
                canvas.draw(&Rectangle::new(
                    [(left + 3, top), (left + width - 3, self.bottom)],
                    colour.filled(),
                ))?;
                let error = standard_error.unwrap_or_default();
                let (low, high) = (self.height(share - error), self.height(share + error));
                if error > 0.0 {
                    canvas.draw(&PathElement::new([(middle, low), (middle, high)], INK.stroke_width(2)))?;
                    for end in [low, high] {
                        canvas.draw(&PathElement::new(
                            [(middle - 6, end), (middle + 6, end)],
                            INK.stroke_width(2),
                        ))?;
                    }
                }
                let value = if share > 0.0 { format!("{share:.0}{}", self.unit) } else { "0".to_owned() };
                label(canvas, &value, (middle, high.min(top) - 12), 14, HPos::Center)?;
                left += width;
            }
            label(canvas, caption, (start + cluster_width / 2, self.bottom + 20), 15, HPos::Center)?;
        }
        Ok(())
    }

    fn line(&self, canvas: &Canvas<'_>, value: f64, name: &str) -> Painted {
        let height = self.height(value);
        for dash in (self.left..self.right).step_by(12) {
            let end = (dash + 7).min(self.right);
            canvas.draw(&PathElement::new([(dash, height), (end, height)], INK.stroke_width(2)))?;
        }
        label(canvas, name, (self.left + 6, height - 12), 14, HPos::Left)
    }
}
