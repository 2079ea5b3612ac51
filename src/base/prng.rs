//! The random generator of the pure rooms and of the simulator: xoshiro256**, integers only, seeded by the driver.
//! Source: Blackman and Vigna, "Scrambled linear pseudorandom number generators" (2021); seeding by SplitMix64.

/// Not for secrets. The same seed gives the same numbers on every machine.
#[derive(Clone, Debug)]
pub struct Prng([u64; 4]);

impl Prng {
    pub fn new(seed: u64) -> Prng {
        let mut state = seed;
        let mut split = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Prng([split(), split(), split(), split()])
    }

    /// A stream of its own for a component, so that a new draw in one doesn't shift the others.
    pub fn salted(seed: u64, salt: &str) -> Prng {
        let salt = salt
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
        Prng::new(seed ^ salt)
    }

    /// The next 64 bits.
    #[allow(clippy::should_implement_trait)] // never ends, and is no iterator
    pub fn next(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// Uniform in `0..bound`; zero where the bound is zero. Unbiased enough: the bias is below bound / 2^64.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// True `part` times in `whole`.
    pub fn chance(&mut self, part: u64, whole: u64) -> bool {
        self.below(whole) < part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_salt_and_agree_by_seed() {
        let (mut a, mut b, mut c) =
            (Prng::salted(7, "disk"), Prng::salted(7, "disk"), Prng::salted(7, "net"));
        let (x, y, z) = (a.next(), b.next(), c.next());
        assert_eq!(x, y);
        assert_ne!(x, z);
        for _ in 0..1000 {
            assert!(a.below(10) < 10);
        }
    }
}
