//! Whether certificates can be used, and for how long.

use std::fs;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use time::OffsetDateTime;

use super::finding::Finding;
use crate::{Settings, tls};

/// A certificate that ends sooner is warned of.
const SOON: i64 = 30;

pub(super) fn look(settings: &Settings, now: OffsetDateTime) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(directory) = &settings.tls {
        match tls::certified(directory) {
            Err(error) => findings.push(Finding::fails("TLS", error)),
            Ok(_) => {
                let path = directory.join("tls.crt");
                let pem = fs::read(&path).unwrap_or_default();
                findings.extend(validity("TLS", &path.display().to_string(), &pem, now));
            }
        }
    }
    if let Some(tls) = &settings.zookeeper.tls {
        findings.extend(authorities("ZooKeeper TLS", "ca.crt", tls.ca.as_bytes(), now));
        if let Some((certificate, _)) = &tls.identity {
            findings.extend(validity("ZooKeeper TLS", "tls.crt", certificate.as_bytes(), now));
        }
    }
    findings
}

/// The same of authorities: one of several that has ended is in nobody's way.
fn authorities(check: &'static str, file: &str, pem: &[u8], now: OffsetDateTime) -> Option<Finding> {
    let times: Option<Vec<_>> = CertificateDer::pem_slice_iter(pem)
        .map(|certificate| times(&certificate.ok()?))
        .collect();
    let times = times.unwrap_or_default();
    let is_valid = |(from, until): &&(OffsetDateTime, OffsetDateTime)| *from <= now && *until > now;
    let valid = times.iter().filter(is_valid).count();
    if valid == 0 || valid == times.len() {
        return validity(check, file, pem, now);
    }
    let at = times.iter().position(|times| !is_valid(&times))?;
    let (from, until) = times[at];
    let what = match until <= now {
        true => format!("has ended on {}", until.date()),
        false => format!("begins on {}", from.date()),
    };
    let message = format!(
        "{file}: certificate {} {what}; {valid} of {} are valid now",
        at + 1,
        times.len()
    );
    Some(Finding::warning(check, message))
}

/// What the certificates in a file say of their time, the one that ends first.
fn validity(check: &'static str, file: &str, pem: &[u8], now: OffsetDateTime) -> Option<Finding> {
    let all = CertificateDer::pem_slice_iter(pem)
        .map(|certificate| certificate.ok().and_then(|certificate| times(&certificate)));
    let all: Vec<_> = all.collect();
    if let Some(at) = all.iter().position(Option::is_none) {
        let message = format!(
            "{file}: what certificate {} says of its time cannot be read",
            at + 1
        );
        return Some(Finding::fails(check, message));
    }
    let Some((from, until)) = all.into_iter().flatten().min_by_key(|(_, until)| *until) else {
        return Some(Finding::fails(check, format!("{file}: it holds no certificates")));
    };
    let days = (until - now).whole_days();
    Some(match days {
        _ if until <= now => Finding::fails(check, format!("{file} has ended on {}: renew it", until.date())),
        _ if from > now => Finding::fails(
            check,
            format!("{file} begins on {}: is the clock right?", from.date()),
        ),
        days if days < SOON => Finding::warning(check, format!("{file} ends in {days} days: renew it")),
        days => Finding::ok(check, format!("{file} is valid for {days} days")),
    })
}

/// From when until when a certificate is valid (RFC 5280, 4.1).
fn times(der: &[u8]) -> Option<(OffsetDateTime, OffsetDateTime)> {
    let (_, certificate, _) = item(der)?;
    let (_, mut body, _) = item(certificate)?;
    // A version, if there is one; serial number, algorithm, issuer.
    let (first, _, after) = item(body)?;
    if first == 0xa0 {
        body = after;
    }
    for _ in 0..3 {
        body = item(body)?.2;
    }
    let (_, validity, _) = item(body)?;
    let (kind, from, rest) = item(validity)?;
    let begin = time(kind, from)?;
    let (kind, until, _) = item(rest)?;
    Some((begin, time(kind, until)?))
}

