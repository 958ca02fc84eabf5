//! Floating-point numbers as Go prints them.

/// A number as `%v` prints it: the shortest digits that mean it, with an exponent from a million on.
pub(crate) fn float(number: f64) -> String {
    let special = special(number);
    if let Some(word) = special {
        return word.to_owned();
    }
    let (mantissa, exponent) = parts(number);
    if (-4..21).contains(&exponent) && (exponent < SHORTEST_EXPONENT_MIN) {
        return format!("{number}");
    }
    with_exponent(&mantissa, exponent)
}

/// A number of this size and more has an exponent when its digits are the shortest that mean it.
const SHORTEST_EXPONENT_MIN: i32 = 6;

/// `%e` with so many digits behind the point.
pub(super) fn scientific(number: f64, precision: usize) -> String {
    if let Some(word) = special(number) {
        return word.to_owned();
    }
    let text = format!("{number:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    with_exponent(mantissa, exponent.parse().unwrap_or(0))
}

fn special(number: f64) -> Option<&'static str> {
    match number {
        n if n.is_nan() => Some("NaN"),
        f64::INFINITY => Some("+Inf"),
        f64::NEG_INFINITY => Some("-Inf"),
        _ => None,
    }
}

fn parts(number: f64) -> (String, i32) {
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (mantissa.to_owned(), exponent.parse().unwrap_or(0))
}

fn with_exponent(mantissa: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}
