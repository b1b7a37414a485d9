//! The layers by themselves, each beside what bounds it: what the criterion benches have left.

use super::rounds::{Layer, Rounds};
use super::tables::{table, whole};

/// A table for each set of shapes that were measured at the same things.
///
/// # Errors
/// No bench has left its figures.
pub(super) fn tables(rounds: &Rounds) -> Result<String, String> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for layer in &rounds.layers {
        let (title, shape) = layer.group.rsplit_once('/').unwrap_or((&layer.group, ""));
        match blocks.last_mut().filter(|block| (block.title, block.shapes.last()) == (title, Some(&shape))) {
            Some(block) => block.layers.push(layer),
            None => blocks.push(Block { title, shapes: vec![shape], layers: vec![layer] }),
        }
    }
    if blocks.is_empty() {
        return Err("the layers were not measured".to_owned());
    }
    let mut joined: Vec<Block<'_>> = Vec::new();
    for block in blocks {
        let like = |other: &Block<'_>| other.title == block.title && other.names() == block.names();
        match joined.last_mut().filter(|other| like(other)) {
            Some(other) => {
                other.shapes.extend(block.shapes);
                other.layers.extend(block.layers);
            }
            None => joined.push(block),
        }
    }
    let tables: Vec<String> = joined.iter().map(Block::table).collect();
    Ok(tables.join("\n"))
}

/// What was measured at each of several shapes.
struct Block<'a> {
    title: &'a str,
    shapes: Vec<&'a str>,
    layers: Vec<&'a Layer>,
}

impl Block<'_> {
    /// Those of one shape; the others have the same.
    fn names(&self) -> Vec<&str> {
        let each = self.layers.len() / self.shapes.len();
        self.layers.iter().take(each).map(|layer| layer.name.as_str()).collect()
    }

    fn table(&self) -> String {
        let unit = match self.layers.first().map(|layer| layer.unit.as_str()) {
            Some("bytes") => "GB a second",
            _ => "ns between entries",
        };
        let row = |name: &str| {
            let of = self.layers.iter().filter(|layer| layer.name == name);
            let cells = of.map(|layer| match layer.unit.as_str() {
                "bytes" => format!("{:.2}", layer.count / layer.ns),
                _ => nanoseconds(layer.ns / layer.count),
            });
            std::iter::once(name.to_owned()).chain(cells).collect()
        };
        let columns: Vec<String> = self.shapes.iter().map(|&shape| shape.to_owned()).collect();
        let rows = self.names().into_iter().map(row).collect();
        table(&format!("`{}`, {unit}", self.title), &columns, rows)
    }
}

fn nanoseconds(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { whole(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_that_were_measured_at_the_same_things_share_a_table() {
        let line = |group: &str, name: &str, ns: f64, unit: &str| {
            format!(
                "{{\"kind\":\"layer\",\"group\":\"{group}\",\"name\":\"{name}\",\"ns\":{ns},\"unit\":\"{unit}\",\"count\":10}}"
            )
        };
        let mut lines = vec![
            line("frame/1x32", "memcpy", 5.0, "bytes"),
            line("frame/1x32", "encode", 10.0, "bytes"),
            line("frame/64x32", "memcpy", 2.0, "bytes"),
            line("frame/64x32", "encode", 4.0, "bytes"),
            line("append/batch", "8x32", 1234.0, "entries"),
        ];
        let one = r#"{"kind":"none","round":1,"threads":1,"entry_bytes":32,"batch":1,"engine":"wal","per_second":1.0}"#;
        lines.push(one.to_owned());
        let rounds = Rounds::parse(&lines.join("\n")).expect("the lines are whole");
        let told = tables(&rounds).expect("layers were measured");
        assert!(told.starts_with("| `frame`, GB a second | 1x32 | 64x32 |\n"), "{told}");
        assert!(told.contains("| memcpy | 2.00 | 5.00 |\n| encode | 1.00 | 2.50 |\n"), "{told}");
        assert!(
            told.ends_with("| `append`, ns between entries | batch |\n|---|---|\n| 8x32 | 123 |\n"),
            "{told}"
        );
        assert!(tables(&Rounds::parse(one).expect("it is whole")).is_err());
    }
}
