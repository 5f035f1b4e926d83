//! The unchecked payload of a FIT.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::date::NumericDate;
use crate::app_id::AppId;
use crate::json::strict::{Names, Object, Text};

/// The payload. Its top level is read by hand, so that a repeated member is rejected whether known or not.
#[derive(Default)]
pub(super) struct RawClaims<'a> {
    pub(super) issuer: Option<Text<'a>>,
    pub(super) audience: Option<Audience<'a>>,
    pub(super) expires: Option<NumericDate>,
    pub(super) not_before: Option<NumericDate>,
    pub(super) issued_at: Option<NumericDate>,
    pub(super) jti: Option<Text<'a>>,
    pub(super) principal: Option<Text<'a>>,
    pub(super) isolated_cloud_label: OptionalText<'a>,
    pub(super) context: Option<&'a RawValue>,
    pub(super) app: Option<Object<RawApp<'a>>>,
}

impl<'de> Deserialize<'de> for RawClaims<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ClaimsVisitor;

        impl<'de> Visitor<'de> for ClaimsVisitor {
            type Value = RawClaims<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a claims set")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut claims = RawClaims::default();
                let mut seen = Names::default();
                while let Some(name) = map.next_key::<Text<'de>>()? {
                    match &*name.0 {
                        "iss" => claims.issuer = seen.value(0, &mut map)?,
                        "aud" => claims.audience = seen.value(1, &mut map)?,
                        "exp" => claims.expires = seen.value(2, &mut map)?,
                        "nbf" => claims.not_before = seen.value(3, &mut map)?,
                        "iat" => claims.issued_at = seen.value(4, &mut map)?,
                        "jti" => claims.jti = seen.value(5, &mut map)?,
                        "principal" => claims.principal = seen.value(6, &mut map)?,
                        "icLabel" => claims.isolated_cloud_label = seen.value(7, &mut map)?,
                        "context" => claims.context = seen.value(8, &mut map)?,
                        "app" => claims.app = seen.value(9, &mut map)?,
                        _ => seen.pass_over(name, &mut map)?,
                    }
                }
                Ok(claims)
            }
        }

        deserializer.deserialize_map(ClaimsVisitor)
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawApp<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) installation_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) installation: Option<Object<RawInstallation<'a>>>,
    #[serde(borrow, default)]
    pub(super) app_version: OptionalText<'a>,
    #[serde(borrow, default)]
    pub(super) api_base_url: OptionalText<'a>,
    #[serde(borrow)]
    pub(super) environment: Option<Object<RawEnvironment<'a>>>,
    #[serde(borrow)]
    pub(super) module: Option<Object<RawModule<'a>>>,
    #[serde(borrow)]
    pub(super) license: Option<&'a RawValue>,
}

#[derive(Default, serde::Deserialize)]
pub(super) struct RawInstallation<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) contexts: Option<&'a RawValue>,
}

#[derive(Default, serde::Deserialize)]
pub(super) struct RawEnvironment<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) environment_type: OptionalText<'a>,
    #[serde(borrow, default)]
    pub(super) id: OptionalText<'a>,
}

#[derive(Default, serde::Deserialize)]
pub(super) struct RawModule<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) module_type: OptionalText<'a>,
    #[serde(borrow, default)]
    pub(super) key: OptionalText<'a>,
}

/// A string that only informs: anything else there counts as absent.
#[derive(Default)]
pub(super) struct OptionalText<'a>(pub(super) Option<Text<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for OptionalText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OptionalTextVisitor;

        impl<'de> Visitor<'de> for OptionalTextVisitor {
            type Value = OptionalText<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(OptionalText(Some(Text(Cow::Borrowed(text)))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(OptionalText(Some(Text(Cow::Owned(text.to_owned())))))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(OptionalText(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(OptionalText(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(OptionalText(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(OptionalText(None))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(OptionalText(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(OptionalText(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(OptionalText(None))
            }
        }

        deserializer.deserialize_any(OptionalTextVisitor)
    }
}

pub(super) enum Audience<'a> {
    One(Text<'a>),
    Many(Vec<Text<'a>>),
}

impl Audience<'_> {
    /// Returns the one of these apps that it names; `None` if it names none or several of them.
    pub(super) fn one_of<'e>(&self, apps: &'e [AppId]) -> Option<&'e AppId> {
        let names = |app: &&AppId| match self {
            Self::One(one) => one.0 == app.as_str(),
            Self::Many(many) => many.iter().any(|one| one.0 == app.as_str()),
        };
        let mut named = apps.iter().filter(names);
        named.next().filter(|_| named.next().is_none())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Audience<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AudienceVisitor;

        impl<'de> Visitor<'de> for AudienceVisitor {
            type Value = Audience<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Audience::One(Text(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Audience::One(Text(Cow::Owned(text.to_owned()))))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut many = Vec::new();
                while let Some(one) = seq.next_element()? {
                    many.push(one);
                }
                Ok(Audience::Many(many))
            }
        }

        deserializer.deserialize_any(AudienceVisitor)
    }
}
