//! The plot of disrupted connections against failed backends. Both axes are logarithmic; below a break is nothing at all.

use anyhow::Result;
use plotters::prelude::*;

use super::super::report::{ConnectionSeries, MODULO, Report};
use super::{BAND, BLUE, GRID, INK, LABEL, Mark, ORANGE, PURPLE, Place, SKY, VERMILION, draw, font, legend, title};
use crate::output::{counted, thousands};

/// The lowest decade is that of the least share, but this one at the highest, and [`DECADE_MIN`] at the lowest.
const DECADE_MAX: i32 = -1;
const DECADE_MIN: i32 = -6;

/// Draws the plot.
pub(in super::super) fn disruption(report: &Report) -> Result<String> {
    let series: Vec<Drawn> = report.connections.iter().map(|series| Drawn::new(series, report)).collect();
    let plane = Plane::of(&series);
    draw(|area| {
        let backends = counted(report.backends, "backend");
        title(area, &format!("Connections disrupted when some of {backends} fail"))?;
        for (index, series) in (0..).zip(&series) {
            let place = (30 + 290 * (index % 3), 63 + 30 * (index / 3));
            series.mark.draw(area, (place.0 + 10, place.1), series.colour)?;
            legend(area, place, &series.name)?;
        }
        let (left, right) = (0.85 * plane.failures_min(), 1.15 * plane.failures_max());
        let mut chart = ChartBuilder::on(area)
            .margin_top(120)
            .margin_right(24)
            .margin_bottom(14)
            .margin_left(14)
            .x_label_area_size(56)
            .y_label_area_size(88)
            .build_cartesian_2d(
                (left..right).log_scale().with_key_points(plane.failures.iter().copied().map(f64::from).collect()),
                (plane.bottom()..TOP).log_scale().with_key_points(plane.ticks()),
            )?;
        let band = Rectangle::new([(left, plane.bottom()), (right, plane.break_at())], BAND.filled());
        chart.draw_series([band])?;
        chart
            .configure_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(INK)
            .label_style(font(LABEL))
            .x_label_formatter(&|&failures| plane.label(failures))
            .y_label_formatter(&|&percent| if percent < plane.lowest { "0".to_owned() } else { percent_of(percent) })
            .x_desc("backends that have failed at once")
            .y_desc("disrupted, % of those whose backend is up")
            .draw()?;
        let mut row = 0;
        for series in &series {
            let place = |&(failures, percent): &(u16, f64)| {
                let percent = if percent > 0.0 { percent.max(plane.lowest) } else { plane.nothing(row) };
                chart.plotting_area().map_coordinate(&(f64::from(failures), percent))
            };
            let places: Vec<Place> = series.points.iter().map(place).collect();
            area.draw(&PathElement::new(places.clone(), series.colour.stroke_width(2)))?;
            for place in places {
                series.mark.draw(area, place, series.colour)?;
            }
            row += u32::from(series.is_ever_nothing());
        }
        Ok(())
    })
}

/// Top of the plot in per cent.
const TOP: f64 = 180.0;

/// The axes: failed backends, and per cent in whole decades above a band for those who are nothing at all.
struct Plane {
    failures: Vec<u16>,
    lowest: f64,
    /// Series with a row in the band.
    rows: u32,
}

impl Plane {
    fn of(series: &[Drawn]) -> Self {
        let shares = series.iter().flat_map(|series| &series.points).map(|&(_, percent)| percent);
        let failures = series.first().map(|series| series.points.iter().map(|&(failures, _)| failures).collect());
        Self {
            failures: failures.unwrap_or_default(),
            lowest: decade(shares.filter(|&percent| percent > 0.0).fold(TOP, f64::min)),
            rows: series.iter().map(|series| u32::from(series.is_ever_nothing())).sum::<u32>().max(1),
        }
    }

    fn failures_min(&self) -> f64 {
        f64::from(self.failures.first().copied().unwrap_or(1))
    }

