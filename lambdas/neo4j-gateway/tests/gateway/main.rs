//! The function as its callers meet it: members by canned answers, and by sockets.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "all of this is test code: a panic is a failed test"
)]

mod answers;
mod declare_users;
mod sockets;
mod stub;
