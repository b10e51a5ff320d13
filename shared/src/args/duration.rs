//! Durations as Go writes and reads them.

use std::time::Duration;

/// Reads a duration of Go: `30s`, `5m`, `1h30m`, `1.5h`, `100ms`, `0`. A number without a unit is an error, except for zero.
///
/// Units are `ns`, `us`, `µs`, `ms`, `s`, `m` and `h`. Negative durations are refused: no flag of ours has a use for them.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let bad = || format!("invalid duration {text:?}: use a number with a unit, such as 30s, 5m or 1h30m");
    if rest.is_empty() {
        return Err(bad());
    }
    let mut nanos: f64 = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let unit_len = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = match &rest[..unit_len] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(bad()),
        };
        nanos += number * unit;
        rest = &rest[unit_len..];
    }
    // Go keeps durations in 63 bits of nanoseconds, about 292 years.
    if nanos > i64::MAX as f64 {
        return Err(bad());
    }
    Ok(Duration::from_nanos(nanos.round() as u64))
}

/// Reads the value of `--request-timeout`: as [`parse_duration`], and also a bare number of seconds.
pub fn parse_request_timeout(text: &str) -> Result<Duration, String> {
    text.parse::<u32>().map(|seconds| Duration::from_secs(seconds.into())).or_else(|_| parse_duration(text)).map_err(|_| {
        "Timeout must be a single integer in seconds, or an integer followed by a corresponding time unit (e.g. 1s | 2m | 3h)"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go() {
        let cases = [
            ("0", 0),
            ("0s", 0),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("100ms", 100),
            ("1m0.5s", 60_500),
            (".5s", 500),
            ("+2s", 2_000),
            ("2h45m30s", 9_930_000),
        ];
        for (text, millis) in cases {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "30",
            "s",
            "5 m",
            "-1s",
            "1d",
            "1h-2m",
            "1..5s",
            "300000000h",
            "five",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_request_timeout_may_be_bare_seconds() {
        assert_eq!(parse_request_timeout("5"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_request_timeout("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_request_timeout("0"), Ok(Duration::ZERO));
        assert!(parse_request_timeout("x").is_err());
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read(hours in 0u64..2000, minutes in 0u64..60, millis in 0u64..60_000, noise in ".*") {
            let text = format!("{hours}h{minutes}m{}.{:03}s", millis / 1000, millis % 1000);
            proptest::prop_assert_eq!(parse_duration(&text), Ok(Duration::from_millis((hours * 60 + minutes) * 60_000 + millis)));
            drop(parse_duration(&noise));
        }
    }
}
