//! A set of a loop's slots, a bit each: asked once per event, so it stays within the nearest cache.

/// Holds slot numbers. Grows to the largest one put in.
#[derive(Debug, Default)]
pub struct Slots(Vec<u64>);

impl Slots {
    pub fn contains(&self, slot: u32) -> bool {
        self.0.get(slot as usize / 64).is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    pub fn insert(&mut self, slot: u32) {
        let word = slot as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (slot % 64);
    }

    pub fn remove(&mut self, slot: u32) {
        if let Some(word) = self.0.get_mut(slot as usize / 64) {
            *word &= !(1 << (slot % 64));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_put_in_and_not_taken_out() {
        let mut slots = Slots::default();
        slots.remove(5000);
        for slot in [0, 63, 64, 131_071] {
            assert!(!slots.contains(slot));
            slots.insert(slot);
            assert!(slots.contains(slot));
        }
        assert!(!slots.contains(1) && !slots.contains(65) && !slots.contains(1 << 20));
        slots.remove(63);
        assert!(slots.contains(0) && !slots.contains(63) && slots.contains(64));
    }
}
