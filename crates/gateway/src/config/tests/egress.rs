//! Tests of the allow-list.

use std::net::IpAddr;

use super::{AddressClass, classify};
use crate::config::tests::support::{load_text, where_of};
use crate::config::{Egress, Host};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn name(text: &str) -> Host {
    Host::Name(text.to_owned())
}

#[test]
fn addresses_have_their_class() {
    use AddressClass::{Metadata, Private, Public, Special};
    for (address, class) in [
        ("8.8.8.8", Public),
        ("172.15.0.1", Public),
        ("172.32.0.1", Public),
        ("2606:4700::1111", Public),
        ("::ffff:8.8.8.8", Public),
        ("127.0.0.1", Private),
        ("127.255.0.1", Private),
        ("10.0.0.1", Private),
        ("172.16.0.1", Private),
        ("192.168.0.1", Private),
        ("100.64.0.1", Private),
        ("::1", Private),
        ("::ffff:10.0.0.1", Private),
        ("fd12::1", Private),
        ("0.0.0.0", Special),
        ("0.1.2.3", Special),
        ("169.254.169.254", Metadata),
        ("::ffff:169.254.169.254", Metadata),
        ("100.100.100.200", Metadata),
        ("168.63.129.16", Metadata),
        ("192.0.0.192", Special),
        ("192.0.2.1", Special),
        ("198.18.0.1", Special),
        ("224.0.0.1", Special),
        ("255.255.255.255", Special),
        ("::", Special),
        ("fe80::1", Special),
        ("ff02::1", Special),
        ("fd00:ec2::254", Metadata),
        ("64:ff9b::a9fe:a9fe", Metadata),
        ("64:ff9b::808:808", Public),
        ("64:ff9b::a00:1", Private),
        ("169.254.1.1", Special),
        ("169.254.170.2", Metadata),
        ("3fff::1", Special),
        ("64:ff9b:1::1", Special),
        ("2002:a9fe:a9fe::1", Special),
        ("2001::1", Special),
        ("2001:db8::1", Special),
        ("::169.254.169.254", Special),
        ("fec0::1", Special),
    ] {
        assert_eq!(classify(ip(address)), class, "{address}");
    }
}

#[test]
fn nothing_inner_is_allowed_by_default() {
    let egress = Egress::default();
    assert!(egress.allows(&name("api.example.com"), 443, ip("93.184.215.14")));
    for address in [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "::1",
        "fd00:ec2::254",
    ] {
        assert!(
            !egress.allows(&name("api.example.com"), 443, ip(address)),
            "{address}"
        );
    }
}

fn loaded(allow: &str, base: &str) -> Egress {
    let text = format!(
        "model_list:\n- model_name: a\n  litellm_params: {{model: openai/a, api_base: '{base}', api_key: k}}\n\
         sealgate: {{egress: {{allow: {allow}}}}}\n"
    );
    load_text(&text).unwrap().egress
}

#[test]
fn ssrf_05_a_base_address_opens_private_addresses_of_its_own_host_and_port() {
    let egress = loaded("[]", "http://models.internal:8000/v1");
    let host = name("models.internal");
    assert!(egress.allows(&host, 8000, ip("10.1.1.1")));
    assert!(egress.allows(&host, 8000, ip("::ffff:10.1.1.1")));
    assert!(!egress.allows(&host, 8001, ip("10.1.1.1")));
    assert!(!egress.allows(&name("other.internal"), 8000, ip("10.1.1.1")));
    // A name that turns to the metadata address stays shut.
    assert!(!egress.allows(&host, 8000, ip("169.254.169.254")));
    assert!(!egress.allows(&host, 8000, ip("fd00:ec2::254")));
}

#[test]
fn the_allow_list_opens_what_it_names() {
    let egress = loaded(
        "[169.254.1.1, 'relay.internal:99', 10.4.0.0/16]",
        "https://a.example",
    );
    assert!(egress.allows(&Host::Ip(ip("169.254.1.1")), 80, ip("169.254.1.1")));
    assert!(egress.allows(&name("anything.example"), 1, ip("10.4.5.6")));
    assert!(egress.allows(&name("relay.internal"), 99, ip("192.168.1.1")));
    assert!(!egress.allows(&name("relay.internal"), 98, ip("192.168.1.1")));
    assert!(!egress.allows(&name("anything.example"), 1, ip("10.5.5.6")));
}

#[test]
fn ssrf_03_a_reserved_address_as_base_stops_the_start_unless_it_is_named() {
    for base in [
        "http://169.254.169.254/v1",
        "http://[fd00:ec2::254]/v1",
        "http://169.254.1.1/v1",
        "http://0.0.0.0:1",
    ] {
        let text = format!(
            "model_list:\n- model_name: a\n  litellm_params: {{model: openai/a, api_base: '{base}', api_key: k}}\n"
        );
        let rejected = load_text(&text).unwrap_err();
        assert_eq!(
            where_of(&rejected.problems),
            ["3 model_list[0].litellm_params.api_base"],
            "{base}"
        );
    }
    loaded("[169.254.1.1]", "http://169.254.1.1/v1");
}

#[test]
fn entries_that_are_no_hosts_are_problems() {
    for allow in [
        "['a b']",
        "['user@host']",
        "['host:x']",
        "['10.0.0.0/99']",
        "['']",
        "[{}]",
    ] {
        let rejected =
            load_text(&format!("sealgate:\n  egress:\n    allow: {allow}\n")).unwrap_err();
        assert_eq!(
            where_of(&rejected.problems),
            ["3 sealgate.egress.allow"],
            "{allow}"
        );
    }
}

#[test]
fn ssrf_03_nothing_opens_a_metadata_address() {
    for address in ["169.254.169.254", "100.100.100.200", "'fd00:ec2::254'"] {
        let text = format!("sealgate:\n  egress:\n    allow: [{address}]\n");
        let rejected = load_text(&text).unwrap_err();
        assert_eq!(
            where_of(&rejected.problems),
            ["3 sealgate.egress.allow"],
            "{address}"
        );
    }
    let egress = loaded("[0.0.0.0/0, '::/0', rebind.example]", "https://a.example");
    assert!(egress.allows(&name("rebind.example"), 80, ip("10.0.0.1")));
    for address in [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "fd00:ec2::254",
    ] {
        assert!(
            !egress.allows(&name("rebind.example"), 80, ip(address)),
            "{address}"
        );
    }
}
