//! Tables in the docs agree with the code. `UPDATE_DOCS=1` writes the tables of names and options, which follow from the table of
//! kinds: one test writes them all, because tests run at the same time.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use forge_remote::jobs::JobPolicy;
use forge_remote_fit::__private::{KEYS_UNAVAILABLE_CODES, REJECTION_CODES};
use forge_remote_schema::KindSpec;
use forge_remote_schema::durable::{self, MAX_COUNT, OPTIONS};
use forge_remote_schema::kinds::KINDS;
use forge_remote_schema::names::{Names, WrittenNames};
use forge_remote_schema::options::{COMMON, OptionSpec, Presence, TextRule, ValueShape};

use crate::generated::{Part, check_parts};
use crate::modules::rust_files;

fn docs(name: &str) -> String {
    let path = crate::repository().join("forge-remote/src/docs").join(name);
    fs::read_to_string(path).expect("a page")
}

/// Returns the cells of the tables' rows, without the heads.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| `") || line.starts_with("| [`"));
    let cells = rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect());
    cells.collect()
}

/// Returns the names in backquotes: `` `PORT`, `RUST_LOG` ``.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Returns the attributes that take a common option, in the words of the page.
fn takers(option: &str) -> String {
    let takes = |kind: &&KindSpec| kind.option_names().any(|name| name == option);
    let (with, without): (Vec<&KindSpec>, Vec<&KindSpec>) = KINDS.iter().partition(takes);
    let names = |kinds: &[&KindSpec]| {
        let names = kinds.iter().map(|kind| format!("`{}`", kind.attribute));
        names.collect::<Vec<_>>().join(", ")
    };
    match (&*with, &*without) {
        (_, []) => "all".to_owned(),
        ([..], without) if without.len() < with.len() => format!("all but {}", names(without)),
        (with, _) => names(with),
    }
}

/// The head of the table of the common options.
const COMMON_OPTIONS: &str =
    "| option | sets | default | attributes |\n| --- | --- | --- | --- |\n";

/// Returns the rows of the common options in the page, each with the option's name.
fn common_options(page: &str) -> Vec<(&str, &str)> {
    let (_, table) = page.split_once(COMMON_OPTIONS).expect("the table");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let named = rows.map(|row| {
        let option = quoted(row).next().and_then(|one| one.split(' ').next());
        (option.expect("an option"), row)
    });
    named.collect()
}

/// Returns the same rows, with the attributes that take each option.
fn common_options_with_takers() -> String {
    let page = docs("options.md");
    let rows = common_options(&page).into_iter().map(|(name, row)| {
        let cells = row.trim_end_matches('|').trim_end();
        let (described, _) = cells.rsplit_once(" | ").expect("the attributes");
        format!("{described} | {} |\n", takers(name))
    });
    rows.collect()
}

#[test]
fn the_options_page_has_every_common_option() {
    let page = docs("options.md");
    let listed: BTreeSet<&str> = common_options(&page)
        .iter()
        .map(|(name, _)| *name)
        .collect();
    let mut expected: BTreeSet<&str> = COMMON.into();
    for kind in KINDS {
        let own: BTreeSet<&str> = own_options(kind).map(|option| option.name).collect();
        expected.extend(kind.option_names().filter(|name| !own.contains(name)));
    }
    assert_eq!(listed, expected);
}

fn own_options(kind: &KindSpec) -> impl Iterator<Item = &'static OptionSpec> {
    let nested = kind.nested.map_or(&[][..], |(_, set)| set.options);
    kind.options.iter().chain(nested)
}

/// Returns the row of each attribute in the table of names.
fn names_of_a_function() -> String {
    let row = |kind: &KindSpec| {
        let suffix = kind.path_option.map(|_| "status");
        let written = WrittenNames {
            function: "refresh_index",
            ..WrittenNames::default()
        };
        let Names {
            key,
            endpoint,
            path,
        } = Names::new(kind, written, suffix);
        let quoted = |shown: bool, text: String| match shown {
            true => format!("`{text}`"),
            false => "-".to_owned(),
        };
        let name = kind.attribute;
        let option = kind
            .path_option
            .map(|option| format!("`({option} = \"status\")`"));
        format!(
            "| [`{name}`](macro@crate::{name}){} | {} | {} | `{path}` |\n",
            option.unwrap_or_default(),
            quoted(kind.has_module(), key),
            quoted(kind.has_endpoint(), endpoint),
        )
    };
    KINDS.iter().map(row).collect()
}

