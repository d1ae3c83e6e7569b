//! A curve as an SVG, both axes logarithmic.
//!
//! In: a section. Out: a file.

use std::path::Path;

use plotters::{
    chart::{ChartBuilder, SeriesLabelPosition},
    coord::combinators::{BindKeyPoints as _, IntoLogRange as _},
    prelude::{IntoDrawingArea as _, LineSeries, PathElement, SVGBackend},
    style::{BLACK, Color as _, RGBColor, WHITE},
};

use crate::{
    Error,
    section::{Section, time},
};

const SIZE: (u32, u32) = (800, 440);

/// The colours of our series, distinguishable with colour blindness, too.
const OURS: [RGBColor; 2] = [RGBColor(0, 114, 178), RGBColor(213, 94, 0)];

const BARE: RGBColor = RGBColor(110, 110, 110);

/// False if there is nothing to draw, as what varies is not a number.
pub(crate) fn draw(section: &Section, path: &Path) -> Result<bool, Error> {
    let ticks = &section.x.ticks;
    let (Some(numbers), names) = (ticks.numbers(), ticks.names()) else {
        return Ok(false);
    };
    let name = |x: &f64| {
        let found = numbers.iter().position(|number| *number as f64 == *x);
        found
            .and_then(|at| names.get(at))
            .cloned()
            .unwrap_or_default()
    };
    let xs: Vec<f64> = numbers.iter().map(|number| *number as f64).collect();
    let drawn: Vec<f64> = xs.iter().copied().filter(|x| *x > 0.0).collect();
    let times = || {
        section
            .series
            .iter()
            .flat_map(|series| &series.times)
            .copied()
    };
    let (Some(first), Some(last)) = (drawn.first(), drawn.last()) else {
        return Ok(false);
    };
    let across = *first..*last;
    // Whole decades, so that a flat curve looks flat.
    let least = times().fold(f64::INFINITY, f64::min).log10().floor();
    let most = times().fold(0.0, f64::max).log10().ceil();
    let up = 10_f64.powf(least)..10_f64.powf(most);

    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(20)
        .x_label_area_size(50)
        .y_label_area_size(75)
        .build_cartesian_2d(across.log_scale().with_key_points(drawn), up.log_scale())?;
    chart
        .configure_mesh()
        .x_desc(section.x.label)
        .y_desc(format!("time of one {}", section.per))
        .x_label_formatter(&name)
        .y_label_formatter(&|nanos: &f64| time(*nanos).replace(".0 ", " "))
        .light_line_style(WHITE)
        .draw()?;
    let mut ours = OURS.into_iter().cycle();
    for series in &section.series {
        let colour = if series.is_bare() { None } else { ours.next() };
        let style = colour.unwrap_or(BARE).stroke_width(2);
        let points = xs.iter().copied().zip(series.times.iter().copied());
        let line = LineSeries::new(points.filter(|(x, _)| *x > 0.0), style).point_size(3);
        chart
            .draw_series(line)?
            .label(series.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
    }
    if section.series.len() > 1 {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()?;
    }
    area.present()?;
    Ok(true)
}
