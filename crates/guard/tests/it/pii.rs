//! Each kind of personal data: what is found, and what is not.

use guard::{Action, AdHoc, Check as _, Entity, PatternCheck, PiiSettings};

/// The kinds found in a text, with what was matched.
fn found(text: &str) -> Vec<(String, String)> {
    let check = PatternCheck::pii(
        "pii",
        PiiSettings::of(
            Entity::ALL
                .iter()
                .copied()
                .filter(|e| *e != Entity::InMobile),
        ),
    );
    let findings = check.scan(text).findings;
    let kind = |rule| check.rule(rule).expect("a rule").kind.to_owned();
    let part = |start, end| text.get(start..end).expect("borders").to_owned();
    findings
        .iter()
        .map(|f| (kind(f.rule), part(f.start, f.end)))
        .collect()
}

#[test]
fn each_kind_is_found_by_its_rule() {
    let table = [
        (
            "my card 4111 1111 1111 1111",
            "CREDIT_CARD",
            "4111 1111 1111 1111",
        ),
        ("2223003122003222", "CREDIT_CARD", "2223003122003222"),
        (
            "amex 3782-822463-10005.",
            "CREDIT_CARD",
            "3782-822463-10005",
        ),
        (
            "write to ana.p+x@mail.example.co.in.",
            "EMAIL_ADDRESS",
            "ana.p+x@mail.example.co.in",
        ),
        ("{\"to\":\"bo@ex.org\"}", "EMAIL_ADDRESS", "bo@ex.org"),
        ("+44 7911 123456", "PHONE_NUMBER", "+44 7911 123456"),
        ("(415) 555-0132 x12", "PHONE_NUMBER", "(415) 555-0132 x12"),
        ("call 98765 43210", "PHONE_NUMBER", "98765 43210"),
        (
            "fon +49 (0)170 1234567",
            "PHONE_NUMBER",
            "+49 (0)170 1234567",
        ),
        (
            "GB82 WEST 1234 5698 7654 32",
            "IBAN_CODE",
            "GB82 WEST 1234 5698 7654 32",
        ),
        ("from 203.0.113.9:443", "IP_ADDRESS", "203.0.113.9"),
        ("via 2001:db8::1f", "IP_ADDRESS", "2001:db8::1f"),
        ("mac 00:1b:44:11:3a:b7", "MAC_ADDRESS", "00:1b:44:11:3a:b7"),
        ("see https://ex.org/a?b=1.", "URL", "https://ex.org/a?b=1"),
        (
            "pay 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
            "CRYPTO",
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
        ),
        ("ssn 123-45-6789", "US_SSN", "123-45-6789"),
        ("itin 912-71-1234", "US_ITIN", "912-71-1234"),
        ("passport number 912803456", "US_PASSPORT", "912803456"),
        (
            "checking account 123456789012",
            "US_BANK_NUMBER",
            "123456789012",
        ),
        ("driver license D1234567", "US_DRIVER_LICENSE", "D1234567"),
        ("medicare 1EG4TE5MK73", "US_MBI", "1EG4TE5MK73"),
        ("npi 1234567893", "US_NPI", "1234567893"),
        ("DEA AB1234563", "MEDICAL_LICENSE", "AB1234563"),
        ("nhs 943 476 5919", "UK_NHS", "943 476 5919"),
        ("nino AB 12 34 56 C", "UK_NINO", "AB 12 34 56 C"),
        ("dni 12345678Z", "ES_NIF", "12345678Z"),
        ("nie X1234567L", "ES_NIF", "X1234567L"),
        ("RSSMRA85T10A562S", "IT_FISCAL_CODE", "RSSMRA85T10A562S"),
        ("pesel 44051401359", "PL_PESEL", "44051401359"),
        ("nric S1234567D", "SG_NRIC_FIN", "S1234567D"),
        ("abn 51 824 753 556", "AU_ABN", "51 824 753 556"),
        ("tfn 123 456 782", "AU_TFN", "123 456 782"),
        ("medicare 2123 45670 1", "AU_MEDICARE", "2123 45670 1"),
        ("Steuer-ID 86095742719", "DE_TAX_ID", "86095742719"),
        ("131052-308T", "FI_PERSONAL_IDENTITY_CODE", "131052-308T"),
        ("rrn 900101-1234568", "KR_RRN", "900101-1234568"),
        ("aadhaar 2341 2341 2346", "IN_AADHAAR", "2341 2341 2346"),
        ("pan ABCPE1234F", "IN_PAN", "ABCPE1234F"),
        ("27AAPFU0939F1ZV", "IN_GSTIN", "27AAPFU0939F1ZV"),
        ("voter ABC1234567", "IN_VOTER", "ABC1234567"),
        ("passport J8369854", "IN_PASSPORT", "J8369854"),
        ("MH-12-AB-1234", "IN_VEHICLE_REGISTRATION", "MH-12-AB-1234"),
        ("DL3CAF0001", "IN_VEHICLE_REGISTRATION", "DL3CAF0001"),
        ("22 BH 6517 A", "IN_VEHICLE_REGISTRATION", "22 BH 6517 A"),
        ("pay ravi.k@okaxis", "IN_UPI_ID", "ravi.k@okaxis"),
        ("SBIN0001234", "IN_IFSC", "SBIN0001234"),
        ("abha 91-1234-5678-9012", "IN_ABHA", "91-1234-5678-9012"),
        ("४१११ ११११ ११११ ११११", "CREDIT_CARD", "४१११ ११११ ११११ ११११"),
    ];
    for (text, kind, matched) in table {
        assert_eq!(
            found(text),
            [(kind.to_owned(), matched.to_owned())],
            "{text}"
        );
    }
}

