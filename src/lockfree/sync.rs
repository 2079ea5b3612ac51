//! The one place which says where atomics come from: the standard library, or loom's models of them under
//! `cfg(loom)`.
//!
//! Only what this room uses, under the same names. `UnsafeCell` has loom's closure interface in both worlds, so that
//! loom sees each access begin and end.

#[cfg(not(loom))]
pub(super) use self::real::*;
#[cfg(loom)]
pub(super) use self::simulated::*;

#[cfg(not(loom))]
mod real {
    pub(in super::super) use std::sync::atomic::{
        AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    pub(in super::super) use std::sync::{Arc, OnceLock};

    /// A plain value, written before it is shared. Under loom, one whose reads are checked to come after that.
    #[repr(transparent)]
    pub(in super::super) struct Frozen<T>(T);

    impl<T: Copy> Frozen<T> {
        pub(in super::super) fn new(value: T) -> Frozen<T> {
            Frozen(value)
        }

        #[inline(always)]
        pub(in super::super) fn get(&self) -> T {
            self.0
        }
    }

    /// `std::cell::UnsafeCell` with loom's interface.
    #[repr(transparent)]
    pub(in super::super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(in super::super) fn new(value: T) -> UnsafeCell<T> {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        #[inline(always)]
        pub(in super::super) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        #[inline(always)]
        pub(in super::super) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(loom)]
mod simulated {
    pub(in super::super) use ::loom::cell::UnsafeCell;
    pub(in super::super) use ::loom::sync::Arc;
    pub(in super::super) use ::loom::sync::atomic::{
        AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };

    pub(in super::super) struct Frozen<T>(UnsafeCell<T>);

    impl<T: Copy> Frozen<T> {
        pub(in super::super) fn new(value: T) -> Frozen<T> {
            Frozen(UnsafeCell::new(value))
        }

        pub(in super::super) fn get(&self) -> T {
            // SAFETY: never written after `new`; loom checks that this comes after that.
            self.0.with(|value| unsafe { *value })
        }
    }

    /// `std::sync::OnceLock` for one writer, which loom lacks: a pointer that is null or set for good.
    pub(in super::super) struct OnceLock<T> {
        value: AtomicPtr<T>,
    }

    impl<T> OnceLock<T> {
        pub(in super::super) fn new() -> OnceLock<T> {
            OnceLock { value: AtomicPtr::new(std::ptr::null_mut()) }
        }

        pub(in super::super) fn get(&self) -> Option<&T> {
            let value = self.value.load(Ordering::Acquire);
            // SAFETY: null, or from `Box::into_raw` below and freed only by `drop`, which has `&mut self`.
            unsafe { value.as_ref() }
        }

        pub(in super::super) fn set(&self, value: T) -> Result<(), T> {
            if !self.value.load(Ordering::Relaxed).is_null() {
                return Err(value);
            }
            self.value.store(Box::into_raw(Box::new(value)), Ordering::Release);
            Ok(())
        }
    }

    impl<T> Drop for OnceLock<T> {
        fn drop(&mut self) {
            let value = self.value.load(Ordering::Relaxed);
            if !value.is_null() {
                // SAFETY: from `Box::into_raw` in `set`; `&mut self` says that nobody else holds it.
                drop(unsafe { Box::from_raw(value) });
            }
        }
    }
}
