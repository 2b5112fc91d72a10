//! What a server counts of itself, in Prometheus' text.

/// A counter, over all its labels.
pub(crate) fn counter(text: &[u8], name: &str) -> f64 {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().filter_map(|line| line.strip_prefix(name));
    let values = lines
        .filter(|rest| rest.starts_with([' ', '{']))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_summed_over_its_labels() {
        let text = b"# TYPE a counter\na 3\na{x=\"1\"} 2\na_b 100\nb 7\n";
        assert!((counter(text, "a") - 5.0).abs() < f64::EPSILON);
    }
}
