//! Images.
pub mod codec;
pub mod index;
pub mod tarball;
pub mod unpack;
