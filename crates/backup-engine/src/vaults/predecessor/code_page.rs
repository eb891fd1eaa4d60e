//! Data as the predecessor keeps them: each byte as the character that it is in code page 437, in UTF-8.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The characters of the bytes from 0x80 on. Those before are ASCII.
const UPPER: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

static BYTES: LazyLock<HashMap<char, u8>> = LazyLock::new(|| UPPER.chars().zip(0x80..=0xff).collect());

/// The bytes that a text stands for; `None` where it stands for none.
pub(super) fn bytes(text: &[u8]) -> Option<Vec<u8>> {
    let byte = |character: char| match u8::try_from(character) {
        Ok(ascii) if ascii.is_ascii() => Some(ascii),
        _ => BYTES.get(&character).copied(),
    };
    std::str::from_utf8(text).ok()?.chars().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_has_one_character_and_what_is_none_is_refused() {
        let all: String = (0..=0x7f_u8).map(char::from).chain(UPPER.chars()).collect();
        assert_eq!(bytes(all.as_bytes()).unwrap(), (0..=0xff).collect::<Vec<u8>>());
        // As Python's codec has them, where other tables differ.
        assert_eq!(bytes("µß≡\r\n".as_bytes()).unwrap(), b"\xe6\xe1\xf0\r\n");
        for none in ["ł".as_bytes(), b"\xff", b"\xc3"] {
            assert_eq!(bytes(none), None, "{none:?}");
        }
    }
}
