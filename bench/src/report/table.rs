//! Tables of medians, with the least and most where that says something, and the ratio to the floor of the same round.

use std::collections::BTreeMap;

use super::Sample;
use crate::measure::Spread;

/// One column of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) figure: &'static str,
    pub(crate) shown: Shown,
}

/// How a figure is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The median.
    Median,
    /// The median with the least and the most.
    Spread,
    /// As a multiple of what this peer had in the same round: the median of the ratios.
    Times(&'static str),
    /// The most of all rounds: for what should not happen.
    Most,
}

impl Column {
    pub(crate) const fn median(title: &'static str, figure: &'static str) -> Self {
        Self { title, figure, shown: Shown::Median }
    }

    pub(crate) const fn spread(title: &'static str, figure: &'static str) -> Self {
        Self { title, figure, shown: Shown::Spread }
    }

    pub(crate) const fn times(title: &'static str, figure: &'static str, of: &'static str) -> Self {
        Self { title, figure, shown: Shown::Times(of) }
    }

    pub(crate) const fn most(title: &'static str, figure: &'static str) -> Self {
        Self { title, figure, shown: Shown::Most }
    }

    /// What the rounds of one peer came to.
    pub(crate) fn spread_of(&self, samples: &[&Sample], all: &[&Sample]) -> Option<Spread> {
        let value = |sample: &&Sample| {
            let own = sample.figures.get(self.figure)?;
            let Shown::Times(of) = self.shown else { return Some(own) };
            let other = all.iter().find(|other| other.peer == of && other.round == sample.round)?;
            other.figures.get(self.figure).map(|other| own / other)
        };
        Spread::of(samples.iter().filter_map(value).collect())
    }

    fn cell(&self, samples: &[&Sample], all: &[&Sample]) -> String {
        let Some(Spread { median, least, most }) = self.spread_of(samples, all) else { return String::new() };
        match self.shown {
            Shown::Median => number(median),
            Shown::Spread if samples.len() == 1 => number(median),
            Shown::Spread => format!("{} ({}–{})", number(median), number(least), number(most)),
            Shown::Times(_) => format!("{median:.2}"),
            Shown::Most => number(most),
        }
    }
}

/// A number as people read it: three digits that count.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        v if v < 9.995 => format!("{value:.2}"),
        v if v < 99.95 => format!("{value:.1}"),
        _ => grouped(value.round()),
    }
}

fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = if value < 0.0 { "-".to_owned() } else { String::new() };
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// All samples of one case, by peer.
struct Case<'a> {
    name: &'a str,
    all: Vec<&'a Sample>,
    peers: BTreeMap<&'a str, Vec<&'a Sample>>,
}

impl<'a> Case<'a> {
    /// In the order in which they were measured.
    fn all(samples: &'a [Sample]) -> Vec<Self> {
        let mut names: Vec<&str> = samples.iter().map(|sample| sample.case.as_str()).collect();
        names.dedup();
        let case = |name| {
            let all: Vec<&Sample> = samples.iter().filter(|sample| sample.case == name).collect();
            let mut peers: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
            for sample in &all {
                peers.entry(&sample.peer).or_default().push(sample);
            }
            Self { name, all, peers }
        };
        names.into_iter().map(case).collect()
    }

    fn has(&self, column: Column) -> bool {
        self.peers.values().any(|of| column.spread_of(of, &self.all).is_some())
    }

    fn cells(&self, peer: &str, columns: &[Column]) -> Vec<String> {
        let of = self.peers.get(peer).map(Vec::as_slice).unwrap_or_default();
        columns.iter().map(|column| column.cell(of, &self.all)).collect()
    }

    /// From the least of this column to the most.
    fn ordered(&self, by: Column) -> Vec<&'a str> {
        let value = |of: &[&Sample]| by.spread_of(of, &self.all).map_or(f64::INFINITY, |spread| spread.median);
        let mut peers: Vec<(&str, f64)> = self.peers.iter().map(|(peer, of)| (*peer, value(of))).collect();
        peers.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        peers.into_iter().map(|(peer, _)| peer).collect()
    }
}

/// A table of Markdown for each case, peers in the order of the first column.
pub(crate) fn table(samples: &[Sample], columns: &[Column]) -> String {
    let mut text = String::new();
    for case in Case::all(samples) {
        let columns: Vec<Column> = columns.iter().copied().filter(|column| case.has(*column)).collect();
        let Some(first) = columns.first() else { continue };
        let head = std::iter::once(case.name).chain(columns.iter().map(|column| column.title)).map(str::to_owned);
        let row = |peer: &str| [vec![peer.to_owned()], case.cells(peer, &columns)].concat();
        text += &markdown(head.collect(), case.ordered(*first).into_iter().map(row).collect());
    }
    text
}

/// One table of all cases, for what is compared with itself.
pub(crate) fn growth(samples: &[Sample], columns: &[Column]) -> String {
    let cases = Case::all(samples);
    let columns: Vec<Column> =
        columns.iter().copied().filter(|column| cases.iter().any(|case| case.has(*column))).collect();
    let mut peers: Vec<&str> = cases.iter().flat_map(|case| case.peers.keys().copied()).collect();
    peers.sort_unstable();
    peers.dedup();
    let mut rows = Vec::new();
    for peer in peers {
        for case in cases.iter().filter(|case| case.peers.contains_key(peer)) {
            rows.push([vec![peer.to_owned(), case.name.to_owned()], case.cells(peer, &columns)].concat());
        }
    }
    markdown(
        ["peer", "with"].into_iter().chain(columns.iter().map(|column| column.title)).map(str::to_owned).collect(),
        rows,
    )
}

fn markdown(head: Vec<String>, rows: Vec<Vec<String>>) -> String {
    let rule = vec!["---".to_owned(); head.len()];
    let lines = [head, rule].into_iter().chain(rows).map(|line| format!("| {} |\n", line.join(" | ")));
    lines.collect::<String>() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figures;

    fn sample(peer: &str, round: u32, cpu: f64) -> Sample {
        let mut figures = Figures::new();
        figures.set("cpu", cpu);
        Sample { scenario: "s".into(), case: "A".into(), peer: peer.into(), round, figures }
    }

    #[test]
    fn a_ratio_is_to_the_same_round() {
        let samples = [sample("floor", 1, 2.0), sample("x", 1, 3.0), sample("floor", 2, 4.0), sample("x", 2, 4.0)];
        let columns =
            [Column::spread("cpu", "cpu"), Column::times("x floor", "cpu", "floor"), Column::median("no", "no")];
        let text = table(&samples, &columns);
        assert_eq!(
            text,
            "| A | cpu | x floor |\n| --- | --- | --- |\n| floor | 3.00 (2.00–4.00) | 1.00 |\n| x | 3.50 (3.00–4.00) | 1.25 |\n\n"
        );
    }

    #[test]
    fn growth_is_one_table_by_peer() {
        let mut more = sample("x", 1, 5.0);
        more.case = "B".into();
        let text = growth(&[sample("floor", 1, 2.0), sample("x", 1, 3.0), more], &[Column::median("cpu", "cpu")]);
        assert_eq!(
            text,
            "| peer | with | cpu |\n| --- | --- | --- |\n| floor | A | 2.00 |\n| x | A | 3.00 |\n| x | B | 5.00 |\n\n"
        );
    }

    #[test]
    fn numbers_have_three_digits_or_thousands() {
        let shown = [0.0, 0.123, 9.99, 45.67, 123.4, 1_234_567.0, -1_234.0].map(number);
        assert_eq!(shown, ["0", "0.12", "9.99", "45.7", "123", "1,234,567", "-1,234"]);
    }
}
