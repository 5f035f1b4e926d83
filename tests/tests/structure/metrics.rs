//! The page of metrics, the alert rules and the dashboard agree with the table in the code.

use std::collections::BTreeSet;
use std::fs;

use forge_remote::metrics::{METRICS, Metric, MetricKind, Unit};
use forge_remote_fit::__private::{KEYS_UNAVAILABLE_CODES, REJECTION_CODES};
use serde_json::Value;

use crate::generated::{Part, check_parts};

fn read(name: &str) -> String {
    fs::read_to_string(crate::repository().join("docs").join(name)).expect("a file of docs")
}

/// Returns a metric's name in Prometheus.
fn in_prometheus(metric: &Metric) -> String {
    let name = metric.name.replace('.', "_");
    let unit = match metric.unit {
        Unit::Seconds => "_seconds",
        _ => "",
    };
    let total = match metric.kind {
        MetricKind::Counter => "_total",
        _ => "",
    };
    format!("{name}{unit}{total}")
}

/// Returns the names of a metric's series.
fn series_of(metric: &Metric) -> Vec<String> {
    let name = in_prometheus(metric);
    match metric.kind {
        MetricKind::Histogram => ["bucket", "count", "sum"]
            .map(|part| format!("{name}_{part}"))
            .to_vec(),
        _ => vec![name],
    }
}

#[test]
fn the_page_has_the_table() {
    let rows = METRICS.iter().map(|metric| {
        let labels = metric.labels.iter().map(|label| format!("`{label}`"));
        let labels = labels.collect::<Vec<_>>().join(", ");
        format!(
            "| `{}` | `{}` | {} | {} | {} | {} |\n",
            metric.name,
            in_prometheus(metric),
            metric.kind.as_str(),
            metric.unit.as_str(),
            if labels.is_empty() { "-" } else { &labels },
            metric.description
        )
    });
    let head = "| name | in Prometheus | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- | --- |\n";
    let table = Part::new(head, "", rows.collect());
    check_parts("docs/metrics.md", &[table]);
}

/// Returns the expressions of alert rules, each with the text that shows its labels.
fn alerts() -> Vec<(String, String)> {
    let alerts: Value = serde_yaml::from_str(&read("metrics/alerts.yml")).expect("YAML");
    let rules = alerts["groups"][0]["rules"].as_array().expect("rules");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rules = rules.iter().map(|rule| {
        assert!(rule["alert"].is_string() && rule["labels"]["severity"].is_string());
        let annotations = &rule["annotations"];
        assert!(annotations["summary"].is_string() && annotations["action"].is_string());
        let shown = text(&annotations["summary"]).replace("$labels.", "");
        (text(&rule["expr"]), shown)
    });
    rules.collect()
}

/// Returns the expressions of the dashboard, each with its legend.
fn dashboard() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read("metrics/dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let targets = targets.flatten();
    targets
        .map(|target| (text(&target["expr"]), text(&target["legendFormat"])))
        .collect()
}

/// Splits an expression into words and the characters between them, without quoted texts.
fn words(expression: &str) -> Vec<&str> {
    let unquoted: Vec<&str> = expression.split('"').step_by(2).collect();
    let is_word = |one: char| one.is_ascii_alphanumeric() || one == '_';
    let words = unquoted
        .into_iter()
        .flat_map(move |part| part.split(move |one| !is_word(one)));
    words.filter(|word| !word.is_empty()).collect()
}

/// Names that PromQL itself and Prometheus define.
const PROMQL: &[&str] = &[
    "and",
    "avg",
    "by",
    "count",
    "group_left",
    "histogram_quantile",
    "increase",
    "le",
    "max",
    "min",
    "on",
    "or",
    "rate",
    "sum",
    "__rate_interval",
];

#[test]
fn rules_and_dashboard_use_what_exists() {
    let mut used = BTreeSet::new();
    for (expression, shown) in alerts().into_iter().chain(dashboard()) {
        let words = words(&expression);
        let metrics: Vec<&Metric> = METRICS
            .iter()
            .filter(|metric| {
                series_of(metric)
                    .iter()
                    .any(|name| words.contains(&name.as_str()))
            })
            .collect();
        assert!(!metrics.is_empty(), "{expression} uses no metric");
        used.extend(metrics.iter().map(|metric| metric.name));
        let series: BTreeSet<String> = metrics.iter().flat_map(|one| series_of(one)).collect();
        let labels = metrics.iter().flat_map(|metric| metric.labels);
        let labels: BTreeSet<String> = labels.map(|label| label.replace('.', "_")).collect();
        for word in words {
            let is_number = word.starts_with(|one: char| one.is_ascii_digit());
            let is_known = is_number
                || PROMQL.contains(&word)
                || series.contains(word)
                || labels.contains(word);
            assert!(
                is_known,
                "`{word}` in {expression} is neither a metric nor a label"
            );
        }
        for label in shown.split("{{").skip(1) {
            let label = label.split("}}").next().unwrap_or_default().trim();
            assert!(
                labels.contains(label),
                "`{label}` is shown by {expression}, which lacks it"
            );
        }
    }
    let all: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    let unused: Vec<_> = all.difference(&used).collect();
    assert!(
        unused.is_empty(),
        "neither in a rule nor in the dashboard: {unused:?}"
    );
}

