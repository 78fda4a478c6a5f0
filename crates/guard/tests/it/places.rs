//! Values where they are found in practice: tables, logs, quotation marks, beside signs.

use guard::{Check as _, PatternCheck, PiiSettings, SecretSettings};

fn kinds(text: &str) -> Vec<(String, String)> {
    let checks = [
        PatternCheck::pii("pii", PiiSettings::default()),
        PatternCheck::secrets("secrets", SecretSettings::default()),
    ];
    let mut all = Vec::new();
    for check in &checks {
        for finding in check.scan(text).findings {
            let kind = check.rule(finding.rule).map_or("", |rule| rule.kind);
            all.push((kind.to_owned(), text[finding.start..finding.end].to_owned()));
        }
    }
    all
}

#[test]
fn a_value_is_found_in_tables_and_beside_signs() {
    let values = [
        ("CREDIT_CARD", "4111 1111 1111 1111"),
        ("CREDIT_CARD", "4111111111111111"),
        ("IN_AADHAAR", "2341 2341 2346"),
        ("US_SSN", "123-45-6789"),
        ("IN_PAN", "ABCPE1234F"),
        ("IBAN_CODE", "GB82 WEST 1234 5698 7654 32"),
    ];
    let places = [
        ("id,card aadhaar ssn pan,n\n7,", ",x"),
        ("id,card aadhaar ssn pan,n\n7,", ",8"),
        ("ssn aadhaar card pan → ", " ok"),
        ("ssn aadhaar card pan→", "; ok"),
        ("ssn aadhaar card pan “", "”."),
        ("• ssn aadhaar card pan «", "»"),
        ("ssn aadhaar card pan【", "】"),
        ("😀", "😀"),
    ];
    for (kind, value) in values {
        for (before, after) in places {
            let text = format!("{before}{value}{after}");
            let found = kinds(&text);
            assert!(
                found.iter().any(|(k, v)| k == kind && v == value),
                "{text}: {found:?}"
            );
        }
    }
}

#[test]
fn parts_of_other_numbers_are_none() {
    let table = [
        "chapter 7.5.5.0",
        "see section 3.1.4.1 of the manual",
        "it cost 1,123-45 in all",
        "a total of 4,111,111,111,111,111 stars",
        "pi is 3,1415926535897932",
        "order no. 2341-2341-2346",
    ];
    for text in table {
        assert!(kinds(text).is_empty(), "{text}: {:?}", kinds(text));
    }
}

#[test]
fn keys_with_a_single_digit_and_names_of_regions_are_found() {
    let table = [
        "conf -H \"private_token: mXRlBUEVaZjqjjhjgffAj2bD\"",
        "pat-na1-c05404c7-65b0-3515-c262-425c5041bc9a is the credential",
    ];
    for text in table {
        let found = kinds(text);
        assert!(
            found.iter().any(|(k, _)| k == "API_KEY"),
            "{text}: {found:?}"
        );
    }
    let plain = "secret: someVeryLongCamelCaseNameOfAFunction2";
    assert!(kinds(plain).is_empty(), "{:?}", kinds(plain));
}
