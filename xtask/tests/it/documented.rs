//! Documents that repeat a table of the code say the same as the code.

use std::path::Path;

use policy::Route;

/// The rows between two marks of a document, as trimmed cells; the head and the rule of the table are left out.
fn rows(text: &str, begin: &str, end: &str) -> Vec<Vec<String>> {
    let inside = text
        .split(begin)
        .nth(1)
        .and_then(|rest| rest.split(end).next())
        .unwrap_or_default();
    let lines = inside.lines().filter(|line| line.starts_with('|')).skip(2);
    lines
        .map(|line| {
            line.trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().to_owned())
                .collect()
        })
        .collect()
}

#[test]
fn led_23_the_list_of_unaudited_routes_is_exact() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
    let text = std::fs::read_to_string(page).unwrap();

    let written = rows(
        &text,
        "<!-- ungoverned routes: begin",
        "<!-- ungoverned routes: end",
    );

    let code: Vec<Vec<String>> = Route::ungoverned()
        .map(|route| {
            let paths: Vec<String> = route.paths.iter().map(|path| format!("`{path}`")).collect();
            vec![
                route.method.as_str().to_owned(),
                paths.join(", "),
                route.summary.to_owned(),
            ]
        })
        .collect();
    assert!(!code.is_empty());
    assert_eq!(written, code);
}
