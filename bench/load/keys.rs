//! Which znode is next: uniformly, by Zipf's law, or one after the other. And how large its data is.
//!
//! Called by `workload`, once per operation. Pure; randomness is seeded. Tested: `keys_test.rs`.

use crate::base::Prng;
use std::fmt;

/// How keys are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    Uniform,
    /// The key of rank `r` is asked for in proportion to `1 / r^exponent`.
    Zipf {
        exponent: f64,
    },
    Sequential,
}

/// That of YCSB.
const ZIPF_EXPONENT: f64 = 0.99;

impl std::str::FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Distribution, String> {
        match text.split_once(':') {
            None if text == "uniform" => Ok(Distribution::Uniform),
            None if text == "sequential" => Ok(Distribution::Sequential),
            None if text == "zipf" => Ok(Distribution::Zipf { exponent: ZIPF_EXPONENT }),
            Some(("zipf", exponent)) => match exponent.parse::<f64>() {
                Ok(exponent) if (0.01..=10.0).contains(&exponent) => Ok(Distribution::Zipf { exponent }),
                _ => Err(format!("the exponent of zipf must be 0.01 to 10, not {exponent:?}")),
            },
            _ => Err(format!("{text:?} is none of uniform, zipf, zipf:EXPONENT, sequential")),
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distribution::Uniform => f.write_str("uniform"),
            Distribution::Zipf { exponent } => write!(f, "zipf:{exponent}"),
            Distribution::Sequential => f.write_str("sequential"),
        }
    }
}

/// Chooses among the keys `0..count`.
pub struct Keys {
    count: u64,
    choice: Choice,
}

enum Choice {
    Uniform,
    Zipf(Zipf),
    Sequential { next: u64 },
}

/// A prime above every count of keys: multiplying by it gives each rank a key of its own, far from its neighbour's, so that
/// what is asked for most isn't all below one parent.
const SCATTER: u64 = 2_654_435_761;

impl Keys {
    pub fn new(count: u64, distribution: Distribution) -> Keys {
        assert!((1..SCATTER).contains(&count), "the arguments' checks bound --keys");
        let choice = match distribution {
            Distribution::Uniform => Choice::Uniform,
            Distribution::Zipf { exponent } => Choice::Zipf(Zipf::new(count, exponent)),
            Distribution::Sequential => Choice::Sequential { next: 0 },
        };
        Keys { count, choice }
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    #[inline]
    pub fn draw(&mut self, rng: &mut Prng) -> u64 {
        match &mut self.choice {
            Choice::Uniform => rng.below(self.count),
            Choice::Zipf(zipf) => (zipf.draw(rng) - 1) * SCATTER % self.count,
            Choice::Sequential { next } => {
                let key = *next;
                *next = if key + 1 == self.count { 0 } else { key + 1 };
                key
            }
        }
    }
}

/// Ranks from 1 on, by rejection and inversion: no table, whatever the count. Source: Hörmann and Derflinger,
/// "Rejection-inversion to generate variates from monotone discrete distributions" (1996).
struct Zipf {
    count: f64,
    exponent: f64,
    /// The integral of the density, from below rank 1 to above the last one.
    from: f64,
    to: f64,
    /// Closer than this to its rank a point is always accepted.
    close: f64,
}

impl Zipf {
    fn new(count: u64, exponent: f64) -> Zipf {
        let mut zipf = Zipf { count: count as f64, exponent, from: 0.0, to: 0.0, close: 0.0 };
        zipf.from = zipf.integral(1.5) - 1.0;
        zipf.to = zipf.integral(zipf.count + 0.5);
        zipf.close = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.density(2.0));
        zipf
    }

    fn density(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    /// `(x^(1 - exponent) - 1) / (1 - exponent)`, and the logarithm where the exponent is 1.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        let power = (1.0 - self.exponent) * log;
        // Near zero the quotient loses its digits; its limit is 1.
        if power.abs() < 1e-8 { log * (1.0 + power / 2.0) } else { log * power.exp_m1() / power }
    }

    fn inverse(&self, area: f64) -> f64 {
        let t = ((1.0 - self.exponent) * area).max(-1.0);
        if t.abs() < 1e-8 { (area * (1.0 - t / 2.0)).exp() } else { (area * t.ln_1p() / t).exp() }
    }

    /// Not inlined, so that the uniform choice is.
    #[inline(never)]
    fn draw(&self, rng: &mut Prng) -> u64 {
        loop {
            let unit = (rng.next() >> 11) as f64 / (1u64 << 53) as f64;
            let area = self.to + unit * (self.from - self.to);
            let x = self.inverse(area);
            let rank = x.round().clamp(1.0, self.count);
            if rank - x <= self.close || area >= self.integral(rank + 0.5) - self.density(rank) {
                return rank as u64;
            }
        }
    }
}

/// The data of a znode: so many bytes, or uniformly between two sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    pub min: usize,
    pub max: usize,
}

impl Sizes {
    pub fn fixed(bytes: usize) -> Sizes {
        Sizes { min: bytes, max: bytes }
    }

    pub fn draw(&self, rng: &mut Prng) -> usize {
        if self.min == self.max {
            return self.min;
        }
        self.min + rng.below((self.max - self.min + 1) as u64) as usize
    }
}

impl std::str::FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Sizes, String> {
        let wrong = || format!("{text:?} is neither a number of bytes nor a range as in 100-1000");
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        let sizes = Sizes { min: min.parse().map_err(|_| wrong())?, max: max.parse().map_err(|_| wrong())? };
        if sizes.min > sizes.max {
            return Err(format!("{text:?} ends before it begins"));
        }
        Ok(sizes)
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max { write!(f, "{}", self.min) } else { write!(f, "{}-{}", self.min, self.max) }
    }
}

#[cfg(test)]
#[path = "keys_test.rs"]
mod tests;
