//! Peers against the kernel, on both backends.
