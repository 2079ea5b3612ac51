//! What strangers send to the ports between servers: it is closed and noted, and nobody is disturbed.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use ringkeeper::base::{Epoch, Prng, ServerId, Zxid};

use crate::support::client::PERSISTENT;
use crate::support::{Client, Ensemble, until};

/// Longer than a silent caller is waited for, and not much longer.
const PATIENCE: Duration = Duration::from_secs(30);
const CROWD: usize = 1_000;