/// Returns the rows of the options in the parentheses of `durable`, which are those of `#[job]` too.
fn durable_options() -> String {
    let policy = JobPolicy::DEFAULT;
    let time = |time: Duration| match time.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    };
    let backoff = format!(
        "{}..{}",
        time(policy.first_pause()),
        time(policy.longest_pause())
    );
    let limit = policy.per_installation();
    let row = |option: &&str| {
        let (example, sets, default, range) = match *option {
            "retries" => (
                "3",
                "the attempts after the first",
                format!("`{}`", policy.max_attempts() - 1),
                format!("0 to {MAX_COUNT}"),
            ),
            "backoff" => (
                "\"1m..6h\"",
                "the pause after the first attempt, which doubles with each, and the longest one",
                format!("`\"{backoff}\"`"),
                times("1s", "24h", |text| {
                    durable::backoff(&format!("{text}..{text}")).is_ok()
                }),
            ),
            "timeout" => (
                "\"10m\"",
                "the time limit of an attempt",
                format!("`\"{}\"`", time(policy.timeout())),
                times("1s", "1h", |text| durable::timeout(text).is_ok()),
            ),
            "per_installation" => (
                "1",
                "how many run at once for one installation",
                limit.map_or_else(|| "no limit".to_owned(), |limit| format!("`{limit}`")),
                format!("1 to {MAX_COUNT}"),
            ),
            other => panic!("describe the option `{other}` of `durable` here"),
        };
        format!("| `{option} = {example}` | {sets} | {default} | {range} |\n")
    };
    OPTIONS.iter().map(row).collect()
}

/// Returns a range of times in the words of the page: both ends are valid, and a second beyond is not.
fn times(min: &str, max: &str, is_valid: impl Fn(&str) -> bool) -> String {
    let seconds = |text: &str| durable::seconds(text).expect("a time");
    assert!(is_valid(min) && is_valid(max), "{min} to {max}");
    if let Some(below) = seconds(min).checked_sub(1) {
        assert!(!is_valid(&format!("{below}s")), "below {min}");
    }
    assert!(!is_valid(&format!("{}s", seconds(max) + 1)), "above {max}");
    format!("`{min}` to `{max}`")
}

/// Returns names in backquotes: "`a`, `b` or `c`".
fn any_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// The largest number of values that the page lists; [`values`] of longer lists are in `kinds`.
const MAX_VALUES: usize = 12;

/// Returns the values that an option takes, in the words of the page.
fn values(option: &OptionSpec) -> Option<String> {
    match option.shape {
        ValueShape::Choice(values) | ValueShape::Choices(values) => {
            (values.len() <= MAX_VALUES).then(|| any_of(values))
        }
        ValueShape::Variant(variants) => {
            let names: Vec<&str> = variants.values.iter().map(|(name, _)| *name).collect();
            Some(any_of(&names))
        }
        ValueShape::Text {
            rule: TextRule::Time(min, max),
            ..
        } => Some(times(min, max, |text| option.check_text(text).is_ok())),
        ValueShape::HalfHours { max } => Some(format!("at most {}", f64::from(max) / 2.0)),
        _ => None,
    }
}

/// Returns whether an option of a kind must be written, in the words of the page.
fn presence(kind: &KindSpec, option: &OptionSpec) -> Option<String> {
    let alternatives = kind.combination.alternatives();
    let names: Vec<&str> = kind.option_names().collect();
    assert!(alternatives.iter().all(|one| names.contains(one)));
    match (option.presence, alternatives) {
        (Presence::Required, _) => Some("required".to_owned()),
        (Presence::OrDocs | Presence::DocsOrNone, _) => Some("default: the doc comment".to_owned()),
        (Presence::Optional, [first, others @ ..]) if *first == option.name => {
            let dynamic = kind.may_be_dynamic.then_some("dynamic");
            let others: Vec<&str> = others.iter().copied().chain(dynamic).collect();
            Some(format!("required, unless {} is written", any_of(&others)))
        }
        (Presence::Optional, _) => None,
    }
}

/// Returns the rows of the options that single attributes have.
fn options_of_attributes() -> String {
    let row = |kind: &KindSpec| {
        let options = own_options(kind).map(|option| {
            let text = match option.shape {
                ValueShape::Flag => format!("`{}`", option.name),
                _ => format!("`{} = {}`", option.name, option.example),
            };
            let remarks = [values(option), presence(kind, option)];
            let remarks: Vec<String> = remarks.into_iter().flatten().collect();
            match remarks[..] {
                [] => text,
                _ => format!("{text} ({})", remarks.join("; ")),
            }
        });
        let options = options.collect::<Vec<_>>().join(", ");
        let name = kind.attribute;
        let options = if options.is_empty() { "-" } else { &options };
        format!("| [`{name}`](macro@crate::{name}) | {options} |\n")
    };
    let job = OPTIONS.map(|option| format!("`{option}`")).join(", ");
    let rows = KINDS.iter().map(row);
    rows.chain([format!("| [`job`](macro@crate::job) | {job} |\n")])
        .collect()
}

