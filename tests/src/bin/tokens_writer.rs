//! A program that writes ever newer tokens of 20 installations into a store, until it is killed. It
//! prints a line after each pass over all of them.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, SystemTime};

use forge_remote::token::TokenStore as _;
use forge_remote_tests::stores::{self, sealed};

#[tokio::main]
async fn main() {
    let store = stores::from_environment();
    let mut seconds: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    store.open().await.unwrap();
    println!("writing");
    loop {
        seconds += 1;
        let ends = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        // Alternates between single writes and one batch.
        if seconds.is_multiple_of(2) {
            for at in 0..20 {
                store.put(vec![sealed(at, ends)]).await.unwrap();
            }
        } else {
            let all = (0..20).map(|at| sealed(at, ends));
            store.put(all.collect()).await.unwrap();
        }
        println!("written");
    }
}