/// Returns the values that a label of an expression is compared with: `("outcome", "failed")`.
fn compared(expression: &str) -> Vec<(&str, &str)> {
    let quoted: Vec<&str> = expression.split('"').collect();
    let pairs = quoted.chunks(2).filter_map(|pair| {
        let [before, values] = pair else { return None };
        let label = before.trim_end_matches(['=', '~', '!']);
        let label = label.rsplit(['{', ',', ' ']).next()?;
        Some(values.split('|').map(move |value| (label, value)))
    });
    pairs.flatten().collect()
}

/// A rule that compares with a value that no series has never fires.
#[test]
fn rules_compare_with_values_that_exist() {
    let codes = REJECTION_CODES.iter().chain(KEYS_UNAVAILABLE_CODES);
    let codes: BTreeSet<&str> = codes.map(|(code, _)| *code).collect();
    let mut checked = 0;
    for (expression, _) in alerts().into_iter().chain(dashboard()) {
        let words = words(&expression);
        let metrics = METRICS.iter().filter(|metric| {
            let series = series_of(metric);
            series.iter().any(|name| words.contains(&name.as_str()))
        });
        let described: BTreeSet<&str> = metrics
            .flat_map(|metric| metric.description.split('`').skip(1).step_by(2))
            .collect();
        for (label, value) in compared(&expression) {
            if !["outcome", "error_type"].contains(&label) || value.is_empty() || value == "\\" {
                continue;
            }
            checked += 1;
            assert!(
                described.contains(value) || codes.contains(value),
                "{expression}: `{label}` is never `{value}`"
            );
        }
    }
    assert!(checked > 10, "{checked} values");
}

/// The codes of requests without a verified signature, which anyone can cause.
const UNSIGNED: &[&str] = &[
    "missing_header",
    "repeated_header",
    "not_bearer",
    "too_long",
    "not_compact",
    "bad_header",
    "wrong_algorithm",
    "no_kid",
    "forbidden_header",
    "unknown_key",
    "bad_signature",
];

/// The codes of FITs that Atlassian has signed and `ForgeRemoteRejectsForge` ignores, each with the reason.
const SIGNED_AND_IGNORED: &[(&str, &str)] = &[
    ("expired", "ForgeRemoteTokensExpired tolerates a few"),
    (
        "has_principal",
        "a user can send a page's FIT to any handler",
    ),
    ("wrong_page", "a user can send a page's FIT to any handler"),
    ("replayed", "a captured FIT can be sent again"),
];

/// A code that is in none of the three lists would never be reported.
#[test]
fn the_rule_about_signed_fits_has_every_other_code() {
    let alerts = alerts();
    let mut rules = alerts
        .iter()
        .filter(|(expression, _)| expression.contains("wrong_audience|"));
    let (Some((rule, _)), None) = (rules.next(), rules.next()) else {
        panic!("one rule is about the codes of signed FITs");
    };
    let mut listed: Vec<&str> = compared(rule).into_iter().map(|(_, code)| code).collect();
    listed.extend(UNSIGNED);
    listed.extend(SIGNED_AND_IGNORED.iter().map(|(code, _)| code));
    listed.sort_unstable();
    let mut codes: Vec<&str> = REJECTION_CODES.iter().map(|(code, _)| *code).collect();
    codes.sort_unstable();
    assert_eq!(
        listed, codes,
        "each code is in the rule ForgeRemoteRejectsForge or in one of the lists of this file"
    );
}

#[test]
fn names_and_labels_are_distinct_and_plain() {
    let names: BTreeSet<String> = METRICS.iter().map(in_prometheus).collect();
    assert_eq!(names.len(), METRICS.len());
    for metric in METRICS {
        let texts = metric.labels.iter().chain([&metric.name]);
        for text in texts {
            let is_plain = |one: char| one.is_ascii_lowercase() || one == '.' || one == '_';
            assert!(text.chars().all(is_plain), "{text}");
        }
        let own = metric.name.starts_with("forge_remote.");
        assert!(own || metric.name.starts_with("http."), "{}", metric.name);
        assert!(metric.description.ends_with('.'), "{}", metric.description);
    }
}
