//! Figures by name and number of children, as a table or as JSON.

/// One table.
pub(crate) struct Figures {
    layer: &'static str,
    json: bool,
    rows: Vec<Row>,
}

struct Row {
    name: &'static str,
    unit: &'static str,
    values: Vec<(usize, f64)>,
}

impl Figures {
    pub(crate) const fn new(layer: &'static str, json: bool) -> Self {
        Self { layer, json, rows: Vec::new() }
    }

    /// Takes a figure of a run with this many children.
    pub(crate) fn add(
        &mut self,
        children: usize,
        name: &'static str,
        unit: &'static str,
        value: f64,
    ) {
        if self.json {
            let figure = serde_json::json!({
                "layer": self.layer, "children": children, "figure": name, "unit": unit, "value": value,
            });
            println!("{figure}");
        }
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.values.push((children, value)),
            None => self.rows.push(Row { name, unit, values: vec![(children, value)] }),
        }
    }

    /// Prints the table, with the ratio of the last to the first column.
    pub(crate) fn show(&self) {
        let Some(first) = self.rows.first().filter(|_| !self.json) else { return };
        let sizes: Vec<_> = first.values.iter().map(|(children, _)| *children).collect();
        print!("\n{:<38}", self.layer);
        for children in &sizes {
            print!("{children:>12}");
        }
        println!("{:>12}", "last/first");
        for row in &self.rows {
            print!("{:<38}", format!("{}, {}", row.name, row.unit));
            for (_, value) in &row.values {
                print!("{:>12}", round(*value));
            }
            match (row.values.first(), row.values.last()) {
                (Some((_, low)), Some((_, high))) if row.values.len() > 1 && *low > 0.0 => {
                    println!("{:>12.2}", high / low);
                }
                _ => println!(),
            }
        }
    }
}

fn round(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
