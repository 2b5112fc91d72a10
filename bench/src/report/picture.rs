//! The picture of the README: bars of medians with their least and most, drawn from the results as an SVG. It has no
//! background, and its colours do on a light page and on a dark one.

use std::collections::BTreeMap;

use super::Sample;
use super::table::number;
use crate::measure::Spread;

const WIDTH: f64 = 880.0;
const PANEL: f64 = 430.0;
const LABEL: f64 = 118.0;
const VALUE: f64 = 78.0;
const ROW: f64 = 22.0;
const BAR: f64 = 13.0;
const HEAD: f64 = 52.0;
const GAP: f64 = 20.0;
/// What is so many times the next is drawn broken off, so that the others can be told apart.
const OUTLIER: f64 = 4.0;

/// What one panel shows.
struct Panel {
    title: &'static str,
    unit: &'static str,
    scenario: &'static str,
    case: &'static str,
    figure: &'static str,
    /// The part of it that is delivering, where it is known.
    part: Option<&'static str>,
    scale: f64,
    more_is_better: bool,
}

const PANELS: [Panel; 4] = [
    Panel {
        title: "1,000 people in one room, 50 messages/s",
        unit: "µs of CPU for each delivery",
        scenario: "fan-out",
        case: "A",
        figure: "cpu_us",
        part: None,
        scale: 1.0,
        more_is_better: false,
    },
    Panel {
        title: "100 rooms of 10, 1,000 messages/s",
        unit: "µs of CPU for each delivery; pale: taking the message, and storing it",
        scenario: "fan-out",
        case: "B",
        figure: "cpu_us",
        part: Some("deliver_us"),
        scale: 1.0,
        more_is_better: false,
    },
    Panel {
        title: "1,000 people in one room, full rate",
        unit: "thousand deliveries each second; more is better",
        scenario: "fan-out",
        case: "A-max",
        figure: "deliveries_per_s",
        part: None,
        scale: 1e-3,
        more_is_better: true,
    },
    Panel {
        title: "Connections that do nothing",
        unit: "kB of memory for each",
        scenario: "idle",
        case: "",
        figure: "bytes_per_connection",
        part: None,
        scale: 1e-3,
        more_is_better: false,
    },
];

/// One bar.
struct Bar {
    peer: String,
    value: Spread,
    part: Option<f64>,
}

impl Panel {
    fn bars(&self, samples: &[Sample]) -> Vec<Bar> {
        let mut peers: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
        for sample in samples.iter().filter(|sample| sample.scenario == self.scenario) {
            if self.case.is_empty() || sample.case == self.case {
                peers.entry(&sample.peer).or_default().push(sample);
            }
        }
        let spread = |of: &[&Sample], figure: &str| {
            Spread::of(
                of.iter().filter_map(|sample| sample.figures.get(figure)).map(|value| value * self.scale).collect(),
            )
        };
        let bar = |(peer, of): (&str, Vec<&Sample>)| {
            let part = self.part.and_then(|part| spread(&of, part)).map(|spread| spread.median);
            Some(Bar { peer: peer.to_owned(), value: spread(&of, self.figure)?, part })
        };
        let mut bars: Vec<Bar> = peers.into_iter().filter_map(bar).collect();
        bars.sort_by(|a, b| a.value.median.total_cmp(&b.value.median));
        if self.more_is_better {
            bars.reverse();
        }
        bars
    }

    fn draw(&self, bars: &[Bar], (x, y): (f64, f64)) -> String {
        let mut text = format!(
            "<text class=\"title\" x=\"{x}\" y=\"{:.0}\">{}</text><text class=\"unit\" x=\"{x}\" y=\"{:.0}\">{}</text>\n",
            y + 16.0,
            self.title,
            y + 34.0,
            self.unit
        );
        let mut most: Vec<f64> = bars.iter().map(|bar| bar.value.most).collect();
        most.sort_by(f64::total_cmp);
        let end = match most[..] {
            [.., next, last] if last > OUTLIER * next => next * 1.2,
            [.., last] => last,
            [] => return text,
        };
        let unit = (PANEL - LABEL - VALUE) / end;
        for (row, bar) in bars.iter().enumerate() {
            text.push_str(&bar.draw((x, y + HEAD + ROW * row as f64), unit, end));
        }
        text
    }
}

