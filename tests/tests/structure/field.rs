//! The tables of reported situations and of stumbles name tests that exist; a situation with an input has a test that reads it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Returns the text of a row's four cells.
fn cells(line: &str) -> Option<[&str; 4]> {
    let line = line.strip_prefix("| ")?.strip_suffix(" |")?;
    line.split(" | ").collect::<Vec<_>>().try_into().ok()
}

/// Returns the tests that a cell names: the file, and the function if it is in a file of Rust.
fn named(shown: &str) -> impl Iterator<Item = (String, Option<&str>)> {
    let quoted = shown.split('`').skip(1).step_by(2);
    quoted.filter_map(|name| match name.split_once("::") {
        Some((file, test)) => Some((format!("tests/{file}.rs"), Some(test))),
        None => name.starts_with("ui/").then(|| (name.to_owned(), None)),
    })
}

/// Whether a source has a test of this name. Those of the table of attacks are only declared.
fn is_test(source: &str, test: &str) -> bool {
    let declared = format!("fn {test}();");
    let (plain, of_tokio) = (format!("fn {test}("), format!("async fn {test}("));
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is_it = |line: &&str| line.starts_with(&plain) || line.starts_with(&of_tokio);
    lines.iter().enumerate().any(|(at, line)| {
        let before = lines[..at].iter().rev();
        let mut attributes =
            before.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        *line == declared
            || is_it(line)
                && attributes
                    .any(|line| line.starts_with("#[test") || line.starts_with("#[tokio::test"))
    })
}

/// Checks each row of a table, and returns what its tests' files are, by number.
fn check(table: &str) -> Vec<(String, BTreeSet<String>)> {
    let tests = crate::repository().join("tests");
    let text = fs::read_to_string(tests.join("field").join(table)).expect(table);
    let rows = text.lines().filter_map(cells);
    let rows: Vec<_> = rows.filter(|row| row[0].parse::<usize>().is_ok()).collect();
    let mut checked = Vec::new();
    for (index, [number, situation, verdict, shown]) in rows.iter().enumerate() {
        let wrong = |what: String| panic!("{table}: {number} ({situation}): {what}");
        if *number != format!("{:02}", index + 1) {
            wrong(format!("row {} has another number", index + 1));
        }
        let mut files = BTreeSet::new();
        for (file, test) in named(shown) {
            match (fs::read_to_string(tests.join(&file)), test) {
                (Ok(source), Some(test)) if !is_test(&source, test) => {
                    wrong(format!("tests/{file} has no test `{test}`"));
                }
                (Ok(_), _) => {
                    files.insert(file);
                }
                (Err(error), _) => wrong(format!("tests/{file}: {error}")),
            }
        }
        let has_reason = shown
            .split('`')
            .step_by(2)
            .any(|text| text.trim().len() > 20);
        match *verdict {
            "pass" if !files.is_empty() => {}
            "reason" if has_reason => {}
            _ => wrong(format!("`{verdict}` without a test or a reason")),
        }
        checked.push(((*number).to_owned(), files));
    }
    checked
}

#[test]
fn every_reported_situation_has_its_test_or_reason() {
    assert_eq!(check("README.md").len(), 39);
}

#[test]
fn every_stumble_has_its_test_or_reason() {
    assert_eq!(check("stumbles.md").len(), 26);
}

/// The inputs that people gave are read by a test of their row, each file of them, and their `EXPECT` is quoted there.
#[test]
fn the_inputs_of_a_situation_are_read_by_its_tests() {
    let tests = crate::repository().join("tests");
    let rows = check("README.md");
    let mut folders = 0;
    for entry in fs::read_dir(tests.join("field")).expect("a directory") {
        let folder = entry.expect("an entry").path();
        let name = folder
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let Some((number, _)) = name.split_once('-').filter(|(number, _)| number.len() == 2) else {
            continue;
        };
        folders += 1;
        let (_, files) = rows.iter().find(|(row, _)| row == number).expect(number);
        let sources: Vec<String> = files
            .iter()
            .filter_map(|file| fs::read_to_string(tests.join(file)).ok())
            .collect();
        let reads = |file: &Path| {
            let file = file
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let path = format!("{name}/{file}");
            sources.iter().any(|source| source.contains(&path))
        };
        let mut unread = Vec::new();
        for file in fs::read_dir(&folder).expect("a directory") {
            let file = file.expect("an entry").path();
            if !reads(&file) {
                unread.push(file);
            }
        }
        assert!(
            unread.is_empty(),
            "no test of row {number} names {unread:#?}"
        );
    }
    assert_eq!(folders, 12);
}
