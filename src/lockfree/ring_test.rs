//! The ring: order, capacity, and what is left when an end goes.

use std::sync::Arc as StdArc;

use super::*;
use crate::base::Prng;

#[test]
fn first_in_first_out_and_full_gives_back() {
    let (mut producer, mut consumer) = ring(4);
    for round in 0..10 {
        assert_eq!((consumer.pop(), consumer.peek()), (None, None));
        for item in 0..4 {
            assert!(!producer.is_full());
            assert_eq!(producer.push(round * 10 + item), Ok(()));
            assert_eq!((producer.len(), consumer.len()), (item + 1, item + 1));
        }
        assert!(producer.is_full());
        assert_eq!(producer.push(99), Err(99));
        for item in 0..4 {
            assert_eq!(consumer.peek(), Some(&(round * 10 + item)));
            assert_eq!(consumer.pop(), Some(round * 10 + item));
        }
        assert!(producer.is_empty() && consumer.is_empty());
    }
    assert_eq!((producer.capacity(), consumer.capacity()), (4, 4));
}

#[test]
fn the_last_half_drops_what_is_inside() {
    let item = StdArc::new(());
    for producer_first in [true, false] {
        let (mut producer, mut consumer) = ring(8);
        for _ in 0..6 {
            producer.push(item.clone()).expect("room for eight");
        }
        consumer.pop();
        assert_eq!(StdArc::strong_count(&item), 6);
        if producer_first {
            drop(producer);
            consumer.pop().expect("four more inside");
        } else {
            drop(consumer);
            producer.push(item.clone()).expect("room for eight");
        }
    }
    assert_eq!(StdArc::strong_count(&item), 1);
}

#[test]
fn positions_may_wrap() {
    let (mut producer, mut consumer) = ring(2);
    let start = usize::MAX - 2;
    producer.shared.head.store(start, Ordering::Relaxed);
    producer.shared.tail.store(start, Ordering::Relaxed);
    (producer.tail, consumer.head) = (start, start);
    producer.head.set(start);
    consumer.tail.set(start);
    for item in 0..10 {
        assert_eq!(producer.push(item), Ok(()));
        assert_eq!(producer.push(item + 100), Ok(()));
        assert_eq!(producer.push(0), Err(0));
        assert_eq!(
            (consumer.len(), consumer.pop(), consumer.pop(), consumer.pop()),
            (2, Some(item), Some(item + 100), None)
        );
    }
}

#[test]
fn agrees_with_a_queue() {
    let random = &mut Prng::new(3);
    let mut model = std::collections::VecDeque::new();
    let (mut producer, mut consumer) = ring(16);
    let mut next = 0;
    for _ in 0..if cfg!(miri) { 500 } else { 100_000 } {
        if random.chance(1, 2) {
            let full = model.len() == 16;
            assert_eq!(producer.push(Box::new(next)).is_err(), full);
            if !full {
                model.push_back(next);
            }
            next += 1;
        } else {
            assert_eq!(consumer.peek().map(|item| **item), model.front().copied());
            assert_eq!(consumer.pop().map(|item| *item), model.pop_front());
        }
        assert_eq!((producer.len(), consumer.is_empty()), (model.len(), model.is_empty()));
    }
}

#[test]
#[should_panic(expected = "power of two, not 6")]
fn an_odd_capacity_is_refused() {
    ring::<()>(6);
}
