//! Compares the public API of each crate with its committed listing; `.ci/public-api` runs this.
//!
//! Arguments: the folder with rustdoc's JSON, and `--write` to replace the listings.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use anyhow::Context as _;
use public_api::Builder;

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = env::args().skip(1);
    let json = arguments
        .next()
        .context("name the folder with rustdoc's JSON")?;
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
        let json = Path::new(&json).join(format!("{}.json", name.replace('-', "_")));
        let api = Builder::from_rustdoc_json(&json)
            .omit_blanket_impls(true)
            .omit_auto_trait_impls(true)
            .build()
            .with_context(|| format!("cannot read {}", json.display()))?;
        let found: String = api.items().map(|item| format!("{item}\n")).collect();
        let committed = fs::read_to_string(&listing)?;
        if found == committed {
            println!("{name}: {} items", found.lines().count());
        } else if writes {
            fs::write(&listing, found)?;
            println!("{name}: written");
        } else {
            print_difference(&committed, &found);
            println!(
                "{name}: the public API changed. `.ci/public-api --write` replaces the listing."
            );
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
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
