//! Quantities as whole milli-units, so that sums are exact.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// One thousandth of a resource's base unit (cores, bytes, pieces).
pub type Milli = i128;

/// The largest amount: more than 2^63 base units are never stored.
const LARGEST: Milli = 1_000 << 63;

/// Amounts by resource name (`cpu`, `memory`, `pods`, `nvidia.com/gpu`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources(pub BTreeMap<String, Milli>);

impl Resources {
    /// Reads an API map. A quantity that cannot be parsed (the server would not have accepted it) counts as nothing.
    pub fn read(map: Option<&BTreeMap<String, Quantity>>) -> Self {
        let pairs = map.into_iter().flatten();
        Self(
            pairs
                .map(|(name, quantity)| (name.clone(), milli(&quantity.0).unwrap_or(0)))
                .collect(),
        )
    }

    /// The amount of one resource; nothing where it is not named.
    pub fn get(&self, name: &str) -> Milli {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Adds another set.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            *self.0.entry(name.clone()).or_default() += amount;
        }
    }

    /// Takes another set away; the result may be negative on an overcommitted node.
    pub fn sub(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            *self.0.entry(name.clone()).or_default() -= amount;
        }
    }

    /// Raises each amount to at least that of the other set.
    pub fn max(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let mine = self.0.entry(name.clone()).or_default();
            *mine = (*mine).max(*amount);
        }
    }

    /// Writes an API map over this one: a value that is named there wins.
    pub fn overlay(&mut self, other: &Self) {
        self.0
            .extend(other.0.iter().map(|(name, amount)| (name.clone(), *amount)));
    }
}

/// Parses a Kubernetes quantity into milli-units, rounded up as the scheduler does.
fn milli(text: &str) -> Option<Milli> {
    let split = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let negative = whole.starts_with('-');
    let digits: String = whole
        .trim_start_matches(['+', '-'])
        .chars()
        .chain(fraction.chars())
        .collect();
    if digits.is_empty() || fraction.len() > 18 {
        return None;
    }
    let mantissa: i128 = digits.parse().ok()?;
    let (factor, divisor): (i128, i128) = match suffix {
        "n" => (1, 1_000_000),
        "u" => (1, 1_000),
        "m" => (1, 1),
        "" => (1_000, 1),
        "k" => (1_000_000, 1),
        "M" => (1_000_000_000, 1),
        "G" => (1_000_000_000_000, 1),
        "T" => (1_000_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000_000, 1),
        "Ki" => (1_000 << 10, 1),
        "Mi" => (1_000 << 20, 1),
        "Gi" => (1_000 << 30, 1),
        "Ti" => (1_000 << 40, 1),
        "Pi" => (1_000 << 50, 1),
        "Ei" => (1_000 << 60, 1),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            if exponent < 0 {
                (1_000, power)
            } else {
                (power.checked_mul(1_000)?, 1)
            }
        }
    };
    let divisor = divisor.checked_mul(10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?)?;
    let scaled = mantissa.checked_mul(factor)?;
    // The server bounds what it stores; what is larger than that is written by nobody who means it, and sums must not overflow.
    let rounded = (scaled.saturating_add(divisor - 1) / divisor).min(LARGEST);
    Some(if negative { -rounded } else { rounded })
}

#[cfg(test)]
mod tests {
    use super::milli;

    #[test]
    fn reads_what_kubernetes_writes() {
        let table = [
            ("100m", Some(100)),
            ("1", Some(1_000)),
            ("0.5", Some(500)),
            ("1.5Gi", Some(1_610_612_736_000)),
            ("128Mi", Some(134_217_728_000)),
            ("1k", Some(1_000_000)),
            ("1e3", Some(1_000_000)),
            ("1E-3", Some(1)),
            ("1n", Some(1)),
            ("1500u", Some(2)),
            ("-2", Some(-2_000)),
            ("", None),
            ("x", None),
            ("1Q", None),
        ];
        for (text, expected) in table {
            assert_eq!(milli(text), expected, "{text}");
        }
    }
}
