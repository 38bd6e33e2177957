//! The plot of balance against table size: a bar from the fewest to the most slots of a backend.

use std::ops::Range;

use anyhow::Result;
use maglane_table::study::Method;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::super::report::{Balance, Report};
use super::{BLUE, FONT, GREEN, GRID, INK, LABEL, VERMILION, draw, font, legend, title};
use crate::output::{counted, thousands};

/// Where the bars of a table size stand, and how wide they are, in widths of a table size.
const BAR_STEP: f64 = 0.3;
const BAR_WIDTH: f64 = 0.15;

/// Draws the plot.
pub(in super::super) fn balance(report: &Report) -> Result<String> {
    let of_sizes: Vec<&[Balance]> = report.balance.chunks(Method::ALL.len()).collect();
    let most = report.balance.iter().map(|one| one.max_ratio).fold(1.0, f64::max);
    draw(|area| {
        title(area, &format!("Balance of {} of equal weight", counted(report.backends, "backend")))?;
        for (x, method) in [30, 130, 210].into_iter().zip(Method::ALL) {
            area.draw(&Rectangle::new([(x, 56), (x + 22, 70)], colour(method).filled()))?;
            legend(area, (x, 63), method.name())?;
        }
        let style = font(LABEL).pos(Pos::new(HPos::Right, VPos::Center));
        area.draw(&Text::new("bars: fewest to most slots; +n%: the most, over the mean", (936, 63), style))?;
        let mut chart = ChartBuilder::on(area)
            .margin_top(90)
            .margin_right(24)
            .margin_bottom(14)
            .margin_left(14)
            .x_label_area_size(56)
            .y_label_area_size(72)
            .build_cartesian_2d(Categories::new(of_sizes.len()), 0.0..(1.12 * most))?;
        let size_of = |x: &f64| {
            let of_size = of_sizes.iter().zip(Categories::middles()).find(|(_, middle)| middle == x);
            of_size.and_then(|(of_size, _)| of_size.first()).map_or_else(String::new, |one| thousands(one.table_size))
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID)
            .light_line_style(WHITE)
            .y_max_light_lines(1)
            .axis_style(INK)
            .label_style(font(LABEL))
            .x_label_formatter(&size_of)
            .y_label_formatter(&|y| format!("{y:.1}"))
            .x_desc("table size M (slots)")
            .y_desc("slots of a backend / mean")
            .draw()?;
        let [left, right] = [0, of_sizes.len()].map(Categories::edge);
        chart.draw_series([PathElement::new(vec![(left, 1.0), (right, 1.0)], INK.stroke_width(1))])?;
        for (middle, of_size) in Categories::middles().zip(&of_sizes) {
            for (step, one) in [-BAR_STEP, 0.0, BAR_STEP].into_iter().zip(*of_size) {
                let x = middle + step;
                let (left, right) = (x - BAR_WIDTH / 2.0, x + BAR_WIDTH / 2.0);
                let colour = colour(one.method);
                let bar = Rectangle::new([(left, one.min_ratio), (right, one.max_ratio)], colour.filled());
                chart.draw_series([bar])?;
                // Where all have the same the bar has no height, but it has these.
                for end in [one.min_ratio, one.max_ratio] {
                    chart.draw_series([PathElement::new(vec![(left, end), (right, end)], colour.stroke_width(3))])?;
                }
                let style = TextStyle::from((FONT, LABEL - 3).into_font()).color(&INK);
                let style = style.pos(Pos::new(HPos::Center, VPos::Bottom));
                chart.draw_series([
                    EmptyElement::at((x, one.max_ratio)) + Text::new(over(one.max_ratio), (0, -3), style)
                ])?;
            }
        }
        Ok(())
    })
}

/// An axis of table sizes: they have the same room each, and a label in the middle of it.
struct Categories {
    scale: RangedCoordf64,
    count: usize,
}

impl Categories {
    fn new(count: usize) -> Self {
        Self { scale: (0.0..Self::edge(count)).into(), count }
    }

    /// Where the room of a category begins.
    fn edge(index: usize) -> f64 {
        f64::from(u16::try_from(index).unwrap_or(u16::MAX))
    }

    fn middles() -> impl Iterator<Item = f64> {
        (0..).map(|index| Self::edge(index) + 0.5)
    }
}

impl Ranged for Categories {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.scale.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        Self::middles().take(self.count).collect()
    }

    fn range(&self) -> Range<f64> {
        self.scale.range()
    }
}

const fn colour(method: Method) -> RGBColor {
    match method {
        Method::Maglev => BLUE,
        Method::Ring => VERMILION,
        Method::Rendezvous => GREEN,
    }
}

/// By how much backends have to be larger than the mean share would need.
fn over(ratio: f64) -> String {
    let percent = 100.0 * (ratio - 1.0);
    if percent == 0.0 || percent >= 9.95 { format!("+{percent:.0}%") } else { format!("+{percent:.1}%") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surplus_is_told_in_per_cent() {
        assert_eq!([1.0, 1.0073, 1.0994, 1.0996, 3.9].map(over), ["+0%", "+0.7%", "+9.9%", "+10%", "+290%"]);
    }
}
