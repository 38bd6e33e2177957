//! The plots of a study, as SVG. They depend on the report alone.
//!
//! Colours are those of Okabe and Ito, "Color Universal Design", 2008, which people of any colour vision tell apart;
//! marks differ too, so that a plot can be read in grey.

mod balance;
mod disruption;

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub(super) use balance::balance;
pub(super) use disruption::disruption;

/// Width and height in pixels: about twice what a page of A4 shows.
const SIZE: (u32, u32) = (960, 560);

const FONT: &str = "Helvetica, Arial, sans-serif";
/// Heights of text. The library writes them divided by 1.24.
const TITLE: i32 = 24;
const LABEL: i32 = 20;

const INK: RGBColor = RGBColor(0x33, 0x33, 0x33);
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
const BAND: RGBColor = RGBColor(0xf4, 0xf4, 0xf4);
const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xb2);
const VERMILION: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
const GREEN: RGBColor = RGBColor(0x00, 0x9e, 0x73);
const ORANGE: RGBColor = RGBColor(0xe6, 0x9f, 0x00);
const SKY: RGBColor = RGBColor(0x56, 0xb4, 0xe9);
const PURPLE: RGBColor = RGBColor(0xcc, 0x79, 0xa7);

/// The drawing as a whole, or a part of it, in pixels.
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Where something is, in pixels of the drawing.
type Place = (i32, i32);

/// Draws an image.
fn draw(act: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut image = String::new();
    {
        let area = SVGBackend::with_string(&mut image, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        act(&area)?;
        area.present()?;
    }
    Ok(image)
}

fn font(size: i32) -> TextStyle<'static> {
    TextStyle::from((FONT, size).into_font()).color(&INK)
}

/// The title, on the left as all text above the plot.
fn title(area: &Area<'_>, text: &str) -> Result<()> {
    let style = TextStyle::from((FONT, TITLE, FontStyle::Bold).into_font()).color(&INK);
    area.draw(&Text::new(text.to_owned(), (30, 18), style))?;
    Ok(())
}

/// What a mark stands for.
fn legend(area: &Area<'_>, (x, y): Place, text: &str) -> Result<()> {
    let style = font(LABEL).pos(Pos::new(HPos::Left, VPos::Center));
    area.draw(&Text::new(text.to_owned(), (x + 30, y), style))?;
    Ok(())
}

/// How a point is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Circle,
    Square,
    Triangle,
    Diamond,
    Ring,
}

impl Mark {
    fn draw(self, area: &Area<'_>, (x, y): Place, colour: RGBColor) -> Result<()> {
        let polygon = |corners: &[Place]| {
            Polygon::new(corners.iter().map(|&(dx, dy)| (x + dx, y + dy)).collect::<Vec<_>>(), colour.filled())
        };
        match self {
            Self::Circle => area.draw(&Circle::new((x, y), 6, colour.filled()))?,
            Self::Square => area.draw(&polygon(&[(-5, -5), (5, -5), (5, 5), (-5, 5)]))?,
            Self::Triangle => area.draw(&polygon(&[(0, -7), (7, 6), (-7, 6)]))?,
            Self::Diamond => area.draw(&polygon(&[(0, -8), (8, 0), (0, 8), (-8, 0)]))?,
            Self::Ring => {
                area.draw(&Circle::new((x, y), 5, WHITE.filled()))?;
                area.draw(&Circle::new((x, y), 5, colour.stroke_width(3)))?;
            }
        }
        Ok(())
    }
}
