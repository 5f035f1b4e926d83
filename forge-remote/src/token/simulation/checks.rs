//! The properties checked after each step, and at the end.

use std::time::Duration;

use futures_util::FutureExt as _;

use super::network::{Link, lock};
use super::world::{FATES, Fate, HOUR, MACHINES, RETURNS, SECOND, World, id};
use crate::token::error::TokenError;
use crate::token::store::{TokenStore as _, to_millis};

impl World {
    /// Lets time pass on every machine.
    pub(super) fn step(&mut self, length: Duration) {
        for machine in &self.machines {
            machine
                .runtime
                .block_on(async { tokio::time::sleep(length).await });
        }
        self.now += length;
        self.store.deliver_late(self.now);
        for machine in &self.machines {
            let oldest = lock(&machine.running).values().min().copied();
            let longest = length + Duration::from_secs(120);
            let ends = oldest.is_none_or(|began| self.now - began <= longest);
            assert!(ends, "a flush or a removal does not end");
        }
        self.check_store();
        let calls = *lock(&self.store.calls);
        let limit = 300 + u64::try_from(length.as_millis()).unwrap_or(0) / SECOND * 2;
        assert!(
            calls - self.calls <= limit,
            "{} calls of the store in {length:?}",
            calls - self.calls
        );
        self.calls = calls;
    }

    /// Checks that a token in the store is never lost, and never replaced by one that expires earlier.
    fn check_store(&self) {
        let mut known = lock(&self.known);
        for (number, known) in known.iter_mut() {
            let kept = self.store.kept.get(&id(*number)).now_or_never();
            let Some(Ok(kept)) = kept else { continue };
            let token = kept.filter(|kept| !kept.cloud_ids.is_empty());
            let end = token.map(|token| to_millis(token.expires_at));
            if !known.is_removal_durable || self.store.has_late() {
                known.is_quiet_since = None;
            } else {
                known.is_quiet_since.get_or_insert(self.now);
            }
            let may_vanish = match FATES[*number] {
                Fate::Stays => false,
                Fate::Leaves => true,
                // A write of the removal may be in progress, though the removal was revoked.
                Fate::Returns => known
                    .is_quiet_since
                    .is_none_or(|since| self.now - since < Duration::from_secs(15)),
            };
            let stored = known.stored.filter(|stored| *stored > self.millis());
            if let Some(stored) = stored.filter(|_| !may_vanish) {
                let problem = || {
                    format!(
                        "{:?}: a token that ends at {stored} was replaced by {end:?}",
                        FATES[*number]
                    )
                };
                assert!(end.is_some_and(|end| end >= stored), "{}", problem());
            }
            known.stored = end;
        }
    }

    /// Repairs everything, and lets enough time pass for pending work.
    pub(super) fn heal(&mut self) {
        self.log(|| "everything heals".to_owned());
        for clock in &self.clocks {
            *lock(clock) = 0;
        }
        for machine in &self.machines {
            *lock(&machine.link) = Link::Up;
        }
        // Late writes arrive, pauses end.
        self.step(Duration::from_secs(400));
        let at = self.random.below(MACHINES as u64) as usize;
        let removed = lock(&self.known)[&2].removed_at;
        if removed.is_none_or(|removed| self.now - removed > RETURNS) {
            self.deliver_for(at, 2, 4 * HOUR, true);
        }
        for _ in 0..2 {
            for at in 0..MACHINES {
                self.read(at);
            }
            self.step(Duration::from_secs(61));
        }
        for at in 0..MACHINES {
            self.flush(at);
        }
        self.step(Duration::from_secs(61));
        for machine in &self.machines {
            let running = lock(&machine.running).len();
            assert_eq!(running, 0, "a flush or a removal does not end");
        }
        // The callbacks of an installation with an unknown number of products run after 75 minutes.
        for _ in 0..3 {
            self.step(Duration::from_secs(33 * 60));
        }
    }

    pub(super) fn check(mut self) {
        let newcomer = self.start(0);
        self.machines.push(newcomer);
        self.step(Duration::from_secs(2));
        let mut seen = Vec::new();
        for machine in &self.machines {
            let tokens = machine.tokens.clone();
            let reading = async move {
                let mut all = Vec::new();
                for number in 0..FATES.len() {
                    all.push(match tokens.system(&id(number)).await {
                        Ok(token) => token.expose_secret().parse().unwrap_or(-1),
                        Err(TokenError::NeverSeen { .. } | TokenError::Ended { .. }) => 0,
                        Err(error) => panic!("{error}"),
                    });
                }
                all
            };
            let all: Vec<i64> = machine.runtime.block_on(reading);
            seen.push(all);
        }
        let now = self.millis();
        let known = lock(&self.known);
        for (number, fate) in FATES.into_iter().enumerate() {
            let known = &known[&number];
            for (at, seen) in seen.iter().enumerate() {
                let seen = seen[number];
                match (fate, known.removed_at) {
                    (Fate::Leaves, Some(_)) => {
                        let gone = !known.is_removal_durable || seen == 0;
                        assert!(gone, "{fate:?}: machine {at} has a token after the removal");
                    }
                    _ if known.durable > now + 120_000 => assert!(
                        seen >= known.durable,
                        "{fate:?}: machine {at} has {seen}, expected {}",
                        known.durable
                    ),
                    _ => {}
                }
            }
            match (fate, known.removed_at) {
                (Fate::Leaves, Some(_)) if known.is_removal_durable => {
                    assert!(known.reported > 0, "{fate:?}: no callback for the removal");
                }
                (_, None) => {
                    assert_eq!(known.reported, 0, "{fate:?}: a callback without a removal")
                }
                _ => {}
            }
        }
    }
}
