//! Networks: e-mail and web addresses, IP and MAC addresses.

use super::page::{Page, pattern, shaped};
use super::secrets::credentials;
use super::{Found, PLAUSIBLE, PiiKind, SURE};
use std::net::Ipv6Addr;
use std::ops::Range;

// RFC 5321, 4.5.3.1: 64 octets before the @; RFC 1035: labels of 63.
pattern!(
    email = r"(?-u:\b)[A-Za-z0-9][A-Za-z0-9._%+'-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?-u:\b)"
);
pattern!(url = r#"(?i)(?-u:\b)(?:(?:https?|ftps?|sftp|wss?)://|www\.)[^\s<>"'`{}|\\^\[\]]+"#);
pattern!(
    bare = r"(?-u:\b)(?:[A-Za-z0-9-]{1,63}\.){1,4}(?:com|org|net|edu|gov|mil|int|info|io|dev|app|co\.uk|org\.uk|ac\.uk|ca|de|es|fr|it|eu|us|in)(?-u:\b)(?::[0-9]{2,5})?(?:/[A-Za-z0-9._~%/?#=&+-]*)?"
);
pattern!(
    v4 = r"(?-u:\b)(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?-u:\b)(?:/(?:3[0-2]|[12]?[0-9])(?-u:\b))?"
);
pattern!(v6 = r"[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*");
pattern!(version = words r"v|ver|version|versión|release|build|firmware|section|chapter|sección|§");
pattern!(
    mac = r"(?-u:\b)(?:[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4})(?-u:\b)"
);

/// Marks that end a sentence around an address, not the address.
const MARKS: [char; 9] = ['.', ',', ';', ':', '!', '?', ')', '*', '_'];

/// Finds the addresses of networks.
pub fn find(page: &Page<'_>, found: &mut Vec<Found>) {
    // Who logs in stands before the host: no mail goes there.
    let logins: Vec<Range<usize>> = credentials(page)
        .into_iter()
        .map(|login| login.bytes)
        .collect();
    let login_in = |bytes: &Range<usize>| {
        let next = logins.partition_point(|login| login.end <= bytes.start);
        logins.get(next).filter(|login| login.start < bytes.end)
    };
    for bytes in page.matches(email()) {
        let local = page.at(&bytes).split('@').next().unwrap_or_default();
        // `git@host:owner/name` is the address of a repository.
        let repository = local == "git" && page.text[bytes.end..].starts_with(':');
        if !repository
            && !local.contains("..")
            && !local.ends_with('.')
            && login_in(&bytes).is_none()
        {
            found.push(shaped(PiiKind::Email, bytes, SURE));
        }
    }
    for bytes in page.matches(url()) {
        // The rest of an address with a name and a password, which are kinds of their own.
        if let Some(login) = login_in(&bytes) {
            let rest = page.text.get(login.end..bytes.end).unwrap_or_default();
            let kept = rest.trim_end_matches(MARKS);
            if !kept.is_empty() {
                let bytes = login.end..login.end + kept.len();
                found.push(shaped(PiiKind::Url, bytes, SURE));
            }
            continue;
        }
        let kept = page.at(&bytes).trim_end_matches(MARKS);
        // A scheme alone is no address.
        if kept.len() > "https://".len() {
            let bytes = bytes.start..bytes.start + kept.len();
            found.push(shaped(PiiKind::Url, bytes, SURE));
        }
    }
    for bytes in page.matches(bare()) {
        let before = page.text[..bytes.start].chars().next_back();
        if !matches!(before, Some('@' | '.' | '/' | '-' | '_' | ':')) {
            let kept = page.at(&bytes).trim_end_matches(['.', '?', '-']);
            let bytes = bytes.start..bytes.start + kept.len();
            found.push(shaped(PiiKind::Url, bytes, PLAUSIBLE));
        }
    }
    for bytes in page.matches(v4()) {
        // 1.2.3.4.5 and "version 1.2.3.4" count editions.
        let before = &page.text[..bytes.start];
        let after = &page.text[bytes.end..];
        let longer = before.ends_with(['.', '-', '_'])
            || (after.starts_with('.') && after[1..].starts_with(|c: char| c.is_ascii_digit()));
        let near = before
            .char_indices()
            .rev()
            .nth(14)
            .map_or(0, |(place, _)| place);
        if !longer && !version().is_match(&before[near..]) {
            found.push(shaped(PiiKind::IpAddress, bytes, 0.95));
        }
    }
    for bytes in page.matches(v6()) {
        let kept = page.at(&bytes).trim_end_matches('.');
        // A colon that ends a clause; `::` may end an address.
        let kept = match kept.strip_suffix(':') {
            Some(shorter) if !shorter.ends_with(':') => shorter,
            _ => kept,
        };
        let groups = kept.split(':').filter(|group| !group.is_empty()).count();
        // Programs write `a::b` and clocks 12:30:00: only what has the look of an address is one.
        let looks = kept == "::1" || (groups >= 3 || kept.split(':').any(|group| group.len() == 4));
        if looks && kept.parse::<Ipv6Addr>().is_ok() {
            let bytes = bytes.start..bytes.start + kept.len();
            found.push(shaped(PiiKind::IpAddress, bytes, SURE));
        }
    }
    for bytes in page.matches(mac()) {
        found.push(shaped(PiiKind::MacAddress, bytes, 0.97));
    }
}
