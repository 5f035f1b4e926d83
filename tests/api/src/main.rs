//! Compares the public API of each crate with its committed listing; `.ci/public-api` runs this.
//!
//! Arguments: the folder with rustdoc's JSON, the folder with the JSON that has hidden items too, and `--write` to
//! replace the listings.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use anyhow::Context as _;
use public_api::Builder;

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = env::args().skip(1);
    let shown = arguments
        .next()
        .context("name the folder with rustdoc's JSON")?;
    let hidden = arguments
        .next()
        .context("name the folder with the JSON of hidden items")?;
    let writes = arguments
        .next()
        .is_some_and(|argument| argument == "--write");
    let listings = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = ExitCode::SUCCESS;
    for listing in fs::read_dir(listings)? {
        let listing = listing?.path();
        if listing.extension().is_none_or(|end| end != "txt") {
            continue;
        }
        let name = listing.file_stem().unwrap_or_default().to_string_lossy();
        let shown = items(Path::new(&shown), &name)?;
        let hidden: Vec<String> = items(Path::new(&hidden), &name)?
            .into_iter()
            .filter(|item| !shown.contains(item) && has_foreign_type(item))
            .collect();
        let of_hidden = listings.join("hidden").join(format!("{name}.txt"));
        for (file, found) in [(&listing, &shown), (&of_hidden, &hidden)] {
            let is_hidden = *file == of_hidden;
            let title = if is_hidden { " (hidden)" } else { "" };
            let found: String = found.iter().map(|item| format!("{item}\n")).collect();
            let committed = fs::read_to_string(file).unwrap_or_default();
            if found == committed {
                println!("{name}{title}: {} items", found.lines().count());
            } else if writes {
                fs::write(file, found)?;
                println!("{name}{title}: written");
            } else {
                print_difference(&committed, &found);
                println!(
                    "{name}{title}: the API changed. `.ci/public-api --write` replaces the listing."
                );
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// Returns the items of a crate, a line each.
fn items(json: &Path, name: &str) -> anyhow::Result<Vec<String>> {
    let json = json.join(format!("{}.json", name.replace('-', "_")));
    let api = Builder::from_rustdoc_json(&json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .build()
        .with_context(|| format!("cannot read {}", json.display()))?;
    Ok(api.items().map(|item| item.to_string()).collect())
}

/// Returns whether a line names a type of a crate that is neither the standard library nor ours.
fn has_foreign_type(line: &str) -> bool {
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    let mut starts = line.match_indices("::").filter_map(|(end, _)| {
        let start = line[..end]
            .rfind(|char| !is_word(char))
            .map_or(0, |at| at + 1);
        let is_first = !line[..start].ends_with("::");
        let word = &line[start..end];
        (is_first && word.starts_with(char::is_lowercase)).then_some(word)
    });
    starts
        .any(|word| !["alloc", "core", "std"].contains(&word) && !word.starts_with("forge_remote"))
}

fn print_difference(committed: &str, found: &str) {
    let committed: BTreeSet<&str> = committed.lines().collect();
    let found: BTreeSet<&str> = found.lines().collect();
    for line in committed.difference(&found) {
        println!("- {line}");
    }
    for line in found.difference(&committed) {
        println!("+ {line}");
    }
}
