//! The settings in a picture, once on light and once on dark paper: what each hides, loses and delays, by size of shop.

use std::{fs, io, path::Path};

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::{
    Row,
    measures::{Measures, Size},
};

const WIDTH: i32 = 1_180;
const TOP: i32 = 150;
const LINE: i32 = 30;
const BOTTOM: i32 = 60;

struct Paper {
    file: &'static str,
    ground: RGBColor,
    ink: RGBColor,
    faint: RGBColor,
    band: RGBColor,
    /// Small, middling and large shops.
    dots: [RGBColor; 3],
}

const LIGHT: Paper = Paper {
    file: "planner-light.svg",
    ground: RGBColor(255, 255, 255),
    ink: RGBColor(38, 43, 51),
    faint: RGBColor(222, 226, 231),
    band: RGBColor(238, 244, 232),
    dots: [RGBColor(197, 72, 66), RGBColor(214, 140, 52), RGBColor(42, 122, 155)],
};

const DARK: Paper = Paper {
    file: "planner-dark.svg",
    ground: RGBColor(22, 26, 31),
    ink: RGBColor(222, 226, 231),
    faint: RGBColor(58, 64, 73),
    band: RGBColor(35, 50, 40),
    dots: [RGBColor(236, 122, 114), RGBColor(238, 178, 98), RGBColor(98, 182, 216)],
};

/// A column of the picture: one figure of every row.
struct Panel {
    title: &'static str,
    left: i32,
    right: i32,
    highest: f64,
    unit: &'static str,
    /// From a shop's all and bad reviews, the value and, where there is one, the end of a line from it.
    value: fn(&[Measures; 3]) -> (f64, Option<f64>),
    has_floor: bool,
}

type Canvas<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Painted = Result<(), DrawingAreaErrorKind<io::Error>>;

/// Draws both pictures, each complete under a temporary name before it gets its own.
pub(crate) fn draw(dir: &Path, rows: &[Row], recommended: Option<usize>) -> Result<(), String> {
    for paper in [LIGHT, DARK] {
        let path = dir.join(paper.file);
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let mut picture = String::new();
        paint(&mut picture, &paper, rows, recommended).map_err(|error| failed(&error))?;
        let temporary = path.with_extension("svg.unfinished");
        fs::write(&temporary, picture).and_then(|()| fs::rename(&temporary, &path)).map_err(|error| {
            let _ = fs::remove_file(&temporary);
            failed(&error)
        })?;
    }
    Ok(())
}

fn panels(rows: &[Row]) -> [Panel; 3] {
    let mut panels = [
        Panel {
            title: "author of a bad review named first (mark: 1/k)",
            left: 330,
            right: 590,
            highest: 0.0,
            unit: " %",
            value: |[_, bad, _]| (bad.linked.share * 100.0, None),
            has_floor: true,
        },
        Panel {
            title: "bad reviews never shown",
            left: 620,
            right: 880,
            highest: 0.0,
            unit: " %",
            value: |[_, bad, _]| (bad.unpublished() * 100.0, None),
            has_floor: false,
        },
        Panel {
            title: "days until a review appears, median to p90",
            left: 910,
            right: WIDTH - 30,
            highest: 0.0,
            unit: "",
            value: |[all, ..]| (all.delay[0], Some(all.delay[1])),
            has_floor: false,
        },
    ];
    for panel in &mut panels {
        let each = rows.iter().flat_map(|row| row.outcome.by_size.iter().map(panel.value));
        panel.highest = each.map(|(value, end)| end.unwrap_or(value)).fold(1.0, f64::max) * 1.05;
    }
    panels
}

fn paint(picture: &mut String, paper: &Paper, rows: &[Row], recommended: Option<usize>) -> Painted {
    let height = TOP + LINE * rows.len() as i32 + BOTTOM;
    let canvas = SVGBackend::with_string(picture, (WIDTH as u32, height as u32)).into_drawing_area();
    canvas.fill(&paper.ground)?;
    label(&canvas, paper, "What each setting hides, loses and delays", (30, 30), 24, HPos::Left)?;
    let mut left = 30;
    for (size, colour) in Size::EACH.iter().zip(paper.dots) {
        canvas.draw(&Circle::new((left + 6, 64), 6, colour.filled()))?;
        label(&canvas, paper, &format!("shops of {}", size.name()), (left + 18, 64), 15, HPos::Left)?;
        left += 210;
    }
    let bottom = TOP + LINE * rows.len() as i32;
    if let Some(row) = recommended {
        let top = TOP + LINE * row as i32;
        canvas.draw(&Rectangle::new([(20, top), (WIDTH - 20, top + LINE)], paper.band.filled()))?;
    }
    let panels = panels(rows);
    for panel in &panels {
        panel.axis(&canvas, paper, bottom)?;
    }
    for (number, row) in rows.iter().enumerate() {
        let middle = TOP + LINE * number as i32 + LINE / 2;
        let mark = if recommended == Some(number) { " (recommended)" } else { "" };
        label(&canvas, paper, &format!("{}{mark}", row.name), (30, middle), 13, HPos::Left)?;
        for panel in &panels {
            panel.row(&canvas, paper, row, middle)?;
        }
    }
    canvas.present()
}

impl Panel {
    fn at(&self, value: f64) -> i32 {
        self.left + (f64::from(self.right - self.left) * value / self.highest) as i32
    }

    fn axis(&self, canvas: &Canvas<'_>, paper: &Paper, bottom: i32) -> Painted {
        label(canvas, paper, self.title, (self.left, TOP - 44), 13, HPos::Left)?;
        let step = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0]
            .into_iter()
            .find(|step| self.highest / step <= 5.0)
            .unwrap_or(500.0);
        let mut tick = 0.0;
        while tick <= self.highest {
            let x = self.at(tick);
            canvas.draw(&PathElement::new([(x, TOP), (x, bottom)], paper.faint))?;
            label(canvas, paper, &format!("{tick}{}", self.unit), (x, TOP - 16), 12, HPos::Center)?;
            tick += step;
        }
        Ok(())
    }

    fn row(&self, canvas: &Canvas<'_>, paper: &Paper, row: &Row, middle: i32) -> Painted {
        if self.has_floor {
            let x = self.at(100.0 / row.policy.k as f64);
            canvas
                .draw(&PathElement::new([(x, middle - 10), (x, middle + 10)], paper.ink.stroke_width(2)))?;
        }
        for (number, (measures, colour)) in row.outcome.by_size.iter().zip(paper.dots).enumerate() {
            if measures[0].published == 0 {
                continue;
            }
            let (value, end) = (self.value)(measures);
            let y = middle + 7 * (number as i32 - 1);
            if let Some(end) = end {
                let line = [(self.at(value), y), (self.at(end), y)];
                canvas.draw(&PathElement::new(line, colour.stroke_width(2)))?;
            }
            canvas.draw(&Circle::new((self.at(value), y), 4, colour.filled()))?;
        }
        Ok(())
    }
}

fn label(
    canvas: &Canvas<'_>,
    paper: &Paper,
    text: &str,
    place: (i32, i32),
    size: i32,
    horizontal: HPos,
) -> Painted {
    let style = ("sans-serif", size).into_text_style(canvas).color(&paper.ink);
    canvas.draw(&Text::new(text.to_owned(), place, style.pos(Pos::new(horizontal, VPos::Center))))
}
