//! The table of reported situations names tests that exist.

use std::fs;

/// Returns the text of a row's four cells.
fn cells(line: &str) -> Option<[&str; 4]> {
    let line = line.strip_prefix("| ")?.strip_suffix(" |")?;
    line.split(" | ").collect::<Vec<_>>().try_into().ok()
}

#[test]
fn every_reported_situation_has_its_test_or_reason() {
    let tests = crate::repository().join("tests");
    let table = fs::read_to_string(tests.join("field/README.md")).unwrap();
    let rows = table.lines().filter_map(cells);
    let rows: Vec<_> = rows.filter(|row| row[0].parse::<usize>().is_ok()).collect();
    for (index, [number, situation, verdict, shown]) in rows.iter().enumerate() {
        let wrong = |what: String| panic!("{number} ({situation}): {what}");
        if *number != format!("{:02}", index + 1) {
            wrong(format!("row {} has another number", index + 1));
        }
        let mut named = 0;
        for name in shown.split('`').skip(1).step_by(2) {
            let (file, text) = match name.split_once("::") {
                Some((file, test)) => (format!("tests/{file}.rs"), format!("fn {test}(")),
                None if name.starts_with("ui/") => (name.to_owned(), String::new()),
                None => continue,
            };
            match fs::read_to_string(tests.join(&file)) {
                Ok(source) if source.contains(&text) => named += 1,
                Ok(_) => wrong(format!("tests/{file} has no `{text}`")),
                Err(error) => wrong(format!("tests/{file}: {error}")),
            }
        }
        match *verdict {
            "pass" if named > 0 => {}
            "reason"
                if shown
                    .split('`')
                    .step_by(2)
                    .any(|text| text.trim().len() > 20) => {}
            _ => wrong(format!("`{verdict}` without a test or a reason")),
        }
    }
    assert_eq!(rows.len(), 39);
}
