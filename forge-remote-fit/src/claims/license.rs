//! The app's licence.

use std::fmt;

use serde_json::{Map, Value};

use crate::__payload as payload;

/// The app's licence (`app.license`): present for paid apps in production, or with a test override.
///
/// If a member does not have its documented type, its field is empty and its value is in
/// [`rest`](Self::rest). The other fields are not affected.
///
/// ```
/// use forge_remote_fit::Claims;
///
/// /// A free app has no licence, and neither has a paid one outside production.
/// fn may_export(claims: &Claims) -> bool {
///     claims.license().is_none_or(|license| license.active != Some(false))
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/remote/essentials/>
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct License {
    /// Whether the licence is active. Read from the claim's `active`, or from `isActive` if `active` is
    /// missing; Atlassian announced the removal of `isActive` after 2026-10-17.
    pub active: Option<bool>,
    /// The billing period: `MONTHLY`, `ANNUAL`, …
    pub billing_period: Option<String>,
    /// The set of capabilities: `capabilityStandard` or `capabilityAdvanced`.
    pub capability_set: Option<String>,
    /// The entitlement's id in Atlassian's commerce platform: a UUID.
    pub ccp_entitlement_id: Option<String>,
    /// The entitlement's short name, like `X-3SH-1A6-33A-AS0`.
    pub ccp_entitlement_slug: Option<String>,
    /// Whether it is an evaluation.
    pub is_evaluation: Option<bool>,
    /// The modes of the licence: `USER_ACCESS`, or empty.
    pub modes: Vec<String>,
    /// When the subscription ends, as ISO 8601.
    pub subscription_end_date: Option<String>,
    /// The number of the support entitlement; always `null` in the cloud, by Atlassian's documentation.
    pub support_entitlement_number: Option<String>,
    /// When the trial ends, as ISO 8601.
    pub trial_end_date: Option<String>,
    /// The type of licence: `commercial`, `academic`, …; compare without case, since Atlassian's documentation is
    /// inconsistent.
    pub license_type: Option<String>,
    /// Every other member.
    pub rest: Map<String, Value>,
}

payload!(License {
    active: "active" or "isActive",
    billing_period: "billingPeriod",
    capability_set: "capabilitySet",
    ccp_entitlement_id: "ccpEntitlementId",
    ccp_entitlement_slug: "ccpEntitlementSlug",
    is_evaluation: "isEvaluation",
    modes: "modes",
    subscription_end_date: "subscriptionEndDate",
    support_entitlement_number: "supportEntitlementNumber",
    trial_end_date: "trialEndDate",
    license_type: "type",
});

/// Without the claim's text, which is user data.
impl fmt::Debug for License {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("License").finish_non_exhaustive()
    }
}
