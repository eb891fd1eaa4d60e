//! What `ephemeralOwner` says of a znode (`EphemeralType`).

use std::time::Duration;

use super::Stat;

/// The owner of every container znode.
pub(crate) const CONTAINER: i64 = i64::MIN;
/// The mark of a TTL znode; the lower 40 bits are ms.
pub(crate) const TTL: i64 = 0xff00_0000_0000_0000_u64.cast_signed();
const TTL_MASK: i64 = 0xffff_ff00_0000_0000_u64.cast_signed();

/// How long a znode lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Kind {
    /// Until it is deleted.
    #[default]
    Persistent,
    /// Until it has had children and has none any more.
    Container,
    /// Until it had no change and no children for this time.
    Ttl(Duration),
    /// As long as the session that owns it.
    Ephemeral,
}

impl Kind {
    /// What this `ephemeralOwner` says where it comes from a file; clients are shown 0 for containers and TTL
    /// znodes.
    #[must_use]
    pub fn of_owner(owner: i64) -> Self {
        match owner {
            0 => Self::Persistent,
            CONTAINER => Self::Container,
            owner if owner & TTL_MASK == TTL && owner != TTL => {
                Self::Ttl(Duration::from_millis((owner & !TTL_MASK).cast_unsigned()))
            }
            _ => Self::Ephemeral,
        }
    }
}

impl Stat {
    /// How long the znode lives, as far as the `Stat` tells: a server shows clients containers and TTL znodes as
    /// persistent ones, and only its files know better.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::of_owner(self.ephemeral_owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_says_how_long_a_znode_lives() {
        for (owner, kind) in [
            (0, Kind::Persistent),
            (0x8000_0000_0000_0000, Kind::Container),
            (0xff00_0000_0000_0001, Kind::Ttl(Duration::from_millis(1))),
            (
                0xff00_00ff_ffff_ffff,
                Kind::Ttl(Duration::from_millis((1 << 40) - 1)),
            ),
            (0x0100_0a5b_0000_0001, Kind::Ephemeral),
            (0xff01_0000_0000_0001, Kind::Ephemeral),
            (0x8000_0000_0000_0001, Kind::Ephemeral),
        ] {
            assert_eq!(Kind::of_owner(u64::cast_signed(owner)), kind, "{owner:x}");
        }
    }
}
