//! The copies of work items. The example keeps them in memory; a production app would use a
//! database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// The copies of all installations.
#[derive(Clone, Debug, Default)]
pub struct Mirror(Arc<Mutex<BTreeMap<String, Site>>>);

#[derive(Debug, Default)]
struct Site {
    items: BTreeMap<String, Item>,
    /// The deleted work items: later events about them are out of date.
    deleted: BTreeSet<String>,
    checked: u32,
}

/// The copy of a work item.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The work item's key.
    pub key: String,
    /// The work item's summary.
    pub summary: String,
    /// The URL of the copy in the other tracker.
    pub link: Option<String>,
    /// The recorded transitions.
    pub transitions: BTreeSet<String>,
    /// The time of the last change, in Jira's milliseconds.
    #[serde(skip)]
    at: u64,
}

impl Mirror {
    fn site<T>(&self, installation: &str, change: impl FnOnce(&mut Site) -> T) -> T {
        let mut sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(sites.entry(installation.to_owned()).or_default())
    }

    pub(crate) fn add_site(&self, installation: &str) {
        self.site(installation, |_| ());
    }

    pub(crate) fn remove_site(&self, installation: &str) {
        let mut sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sites.remove(installation);
    }

    pub(crate) fn mark_checked(&self, installation: &str) {
        self.site(installation, |site| site.checked += 1);
    }

    pub(crate) fn save(
        &self,
        installation: &str,
        id: String,
        key: String,
        summary: String,
        at: u64,
    ) {
        self.site(installation, |site| {
            if site.deleted.contains(&id) {
                return;
            }
            let item = site.items.entry(id).or_default();
            if item.key.is_empty() || at >= item.at {
                (item.key, item.summary, item.at) = (key, summary, at);
            }
        });
    }

    pub(crate) fn delete(&self, installation: &str, id: &str) {
        self.site(installation, |site| {
            site.items.remove(id);
            site.deleted.insert(id.to_owned());
        });
    }

    pub(crate) fn link(&self, installation: &str, id: &str, link: String) -> bool {
        self.site(installation, |site| match site.items.get_mut(id) {
            Some(item) => {
                item.link = Some(link);
                true
            }
            None => false,
        })
    }

    pub(crate) fn record_transition(&self, installation: &str, id: &str, execution: String) {
        self.site(installation, |site| {
            if let Some(item) = site.items.get_mut(id) {
                item.transitions.insert(execution);
            }
        });
    }

    pub(crate) fn by_key(&self, installation: &str, key: &str) -> Option<Item> {
        self.site(installation, |site| {
            site.items.values().find(|item| item.key == key).cloned()
        })
    }

    pub(crate) fn linked(&self, installation: &str) -> Vec<String> {
        self.site(installation, |site| {
            let linked = site.items.iter().filter(|(_, item)| item.link.is_some());
            linked.map(|(id, _)| id.clone()).collect()
        })
    }

    pub(crate) fn overview(&self, installation: &str) -> (Vec<Item>, u32) {
        self.site(installation, |site| {
            (site.items.values().cloned().collect(), site.checked)
        })
    }
}
