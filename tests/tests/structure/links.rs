//! Links to a file or to a heading lead somewhere: rustdoc checks items only, and nothing checks the other pages.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::modules::all_rust_files;

/// Where pages and sources are, in addition to the published crates.
const PLACES: &[&str] = &["docs", "examples", "fuzz", "tests"];
/// The address of this repository's files.
const OWN: &str = "https://github.com/forge-remote/forge-remote/blob/main/";
/// The address of published crates' documentation.
const DOCS: &str = "https://docs.rs/";
/// The words before the name of an item.
const ITEMS: &[&str] = &["struct", "enum", "trait", "type", "fn", "mod"];

/// A link in a page or in a doc comment.
#[derive(Debug)]
struct Link {
    target: String,
    /// The text after `#`.
    heading: Option<String>,
}

fn places() -> impl Iterator<Item = PathBuf> {
    let places = PLACES.iter().map(|place| (*place).to_owned());
    let places = places.chain(crate::published());
    places.map(|place| crate::repository().join(place))
}

/// Returns the pages of the repository.
pub(crate) fn pages() -> Vec<PathBuf> {
    let root = crate::repository();
    let mut found = Vec::new();
    for place in places() {
        pages_below(&place, &mut found);
    }
    for entry in fs::read_dir(&root).expect("the repository") {
        let path = entry.expect("a readable entry").path();
        found.extend(is_page(&path).then_some(path));
    }
    found
}

fn pages_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        let foreign = ["node_modules", "target"];
        if path.is_dir() && !foreign.iter().any(|one| path.ends_with(one)) {
            pages_below(&path, found);
        } else if is_page(&path) {
            found.push(path);
        }
    }
}

