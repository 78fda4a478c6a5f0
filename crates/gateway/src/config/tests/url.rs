//! Tests of addresses.

use std::net::{IpAddr, Ipv6Addr};

use super::{BaseUrl, Host, UrlError};

#[test]
fn good_addresses_are_taken_apart() {
    for (text, shown) in [
        ("https://api.example.com/v1", "https://api.example.com/v1"),
        ("https://API.Example.com./v1/", "https://api.example.com/v1"),
        ("HTTP://localhost:8000", "http://localhost:8000"),
        ("https://h:443/", "https://h"),
        ("http://10.0.0.1:80/a/b", "http://10.0.0.1/a/b"),
        ("http://[::1]:9/v1", "http://[::1]:9/v1"),
        ("http://[::ffff:10.0.0.1]", "http://10.0.0.1"),
        ("https://h/a%20b", "https://h/a%20b"),
    ] {
        // %20 is a space in disguise.
        let parsed = BaseUrl::parse(text).map(|url| url.to_string());
        if text.contains("%20") {
            assert_eq!(parsed, Err(UrlError::Path));
        } else {
            assert_eq!(parsed.as_deref(), Ok(shown), "{text}");
        }
    }
    let mapped = BaseUrl::parse("http://[::ffff:127.0.0.1]:1").unwrap();
    assert_eq!(mapped.host, Host::Ip("127.0.0.1".parse().unwrap()));
    let v6 = BaseUrl::parse("https://[2001:db8::1]").unwrap();
    assert!(matches!(v6.host, Host::Ip(IpAddr::V6(a)) if a != Ipv6Addr::LOCALHOST));
}

#[test]
fn ssrf_07_what_two_readers_could_split_differently_is_refused() {
    for (text, error) in [
        ("https://good@evil", UrlError::User),
        ("https://good:pw@evil/v1", UrlError::User),
        ("https://good\\@evil", UrlError::Characters),
        ("https://good#@evil", UrlError::Query),
        ("https://evil#.openai.azure.com", UrlError::Query),
        ("https://evil?.openai.azure.com", UrlError::Query),
        ("https://ev\til", UrlError::Characters),
        ("https://evil\n.com", UrlError::Characters),
        ("https://e\u{0301}vil", UrlError::Characters),
        ("https://ⓔvil", UrlError::Characters),
        ("ftp://h", UrlError::Scheme),
        ("h/v1", UrlError::Scheme),
        ("//h/v1", UrlError::Scheme),
        ("https:/h", UrlError::Scheme),
        ("https://", UrlError::Host),
        ("https:///v1", UrlError::Host),
        ("https://2130706433", UrlError::Host),
        ("https://0x7f000001", UrlError::Host),
        ("https://127.1", UrlError::Host),
        ("https://0177.0.0.1", UrlError::Host),
        ("https://1.2.3.4.5", UrlError::Host),
        ("https://a..b", UrlError::Host),
        ("https://-a.b", UrlError::Host),
        ("https://a_b-.c", UrlError::Host),
        ("https://[::1", UrlError::Host),
        ("https://[v1.x]", UrlError::Host),
        ("https://h:0", UrlError::Port),
        ("https://h:99999", UrlError::Port),
        ("https://h:+80", UrlError::Port),
        ("https://h:", UrlError::Port),
        ("https://[::1]x", UrlError::Port),
        ("https://h/../x", UrlError::Path),
        ("https://h/%2e%2E/x", UrlError::Path),
        ("https://h//x", UrlError::Path),
        ("https://h/a%2fb", UrlError::Path),
        ("https://h/a%00", UrlError::Path),
        ("https://h/a%zz", UrlError::Path),
    ] {
        assert_eq!(BaseUrl::parse(text).err(), Some(error), "{text}");
    }
}