#[test]
fn the_options_page_has_the_tables_of_the_code() {
    check_tables(
        "options.md",
        &[
            (COMMON_OPTIONS, common_options_with_takers()),
            (
                "| attribute | module's key | endpoint's key | path |\n| --- | --- | --- | --- |\n",
                names_of_a_function(),
            ),
            (
                "| option | sets | default | range |\n| --- | --- | --- | --- |\n",
                durable_options(),
            ),
            (
                "| attribute | options |\n| --- | --- |\n",
                options_of_attributes(),
            ),
        ],
    );
}

/// Checks the tables below these heads, or writes them.
fn check_tables(page: &str, tables: &[(&str, String)]) {
    let parts: Vec<Part> = tables
        .iter()
        .map(|(head, text)| Part::new(head, "", text.clone()))
        .collect();
    check_parts(&format!("forge-remote/src/docs/{page}"), &parts);
}

#[test]
fn the_configuration_page_has_every_variable_and_feature() {
    let page = docs("configuration.md");
    let named = |section: &str| -> BTreeSet<&str> {
        let (_, section) = page.split_once(section).expect("a section");
        let (section, _) = section.split_once("\n# ").expect("the next section");
        rows(section)
            .iter()
            .flat_map(|row| quoted(row[0]))
            .collect()
    };

    let mut sources = Vec::new();
    for package in crate::packages::published() {
        let manifest = Path::new(package["manifest_path"].as_str().expect("a path"));
        rust_files(&manifest.with_file_name("src"), &mut sources);
    }
    let mut read = BTreeSet::new();
    let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
    for source in sources {
        let text = fs::read_to_string(source).expect("a source file");
        for start in ["variable(\"", "\"FORGE_REMOTE_"] {
            for (at, found) in text.match_indices(start) {
                let at = at + found.find('"').expect("a quote") + 1;
                let rest = &text[at..];
                let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
                if rest[end..].starts_with('"') && end > 0 {
                    read.insert(rest[..end].to_owned());
                }
            }
        }
        for (function, names) in READ_BY_LIBRARIES {
            if text.contains(function) {
                read.extend(names.iter().map(|name| (*name).to_owned()));
            }
        }
    }
    // Set by cargo; the settings of one test.
    read.retain(|name| name != "CARGO_MANIFEST_DIR" && !name.contains("SIMULATION"));
    let read: BTreeSet<&str> = read.iter().map(String::as_str).collect();
    assert_eq!(named("# Environment variables"), read);

    let manifest = fs::read_to_string(crate::repository().join("forge-remote/Cargo.toml"));
    let manifest: toml::Table = manifest.expect("a manifest").parse().expect("TOML");
    let features = manifest["features"].as_table().expect("features").keys();
    let features: BTreeSet<&str> = features
        .map(String::as_str)
        .filter(|name| !["default", "fuzzing"].contains(name) && !name.starts_with('_'))
        .collect();
    assert_eq!(named("# Features"), features);
}

/// The variables that libraries read, each with the call of ours by which they do.
const READ_BY_LIBRARIES: &[(&str, &[&str])] = &[
    ("Backtrace::capture", &["RUST_BACKTRACE"]),
    (
        "Matcher::from_env",
        &[
            "HTTPS_PROXY",
            "https_proxy",
            "ALL_PROXY",
            "all_proxy",
            "NO_PROXY",
            "no_proxy",
        ],
    ),
    (
        "PgConnectOptions",
        &[
            "PGHOST",
            "PGHOSTADDR",
            "PGPORT",
            "PGUSER",
            "PGPASSWORD",
            "PGPASSFILE",
            "PGDATABASE",
            "PGSSLMODE",
            "PGSSLROOTCERT",
            "PGSSLCERT",
            "PGSSLKEY",
            "PGAPPNAME",
            "PGOPTIONS",
        ],
    ),
    // rustls-native-certs, with the system's certificates.
    (
        "fn client(self) -> ClientBuilder",
        &["SSL_CERT_FILE", "SSL_CERT_DIR"],
    ),
];

/// The sources of libraries that read variables, each with the variables there that have no effect here.
const LIBRARY_SOURCES: &[(&str, &str, &[&str])] = &[
    (
        "hyper-util",
        "src/client/proxy/matcher.rs",
        // Of calls without TLS, and of CGI programs.
        &["HTTP_PROXY", "http_proxy", "REQUEST_METHOD"],
    ),
    ("sqlx-postgres", "src/options/mod.rs", &[]),
    ("sqlx-postgres", "src/options/pgpass.rs", &[]),
    ("rustls-native-certs", "src/lib.rs", &[]),
];