fn is_page(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "md")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the doc comments of a source file, without the marks.
fn doc_comments(source: &str) -> String {
    let lines = source.lines().map(|line| {
        let line = line.trim_start();
        let text = line
            .strip_prefix("///")
            .or_else(|| line.strip_prefix("//!"));
        // The first line of a code block may depend on features: `#[cfg_attr(feature = "cron", doc = "```")]`.
        let is_attribute = line.starts_with('#') && !line.contains("not(");
        let attribute = line.split_once("doc = \"").filter(|_| is_attribute);
        match (text, attribute) {
            (Some(text), _) => text.strip_prefix(' ').unwrap_or(text),
            (None, Some((_, text))) => text.split('"').next().unwrap_or_default(),
            (None, None) => "",
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the documentation of a file's module, with the page that it includes.
fn docs_of_module(file: &Path) -> String {
    let source = read(file);
    let own = source
        .lines()
        .filter(|line| line.starts_with("//!") || line.starts_with("#!["));
    let own = own.collect::<Vec<_>>().join("\n");
    let included = own.split("#![doc = include_str!(\"").skip(1);
    let included = included.filter_map(|rest| rest.split('"').next());
    let included = included.map(|page| read(&file.with_file_name(page)));
    let pages = [doc_comments(&own)].into_iter().chain(included);
    pages.collect::<Vec<_>>().join("\n\n")
}

/// Returns the lines of a page outside of code blocks.
pub(crate) fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Returns the links `[text](target)` and `[text]: target`.
fn links(page: &str) -> Vec<Link> {
    let prose = prose(page).collect::<Vec<_>>().join("\n");
    let inline = prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'));
    let inline = inline.map(|(target, _)| target);
    let defined = prose.lines().filter(|line| line.starts_with('['));
    let defined = defined
        .filter_map(|line| line.split_once("]: "))
        .map(|(_, target)| target);
    let link = |target: &str| {
        let (target, heading) = match target.split_once('#') {
            Some((target, heading)) => (target, Some(heading.to_owned())),
            None => (target, None),
        };
        let target = target.to_owned();
        Link { target, heading }
    };
    inline.chain(defined).map(link).collect()
}

/// Returns the headings of a page, as code hosts and rustdoc name them in links.
fn headings(page: &str) -> BTreeSet<String> {
    let titles = prose(page).filter(|line| line.starts_with('#'));
    let titles = titles.filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
    let name = |title: &str| {
        let characters = title.trim().chars().filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
            _ => None,
        });
        characters.collect()
    };
    titles.map(name).collect()
}

/// Returns the directory of the sources of a file's crate.
fn crate_of(file: &Path) -> &Path {
    let mut above = file.ancestors();
    above
        .find(|path| path.ends_with("src"))
        .expect("a file of a crate")
}

/// Returns the headings of the module or item at a path such as `crate::token` or `SystemToken`.
fn headings_of_item(path: &str, file: &Path) -> BTreeSet<String> {
    let (_, path) = path.split_once('@').unwrap_or(("", path));
    let name = path.rsplit("::").next().unwrap_or(path);
    headings(&docs_of(name, crate_of(file), file))
}

/// Returns the documentation of the module or item with this name, seen from a file; empty if there is no such item.
/// Items of a crate with the same name count as one.
fn docs_of(name: &str, sources: &Path, file: &Path) -> String {
    let mut files = Vec::new();
    all_rust_files(sources, &mut files);
    let above = file_above(sources, file);
    let is_module = |one: &Path| match name {
        "crate" => one == sources.join("lib.rs"),
        "super" => Some(one) == above.as_deref(),
        name => one.ends_with(format!("{name}/mod.rs")) || one.ends_with(format!("{name}.rs")),
    };
    let mut found = Vec::new();
    for one in files {
        found.extend(is_module(&one).then(|| docs_of_module(&one)));
        found.push(docs_of_item(name, &read(&one)));
    }
    let chapter = sources.join("docs").join(format!("{name}.md"));
    found.extend(chapter.exists().then(|| read(&chapter)));
    found.join("\n\n").trim().to_owned()
}

/// Returns why an address on docs.rs leads nowhere, if it is one of this repository's crates:
/// `https://docs.rs/forge-remote/latest/forge_remote/token/trait.TokenStore.html`.
fn problem_on_docs_rs(link: &Link) -> Option<String> {
    let address = link.target.strip_prefix(DOCS)?;
    let (package, rest) = address.split_once('/').unwrap_or((address, ""));
    if !package.starts_with("forge-remote") {
        return None;
    }
    let sources = crate::repository().join(package).join("src");
    if !sources.exists() {
        return Some(format!("no such crate: {package}"));
    }
    let (library, path) = (package.replace('-', "_"), rest.trim_end_matches('/'));
    let path = match path.strip_prefix(&format!("latest/{library}")) {
        Some(path) => path.trim_start_matches('/'),
        None if path.is_empty() => "",
        None => return Some(format!("not `latest/{library}/…`: {address}")),
    };
    // The name of a module, or of an item: `trait.TokenStore.html`.
    let name = path.rsplit('/').next().unwrap_or_default();
    let name = match name.strip_suffix(".html") {
        Some(item) => item.split_once('.').map_or(item, |(_, name)| name),
        None if name.is_empty() => "crate",
        None => name,
    };
    let docs = docs_of(name, &sources, &sources.join("lib.rs"));
    let has = |heading: &String| headings(&docs).contains(heading);
    match &link.heading {
        _ if docs.is_empty() => Some(format!("no such item: {address}")),
        Some(heading) if !has(heading) => Some(format!("no such heading: {address}#{heading}")),
        _ => None,
    }
}

/// Returns why a link of a page that code hosts show does not work there: a link to an item, or to a source of rustdoc,
/// whose own links are to items.
fn problem_on_code_hosts(link: &Link, page: &Path) -> Option<String> {
    let Link { target, .. } = link;
    let is_web = target.contains("://");
    if !is_web && (target.contains("::") || target.contains('@')) {
        return Some(format!("only rustdoc has links to items: {target}"));
    }
    let is_source = |end: &str| target.contains("/src/") && target.ends_with(end);
    let file = page.with_file_name(target);
    if !is_web && [".md", ".rs"].into_iter().any(is_source) && file.exists() {
        return Some(format!(
            "a code host shows rustdoc's source there: link {DOCS} instead of {target}"
        ));
    }
    None
}

/// Returns the names that links of the page refer to, and that it does not define.
fn undefined_references(page: &str) -> Vec<String> {
    let prose = prose(page).collect::<Vec<_>>().join("\n");
    let names = prose.split("][").skip(1);
    let names = names.filter_map(|rest| rest.split_once(']'));
    let is_name = |name: &str| {
        name.chars()
            .all(|c| c.is_ascii_lowercase() || "_-".contains(c))
    };
    let names = names.map(|(name, _)| name).filter(|name| is_name(name));
    let undefined = names.filter(|name| !prose.contains(&format!("\n[{name}]: ")));
    undefined.map(str::to_owned).collect()
}

/// Returns whether code hosts show a page: rustdoc's are below `src`.
fn is_for_code_hosts(file: &Path) -> bool {
    is_page(file) && !file.components().any(|one| one.as_os_str() == "src")
}

/// Returns the file of the module that contains a file's module.
fn file_above(sources: &Path, file: &Path) -> Option<PathBuf> {
    let folder = match file.ends_with("mod.rs") {
        true => file.parent()?.parent()?,
        false => file.parent()?,
    };
    Some(folder.join(if folder == sources {
        "lib.rs"
    } else {
        "mod.rs"
    }))
}

/// Returns the doc comments above the items with this name.
fn docs_of_item(name: &str, source: &str) -> String {
    if !source.contains(name) {
        return String::new();
    }
    let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
    let is_item = |line: &str| {
        // In a macro of this repository, an item may be its name alone.
        if line == name {
            return true;
        }
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.any(|word| ITEMS.contains(&word)) && words.next() == Some(name)
    };
    let mut found = Vec::new();
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| is_item(line)) {
        let above = lines[..at].iter().rev();
        let docs = above.take_while(|line| line.starts_with("///") || line.starts_with("#["));
        found.extend(docs.copied().collect::<Vec<_>>().into_iter().rev());
    }
    doc_comments(&found.join("\n"))
}

/// Returns why a link leads nowhere.
fn problem(link: &Link, file: &Path) -> Option<String> {
    let Link { target, heading } = link;
    let has =
        |headings: &BTreeSet<String>| heading.as_ref().is_none_or(|one| headings.contains(one));
    let shown = format!("{target}#{}", heading.as_deref().unwrap_or_default());
    if target.is_empty() {
        let own = match file.extension().is_some_and(|end| end == "rs") {
            true => doc_comments(&read(file)) + "\n\n" + &docs_of_module(file),
            false => read(file),
        };
        return (!has(&headings(&own))).then(|| format!("no such heading in this file: {shown}"));
    }
    let path = match target.strip_prefix(OWN) {
        Some(path) => crate::repository().join(path),
        None if target.starts_with(DOCS) => return problem_on_docs_rs(link),
        None if target.contains("://") || target.starts_with("mailto:") => return None,
        None => file.with_file_name(target),
    };
    let is_page = target.ends_with(".md") || target.contains('/');
    if is_page && !path.exists() {
        return Some(format!("no such file: {target}"));
    }
    let of_target = match is_page {
        true if heading.is_some() => headings(&read(&path)),
        true => return None,
        // Rustdoc itself checks links to items.
        false if heading.is_some() => headings_of_item(target, file),
        false => return None,
    };
    (!has(&of_target)).then(|| format!("no such heading: {shown}"))
}

#[test]
fn links_lead_to_files_and_headings() {
    let mut files = pages();
    for place in places() {
        all_rust_files(&place, &mut files);
    }
    let (mut checked, mut dead) = (0, Vec::new());
    for file in files
        .iter()
        .filter(|file| !file.components().any(|one| one.as_os_str() == "target"))
    {
        let text = read(file);
        let page = match file.extension().is_some_and(|end| end == "rs") {
            true => doc_comments(&text),
            false => text,
        };
        for name in undefined_references(&page) {
            dead.push(format!("{}: [{name}] has no address", file.display()));
        }
        for link in links(&page) {
            checked += usize::from(link.heading.is_some());
            let on_hosts = is_for_code_hosts(file).then(|| problem_on_code_hosts(&link, file));
            let problem = on_hosts.flatten().or_else(|| problem(&link, file));
            dead.extend(problem.map(|problem| format!("{}: {problem}", file.display())));
        }
    }
    assert!(checked > 20, "only {checked} links to headings are found");
    assert!(dead.is_empty(), "links lead nowhere:\n{}", dead.join("\n"));
}
