//! Interrupts and network cards: which processors they come to, how packets are dealt out.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::super::{Finding, Level};

/// Fewer are no matter.
const PER_SECOND_MIN: f64 = 1_000.0;

/// Devices' interrupts at the processors of the loops, where there are others. `interrupts`, `uptime`: as /proc has them. Counts are
/// since the host's start, so that of several only the busiest is told.
pub(super) fn interrupts(interrupts: &str, uptime: &str, cores: &BTreeSet<u16>) -> Option<Finding> {
    let up: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    let mut lines = interrupts.lines();
    let processors: Vec<u16> =
        lines.next()?.split_whitespace().filter_map(|name| name.strip_prefix("CPU")?.parse().ok()).collect();
    if processors.iter().all(|processor| cores.contains(processor)) {
        return None;
    }
    let busiest = lines.filter_map(|line| {
        let (number, rest) = line.split_once(':')?;
        let number: u32 = number.trim().parse().ok()?;
        let mut words = rest.split_whitespace();
        let counts: Vec<u64> =
            words.by_ref().take(processors.len()).filter_map(|word| word.parse().ok()).collect();
        let at_loops = processors.iter().zip(&counts).filter(|(processor, _)| cores.contains(processor));
        let events: u64 = at_loops.map(|(_, count)| count).sum();
        Some((events, number, words.last().unwrap_or("a device").to_owned()))
    });
    let (events, number, name) = busiest.max()?;
    let per_second = events as f64 / up.max(1.0);
    (per_second >= PER_SECOND_MIN).then(|| {
        let what =
            format!("interrupt {number} ({name}) came {per_second:.0} times a second to processors of ringkeeper.cores");
        Finding::new(Level::Note, what)
            .todo(format!("Each takes the processor from a loop. /proc/irq/{number}/smp_affinity_list moves it, unless it is managed."))
            .see("irq")
    })
}

/// What the kernel tells of a network card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Card {
    pub name: String,
    /// The processors that packets of each receiving queue are dealt out to, as a mask in hexadecimal. Zero: none.
    pub masks: Vec<String>,
}

/// `place`: /sys/class/net. Only those that are up and have a device: bridges and the like pass packets on.
pub(super) fn cards(place: &Path) -> Vec<Card> {
    let card = |place: &Path| {
        let is_up = fs::read_to_string(place.join("operstate")).is_ok_and(|state| state.trim() == "up");
        if !place.join("device").exists() || !is_up {
            return None;
        }
        let queues = fs::read_dir(place.join("queues")).ok()?.flatten().map(|entry| entry.path());
        let masks = queues
            .filter_map(|queue| Some(fs::read_to_string(queue.join("rps_cpus")).ok()?.trim().to_owned()));
        Some(Card { name: place.file_name()?.to_str()?.to_owned(), masks: masks.collect() })
    };
    let mut cards: Vec<Card> =
        fs::read_dir(place).into_iter().flatten().flatten().filter_map(|entry| card(&entry.path())).collect();
    cards.sort_by(|a, b| a.name.cmp(&b.name));
    cards
}

/// A card with one queue interrupts one processor, whatever the loops.
pub(super) fn queues(cards: &[Card], loops: usize) -> Vec<Finding> {
    let is_narrow = |card: &&Card| matches!(card.masks.as_slice(), [mask] if mask.chars().all(|digit| matches!(digit, '0' | ',')));
    let finding = |card: &Card| {
        let what = format!(
            "{} has one receiving queue: one processor takes in the packets of {loops} loops",
            card.name
        );
        Finding::new(Level::Note, what)
            .todo(format!(
                "A mask of processors without a loop in /sys/class/net/{}/queues/rx-0/rps_cpus spreads them.",
                card.name
            ))
            .see("irq")
    };
    if loops == 1 { vec![] } else { cards.iter().filter(is_narrow).map(finding).collect() }
}
