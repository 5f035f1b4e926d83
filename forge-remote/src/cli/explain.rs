//! The `explain` command: prints the meaning of the codes that checks report.

use clap::{Arg, ArgMatches, Command};

use super::output::{FAILED, OK, print, print_error};
use super::table::wrapped;
use crate::app::App;
use crate::diagnostic::{Rule, RuleKind};
use crate::fit::{KEYS_UNAVAILABLE_CODES, REJECTION_CODES};
use crate::{app, manifest, registry};

pub(super) fn command() -> Command {
    Command::new("explain")
        .about("Explain the code of a problem or a finding; without a code, list the codes")
        .arg(Arg::new("code").value_name("CODE"))
}

/// Runs the command, and returns its exit status.
pub(super) async fn run(_: App, options: &ArgMatches) -> i32 {
    print_explanation(options.get_one("code"))
}

/// Prints a code's explanation, or the list of all codes.
pub(super) fn print_explanation(code: Option<&String>) -> i32 {
    match explain(code.map(String::as_str)) {
        Ok(text) => {
            print(&text);
            OK
        }
        Err(error) => {
            print_error(&format!("error: {error}"));
            FAILED
        }
    }
}

/// The kinds of rules, in the order of the list.
const HEADINGS: [(RuleKind, &str); 6] = [
    (RuleKind::Launch, "problems that keep the app from starting"),
    (
        RuleKind::Difference,
        "differences between the manifest and the code",
    ),
    (RuleKind::Lint, "mistakes in the manifest"),
    (
        RuleKind::Version,
        "changes by which Forge chooses a version",
    ),
    (
        RuleKind::Deployment,
        "faults of a deployment (`doctor --url`)",
    ),
    (
        RuleKind::Rejection,
        "reasons why a call was rejected (`code` in the log)",
    ),
];

/// The rules of the verifier's codes.
static REJECTIONS: [Rule; REJECTION_CODES.len()] = rejections(REJECTION_CODES);
static KEYS_UNAVAILABLE: [Rule; KEYS_UNAVAILABLE_CODES.len()] = rejections(KEYS_UNAVAILABLE_CODES);

const fn rejections<const N: usize>(codes: &[(&'static str, &'static str)]) -> [Rule; N] {
    let mut rules = [Rule::rejection("", ""); N];
    let mut at = 0;
    while at < N {
        let (code, explanation) = codes[at];
        rules[at] = Rule::rejection(code, explanation);
        at += 1;
    }
    rules
}

/// Returns every rule: the manifest's, the handlers' and the app's.
fn rules() -> impl Iterator<Item = &'static Rule> {
    let launch = registry::RULES.iter().copied();
    #[cfg(feature = "dev")]
    let launch = launch.chain(crate::platform::RULES.iter().copied());
    #[cfg(feature = "dev")]
    let launch = launch.chain(super::doctor::RULES.iter().copied());
    let rejections = REJECTIONS.iter().chain(&KEYS_UNAVAILABLE);
    manifest::rules()
        .chain(app::rules())
        .chain(launch)
        .chain(rejections)
}

/// Returns the codes of all rules, by their kind.
fn list() -> String {
    let group = |(kind, heading): (RuleKind, &str)| {
        let rules = rules().filter(|rule| rule.kind == kind);
        let codes: String = rules.map(|rule| format!("  {}\n", rule.code)).collect();
        (!codes.is_empty()).then(|| format!("{heading}:\n{codes}"))
    };
    let groups: Vec<String> = HEADINGS.into_iter().filter_map(group).collect();
    groups.join("\n")
}

/// Returns a code's explanation, or the list of all codes if no code is given.
fn explain(code: Option<&str>) -> Result<String, String> {
    let Some(code) = code else {
        return Ok(list());
    };
    let Some(rule) = rules().find(|rule| rule.code == code) else {
        let codes: Vec<&str> = rules().map(|rule| rule.code).collect();
        return Err(format!(
            "there is no code `{code}`\n  help: the codes are {}",
            codes.join(", ")
        ));
    };
    let lines = wrapped(&format!("{code}: {}", rule.explanation), "");
    let allow = match rule.kind {
        RuleKind::Lint => format!(
            "To allow it: `App::allow_lint(\"{code}\")`, or a comment `# forge-remote: allow({code})` on the \
             reported line or the line above."
        ),
        RuleKind::Difference => {
            "A difference between the manifest and the code cannot be allowed.".to_owned()
        }
        RuleKind::Version => {
            "`manifest --against` reports it. It cannot be allowed, because Forge chooses the version."
                .to_owned()
        }
        RuleKind::Deployment => "`doctor --url` reports it, and it cannot be allowed.".to_owned(),
        RuleKind::Rejection => {
            "The log line of the rejected call has it as `code`, with a description. The chapter `security` of the \
             documentation describes the verification."
                .to_owned()
        }
        RuleKind::Launch => "It keeps the app from starting and cannot be allowed.".to_owned(),
    };
    Ok(format!("{lines}\n\n{}\n", wrapped(&allow, "")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Collects the codes of every `Rule` in the source.
    fn codes_in(folder: &Path, codes: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                codes_in(&path, codes);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            // The rules about versions are rows of a macro.
            let patterns = [
                concat!(": Rule", " = Rule::"),
                concat!(" = ", "major("),
                concat!(" = ", "minor("),
            ];
            let found = patterns
                .iter()
                .flat_map(|pattern| text.match_indices(pattern));
            for (at, pattern) in found {
                let code = text[at + pattern.len()..].split('"').nth(1).unwrap();
                codes.insert(code.to_owned());
            }
        }
    }

    #[test]
    fn every_rule_in_the_source_can_be_explained() {
        let mut in_source = BTreeSet::new();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        codes_in(&source, &mut in_source);
        let listed: Vec<&str> = rules().map(|rule| rule.code).collect();
        let once: BTreeSet<String> = listed.iter().map(|code| (*code).to_owned()).collect();
        assert_eq!(once.len(), listed.len(), "a code is listed twice");
        // The verifier's codes are not in this crate's source.
        let of_verifier = REJECTIONS.iter().chain(&KEYS_UNAVAILABLE);
        in_source.extend(of_verifier.map(|rule| rule.code.to_owned()));
        assert_eq!(once, in_source);
        for rule in rules() {
            let text = explain(Some(rule.code)).unwrap();
            assert!(text.len() > rule.code.len() + 60, "{text}");
            assert!(!text.contains("  "), "{text}");
        }
    }
}