impl Bar {
    fn draw(&self, (x, y): (f64, f64), unit: f64, end: f64) -> String {
        let class = match self.peer.as_str() {
            "floor" => "floor",
            "tidings" => "tidings",
            _ => "peer",
        };
        let (left, middle) = (x + LABEL, y + BAR / 2.0);
        let length = self.value.median.min(end) * unit;
        let mut text = format!(
            "<text class=\"name {class}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            left - 8.0,
            middle + 4.0,
            shown(&self.peer)
        );
        let (solid, pale) = match self.part {
            Some(part) => (part.clamp(0.0, self.value.median) * unit, length),
            None => (length, 0.0),
        };
        if pale > 0.0 {
            text.push_str(&rectangle(&format!("{class} pale"), left, y, pale));
        }
        text.push_str(&rectangle(class, left, y, solid));
        if self.value.median > end {
            let at = left + length - 14.0;
            text += &line("break", (at, y + BAR + 2.0), &format!("l6 {:.1}", -BAR - 4.0));
        } else if self.value.most > self.value.least {
            let (least, most) = (left + self.value.least * unit, left + self.value.most * unit);
            text += &line("range", (least, middle), &format!("H{most:.1}"));
        }
        let after = left + length.max(self.value.most.min(end) * unit) + 6.0;
        let value = number(self.value.median);
        text + &format!("<text class=\"value\" x=\"{after:.1}\" y=\"{:.1}\">{value}</text>\n", middle + 4.0)
    }
}

fn rectangle(class: &str, x: f64, y: f64, width: f64) -> String {
    format!("<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/>")
}

fn line(class: &str, (x, y): (f64, f64), to: &str) -> String {
    format!("<path class=\"{class}\" d=\"M{x:.1} {y:.1}{to}\"/>")
}

fn shown(peer: &str) -> &str {
    match peer {
        "floor" => "the floor",
        "tidings" => "Tidings",
        "tidings-postgres" => "on PostgreSQL",
        "bun" => "Bun",
        "nchan" => "Nchan",
        "node-ws" => "ws on Node",
        "socket-io" => "Socket.IO",
        "axum-broadcast" => "axum + tokio",
        other => other,
    }
}

const STYLE: &str = "text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:#59636e}\
.title{font-weight:600;font-size:14px;fill:#1f2328}.name{text-anchor:end}.name.tidings{font-weight:600;fill:#0969da}\
.value{fill:#1f2328;font-variant-numeric:tabular-nums}\
rect.tidings{fill:#0969da}rect.peer{fill:#8c959f}rect.floor{fill:#bf8700}rect.pale{opacity:.35}\
.range{stroke:#1f2328;stroke-width:1.5;opacity:.55}.break{stroke:#ffffff;stroke-width:4}\
@media(prefers-color-scheme:dark){text{fill:#9198a1}.title,.value{fill:#f0f6fc}.name.tidings{fill:#4493f8}\
rect.tidings{fill:#4493f8}rect.peer{fill:#6e7681}rect.floor{fill:#d29922}.range{stroke:#f0f6fc}.break{stroke:#0d1117}}";

/// The picture of these samples.
pub(crate) fn picture(samples: &[Sample]) -> String {
    let mut body = String::new();
    let mut top = 0.0;
    for pair in PANELS.chunks(2) {
        let bars: Vec<Vec<Bar>> = pair.iter().map(|panel| panel.bars(samples)).collect();
        for (column, (panel, bars)) in pair.iter().zip(&bars).enumerate() {
            body.push_str(&panel.draw(bars, ((PANEL + GAP) * column as f64, top)));
        }
        let rows = bars.iter().map(Vec::len).max().unwrap_or(0);
        top += HEAD + ROW * rows as f64 + GAP;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top}\" role=\"img\" \
         aria-label=\"What a delivery costs, how many there can be, and what a connection takes, for Tidings and others\">\n\
         <style>{STYLE}</style>\n{body}</svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figures;

    fn sample(peer: &str, cpu: f64) -> Sample {
        let mut figures = Figures::new();
        figures.set("cpu_us", cpu);
        Sample { scenario: "fan-out".into(), case: "A".into(), peer: peer.into(), round: 1, figures }
    }

    #[test]
    fn bars_stand_in_the_order_of_what_they_show() {
        let text = picture(&[sample("bun", 3.5), sample("tidings", 3.25), sample("floor", 3.0)]);
        let places = ["the floor", "Tidings<", "Bun"].map(|name| text.find(name).expect(name));
        assert!(places.is_sorted(), "{text}");
        assert!(text.contains(">3.25</text>"), "{text}");
    }

    #[test]
    fn what_is_far_off_does_not_make_the_others_small() {
        let text = picture(&[sample("bun", 2.0), sample("axum-broadcast", 140.0), sample("floor", 1.0)]);
        assert!(text.contains("class=\"break\"") && text.contains(">140</text>"), "{text}");
        let width = (PANEL - LABEL - VALUE) / 1.2;
        assert!(text.contains(&format!("width=\"{width:.1}\"")), "{text}");
    }
}
