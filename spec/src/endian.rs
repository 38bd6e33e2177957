//! Integers of a fixed byte order and alignment 1, for wire formats (big endian) and table rows (little endian).

use bytemuck::{Pod, Zeroable};

macro_rules! integer {
    ($name:ident, $native:ty, $bytes:expr, $from:ident, $to:ident, $order:expr) => {
        #[doc = concat!("An unsigned integer of ", stringify!($bytes), " bytes, ", $order, ", alignment 1.")]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
        #[repr(transparent)]
        pub struct $name(pub [u8; $bytes]);

        impl $name {
            /// Stores a native integer in this byte order.
            #[must_use]
            pub const fn new(value: $native) -> Self {
                Self(value.$to())
            }

            /// Reads the integer in native order.
            #[must_use]
            pub const fn value(self) -> $native {
                <$native>::$from(self.0)
            }
        }

        impl From<$native> for $name {
            fn from(value: $native) -> Self {
                Self::new(value)
            }
        }
    };
}

integer!(U16Be, u16, 2, from_be_bytes, to_be_bytes, "big endian (network order)");
integer!(U32Be, u32, 4, from_be_bytes, to_be_bytes, "big endian (network order)");
integer!(U16Le, u16, 2, from_le_bytes, to_le_bytes, "little endian");
integer!(U32Le, u32, 4, from_le_bytes, to_le_bytes, "little endian");
