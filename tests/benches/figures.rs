//! The figures of the README, as ratios of one run: each pair is measured side by side, in turns, so that a machine whose
//! speed drifts does not decide.
//!
//! ```sh
//! cargo build --release && cargo bench --workspace --bench figures
//! ```

#[path = "figures/calls.rs"]
mod calls;
#[path = "figures/evaluator.rs"]
mod evaluator;
#[path = "figures/extism.rs"]
mod extism;
#[path = "figures/import.rs"]
mod import;
#[path = "figures/ingest.rs"]
mod ingest;
#[path = "figures/neighbour.rs"]
mod neighbour;
#[path = "figures/packages.rs"]
mod packages;
#[path = "figures/process.rs"]
mod process;
#[path = "figures/swap.rs"]
mod swap;

/// Rounds of each pair; the median is quoted.
const ROUNDS: usize = 5;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|argument| argument == ingest::BARE) {
        return ingest::bare_server();
    }
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    println!("| what | median ratio | least to greatest | measured |");
    println!("| --- | --- | --- | --- |");
    if wanted("ingest") {
        ingest::measure()?;
    }
    if wanted("import") {
        import::measure()?;
    }
    if wanted("evaluator") {
        evaluator::measure()?;
    }
    if wanted("calls") {
        calls::measure()?;
    }
    if wanted("packages") {
        packages::measure()?;
    }
    if wanted("swap") {
        swap::measure()?;
    }
    if wanted("neighbour") {
        neighbour::measure()?;
    }
    if wanted("process") {
        process::measure()?;
    }
    Ok(())
}

/// Prints a row: the ratio of pairs measured in turns, and the medians behind it.
fn print_ratio(what: &str, pairs: &[(f64, f64)], unit: &str) {
    let mut ratios: Vec<f64> = pairs.iter().map(|(ours, bare)| ours / bare).collect();
    ratios.sort_by(f64::total_cmp);
    println!(
        "| {what} | {:.2} | {:.2} to {:.2} | {:.0} / {:.0} {unit} |",
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1],
        median(pairs.iter().map(|(ours, _)| *ours).collect()),
        median(pairs.iter().map(|(_, bare)| *bare).collect()),
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
