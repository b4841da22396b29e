//! careful: file transfer that is done only when the copy, read back from the receiving host's disk, hashes to what the
//! original hashes to.
//!
//! The careful file transfer of Saltzer, Reed and Clark, *End-to-End Arguments in System Design* (1984), over QUIC with
//! BLAKE3. This page is the map; `ARCHITECTURE.md` tells the whole.
//!
//! ```text
//!             careful-send                                              careful-recv
//!   walk ─▶ source ─▶ hash ─▶ upload ──────── wire ────────▶ verify ─▶ stage ─▶ read back ─▶ commit ─▶ receipt
//!              │        │                    (QUIC)                                │            ▲          │
//!              │        └─▶ second read, past the cache                            │            │          │
//!            disk                   └──── compare ◀──── hashes of what is stored ──┘     authorise ── kept there
//! ```
//!
//! [`chunk`], [`hash`] and [`protocol`] decide and do no I/O. [`seams`] are the doors to disk, buffers and packets.
//! [`wire`] is QUIC, [`connect`] how two ends meet, [`send`] and [`receive`] the two halves, which do not know each
//! other. [`cli`] speaks with the person.

mod aloud;
mod bucket;
pub mod check;
pub mod chunk;
pub mod cli;
pub mod connect;
pub mod hash;
pub mod jobs;
pub mod outcome;
mod patience;
pub mod progress;
pub mod protocol;
pub mod reading;
pub mod receive;
pub mod record;
pub mod seams;
pub mod send;
pub mod transit;
pub mod wire;
pub mod workers;
