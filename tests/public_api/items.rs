//! The public items of a source file.

use quote::ToTokens;
use syn::{Attribute, Fields, ImplItem, Item, TraitItem, Visibility};

/// Each public item as one line, without its body.
pub(crate) fn listed(source: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for item in syn::parse_file(source).unwrap().items {
        list(&item, &mut lines);
    }
    lines
}

/// The type or trait that a line introduces.
pub(crate) fn defined(line: &str) -> Option<String> {
    let mut words = line.split([' ', '<', ':', '.']);
    matches!(words.next(), Some("struct" | "enum" | "trait")).then(|| words.next().map(str::to_owned))?
}

/// The type that a line of the form `impl Trait for Type` is about.
pub(crate) fn implemented_for(line: &str) -> Option<String> {
    let of = line.strip_prefix("impl ")?.rsplit(" for ").next()?;
    Some(of.split('<').next()?.to_owned())
}

fn list(item: &Item, lines: &mut Vec<String>) {
    match item {
        Item::Const(item) if is_public(&item.vis) => {
            lines.push(format!("const {}: {}", item.ident, text(&item.ty)));
        }
        Item::Type(item) if is_public(&item.vis) => {
            lines.push(format!("type {} = {}", item.ident, text(&item.ty)));
        }
        Item::Fn(item) if is_public(&item.vis) => lines.push(text(&item.sig)),
        Item::Use(item) if is_public(&item.vis) => names(&item.tree, "", lines),
        Item::Mod(item) if is_public(&item.vis) => lines.push(format!("mod {}", item.ident)),
        Item::Struct(item) if is_public(&item.vis) => {
            let head = format!("struct {}{}", item.ident, text(&item.generics));
            openness(&head, &item.attrs, lines);
            fields(&head, &item.fields, lines, false);
            lines.push(head);
        }
        Item::Enum(item) if is_public(&item.vis) => {
            let head = format!("enum {}{}", item.ident, text(&item.generics));
            openness(&head, &item.attrs, lines);
            for variant in &item.variants {
                let variant_head = format!("{head}::{}", variant.ident);
                openness(&variant_head, &variant.attrs, lines);
                fields(&variant_head, &variant.fields, lines, true);
                lines.push(variant_head);
            }
            lines.push(head);
        }
        Item::Trait(item) if is_public(&item.vis) => {
            let head = format!("trait {}", item.ident);
            for member in &item.items {
                if let TraitItem::Fn(member) = member {
                    let kind = if member.default.is_some() {
                        "provided"
                    } else {
                        "required"
                    };
                    lines.push(format!("{head}: {kind} {}", text(&member.sig)));
                }
            }
            lines.push(format!("{head}: {}", text(&item.supertraits)));
        }
        Item::Impl(item) => {
            let of = text(&item.self_ty);
            if let Some((_, of_trait, _)) = &item.trait_ {
                lines.push(format!("impl {} for {of}", text(of_trait)));
                return;
            }
            for member in &item.items {
                match member {
                    ImplItem::Fn(member) if is_public(&member.vis) => {
                        lines.push(format!("{of}: {}", text(&member.sig)));
                    }
                    ImplItem::Const(member) if is_public(&member.vis) => {
                        lines.push(format!("{of}: const {}: {}", member.ident, text(&member.ty)));
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// Whether others may come to be in it.
fn openness(head: &str, attributes: &[Attribute], lines: &mut Vec<String>) {
    if attributes
        .iter()
        .any(|attribute| attribute.path().is_ident("non_exhaustive"))
    {
        lines.push(format!("{head}: non_exhaustive"));
    }
}

fn fields(head: &str, of: &Fields, lines: &mut Vec<String>, all: bool) {
    for (index, field) in of.iter().enumerate() {
        if all || is_public(&field.vis) {
            let name = field
                .ident
                .as_ref()
                .map_or(index.to_string(), ToString::to_string);
            lines.push(format!("{head}.{name}: {}", text(&field.ty)));
        }
    }
}

fn names(tree: &syn::UseTree, above: &str, lines: &mut Vec<String>) {
    match tree {
        syn::UseTree::Path(path) => names(&path.tree, &format!("{above}{}::", path.ident), lines),
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| names(tree, above, lines)),
        syn::UseTree::Name(name) => lines.push(format!("use {above}{}", name.ident)),
        syn::UseTree::Rename(rename) => {
            lines.push(format!("use {above}{} as {}", rename.ident, rename.rename));
        }
        syn::UseTree::Glob(_) => lines.push(format!("use {above}*")),
    }
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// As people write it, nearly.
fn text(tokens: &impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    for (from, to) in [
        (" :: ", "::"),
        (" < ", "<"),
        (" > ", "> "),
        (" >", ">"),
        ("& ", "&"),
        (" ,", ","),
        (" :", ":"),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        (" ;", ";"),
        ("-> ", " -> "),
        ("  ", " "),
    ] {
        text = text.replace(from, to);
    }
    text.trim().to_owned()
}