    fn failures_max(&self) -> f64 {
        f64::from(self.failures.last().copied().unwrap_or(1))
    }

    /// A number of failures as a person writes it.
    fn label(&self, failures: f64) -> String {
        let shown = self.failures.iter().find(|&&shown| f64::from(shown) == failures);
        shown.map_or_else(String::new, |&shown| thousands(shown))
    }

    /// Where a row of the band is, counted from above.
    fn nothing(&self, row: u32) -> f64 {
        self.lowest * 10_f64.powf(-0.7 - 0.35 * f64::from(row))
    }

    fn bottom(&self) -> f64 {
        self.nothing(self.rows) * 10_f64.powf(0.05)
    }

    /// Where the band begins.
    fn break_at(&self) -> f64 {
        self.lowest * 10_f64.powf(-0.4)
    }

    /// The decades, and one in the middle of the band.
    fn ticks(&self) -> Vec<f64> {
        let middle = (self.nothing(0) * self.nothing(self.rows - 1)).sqrt();
        let decades =
            (DECADE_MIN..=2).map(|decade| 10_f64.powi(decade)).filter(|&percent| percent > 0.99 * self.lowest);
        std::iter::once(middle).chain(decades).collect()
    }
}

/// A series with its looks.
struct Drawn {
    name: String,
    colour: RGBColor,
    mark: Mark,
    /// Failed backends and disrupted connections in per cent.
    points: Vec<(u16, f64)>,
}

impl Drawn {
    fn new(series: &ConnectionSeries, report: &Report) -> Self {
        let is_largest = report.slots.last().map(|slots| slots.table_size) == series.table_size;
        let (colour, mark) = match (series.method, series.flow_table) {
            (MODULO, _) => (ORANGE, Mark::Triangle),
            (_, true) => (BLUE, Mark::Circle),
            ("ring", _) => (VERMILION, Mark::Diamond),
            _ if is_largest => (SKY, Mark::Square),
            _ => (PURPLE, Mark::Ring),
        };
        let name = match series.table_size {
            None => series.method.to_owned(),
            Some(size) => {
                let flow_table = match (series.flow_table, report.flows_untracked) {
                    (false, _) => "no flow table".to_owned(),
                    (true, 0) => "flow table".to_owned(),
                    (true, untracked) => {
                        format!("flow table ({} of {} find no room)", thousands(untracked), thousands(report.flows))
                    }
                };
                format!("{} {}, {flow_table}", series.method, thousands(size))
            }
        };
        // A logarithm has no place for no failure, and that disrupts nobody.
        let some = series.points.iter().filter(|point| point.failures > 0);
        let points = some.map(|point| (point.failures, 100.0 * point.share_disrupted)).collect();
        Self { name, colour, mark, points }
    }

    /// Whether it has a row in the band for nothing at all.
    fn is_ever_nothing(&self) -> bool {
        self.points.iter().any(|&(_, percent)| percent == 0.0)
    }
}

/// The power of ten at or below a number, within limits.
fn decade(percent: f64) -> f64 {
    let decades = (DECADE_MIN..=DECADE_MAX).rev().map(|decade| 10_f64.powi(decade));
    decades.into_iter().find(|&decade| decade <= 1.01 * percent).unwrap_or(10_f64.powi(DECADE_MIN))
}

/// A power of ten as a person writes it.
fn percent_of(percent: f64) -> String {
    if percent > 0.99 { format!("{percent:.0}") } else { format!("{percent:.6}").trim_end_matches('0').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_reach_down_to_the_least_share() {
        assert_eq!([100.0, 0.5, 0.1, 0.09, 0.0011, 1e-9].map(decade), [0.1, 0.1, 0.1, 0.01, 0.001, 1e-6]);
        assert_eq!([100.0, 10.0, 1.0, 0.1, 0.001].map(percent_of), ["100", "10", "1", "0.1", "0.001"]);
    }
}
