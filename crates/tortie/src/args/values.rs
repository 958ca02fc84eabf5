//! Values of flags that are neither words of a list nor plain text.

use std::time::Duration;

use tortie_api::nearest;

/// Levels of log lines.
pub(crate) const LOG_LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A level, or directives that name one for each library: `kube_client=debug,info`.
pub(super) fn log_level(text: &str) -> Result<String, String> {
    if text.contains(['=', ',']) || LOG_LEVELS.iter().any(|level| level.eq_ignore_ascii_case(text)) {
        return Ok(text.to_owned());
    }
    Err(match nearest(text, LOG_LEVELS) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("use one of {}", LOG_LEVELS.join(", ")),
    })
}

/// A duration: `90s`, `1m30s`, `1.5s`, `500ms`, or a bare number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration: write for instance `90s`, `1m30s` or `1.5s`");
    let seconds = |number: &str, scale: f64| {
        let number: f64 = number.parse().map_err(|_| wrong())?;
        Duration::try_from_secs_f64(number * scale).map_err(|_| wrong())
    };
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return seconds(text, 1.0);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, behind) = rest.split_at(end);
        let end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, next) = behind.split_at(end);
        let scale = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        total = total.checked_add(seconds(number, scale)?).ok_or_else(wrong)?;
        rest = next;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_words_or_directives() {
        for text in ["warn", "DEBUG", "off", "kube_client=debug,info"] {
            assert_eq!(log_level(text).as_deref(), Ok(text));
        }
        assert_eq!(log_level("wran"), Err("did you mean `warn`?".to_owned()));
        assert!(log_level("loud").is_err_and(|error| error.contains("trace")));
    }

    #[test]
    fn durations_are_those_of_cli_md_2_1() {
        for (text, ms) in
            [("90s", 90_000), ("1m30s", 90_000), ("1.5s", 1_500), ("5", 5_000), ("500ms", 500), ("2h", 7_200_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "x", "5x", "-1s", "1s5", "s", "1e9h"] {
            assert!(text.is_empty() || duration(text).is_err(), "{text}");
        }
    }
}
