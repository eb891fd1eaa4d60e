//! What requests may say in several ways, as schemas. The code that reads it decides; these say the same to machines.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! word {
    ($(#[doc = $about:literal] $name:ident: |$said:ident| $schema:expr;)*) => {
        $(
            #[doc = $about]
            pub(crate) enum $name {}

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    let $said = str::trim($about);
                    RefOr::T(Schema::from($schema))
                }
            }

            impl ToSchema for $name {
                fn name() -> Cow<'static, str> {
                    stringify!($name).into()
                }
            }
        )*
    };
}

word! {
    /// True or false, also as one of the words and numbers for it; words in any case.
    Truth: |about| either(about, kind(Type::Boolean), [
        text(r"^\s*([tT]|[tT][rR][uU][eE]|1|[yY]|[yY][eE][sS]|[fF]|[fF][aA][lL][sS][eE]|0|[nN]|[nN][oO])\s*$"),
        kind(Type::Integer).minimum(Some(0)).maximum(Some(1)),
    ]);
    /// A time, in ms since the Unix epoch. What looks like seconds is refused.
    Milliseconds: |about| either(about, kind(Type::Number).minimum(Some(FEWEST_MS)).maximum(Some(MOST_MS)), [
        text(r"^\s*\+?[0-9]{12,15}(\.[0-9]+)?\s*$"),
    ]);
    /// True, or an epoch that is known to have been given out.
    RaiseEpoch: |about| either(about, kind(Type::Boolean), [
        kind(Type::Integer).minimum(Some(0)).maximum(Some(MOST_EPOCH)),
        text("^([tT]|[tT][rR][uU][eE]|1|[yY]|[yY][eE][sS]|[fF]|[fF][aA][lL][sS][eE]|0|[nN]|[nN][oO])$"),
    ]);
    /// A znode whose subtree is meant; the leading slash may be left out.
    Root: |about| text(ROOT).description(Some(about)).examples(["config/topics"]);
    /// A znode whose subtree is meant, as a text or, where its name is a number, as that; the leading slash may be left out.
    Named: |about| either(about, text(ROOT), [
        kind(Type::Integer).minimum(Some(i64::MIN)).maximum(Some(i64::MAX)),
    ]);
    /// How much, in percent of all bytes: more than 0% and at most 100%.
    Share: |about| text(r"^(100|[1-9][0-9]?)%$").description(Some(about)).examples(["5%"]);
    /// Rules of an eviction policy, with commas between.
    Rules: |about| text(RULES).description(Some(about)).examples(["1d/1d,7d/7d,1m/delete"]);
}

/// As `body` reads times.
const FEWEST_MS: i64 = 100_000_000_000;
const MOST_MS: i64 = 999_999_999_999_999;
const ROOT: &str = "^/?[^/.]([^/]*)(/[^/.][^/]*)*$";
const MOST_EPOCH: u32 = 2_000_000_000;
const RULES: &str = "^(([1-9][0-9]{0,8}|0)/delete|(0|[1-9][0-9]{0,4}(min|h|d|w|m|y))/(delete|[1-9][0-9]{0,4}(min|h|d|w|m|y))\
                     (,(0|[1-9][0-9]{0,4}(min|h|d|w|m|y))/(delete|[1-9][0-9]{0,4}(min|h|d|w|m|y)))*)$";

fn kind(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(kind)
}

fn text(pattern: &str) -> ObjectBuilder {
    kind(Type::String).pattern(Some(pattern))
}

fn either<const N: usize>(about: &str, one: ObjectBuilder, others: [ObjectBuilder; N]) -> AnyOfBuilder {
    let either = AnyOfBuilder::new().description(Some(about)).item(one);
    others.into_iter().fold(either, AnyOfBuilder::item)
}