/// The tag of the first item, what is in it, and what follows.
fn item(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..0x80 => (usize::from(length), rest),
        _ => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            let add = |sum: usize, byte: &u8| sum.checked_mul(256)?.checked_add(usize::from(*byte));
            (bytes.iter().try_fold(0, add)?, rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDhhmmssZ` (`UTCTime`) or `YYYYMMDDhhmmssZ` (`GeneralizedTime`).
fn time(tag: u8, text: &[u8]) -> Option<OffsetDateTime> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        0x17 => {
            let year: i32 = text.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        _ => (text.get(..4)?.parse().ok()?, text.get(4..)?),
    };
    let two = |at: usize| rest.get(at..at + 2)?.parse::<u8>().ok();
    let month = time::Month::try_from(two(0)?).ok()?;
    let date = time::Date::from_calendar_date(year, month, two(2)?).ok()?;
    Some(date.with_hms(two(4)?, two(6)?, two(8)?).ok()?.assume_utc())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use time::macros::datetime;

    use super::super::finding::Outcome;
    use super::*;

    /// A certificate of nobody, with these times, signed by nobody.
    fn certificate(times: &[u8]) -> Vec<u8> {
        let wrap = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
        let body = [
            wrap(0xa0, &[2, 1, 2]),
            wrap(2, &[1]),
            wrap(0x30, &[]),
            wrap(0x30, &[]),
            wrap(0x30, times),
        ];
        wrap(0x30, &wrap(0x30, &body.concat()))
    }

    type Look = fn(&'static str, &str, &[u8], OffsetDateTime) -> Option<Finding>;

    /// What is found at the beginning of December 2026, where a file holds certificates with these times.
    fn found(look: Look, file: &str, times: &[&[u8]]) -> (Outcome, String) {
        let pem = |times: &&[u8]| {
            let body = STANDARD.encode(certificate(times));
            format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
        };
        let pem: String = times.iter().map(pem).collect();
        let now = datetime!(2026-12-01 12:00 UTC);
        let finding = look("TLS", file, pem.as_bytes(), now).unwrap();
        let json = serde_json::to_value(&finding).unwrap();
        (finding.outcome, json["message"].as_str().unwrap().to_owned())
    }

    #[test]
    fn what_has_ended_ends_soon_or_has_not_begun_is_told() {
        let long: &[u8] = b"\x17\x0d260101000000Z\x17\x0d361231120000Z";
        let ended: &[u8] = b"\x17\x0d250101000000Z\x17\x0d261201120000Z";
        let told = |times: &[&[u8]], outcome: Outcome, message: &str| {
            assert_eq!(found(validity, "tls.crt", times), (outcome, message.to_owned()));
        };
        told(&[long], Outcome::Ok, "tls.crt is valid for 3683 days");
        told(
            &[ended],
            Outcome::Fails,
            "tls.crt has ended on 2026-12-01: renew it",
        );
        // The one that ends first counts, wherever it is.
        for chain in [[long, ended], [ended, long]] {
            told(
                &chain,
                Outcome::Fails,
                "tls.crt has ended on 2026-12-01: renew it",
            );
        }
        told(
            &[b"\x17\x0d260101000000Z\x17\x0d261231115959Z"],
            Outcome::Warning,
            "tls.crt ends in 29 days: renew it",
        );
        told(
            &[b"\x17\x0d260101000000Z\x17\x0d261231120000Z"],
            Outcome::Ok,
            "tls.crt is valid for 30 days",
        );
        let later: &[u8] = b"\x17\x0d261201120001Z\x17\x0d361231120000Z";
        told(
            &[later],
            Outcome::Fails,
            "tls.crt begins on 2026-12-01: is the clock right?",
        );
        told(
            &[long, b"\x17\x0d261301000000Z\x17\x0d361231120000Z"],
            Outcome::Fails,
            "tls.crt: what certificate 2 says of its time cannot be read",
        );
        told(&[], Outcome::Fails, "tls.crt: it holds no certificates");
    }

    /// As while an authority is replaced.
    #[test]
    fn of_authorities_one_that_is_valid_is_enough() {
        let told = |times: &[&[u8]]| found(authorities, "ca.crt", times);
        let long: &[u8] = b"\x17\x0d260101000000Z\x17\x0d361231120000Z";
        let ended: &[u8] = b"\x17\x0d200101000000Z\x17\x0d261201000000Z";
        let message = "ca.crt: certificate 2 has ended on 2026-12-01; 1 of 2 are valid now";
        assert_eq!(told(&[long, ended]), (Outcome::Warning, message.to_owned()));
        assert_eq!(told(&[long, long]).0, Outcome::Ok);
        assert_eq!(told(&[ended, ended]).0, Outcome::Fails);
    }

    #[test]
    fn both_kinds_of_times_are_read() {
        let long = b"\x17\x0d260101000000Z\x18\x0f20501231235959Z";
        assert_eq!(
            times(&certificate(long)),
            Some((datetime!(2026-01-01 0:00 UTC), datetime!(2050-12-31 23:59:59 UTC)))
        );
        assert_eq!(times(&certificate(b"\x17\x0d260101")), None);
        assert_eq!(times(b"\x30\xff"), None);
    }
}
