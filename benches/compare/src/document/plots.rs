//! The plots, as SVG.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::rounds::{Case, Rounds};
use super::tables::{self, buffered, count, durable, none, replay};
use crate::statistics::Spread;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const WIDTH: u32 = 760;
const OURS: RGBColor = RGBColor(0xd6, 0x4a, 0x1f);
const OTHERS: RGBColor = RGBColor(0x6b, 0x7a, 0x8f);
const THROW_AWAY: RGBColor = RGBColor(0xb8, 0xc0, 0xcc);
const LINES: [RGBColor; 7] = [
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0x94, 0x67, 0xbd),
    RGBColor(0x8c, 0x56, 0x4b),
    RGBColor(0x17, 0xbe, 0xcf),
    RGBColor(0x7f, 0x7f, 0x7f),
    RGBColor(0xbc, 0xbd, 0x22),
];

/// Each plot with the name of its file.
pub(super) fn all(rounds: &Rounds) -> Result<Vec<(&'static str, String)>, String> {
    let rate = |case, engine: &str| rounds.rate(case, engine);
    let p99 = |case, engine: &str| rounds.p99(case, engine);
    Ok(vec![
        ("durable", lines(rounds, "Durable appends of 256 bytes, a second", rate)?),
        ("p99", lines(rounds, "Durable appends: 99 of 100 take at most, microseconds", p99)?),
        (
            "none",
            bars(rounds, "Appends of 32 bytes that wait for no sync, a second", &[none(1, 1), none(1, 4)])?,
        ),
        (
            "batches",
            bars(rounds, "The same in batches of 64, entries a second", &[none(64, 1), none(64, 4)])?,
        ),
        (
            "buffered",
            bars(rounds, "Appends of 32 bytes to a buffer of 64 KiB, a second", &[buffered(1), buffered(4)])?,
        ),
        (
            "replay-32",
            bars(rounds, "Replay of 32 bytes, entries a second", &[replay(32, 64), replay(32, 1)])?,
        ),
        (
            "replay-4096",
            bars(rounds, "Replay of 4 KiB, entries a second", &[replay(4096, 64), replay(4096, 1)])?,
        ),
    ])
}

/// A figure of each engine by the number of threads.
fn lines(rounds: &Rounds, title: &str, of: impl Fn(Case, &str) -> Option<Spread>) -> Result<String, String> {
    // Each number of threads is one step to the right of the one before.
    let steps = || (0_u8..).map(f64::from).zip(rounds.threads("threads"));
    let series: Vec<(&str, Vec<(f64, f64)>)> = (rounds.engines("threads").into_iter())
        .map(|engine| {
            let points =
                steps().filter_map(|(step, threads)| Some((step, of(durable(threads), engine)?.median)));
            (engine, points.collect())
        })
        .collect();
    let values = || series.iter().flat_map(|(_, points)| points.iter().map(|&(_, value)| value));
    let least = values().min_by(f64::total_cmp).ok_or("there is nothing to draw")?;
    let most = values().max_by(f64::total_cmp).ok_or("there is nothing to draw")?;
    let last = steps().map(|(step, _)| step).fold(0.0, f64::max);
    let at_step =
        |at: f64| steps().find(|(step, _)| (step - at).abs() < 0.01).map(|(_, threads)| threads.to_string());
    draw(420, |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 18))
            .margin(14)
            .x_label_area_size(38)
            .y_label_area_size(70)
            .build_cartesian_2d(0.0..last, (least * 0.8..most * 1.25).log_scale())?;
        chart
            .configure_mesh()
            .x_desc("threads")
            .x_labels(steps().count())
            .x_label_formatter(&|step| at_step(*step).unwrap_or_default())
            .y_labels(6)
            .y_label_formatter(&|value| tables::whole(*value))
            .light_line_style(TRANSPARENT)
            .draw()?;
        let ours = rounds.with_role("threads", "ours");
        let mut others = LINES.iter().cycle();
        for (engine, points) in &series {
            let (color, width) = match ours.iter().position(|one| one == engine) {
                Some(index) => (OURS, if index + 1 == ours.len() { 3 } else { 1 }),
                None => (*others.next().unwrap_or(&OTHERS), 1),
            };
            let style = color.stroke_width(width);
            chart
                .draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))?
                .label(*engine)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .draw()
    })
}

/// The rate of each engine as a bar, its spread as a line, for each case.
fn bars(rounds: &Rounds, title: &str, cases: &[Case]) -> Result<String, String> {
    const BAR: i32 = 17;
    const LEFT: i32 = 130;
    const TOP: i32 = 40;
    let section = cases.first().map_or("", |case| case.section);
    let groups: Vec<(String, Vec<(&str, Spread)>)> = (cases.iter())
        .map(|&case| {
            let rates = rounds
                .engines(section)
                .into_iter()
                .filter_map(|engine| Some((engine, rounds.rate(case, engine)?)));
            (label(case), rates.collect())
        })
        .collect();
    let rates = || groups.iter().flat_map(|(_, rates)| rates.iter().map(|(_, rate)| *rate));
    let most = rates().map(|rate| rate.max).max_by(f64::total_cmp).ok_or("there is nothing to draw")?;
    let rows: usize = groups.iter().map(|(_, rates)| rates.len() + 1).sum();
    let rows = i32::try_from(rows).map_err(|error| error.to_string())?;
    let height = u32::try_from(TOP + rows * (BAR + 5) + 10).map_err(|error| error.to_string())?;
    #[expect(clippy::cast_possible_truncation, reason = "a place on a picture")]
    let place = |value: f64| LEFT + (value / most * (f64::from(WIDTH) - f64::from(LEFT + 90))) as i32;
    draw(height, |area| {
        let text = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
        area.draw(&Text::new(title, (14, 12), text(18)))?;
        let (ours, peers) = (rounds.with_role(section, "ours"), rounds.with_role(section, "peer"));
        let mut y = TOP;
        for (label, rates) in &groups {
            area.draw(&Text::new(label.clone(), (14, y + 3), text(13)))?;
            y += BAR + 5;
            for (engine, rate) in rates {
                let color = match engine {
                    engine if ours.contains(engine) => OURS,
                    engine if peers.contains(engine) => OTHERS,
                    _ => THROW_AWAY,
                };
                let middle = y + BAR / 2;
                area.draw(&Text::new((*engine).to_owned(), (28, y + 3), text(12)))?;
                area.draw(&Rectangle::new([(LEFT, y), (place(rate.median), y + BAR)], color.filled()))?;
                area.draw(&PathElement::new([(place(rate.min), middle), (place(rate.max), middle)], BLACK))?;
                area.draw(&Text::new(count(rate.median), (place(rate.max) + 6, y + 3), text(12)))?;
                y += BAR + 5;
            }
        }
        Ok(())
    })
}

fn label(case: Case) -> String {
    let batch = if case.batch == 1 { "one by one".to_owned() } else { format!("batches of {}", case.batch) };
    match (case.section, case.threads) {
        ("replay", _) => batch,
        (_, 1) => "1 thread".to_owned(),
        (_, threads) => format!("{threads} threads"),
    }
}

fn draw(
    height: u32,
    draw: impl FnOnce(&Area<'_>) -> Result<(), DrawingAreaErrorKind<std::io::Error>>,
) -> Result<String, String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        let done = area.fill(&WHITE).and_then(|()| draw(&area)).and_then(|()| area.present());
        done.map_err(|error| error.to_string())?;
    }
    Ok(svg)
}