/// The variables that the libraries' own sources read are in the list above.
#[test]
fn the_list_has_the_variables_that_libraries_read() {
    let metadata = crate::cargo_metadata(&["--all-features", "--offline"]);
    let packages = metadata["packages"].as_array().expect("packages");
    let listed: BTreeSet<&str> = READ_BY_LIBRARIES
        .iter()
        .flat_map(|(_, names)| names.iter().copied())
        .collect();
    let is_name_char = |c: char| c.is_ascii_alphabetic() || c == '_';
    for (name, source, unused) in LIBRARY_SOURCES {
        let package = packages.iter().find(|one| one["name"] == *name);
        let manifest = package.expect(name)["manifest_path"].as_str();
        let folder = Path::new(manifest.expect("a path")).parent();
        let text = fs::read_to_string(folder.expect("a directory").join(source)).expect(source);
        let (code, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
        let starts = [
            "var(\"",
            "var_os(\"",
            "get_first_env(&[\"",
            "_proxy\", \"",
            "_PROXY\", \"",
            "ENV_CERT_",
        ];
        let mut found = BTreeSet::new();
        for start in starts {
            for (at, _) in code.match_indices(start) {
                // Of a constant, its value.
                let rest = match start {
                    "ENV_CERT_" => match code[at..].split_once("&str = \"") {
                        Some((_, rest)) => rest,
                        None => continue,
                    },
                    _ => &code[at + start.len()..],
                };
                let end = rest.find(|c| !is_name_char(c)).unwrap_or(rest.len());
                found.insert(rest[..end].to_owned());
            }
        }
        assert!(!found.is_empty(), "{name} reads no variable in {source}");
        for variable in found {
            assert!(
                listed.contains(variable.as_str()) || unused.contains(&variable.as_str()),
                "{name} reads {variable}, which the page about configuration lacks"
            );
        }
    }
}

/// The features of the other crates.
#[test]
fn the_configuration_page_has_the_features_of_the_other_crates() {
    let page = docs("configuration.md");
    let listed: BTreeSet<(String, String)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` of `"))
        .filter_map(|(feature, rest)| {
            Some((rest.split_once('`')?.0.to_owned(), feature.to_owned()))
        })
        .collect();
    let mut expected = BTreeSet::new();
    for package in crate::packages::published() {
        let name = package["name"].as_str().expect("a name");
        // These have their own section, or are parts of another one.
        if ["forge-remote", "forge-remote-macros"].contains(&name) {
            continue;
        }
        let manifest = crate::repository().join(name).join("Cargo.toml");
        let manifest = fs::read_to_string(manifest).expect("a manifest");
        let manifest: toml::Table = manifest.parse().expect("TOML");
        let features = manifest.get("features").and_then(|all| all.as_table());
        let features = features.into_iter().flat_map(|all| all.keys());
        let public = features.filter(|one| !["default", "fuzzing"].contains(&one.as_str()));
        expected.extend(public.map(|one| (name.to_owned(), one.clone())));
    }
    assert_eq!(listed, expected);
}

#[test]
fn the_security_page_has_the_code_of_every_rejection() {
    let codes = REJECTION_CODES.iter().chain(KEYS_UNAVAILABLE_CODES);
    let rows = codes.map(|(code, explanation)| format!("| `{code}` | {explanation} |\n"));
    let head = "| code | reason |\n| --- | --- |\n";
    check_tables("security.md", &[(head, rows.collect())]);
}

/// A row of the benchmarks' figures that is marked as missed has a row with the reason, in the same order.
#[test]
fn every_missed_target_has_its_reason() {
    let page = fs::read_to_string(crate::repository().join("tests/bench/README.md"));
    let page = page.expect("the benchmarks");
    let between = |from: &str, to: &str| {
        let (_, rest) = page.split_once(from).expect(from);
        let (section, _) = rest.split_once(to).expect(to);
        let rows = section.lines().filter(|line| line.starts_with("| "));
        let cells = rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim));
        cells.map(Iterator::collect).collect::<Vec<Vec<&str>>>()
    };
    let figures = between("## Figures", "### Missed targets");
    let missed = figures.iter().filter(|row| row[2].contains(": missed"));
    let missed: Vec<&str> = missed.map(|row| row[0]).collect();
    let reasons = between("### Missed targets", "\n## ");
    let reasons = reasons.iter().skip(2);
    let explained: Vec<&str> = reasons.map(|row| row[0]).collect();
    assert_eq!(explained, missed, "the rows below \"Missed targets\"");
}
