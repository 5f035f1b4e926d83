//! The parts that the items of several modules have.

use super::shape::{MappingShape, Property, Shape, TextForm, optional, required, text};

pub(crate) const REFERENCE: Shape = text(1, 255, TextForm::DottedKey);

pub(crate) const PRODUCT_REFERENCE: Shape = text(1, 255, TextForm::Key);

pub(crate) const CALLED: &[&str] = &["function", "endpoint"];

pub(crate) const SUBJECT: Shape = text(1, 255, TextForm::Any);

pub(crate) const fn closed(properties: &'static [Property]) -> MappingShape {
    MappingShape {
        properties,
        ..MappingShape::EMPTY
    }
}

pub(crate) const fn open(properties: &'static [Property]) -> MappingShape {
    MappingShape {
        properties,
        open: true,
        ..MappingShape::EMPTY
    }
}

pub(crate) const fn called(shape: MappingShape) -> MappingShape {
    MappingShape {
        exactly_one: &[CALLED],
        ..shape
    }
}

/// The handler of a page's calls, in a page's module or in a view of it.
pub const RESOLVER: Shape = Shape::Mapping(&called(closed(&[
    optional("function", PRODUCT_REFERENCE),
    optional("endpoint", PRODUCT_REFERENCE),
])));

pub(crate) const FUNCTION_RESOLVER: Shape =
    Shape::Mapping(&closed(&[required("function", PRODUCT_REFERENCE)]));

pub(crate) const RESOURCE: Shape = text(1, 47, TextForm::ResourceReference);

pub(crate) const RENDER: Shape = Shape::Choice(&["default", "native"]);

/// A text, or the key of a translation.
pub(crate) const TITLE: Shape = Shape::Either(&[SUBJECT, TRANSLATED]);

pub(crate) const DESCRIPTION: Shape = Shape::Either(&[text(1, 1000, TextForm::Any), TRANSLATED]);

pub(crate) const TRANSLATED: Shape = Shape::Mapping(&closed(&[required(
    "i18n",
    text(1, 300, TextForm::Translation),
)]));
