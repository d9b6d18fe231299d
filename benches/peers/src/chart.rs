//! The picture: what each step costs in each scheme, on one logarithmic scale.

use crate::measure::Figure;
use crate::report::{COMMON, SCHEMES, find};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::io;

const WIDTH: i32 = 1000;
const LEFT: i32 = 210;
const RIGHT: i32 = WIDTH - 90;
const TOP: i32 = 130;
const BAR: i32 = 17;
const GAP: i32 = 16;

const INK: RGBColor = RGBColor(40, 40, 48);
const FAINT: RGBColor = RGBColor(225, 225, 230);
/// unjoin stands out; the peers stay apart for eyes that tell no red from green.
const COLOURS: [RGBColor; 5] = [
    RGBColor(0, 90, 181),
    RGBColor(153, 199, 235),
    RGBColor(120, 120, 130),
    RGBColor(238, 175, 70),
    RGBColor(200, 90, 50),
];
const CAPTIONS: [[&str; 2]; COMMON.len()] = [
    ["device asks", "for a token"],
    ["server issues", "and proves it"],
    ["device checks", "what it got"],
    ["device presents", "it with a review"],
    ["server checks", "one"],
    ["server checks", "one of 256 in a batch"],
];

/// The scale in microseconds.
const LEAST: f64 = 10.0;
const MOST: f64 = 10_000.0;

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Painted = Result<(), DrawingAreaErrorKind<io::Error>>;

/// The picture as SVG.
///
/// # Errors
/// When the backend fails.
pub fn svg(figures: &[Figure], reference_micros: f64) -> Result<String, DrawingAreaErrorKind<io::Error>> {
    let mut picture = String::new();
    paint(&mut picture, figures, reference_micros)?;
    Ok(picture)
}

fn paint(picture: &mut String, figures: &[Figure], reference_micros: f64) -> Painted {
    let groups: Vec<(usize, Vec<(usize, &Figure)>)> = COMMON
        .iter()
        .enumerate()
        .map(|(group, name)| {
            let bars = SCHEMES.iter().enumerate();
            (group, bars.filter_map(|(at, scheme)| Some((at, find(figures, scheme, name)?))).collect())
        })
        .collect();
    let bars: i32 = groups.iter().map(|(_, bars)| (bars.len() as i32).max(2) * BAR + GAP).sum();
    let bottom = TOP + bars;
    let canvas = SVGBackend::with_string(picture, (WIDTH as u32, (bottom + 84) as u32)).into_drawing_area();
    canvas.fill(&WHITE)?;
    label(&canvas, "What a token costs, step by step", (LEFT, 28), 25, HPos::Left)?;
    let subtitle = "Microseconds of one processor, medians of one run; the scale is logarithmic";
    label(&canvas, subtitle, (LEFT, 60), 16, HPos::Left)?;
    legend(&canvas)?;
    axis(&canvas, bottom)?;
    let mut top = TOP + GAP / 2;
    for (group, bars) in groups {
        let height = (bars.len() as i32).max(2) * BAR;
        let middle = top + height / 2;
        for (line, caption) in CAPTIONS[group].iter().enumerate() {
            label(&canvas, caption, (LEFT - 14, middle - 9 + 18 * line as i32), 15, HPos::Right)?;
        }
        let mut at = top + (height - bars.len() as i32 * BAR) / 2;
        for (scheme, figure) in bars {
            let end = across(figure.micros);
            canvas.draw(&Rectangle::new([(LEFT, at + 2), (end, at + BAR - 2)], COLOURS[scheme].filled()))?;
            label(&canvas, &format!("{:.0}", figure.micros), (end + 6, at + BAR / 2), 13, HPos::Left)?;
            at += BAR;
        }
        top += height + GAP;
    }
    let unit = format!(
        "R, one constant-time multiplication on ristretto255, took {reference_micros:.0} µs. VOPRF and blind RSA \
         show the bare token:"
    );
    label(&canvas, &unit, (LEFT, bottom + 44), 13, HPos::Left)?;
    let caveat = "no escrow, no scope, no author actions. cmz is set up to say the same as unjoin's token.";
    label(&canvas, caveat, (LEFT, bottom + 64), 13, HPos::Left)?;
    canvas.present()
}

fn legend(canvas: &Canvas<'_>) -> Painted {
    let mut left = LEFT;
    for (scheme, colour) in SCHEMES.iter().zip(COLOURS) {
        canvas.draw(&Rectangle::new([(left, 88), (left + 16, 104)], colour.filled()))?;
        label(canvas, scheme, (left + 22, 96), 15, HPos::Left)?;
        left += 50 + 8 * scheme.chars().count() as i32;
    }
    Ok(())
}

fn axis(canvas: &Canvas<'_>, bottom: i32) -> Painted {
    let mut value = LEAST;
    while value <= MOST {
        let x = across(value);
        let colour = if value == LEAST { INK } else { FAINT };
        canvas.draw(&PathElement::new([(x, TOP), (x, bottom)], colour))?;
        let text = if value < 1_000.0 { format!("{value:.0} µs") } else { format!("{:.0} ms", value / 1e3) };
        label(canvas, &text, (x, bottom + 16), 13, HPos::Center)?;
        value *= 10.0;
    }
    Ok(())
}

fn across(micros: f64) -> i32 {
    let part = ((micros / LEAST).log10() / (MOST / LEAST).log10()).clamp(0.0, 1.0);
    LEFT + (part * f64::from(RIGHT - LEFT)).round() as i32
}

fn label(canvas: &Canvas<'_>, text: &str, at: (i32, i32), size: i32, side: HPos) -> Painted {
    let style = ("sans-serif", size).into_font().color(&INK).pos(Pos::new(side, VPos::Center));
    canvas.draw(&Text::new(text.to_owned(), at, style))
}