#[test]
fn what_fails_its_check_or_is_something_else_is_not_found() {
    let table = [
        "4111 1111 1111 1112",
        "order 2341 2341 2347",
        "10.0.13954.1519",
        "2024-05-17 10:21:33",
        "1657140298",
        "000-12-3456 and 666-12-3456",
        "ABCXE1234F",
        "27AAPFU0939F1ZW",
        "SBIN1001234",
        "YY 12 AB 1234",
        "GB82 WEST 1234 5698 7654 33",
        "b699f06e-7623-4f67-b8e6-bb0baf508734",
        "be220dc54ee6451651cf4bdf2642a1a3de6f3c84",
        "@handle and a@b",
        "git@host:path std::vec a::b",
        "Rs 63,63,373.94",
        "The year 2019 and 2020, 12 of 100.",
        "order ORD-8916122599514 #907960924",
        "ssh root@server",
    ];
    for text in table {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn indian_mobile_numbers_have_a_name_of_their_own_where_configured() {
    let check = PatternCheck::pii("pii", PiiSettings::of([Entity::InMobile]));
    let verdict = check.scan("call +91 98765 43210 or +44 7911 123456");
    assert_eq!(
        verdict.masked.as_deref(),
        Some("call <IN_MOBILE> or +44 7911 123456")
    );
}

#[test]
fn allowed_texts_thresholds_and_actions_hold() {
    let mut settings = PiiSettings::of([Entity::Email, Entity::InVoter]);
    settings.allow.insert("help@example.org".to_owned());
    let rule = settings.rules.get_mut(&Entity::InVoter).expect("a rule");
    (rule.threshold, rule.action) = (90, Action::Block);
    let check = PatternCheck::pii("pii", settings);
    assert!(check.scan("help@example.org, ABC1234567").passed());
    assert!(check.scan("voter ABC1234567").blocked.is_some());
    assert_eq!(
        check.scan("to bo@ex.org").masked.as_deref(),
        Some("to <EMAIL_ADDRESS>")
    );
}

#[test]
fn recognisers_of_the_operators_own_run_and_hostile_ones_are_refused() {
    let zip = AdHoc::new(
        "zip",
        "ZIP",
        &[(r"\b\d{5}\b".to_owned(), 0.3)],
        &[],
        &["zip".to_owned()],
    );
    let title = AdHoc::new(
        "t",
        "TITLE",
        &[],
        &["Mr.".to_owned(), "Ms.".to_owned()],
        &[],
    );
    let own = vec![zip.expect("compiles"), title.expect("compiles")];
    let check =
        PatternCheck::pii("pii", PiiSettings::default()).with_recognisers(own, Action::Mask);
    let masked = check
        .scan("Not 90210 alone; Ms. Lee, zip 90210, mail bo@ex.org")
        .masked;
    assert_eq!(
        masked.as_deref(),
        Some("Not 90210 alone; <TITLE> Lee, zip <ZIP>, mail <EMAIL_ADDRESS>")
    );
    assert!(check.stream().is_none());
    for hostile in [r"(a)\1", r"(?=a)", "(", "(a{1000}){1000}"] {
        assert!(
            AdHoc::new("x", "X", &[(hostile.to_owned(), 0.5)], &[], &[]).is_err(),
            "{hostile}"
        );
    }
    let bomb = AdHoc::new("x", "X", &[("(a*)*(a*)*b".to_owned(), 0.9)], &[], &[]).expect("linear");
    let check =
        PatternCheck::pii("pii", PiiSettings::default()).with_recognisers(vec![bomb], Action::Mask);
    assert!(check.scan(&"a".repeat(100_000)).passed());
}
